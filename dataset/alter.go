package dataset

import "math"

// alter leaves the training images that o wants, and puts the pixels of all images in another order.
// What d is known as stays, and so do published statistics; the checksums are those of the result.
func (d *Dataset) alter(o Options) {
	if o.TrainImages > 0 {
		_, d.Train = d.Train.partition(draw(o.Seed, d.Train.Len(), o.TrainImages))
		if !d.keepStatistics {
			d.Mean, d.Deviation = d.Train.normalization()
		}
	}
	if o.PermutePixels != 0 {
		order := PixelOrder(o.PermutePixels, d.Train.Rows*d.Train.Columns)
		d.Train, d.Test = d.Train.permuted(order), d.Test.permuted(order)
	}
	for i, set := range []Set{d.Train, d.Test} {
		d.Files[2*i].SHA256 = checksum(set.Pixels, imagesMagic, set.Len(), set.Rows, set.Columns)
		d.Files[2*i+1].SHA256 = checksum(set.Labels, labelsMagic, set.Len())
	}
}

// PixelOrder is the permutation of Options.PermutePixels for images of so many pixels: pixel i of
// an image that is read with it is pixel PixelOrder[i] of the image without.
func PixelOrder(seed uint64, pixels int) []int32 { return Order(seed, splitEpoch, pixels) }

// permuted has the pixels of every image in the order.
func (s Set) permuted(order []int32) Set {
	pixels := make([]byte, 0, len(s.Pixels))
	for i := range s.Len() {
		image := s.Image(i)
		for _, pixel := range order {
			pixels = append(pixels, image[pixel])
		}
	}
	s.Pixels = pixels
	return s
}

// Shifted moves every image down and to the right by so many pixels, up and to the left where
// they are negative. What leaves the frame is lost; what enters it is 0.
func (s Set) Shifted(down, right int) Set {
	return s.moved(func(row, column float64) (float64, float64) { return row - float64(down), column - float64(right) })
}

// Rotated turns every image clockwise around its middle, with linear interpolation between
// its pixels. What enters the frame is 0.
func (s Set) Rotated(degrees float64) Set {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	top, left := float64(s.Rows-1)/2, float64(s.Columns-1)/2
	return s.moved(func(row, column float64) (float64, float64) {
		down, right := row-top, column-left
		return top + cos*down - sin*right, left + sin*down + cos*right
	})
}

// moved takes every pixel from where it was.
func (s Set) moved(from func(row, column float64) (float64, float64)) Set {
	// A pixel is the weighted sum of at most four, the same ones in all images.
	type share struct {
		pixel  int
		weight float64
	}
	shares := make([][]share, s.Rows*s.Columns)
	for pixel := range shares {
		row, column := from(float64(pixel/s.Columns), float64(pixel%s.Columns))
		top, left := math.Floor(row), math.Floor(column)
		for i := range 4 {
			r, c := top+float64(i/2), left+float64(i%2)
			weight := (1 - math.Abs(row-r)) * (1 - math.Abs(column-c))
			if weight > 0 && r >= 0 && c >= 0 && r < float64(s.Rows) && c < float64(s.Columns) {
				shares[pixel] = append(shares[pixel], share{int(r)*s.Columns + int(c), weight})
			}
		}
	}
	pixels := make([]byte, 0, len(s.Pixels))
	for i := range s.Len() {
		image := s.Image(i)
		for _, from := range shares {
			sum := 0.5 // to round
			for _, share := range from {
				sum += share.weight * float64(image[share.pixel])
			}
			pixels = append(pixels, byte(sum))
		}
	}
	s.Pixels = pixels
	return s
}
