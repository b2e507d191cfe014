package figures

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"epochal/experiments/report/words"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Swept is a field that settings differ in, a panel of [Sweep].
type Swept struct {
	Name       string
	Categories []string // the values, in order; nil for numbers on an axis
	Log        bool     // the axis is logarithmic
	Settings   []SweptSetting
}

// SweptSetting is a setting in one panel.
type SweptSetting struct {
	At       float64 // the number, or the position of the category, from 0
	Accuracy float64 // mean validation accuracy of the seeds, 0 to 1
	Stopped  bool    // early, so that its accuracy is not that of as many epochs as the others have
}

// Sweep draws the validation accuracy of settings against each field in which they differ: a
// panel for each of at least one field, a ring for each setting and, for categories, a line
// through their means. Settings that stopped early are grey and in no mean. The axis of
// accuracies, the same in all panels, leaves out settings that miss more than four times what
// the middle one misses.
func Sweep(title string, fields []Swept) Figure {
	var all []float64
	for _, s := range fields[0].Settings {
		all = append(all, s.Accuracy)
	}
	slices.Sort(all)
	low, high, below := 0.0, 1.0, 0
	if len(all) > 0 {
		const least = 0.005 // noise is not made to look like a difference
		low = max(0, min(1-4*(1-all[len(all)/2]), all[len(all)-1]-least), all[0]-least)
		high = min(1, all[len(all)-1]+least)
	}
	for _, value := range all {
		if value < low {
			below++
		}
	}
	columns := min(2, len(fields))
	var rows [][]*plot.Plot
	for i, f := range fields {
		p := newPanel(f.Name, "")
		p.Add(&plotter.Grid{Horizontal: gridLine})
		if i%columns == 0 {
			p.Y.Label.Text = "validation accuracy"
			rows = append(rows, make([]*plot.Plot, columns))
		}
		p.Y.Min, p.Y.Max = low, high
		tick(&p.Y, step(high-low, 6), 100, "%")
		p.swept(f, p.Y.Min)
		rows[i/columns][i%columns] = p.Plot
	}
	note := "A ring is the mean of a setting’s seeds."
	stopped := slices.ContainsFunc(fields[0].Settings, func(s SweptSetting) bool { return s.Stopped })
	if slices.ContainsFunc(fields, func(f Swept) bool { return f.Categories != nil }) {
		note += " The line goes through the means of all settings with that value"
		if stopped {
			note += " that did not stop early"
		}
		note += "."
	}
	if stopped {
		note += " Grey: stopped early, as it was then."
	}
	if below > 0 {
		note += fmt.Sprintf(" %s below %s: off the axis.", words.Counted(below, "setting"), words.Percent(low, 1))
	}
	const height = 235 // of a row
	return newFigure(title, note, widest-2*margin, vg.Length(len(rows))*height, func(c draw.Canvas) {
		tiles := draw.Tiles{Rows: len(rows), Cols: columns, PadX: gap, PadY: gap}
		for i, row := range plot.Align(rows, tiles, c) {
			for j, at := range row {
				if rows[i][j] != nil {
					rows[i][j].Draw(at)
				}
			}
		}
	})
}

