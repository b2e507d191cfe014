package figures

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"epochal/dataset"
	"epochal/experiments/report/words"

	xdraw "golang.org/x/image/draw"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Batch draws the images of rows with their labels, as the post shows a random
// batch: in a grid in the order of rows, each below its label. names are those of the
// classes; nil for numbers.
//
// Pixels of 0 are black and those of 255 white, as in the post. These are the values
// that the network gets: a set whose images are negatives of MNIST's can be seen
// to be one. And black tiles hold the grid together on a white page, where dark digits
// would float. Small images are enlarged a whole number of times and keep the edges
// of their pixels; those too large for the page are made smaller.
func Batch(title string, set dataset.Set, names []string, rows []int32) Figure {
	shown, replaced := classNames(captionStyle(), names, dataset.MaxClasses, widestCaption)
	var all []tile
	for _, row := range rows {
		all = append(all, tile{pictureOf(set, int(row)), []string{shown[set.Labels[row]]}})
	}
	return images(title, strings.TrimSpace(replaced), all)
}

// Mistake is a test image that a network got wrong.
type Mistake struct {
	Image      int     // its number in the set
	Label      int     // what it is
	Predicted  int     // what it was taken for
	Confidence float64 // probability of the predicted class, 0 to 1
}

// Mistakes draws wrong images of a set in the order in which they are given, as [Batch]
// does, each below its true and its predicted class, "5 → 3", and the confidence.
func Mistakes(title string, set dataset.Set, names []string, mistakes []Mistake) Figure {
	shown, replaced := classNames(captionStyle(), names, dataset.MaxClasses, widestCaption)
	between := " → "
	if widestOf(captionStyle(), shown) > widestCaption/2 {
		between = "\n→ "
	}
	var all []tile
	for _, m := range mistakes {
		classes := strings.Split(shown[m.Label]+between+shown[m.Predicted], "\n")
		all = append(all, tile{pictureOf(set, m.Image), append(classes, words.Probability(m.Confidence, 1))})
	}
	return images(title, "True → predicted class, and the network's confidence in it."+replaced, all)
}

// mostUnits is how many units [Weights] draws.
const mostUnits = 64

// Weights draws the weights of a layer's units from the pixels of an image, [units]
// [rows*columns], each as an image below the unit's number, counted from 0: positive ones
// blue, negative ones vermillion, the more of it the larger, on one scale for all. Of
// many units it draws those that have the largest weights, and says so.
func Weights(title string, rows, columns int, units [][]float32) Figure {
	order, norms, most := make([]int, len(units)), make([]float64, len(units)), 1e-12
	for i, unit := range units {
		order[i] = i
		for _, weight := range unit {
			norms[i] += float64(weight) * float64(weight)
		}
	}
	note := ""
	if len(units) > mostUnits {
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(norms[b], norms[a]) })
		order = order[:mostUnits]
		note = fmt.Sprintf("The %d of %s whose weights are largest by the sum of their squares, that with the largest first. ",
			mostUnits, words.Counted(len(units), "unit"))
	}
	for _, unit := range order {
		for _, weight := range units[unit] {
			most = max(most, math.Abs(float64(weight)))
		}
	}
	var all []tile
	for _, unit := range order {
		picture := image.NewNRGBA(image.Rect(0, 0, columns, rows))
		for i, weight := range units[unit] {
			paint, share := blue, float64(weight)/most
			if weight < 0 {
				paint, share = vermillion, -share
			}
			picture.SetNRGBA(i%columns, i/columns, pale(paint, 1-share))
		}
		all = append(all, tile{picture, []string{strconv.Itoa(unit)}})
	}
	note += fmt.Sprintf("Positive weights are blue, negative ones vermillion, zero is white; the full colours are ±%.2g.", most)
	return images(title, note, all)
}

// widestCaption is the most that a class takes in a caption, so that eight captions fit
// side by side, one with an arrow as well.
const widestCaption = 62

