package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"epochal/experiments/bench"
	"epochal/experiments/report/words"
)

// fewestToDiffer is how many rounds on both sides can show a difference at all.
const fewestToDiffer = 4

// BenchTable writes a benchmark for people: what all cells have in common, a table of
// training and one of evaluation and start-up with a row for each cell, and then
// whether the backends agree, where one overtakes another, where the time of a step
// goes, how the peers compare, and the warnings.
//
// Numbers are medians; ± is half of the 95% interval as benchstat writes it, "~" is
// within noise, "-" was not measured. A cell or a backend that failed is a row with
// its reason.
//
// Texts are wrapped to the layout's width, and columns that can be spared are left out.
func BenchTable(w io.Writer, r bench.Results, layout BenchLayout) error {
	t := benchText{width: layout.Width, plain: layout.Plain}
	labels := labelsOf(cellsOf(r))
	t.configuration(r)
	t.training(r, labels)
	t.startUp(r, labels)
	t.agreement(r)
	t.crossovers(r)
	t.stepTimes(r, labels)
	t.peers(r)
	if len(r.Warnings) > 0 {
		t.heading("warnings")
		for _, warning := range r.Warnings {
			t.paragraph(2, warning)
		}
	}
	_, err := io.WriteString(w, t.String())
	return err
}

func cellsOf(r bench.Results) []bench.Cell {
	all := make([]bench.Cell, len(r.Cells))
	for i, c := range r.Cells {
		all[i] = c.Cell
	}
	return all
}

// backendsOf are all backends with their precisions, in the order of the cells: the
// first cell of each that ran, or any if none did.
func backendsOf(r bench.Results) []bench.CellResult {
	var all []bench.CellResult
	for _, c := range r.Cells {
		i := slices.IndexFunc(all, func(found bench.CellResult) bool { return found.Cell.Runner() == c.Cell.Runner() })
		if i < 0 {
			all = append(all, c)
		} else if all[i].Info.Name == "" {
			all[i] = c
		}
	}
	return all
}

// label is something in which cells may differ: then it is a column of every table.
// Otherwise it is said once, of all cells.
type label struct {
	column
	common string // what it is called there
	text   func(bench.Cell) string
}

var allLabels = []label{
	{column{name: "layers", left: true}, "layers", func(c bench.Cell) string { return layersText(c.ConvChannels, c.LayerSizes) }},
	{column{name: "batch"}, "batch", func(c bench.Cell) string { return strconv.Itoa(c.BatchSize) }},
	{
		column{name: "steps", about: "SGD steps per device call; host: every batch is copied from the host", left: true, spare: 1},
		"steps per call", stepsText,
	},
}

// stepsText is "epoch", "1", or "1 host".
func stepsText(c bench.Cell) string {
	if c.Feed == bench.FeedHost {
		return c.StepsPerCall.String() + " host"
	}
	return c.StepsPerCall.String()
}

// same reports whether all cells are alike in a label.
func (l label) same(cells []bench.Cell) bool {
	return !slices.ContainsFunc(cells, func(c bench.Cell) bool { return l.text(c) != l.text(cells[0]) })
}

// labelsOf are the labels in which cells differ.
func labelsOf(cells []bench.Cell) []label {
	return slices.DeleteFunc(slices.Clone(allLabels), func(l label) bool { return l.same(cells) })
}

// columns are those of labels, after a first one.
func columns(first string, labels []label) []column {
	all := []column{{name: first, left: true}}
	for _, l := range labels {
		all = append(all, l.column)
	}
	return all
}

// texts are those of a cell in columns.
func texts(first string, labels []label, c bench.Cell) []string {
	all := []string{words.Printable(first)}
	for _, l := range labels {
		all = append(all, l.text(c))
	}
	return all
}

