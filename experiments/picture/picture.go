// Package picture turns image files into what a network sees: [Decode] reads a file,
// [Prepare] does with a picture of a digit what MNIST's authors did, [Raw] only makes
// it grey and scales it. Whoever shows a network pictures that people made uses this
// package, so that the command line and a drawing in a browser cannot differ.
//
// Image files are hostile input: their size is checked before they are decoded. The
// package knows no network, only the size of the images that it expects, and writes nothing.
package picture

import (
	"bytes"
	"errors"
	"image"
	"image/draw"
	"slices"

	xdraw "golang.org/x/image/draw"
)

// ErrEmpty is the error of a picture on which nothing is drawn.
var ErrEmpty = errors.New("found nothing drawn: the picture has one brightness throughout")

// MNIST's digits fill a box of 20 pixels in an image of 28.
const boxSide, imageSide = 20, 28

// contrast is the least difference in brightness, of 255, between what is drawn and
// its background.
const contrast = 24

// Prepare does what MNIST's authors did with what somebody wrote: a light digit on a
// dark background, its longest side 20 of 28 pixels, its centre of mass in the middle.
// So it matters neither where in the picture the digit is, nor how large, nor whether
// it is dark on light paper. Transparent pixels are background. The result is
// [rows*columns], 0 for the background. A picture without anything on it is [ErrEmpty].
func Prepare(img image.Image, rows, columns int) ([]uint8, error) {
	ink, err := inked(grey(img))
	if err != nil {
		return nil, err
	}
	box := bounds(ink)
	scale := min(float64(rows)/float64(box.Dy()), float64(columns)/float64(box.Dx())) * boxSide / imageSide
	width, height := max(1, int(float64(box.Dx())*scale+0.5)), max(1, int(float64(box.Dy())*scale+0.5))
	digit := scaled(ink, box, width, height)
	stretch(digit.Pix)

	// The pixel with the centre of mass becomes the middle one, as in all of MNIST's
	// images, as long as nothing is cut off.
	x, y := centre(digit)
	left, top := max(0, min(columns-width, columns/2-int(x))), max(0, min(rows-height, rows/2-int(y)))
	pixels := make([]uint8, rows*columns)
	for row := range height {
		copy(pixels[(top+row)*columns+left:], digit.Pix[row*width:(row+1)*width])
	}
	return pixels, nil
}

// Raw makes a picture grey and scales it to rows by columns, [rows*columns]. One of
// that size is left as it is. Transparent pixels are black.
func Raw(img image.Image, rows, columns int) []uint8 {
	pixels, _ := luminance(img)
	return scaled(pixels, pixels.Rect, columns, rows).Pix
}

// scaled is a part of an image in another size, antialiased.
func scaled(from *image.Gray, part image.Rectangle, width, height int) *image.Gray {
	to := image.NewGray(image.Rect(0, 0, width, height))
	xdraw.CatmullRom.Scale(to, to.Rect, from, part, xdraw.Src, nil)
	return to
}

// luminance is the brightness of every pixel on black, and how opaque it is, 0 to 255.
// The result begins at (0, 0).
func luminance(img image.Image) (brightness *image.Gray, opacity []uint8) {
	brightness = image.NewGray(image.Rectangle{Max: img.Bounds().Size()})
	if photo, ok := img.(*image.YCbCr); ok { // which has the brightness by itself
		first, width := photo.YOffset(photo.Rect.Min.X, photo.Rect.Min.Y), brightness.Stride
		for y := range brightness.Rect.Dy() {
			copy(brightness.Pix[y*width:(y+1)*width], photo.Y[first+y*photo.YStride:])
		}
		return brightness, bytes.Repeat([]byte{255}, len(brightness.Pix))
	}
	// Drawing knows fast ways from every kind of image to this one.
	colours := image.NewRGBA(brightness.Rect)
	draw.Draw(colours, colours.Rect, img, img.Bounds().Min, draw.Src)
	opacity = make([]uint8, len(brightness.Pix))
	for i := range brightness.Pix {
		c := colours.Pix[4*i : 4*i+4]
		// As color.GrayModel has it, with weights that add up to 1<<16.
		brightness.Pix[i] = uint8((19595*uint32(c[0]) + 38470*uint32(c[1]) + 7471*uint32(c[2]) + 1<<15) >> 16)
		opacity[i] = c[3]
	}
	return brightness, opacity
}

