package report

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"strconv"

	"epochal/dataset"

	"golang.org/x/image/font"
	"gonum.org/v1/plot/vg"
)

// MaxImages is how many images one cell of a confusion matrix counts, which is more
// than there are: sums stay within an int.
const MaxImages = 1_000_000_000_000

// Confusion draws a confusion matrix: a row for each true class, a column for each
// predicted one, in each cell the number of images and its share of the row.
//
// Right predictions, on the diagonal, are blue. Wrong ones are vermillion, on a
// scale of their own, by the square root of their share: so a few mistakes are seen
// beside many hits. A cell without images stays white. The accuracy of each class
// stands at the right. The more classes and the larger the numbers, the less text has
// room in a cell: first the shares are left out, with some 20 classes, then the
// numbers, and with some 50 classes the accuracies become bars.
//
// confusion is [label][predicted], summed over a number of runs.
//
// format is [PNG] or [SVG]. It is an error if it is another one, if the matrix is not
// square, of 2 to [dataset.MaxClasses] classes, if a number in it is not from 0 to
// [MaxImages], if all of them are 0, if there is no run, or if the title has more than
// [MaxTitle] characters.
func Confusion(w io.Writer, format, title string, confusion [][]int, runs int) error {
	if err := checkFormat(format); err != nil {
		return err
	}
	if err := checkConfusion(confusion, runs); err != nil {
		return err
	}
	if err := checkTitle(title); err != nil {
		return err
	}
	return write(w, func() ([]byte, error) {
		figure := layOutConfusion(printable(title), confusion, runs)
		return render(format, figure.width, figure.height, figure.draw)
	})
}

// checkConfusion reports a matrix that [Confusion] cannot draw.
func checkConfusion(confusion [][]int, runs int) error {
	classes := len(confusion)
	if classes < 2 || classes > dataset.MaxClasses {
		return fmt.Errorf("confusion: found %d rows, expected 2 to %d", classes, dataset.MaxClasses)
	}
	empty := true
	for label, row := range confusion {
		if len(row) != classes {
			return fmt.Errorf("confusion: found %d columns in row %d, expected %d as there are rows", len(row), label, classes)
		}
		for predicted, count := range row {
			if count < 0 || count > MaxImages {
				return fmt.Errorf("confusion: found %d in row %d, column %d, expected 0 to %d", count, label, predicted, MaxImages)
			}
			empty = empty && count == 0
		}
	}
	if empty {
		return errors.New("confusion: found no images in it")
	}
	if runs < 1 {
		return fmt.Errorf("runs: found %d of them, expected at least 1", runs)
	}
	return nil
}

// Measures of a confusion matrix, in dots.
const (
	largestMatrix = 1380 // each way: what the names of classes leave of the page
	largestCell   = 148
	cellGap       = 2  // to the right and below a cell, where it has text
	cellPadding   = 3  // on each side of its text
	shareOffset   = 10 // from the baseline of a number to the top of its share
	largestText   = 28 // of numbers
	smallestText  = 18 // 9 points are the least that is read
	shareSmaller  = 4  // of shares, than numbers
	classOffset   = 14 // from the matrix to the names of classes
	legendOffset  = 40 // from the matrix to the bars of the legend
	legendGap     = 56 // between them
	barLength     = 160
	barHeight     = 20
	accuracyBar   = 76 // length of a whole one, where a class is too low for text
	barOffset     = 12 // from a bar to its labels
)

// confusionFigure is where everything in a confusion matrix stands, in dots.
type confusionFigure struct {
	width, height int
	title, note   []string
	left, top     int // of the matrix
	side          int // of it, each way
	cell          int // each way, with its gap
	countSize     int // 0 for no text
	shareSize     int // 0 for no shares
	every         int // class that is named
	legend        []legendBar
	legendWidth   int

	confusion [][]int
	totals    []int   // of the rows
	lowest    float64 // share of right predictions that has the palest blue
	highest   float64 // share of wrong predictions that has the full vermillion; 0 if there are none
}

// legendBar explains the colours of a kind of cells.
type legendBar struct {
	name      string
	low, high float64 // shares
	paint     func(share float64) color.NRGBA
}

