package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"epochal/experiments/bench"
	"epochal/model/backend"

	"golang.org/x/perf/benchmath"
)

// comparedNumber is a number of the cells of two benchmarks.
type comparedNumber struct {
	heading string
	of      func(bench.Cell, bench.Measurement) float64
	write   func(float64) string
}

var comparedNumbers = []comparedNumber{
	{"training, images/s", func(c bench.Cell, m bench.Measurement) float64 { return c.ImagesPerSecond(m) }, countText},
	{"evaluation, images/s", func(_ bench.Cell, m bench.Measurement) float64 { return evaluateThroughput(m) }, countText},
	{"start-up: open, upload, compile and first call", func(_ bench.Cell, m bench.Measurement) float64 {
		return m.Open + m.Upload + m.Compile + m.FirstCall
	}, timeText},
	{"peak memory of the process", func(_ bench.Cell, m bench.Measurement) float64 { return float64(m.ProcessMemory) }, bytesText},
	{"peak memory on the device", func(_ bench.Cell, m bench.Measurement) float64 { return float64(m.DeviceMemory) }, bytesText},
}

// BenchCompare writes how the cells of a new benchmark differ from the same cells of
// an old one: medians with their intervals, the change of the median in percent, or
// "~" where it is within noise, with p and n as benchstat writes them. Cells of one
// side only are listed, and so is what else differs: the machine, the versions, the
// rounds.
//
// What was made in other minutes differs for other reasons too: interleaved rounds
// of both are worth more.
func BenchCompare(w io.Writer, old, new bench.Results) error {
	var t benchText
	for _, side := range []struct {
		name    string
		results bench.Results
	}{{"old", old}, {"new", new}} {
		parts := []string{"epochal " + side.results.Environment.Version, counted(side.results.WantedRounds, "round")}
		if side.results.Environment.Version == "" {
			parts = parts[1:]
		}
		if started := side.results.Started; !started.IsZero() {
			parts = append(parts, started.UTC().Format("2006-01-02 15:04:05 UTC"))
		}
		parts = append(parts, side.results.Command)
		t.paragraph(0, side.name+": "+strings.TrimSuffix(strings.Join(parts, ", "), ", "))
	}

	type pair struct{ old, new bench.CellResult }
	var pairs []pair
	var cells, onlyOld, onlyNew []bench.Cell
	for _, c := range old.Cells {
		if i := indexOf(new, c.Cell); i >= 0 {
			pairs = append(pairs, pair{c, new.Cells[i]})
			cells = append(cells, c.Cell)
		} else {
			onlyOld = append(onlyOld, c.Cell)
		}
	}
	for _, c := range new.Cells {
		if indexOf(old, c.Cell) < 0 {
			onlyNew = append(onlyNew, c.Cell)
		}
	}
	v := varying(cells)
	if len(cells) > 0 {
		if common := v.common(cells[0]); common != "" {
			t.paragraph(0, "all cells: "+common)
		}
	} else {
		t.heading("No cell is in both.")
	}

	for _, number := range comparedNumbers {
		var lines []line
		for _, p := range pairs {
			of := func(m bench.Measurement) float64 { return number.of(p.old.Cell, m) }
			before, after := p.old.Measured(of), p.new.Measured(of)
			if len(before) == 0 || len(after) == 0 {
				continue
			}
			a, b := bench.Summarize(before), bench.Summarize(after)
			lines = append(lines, line{texts: append(v.texts(p.old.Cell), t.summary(a, number.write), t.summary(b, number.write), t.change(before, after))})
		}
		if len(lines) > 0 {
			t.heading(number.heading)
			t.table(append(v.columns(), column{"old", false}, column{"new", false}, column{"vs old", false}), lines)
		}
	}
	t.footnotes()

	var missing []string
	for _, p := range pairs {
		for _, side := range []struct {
			name   string
			result bench.CellResult
		}{{"old", p.old}, {"new", p.new}} {
			if len(side.result.Rounds) == 0 {
				missing = append(missing, fmt.Sprintf("%s: %s: %s", cellText(p.old.Cell), side.name, failedText(side.result)))
			}
		}
	}
	t.list("not compared", missing)
	t.list("only in old", cellTexts(onlyOld))
	t.list("only in new", cellTexts(onlyNew))
	t.list("what else differs", environmentDifferences(old, new))
	_, err := io.WriteString(w, t.String())
	return err
}

