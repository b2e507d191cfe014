package figures

import (
	"fmt"
	"image/color"

	"epochal/experiments/report/words"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Confidence is a bar of [Reliability]: the images with a confidence from From to To, 0 to 1.
type Confidence struct {
	From, To float64
	Images   int     // a bar without any is left out
	Mean     float64 // confidence of these images, 0 to 1
	Accuracy float64 // share of them that is right, 0 to 1
}

// Reliability draws how often a network is right against how sure it is: a bar for each
// range of confidences, as high as the accuracy of its images, and a mark at their mean
// confidence. Of a network whose confidence is worth what it says, the marks lie on the diagonal.
// calibrationError is the expected calibration error, 0 to 1. How many images a bar has,
// which it does not show, is written at its foot.
func Reliability(title string, bars []Confidence, calibrationError float64) Figure {
	p := newPanel("confidence of the network", "accuracy")
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	p.Add(&plotter.Grid{Horizontal: gridLine})
	diagonal := &plotter.Line{XYs: plotter.XYs{{}, {X: 1, Y: 1}}, LineStyle: draw.LineStyle{Color: noteColor, Width: 1.5, Dashes: dashes[1]}}
	marks := &plotter.Scatter{GlyphStyle: glyph(1, 4)}
	fill, images := pale(blue, 0.6), 0
	for _, bar := range bars {
		images += bar.Images
		if bar.Images == 0 {
			continue
		}
		p.Add(&plotter.Polygon{Color: fill, LineStyle: draw.LineStyle{Color: color.White, Width: 1}, XYs: []plotter.XYs{{
			{X: bar.From}, {X: bar.From, Y: bar.Accuracy}, {X: bar.To, Y: bar.Accuracy}, {X: bar.To},
		}}})
		marks.XYs = append(marks.XYs, plotter.XY{X: bar.Mean, Y: bar.Accuracy})
		p.write(plotter.XY{X: (bar.From + bar.To) / 2}, 0.8*textSize, sans(10, color.Black), words.Thousands(bar.Images))
	}
	p.Add(diagonal, marks)
	p.legend.Add("images of a confidence", &plotter.Polygon{Color: fill})
	p.legend.Add("their mean confidence", marks)
	p.legend.Add("confidence = accuracy", diagonal)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		tick(axis, 0.2, 100, "%")
	}
	note := fmt.Sprintf("Expected calibration error %s, of %s. Numbers in the bars are images.",
		words.Percent(calibrationError, 2), words.Counted(images, "image"))
	const height vg.Length = 400
	return newFigure(title, note, widest-2*margin, height, func(c draw.Canvas) { stacked(c, []panel{p}) })
}
