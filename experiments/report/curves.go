package report

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"
	"strings"

	"epochal/experiments"
	"epochal/experiments/record"

	"golang.org/x/image/font"
)

// MaxRuns is how many runs one figure shows.
const MaxRuns = 256

// Curves draws the accuracy, above, and the loss, below, of train and test set over
// epochs, as the post shows a training.
//
// Each run is a thin line and their mean a bold one, with its final value at its end;
// a single run is bold itself. Train is blue and in one piece, test vermillion and
// dashed. The axis of the accuracies starts at 80% if all runs end above it, as in
// the post, and what came before leaves the panel; otherwise it starts at 0. A
// vertical line marks the first epoch from which the mean accuracy on the train set
// stays above that on the test set, if there is one.
//
// Runs that diverged are drawn as far as they go, up to a cross. They are named in
// the note and are not part of the mean. If all did, there is no mean.
//
// format is [PNG] or [SVG]. It is an error if it is another one, if there are not 1
// to [MaxRuns] runs, if one that did not diverge has no epochs or another number of
// them than the others, if one that did has more, if epochs are not numbered from 1,
// if an accuracy is not from 0 to 1 or a loss no finite number from 0, or if the
// title has more than [MaxTitle] characters.
func Curves(w io.Writer, format, title string, runs []record.Record) error {
	if err := checkFormat(format); err != nil {
		return err
	}
	if err := checkRuns(runs); err != nil {
		return err
	}
	if err := checkTitle(title); err != nil {
		return err
	}
	return write(w, func() ([]byte, error) {
		figure := layOutCurves(printable(title), runs)
		return render(format, figure.width, figure.height, figure.draw)
	})
}

// maxLoss keeps axes and their labels within what can be written; what trains is far below.
const maxLoss = 1e100

// checkRuns reports runs that [Curves] cannot draw.
func checkRuns(runs []record.Record) error {
	if len(runs) < 1 || len(runs) > MaxRuns {
		return fmt.Errorf("runs: found %d of them, expected 1 to %d", len(runs), MaxRuns)
	}
	first := -1 // the first that did not diverge
	for i, run := range runs {
		if run.Diverged != nil {
			continue
		}
		if len(run.Epochs) == 0 {
			return fmt.Errorf("runs: found no epochs in run %d, which did not diverge, expected at least 1", i)
		}
		if first < 0 {
			first = i
		}
		if found, expected := len(run.Epochs), len(runs[first].Epochs); found != expected {
			return fmt.Errorf("runs: found %d epochs in run %d, expected %d as in run %d", found, i, expected, first)
		}
	}
	for i, run := range runs {
		if first >= 0 && len(run.Epochs) > len(runs[first].Epochs) {
			return fmt.Errorf("runs: found %d epochs in run %d, which diverged, expected at most %d as in run %d",
				len(run.Epochs), i, len(runs[first].Epochs), first)
		}
		for j, epoch := range run.Epochs {
			if epoch.Epoch != j+1 {
				return fmt.Errorf("runs: found epoch %d at position %d of run %d, expected %d", epoch.Epoch, j, i, j+1)
			}
			for _, number := range []struct {
				name        string
				value, most float64
			}{
				{"a train accuracy", epoch.TrainAccuracy, 1},
				{"a test accuracy", epoch.TestAccuracy, 1},
				{"a train loss", epoch.TrainLoss, maxLoss},
				{"a test loss", epoch.TestLoss, maxLoss},
			} {
				if !(number.value >= 0 && number.value <= number.most) { // nor NaN
					return fmt.Errorf("runs: found %s of %v in epoch %d of run %d, expected 0 to %v", number.name, number.value, epoch.Epoch, i, number.most)
				}
			}
		}
	}
	return nil
}

// Measures of the curves, in dots.
const (
	accuracyHeight = 520
	lossHeight     = 400

	headingHeight = 40 // of a panel, from the top of its capitals
	underPanel    = 44 // the labels of ticks
	betweenPanels = 36 // from those to the next heading
	underPanels   = 34 // the name of the lower axis

	boldWidth, thinWidth = 5, 2
	endRadius            = 7
	crossRadius          = 7 // of the end of a run that diverged

	panelPadding = 24 // from the sides of a panel to the first and the last epoch
	tickLength   = 8
	labelOffset  = 10 // from an axis to the labels of its ticks

	endSize   = 24 // of the labels at the ends of lines
	endHeight = 30 // from one of them to the next
	endOffset = 40 // from the last epoch to them

	crossingOffset = 10 // from the line to its label, and from that to curves
)

