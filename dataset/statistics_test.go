package dataset_test

import (
	"bytes"
	"math"
	"testing"

	"epochal/dataset"
)

func TestStatistics(t *testing.T) {
	for name, c := range map[string]struct {
		pixels          []byte
		mean, deviation float64
	}{
		"none":          {nil, 0, 0},
		"one":           {[]byte{255}, 1, 0},
		"constant":      {bytes.Repeat([]byte{51}, 1003), 0.2, 0},
		"black, white":  {[]byte{0, 255}, 0.5, 0.5},
		"five":          {[]byte{0, 0, 0, 0, 255}, 0.2, 0.4},
		"of population": {[]byte{0, 51, 102}, 0.2, 0.2 * math.Sqrt(2./3)},
	} {
		mean, deviation := dataset.Statistics(c.pixels)
		if math.Abs(mean-c.mean) > 1e-15 || math.Abs(deviation-c.deviation) > 1e-15 {
			t.Errorf("%s: found %v and %v, expected %v and %v", name, mean, deviation, c.mean, c.deviation)
		}
	}
}

// Measured over 1,000 training images: the share with an empty edge, and the mean
// distance of the centre of mass from the middle, in pixels of 28:
//
//	MNIST           98.1%  0.76
//	by their boxes  98.1%  1.55  (MNIST's, were they centred as EMNIST's are)
//	Fashion-MNIST    0.0%  1.76
func TestCentred(t *testing.T) {
	mnist, err := dataset.Read(dataset.MNIST, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	digits := dataset.Set{Pixels: mnist.Train.Pixels[:200*28*28], Labels: mnist.Train.Labels[:200], Rows: 28, Columns: 28}
	changed := func(change func(pixels []byte)) dataset.Set {
		s := digits
		s.Pixels = bytes.Clone(digits.Pixels)
		change(s.Pixels)
		return s
	}
	for name, c := range map[string]struct {
		set  dataset.Set
		want bool
	}{
		"mnist":          {mnist.Train, true},
		"mnist's digits": {digits, true},
		"dark on light": {changed(func(pixels []byte) {
			for i := range pixels {
				pixels[i] = 255 - pixels[i]
			}
		}), false},
		"a frame in a sixth of them": {changed(func(pixels []byte) {
			for i := 0; i < len(pixels); i += 6 * 28 * 28 {
				pixels[i] = 1
			}
		}), false},
		"off the middle":  {changed(func(pixels []byte) { copy(pixels, digits.Pixels[3*28:]) }), false},
		"filled":          {dataset.Set{Pixels: bytes.Repeat([]byte{200}, 16*10), Labels: make([]byte, 10), Rows: 4, Columns: 4}, false},
		"nothing in them": {dataset.Set{Pixels: make([]byte, 16*10), Labels: make([]byte, 10), Rows: 4, Columns: 4}, false},
		"none":            {dataset.Set{Rows: 4, Columns: 4}, false},
	} {
		if found := c.set.Centred(); found != c.want {
			t.Errorf("%s: found %t, expected %t", name, found, c.want)
		}
	}
}
