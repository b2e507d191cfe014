package figures

import (
	"fmt"
	"image"
	"image/color"
	"strconv"
	"strings"

	"epochal/dataset"
	"epochal/experiments/report/words"

	xdraw "golang.org/x/image/draw"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Batch draws the images of rows with their labels, as the post shows a random
// batch: in a grid in the order of rows, each below its label.
//
// Pixels of 0 are black and those of 255 white, as in the post. These are the values
// that the network gets: a set whose images are negatives of MNIST's can be seen
// to be one. And black tiles hold the grid together on a white page, where dark digits
// would float. Small images are enlarged a whole number of times and keep the edges
// of their pixels; those too large for the page are made smaller.
func Batch(title string, set dataset.Set, rows []int32) Figure {
	var all []tile
	for _, row := range rows {
		all = append(all, tile{int(row), strconv.Itoa(int(set.Labels[row]))})
	}
	return images(title, "", set, all)
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
func Mistakes(title string, set dataset.Set, mistakes []Mistake) Figure {
	var all []tile
	for _, m := range mistakes {
		all = append(all, tile{m.Image, fmt.Sprintf("%d → %d\n%s", m.Label, m.Predicted, words.Percent(m.Confidence, 1))})
	}
	return images(title, "True → predicted class, and the network's confidence in it.", set, all)
}

// tile is an image of a set below its caption, of one or two lines.
type tile struct {
	row     int
	caption string
}

// images draws tiles in a grid between a title and a note.
func images(title, note string, set dataset.Set, tiles []tile) Figure {
	const space, natural = 8, 112 // between tiles; an image is not enlarged beyond natural
	style := sans(textSize, color.Black)
	style.XAlign, style.YAlign = draw.XCenter, draw.YTop
	first := style
	if note != "" {
		first = bold(style) // of several lines
	}

	columns := max(1, min(len(tiles), 8)) // a usual batch of 32 or 64 fills its rows
	if len(tiles) > 64 {
		columns = 16
	}
	room := int(widest-2*margin+space)/columns - space
	size := tileSize(set, room*dotsPerPoint, natural*dotsPerPoint)
	image := vg.Point{X: vg.Length(size.X) / dotsPerPoint, Y: vg.Length(size.Y) / dotsPerPoint}
	cell, caption := image, vg.Length(0)
	for _, t := range tiles {
		cell.X = max(cell.X, first.Width(t.caption))
		caption = max(caption, vg.Length(1+strings.Count(t.caption, "\n"))*(textSize+1)+4)
	}
	cell = vg.Point{X: whole(cell.X), Y: whole(image.Y + caption)}
	rows := (len(tiles) + columns - 1) / columns
	return newFigure(title, note,
		vg.Length(columns)*(cell.X+space)-space, vg.Length(rows)*(cell.Y+space)-space,
		func(c draw.Canvas) {
			for i, t := range tiles {
				left, top := c.Min.X+vg.Length(i%columns)*(cell.X+space), c.Max.Y-vg.Length(i/columns)*(cell.Y+space)
				above, below, _ := strings.Cut(t.caption, "\n")
				c.FillText(first, vg.Point{X: left + cell.X/2, Y: top}, above)
				c.FillText(style, vg.Point{X: left + cell.X/2, Y: top - textSize - 1}, below)
				corner := vg.Point{X: left + whole((cell.X-image.X)/2), Y: top - caption - image.Y}
				c.DrawImage(vg.Rectangle{Min: corner, Max: corner.Add(image)}, scaled(set, t.row, size))
			}
		})
}

// tileSize is that of an image in dots: enlarged or made smaller by a whole number,
// so that it is at most room each way and, if it was enlarged, natural.
func tileSize(set dataset.Set, room, natural int) image.Point {
	longest := max(set.Rows, set.Columns)
	if longest > room {
		smaller := (longest + room - 1) / room
		return image.Pt((set.Columns+smaller-1)/smaller, (set.Rows+smaller-1)/smaller)
	}
	larger := max(1, min(room, natural)/longest)
	return image.Pt(set.Columns*larger, set.Rows*larger)
}

// scaled is an image of the set in a size.
func scaled(set dataset.Set, row int, size image.Point) *image.Gray {
	from := &image.Gray{Pix: set.Image(row), Stride: set.Columns, Rect: image.Rect(0, 0, set.Columns, set.Rows)}
	to := image.NewGray(image.Rectangle{Max: size})
	var scaler xdraw.Scaler = xdraw.NearestNeighbor
	if size.X < set.Columns || size.Y < set.Rows {
		scaler = xdraw.BiLinear // of all pixels that a dot covers
	}
	scaler.Scale(to, to.Rect, from, from.Rect, xdraw.Src, nil)
	return to
}