// testDashes are those of the test set's mean.
var testDashes = []int{16, 8}

// curvesFigure is where everything in a figure of curves stands, in dots.
type curvesFigure struct {
	width, height int
	title, note   []string
	left, right   int // of the panels
	epochs        axis
	epochTicks    []tick
	panels        []panel
	crossing      *crossing // in the first panel; nil for none
}

// panel is one diagram over the epochs.
type panel struct {
	heading     string
	top, bottom int
	values      axis
	ticks       []tick
	thin        []curve
	crosses     []cross
	bold        []curve
	labels      []endLabel
}

// curve is a line that was cut into pieces where it leaves the panel.
type curve struct {
	paint  color.NRGBA
	dashes []int
	pieces [][]dot
}

// cross is the end of a run that diverged.
type cross struct {
	paint color.NRGBA
	at    dot
}

// endLabel is what stands beside the end of a bold curve.
type endLabel struct {
	paint  color.NRGBA
	text   string
	end    dot     // of the curve
	middle float64 // of the text, from the top
}

// crossing is the epoch from which train stays above test.
type crossing struct {
	epoch float64 // dots from the left
	text  string
	box   box // of the text
}

// measured is one of the four numbers of an epoch.
type measured struct {
	name   string
	paint  color.NRGBA
	dashes []int
	of     func(experiments.EpochMetrics) float64
}

var (
	accuracies = []measured{
		{"train", blue, nil, func(e experiments.EpochMetrics) float64 { return e.TrainAccuracy }},
		{"test", vermillion, testDashes, func(e experiments.EpochMetrics) float64 { return e.TestAccuracy }},
	}
	losses = []measured{
		{"train", blue, nil, func(e experiments.EpochMetrics) float64 { return e.TrainLoss }},
		{"test", vermillion, testDashes, func(e experiments.EpochMetrics) float64 { return e.TestLoss }},
	}
)

// values returns a number of all epochs of a run.
func (m measured) values(run record.Record) []float64 {
	all := make([]float64, len(run.Epochs))
	for i, epoch := range run.Epochs {
		all[i] = m.of(epoch)
	}
	return all
}

// mean returns the mean of a number over runs, of all epochs. All runs have as many.
func (m measured) mean(runs []record.Record) []float64 {
	all := make([]float64, len(runs[0].Epochs))
	for _, run := range runs {
		for i, epoch := range run.Epochs {
			all[i] += m.of(epoch)
		}
	}
	for i := range all {
		all[i] /= float64(len(runs))
	}
	return all
}

// layOutCurves places the curves of runs that were checked.
func layOutCurves(title string, runs []record.Record) curvesFigure {
	var finished, diverged []record.Record
	for _, run := range runs {
		if run.Diverged == nil {
			finished = append(finished, run)
		} else {
			diverged = append(diverged, run)
		}
	}
	epochs := 1
	for _, run := range runs {
		epochs = max(epochs, len(run.Epochs))
		if len(finished) == 0 { // as far as they would have gone
			epochs = max(epochs, run.Config.Epochs)
		}
	}

	figure := curvesFigure{
		width: margin + pageWidth + margin,
		title: titleLines(title, pageWidth),
		note:  noteLines(curvesNote(finished, diverged), pageWidth),
		panels: []panel{
			{heading: "accuracy"},
			{heading: "loss"},
		},
	}
	accuracy, loss := &figure.panels[0], &figure.panels[1]
	accuracy.values, accuracy.ticks = accuracyAxis(finished)
	loss.values, loss.ticks = lossAxis(finished, diverged)

	// From top to bottom.
	y := margin + titleHeight(figure.title)
	accuracy.top = y + headingHeight
	accuracy.bottom = accuracy.top + accuracyHeight
	loss.top = accuracy.bottom + underPanel + betweenPanels + headingHeight
	loss.bottom = loss.top + lossHeight
	figure.height = loss.bottom + underPanel + underPanels + noteHeight(figure.note) + margin

	// The panels take the width that labels leave them.
	tickFace, endFace := sans(labelSize, font.WeightNormal), sans(endSize, font.WeightBold)
	var tickWidth, endWidth int
	for i := range figure.panels {
		p := &figure.panels[i]
		p.values.first, p.values.last = float64(p.bottom), float64(p.top)
		for _, t := range p.ticks {
			tickWidth = max(tickWidth, width(tickFace, t.label))
		}
	}
	var ends [2][]string // of the panels
	if len(finished) > 0 {
		ends[0] = endTexts(accuracies, finished, accuracyTexts)
		ends[1] = endTexts(losses, finished, lossTexts)
	}
	for _, text := range append(ends[0], ends[1]...) {
		endWidth = max(endWidth, width(endFace, text)*5/4) // for the viewer of an SVG may know only wider fonts
	}
	figure.left = margin + tickWidth + labelOffset
	figure.right = margin + pageWidth - max(0, endOffset-panelPadding+endWidth)
	figure.epochs = axis{1, float64(epochs), float64(figure.left + panelPadding), float64(figure.right - panelPadding)}
	if epochs == 1 {
		figure.epochs.low, figure.epochs.high = 0, 2
	}
	figure.epochTicks = epochTicks(epochs, int(figure.epochs.last-figure.epochs.first), func(label string) int {
		return width(tickFace, label)
	})

	for i, numbers := range [][]measured{accuracies, losses} {
		figure.placeCurves(&figure.panels[i], numbers, finished, diverged, ends[i])
	}
	if len(finished) > 0 {
		figure.crossing = figure.placeCrossing(accuracies[0].mean(finished), accuracies[1].mean(finished))
	}
	return figure
}

