package report

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/image/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	vgfont "gonum.org/v1/plot/font"
)

// The formats of figures.
const (
	PNG = "png"
	SVG = "svg"
)

// FormatOf returns the format of a figure whose file is called name: [PNG] or
// [SVG] by its extension, in small or capital letters.
func FormatOf(name string) (string, error) {
	extension := filepath.Ext(name)
	switch strings.ToLower(extension) {
	case ".png":
		return PNG, nil
	case ".svg":
		return SVG, nil
	case "":
		return "", fmt.Errorf("%s: found no extension, expected .png or .svg", name)
	}
	return "", fmt.Errorf("%s: found the extension %q, expected .png or .svg", name, extension)
}

// checkFormat reports a format that is neither [PNG] nor [SVG].
func checkFormat(format string) error {
	if format != PNG && format != SVG {
		return fmt.Errorf("found the format %q, expected %s or %s", format, PNG, SVG)
	}
	return nil
}

// Figures are laid out in dots, which are whole numbers: the pixels of a PNG.
// So no edge of an image falls between two pixels.
//
// A dot is half a point. With this number of dots per inch, which is a power of
// two times the 72 points of an inch, gonum turns points back into dots without
// rounding, and copies an image instead of interpolating it.
const (
	dotsPerPoint = 2
	dotsPerInch  = 72 * dotsPerPoint
)

// points returns a length of some dots as gonum measures it.
func points(dots int) vg.Length { return vg.Length(dots) / dotsPerPoint }

// sheet is what a figure is drawn on. Its coordinates are dots from the upper left
// corner; those of its canvas are points from the lower left one.
type sheet struct {
	vg.Canvas
	format string
	height int       // dots
	anchor *[]string // of each text of an SVG so far
}

// dot is a place on a sheet between whole dots.
type dot struct{ x, y float64 }

// at returns the point of the canvas that is x dots from the left, y from the top.
func (s sheet) at(x, y int) vg.Point {
	return vg.Point{X: points(x), Y: points(s.height - y)}
}

// between returns the point of the canvas at d.
func (s sheet) between(d dot) vg.Point {
	return vg.Point{X: vg.Length(d.x) / dotsPerPoint, Y: (vg.Length(s.height) - vg.Length(d.y)) / dotsPerPoint}
}

// fill paints a rectangle from its upper left to its lower right corner.
func (s sheet) fill(paint color.Color, left, top, right, bottom int) {
	s.SetColor(paint)
	s.Fill(vg.Rectangle{Min: s.at(left, bottom), Max: s.at(right, top)}.Path())
}

// line draws through all points, with dashes and gaps of the given lengths or,
// without any, in one piece. Widths and lengths are in dots.
func (s sheet) line(paint color.Color, width int, dashes []int, through ...dot) {
	pattern := make([]vg.Length, len(dashes))
	for i, length := range dashes {
		pattern[i] = points(length)
	}
	var path vg.Path
	for i, d := range through {
		if i == 0 {
			path.Move(s.between(d))
		} else {
			path.Line(s.between(d))
		}
	}
	s.SetColor(paint)
	s.SetLineWidth(points(width))
	s.SetLineDash(pattern, 0)
	s.Stroke(path)
}

// polygon paints what is within the corners.
func (s sheet) polygon(paint color.Color, corners ...dot) {
	var path vg.Path
	for i, d := range corners {
		if i == 0 {
			path.Move(s.between(d))
		} else {
			path.Line(s.between(d))
		}
	}
	path.Close()
	s.SetColor(paint)
	s.Fill(path)
}

// disc paints a circle with a radius in dots.
func (s sheet) disc(paint color.Color, middle dot, radius float64) {
	var path vg.Path
	path.Move(s.between(dot{middle.x + radius, middle.y}))
	path.Arc(s.between(middle), vg.Length(radius)/dotsPerPoint, 0, 2*math.Pi)
	path.Close()
	s.SetColor(paint)
	s.Fill(path)
}

// align says which part of a text stands at the place given for it.
type align string

// The parts of a text, as SVG calls them.
const (
	leftAligned  align = "start"
	centered     align = "middle"
	rightAligned align = "end"
)

