package figures

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Setting is what the measurements of a panel of [Throughput] have in common.
type Setting struct {
	Name        string // "batch 64, 2 hidden layers"
	Backends    []Backend
	Overtakings []float64 // widths at which the fastest backend changes
}

// Backend is a line of [Throughput].
type Backend struct {
	Name   string  // the same in all settings
	Points []Point // by width, ascending; at least 1
}

// Point is a measurement.
type Point struct {
	Width     float64 // of the hidden layers, above 0
	Images    float64 // per second, above 0
	Low, High float64 // 95% interval of Images, above 0; both equal Images where there is none
}

// Throughput draws the images per second of training against the width of the hidden
// layers, both on logarithmic axes: a panel for each of at least one setting, a line
// for each backend, and a vertical line where the fastest one changes. The panels share their axes.
func Throughput(title, note string, settings []Setting) Figure {
	var names []string
	var widths []float64
	low, high := math.Inf(1), 0.0
	for _, s := range settings {
		for _, b := range s.Backends {
			if !slices.Contains(names, b.Name) {
				names = append(names, b.Name)
			}
			for _, point := range b.Points {
				widths = append(widths, point.Width)
				low, high = min(low, point.Low), max(high, point.High)
			}
		}
	}
	slices.Sort(widths)
	low = math.Pow(10, math.Floor(math.Log10(low)))
	high = max(math.Pow(10, math.Ceil(math.Log10(high))), 10*low)

	panels := make([]panel, len(settings))
	for i, s := range settings {
		p := newPanel("width of the hidden layers", "images/s")
		p.Add(&plotter.Grid{Horizontal: gridLine})
		p.Title.Text, p.Title.Padding, p.Title.TextStyle.Font = s.Name, 6, bold(sans(textSize, nil)).Font
		for _, b := range s.Backends {
			p.backend(b, slices.Index(names, b.Name))
		}
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = widths[0]*0.93, widths[len(widths)-1]*1.07, low, high
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, widthTicks(widths)
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, powers{}
		for _, width := range s.Overtakings {
			p.mark(width)
		}
		panels[i] = p
	}
	const height = 235 // of a panel with its names
	return newFigure(title, note, widest-2*margin, vg.Length(len(panels))*height, func(c draw.Canvas) { stacked(c, panels) })
}

// backend adds the line of a backend with its intervals.
func (p panel) backend(b Backend, index int) {
	bars := &plotter.YErrorBars{LineStyle: stroke(index, 1.5), CapWidth: 8}
	var points plotter.XYs
	for _, point := range b.Points {
		at := plotter.XY{X: point.Width, Y: point.Images}
		points = append(points, at)
		if point.Low < point.High {
			bars.XYs = append(bars.XYs, at)
			bars.YErrors = append(bars.YErrors, struct{ Low, High float64 }{at.Y - point.Low, point.High - at.Y})
		}
	}
	p.Add(bars)
	p.legend.Add(strings.Join(fitted(p.legend.TextStyle, b.Name, 150), "\n"), p.line(index, points, points)...)
}

// widthTicks marks all widths, which are in order, and names those that have room.
func widthTicks(widths []float64) plot.ConstantTicks {
	const room = 0.06 // of the axis, for a name
	axis := math.Log(widths[len(widths)-1] / widths[0])
	var ticks plot.ConstantTicks
	named := math.Inf(-1)
	for _, width := range slices.Compact(slices.Clone(widths)) {
		tick := plot.Tick{Value: width}
		if at := math.Log(width); at > named+room*axis {
			tick.Label, named = strconv.FormatFloat(width, 'f', -1, 64), at
		}
		ticks = append(ticks, tick)
	}
	return ticks
}
