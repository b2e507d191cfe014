package report

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"strconv"
	"unicode/utf8"

	"epochal/dataset"

	"golang.org/x/image/font"
	"gonum.org/v1/plot/vg"

	vgfont "gonum.org/v1/plot/font"
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

	captions := make([][]string, len(rows))
	for i, row := range rows {
		captions[i] = []string{strconv.Itoa(int(set.Labels[row]))}
	}
	return write(w, func() ([]byte, error) {
		figure := layOut(set, captions, printable(title), "")
		return render(format, figure.width, figure.height, func(s sheet) {
			figure.draw(s, captions, func(i int) []byte { return set.Image(int(rows[i])) })
		})
	})
}

// checkBatch reports arguments of [Batch] that cannot be drawn.
func checkBatch(set dataset.Set, rows []int32, title string) error {
	if err := checkSet(set); err != nil {
		return err
	}
	if len(rows) < 1 || len(rows) > MaxBatch {
		return fmt.Errorf("rows: found %d of them, expected 1 to %d", len(rows), MaxBatch)
	}
	for i, row := range rows {
		if row < 0 || int(row) >= set.Len() {
			return fmt.Errorf("rows: found %d at position %d, expected 0 to %d", row, i, set.Len()-1)
		}
	}
	return checkTitle(title)
}

// checkSet reports a set whose images cannot be drawn.
func checkSet(set dataset.Set) error {
	if set.Rows < 1 || set.Rows > dataset.MaxSide || set.Columns < 1 || set.Columns > dataset.MaxSide {
		return fmt.Errorf("set: found images of %dx%d pixels, expected 1 to %d each way", set.Rows, set.Columns, dataset.MaxSide)
	}
	if found, expected := len(set.Pixels), set.Len()*set.Rows*set.Columns; found != expected {
		return fmt.Errorf("set: found %d pixels, expected %d for %d labels and images of %dx%d", found, expected, set.Len(), set.Rows, set.Columns)
	}
	if set.Len() == 0 {
		return errors.New("set: found no images in it")
	}
	return nil
}

// checkTitle reports a title that takes more than a few lines.
func checkTitle(title string) error {
	if found := utf8.RuneCountInString(title); found > MaxTitle {
		return fmt.Errorf("title: found %d characters, expected at most %d", found, MaxTitle)
	}
	return nil
}

// Measures of a figure of images, in dots. Those of all figures are in page.go.
const (
	pageHeight  = 2048 // at most of the grid
	naturalSide = 224  // an image is not enlarged beyond it, nor made smaller to keep to it

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
	captionHeight         int // from the top of a caption to its image
	cellWidth, cellHeight int // of a caption and its image, without gaps

	imageColumns int // pixels
	enlarge      int // dots of a pixel each way; 1 where reduce is above 1
	reduce       int // pixels of a dot each way; 1 where enlarge is above 1

	title []string // its lines
	note  []string // its lines
}

// layOut places images of a set, and their captions, between a title and a note,
// either of which may be empty. All captions have as many lines as the first.
func layOut(set dataset.Set, captions [][]string, title, note string) batchFigure {
	var figure batchFigure
	columns, rows := grid(len(captions))
	figure.columns = columns
	figure.imageColumns = set.Columns
	figure.captionHeight = (len(captions[0])-1)*captionLine + labelCapitals + captionGap

	// As large as the page allows, in whole numbers of dots to a pixel or of pixels to a dot.
	maxWidth := (pageWidth - (columns-1)*columnGap) / columns
	maxHeight := (pageHeight-(rows-1)*rowGap)/rows - figure.captionHeight
	natural := max(1, naturalSide/max(set.Rows, set.Columns))
	figure.enlarge = max(1, min(natural, maxWidth/set.Columns, maxHeight/set.Rows))
	figure.reduce = max(ceilDiv(set.Columns, maxWidth), ceilDiv(set.Rows, maxHeight))

	figure.cellWidth = ceilDiv(set.Columns, figure.reduce) * figure.enlarge
	figure.cellHeight = figure.captionHeight + ceilDiv(set.Rows, figure.reduce)*figure.enlarge
	for _, caption := range captions {
		for i, line := range caption {
			figure.cellWidth = max(figure.cellWidth, width(captionFace(i, len(caption)), line))
		}
	}
	gridWidth := columns*figure.cellWidth + (columns-1)*columnGap
	gridHeight := rows*figure.cellHeight + (rows-1)*rowGap

	content := max(gridWidth, titleWidth(title), noteWidth(note))
	figure.title = titleLines(title, content)
	figure.note = noteLines(note, content)

	figure.top = margin + titleHeight(figure.title)
	figure.left = margin + (content-gridWidth)/2
	figure.width = margin + content + margin
	figure.height = figure.top + gridHeight + noteHeight(figure.note) + margin
	return figure
}

// captionFace is the font of a line of a caption: the first of several is bold.
func captionFace(line, lines int) vgfont.Face {
	if line == 0 && lines > 1 {
		return sans(labelSize, font.WeightBold)
	}
	return sans(labelSize, font.WeightNormal)
}

// draw draws the title, the captions with the pixels of their images, and the note.
func (f batchFigure) draw(s sheet, captions [][]string, pixels func(i int) []byte) {
	drawTitle(s, f.width, f.title)
	for i, caption := range captions {
		corner := f.cell(i)
		middle := corner.X + f.cellWidth/2
		for j, line := range caption {
			s.text(captionFace(j, len(caption)), middle, corner.Y+labelCapitals+j*captionLine, line)
		}

		tile := f.tile(pixels(i), f.imageColumns)
		size := tile.Bounds().Size()
		left, top := middle-size.X/2, corner.Y+f.captionHeight
		right, bottom := left+size.X, top+size.Y
		s.fill(frameColor, left-frame, top-frame, right+frame, bottom+frame)
		s.DrawImage(vg.Rectangle{Min: s.at(left, bottom), Max: s.at(right, top)}, tile)
	}
	drawNote(s, f.height, f.note)
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

// ceilDiv returns a/b rounded up, for a of at least 0 and b of at least 1.
func ceilDiv(a, b int) int { return (a + b - 1) / b }