// curvesNote says what is bold, what is thin, and which runs diverged.
func curvesNote(finished, diverged []record.Record) string {
	var sentences []string
	switch {
	case len(finished) == 0:
		sentences = append(sentences, "Blue: train. Vermillion and dashed: test.")
	case len(finished) == 1 && len(diverged) > 0:
		sentences = append(sentences, "Bold: the one run that did not diverge.")
	case len(finished) > 1:
		sentences = append(sentences, fmt.Sprintf("Bold: mean of %d runs. Thin: each of them.", len(finished)))
	}
	if len(diverged) > 0 {
		names := make([]string, len(diverged))
		for i, run := range diverged {
			names[i] = fmt.Sprintf("seed %d in epoch %d", run.Config.Seed, run.Diverged.Epoch)
		}
		what := "Diverged (×), not in the mean: "
		if len(finished) == 0 {
			what = "All diverged (×), so there is no mean: "
		}
		sentences = append(sentences, what+strings.Join(names, ", ")+".")
	}
	return strings.Join(sentences, " ")
}

// accuracyAxis starts at 80% if all runs end above it.
func accuracyAxis(finished []record.Record) (axis, []tick) {
	const postLow = 0.8
	low, high := postLow, 0.0
	for _, run := range finished {
		for _, number := range accuracies {
			values := number.values(run)
			if values[len(values)-1] <= postLow {
				low = 0
			}
			for _, value := range values {
				high = max(high, value)
			}
		}
	}
	if len(finished) == 0 {
		low, high = 0, 1
	}
	high = max(high, low+0.1) // noise is not made to look like progress
	s := stepFor(high-low, 6)
	high = min(s.times(s.above(high)), 1)
	return axis{low: low, high: high}, ticks(low, high, s, true)
}

// lossAxis starts at 0.
func lossAxis(finished, diverged []record.Record) (axis, []tick) {
	high := 0.0
	highest := func(runs []record.Record) {
		for _, run := range runs {
			for _, epoch := range run.Epochs {
				high = max(high, epoch.TrainLoss, epoch.TestLoss)
			}
		}
	}
	highest(finished)
	if len(finished) == 0 {
		// A loss that explodes leaves the panel: guessing among 256 classes has one of 5.5.
		const most = 10
		highest(diverged)
		high = min(high, most)
	}
	if high < 1e-100 {
		high = 1
	}
	s := stepFor(high, 5)
	high = s.times(s.above(high))
	return axis{low: 0, high: high}, ticks(0, high, s, false)
}

// endTexts returns "train 97.9%" and "test 97.4%" of the last epoch's means.
func endTexts(numbers []measured, finished []record.Record, write func([]float64) []string) []string {
	values := make([]float64, len(numbers))
	for i, number := range numbers {
		mean := number.mean(finished)
		values[i] = mean[len(mean)-1]
	}
	texts := write(values)
	for i, number := range numbers {
		texts[i] = number.name + " " + texts[i]
	}
	return texts
}

// accuracyTexts writes accuracies as the post does.
func accuracyTexts(values []float64) []string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = percent(value, 1)
	}
	return texts
}