// configuration says what was measured, on what and how.
func (t *benchText) configuration(r bench.Results) {
	item := func(name string, parts ...string) {
		parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
		if len(parts) > 0 {
			t.paragraph(0, name+": "+strings.Join(parts, ", "))
		}
	}
	e := r.Environment
	item("machine", processorOf(r), words.Counted(e.Cores, "core"), e.OperatingSystem+"/"+e.Architecture)
	item("versions", "epochal "+e.Version, e.Go, "GoMLX "+e.GoMLX, "go-xla "+e.GoXLA)
	for _, b := range backendsOf(r) {
		info := b.Info
		parts := []string{info.Device, info.Version}
		if info.PluginSHA256 != "" {
			parts = append(parts, "plugin "+info.PluginSHA256[:12])
		}
		if info.XLAFlags != "" {
			parts = append(parts, "XLA_FLAGS "+info.XLAFlags)
		}
		item(b.Cell.Runner().String(), parts...)
	}
	if len(r.Cells) > 0 {
		var common []string
		for _, l := range allLabels {
			if cells := cellsOf(r); l.same(cells) {
				common = append(common, l.common+" "+l.text(cells[0]))
			}
		}
		item("all cells", common...)
		rounds := fmt.Sprintf("%d, one process per cell and round, cells taking turns", r.WantedRounds)
		if r.WantedRounds < fewestToDiffer {
			rounds += fmt.Sprintf("; telling a difference from noise needs %d", fewestToDiffer)
		}
		item("rounds", rounds)
		item("duration", time.Duration(r.Seconds*float64(time.Second)).Round(time.Second).String())
	}
	item("command", r.Command)
}

// training is the table of the throughput.
func (t *benchText) training(r bench.Results, labels []label) {
	t.heading("training")
	columns := append(columns("backend", labels),
		column{name: "images/s"},
		column{name: "step", about: "time of one SGD step"},
		column{name: "FLOP/s", spare: 3},
		column{name: "limit", about: "matrix-product time as a share of step time"},
		column{name: "peak", about: "FLOP/s as a share of those of one large matrix product", spare: 2},
		column{name: "vs base", about: "images/s relative to xla:cpu with the same layers and batch size, " +
			"a whole epoch per call and data resident; ~: within noise"})
	var lines []line
	var notes, extrapolated []string
	for _, c := range r.Cells {
		texts := texts(c.Cell.Runner().String(), labels, c.Cell)
		if len(c.Rounds) == 0 {
			lines = append(lines, line{texts, failedText(c.Failure)})
			continue
		}
		if c.Failure != "" {
			notes = append(notes, fmt.Sprintf("%s: %d of %s succeeded; then: %s",
				c.Cell, len(c.Rounds), words.Counted(r.WantedRounds, "round"), c.Failure))
		}
		if slices.ContainsFunc(c.Rounds, c.Cell.Extrapolated) {
			extrapolated = append(extrapolated, c.Cell.String())
		}
		u := bench.Utilize(c)
		lines = append(lines, line{texts: append(texts, summaryText(bench.Summarize(c.Throughput()), scaled),
			medianTime(c, func(m bench.Measurement) float64 { return m.Step }),
			scaled(u.FLOPS.Median), shareText(u.OfLimit.Median), shareText(u.OfPeak.Median), versus(r, c))})
	}
	if len(lines) > 0 {
		t.table(columns, lines, fmt.Sprintf("Medians ± 95%% confidence intervals, which need %d rounds.", bench.FewestRounds))
	} else {
		t.paragraph(0, "No cell was measured.")
	}
	if len(extrapolated) > 0 {
		notes = append(notes, "Images/s extrapolated from part of an epoch: "+strings.Join(extrapolated, "; ")+".")
	}
	for _, u := range r.Unavailable {
		notes = append(notes, u.Backend+": not available: "+u.Reason)
	}
	for _, note := range notes {
		t.paragraph(0, note)
	}
}

// failedText is why there are no numbers.
func failedText(failure string) string {
	if failure == "" {
		return "not measured"
	}
	return "failed: " + failure
}

// medianTime is the median of a time of a cell's rounds.
func medianTime(c bench.CellResult, of func(bench.Measurement) float64) string {
	return timeText(bench.Summarize(c.Values(of)).Median)
}

// versus compares a cell's throughput with that of its reference.
func versus(r bench.Results, c bench.CellResult) string {
	base := bench.Reference(r, c.Cell)
	switch {
	case base == nil:
		return missing
	case base.Cell.Equal(c.Cell):
		return "base"
	case !bench.Differ(c.Throughput(), base.Throughput()):
		return "~"
	}
	return ratioText(bench.Summarize(c.Throughput()).Median / bench.Summarize(base.Throughput()).Median)
}

