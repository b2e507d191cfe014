package figures

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"epochal/experiments/report/words"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// Run is one seed in [Curves], one run in [Together].
type Run struct {
	Name     string // in [Together]
	Seed     uint64
	Epochs   []Epoch // complete ones, in order from epoch 1
	Diverged int     // epoch in which its loss stopped being finite, from 1; 0 if it did not
}

// Epoch is what a run had after an epoch. Accuracies are from 0 to 1.
type Epoch struct {
	TrainAccuracy, TestAccuracy        float64
	TrainLoss, TestLoss                float64
	ValidationAccuracy, ValidationLoss *float64 // nil without a validation set
}

const postLow = 0.8 // where the post's axis of accuracies starts

// Curves draws the accuracy, above, and the loss, below, of train and test set over
// the epochs of one experiment's seeds, as the post shows a training. Runs that
// finished have equally many epochs. The mean of their final test accuracies is added
// to the title, which names the network: "784-512-512-10, test 89.3%".
//
// One run is a bold line; of several, their mean is bold and each is thin. Train is
// solid, test dashed, and a validation set, if all epochs have one, dotted. The axis of
// accuracies starts at 80%, as in the post, if all runs end above, else at 0. A vertical
// line marks the epoch from which the mean train accuracy stays above the mean test
// accuracy.
//
// Runs that diverged are drawn as far as they go, up to a cross. They are no part of
// the mean, and the note names them.
func Curves(title string, runs []Run) Figure {
	trainAccuracy := newSeries("train", runs, func(e Epoch) float64 { return e.TrainAccuracy })
	testAccuracy := newSeries("test", runs, func(e Epoch) float64 { return e.TestAccuracy })
	trainLoss := newSeries("train", runs, func(e Epoch) float64 { return e.TrainLoss })
	testLoss := newSeries("test", runs, func(e Epoch) float64 { return e.TestLoss })

	accuracies, losses := []series{trainAccuracy, testAccuracy}, []series{trainLoss, testLoss}
	without := func(e Epoch) bool { return e.ValidationAccuracy == nil || e.ValidationLoss == nil }
	if !slices.ContainsFunc(runs, func(r Run) bool { return len(r.Epochs) == 0 || slices.ContainsFunc(r.Epochs, without) }) {
		accuracies = append(accuracies, newSeries("validation", runs, func(e Epoch) float64 { return *e.ValidationAccuracy }))
		losses = append(losses, newSeries("validation", runs, func(e Epoch) float64 { return *e.ValidationLoss }))
	}

	accuracy, loss := newPanel("", "accuracy"), newPanel("epoch", "loss")
	accuracy.curves(accuracies, func(x float64) string { return words.Percent(x, 1) })
	loss.curves(losses, func(x float64) string { return fmt.Sprintf("%.3g", x) })
	low := accuracyLow(accuracies...)
	high := max(highest(accuracies...), low+0.1) // noise is not made to look like progress
	accuracy.Y.Min, accuracy.Y.Max = low, high
	tick(&accuracy.Y, step(high-low, 6), 100, "%")
	loss.Y.Min, loss.Y.Max = 0, max(highest(losses...), 1e-6)
	tick(&loss.Y, step(loss.Y.Max, 5), 1, "")
	overtaken := overtaking(trainAccuracy.mean, testAccuracy.mean)
	if overtaken > 0 {
		accuracy.mark(float64(overtaken))
	}
	overEpochs(runs, accuracy, loss)

	if last := len(testAccuracy.mean) - 1; last < 0 {
		title += ", all diverged"
	} else {
		title += ", test " + words.Percent(testAccuracy.mean[last].Y, 1)
	}
	note := curvesNote(runs, overtaken, low)
	return newFigure(title, note, widest-2*margin, 430, func(c draw.Canvas) { stacked(c, []panel{accuracy, loss}) })
}

// overEpochs gives panels an axis of the epochs of all runs.
func overEpochs(runs []Run, panels ...panel) {
	epochs := 1
	for _, run := range runs {
		epochs = max(epochs, len(run.Epochs), run.Diverged)
	}
	named := 60 / len(strconv.Itoa(epochs)) // as many as have room
	for _, p := range panels {
		p.X.Min, p.X.Max = 0, float64(epochs)
		tick(&p.X, max(1, step(float64(epochs), named)), 1, "")
		p.X.Min, p.X.Max = 0.5, float64(epochs)+0.5
	}
}

