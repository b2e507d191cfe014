package figures

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"epochal/experiments/report/words"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The formats of figures.
const (
	PNG = "png"
	SVG = "svg"
)

// FormatOf returns the format of a figure whose file is called name: [PNG] or
// [SVG] by its extension, in lower or upper case. Any other is an error.
func FormatOf(name string) (string, error) {
	extension := filepath.Ext(name)
	switch strings.ToLower(extension) {
	case "." + PNG, "." + SVG:
		return strings.ToLower(extension[1:]), nil
	case "":
		return "", fmt.Errorf("%s: found no extension, expected .png or .svg", name)
	}
	return "", fmt.Errorf("%s: found the extension %q, expected .png or .svg", name, extension)
}

// Figure is a drawing that can be written in any format, as often as needed.
type Figure struct {
	Width, Height vg.Length // points; whole numbers of them
	draw          func(draw.Canvas)
}

// Write writes the figure as [PNG] or [SVG]. An error is the writer's own.
func (f Figure) Write(w io.Writer, format string) error {
	if format == PNG {
		// A dot is half a point, a power of two, so that gonum turns points back into
		// dots without rounding and copies an image instead of interpolating it.
		canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(f.Width, f.Height), vgimg.UseDPI(72*dotsPerPoint))}
		f.draw(draw.New(canvas))
		_, err := canvas.WriteTo(w)
		return err
	}
	canvas := vgsvg.New(f.Width, f.Height)
	f.draw(draw.New(canvas))
	var file bytes.Buffer
	if _, err := canvas.WriteTo(&file); err != nil {
		return err
	}
	_, err := mendSVG.WriteString(w, file.String())
	return err
}

const dotsPerPoint = 2

// mendSVG repairs what vgsvg writes. No text of a figure is taken for one of the
// places to mend, because vgsvg escapes quotation marks in it.
var mendSVG = strings.NewReplacer(
	// Images are PNG, whatever vgsvg calls them, and should keep the edges of their
	// pixels. "optimizeSpeed" is for viewers that do not know "pixelated".
	`xlink:href="data:image/jpg;base64,`,
	`style="image-rendering:optimizeSpeed;image-rendering:pixelated" xlink:href="data:image/png;base64,`,
	// Where there is no Liberation Sans, a font of the same widths keeps the layout.
	// Embedding the fonts would add a megabyte to each figure.
	`style="font-family:Liberation Sans;`,
	`style="font-family:Liberation Sans,Arimo,Arial,Helvetica,sans-serif;`,
	// Lines turn without spikes, as they do in a PNG.
	`style="fill:none;`,
	`style="fill:none;stroke-linejoin:round;`,
)

// Measures of all figures, in points.
const (
	widest    = 720 // of a figure, its margins included
	narrowest = 420 // where there is little to draw
	margin    = 16
	gap       = 14 // between the title, the drawing and the note, and between panels
	textSize  = 12
)

// Colours that colour-blind readers tell apart, by Okabe and Ito. In grey they are
// not, so a difference of colour is always one of dashes, shape or label too.
var (
	blue       = color.NRGBA{0x00, 0x72, 0xB2, 0xFF}
	vermillion = color.NRGBA{0xD5, 0x5E, 0x00, 0xFF}
	palette    = []color.NRGBA{blue, vermillion, {0x00, 0x9E, 0x73, 0xFF}, {0xCC, 0x79, 0xA7, 0xFF}, {0xE6, 0x9F, 0x00, 0xFF}}

	axisColor = color.Gray{Y: 0x80}
	noteColor = color.Gray{Y: 0x50}
)

// Dashes and shapes go with the palette. There are more of one than of the other,
// so that 20 lines differ in colour or shape.
var (
	dashes = [][]vg.Length{nil, {7, 3.5}, {2, 3}, {9, 3, 2, 3}, {4, 2}}
	shapes = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.PyramidGlyph{}, draw.BoxGlyph{}, draw.TriangleGlyph{}}
)

// gridLine is that of grids and frames.
var gridLine = draw.LineStyle{Color: color.Gray{Y: 0xE0}, Width: 0.75}

