package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"epochal/experiments/bench"

	"golang.org/x/image/font"
)

// panelOf is a panel of one line of numbers of images per second.
func panelOf(images ...float64) []throughputPanel {
	var line throughputLine
	for i, x := range images {
		line.points = append(line.points, throughputPoint{32 << i, bench.Summary{N: 1, Median: x, Low: math.Inf(-1), High: math.Inf(1)}})
	}
	return []throughputPanel{{batch: 64, depth: 2, lines: []throughputLine{line}}}
}

func TestImagesAxis(t *testing.T) {
	for _, test := range []struct {
		images   []float64
		expected string
	}{
		{[]float64{57_000, 835_000}, "50k 100k 200k 500k 1M"},
		{[]float64{57_000}, "50k 100k"},
		{[]float64{100_000}, "100k 200k"},
		{[]float64{100_000, 200_000}, "100k 200k"},
		{[]float64{1487, 835_000}, "1k 2k 5k 10k 20k 50k 100k 200k 500k 1M"},
		{[]float64{480, 2_000_000}, "100 1k 10k 100k 1M 10M"},
		{[]float64{0.3, 5}, "0.2 0.5 1 2 5"},
		{[]float64{1e-9, 1e16}, "1e-09 1e-06 0.001 1 1k 1M 1G 1T 1e+15"},
	} {
		a, all := imagesAxis(panelOf(test.images...))
		if found := strings.Join(labels(all), " "); found != test.expected {
			t.Errorf("%v: found %s, expected %s", test.images, found, test.expected)
		}
		if low, high := math.Log10(slices.Min(test.images)), math.Log10(slices.Max(test.images)); a.low > low+1e-9 || a.high < high-1e-9 || a.low >= a.high {
			t.Errorf("%v: found an axis from %v to %v, expected all of them on it", test.images, a.low, a.high)
		}
	}
}

// Twice the width is the same way everywhere, and ten times the images too.
func TestThroughputIsLogarithmic(t *testing.T) {
	panels := panelOf(1000, 10_000, 100_000, 1_000_000)
	runner := bench.Cell{Backend: "xla:cpu", Precision: bench.Float32}
	panels[0].lines[0].runner = runner.Runner()
	f := layOutThroughput(bench.Results{Cells: []bench.CellResult{{Cell: runner}}}, panels)
	dots := f.panels[0].marks[0]
	for i := range dots[2:] {
		a, b, c := dots[i], dots[i+1], dots[i+2]
		if math.Abs((b.x-a.x)-(c.x-b.x)) > 1e-6 || math.Abs((b.y-a.y)-(c.y-b.y)) > 1e-6 || b.x <= a.x || b.y >= a.y {
			t.Errorf("found the dots %v, %v, %v, expected equal ways up and to the right", a, b, c)
		}
	}
	if first, last := dots[0], dots[3]; first.y != float64(f.panels[0].bottom) || last.y != float64(f.panels[0].top) {
		t.Errorf("found %v and %v, expected the ends of the panel", first, last)
	}
}

// Whatever was measured, nothing leaves the page, and no label is on a line or on
// another one where there is room beside them.
func TestThroughputKeepsToThePage(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	face := sans(endSize, font.WeightBold)
	for range 40 {
		var r bench.Results
		for i := range 1 + random.IntN(14) {
			runner := bench.Runner{Backend: fmt.Sprintf("%d%s", i, strings.Repeat("W", random.IntN(40))), Precision: bench.Float32}
			for _, batch := range []int{8, 16, 32, 64, 128, 256, 512, 1024}[:1+random.IntN(8)] {
				for _, width := range []int{1, 32, 33, 34, 1024, 65_536}[:1+random.IntN(6)] {
					c := bench.CellResult{Cell: bench.Cell{Backend: runner.Backend, Precision: runner.Precision, LayerSizes: []int{width}, BatchSize: batch, StepsPerCall: bench.WholeEpoch, Feed: bench.FeedResident}}
					epoch := math.Pow(10, 4*random.Float64())
					for range 1 + random.IntN(7) {
						c.Rounds = append(c.Rounds, bench.Measurement{Epoch: epoch * (1 + 0.1*random.Float64())})
					}
					r.Cells = append(r.Cells, c)
				}
			}
		}
		f := layOutThroughput(r, throughputPanels(r))
		if len(f.panels) > MaxPanels || f.height > 3000 {
			t.Errorf("found %d panels on %d dots", len(f.panels), f.height)
		}
		for _, p := range f.panels {
			if len(p.labels) > maxLines || len(p.rings) > maxMarked {
				t.Errorf("found %d labels and %d crossovers", len(p.labels), len(p.rings))
			}
			for i, label := range p.labels {
				if right := int(label.end.x) + endOffset + width(face, label.text); right > f.width-margin {
					t.Errorf("found %q up to %d, expected at most %d", label.text, right, f.width-margin)
				}
				for _, other := range p.labels[:i] {
					if distance := math.Abs(label.middle - other.middle); distance < endHeight-1e-9 {
						t.Errorf("found %q and %q %v dots apart, expected at least %d", label.text, other.text, distance, endHeight)
					}
				}
			}
			inside := box{float64(f.left), float64(p.top), float64(f.right), float64(p.bottom)}
			for _, dots := range p.marks {
				for _, d := range dots {
					if !inside.has(d) {
						t.Errorf("found a mark at %v, expected it in %v", d, inside)
					}
				}
			}
			for _, ring := range p.rings {
				if !inside.has(ring.at) || !inside.has(dot{ring.label.left, ring.label.top}) || !inside.has(dot{ring.label.right, ring.label.bottom}) {
					t.Errorf("found a crossover at %v with its label in %v, expected both in %v", ring.at, ring.label, inside)
				}
			}
		}
		var out strings.Builder
		if err := BenchFigure(&out, SVG, r); err != nil || strings.Contains(out.String(), "NaN") || strings.Contains(out.String(), "Inf") {
			t.Errorf("found the error %v, or NaN or Inf in the file", err)
		}
	}
}

// Only where the fastest one changes is marked: not where two slower ones cross.
func TestThroughputMarksTheFastest(t *testing.T) {
	var r bench.Results
	for backend, images := range map[string][2]float64{"a": {8000, 500}, "b": {2000, 2000}, "c": {1000, 100}, "d": {100, 1000}} {
		for i, width := range []int{100, 1600} {
			c := bench.CellResult{Cell: bench.Cell{Backend: backend, Precision: bench.Float32, LayerSizes: []int{width}, BatchSize: 64, StepsPerCall: bench.WholeEpoch, Feed: bench.FeedResident}}
			for j := range 5 {
				c.Rounds = append(c.Rounds, bench.Measurement{Epoch: bench.TrainImages / images[i] * (1 + 0.01*float64(j-2))})
			}
			r.Cells = append(r.Cells, c)
		}
	}
	p := layOutThroughput(r, throughputPanels(r)).panels[0]
	if len(p.rings) != 1 || p.rings[0].text != "b overtakes a at 400" {
		t.Errorf("found %+v, expected b's overtaking at 400", p.rings)
	}
}