// text writes a black line whose middle is x dots from the left, and whose
// baseline is y dots from the top.
func (s sheet) text(face vgfont.Face, x, y int, line string) {
	s.textAt(face, color.Black, centered, x, y, line)
}

// textAt writes a line whose left end, middle or right end is x dots from the
// left, and whose baseline is y dots from the top.
func (s sheet) textAt(face vgfont.Face, paint color.Color, side align, x, y int, line string) {
	if s.format == SVG { // it is left to the viewer, who knows the font
		*s.anchor = append(*s.anchor, string(side))
	} else if side == centered {
		x -= width(face, line) / 2
	} else if side == rightAligned {
		x -= width(face, line)
	}
	s.SetColor(paint)
	s.FillString(face, s.at(x, y), line)
}

// write writes to w what draw returns, in one call. It is the one border between
// gonum, which panics, and this package, which returns errors.
func write(w io.Writer, draw func() ([]byte, error)) error {
	figure, err := func() (figure []byte, err error) {
		defer func() {
			if cause := recover(); cause != nil {
				err = fmt.Errorf("drawing a figure: %v", cause)
			}
		}()
		return draw()
	}()
	if err != nil {
		return err
	}
	_, err = w.Write(figure)
	return err
}

// render returns the file of a figure of width and height, in dots. It panics
// where gonum does.
func render(format string, width, height int, draw func(sheet)) ([]byte, error) {
	var canvas interface {
		vg.Canvas
		io.WriterTo
	}
	if format == PNG {
		size := vgimg.UseWH(points(width), points(height))
		canvas = vgimg.PngCanvas{Canvas: vgimg.NewWith(size, vgimg.UseDPI(dotsPerInch))}
	} else {
		canvas = vgsvg.New(points(width), points(height))
	}

	var anchors []string
	s := sheet{Canvas: canvas, format: format, height: height, anchor: &anchors}
	s.fill(color.White, 0, 0, width, height) // the page that shows an SVG may be dark
	draw(s)

	var file bytes.Buffer
	if _, err := canvas.WriteTo(&file); err != nil {
		return nil, err
	}
	if format == SVG {
		return []byte(anchored(mendSVG.Replace(file.String()), anchors)), nil
	}
	return file.Bytes(), nil
}

// anchored writes into each text of an SVG which of its parts stands at its place.
func anchored(svg string, anchors []string) string {
	var mended strings.Builder
	for _, anchor := range anchors {
		before, after, _ := strings.Cut(svg, `<text x="`)
		mended.WriteString(before + `<text text-anchor="` + anchor + `" x="`)
		svg = after
	}
	return mended.String() + svg
}

// mendSVG repairs what vgsvg writes. No text of a figure is taken for one of the
// places to mend, for vgsvg escapes quotation marks and angle brackets in it.
var mendSVG = strings.NewReplacer(
	// Images are PNG, whatever vgsvg calls them, and are to keep the edges of
	// their pixels. "optimizeSpeed" is for viewers that do not know "pixelated".
	`xlink:href="data:image/jpg;base64,`,
	`style="image-rendering:optimizeSpeed;image-rendering:pixelated" xlink:href="data:image/png;base64,`,
	// Where there is no Liberation Sans, a font of the same widths keeps the layout,
	// and any other one at least the middle or the end of each line at which it was
	// placed. Embedding the fonts would add a megabyte to each figure.
	`style="font-family:Liberation Sans;`,
	`style="font-family:Liberation Sans,Arimo,Arial,Helvetica,sans-serif;`,
	// Lines turn without spikes, as they do in a PNG.
	`style="fill:none;`,
	`style="fill:none;stroke-linejoin:round;`,
)

var fonts = sync.OnceValue(func() *vgfont.Cache { return vgfont.NewCache(liberation.Collection()) })

// sans returns Liberation Sans in a size of some dots.
func sans(size int, weight font.Weight) vgfont.Face {
	return fonts().Lookup(vgfont.Font{Typeface: "Liberation", Variant: "Sans", Weight: weight}, points(size))
}

// width returns the dots that a line of text takes, rounded up.
func width(face vgfont.Face, line string) int {
	return int(face.Width(line)*dotsPerPoint) + 1
}
