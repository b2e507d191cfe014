package figures

import (
	"fmt"
	"image/color"
	"math"
	"strconv"

	"epochal/experiments/report/words"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Confusion draws a confusion matrix [label][predicted], in images, summed over a
// number of seeds: a row for each true class, a column for each predicted one, in
// each cell the number of images and its share of the row. names are those of the
// classes; nil for numbers. The accuracy is added to the title, as [Curves] does.
//
// Right predictions, on the diagonal, are blue. Wrong ones are vermillion, on a
// scale of their own, by the square root of their share: so a few mistakes are seen
// beside many hits. A cell without images stays white. Where cells have no room for
// numbers, from 15 classes on, the note says so.
func Confusion(title string, confusion [][]int, names []string, seeds int) Figure {
	m := newMatrix(confusion)
	classes := len(confusion)
	right, all := 0, 0
	for label, total := range m.totals {
		right += confusion[label][label]
		all += total
	}
	accuracy := float64(right) / float64(max(all, 1))
	note := fmt.Sprintf("%s of %s correct (%s)", words.Thousands(right), words.Counted(all, "image"), words.Percent(accuracy, 2))
	if seeds > 1 {
		note += fmt.Sprintf(", %s together", words.Counted(seeds, "seed"))
	}

	p := newPanel("predicted class", "true class")
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.5, float64(classes)-0.5, -0.5, float64(classes)-0.5
	p.X.Tick.Length = 0
	p.Add(&plotter.HeatMap{GridXYZ: m, Palette: m, Min: 0, Max: 2*shades - 1})
	p.frames(classes)
	m.explain(p.legend)

	style := sans(textSize, color.Black)
	labels, replaced := classNames(style, names, classes, widestName)
	beside := 150 + whole(max(0, widestOf(style, labels)-numberWidth)) // of the matrix: the names of classes, and the legend
	width := min(widest-2*margin, vg.Length(classes)*80+beside)
	cell := (width - beside) / vg.Length(classes)
	below, left := p.name(labels, names != nil, cell)
	note += ". " + p.numbers(m, cell) + left + replaced
	return newFigure(title+", test "+words.Percent(accuracy, 1), note, width, width-beside+44+below,
		func(c draw.Canvas) { stacked(c, []panel{p}) })
}

const (
	widestName  = 110 // of a class, in points
	numberWidth = 20  // of a class without a name, at most
)

// name writes the classes at both axes, as many as have room beside cells of that width:
// below the matrix upright where they are too wide for their cells. It returns the height
// that this adds, and a sentence on those that are left out.
func (p panel) name(labels []string, named bool, cell vg.Length) (below vg.Length, left string) {
	columns, rows := &p.X.Tick, &p.Y.Tick
	size, every := vg.Length(textSize), int(max(1, step(float64(len(labels)), 60/len(strconv.Itoa(len(labels)))))) // of numbers
	if named {
		if cell < textSize+1 {
			size = 10
		}
		every = int(math.Ceil(float64((size + 1) / cell)))
		columns.Label.Font.Size, rows.Label.Font.Size = size, size
		if every > 1 {
			left = fmt.Sprintf(" One class in %d is named.", every)
		}
	}
	var x, y plot.ConstantTicks
	var shown []string
	for class := 0; class < len(labels); class += every {
		x = append(x, plot.Tick{Value: float64(class), Label: labels[class]})
		y = append(y, plot.Tick{Value: float64(len(labels) - 1 - class), Label: labels[class]})
		shown = append(shown, labels[class])
	}
	columns.Marker, rows.Marker = x, y
	if wide := widestOf(columns.Label, shown); named && wide+2 > cell*vg.Length(every) {
		columns.Label.Rotation, columns.Label.XAlign, columns.Label.YAlign = math.Pi/2, draw.XRight, -0.3 // in the middle of the cell
		columns.Length, columns.LineStyle.Color = textSize+2, color.White                                 // gonum's text stands too high
		below = whole(max(0, wide-size) + columns.Length)
	}
	return below, left
}

// matrix is a confusion matrix as gonum's [plotter.GridXYZ], whose row 0 is at the
// bottom, and its own palette: a value of it is the number of a colour.
type matrix struct {
	counts  [][]int
	totals  []int   // of the rows
	lowest  float64 // share of right predictions that has the palest blue
	highest float64 // share of wrong predictions that has the full vermillion
}

const shades = 128 // of each colour: first those of wrong predictions, then those of right ones

func newMatrix(counts [][]int) matrix {
	m := matrix{counts, make([]int, len(counts)), 0.9, 0.01}
	for label, row := range counts {
		for _, count := range row {
			m.totals[label] += count
		}
		for predicted := range row {
			if share := m.share(label, predicted); predicted != label {
				m.highest = max(m.highest, share)
			} else if m.totals[label] > 0 {
				m.lowest = min(m.lowest, math.Floor(share*10)/10)
			}
		}
	}
	m.highest = step(m.highest, 1) // a round number
	return m
}

// share is that of a cell in its row, 0 of a class without images.
func (m matrix) share(label, predicted int) float64 {
	return float64(m.counts[label][predicted]) / float64(max(m.totals[label], 1))
}

// Dims, X, Y and Z implement [plotter.GridXYZ].
func (m matrix) Dims() (columns, rows int) { return len(m.counts), len(m.counts) }
func (m matrix) X(column int) float64      { return float64(column) }
func (m matrix) Y(row int) float64         { return float64(row) }
func (m matrix) Z(column, row int) float64 {
	label := len(m.counts) - 1 - row
	switch share := m.share(label, column); {
	case share == 0:
		return math.NaN() // has no colour
	case label == column:
		return shades + (shades-1)*(share-m.lowest)/(1-m.lowest)
	default:
		return (shades - 1) * math.Sqrt(share/m.highest)
	}
}

// Colors implements gonum's palette.Palette. None is so dark that black text is
// hard to read on it.
func (m matrix) Colors() []color.Color {
	all := make([]color.Color, 2*shades)
	for i := range shades {
		all[i], all[shades+i] = pale(vermillion, 0.9-0.75*float64(i)/(shades-1)), pale(blue, 0.85-0.5*float64(i)/(shades-1))
	}
	return all
}

// explain adds some shares with their colours to a legend.
func (m matrix) explain(legend *plot.Legend) {
	colors := m.Colors()
	for _, part := range []float64{1, 0.5, 0} {
		name := "correct " + strconv.FormatFloat(100*(m.lowest+part*(1-m.lowest)), 'g', 3, 64) + "%"
		legend.Add(name, &plotter.Polygon{Color: colors[shades+int(part*(shades-1))]})
	}
	for _, part := range []float64{1, 0.5, 0.1} {
		name := "wrong " + strconv.FormatFloat(100*part*m.highest, 'g', 3, 64) + "%"
		legend.Add(name, &plotter.Polygon{Color: colors[int(math.Sqrt(part)*(shades-1))]})
	}
}

// frames adds lines between the cells or, where they are small, around all of them.
func (p panel) frames(classes int) {
	every, last := 1, float64(classes)-0.5
	if classes > 40 {
		every = classes
	}
	for i := 0; i <= classes; i += every {
		at := float64(i) - 0.5
		p.Add(&plotter.Line{XYs: plotter.XYs{{X: at, Y: -0.5}, {X: at, Y: last}}, LineStyle: gridLine})
		p.Add(&plotter.Line{XYs: plotter.XYs{{X: -0.5, Y: at}, {X: last, Y: at}}, LineStyle: gridLine})
	}
}

// numbers writes the count of each cell and below it the share, if a cell of that width
// has room for them, and returns a sentence on that.
func (p panel) numbers(m matrix, cell vg.Length) string {
	if cell < 36 {
		return "Cells are too small for numbers; their colour shows the share of the true class."
	}
	for label, row := range m.counts {
		for predicted, count := range row {
			if count == 0 {
				continue
			}
			at := plotter.XY{X: float64(predicted), Y: float64(len(m.counts) - 1 - label)}
			style := sans(textSize, color.Black)
			if label == predicted { // is seen without colours too
				style = bold(style)
			}
			p.write(at, 0.55*textSize, style, strconv.Itoa(count))
			p.write(at, -0.55*textSize, sans(10, color.Black), words.Percent(m.share(label, predicted), 1))
		}
	}
	return "Percentages are of the true class."
}
