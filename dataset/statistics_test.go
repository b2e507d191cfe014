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