// tile is a picture below its caption. Of several lines, all but the last are bold.
type tile struct {
	picture image.Image
	caption []string
}

// captionStyle is the widest that captions have.
func captionStyle() text.Style { return bold(sans(textSize, color.Black)) }

// pictureOf is an image of a set.
func pictureOf(set dataset.Set, row int) image.Image {
	return &image.Gray{Pix: set.Image(row), Stride: set.Columns, Rect: image.Rect(0, 0, set.Columns, set.Rows)}
}

// images draws tiles in a grid between a title and a note.
func images(title, note string, tiles []tile) Figure {
	const space, natural = 8, 112 // between tiles; an image is not enlarged beyond natural
	style := sans(textSize, color.Black)
	style.XAlign, style.YAlign = draw.XCenter, draw.YTop
	first := style
	if len(tiles[0].caption) > 1 {
		first = bold(style)
	}
	cell, caption := vg.Point{}, vg.Length(0)
	for _, t := range tiles {
		cell.X = max(cell.X, widestOf(first, t.caption))
		caption = max(caption, vg.Length(len(t.caption))*(textSize+1)+4)
	}

	columns := max(1, min(len(tiles), 8)) // a usual batch of 32 or 64 fills its rows
	if len(tiles) > 64 && cell.X <= 32 {
		columns = 16
	}
	room := int(widest-2*margin+space)/columns - space
	size := tileSize(tiles[0].picture.Bounds().Size(), room*dotsPerPoint, natural*dotsPerPoint)
	image := vg.Point{X: vg.Length(size.X) / dotsPerPoint, Y: vg.Length(size.Y) / dotsPerPoint}
	cell = vg.Point{X: whole(max(cell.X, image.X)), Y: whole(image.Y + caption)}
	rows := (len(tiles) + columns - 1) / columns
	return newFigure(title, note,
		vg.Length(columns)*(cell.X+space)-space, vg.Length(rows)*(cell.Y+space)-space,
		func(c draw.Canvas) {
			for i, t := range tiles {
				left, top := c.Min.X+vg.Length(i%columns)*(cell.X+space), c.Max.Y-vg.Length(i/columns)*(cell.Y+space)
				for line, text := range t.caption {
					of := first
					if line > 0 && line == len(t.caption)-1 {
						of = style
					}
					c.FillText(of, vg.Point{X: left + cell.X/2, Y: top - vg.Length(line)*(textSize+1)}, text)
				}
				corner := vg.Point{X: left + whole((cell.X-image.X)/2), Y: top - caption - image.Y}
				c.DrawImage(vg.Rectangle{Min: corner, Max: corner.Add(image)}, scaled(t.picture, size))
			}
		})
}

// tileSize is that of an image in dots: enlarged or made smaller by a whole number,
// so that it is at most room each way and, if it was enlarged, natural.
func tileSize(picture image.Point, room, natural int) image.Point {
	longest := max(picture.X, picture.Y)
	if longest > room {
		smaller := (longest + room - 1) / room
		return image.Pt((picture.X+smaller-1)/smaller, (picture.Y+smaller-1)/smaller)
	}
	larger := max(1, min(room, natural)/longest)
	return picture.Mul(larger)
}

// scaled is a picture in a size.
func scaled(from image.Image, size image.Point) image.Image {
	var to xdraw.Image = image.NewGray(image.Rectangle{Max: size})
	if _, gray := from.(*image.Gray); !gray {
		to = image.NewNRGBA(to.Bounds())
	}
	var scaler xdraw.Scaler = xdraw.NearestNeighbor
	if was := from.Bounds().Size(); size.X < was.X || size.Y < was.Y {
		scaler = xdraw.BiLinear // of all pixels that a dot covers
	}
	scaler.Scale(to, to.Bounds(), from, from.Bounds(), xdraw.Src, nil)
	return to
}