// startUp is the table of everything but training.
func (t *benchText) startUp(r bench.Results, labels []label) {
	columns := append(columns("backend", labels),
		column{name: "threads", about: "of XLA on the CPU", spare: 1},
		column{name: "evaluated/s", about: "images evaluated per second"},
		column{name: "open", about: "loading the plugin and opening the device"},
		column{name: "upload", about: "copying both sets to the device", spare: 3},
		column{name: "compile"},
		column{name: "first", about: "the first call of the training program", spare: 2},
		column{name: "memory", about: "peak of the process"})
	var lines []line
	for _, c := range r.Cells {
		if len(c.Rounds) == 0 {
			continue
		}
		memory := bench.Summarize(c.Values(func(m bench.Measurement) float64 { return float64(m.ProcessMemory) }))
		threads := missing
		if c.Info.Threads > 0 {
			threads = strconv.Itoa(c.Info.Threads)
		}
		lines = append(lines, line{texts: append(texts(c.Cell.Runner().String(), labels, c.Cell), threads,
			summaryText(bench.Summarize(c.Values(evaluateThroughput)), scaled),
			medianTime(c, func(m bench.Measurement) float64 { return m.Open }),
			medianTime(c, func(m bench.Measurement) float64 { return m.Upload }),
			medianTime(c, func(m bench.Measurement) float64 { return m.Compile }),
			medianTime(c, func(m bench.Measurement) float64 { return m.FirstCall }),
			mebibytes(memory.Median))})
	}
	if len(lines) == 0 {
		return
	}
	t.heading("evaluation, start-up and memory")
	t.table(columns, lines)
}

// agreement says whether all backends compute the same: a sentence for each cell that
// does not, and one for each pair of backends that do, with their widest differences.
func (t *benchText) agreement(r bench.Results) {
	if !slices.ContainsFunc(r.Cells, func(c bench.CellResult) bool { return c.Trajectory != nil }) {
		return
	}
	t.heading("agreement")
	all := bench.Agreements(r)
	if len(all) == 0 {
		t.paragraph(2, "Nothing to compare: no two cells train the same network with the same batch size.")
	}
	var pairs []bench.Agreement
	var cells []int // of each pair
	for _, a := range all {
		if !a.Within {
			t.paragraph(2, fmt.Sprintf("%s DISAGREES with %s: %s.", a.Cell, a.Reference, differenceText(a)))
			continue
		}
		i := slices.IndexFunc(pairs, func(p bench.Agreement) bool {
			return p.Cell.Runner() == a.Cell.Runner() && p.Reference.Runner() == a.Reference.Runner()
		})
		if i < 0 {
			pairs, cells = append(pairs, a), append(cells, 1)
			continue
		}
		widest := &pairs[i]
		cells[i]++
		widest.Steps = min(widest.Steps, a.Steps)
		widest.LossDifference = max(widest.LossDifference, a.LossDifference)
		if abs(a.CorrectDifference) > abs(widest.CorrectDifference) || widest.Images == 0 {
			widest.CorrectDifference, widest.Images, widest.CorrectTolerance = a.CorrectDifference, a.Images, a.CorrectTolerance
		}
	}
	for i, p := range pairs {
		with := p.Reference.Runner().String()
		if p.Cell.Runner() == p.Reference.Runner() {
			with = "itself when dispatched differently"
		}
		t.paragraph(2, fmt.Sprintf("%s agrees with %s in %s: %s.", p.Cell.Runner(), with, words.Counted(cells[i], "cell"), differenceText(p)))
	}
}

func abs(x int) int { return max(x, -x) }

// differenceText says by how much two trainings differ.
func differenceText(a bench.Agreement) string {
	text := fmt.Sprintf("the losses of the first %s differ by at most %.2g (tolerance %g)",
		words.Counted(a.Steps, "step"), a.LossDifference, a.LossTolerance)
	if a.Images == 0 {
		return text + "; accuracies not compared"
	}
	return text + fmt.Sprintf(", the correct test images by at most %d of %s (tolerance %d)",
		abs(a.CorrectDifference), words.Thousands(a.Images), a.CorrectTolerance)
}

// crossovers say how fast backends are relative to each other, and where one
// overtakes another.
func (t *benchText) crossovers(r bench.Results) {
	if len(backendsOf(r)) < 2 {
		return
	}
	t.heading("crossover: images/s of one backend relative to another (~: within noise)")
	all := bench.Crossovers(r)
	if len(all) == 0 {
		t.paragraph(2, "Not determined: two backends must be measured at two or more widths (of networks whose layers share one width) "+
			"or batch sizes, everything else being equal.")
	}
	for _, c := range all {
		t.paragraph(2, crossoverText(c))
	}
}