// layOutConfusion places a matrix that was checked.
func layOutConfusion(title string, confusion [][]int, runs int) *confusionFigure {
	classes := len(confusion)
	f := &confusionFigure{confusion: confusion, totals: make([]int, classes)}
	all, right := 0, 0
	for label, row := range confusion {
		for _, count := range row {
			f.totals[label] += count
		}
		all += f.totals[label]
		right += row[label]
	}
	f.scale()
	f.cell = min(largestMatrix/classes, largestCell)
	f.side = classes * f.cell
	f.fitText()

	face := sans(labelSize, font.WeightNormal)
	lastClass := width(face, strconv.Itoa(classes-1))
	for _, f.every = range []int{1, 2, 5, 10, 20, 50} {
		if f.every*f.cell >= lastClass+12 {
			break
		}
	}
	leftWidth := max(lastClass, width(face, "true")) + classOffset
	rightWidth := max(width(face, "correct"), width(face, ">99.9%")) + classOffset
	f.legendWidth = (len(f.legend) - 1) * legendGap
	for _, bar := range f.legend {
		f.legendWidth += bar.width()
	}

	note := fmt.Sprintf("%s of %s correct (%s)", thousands(right), counted(all, "image"), percent(float64(right)/float64(all), 2))
	if runs > 1 {
		note += fmt.Sprintf(", %d runs together", runs)
	}
	note += "."
	if f.shareSize > 0 {
		note += " Percentages are of the true class."
	}
	content := max(leftWidth+f.side+rightWidth, f.legendWidth, titleWidth(title), noteWidth(note))
	f.title = titleLines(title, content)
	f.note = noteLines(note, content)
	f.width = margin + content + margin
	f.left = margin + (content-leftWidth-f.side-rightWidth)/2 + leftWidth
	f.top = margin + titleHeight(f.title) + labelCapitals + captionLine + classOffset
	f.height = f.top + f.side + legendOffset + barHeight + noteHeight(f.note) + margin
	return f
}

// scale decides which shares have the palest and the fullest colours.
func (f *confusionFigure) scale() {
	accuracy, wrong := 1.0, 0.0
	for label, row := range f.confusion {
		for predicted := range row {
			share, ok := f.share(label, predicted)
			switch {
			case !ok:
			case label == predicted:
				accuracy = min(accuracy, share)
			default:
				wrong = max(wrong, share)
			}
		}
	}
	f.lowest = min(math.Floor(accuracy*10)/10, 0.9)
	f.legend = []legendBar{{"correct", f.lowest, 1, f.rightColor}}
	if wrong > 0 {
		for _, f.highest = range []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1} {
			if wrong <= f.highest {
				break
			}
		}
		f.legend = append(f.legend, legendBar{"wrong", 0, f.highest, f.wrongColor})
	}
}

// share returns the share of a cell in its row, which is false for a class
// without images.
func (f *confusionFigure) share(label, predicted int) (float64, bool) {
	if f.totals[label] == 0 {
		return 0, false
	}
	return float64(f.confusion[label][predicted]) / float64(f.totals[label]), true
}

// rightColor is that of a share of right predictions. As that of wrong ones, it is
// never so dark that black text is hard to read.
func (f *confusionFigure) rightColor(share float64) color.NRGBA {
	return white(blue, 0.3+0.55*(1-share)/(1-f.lowest))
}

// wrongColor is that of a share of wrong predictions.
func (f *confusionFigure) wrongColor(share float64) color.NRGBA {
	return white(vermillion, 0.1+0.85*(1-math.Sqrt(share/f.highest)))
}

// color is that of a cell: white if nothing is in it.
func (f *confusionFigure) color(label, predicted int) color.NRGBA {
	share, _ := f.share(label, predicted)
	switch {
	case f.confusion[label][predicted] == 0:
		return white(blue, 1)
	case label == predicted:
		return f.rightColor(share)
	}
	return f.wrongColor(share)
}

// fitText chooses the size of text in the cells: both lines, the number alone, or none.
func (f *confusionFigure) fitText() {
	fits := func(countSize, shareSize int) bool {
		room := f.cell - cellGap - 2*cellPadding
		height := capitals(countSize)
		if shareSize > 0 {
			height += shareOffset + capitals(shareSize)
		}
		if height > room {
			return false
		}
		for label, row := range f.confusion {
			for predicted, count := range row {
				if width(sans(countSize, countWeight(label == predicted)), strconv.Itoa(count)) > room {
					return false
				}
				share, _ := f.share(label, predicted)
				if shareSize > 0 && width(sans(shareSize, font.WeightNormal), percent(share, 1)) > room {
					return false
				}
			}
		}
		return true
	}
	for size := largestText; size >= smallestText; size -= 2 {
		if small := max(size-shareSmaller, smallestText); fits(size, small) {
			f.countSize, f.shareSize = size, small
			return
		}
	}
	for size := largestText; size >= smallestText; size -= 2 {
		if fits(size, 0) {
			f.countSize = size
			return
		}
	}
}

// countWeight shows the diagonal where colours are not seen.
func countWeight(diagonal bool) font.Weight {
	if diagonal {
		return font.WeightBold
	}
	return font.WeightNormal
}