func indexOf(r bench.Results, c bench.Cell) int {
	return slices.IndexFunc(r.Cells, func(x bench.CellResult) bool { return x.Cell.Equal(c) })
}

func cellTexts(cells []bench.Cell) []string {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = cellText(c)
	}
	return texts
}

// list writes a section of a line an item, and nothing without any.
func (t *benchText) list(heading string, items []string) {
	if len(items) == 0 {
		return
	}
	t.heading(heading)
	for _, item := range items {
		t.paragraph(2, item)
	}
}

// change is "+3.21% (p=0.002 n=6)" or "~ (p=0.310 n=6)".
func (t *benchText) change(before, after []float64) string {
	differ, p := bench.Differ(before, after)
	// benchmath says it as benchstat does, its p of 0 for none included.
	c := benchmath.Comparison{P: p, N1: len(before), N2: len(after), Alpha: benchmath.DefaultThresholds.CompareAlpha}
	text := c.FormatDelta(bench.Summarize(before).Median, bench.Summarize(after).Median) + " (" + c.String() + ")"
	if !differ && max(len(before), len(after)) < fewestToDiffer {
		text += t.note(differNote())
	}
	return text
}

// environmentDifferences say what differs that the tables do not show.
func environmentDifferences(old, new bench.Results) []string {
	var all []string
	differ := func(what, before, after string) {
		if before != after {
			all = append(all, fmt.Sprintf("%s: old %s, new %s", what, orNone(before), orNone(after)))
		}
	}
	a, b := old.Environment, new.Environment
	differ("epochal", versionText(a.Version, a.Revision), versionText(b.Version, b.Revision))
	differ("Go", a.Go, b.Go)
	differ("GoMLX", a.GoMLX, b.GoMLX)
	differ("go-xla", a.GoXLA, b.GoXLA)
	differ("operating system", a.OperatingSystem+"/"+a.Architecture, b.OperatingSystem+"/"+b.Architecture)
	differ("cores", strconv.Itoa(a.Cores), strconv.Itoa(b.Cores))
	differ("rounds", strconv.Itoa(old.WantedRounds), strconv.Itoa(new.WantedRounds))
	differ("quick", strconv.FormatBool(old.Quick), strconv.FormatBool(new.Quick))
	for _, runner := range runnersOf(old) {
		x, inOld := infoOf(old, runner)
		y, inNew := infoOf(new, runner)
		if !inOld || !inNew {
			continue
		}
		name := runner.String()
		differ(name+": device", x.Device, y.Device)
		differ(name+": version", x.Version, y.Version)
		differ(name+": plugin", x.PluginSHA256, y.PluginSHA256)
		differ(name+": TF32", strconv.FormatBool(x.TF32), strconv.FormatBool(y.TF32))
		differ(name+": threads", threadsText(x), threadsText(y))
		differ(name+": XLA_FLAGS", x.XLAFlags, y.XLAFlags)
	}
	return all
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func versionText(version, revision string) string {
	if revision == "" {
		return version
	}
	return version + " (" + revision + ")"
}

func threadsText(info backend.Info) string {
	if info.Threads == 0 {
		return "all"
	}
	return strconv.Itoa(info.Threads)
}

// infoOf is a backend as the first of its cells that ran tells.
func infoOf(r bench.Results, runner bench.Runner) (backend.Info, bool) {
	for _, c := range r.Cells {
		if c.Cell.Runner() == runner && c.Info.Name != "" {
			return c.Info, true
		}
	}
	return backend.Info{}, false
}
