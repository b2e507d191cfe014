package figures

import (
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Versus is a part of a figure: the accuracy of several networks at some values.
type Versus struct {
	What   string    // of the values
	Values []float64 // rising
	Log    bool      // the axis is logarithmic; the values are then above 0
	Lines  []VersusLine
}

// VersusLine is a network: a mean with its 95% interval for each value, 0 to 1.
type VersusLine struct {
	Name            string
	Mean, Low, High []float64
}

// Accuracies draws test accuracies, one part below the other.
func Accuracies(title string, parts []Versus) Figure {
	var panels []panel
	for _, part := range parts {
		p := newPanel(part.What, "test accuracy")
		p.Add(&plotter.Grid{Horizontal: gridLine})
		least := 1.0
		for i, line := range part.Lines {
			var points plotter.XYs
			var bars plotter.YErrors
			for j, mean := range line.Mean {
				points = append(points, plotter.XY{X: part.Values[j], Y: mean})
				bars = append(bars, struct{ Low, High float64 }{mean - line.Low[j], line.High[j] - mean})
				least = min(least, line.Low[j])
			}
			errors, err := plotter.NewYErrorBars(struct {
				plotter.XYs
				plotter.YErrors
			}{points, bars})
			if err == nil { // else a number is not finite
				errors.LineStyle, errors.CapWidth = stroke(i, 1.25), 6
				p.Add(errors)
			}
			p.legend.Add(line.Name, p.line(i, points, points)...)
		}
		if part.Log {
			p.X.Scale = plot.LogScale{}
		}
		var ticks plot.ConstantTicks
		for _, value := range part.Values {
			ticks = append(ticks, plot.Tick{Value: value, Label: strconv.FormatFloat(value, 'f', -1, 64)})
		}
		p.X.Tick.Marker = ticks
		p.X.Min, p.X.Max = part.Values[0], part.Values[len(part.Values)-1]
		p.Y.Min, p.Y.Max = least, 1
		tick(&p.Y, step(max(1-least, 0.01), 5), 100, "%")
		panels = append(panels, p)
	}
	return newFigure(title, "", widest-2*margin, vg.Length(len(panels))*190, func(c draw.Canvas) { stacked(c, panels) })
}