// draw draws the figure.
func (f *confusionFigure) draw(s sheet) {
	drawTitle(s, f.width, f.title)
	right, bottom := f.left+f.side, f.top+f.side
	if f.countSize > 0 {
		s.fill(gridColor, f.left-cellGap, f.top-cellGap, right, bottom)
		f.drawCells(s)
	} else {
		s.fill(axisColor, f.left-frame, f.top-frame, right+frame, bottom+frame)
		s.DrawImage(vg.Rectangle{Min: s.at(f.left, bottom), Max: s.at(right, f.top)}, f.picture())
	}

	face := sans(labelSize, font.WeightNormal)
	baseline := f.top - classOffset
	s.textAt(face, noteColor, centered, f.left+f.side/2, baseline-captionLine, "predicted")
	trueBaseline := baseline
	if f.cell < captionLine { // where it is too near to the first class
		trueBaseline -= captionLine
	}
	s.textAt(face, noteColor, rightAligned, f.left-classOffset, trueBaseline, "true")
	s.textAt(face, noteColor, leftAligned, right+classOffset, baseline, "correct")
	for class := range f.confusion {
		middle := class*f.cell + (f.cell-cellGap)/2
		if class%f.every == 0 {
			s.text(face, f.left+middle, baseline, strconv.Itoa(class))
			s.textAt(face, color.Black, rightAligned, f.left-classOffset, f.top+middle+labelCapitals/2, strconv.Itoa(class))
		}
		accuracy, ok := f.share(class, class)
		switch {
		case f.cell < captionLine: // all of them are drawn below
		case ok:
			s.textAt(face, color.Black, leftAligned, right+classOffset, f.top+middle+labelCapitals/2, percent(accuracy, 1))
		default:
			s.textAt(face, noteColor, leftAligned, right+classOffset, f.top+middle+labelCapitals/2, "–")
		}
	}

	if f.cell < captionLine {
		left := right + classOffset
		s.DrawImage(vg.Rectangle{Min: s.at(left, bottom), Max: s.at(left+accuracyBar, f.top)}, f.accuracyBars())
	}

	x := (f.width - f.legendWidth) / 2
	for _, bar := range f.legend {
		bar.draw(s, x, bottom+legendOffset)
		x += bar.width() + legendGap
	}
	drawNote(s, f.height, f.note)
}

// drawCells draws every cell with its text.
func (f *confusionFigure) drawCells(s sheet) {
	for label, row := range f.confusion {
		for predicted, count := range row {
			left, top := f.left+predicted*f.cell, f.top+label*f.cell
			inner := f.cell - cellGap
			s.fill(f.color(label, predicted), left, top, left+inner, top+inner)
			if count == 0 {
				continue
			}
			height := capitals(f.countSize)
			if f.shareSize > 0 {
				height += shareOffset + capitals(f.shareSize)
			}
			baseline := top + (inner-height)/2 + capitals(f.countSize)
			s.text(sans(f.countSize, countWeight(label == predicted)), left+inner/2, baseline, strconv.Itoa(count))
			if f.shareSize > 0 {
				share, _ := f.share(label, predicted)
				baseline += shareOffset + capitals(f.shareSize)
				s.text(sans(f.shareSize, font.WeightNormal), left+inner/2, baseline, percent(share, 1))
			}
		}
	}
}

// picture is the matrix without text, a square of dots for each cell.
func (f *confusionFigure) picture() image.Image {
	picture := image.NewNRGBA(image.Rect(0, 0, f.side, f.side))
	for y := range f.side {
		for x := range f.side {
			picture.SetNRGBA(x, y, f.color(y/f.cell, x/f.cell))
		}
	}
	return picture
}

// accuracyBars are those of all classes, one below the other: as one picture, so that
// no seams are seen between them.
func (f *confusionFigure) accuracyBars() image.Image {
	picture := image.NewNRGBA(image.Rect(0, 0, accuracyBar, f.side))
	for y := range f.side {
		accuracy, _ := f.share(y/f.cell, y/f.cell)
		for x := range accuracyBar {
			paint := white(blue, 0.9)
			if x < int(math.Round(accuracy*accuracyBar)) {
				paint = white(blue, 0.3)
			}
			picture.SetNRGBA(x, y, paint)
		}
	}
	return picture
}

// texts are what stands to the left and to the right of the bar.
func (b legendBar) texts() (left, right string) {
	return b.name + " " + percent(b.low, 0), percent(b.high, 0)
}

// width is that of the bar with its labels.
func (b legendBar) width() int {
	face := sans(labelSize, font.WeightNormal)
	left, right := b.texts()
	return width(face, left) + barOffset + barLength + barOffset + width(face, right)
}

// draw draws the bar with its labels from its upper left corner.
func (b legendBar) draw(s sheet, x, y int) {
	const swatch = 5
	face := sans(labelSize, font.WeightNormal)
	left, right := b.texts()
	baseline := y + (barHeight+labelCapitals)/2
	x += width(face, left)
	s.textAt(face, noteColor, rightAligned, x, baseline, left)
	x += barOffset
	s.fill(axisColor, x-frame, y-frame, x+barLength+frame, y+barHeight+frame)
	for dots := 0; dots < barLength; dots += swatch {
		share := b.low + (b.high-b.low)*float64(dots+swatch/2)/barLength
		s.fill(b.paint(share), x+dots, y, x+barLength, y+barHeight) // to the end: without seams
	}
	s.textAt(face, noteColor, leftAligned, x+barLength+barOffset, baseline, right)
}
