package figures

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"epochal/experiments/report/words"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// MostTogether is how many runs [Together] draws so that they can be told apart.
const MostTogether = 20

// Together draws the test accuracy, above, and the test loss, below, over the epochs of
// up to MostTogether runs with different settings, a line for each. The axis of accuracies
// starts at three times what the worst run misses at its end. Lines of runs that diverged
// end with a cross. The axis of losses leaves out what is above four times the highest loss
// of the run in the middle.
func Together(title string, runs []Run) Figure { return together(title, "test", runs, shortened) }

// Validated draws the same of the validation set, which all epochs of the runs have. The names of
// the runs may be longer.
func Validated(title string, runs []Run) Figure {
	shown := make([]Run, len(runs))
	for i, run := range runs {
		shown[i] = run
		shown[i].Epochs = nil
		for _, e := range run.Epochs {
			shown[i].Epochs = append(shown[i].Epochs, Epoch{TestAccuracy: *e.ValidationAccuracy, TestLoss: *e.ValidationLoss})
		}
	}
	return together(title, "validation", shown, folded)
}

// together draws runs whose TestAccuracy and TestLoss are those of a set.
func together(title, set string, runs []Run, named func(string) string) Figure {
	accuracy, loss := newPanel("", set+" accuracy"), newPanel("epoch", set+" loss")
	missed, least := 0.0, 1.0
	var highest []float64 // loss of each run that did not diverge
	for _, p := range []panel{accuracy, loss} {
		p.Add(&plotter.Grid{Horizontal: gridLine})
	}
	for i, run := range runs {
		var accuracies, losses plotter.XYs
		most := 0.0
		for j, e := range run.Epochs {
			accuracies = append(accuracies, plotter.XY{X: float64(j + 1), Y: e.TestAccuracy})
			losses = append(losses, plotter.XY{X: float64(j + 1), Y: e.TestLoss})
			least = min(least, e.TestAccuracy)
			most = max(most, e.TestLoss)
		}
		if run.Diverged == 0 && len(run.Epochs) > 0 {
			highest = append(highest, most)
		}
		label := named(run.Name)
		if last := len(run.Epochs) - 1; run.Diverged > 0 {
			label += " diverged"
		} else if last >= 0 {
			missed = max(missed, 1-run.Epochs[last].TestAccuracy)
			label += " " + words.Percent(run.Epochs[last].TestAccuracy, 1)
		}
		accuracy.legend.Add(label, accuracy.run(i, accuracies, run.Diverged > 0)...)
		loss.run(i, losses, run.Diverged > 0)
	}
	slices.Sort(highest)
	most := 0.0
	if n := len(highest); n > 0 {
		most = min(highest[n-1], 4*highest[(n-1)/2])
	}
	if most == 0 {
		missed, most = 1, 1 // there is nothing to see yet
	}
	accuracy.Y.Min, accuracy.Y.Max = max(0, 1-3*max(missed, 0.005)), 1 // noise is not made to look like a difference
	tick(&accuracy.Y, step(accuracy.Y.Max-accuracy.Y.Min, 6), 100, "%")
	loss.Y.Min, loss.Y.Max = 0, most
	tick(&loss.Y, step(most, 5), 1, "")
	overEpochs(runs, accuracy, loss)
	var notes []string
	if low := accuracy.Y.Min; least < low {
		notes = append(notes, "Accuracies below "+words.Percent(math.Round(low*1e3)/1e3, 1)+" are off the axis.")
	}
	if high := loss.Y.Max; len(highest) > 0 && highest[len(highest)-1] > high {
		notes = append(notes, fmt.Sprintf("Losses above %.3g are off the axis.", high))
	}
	return newFigure(title, strings.Join(notes, " "), widest-2*margin, 430, func(c draw.Canvas) { stacked(c, []panel{accuracy, loss}) })
}

// run adds the line of a run and returns what stands for it in a legend.
func (p panel) run(index int, points plotter.XYs, diverged bool) []plot.Thumbnailer {
	last := points[max(0, len(points)-1):]
	if !diverged {
		return p.line(index, points, last)
	}
	end := glyph(index, 4)
	end.Shape = cross{}
	p.Add(&plotter.Scatter{XYs: last, GlyphStyle: end})
	return p.line(index, points, nil)
}

// shortened is a name that leaves most of the width to the lines. Names of runs are
// dates, or differ at their ends.
func shortened(name string) string {
	const most = 24
	if runes := []rune(words.Printable(name)); len(runes) > most {
		return "…" + string(runes[len(runes)-most:])
	}
	return words.Printable(name)
}

// folded is a name on about three lines, before a number.
func folded(name string) string {
	const most, lines = 26, 3
	return strings.Join(words.Wrap(words.Shorten(words.Printable(name), most*lines-most/2)+",", most, utf8.RuneCountInString), "\n")
}
