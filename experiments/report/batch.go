package report

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"epochal/dataset"

	"golang.org/x/image/font"
	"gonum.org/v1/plot/vg"
)

// Limits on a figure of images.
const (
	MaxBatch = 256 // images; more would be too small to be read
	MaxTitle = 400 // characters of the title, a few lines
)

// Batch draws the images of rows with their labels, as the post shows a random batch.
//
// The images stand in a grid in the order of rows, each below its label, and all
// of them below the title, which may be empty. Pixels of 0 are black and those
// of 255 white, as in the post. These are the values that the network gets: a set
// whose images are negatives of MNIST's is seen to be one. And black tiles hold
// the grid together on a white page, where dark digits would float.
//
// Small images are enlarged a whole number of times and keep the edges of their
// pixels. Of images that are too large for the page, each dot is the mean of a
// square of pixels.
//
// format is [PNG] or [SVG]. It is an error if it is another one, if rows has not 1
// to [MaxBatch] entries or one that is not in the set, or if the title has more than
// [MaxTitle] characters. Characters that cannot be printed become "�".
func Batch(w io.Writer, format string, set dataset.Set, rows []int32, title string) error {
	if err := checkFormat(format); err != nil {
		return err
	}
	if err := checkBatch(set, rows, title); err != nil {
		return err
	}

	labels := make([]string, len(rows))
	for i, row := range rows {
		labels[i] = strconv.Itoa(int(set.Labels[row]))
	}
	return write(w, func() ([]byte, error) {
		figure := layOut(set, labels, printable(title))
		return render(format, figure.width, figure.height, func(s sheet) {
			titleFace, labelFace := sans(titleSize, font.WeightBold), sans(labelSize, font.WeightNormal)
			for i, line := range figure.title {
				s.text(titleFace, figure.width/2, margin+titleCapitals+i*titleLine, line)
			}
			for i, row := range rows {
				corner := figure.cell(i)
				middle := corner.X + figure.cellWidth/2
				s.text(labelFace, middle, corner.Y+labelCapitals, labels[i])

				tile := figure.tile(set.Image(int(row)), set.Columns)
				size := tile.Bounds().Size()
				left, top := middle-size.X/2, corner.Y+labelHeight
				right, bottom := left+size.X, top+size.Y
				s.fill(frameColor, left-frame, top-frame, right+frame, bottom+frame)
				s.DrawImage(vg.Rectangle{Min: s.at(left, bottom), Max: s.at(right, top)}, tile)
			}
		})
	})
}

// checkBatch reports arguments of [Batch] that cannot be drawn.
func checkBatch(set dataset.Set, rows []int32, title string) error {
	if set.Rows < 1 || set.Rows > dataset.MaxSide || set.Columns < 1 || set.Columns > dataset.MaxSide {
		return fmt.Errorf("set: found images of %dx%d pixels, expected 1 to %d each way", set.Rows, set.Columns, dataset.MaxSide)
	}
	if found, expected := len(set.Pixels), set.Len()*set.Rows*set.Columns; found != expected {
		return fmt.Errorf("set: found %d pixels, expected %d for %d labels and images of %dx%d", found, expected, set.Len(), set.Rows, set.Columns)
	}
	if set.Len() == 0 {
		return errors.New("set: found no images in it")
	}
	if len(rows) < 1 || len(rows) > MaxBatch {
		return fmt.Errorf("rows: found %d of them, expected 1 to %d", len(rows), MaxBatch)
	}
	for i, row := range rows {
		if row < 0 || int(row) >= set.Len() {
			return fmt.Errorf("rows: found %d at position %d, expected 0 to %d", row, i, set.Len()-1)
		}
	}
	if found := utf8.RuneCountInString(title); found > MaxTitle {
		return fmt.Errorf("title: found %d characters, expected at most %d", found, MaxTitle)
	}
	return nil
}

// printable returns text on one line, with "�" for what no font can show.
func printable(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)), " ")
}

// Measures of the figure, in dots.
const (
	margin      = 32   // on all four sides
	pageWidth   = 1536 // at most, within the margins: with them, 800 points
	pageHeight  = 2048 // at most of the grid
	naturalSide = 224  // an image is not enlarged beyond it, nor made smaller to keep to it

	titleSize     = 28
	titleCapitals = 20 // height of capital letters
	titleLine     = 36 // from baseline to baseline
	titleGap      = 28 // from the last baseline to the grid

	labelSize     = 22
	labelCapitals = 16                // height of digits
	labelHeight   = labelCapitals + 6 // from the top of a label to its image

	columnGap = 12
	rowGap    = 16
	frame     = 1 // around an image, outside of it
)

// frameColor shows where an image ends that is as white as the page, and is
// hardly seen around black ones.
var frameColor = color.Gray{Y: 0x99}

// batchFigure is where everything in a figure of images stands, in dots.
type batchFigure struct {
	width, height         int // of the whole figure
	columns               int // images side by side
	left, top             int // of the first cell
	cellWidth, cellHeight int // of a label and its image, without gaps

	enlarge int // dots of a pixel each way; 1 where reduce is above 1
	reduce  int // pixels of a dot each way; 1 where enlarge is above 1

	title []string // its lines
}