// crossoverText is what a crossover says, in a sentence.
func crossoverText(c bench.Crossover) string {
	where := "layers " + layersText(c.Line.ConvChannels, c.Line.LayerSizes)
	if c.Along == bench.AlongWidth {
		where = fmt.Sprintf("%s, batch %d", depthText(c.Line), c.Line.BatchSize)
	}
	var points []string
	for _, p := range c.Points {
		ratio := "~"
		if p.Sure {
			ratio = ratioText(p.A.Median / p.B.Median)
		}
		points = append(points, fmt.Sprintf("%s at %d", ratio, p.At))
	}
	text := fmt.Sprintf("%s relative to %s by %s (%s, steps per call %s): %s",
		c.A, c.B, c.Along, where, stepsText(c.Line), strings.Join(points, ", "))
	for _, crossing := range c.Crossings {
		text += fmt.Sprintf("; %s overtakes at a %s of about %s (between %d and %d)",
			crossing.Faster, c.Along, aboutText(crossing.At), crossing.Low, crossing.High)
	}
	if len(c.Crossings) == 0 {
		text += "; no crossover"
	}
	return text + "."
}

// stepTimes say where the time goes.
func (t *benchText) stepTimes(r bench.Results, labels []label) {
	all := bench.AllStepTimes(r)
	if len(all) == 0 {
		return
	}
	t.heading("where the time of a step goes when every step is a call of its own")
	columns := append(columns("backend", labels),
		column{name: "step"},
		column{name: "products", about: "the step's matrix products alone"},
		column{name: "rest", about: "everything else that the device does in a step"},
		column{name: "dispatch", about: "what one call per step costs beyond one call per epoch"},
		column{name: "copying", about: "what copying every batch from the host adds"})
	var lines []line
	for _, s := range all {
		lines = append(lines, line{texts: append(texts(s.Cell.Runner().String(), labels, s.Cell), timeText(s.Step.Median),
			partText(s.Products), partText(s.Rest), partText(s.Dispatch), partText(s.Copy))})
	}
	t.table(columns, lines, "~: within noise; none: steps with it were not slower.")
}

func partText(p bench.Part) string {
	switch p.State {
	case bench.WithinNoise:
		return "~"
	case bench.Reversed:
		return "none"
	case bench.Found:
		return timeText(p.Seconds) + " " + shareText(p.Share)
	}
	return missing
}

// peers compare epochal with the same work in Python.
func (t *benchText) peers(r bench.Results) {
	if len(r.Peers) == 0 {
		return
	}
	t.heading("peers: time and memory relative to epochal's, pair by pair (2.00x: twice)")
	var work []bench.Cell
	for _, p := range r.Peers {
		work = append(work, bench.Cell{LayerSizes: p.LayerSizes, ConvChannels: p.ConvChannels, BatchSize: p.BatchSize})
	}
	labels := labelsOf(work)
	columns := append(columns("peer", labels),
		column{name: "pairs"},
		column{name: "train", about: "one training epoch"},
		column{name: "train+eval", about: "an epoch and its evaluation"},
		column{name: "process", about: "a whole process of one epoch, from start to exit"},
		column{name: "memory", about: "peak of the process", spare: 1},
		column{name: "ours/its", about: "epochal's training epoch relative to the peer's", spare: 2})
	var lines []line
	var notes []string
	for i, p := range r.Peers {
		texts := texts(p.Peer, labels, work[i])
		if len(p.Rounds) == 0 {
			lines = append(lines, line{texts, failedText(p.Failure)})
			continue
		}
		if p.Failure != "" {
			notes = append(notes, p.Peer+": "+p.Failure)
		}
		if versions := p.Peer + ": " + p.Versions; p.Versions != "" && !slices.Contains(notes, versions) {
			notes = append(notes, versions)
		}
		ratios := p.Ratios()
		texts = append(texts, strconv.Itoa(len(p.Rounds)))
		for _, ratio := range []bench.Summary{ratios.Train, ratios.TrainEvaluate, ratios.Process, ratios.Memory, ratios.OursTrain} {
			texts = append(texts, summaryText(ratio, ratioText))
		}
		lines = append(lines, line{texts: texts})
	}
	t.table(columns, lines)
	for _, note := range notes {
		t.paragraph(0, note)
	}
}
