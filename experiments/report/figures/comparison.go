package figures

import (
	"image/color"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Compared is an experiment in a [Comparison].
type Compared struct {
	Name      string
	Kind      string    // experiments of a kind have the same mark: "normalized inputs"; may be empty
	Values    []float64 // final test accuracy of each seed that did not diverge, 0 to 1
	Mean      float64   // of Values; as Low and High, it means nothing without Values
	Low, High float64   // the mean's 95% interval, within 0 to 1; both equal Mean where there is none
	Seconds   float64   // training and evaluation of one run
	Note      string    // such as "1 of 5 diverged"; may be empty
}

// Comparison draws the final test accuracy of experiments from top to bottom: each
// seed as a ring below their mean in its 95% interval. Beside it stand the mean and
// the seconds per run.
func Comparison(title string, experiments []Compared) Figure {
	const nameWidth, timesWidth = 190, 235
	accuracies, times := newPanel("final test accuracy", ""), newPanel("seconds per run", "")
	accuracies.Add(&plotter.Grid{Horizontal: gridLine, Vertical: gridLine})
	several, what := slices.ContainsFunc(experiments, func(e Compared) bool { return len(e.Values) > 1 }), "one seed"
	if several {
		what = "mean with its 95% interval (from 3 seeds on)"
	}
	var kinds []string
	var names, means plot.ConstantTicks
	seconds, lines := make(plotter.Values, len(experiments)), 1
	style := sans(textSize, color.Black)
	for i, e := range experiments {
		row := len(experiments) - 1 - i // from the bottom
		name := append(fitted(style, e.Name, nameWidth), fitted(style, e.Note, nameWidth)...)
		lines = max(lines, len(name))
		names = append(names, plot.Tick{Value: float64(row), Label: strings.Join(name, "\n")})
		means = append(means, plot.Tick{Value: float64(row), Label: meanText(e)})
		seconds[row] = e.Seconds
		if len(e.Values) == 0 {
			continue
		}
		if !slices.Contains(kinds, e.Kind) {
			kinds = append(kinds, e.Kind)
			accuracies.legend.Add(strings.TrimPrefix(e.Kind+": "+what, ": "),
				&plotter.Line{LineStyle: stroke(len(kinds)-1, 2)}, &plotter.Scatter{GlyphStyle: glyph(len(kinds)-1, 4)})
		}
		accuracies.compared(e, slices.Index(kinds, e.Kind), float64(row))
	}
	if several {
		accuracies.legend.Add("one seed", &plotter.Scatter{GlyphStyle: draw.GlyphStyle{Color: blue, Radius: 3, Shape: draw.RingGlyph{}}})
	}
	low, high := 0.0, 1.0 // where all diverged
	if accuracies.X.Min <= accuracies.X.Max {
		const least = 0.005 // noise is not made to look like a difference
		low, high = max(0, accuracies.X.Min-least), min(1, accuracies.X.Max+least)
	}
	accuracies.X.Min, accuracies.X.Max = low, high
	tick(&accuracies.X, step(high-low, 6), 100, "%")
	times.bars(seconds)
	for _, p := range []panel{accuracies, times} {
		p.Y.Min, p.Y.Max = -0.6, float64(len(experiments))-0.4
		p.Y.Tick.Label.Color = color.Black
	}
	accuracies.Y.Tick.Marker, times.Y.Tick.Marker = names, means

	accuracies.legend.Top = false
	below := accuracies.legend.Rectangle(draw.Canvas{}).Size().Y + gap
	height := vg.Length(len(experiments))*max(28, vg.Length(lines)*textSize+10) + 40
	return newFigure(title, "", widest-2*margin, height+below, func(c draw.Canvas) {
		accuracies.legend.Draw(c)
		c = draw.Crop(c, 0, 0, below, 0)
		accuracies.Draw(draw.Crop(c, 0, -timesWidth-gap, 0, 0))
		times.Draw(draw.Crop(c, c.Size().X-timesWidth, 0, 0, 0))
	})
}

// compared adds an experiment of a kind, at its height.
func (p panel) compared(e Compared, kind int, y float64) {
	if len(e.Values) > 1 {
		seeds := &plotter.Scatter{GlyphStyle: glyph(kind, 3)}
		seeds.Shape = draw.RingGlyph{}
		for _, value := range e.Values {
			seeds.XYs = append(seeds.XYs, plotter.XY{X: value, Y: y - 0.24})
		}
		p.Add(seeds)
		y += 0.12
	}
	mean := plotter.XYs{{X: e.Mean, Y: y}}
	if e.Low < e.High {
		interval := plotter.XErrors{{Low: e.Mean - e.Low, High: e.High - e.Mean}}
		p.Add(&plotter.XErrorBars{XYs: mean, XErrors: interval, LineStyle: stroke(kind, 2), CapWidth: 8})
	}
	p.Add(&plotter.Scatter{XYs: mean, GlyphStyle: glyph(kind, 4)})
}

// bars adds a bar for the seconds of each experiment, which are given from the bottom.
func (p panel) bars(seconds plotter.Values) {
	labels := &plotter.Labels{Offset: vg.Point{X: 4}}
	style := sans(textSize, color.Black)
	style.YAlign = -0.42 // at which digits are in the middle
	for row, value := range seconds {
		labels.XYs = append(labels.XYs, plotter.XY{X: value, Y: float64(row)})
		labels.Labels = append(labels.Labels, strconv.FormatFloat(value, 'f', 1, 64))
		labels.TextStyle = append(labels.TextStyle, style)
	}
	p.Add(&plotter.BarChart{Values: seconds, Width: 12, Color: color.Gray{Y: 0xB0}, Horizontal: true}, labels)
	p.X.Min, p.X.Max = 0, max(slices.Max(append(seconds, 0)), 1e-3)
	tick(&p.X, step(p.X.Max, 4), 1, "")
}

// meanText is the mean, and half the width of its interval.
func meanText(e Compared) string {
	if len(e.Values) == 0 {
		return "none"
	}
	text := strconv.FormatFloat(e.Mean*100, 'f', 2, 64)
	if e.Low < e.High {
		text += " ± " + strconv.FormatFloat((e.High-e.Low)*50, 'f', 2, 64)
	}
	return text + "%"
}