// series is one of the numbers of an epoch, of all runs.
type series struct {
	name               string
	finished, diverged []plotter.XYs // over the epochs, from 1
	mean               plotter.XYs   // of those that finished; empty if none did
}

func newSeries(name string, runs []Run, of func(Epoch) float64) series {
	s := series{name: name}
	for _, run := range runs {
		var points plotter.XYs
		for i, epoch := range run.Epochs {
			points = append(points, plotter.XY{X: float64(i + 1), Y: of(epoch)})
		}
		if run.Diverged > 0 {
			s.diverged = append(s.diverged, points)
		} else {
			s.finished = append(s.finished, points)
		}
	}
	if len(s.finished) > 0 {
		s.mean = slices.Clone(s.finished[0])
	}
	for i := range s.mean {
		sum := 0.0
		for _, points := range s.finished {
			sum += points[i].Y
		}
		s.mean[i].Y = sum / float64(len(s.finished))
	}
	return s
}

// highest is the highest value of the runs that finished or, if none did, of all.
func highest(all ...series) float64 {
	high := 0.0
	for _, s := range all {
		runs := s.finished
		if len(runs) == 0 {
			runs = s.diverged
		}
		for _, point := range slices.Concat(runs...) {
			high = max(high, point.Y)
		}
	}
	return high
}

// accuracyLow is where the axis of accuracies starts.
func accuracyLow(all ...series) float64 {
	for _, s := range all {
		below := func(points plotter.XYs) bool { return points[len(points)-1].Y <= postLow }
		if len(s.finished) == 0 || slices.ContainsFunc(s.finished, below) {
			return 0
		}
	}
	return postLow
}

// overtaking is the first epoch from which train stays above test to the end, 0 for none.
func overtaking(train, test plotter.XYs) int {
	epoch := len(train)
	for epoch > 0 && train[epoch-1].Y > test[epoch-1].Y {
		epoch--
	}
	if epoch == len(train) {
		return 0
	}
	return epoch + 1
}

// curves adds the lines of a panel, those of single runs below those of the means.
func (p panel) curves(all []series, write func(float64) string) {
	p.Add(&plotter.Grid{Horizontal: gridLine})
	for i, s := range all {
		thin := draw.LineStyle{Color: pale(palette[i], 0.6), Width: 0.75}
		if len(s.finished) == 0 { // there is no bold line that tells which is which
			thin = draw.LineStyle{Color: palette[i], Width: 1.25, Dashes: dashes[i]}
			p.legend.Add(s.name, &plotter.Line{LineStyle: thin})
		}
		each := s.diverged
		if len(s.finished) > 1 {
			each = append(each, s.finished...)
		}
		for j, points := range each {
			p.Add(&plotter.Line{XYs: points, LineStyle: thin})
			if last := len(points) - 1; j < len(s.diverged) && last >= 0 {
				p.Add(&plotter.Scatter{XYs: points[last:], GlyphStyle: draw.GlyphStyle{Color: palette[i], Radius: 4, Shape: cross{}}})
			}
		}
	}
	for i, s := range all {
		if last := len(s.mean) - 1; last >= 0 {
			p.legend.Add(s.name+" "+write(s.mean[last].Y), p.line(i, s.mean, s.mean[last:])...)
		}
	}
}

// curvesNote says what the lines are and what the figure does not show.
func curvesNote(runs []Run, overtaken int, low float64) string {
	var sentences, diverged []string
	off := false
	for _, run := range runs {
		if run.Diverged > 0 {
			diverged = append(diverged, fmt.Sprint(run.Seed))
		}
		off = off || slices.ContainsFunc(run.Epochs, func(e Epoch) bool { return min(e.TrainAccuracy, e.TestAccuracy) < low })
	}
	if finished := len(runs) - len(diverged); finished > 1 {
		sentences = append(sentences, fmt.Sprintf("Bold: mean of %s. Thin: each of them.", words.Counted(finished, "seed")))
	}
	if overtaken > 0 {
		sentences = append(sentences, fmt.Sprintf("Train accuracy stays above test accuracy from epoch %d on (vertical line).", overtaken))
	}
	if off {
		sentences = append(sentences, "Accuracies below "+words.Percent(low, 0)+" are off the axis.")
	}
	if len(diverged) > 0 {
		sentences = append(sentences, "Diverged (×) and not in the mean: seed "+strings.Join(diverged, ", ")+".")
	}
	return strings.Join(sentences, " ")
}