func stroke(index int, width vg.Length) draw.LineStyle {
	return draw.LineStyle{Color: palette[index%len(palette)], Width: width}
}

func glyph(index int, radius vg.Length) draw.GlyphStyle {
	return draw.GlyphStyle{Color: palette[index%len(palette)], Radius: radius, Shape: shapes[index%len(shapes)]}
}

// cross is gonum's, but bold enough to be seen.
type cross struct{}

// DrawGlyph implements [draw.GlyphDrawer].
func (cross) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	r, line := style.Radius, draw.LineStyle{Color: style.Color, Width: 1.5}
	c.StrokeLine2(line, at.X-r, at.Y-r, at.X+r, at.Y+r)
	c.StrokeLine2(line, at.X-r, at.Y+r, at.X+r, at.Y-r)
}

// pale mixes c with white: a share of 0 leaves it, one of 1 is white.
func pale(c color.NRGBA, share float64) color.NRGBA {
	mix := func(x uint8) uint8 { return uint8(float64(x) + (255-float64(x))*share + 0.5) }
	return color.NRGBA{mix(c.R), mix(c.G), mix(c.B), 0xFF}
}

// sans is the style of all text, unless its owner changes it.
func sans(size vg.Length, paint color.Color) text.Style {
	return text.Style{
		Color: paint, Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		Handler: plot.DefaultTextHandler,
	}
}

func bold(style text.Style) text.Style {
	style.Font.Weight = xfont.WeightBold
	return style
}

// newFigure is a drawing of some width and height between a title and a note, either
// of which may be empty. They wrap.
func newFigure(title, note string, width, height vg.Length, body func(draw.Canvas)) Figure {
	titleStyle, noteStyle := bold(sans(15, color.Black)), sans(textSize, noteColor)
	titleStyle.YAlign, noteStyle.YAlign = draw.YTop, draw.YTop
	const leading = 1.3 // from line to line, in sizes of the font
	lines := func(style text.Style, line string) (lines []string, height vg.Length) {
		if lines = fitted(style, line, width); len(lines) == 0 {
			return nil, 0
		}
		return lines, vg.Length(len(lines))*leading*style.Font.Size + gap
	}
	width = max(width, narrowest-2*margin)
	titleLines, above := lines(titleStyle, title)
	noteLines, below := lines(noteStyle, note)
	return Figure{
		Width: whole(width + 2*margin), Height: whole(height + above + below + 2*margin),
		draw: func(c draw.Canvas) {
			c.SetColor(color.White) // the page that shows an SVG may be dark
			c.Fill(c.Rectangle.Path())
			c = draw.Crop(c, margin, -margin, margin, -margin)
			for i, line := range titleLines {
				c.FillText(titleStyle, vg.Point{X: c.Min.X, Y: c.Max.Y - vg.Length(i)*leading*titleStyle.Font.Size}, line)
			}
			for i, line := range noteLines {
				c.FillText(noteStyle, vg.Point{X: c.Min.X, Y: c.Min.Y + below - gap - vg.Length(i)*leading*textSize}, line)
			}
			body(draw.Crop(c, 0, 0, below, -above))
		},
	}
}

// fitted breaks text into lines of at most width.
func fitted(style text.Style, line string, width vg.Length) []string {
	return words.Wrap(words.Printable(line), int(width), func(line string) int { return int(style.Width(line)) + 1 })
}

// classNames are the names of all classes as figures show them, none wider than limit. A
// class without a name, or with one that the font cannot write, has its number; of the latter
// the sentence replaced tells, which begins with a space. names may be nil.
func classNames(style text.Style, names []string, classes int, limit vg.Length) (shown []string, replaced string) {
	shown = make([]string, classes)
	count := 0
	for class := range shown {
		name := words.Class(names, class)
		if !writes(style, name) {
			name = strconv.Itoa(class)
			count++
		}
		shown[class] = clipped(style, name, limit)
	}
	if count > 0 {
		replaced = fmt.Sprintf(" Numbers stand for %s that the font cannot write.", words.Counted(count, "class name"))
	}
	return shown, replaced
}