// swept adds the settings that lie above low.
func (p panel) swept(f Swept, low float64) {
	rings := &plotter.Scatter{GlyphStyle: draw.GlyphStyle{Color: blue, Radius: 3, Shape: draw.RingGlyph{}}}
	stopped := &plotter.Scatter{GlyphStyle: draw.GlyphStyle{Color: axisColor, Radius: 3, Shape: draw.RingGlyph{}}}
	sums, counts := make([]float64, len(f.Categories)), make([]float64, len(f.Categories))
	least, most := math.Inf(1), math.Inf(-1)
	for _, s := range f.Settings {
		among := rings
		if s.Stopped {
			among = stopped
		}
		if s.Accuracy >= low {
			among.XYs = append(among.XYs, plotter.XY{X: s.At, Y: s.Accuracy})
		}
		if f.Categories != nil && !s.Stopped {
			sums[int(s.At)] += s.Accuracy
			counts[int(s.At)]++
		}
		least, most = min(least, s.At), max(most, s.At)
	}
	p.Add(stopped, rings)
	if f.Categories == nil {
		p.overNumbers(f.Log, least, most)
		return
	}
	var means plotter.XYs
	var names plot.ConstantTicks
	room := max(1, 40/len(f.Categories)) // characters of a name
	for i, name := range f.Categories {
		if runes := []rune(words.Printable(name)); len(runes) > room {
			name = string(runes[:max(1, room-1)]) + "…"
		}
		names = append(names, plot.Tick{Value: float64(i), Label: name})
		if mean := sums[i] / counts[i]; counts[i] > 0 && mean >= low {
			means = append(means, plotter.XY{X: float64(i), Y: mean})
		}
	}
	p.line(1, means, means)
	p.X.Min, p.X.Max, p.X.Tick.Marker = -0.5, float64(len(f.Categories))-0.5, names
}

// overNumbers gives the panel an axis of numbers.
func (p panel) overNumbers(logarithmic bool, least, most float64) {
	if !(least < most) {
		least, most = least-1, most+1
		logarithmic = false
	}
	p.X.Min, p.X.Max = least, most
	if !logarithmic {
		tick(&p.X, step(most-least, 5), 1, "")
		return
	}
	p.X.Min, p.X.Max = least/1.1, most*1.1
	p.X.Scale = plot.LogScale{}
	var ticks plot.ConstantTicks
	first, last := math.Floor(math.Log10(p.X.Min)), math.Ceil(math.Log10(p.X.Max))
	for power := first; power <= last; power++ {
		for _, digit := range []float64{1, 2, 5} {
			value := digit * math.Pow(10, power)
			label := strconv.FormatFloat(value, 'g', 3, 64)
			if last-first > 2 && digit > 1 {
				label = ""
			}
			if value >= p.X.Min && value <= p.X.Max {
				ticks = append(ticks, plot.Tick{Value: value, Label: label})
			}
		}
	}
	p.X.Tick.Marker = ticks
}

// Influence is a bar of [Importance].
type Influence struct {
	Name          string
	Share, Chance float64 // 0 to 1
}

// Importance draws the share of the variance that each field explains, with a mark at what a
// field without influence would have by chance.
func Importance(title string, fields []Influence) Figure {
	p := newPanel("share of the variance of the validation accuracy", "")
	p.Add(&plotter.Grid{Vertical: gridLine})
	bars, marks := make(plotter.Values, len(fields)), &plotter.Scatter{GlyphStyle: glyph(1, 4)}
	var names plot.ConstantTicks
	for i, f := range fields {
		row := len(fields) - 1 - i // from the bottom
		bars[row] = f.Share
		marks.XYs = append(marks.XYs, plotter.XY{X: f.Chance, Y: float64(row)})
		names = append(names, plot.Tick{Value: float64(row), Label: strings.ReplaceAll(f.Name, "_", " ") + " " + words.Percent(f.Share, 0)})
	}
	chart := &plotter.BarChart{Values: bars, Width: 14, Color: pale(blue, 0.4), Horizontal: true}
	p.Add(chart, marks)
	p.legend.Add("explained", &plotter.Polygon{Color: pale(blue, 0.4)})
	p.legend.Add("by chance", marks)
	p.X.Min, p.X.Max = 0, 1
	tick(&p.X, 0.2, 100, "%")
	p.Y.Min, p.Y.Max, p.Y.Tick.Marker = -0.6, float64(len(fields))-0.4, names
	p.Y.Tick.Label.Color = color.Black
	return newFigure(title, "", widest-2*margin, vg.Length(len(fields))*30+60, func(c draw.Canvas) { stacked(c, []panel{p}) })
}