// grey is the brightness of a picture whose transparent pixels are as bright as its
// background. That is the usual brightness of the others, unless these are few, or
// alike: then they are what is drawn, and the background is the contrary.
func grey(img image.Image) *image.Gray {
	if already, ok := img.(*image.Gray); ok && already.Rect.Min == (image.Point{}) &&
		already.Stride == already.Rect.Dx() && len(already.Pix) == already.Stride*already.Rect.Dy() {
		return already // as a drawing comes, with every stroke
	}
	brightness, opacity := luminance(img)
	var opaque [256]int
	count, lightest, darkest := 0, uint8(0), uint8(255)
	for i, y := range brightness.Pix {
		if opacity[i] == 255 {
			opaque[y]++
			count++
			lightest, darkest = max(lightest, y), min(darkest, y)
		}
	}
	if count == len(opacity) {
		return brightness
	}
	background := median(opaque[:])
	if 2*count < len(opacity) || int(lightest)-int(darkest) < contrast {
		if background >= 128 {
			background = 0
		} else {
			background = 255
		}
	}
	for i, alpha := range opacity {
		brightness.Pix[i] += uint8(uint32(255-alpha) * uint32(background) / 255)
	}
	return brightness
}

// inked is how much of every pixel is drawn on, 0 to 255. The background is what
// the edge of the picture shows; what differs from it no more than the edge itself varies
// is background too, as the grain of paper in a photograph.
func inked(picture *image.Gray) (*image.Gray, error) {
	background := median(edge(picture, func(y uint8) uint8 { return y }))
	lightest, darkest := int(slices.Max(picture.Pix)), int(slices.Min(picture.Pix))
	above := func(y uint8) uint8 { return uint8(max(0, int(y)-background)) }
	most := lightest - background
	if background-darkest > most { // dark on light
		above = func(y uint8) uint8 { return uint8(max(0, background-int(y))) }
		most = background - darkest
	}
	if most < contrast {
		return nil, ErrEmpty
	}
	grain := min(2*quantile(edge(picture, above), 0.9), most/3)
	var table [256]uint8
	for y := range table {
		table[y] = uint8(max(0, int(above(uint8(y)))-grain) * 255 / (most - grain))
	}
	ink := image.NewGray(picture.Rect)
	for i, y := range picture.Pix {
		ink.Pix[i] = table[y]
	}
	return ink, nil
}

// edge counts the values of the pixels at the edge of a picture.
func edge(picture *image.Gray, value func(y uint8) uint8) []int {
	counts := make([]int, 256)
	width, height := picture.Rect.Dx(), picture.Rect.Dy()
	for x := range width {
		counts[value(picture.Pix[x])]++
		counts[value(picture.Pix[(height-1)*width+x])]++
	}
	for y := range height {
		counts[value(picture.Pix[y*width])]++
		counts[value(picture.Pix[y*width+width-1])]++
	}
	return counts
}

// median and quantile are those of values that are given by their counts.
func median(counts []int) int { return quantile(counts, 0.5) }

func quantile(counts []int, share float64) int {
	all := 0
	for _, count := range counts {
		all += count
	}
	below := 0
	for value, count := range counts {
		if below += count; float64(below) >= share*float64(all) && below > 0 {
			return value
		}
	}
	return 0
}

// bounds is the smallest rectangle with everything that is drawn on visibly.
func bounds(ink *image.Gray) image.Rectangle {
	const visible = 80
	var box image.Rectangle
	width := ink.Rect.Dx()
	for y := range ink.Rect.Dy() {
		row := ink.Pix[y*width : (y+1)*width]
		drawn := func(i uint8) bool { return i >= visible }
		first := slices.IndexFunc(row, drawn)
		if first < 0 {
			continue
		}
		last := width - 1
		for !drawn(row[last]) {
			last--
		}
		box = box.Union(image.Rect(first, y, last+1, y+1))
	}
	return box
}

// stretch makes the largest value 255.
func stretch(pixels []uint8) {
	if most := int(slices.Max(pixels)); most > 0 {
		for i, p := range pixels {
			pixels[i] = uint8(int(p) * 255 / most)
		}
	}
}

// centre is the centre of mass of a digit, in pixels from its corner.
func centre(digit *image.Gray) (x, y float64) {
	var mass, across, down float64
	width := digit.Rect.Dx()
	for i, p := range digit.Pix {
		mass += float64(p)
		across += float64(p) * (float64(i%width) + 0.5)
		down += float64(p) * (float64(i/width) + 0.5)
	}
	return across / mass, down / mass
}
