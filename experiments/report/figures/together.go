package figures

import (
	"math"

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
// end with a cross.
func Together(title string, runs []Run) Figure { return together(title, "test", runs) }

// Validated draws the same of the validation set, which all epochs of the runs have.
func Validated(title string, runs []Run) Figure {
	shown := make([]Run, len(runs))
	for i, run := range runs {
		shown[i] = run
		shown[i].Epochs = nil
		for _, e := range run.Epochs {
			shown[i].Epochs = append(shown[i].Epochs, Epoch{TestAccuracy: *e.ValidationAccuracy, TestLoss: *e.ValidationLoss})
		}
	}
	return together(title, "validation", shown)
}

// together draws runs whose TestAccuracy and TestLoss are those of a set.
func together(title, set string, runs []Run) Figure {
	accuracy, loss := newPanel("", set+" accuracy"), newPanel("epoch", set+" loss")
	missed, least, most := 0.0, 1.0, 0.0
	for _, p := range []panel{accuracy, loss} {
		p.Add(&plotter.Grid{Horizontal: gridLine})
	}
	for i, run := range runs {
		var accuracies, losses plotter.XYs
		for j, e := range run.Epochs {
			accuracies = append(accuracies, plotter.XY{X: float64(j + 1), Y: e.TestAccuracy})
			losses = append(losses, plotter.XY{X: float64(j + 1), Y: e.TestLoss})
			least = min(least, e.TestAccuracy)
			if run.Diverged == 0 {
				most = max(most, e.TestLoss)
			}
		}
		label := shortened(run.Name)
		if last := len(run.Epochs) - 1; run.Diverged > 0 {
			label += " diverged"
		} else if last >= 0 {
			missed = max(missed, 1-run.Epochs[last].TestAccuracy)
			label += " " + words.Percent(run.Epochs[last].TestAccuracy, 1)
		}
		accuracy.legend.Add(label, accuracy.run(i, accuracies, run.Diverged > 0)...)
		loss.run(i, losses, run.Diverged > 0)
	}
	if most == 0 {
		missed, most = 1, 1 // there is nothing to see yet
	}
	accuracy.Y.Min, accuracy.Y.Max = max(0, 1-3*max(missed, 0.005)), 1 // noise is not made to look like a difference
	tick(&accuracy.Y, step(accuracy.Y.Max-accuracy.Y.Min, 6), 100, "%")
	loss.Y.Min, loss.Y.Max = 0, most
	tick(&loss.Y, step(most, 5), 1, "")
	overEpochs(runs, accuracy, loss)
	note := ""
	if low := accuracy.Y.Min; least < low {
		note = "Accuracies below " + words.Percent(math.Round(low*1e3)/1e3, 1) + " are off the axis."
	}
	return newFigure(title, note, widest-2*margin, 430, func(c draw.Canvas) { stacked(c, []panel{accuracy, loss}) })
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
