package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"epochal/experiments/bench"
)

// BenchTable writes a benchmark for a terminal of 100 columns: what all cells have
// alike, a table of training and one of evaluation and start-up, a row a cell, and
// then in words whether the backends agree, from where the faster one changes, where
// the time of a step goes, what peers take, and the warnings.
//
// Numbers are medians, those after ± half of the 95% interval as benchstat writes
// it; "~" is within noise, "-" was not measured. A cell or a backend that failed is
// a row with its reason.
func BenchTable(w io.Writer, r bench.Results) error {
	var t benchText
	v := varying(cellsOf(r))
	t.configuration(r, v)
	t.training(r, v)
	t.startUp(r, v)
	t.agreement(r)
	t.crossovers(r)
	t.stepTimes(r)
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
	cells := make([]bench.Cell, len(r.Cells))
	for i, c := range r.Cells {
		cells[i] = c.Cell
	}
	return cells
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

// configuration says what was measured, on what and how.
func (t *benchText) configuration(r bench.Results, v cellColumns) {
	e := r.Environment
	item := func(name string, parts ...string) {
		parts = slices.DeleteFunc(parts, func(part string) bool { return strings.TrimSpace(part) == "" })
		if len(parts) > 0 {
			t.paragraph(0, name+": "+strings.Join(parts, ", "))
		}
	}
	cores := ""
	if e.Cores > 0 {
		cores = counted(e.Cores, "core")
	}
	system := ""
	if e.OperatingSystem != "" {
		system = e.OperatingSystem + "/" + e.Architecture
	}
	item("machine", processorOf(r), cores, system)
	versions := []string{}
	for _, v := range [][2]string{{"epochal ", e.Version}, {"", e.Go}, {"GoMLX ", e.GoMLX}, {"go-xla ", e.GoXLA}} {
		if v[1] != "" {
			versions = append(versions, v[0]+v[1])
		}
	}
	item("versions", versions...)
	for _, runner := range runnersOf(r) {
		item(runner.String(), infoTexts(r, runner)...)
	}
	if len(r.Cells) > 0 {
		item("all cells", v.common(r.Cells[0].Cell))
		if r.WantedRounds > 0 {
			taken := ""
			if r.Seconds > 0 {
				taken = timeText(r.Seconds) + " in all"
			}
			item("rounds", fmt.Sprintf("%d, a process for each cell and round, cells taking turns", r.WantedRounds), taken)
		}
	}
	item("command", r.Command)
}

// infoTexts say what a backend is.
func infoTexts(r bench.Results, runner bench.Runner) []string {
	info, _ := infoOf(r, runner)
	all := []string{info.Device, info.Version}
	if info.PluginSHA256 != "" {
		all = append(all, "plugin "+info.PluginSHA256[:min(12, len(info.PluginSHA256))])
	}
	if info.Threads > 0 {
		all = append(all, counted(info.Threads, "thread"))
	}
	if info.XLAFlags != "" {
		all = append(all, "XLA_FLAGS "+info.XLAFlags)
	}
	return all
}

// training is the table of the throughput.
func (t *benchText) training(r bench.Results, v cellColumns) {
	t.heading("training")
	if len(r.Cells) == 0 {
		t.paragraph(0, "No cell was measured.")
	}
	columns := append(v.columns(), column{"images/s", false}, column{"step", false}, column{"GFLOP/s", false},
		column{"limit", false}, column{"peak", false}, column{"vs base", false})
	var lines []line
	shared, based := false, false
	for _, c := range r.Cells {
		texts := v.texts(c.Cell)
		if len(c.Rounds) == 0 {
			lines = append(lines, line{texts, failedText(c)})
			continue
		}
		u := bench.Utilize(r, c)
		images := t.summary(bench.Summarize(c.Throughput()), countText)
		if c.Failure != "" {
			images += t.note(fmt.Sprintf("%d of %s ended well: %s", len(c.Rounds), counted(max(r.WantedRounds, len(c.Rounds)), "round"), c.Failure))
		}
		if m := c.Rounds[0]; m.EpochSteps > 0 && m.EpochSteps < stepsOfEpoch(c.Cell.BatchSize) {
			images += t.note(fmt.Sprintf("scaled up to an epoch from %s", counted(m.EpochSteps, "step")))
		}
		shared = shared || u.OfLimit.N+u.OfPeak.N > 0
		versus := t.versus(r, c)
		based = based || versus != missing
		lines = append(lines, line{texts: append(texts,
			images, medianOf(c, func(m bench.Measurement) float64 { return m.Step }, timeText),
			gigaText(u.FLOPS), summaryShare(u.OfLimit), summaryShare(u.OfPeak), versus)})
	}
	if len(lines) > 0 {
		t.table(columns, lines)
	}
	for _, u := range r.Unavailable {
		t.paragraph(0, u.Backend+": not available: "+u.Reason)
	}
	t.footnotes()
	if len(lines) == 0 {
		return
	}
	legend := "medians ± the 95% interval. step: one step of SGD"
	if v.steps {
		legend += ", of as many a call as steps says"
	}
	if v.dispatch() {
		legend += ", and host: each batch copied from the host"
	}
	legend += "."
	if shared {
		legend += " limit: the time of the step’s matrix products alone, of the step’s. peak: the operations per second, of those of one large matrix product."
	}
	if based {
		legend += " vs base: images/s over those of xla:cpu at the same layers and batch, an epoch a call, resident; ~ is within noise."
	}
	t.paragraph(0, legend)
}

// failedText is why a cell has no numbers.
func failedText(c bench.CellResult) string {
	if c.Failure == "" {
		return "not measured"
	}
	return "failed: " + c.Failure
}

// stepsOfEpoch is how many steps an epoch has.
func stepsOfEpoch(batchSize int) int { return ceilDiv(bench.TrainImages, max(1, batchSize)) }

func gigaText(s bench.Summary) string {
	if !measurable(s.Median) {
		return missing
	}
	return digits(s.Median / 1e9)
}

func summaryShare(s bench.Summary) string { return shareText(s.Median) }

// versus compares a cell's throughput with that of its reference.
func (t *benchText) versus(r bench.Results, c bench.CellResult) string {
	base := bench.Reference(r, c.Cell)
	ours := c.Throughput()
	switch {
	case base == nil || len(ours) == 0:
		return missing
	case base.Cell.Equal(c.Cell):
		return "base"
	}
	theirs := base.Throughput()
	if differ, _ := bench.Differ(ours, theirs); !differ {
		if max(len(ours), len(theirs)) < fewestToDiffer {
			return "~" + t.note(differNote())
		}
		return "~"
	}
	return ratioText(bench.Summarize(ours).Median / bench.Summarize(theirs).Median)
}

// startUp is the table of everything but training.
func (t *benchText) startUp(r bench.Results, v cellColumns) {
	columns := append(v.columns(), column{"evaluated/s", false}, column{"open", false}, column{"upload", false},
		column{"compile", false}, column{"1st call", false}, column{"memory", false}, column{"device", false})
	var lines []line
	for _, c := range r.Cells {
		if len(c.Rounds) == 0 {
			continue
		}
		median := func(of func(bench.Measurement) float64, write func(float64) string) string {
			return medianOf(c, of, write)
		}
		lines = append(lines, line{texts: append(v.texts(c.Cell),
			t.summary(bench.Summarize(c.Measured(evaluateThroughput)), countText),
			median(func(m bench.Measurement) float64 { return m.Open }, timeText),
			median(func(m bench.Measurement) float64 { return m.Upload }, timeText),
			median(func(m bench.Measurement) float64 { return m.Compile }, timeText),
			median(func(m bench.Measurement) float64 { return m.FirstCall }, timeText),
			median(func(m bench.Measurement) float64 { return float64(m.ProcessMemory) }, bytesText),
			median(func(m bench.Measurement) float64 { return float64(m.DeviceMemory) }, bytesText))})
	}
	if len(lines) == 0 {
		return
	}
	t.heading("evaluation, start-up and memory")
	t.table(columns, lines)
	t.footnotes()
}

// agreement says whether all backends compute the same.
func (t *benchText) agreement(r bench.Results) {
	all := bench.Agreements(r)
	trajectories := slices.ContainsFunc(r.Cells, func(c bench.CellResult) bool { return c.Trajectory != nil })
	if !trajectories {
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
	var others []bench.Agreement
	for _, a := range all {
		if !a.Within {
			others = append(others, a)
			continue
		}
		p := pair{a.Cell.Runner(), a.Reference.Runner()}
		if agreeing[p] == nil {
			pairs = append(pairs, p)
		}
		agreeing[p] = append(agreeing[p], a)
	}
	for _, a := range others {
		t.paragraph(2, fmt.Sprintf("%s DISAGREES with %s: %s.", cellText(a.Cell), cellText(a.Reference), differenceText(a)))
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
			with = "another way to dispatch"
		}
		verb := "agree"
		if len(agreeing[p]) == 1 {
			verb = "agrees"
		}
		t.paragraph(2, fmt.Sprintf("%s: %s %s with %s: %s.", p.cell, counted(len(agreeing[p]), "cell"), verb, with, differenceText(widest)))
	}
}

func abs(x int) int { return max(x, -x) }

// differenceText says by how much two trainings differ.
func differenceText(a bench.Agreement) string {
	var all []string
	if a.Steps > 0 {
		difference := "differ by a loss that is no number"
		switch {
		case a.LossDifference == 0:
			difference = "are equal"
		case !math.IsNaN(a.LossDifference):
			difference = "differ by " + strconv.FormatFloat(a.LossDifference, 'e', 1, 64) + " at most"
		}
		all = append(all, fmt.Sprintf("losses of the first %s %s (tolerance %g)", counted(a.Steps, "step"), difference, a.LossTolerance))
	}
	if a.Images > 0 {
		all = append(all, fmt.Sprintf("then right on %s of %s test images (tolerance %d)", moreText(a.CorrectDifference), thousands(a.Images), a.CorrectTolerance))
	} else {
		all = append(all, "accuracies not compared")
	}
	return strings.Join(all, ", ")
}

func moreText(difference int) string {
	switch {
	case difference > 0:
		return thousands(difference) + " more"
	case difference < 0:
		return thousands(-difference) + " fewer"
	}
	return "equally many"
}

// crossovers say from where which backend is the faster one.
func (t *benchText) crossovers(r bench.Results) {
	if len(runnersOf(r)) < 2 {
		return
	}
	t.heading("crossover")
	all := bench.Crossovers(r)
	if len(all) == 0 {
		t.paragraph(2, "Nothing to tell: it needs two widths, of networks whose layers have one each, or two batch sizes that two backends were measured at, all else alike.")
		return
	}
	for _, c := range all {
		t.paragraph(2, crossoverText(c))
	}
}

// crossoverText is what a crossover says, in a sentence or two.
func crossoverText(c bench.Crossover) string {
	where := ""
	if c.Along == bench.AlongWidth {
		where = fmt.Sprintf("%s, batch %d", counted(c.Depth, "hidden layer"), c.BatchSize)
	} else {
		where = "layers " + layersText(c.LayerSizes)
	}
	text := fmt.Sprintf("%s and %s over the %s (%s, %s): ", c.A, c.B, c.Along, where, dispatchText(c.StepsPerCall, c.Feed))

	if len(c.Crossings) > 0 {
		var changes []string
		for _, crossing := range c.Crossings {
			changes = append(changes, fmt.Sprintf("%s is the faster one from about %s on (between %d and %d)", crossing.Faster, aboutText(crossing.At), crossing.Low, crossing.High))
		}
		return text + joined(changes) + "."
	}
	var a, b, noise []string
	enough := false
	for _, p := range c.Points {
		enough = enough || max(p.A.N, p.B.N) >= fewestToDiffer
		at := strconv.Itoa(p.At)
		switch {
		case !p.Sure:
			noise = append(noise, at)
		case p.AFaster():
			a = append(a, at)
		default:
			b = append(b, at)
		}
	}
	faster, at := c.A, a
	if len(b) > 0 {
		faster, at = c.B, b
	}
	switch {
	case !enough:
		return text + differNote() + "."
	case len(at) == 0:
		return text + "not within the grid: within noise at " + joined(noise) + "."
	case len(noise) == 0:
		return text + fmt.Sprintf("not within the grid: %s is the faster one everywhere, by %s.", faster, leadText(c))
	}
	return text + fmt.Sprintf("not within the grid: %s is the faster one at %s, and at %s they are within noise.", faster, joined(at), joined(noise))
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
func (t *benchText) stepTimes(r bench.Results) {
	all := bench.AllStepTimes(r)
	if len(all) == 0 {
		return
	}
	t.heading("where the time goes when every step is a call")
	var lines []line
	columns := []column{{"backend", true}, {"layers", true}, {"batch", false}, {"feed", true}, {"step", false},
		{"products", false}, {"rest", false}, {"dispatch", false}, {"copying", false}}
	for _, s := range all {
		lines = append(lines, line{texts: []string{
			printable(s.Runner.String()), layersText(s.LayerSizes), strconv.Itoa(s.BatchSize), s.Feed, timeText(s.Step.Median),
			partText(s.Products), partText(s.Rest), partText(s.Dispatch), partText(s.Copy),
		}})
	}
	t.table(columns, lines)
	t.paragraph(0, "products: the step’s matrix products alone. rest: what else the device does in a step, an epoch a call. "+
		"dispatch: what a call for each step adds. copying: what feeding each batch from the host adds. ~ is within noise, none is less than none.")
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

// overheadText says how much of a step is dispatch and copying on a backend.
func overheadText(all []bench.StepTimes, runner bench.Runner) string {
	overhead := func(s bench.StepTimes) float64 { return s.Dispatch.Share + s.Copy.Share }
	var low, high *bench.StepTimes
	for i := range all {
		s := &all[i]
		if s.Runner != runner || s.Dispatch.State == bench.NotMeasured {
			continue
		}
		if low == nil || overhead(*s) < overhead(*low) {
			low = s
		}
		if high == nil || overhead(*s) > overhead(*high) {
			high = s
		}
	}
	if high == nil || overhead(*high) == 0 {
		return ""
	}
	at := func(s *bench.StepTimes) string {
		share := shareText(overhead(*s))
		if overhead(*s) == 0 {
			share = "nothing beyond noise"
		}
		return fmt.Sprintf("%s of it at %s x %d", share, layersText(s.LayerSizes), s.BatchSize)
	}
	text := fmt.Sprintf("On %s, a step’s own call and copy take ", runner)
	if low == high {
		return text + at(high) + "."
	}
	return text + at(low) + " to " + at(high) + "."
}

// peers compare us with the same work in Python.
func (t *benchText) peers(r bench.Results) {
	if len(r.Peers) == 0 {
		return
	}
	t.heading("peers: their time or memory over ours, pair by pair (2.00x: twice as much as ours)")
	columns := []column{{"peer", true}, {"layers", true}, {"batch", false}, {"pairs", false}, {"train", false},
		{"train+evaluate", false}, {"process", false}, {"memory", false}, {"ours/its", false}}
	var lines []line
	for _, p := range r.Peers {
		texts := []string{printable(p.Peer), layersText(p.LayerSizes), strconv.Itoa(p.BatchSize)}
		if len(p.Rounds) == 0 {
			reason := "not measured"
			if p.Failure != "" {
				reason = "failed: " + p.Failure
			}
			lines = append(lines, line{texts, reason})
			continue
		}
		pairs := strconv.Itoa(len(p.Rounds))
		if p.Failure != "" {
			pairs += t.note(p.Failure)
		}
		ratios := p.Ratios()
		lines = append(lines, line{texts: append(texts, pairs,
			t.summary(ratios.Train, ratioText), t.summary(ratios.TrainEvaluate, ratioText),
			t.summary(ratios.Process, ratioText), t.summary(ratios.Memory, ratioText),
			t.summary(p.OurRatios().Train, ratioText))})
	}
	t.table(columns, lines)
	t.footnotes()
	t.paragraph(0, "train: an epoch. process: one of a single epoch, from start to exit. ours/its: our training epoch over the peer’s.")
	var seen []string
	for _, p := range r.Peers {
		text := p.Peer + ": " + p.Versions
		if p.Versions != "" && !slices.Contains(seen, text) {
			seen = append(seen, text)
			t.paragraph(0, text)
		}
	}
}