// lossTexts writes losses with equally many decimals, or all with an exponent.
func lossTexts(values []float64) []string {
	format, decimals := byte('f'), 3
	for _, value := range values {
		if value >= 10_000 {
			format, decimals = 'e', 2
		}
	}
	for _, value := range values {
		if value > 0 && value < 0.01 && format == 'f' {
			decimals = 5
		}
	}
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = strconv.FormatFloat(value, format, decimals, 64)
	}
	return texts
}

// placeCurves fills a panel whose axes stand.
func (f curvesFigure) placeCurves(p *panel, numbers []measured, finished, diverged []record.Record, texts []string) {
	inside := f.inside(*p)
	place := func(values []float64) []dot {
		dots := make([]dot, len(values))
		for i, value := range values {
			dots[i] = dot{f.epochs.at(float64(i + 1)), p.values.at(value)}
		}
		return dots
	}
	for _, number := range numbers {
		pale := white(number.paint, 0.62)
		if len(finished) > 1 {
			for _, run := range finished {
				p.thin = append(p.thin, curve{paint: pale, pieces: inside.cut(thinned(place(number.values(run))))})
			}
		}
		lost := curve{paint: pale}
		if len(finished) == 0 { // there is no mean that shows which is which
			lost = curve{paint: white(number.paint, 0.25), dashes: number.dashes}
		}
		for _, run := range diverged {
			dots := place(number.values(run))
			lost.pieces = inside.cut(thinned(dots))
			p.thin = append(p.thin, lost)
			if len(dots) > 0 && inside.has(dots[len(dots)-1]) {
				p.crosses = append(p.crosses, cross{white(number.paint, 0.25), dots[len(dots)-1]})
			}
		}
	}
	if len(finished) == 0 {
		return
	}

	var ends []float64
	for i, number := range numbers {
		dots := place(number.mean(finished))
		end := dots[len(dots)-1]
		p.bold = append(p.bold, curve{number.paint, number.dashes, inside.cut(thinned(dots))})
		p.labels = append(p.labels, endLabel{paint: number.paint, text: texts[i], end: end})
		ends = append(ends, end.y)
	}
	for i, middle := range spread(ends, endHeight, float64(p.top), float64(p.bottom-endHeight/2)) {
		p.labels[i].middle = middle
	}
}

// inside is where curves of a panel are drawn.
func (f curvesFigure) inside(p panel) box {
	return box{float64(f.left), float64(p.top), float64(f.right), float64(p.bottom)}
}

// placeCrossing returns where mean accuracies cross for good, and a place for the
// label where it hides no curve, if there is one.
func (f curvesFigure) placeCrossing(train, test []float64) *crossing {
	epoch := overtaking(train, test)
	if epoch == 0 {
		return nil
	}
	c := &crossing{epoch: f.epochs.at(float64(epoch)), text: fmt.Sprintf("train overtakes at epoch %d", epoch)}
	if epoch == 1 {
		c.text = "train leads from epoch 1 on"
	}

	// A tenth more than its width: it may be shown in a wider font.
	const offset, height = crossingOffset, 30
	length := float64(width(sans(labelSize, font.WeightNormal), c.text)) * 1.1
	p := f.panels[0]
	const levels, shifts, shift = 8, 24, 30
	for far := range shifts {
		for level := range levels {
			bottom := float64(p.bottom) - offset - float64(level*(accuracyHeight-height-2*offset)/(levels-1))
			away := offset + float64(far*shift)
			for _, left := range []float64{c.epoch + away, c.epoch - away - length} {
				place := box{left, bottom - height, left + length, bottom}
				if place.left < float64(f.left) || place.right > float64(f.right) {
					continue
				}
				free := !p.touches(box{place.left - offset, place.top, place.right + offset, place.bottom})
				if free || c.box == (box{}) {
					c.box = place
				}
				if free {
					return c
				}
			}
		}
	}
	return c
}

// overtaking returns the first epoch from which train stays above test to the
// end, or 0 for none.
func overtaking(train, test []float64) int {
	epoch := len(train)
	for epoch > 0 && train[epoch-1] > test[epoch-1] {
		epoch--
	}
	if epoch == len(train) {
		return 0
	}
	return epoch + 1
}

// touches reports whether a curve runs through b.
func (p panel) touches(b box) bool {
	for _, curves := range [][]curve{p.thin, p.bold} {
		for _, c := range curves {
			for _, piece := range c.pieces {
				if len(b.cut(piece)) > 0 {
					return true
				}
			}
		}
	}
	return false
}