// writes reports whether the font has all characters of a text.
func writes(style text.Style, line string) bool {
	face := style.Handler.Cache().Lookup(style.Font, style.Font.Size).Face
	for _, r := range line {
		if glyph, err := face.GlyphIndex(nil, r); err != nil || glyph == 0 {
			return false
		}
	}
	return true
}

// clipped is a text, shortened where it is wider than limit.
func clipped(style text.Style, line string, limit vg.Length) string {
	short := line
	for most := utf8.RuneCountInString(line); style.Width(short) > limit && most > 1; {
		most--
		short = words.Shorten(line, most)
	}
	return short
}

// widestOf is the width of the widest text.
func widestOf(style text.Style, lines []string) (width vg.Length) {
	for _, line := range lines {
		width = max(width, style.Width(line))
	}
	return width
}

// whole is the next whole number of points.
func whole(length vg.Length) vg.Length { return vg.Length(int(length + 0.999)) }

// panel is a plot whose legend stands to the right of it, where it covers nothing.
type panel struct {
	*plot.Plot
	legend *plot.Legend
}

// newPanel is a panel without a line at its left.
func newPanel(x, y string) panel {
	legend := plot.NewLegend()
	legend.Top, legend.Left, legend.ThumbnailWidth, legend.Padding = true, true, 26, 5
	legend.TextStyle = sans(textSize, color.Black)
	legend.TextStyle.YAlign = -0.1 // gonum's text stands a bit too high
	p := panel{plot.New(), &legend}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		for _, style := range []*text.Style{&axis.Tick.Label, &axis.Label.TextStyle} {
			style.Font, style.Color = sans(textSize, nil).Font, noteColor
		}
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = axisColor, axisColor
		axis.Tick.Length, axis.Label.Padding = 4, 4
	}
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.Y.LineStyle.Width, p.Y.Tick.Length, p.X.Padding = 0, 0, 0
	p.Y.Tick.Label.YAlign = -0.62 // likewise
	return p
}

// line adds a line with marks at some points. It returns what stands for it in a legend.
func (p panel) line(index int, points, marked plotter.XYs) []plot.Thumbnailer {
	line := &plotter.Line{XYs: points, LineStyle: stroke(index, 2.25)}
	line.Dashes = dashes[index%len(dashes)]
	marks := &plotter.Scatter{XYs: marked, GlyphStyle: glyph(index, 4)}
	p.Add(line, marks)
	return []plot.Thumbnailer{line, marks}
}

// write adds a text that is centred on a point, or some points above it.
func (p panel) write(at plotter.XY, above vg.Length, style text.Style, line string) {
	style.XAlign, style.YAlign = draw.XCenter, -0.42 // at which digits are in the middle
	p.Add(&plotter.Labels{
		XYs: plotter.XYs{at}, Labels: []string{line}, TextStyle: []text.Style{style}, Offset: vg.Point{Y: above},
	})
}

// mark adds a vertical line.
func (p panel) mark(x float64) {
	ends := plotter.XYs{{X: x, Y: p.Y.Min}, {X: x, Y: p.Y.Max}}
	p.Add(&plotter.Line{XYs: ends, LineStyle: draw.LineStyle{Color: noteColor, Width: 1}})
}

// stacked draws panels one below the other with their axes aligned, and their
// legends at the right.
func stacked(c draw.Canvas, panels []panel) {
	rows := make([][]*plot.Plot, len(panels))
	var legends vg.Length
	for i, p := range panels {
		rows[i] = []*plot.Plot{p.Plot}
		legends = max(legends, p.legend.Rectangle(c).Size().X)
	}
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadY: gap, PadRight: legends + gap}
	for i, row := range plot.Align(rows, tiles, c) {
		panels[i].Draw(row[0])
		beside := draw.Crop(c, c.Size().X-legends, 0, 0, 0)
		beside.Max.Y = panels[i].DataCanvas(row[0]).Max.Y
		panels[i].legend.Draw(beside)
	}
}