// layOut places images of a set, and their labels, under a title.
func layOut(set dataset.Set, labels []string, title string) batchFigure {
	var figure batchFigure
	columns, rows := grid(len(labels))
	figure.columns = columns

	// As large as the page allows, in whole numbers of dots to a pixel or of pixels to a dot.
	maxWidth := (pageWidth - (columns-1)*columnGap) / columns
	maxHeight := (pageHeight-(rows-1)*rowGap)/rows - labelHeight
	natural := max(1, naturalSide/max(set.Rows, set.Columns))
	figure.enlarge = max(1, min(natural, maxWidth/set.Columns, maxHeight/set.Rows))
	figure.reduce = max(ceilDiv(set.Columns, maxWidth), ceilDiv(set.Rows, maxHeight))

	figure.cellWidth = ceilDiv(set.Columns, figure.reduce) * figure.enlarge
	figure.cellHeight = labelHeight + ceilDiv(set.Rows, figure.reduce)*figure.enlarge
	face := sans(labelSize, font.WeightNormal)
	for _, label := range labels {
		figure.cellWidth = max(figure.cellWidth, width(face, label))
	}
	gridWidth := columns*figure.cellWidth + (columns-1)*columnGap
	gridHeight := rows*figure.cellHeight + (rows-1)*rowGap

	titleFace := sans(titleSize, font.WeightBold)
	measure := func(line string) int { return width(titleFace, line) }
	// A fifth of the width stays free, for the viewer of an SVG may know only wider fonts.
	content := max(gridWidth, min(measure(title)*5/4, pageWidth))
	figure.title = wrap(title, content*4/5, measure)

	figure.top = margin
	if lines := len(figure.title); lines > 0 {
		figure.top += titleCapitals + (lines-1)*titleLine + titleGap
	}
	figure.left = margin + (content-gridWidth)/2
	figure.width = margin + content + margin
	figure.height = figure.top + gridHeight + margin
	return figure
}

// cell returns the upper left corner of label and image i.
func (f batchFigure) cell(i int) image.Point {
	column, row := i%f.columns, i/f.columns
	return image.Pt(f.left+column*(f.cellWidth+columnGap), f.top+row*(f.cellHeight+rowGap))
}

// tile returns an image, whose pixels are [rows*columns], in the size of the figure.
func (f batchFigure) tile(pixels []byte, columns int) *image.Gray {
	if f.reduce > 1 {
		pixels, columns = reduced(pixels, columns, f.reduce)
	}
	rows := len(pixels) / columns
	tile := image.NewGray(image.Rect(0, 0, columns*f.enlarge, rows*f.enlarge))
	for y := range rows * f.enlarge {
		line := tile.Pix[y*tile.Stride:]
		for x := range columns * f.enlarge {
			line[x] = pixels[y/f.enlarge*columns+x/f.enlarge]
		}
	}
	return tile
}

// reduced returns an image of which each pixel is the rounded mean of a square of
// pixels of the given side, or of what there is of it at the right and lower edges.
func reduced(pixels []byte, columns, side int) (smaller []byte, smallerColumns int) {
	rows := len(pixels) / columns
	for top := 0; top < rows; top += side {
		for left := 0; left < columns; left += side {
			sum, count := 0, 0
			for y := top; y < min(top+side, rows); y++ {
				for _, pixel := range pixels[y*columns+left : y*columns+min(left+side, columns)] {
					sum += int(pixel)
					count++
				}
			}
			smaller = append(smaller, byte((sum+count/2)/count))
		}
	}
	return smaller, ceilDiv(columns, side)
}

// maxColumns is the widest grid: images of 28 pixels are then enlarged three times.
const maxColumns = 16

// grid returns the shape of a grid for 1 to [MaxBatch] images: at least as wide as
// high and at most twice as wide, with as few empty places as that allows, and
// as near to a square as that leaves. So 32 images, a usual batch, fill 8x4 places.
func grid(count int) (columns, rows int) {
	empty := count
	for c := 1; c <= maxColumns; c++ {
		r := ceilDiv(count, c)
		if c >= r && c <= 2*r && c*r-count < empty {
			columns, rows, empty = c, r, c*r-count
		}
	}
	return columns, rows
}

// wrap breaks text into lines that measure says are no wider than limit: at spaces,
// and within words that are wider by themselves, such as paths. A single character
// may still be wider. There are no lines of an empty text.
func wrap(text string, limit int, measure func(string) int) []string {
	var lines []string
	for text != "" {
		end, space := 0, 0 // of the longest line that fits, and of its last whole word
		for i, r := range text {
			next := i + utf8.RuneLen(r)
			if i > 0 && measure(text[:next]) > limit {
				break
			}
			end = next
			if end == len(text) || text[end] == ' ' {
				space = end
			}
		}
		if space > 0 {
			end = space
		}
		lines = append(lines, text[:end])
		text = strings.TrimPrefix(text[end:], " ")
	}
	return lines
}

// ceilDiv returns a/b rounded up, for a of at least 0 and b of at least 1.
func ceilDiv(a, b int) int { return (a + b - 1) / b }