// draw draws the figure.
func (f curvesFigure) draw(s sheet) {
	drawTitle(s, f.width, f.title)
	for _, p := range f.panels {
		f.drawAxes(s, p)
	}
	tickFace := sans(labelSize, font.WeightNormal)
	last := f.panels[len(f.panels)-1]
	s.textAt(tickFace, noteColor, centered, (f.left+f.right)/2, last.bottom+underPanel+underPanels-4, "epoch")

	if c := f.crossing; c != nil {
		p := f.panels[0]
		x := int(math.Round(c.epoch))
		s.fill(noteColor, x-1, p.top, x+1, p.bottom)
		const gap = 6 // between the label and what leads to it
		near, middle := int(c.box.left)-gap, int(c.box.top+c.box.bottom)/2
		if near < x-gap {
			near = int(c.box.right) + gap
		}
		if max(near-x, x-near) > crossingOffset {
			s.fill(axisColor, min(x, near), middle-1, max(x, near), middle+1)
		}
		s.fill(color.White, int(c.box.left), int(c.box.top), int(c.box.right), int(c.box.bottom))
	}
	for _, p := range f.panels {
		p.drawCurves(s)
	}
	if c := f.crossing; c != nil {
		side, x := leftAligned, c.box.left
		if x < c.epoch {
			side, x = rightAligned, c.box.right
		}
		s.textAt(tickFace, color.Black, side, int(x), int(c.box.bottom)-8, c.text)
	}
	drawNote(s, f.height, f.note)
}

// drawAxes draws the heading, the grid, the axes and the labels of a panel.
func (f curvesFigure) drawAxes(s sheet, p panel) {
	s.textAt(sans(endSize, font.WeightBold), color.Black, leftAligned, f.left, p.top-headingHeight+capitals(endSize), p.heading)
	s.axes(f.left, f.right, p.bottom, p.ticks, p.values.at, f.epochTicks, f.epochs.at)
}

// axes draws a panel's horizontal grid lines from left to right, its axis at the
// bottom, and the labels of the ticks of both. y and x are where a value is, in dots.
func (s sheet) axes(left, right, bottom int, rows []tick, y func(float64) float64, columns []tick, x func(float64) float64) {
	face := sans(labelSize, font.WeightNormal)
	for _, t := range rows {
		at := int(math.Round(y(t.value)))
		s.fill(gridColor, left, at-1, right, at+1)
		s.textAt(face, noteColor, rightAligned, left-labelOffset, at+labelCapitals/2, t.label)
	}
	s.fill(axisColor, left, bottom-1, right, bottom+1)
	for _, t := range columns {
		at := int(math.Round(x(t.value)))
		s.fill(axisColor, at-1, bottom, at+1, bottom+tickLength)
		s.textAt(face, noteColor, centered, at, bottom+tickLength+labelOffset+labelCapitals, t.label)
	}
}

// drawCurves draws the thin curves below the bold ones, and their labels.
func (p panel) drawCurves(s sheet) {
	drawPieces := func(c curve, width int) {
		for _, piece := range c.pieces {
			if len(piece) == 1 {
				s.disc(c.paint, piece[0], float64(width)*1.5)
			} else {
				s.line(c.paint, width, c.dashes, piece...)
			}
		}
	}
	for _, c := range p.thin {
		drawPieces(c, thinWidth)
	}
	for _, c := range p.crosses {
		x, y := c.at.x, c.at.y
		s.line(c.paint, thinWidth+1, nil, dot{x - crossRadius, y - crossRadius}, dot{x + crossRadius, y + crossRadius})
		s.line(c.paint, thinWidth+1, nil, dot{x - crossRadius, y + crossRadius}, dot{x + crossRadius, y - crossRadius})
	}
	for _, c := range p.bold {
		drawPieces(c, boldWidth)
	}
	face := sans(endSize, font.WeightBold)
	for _, label := range p.labels {
		s.disc(label.paint, label.end, endRadius)
		left := label.end.x + endOffset
		s.line(white(label.paint, 0.4), thinWidth, nil, dot{label.end.x + endRadius + 4, label.end.y}, dot{left - 6, label.middle})
		s.textAt(face, label.paint, leftAligned, int(left), int(math.Round(label.middle))+capitals(endSize)/2, label.text)
	}
}
