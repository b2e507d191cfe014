package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"epochal/experiments/bench"
	"epochal/model/backend"
)

// BenchTable writes a benchmark for people: what all cells have in common, a table of
// training and one of evaluation and start-up with a row for each cell, and then
// whether the backends agree, where one overtakes another, where the time of a step
// goes, how the peers compare, and the warnings.
//
// Numbers are medians; ± is half of the 95% interval as benchstat writes it, "~" is
// within noise, "-" was not measured. A cell or a backend that failed is a row with
// its reason.
//
// width is the width of the terminal in characters. Texts are wrapped to it, and
// columns that can be spared are left out; 0 writes everything in full lines.
func BenchTable(w io.Writer, r bench.Results, width int) error {
	t := benchText{width: width}
	v := varying(r.Cells)
	t.configuration(r, v)
	t.training(r, v)
	t.startUp(r, v)
	t.agreement(r)
	t.crossovers(r)
	t.stepTimes(r, v)
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

// runnersOf are all backends with their precisions, in the order of the cells.
func runnersOf(r bench.Results) []bench.Runner {
	var all []bench.Runner
	for _, c := range r.Cells {
		if !slices.Contains(all, c.Cell.Runner()) {
			all = append(all, c.Cell.Runner())
		}
	}
	return all
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

// configuration says what was measured, on what and how.
func (t *benchText) configuration(r bench.Results, v cellColumns) {
	item := func(name string, parts ...string) {
		parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
		if len(parts) > 0 {
			t.paragraph(0, name+": "+strings.Join(parts, ", "))
		}
	}
	e := r.Environment
	item("machine", processorOf(r), counted(e.Cores, "core"), e.OperatingSystem+"/"+e.Architecture)
	item("versions", "epochal "+e.Version, e.Go, "GoMLX "+e.GoMLX, "go-xla "+e.GoXLA)
	for _, runner := range runnersOf(r) {
		info, _ := infoOf(r, runner)
		parts := []string{info.Device, info.Version}
		if info.PluginSHA256 != "" {
			parts = append(parts, "plugin "+info.PluginSHA256[:12])
		}
		if info.Threads > 0 {
			parts = append(parts, counted(info.Threads, "thread"))
		}
		if info.XLAFlags != "" {
			parts = append(parts, "XLA_FLAGS "+info.XLAFlags)
		}
		item(runner.String(), parts...)
	}
	if len(r.Cells) > 0 {
		item("all cells", v.common(r.Cells[0].Cell))
		item("rounds", fmt.Sprintf("%d, one process per cell and round, cells taking turns; %s in all", r.WantedRounds, timeText(r.Seconds)))
	}
	item("command", r.Command)
}

// training is the table of the throughput.
func (t *benchText) training(r bench.Results, v cellColumns) {
	t.heading("training")
	columns := append(v.columns(),
		column{name: "images/s"},
		column{name: "step", about: "time of one SGD step"},
		column{name: "GFLOP/s", spare: 2},
		column{name: "limit", about: "matrix-product time as a share of step time"},
		column{name: "peak", about: "GFLOP/s as a share of those of one large matrix product", spare: 1},
		column{name: "vs base", about: "images/s relative to xla:cpu with the same layers and batch size, " +
			"a whole epoch per call and data resident; ~: within noise"})
	var lines []line
	for _, c := range r.Cells {
		texts := v.texts(c.Cell)
		if len(c.Rounds) == 0 {
			lines = append(lines, line{texts, failedText(c.Failure)})
			continue
		}
		images := t.summary(bench.Summarize(c.Throughput()), countText)
		if c.Failure != "" {
			images += t.note(fmt.Sprintf("%d of %s succeeded; then: %s", len(c.Rounds), counted(r.WantedRounds, "round"), c.Failure))
		}
		if slices.ContainsFunc(c.Rounds, c.Cell.Extrapolated) {
			images += t.note("extrapolated from part of an epoch")
		}
		u := bench.Utilize(c)
		lines = append(lines, line{texts: append(texts, images, medianOf(c, func(m bench.Measurement) float64 { return m.Step }, timeText),
			gigaText(u.FLOPS.Median), shareText(u.OfLimit.Median), shareText(u.OfPeak.Median), t.versus(r, c))})
	}
	if len(lines) > 0 {
		t.table(columns, lines, "Medians ± 95% confidence intervals.")
	} else {
		t.paragraph(0, "No cell was measured.")
	}
	for _, u := range r.Unavailable {
		t.paragraph(0, u.Backend+": not available: "+u.Reason)
	}
}

// failedText is why there are no numbers.
func failedText(failure string) string {
	if failure == "" {
		return "not measured"
	}
	return "failed: " + failure
}

// medianOf writes the median of a number of a cell's rounds.
func medianOf(c bench.CellResult, of func(bench.Measurement) float64, write func(float64) string) string {
	return write(bench.Summarize(c.Values(of)).Median)
}

// versus compares a cell's throughput with that of its reference.
func (t *benchText) versus(r bench.Results, c bench.CellResult) string {
	base := bench.Reference(r, c.Cell)
	switch {
	case base == nil:
		return missing
	case base.Cell.Equal(c.Cell):
		return "base"
	}
	ours, theirs := c.Throughput(), base.Throughput()
	if bench.Differ(ours, theirs) {
		return ratioText(bench.Summarize(ours).Median / bench.Summarize(theirs).Median)
	}
	if max(len(ours), len(theirs)) < fewestToDiffer {
		return "~" + t.note(differNote())
	}
	return "~"
}

// startUp is the table of everything but training.
func (t *benchText) startUp(r bench.Results, v cellColumns) {
	columns := append(v.columns(),
		column{name: "evaluated/s", about: "images evaluated per second"},
		column{name: "open", about: "loading the plugin and opening the device"},
		column{name: "upload", about: "copying both sets to the device", spare: 2},
		column{name: "compile"},
		column{name: "first", about: "the first call of the training program", spare: 1},
		column{name: "memory", about: "peak of the process"})
	var lines []line
	for _, c := range r.Cells {
		if len(c.Rounds) == 0 {
			continue
		}
		median := func(of func(bench.Measurement) float64) string { return medianOf(c, of, timeText) }
		lines = append(lines, line{texts: append(v.texts(c.Cell),
			t.summary(bench.Summarize(c.Values(evaluateThroughput)), countText),
			median(func(m bench.Measurement) float64 { return m.Open }),
			median(func(m bench.Measurement) float64 { return m.Upload }),
			median(func(m bench.Measurement) float64 { return m.Compile }),
			median(func(m bench.Measurement) float64 { return m.FirstCall }),
			medianOf(c, func(m bench.Measurement) float64 { return float64(m.ProcessMemory) }, bytesText))})
	}
	if len(lines) == 0 {
		return
	}
	t.heading("evaluation, start-up and memory")
	t.table(columns, lines)
}

// agreement says whether all backends compute the same.
func (t *benchText) agreement(r bench.Results) {
	all := bench.Agreements(r)
	if !slices.ContainsFunc(r.Cells, func(c bench.CellResult) bool { return c.Trajectory != nil }) {
		return
	}
	t.heading("agreement")
	if len(all) == 0 {
		t.paragraph(2, "Nothing to compare: no two cells train the same network with the same batch size.")
		return
	}
	type pair struct{ cell, reference bench.Runner }
	var pairs []pair
	agreeing := map[pair][]bench.Agreement{}
	for _, a := range all {
		if !a.Within {
			t.paragraph(2, fmt.Sprintf("%s DISAGREES with %s: %s.", cellText(a.Cell), cellText(a.Reference), differenceText(a)))
			continue
		}
		p := pair{a.Cell.Runner(), a.Reference.Runner()}
		if agreeing[p] == nil {
			pairs = append(pairs, p)
		}
		agreeing[p] = append(agreeing[p], a)
	}
	for _, p := range pairs {
		widest := agreeing[p][0]
		for _, a := range agreeing[p] {
			widest.Steps = min(widest.Steps, a.Steps)
			widest.LossDifference = max(widest.LossDifference, a.LossDifference)
			if abs(a.CorrectDifference) > abs(widest.CorrectDifference) || widest.Images == 0 {
				widest.CorrectDifference, widest.Images, widest.CorrectTolerance = a.CorrectDifference, a.Images, a.CorrectTolerance
			}
		}
		with := p.reference.String()
		if p.cell == p.reference {
			with = "itself when dispatched differently"
		}
		t.paragraph(2, fmt.Sprintf("%s agrees with %s in %s: %s.", p.cell, with, counted(len(agreeing[p]), "cell"), differenceText(widest)))
	}
}

func abs(x int) int { return max(x, -x) }

// differenceText says by how much two trainings differ.
func differenceText(a bench.Agreement) string {
	difference := "are equal"
	if a.LossDifference > 0 {
		difference = "differ by at most " + strconv.FormatFloat(a.LossDifference, 'e', 1, 64)
	}
	text := fmt.Sprintf("losses of the first %s %s (tolerance %g)", counted(a.Steps, "step"), difference, a.LossTolerance)
	if a.Images == 0 {
		return text + "; accuracies not compared"
	}
	correct := "equally many"
	switch {
	case a.CorrectDifference > 0:
		correct = thousands(a.CorrectDifference) + " more"
	case a.CorrectDifference < 0:
		correct = thousands(-a.CorrectDifference) + " fewer"
	}
	return text + fmt.Sprintf("; afterwards %s of %s test images are classified correctly (tolerance %d)",
		correct, thousands(a.Images), a.CorrectTolerance)
}

// crossovers say where one backend overtakes another.
func (t *benchText) crossovers(r bench.Results) {
	if len(runnersOf(r)) < 2 {
		return
	}
	t.heading("crossover")
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
	where := "layers " + layersText(c.LayerSizes)
	if c.Along == bench.AlongWidth {
		where = fmt.Sprintf("%s, batch %d", counted(c.Depth, "hidden layer"), c.BatchSize)
	}
	text := fmt.Sprintf("%s and %s by %s (%s, %s): ", c.A, c.B, c.Along, where, dispatchText(c.StepsPerCall, c.Feed))
	if len(c.Crossings) > 0 {
		var changes []string
		for _, crossing := range c.Crossings {
			changes = append(changes, fmt.Sprintf("%s overtakes at a %s of about %s (between %d and %d)",
				crossing.Faster, c.Along, aboutText(crossing.At), crossing.Low, crossing.High))
		}
		return text + joined(changes) + "."
	}
	var sure, noise []string
	var faster bench.Runner
	enough := false
	for _, p := range c.Points {
		enough = enough || max(p.A.N, p.B.N) >= fewestToDiffer
		if !p.Sure {
			noise = append(noise, strconv.Itoa(p.At))
			continue
		}
		sure, faster = append(sure, strconv.Itoa(p.At)), c.B
		if p.AFaster() {
			faster = c.A
		}
	}
	switch {
	case !enough:
		return text + differNote() + "."
	case len(sure) == 0:
		return text + "no crossover within the grid; within noise at " + joined(noise) + "."
	case len(noise) == 0:
		return text + fmt.Sprintf("no crossover within the grid; %s is faster everywhere, from %s.", faster, leadText(c))
	}
	return text + fmt.Sprintf("no crossover within the grid; %s is faster at %s, and they are within noise at %s.",
		faster, joined(sure), joined(noise))
}

// leadText is by how much the faster backend is: "1.4x at 32 to 6.1x at 1024".
func leadText(c bench.Crossover) string {
	lead := func(p bench.CrossoverPoint) string {
		x := p.A.Median / p.B.Median
		return fmt.Sprintf("%s at %d", ratioText(max(x, 1/x)), p.At)
	}
	return lead(c.Points[0]) + " to " + lead(c.Points[len(c.Points)-1])
}

// stepTimes say where the time goes.
func (t *benchText) stepTimes(r bench.Results, v cellColumns) {
	all := bench.AllStepTimes(r)
	if len(all) == 0 {
		return
	}
	t.heading("where the time of a step goes when every step is a call of its own")
	columns := append(v.work("backend"),
		column{name: "feed", left: true, spare: 1},
		column{name: "step"},
		column{name: "products", about: "the step's matrix products alone"},
		column{name: "rest", about: "all else that the device does in a step"},
		column{name: "dispatch", about: "what one call per step adds to one call per epoch"},
		column{name: "copying", about: "what copying every batch from the host adds"})
	var lines []line
	for _, s := range all {
		lines = append(lines, line{texts: append(v.workTexts(s.Runner.String(), s.LayerSizes, s.BatchSize), s.Feed, timeText(s.Step.Median),
			partText(s.Products), partText(s.Rest), partText(s.Dispatch), partText(s.Copy))})
	}
	t.table(columns, lines)
	t.paragraph(0, "~: within noise; none: steps with it were not slower.")
	for _, runner := range runnersOf(r) {
		if text := overheadText(all, runner); text != "" {
			t.paragraph(0, text)
		}
	}
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

// overheadText says how much of a step is dispatch and copying on a backend, where
// that is least and most.
func overheadText(all []bench.StepTimes, runner bench.Runner) string {
	overhead := func(s bench.StepTimes) float64 { return s.Dispatch.Share + s.Copy.Share }
	of := slices.DeleteFunc(slices.Clone(all), func(s bench.StepTimes) bool {
		return s.Runner != runner || s.Dispatch.State == bench.NotMeasured
	})
	slices.SortStableFunc(of, func(a, b bench.StepTimes) int { return cmp.Compare(overhead(a), overhead(b)) })
	if len(of) == 0 || overhead(of[len(of)-1]) == 0 {
		return ""
	}
	at := func(s bench.StepTimes) string {
		share := "nothing beyond noise"
		if overhead(s) > 0 {
			share = shareText(overhead(s))
		}
		return fmt.Sprintf("%s at %s x %d", share, layersText(s.LayerSizes), s.BatchSize)
	}
	text := fmt.Sprintf("Dispatch and copying as a share of step time on %s: ", runner)
	if len(of) == 1 {
		return text + at(of[0]) + "."
	}
	return text + "from " + at(of[0]) + " to " + at(of[len(of)-1]) + "."
}

// peers compare epochal with the same work in Python.
func (t *benchText) peers(r bench.Results) {
	if len(r.Peers) == 0 {
		return
	}
	t.heading("peers: time and memory relative to epochal's, pair by pair (2.00x: twice)")
	work := make([]bench.CellResult, len(r.Peers))
	for i, p := range r.Peers {
		work[i].Cell = bench.Cell{LayerSizes: p.LayerSizes, BatchSize: p.BatchSize}
	}
	v := varying(work)
	columns := append(v.work("peer"),
		column{name: "pairs"},
		column{name: "train", about: "one training epoch"},
		column{name: "train+eval", about: "an epoch and its evaluation"},
		column{name: "process", about: "a whole process of one epoch, from start to exit"},
		column{name: "memory", about: "peak of the process", spare: 1},
		column{name: "ours/its", about: "epochal's training epoch relative to the peer's", spare: 2})
	var lines []line
	for _, p := range r.Peers {
		texts := v.workTexts(p.Peer, p.LayerSizes, p.BatchSize)
		if len(p.Rounds) == 0 {
			lines = append(lines, line{texts, failedText(p.Failure)})
			continue
		}
		pairs := strconv.Itoa(len(p.Rounds))
		if p.Failure != "" {
			pairs += t.note(p.Failure)
		}
		ratios := p.Ratios()
		lines = append(lines, line{texts: append(texts, pairs, t.summary(ratios.Train, ratioText), t.summary(ratios.TrainEvaluate, ratioText),
			t.summary(ratios.Process, ratioText), t.summary(ratios.Memory, ratioText), t.summary(ratios.OursTrain, ratioText))})
	}
	t.table(columns, lines)
	var seen []string
	for _, p := range r.Peers {
		text := p.Peer + ": " + p.Versions
		if p.Versions != "" && !slices.Contains(seen, text) {
			seen = append(seen, text)
			t.paragraph(0, text)
		}
	}
}
