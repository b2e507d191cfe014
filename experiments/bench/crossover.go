package bench

import (
	"math"
	"slices"
)

// Axis is the axis of the grid along which crossovers are sought.
type Axis string

// The axes.
const (
	AlongWidth Axis = "width"
	AlongBatch Axis = "batch size"
)

// Crossover is which of two backends trains faster along one axis of the grid,
// everything else being equal.
type Crossover struct {
	Along Axis
	A, B  Runner

	// Line is the place of A that all points share, with 0 for what they differ in: each
	// of the LayerSizes along the width, BatchSize along the batch size.
	Line Cell

	Points    []CrossoverPoint // at least 2, ascending
	Crossings []Crossing       // ascending; none if there is none within the grid
}

// CrossoverPoint is a place of the grid where both backends were measured.
type CrossoverPoint struct {
	At   int     // width or batch size
	A, B Summary // images per second
	Sure bool    // they differ by more than noise
}

// aFaster reports whether A's median is the higher one.
func (p CrossoverPoint) aFaster() bool { return p.A.Median > p.B.Median }

// logRatio is above 0 where A is faster.
func (p CrossoverPoint) logRatio() float64 { return math.Log(p.A.Median / p.B.Median) }

// Crossing is where the faster backend changes.
type Crossing struct {
	At        float64 // width or batch size, by a straight line on logarithmic axes between two neighbouring points
	Low, High int     // the nearest points on both sides that differ by more than noise
	Faster    Runner  // from there on
}

// Crossovers compare each pair of backends along the widths of networks whose hidden
// layers share one width, and along the batch sizes of each network. Precisions are never
// mixed within a backend, but TF32 of one is compared with float32 of another that
// has no choice. At least two points are needed.
//
// The faster backend changes only between points that differ by more than noise in
// opposite directions. Points between those are within noise and only serve to
// interpolate.
func Crossovers(r Results) []Crossover {
	var runners []Runner
	for _, c := range r.Cells {
		if !slices.Contains(runners, c.Cell.Runner()) && len(c.Rounds) > 0 {
			runners = append(runners, c.Cell.Runner())
		}
	}
	var all []Crossover
	for i, a := range runners {
		for _, b := range runners[i+1:] {
			if a.Backend == b.Backend {
				continue
			}
			for _, along := range []Axis{AlongWidth, AlongBatch} {
				all = append(all, crossoversOf(r, along, a, b)...)
			}
		}
	}
	return all
}

// crossoversOf are those of a pair along one axis.
func crossoversOf(r Results, along Axis, a, b Runner) []Crossover {
	var all []Crossover
	for _, mine := range r.Cells {
		other := mine.Cell
		other.Backend, other.Precision = b.Backend, b.Precision
		theirs := r.measured(other)
		if mine.Cell.Runner() != a || len(mine.Rounds) == 0 || theirs == nil {
			continue
		}
		at, line := mine.Cell.BatchSize, mine.Cell
		if along == AlongBatch {
			line.BatchSize = 0
		} else if width, square := line.Width(); square {
			at, line.LayerSizes = width, make([]int, len(line.LayerSizes))
		} else {
			continue
		}
		place := slices.IndexFunc(all, func(c Crossover) bool { return c.Line.Equal(line) })
		if place < 0 {
			place, all = len(all), append(all, Crossover{Along: along, A: a, B: b, Line: line})
		}
		all[place].Points = append(all[place].Points, CrossoverPoint{
			At: at, A: Summarize(mine.Throughput()), B: Summarize(theirs.Throughput()), Sure: Differ(mine.Throughput(), theirs.Throughput()),
		})
	}
	all = slices.DeleteFunc(all, func(c Crossover) bool { return len(c.Points) < 2 })
	for i := range all {
		slices.SortStableFunc(all[i].Points, func(x, y CrossoverPoint) int { return x.At - y.At })
		all[i].Crossings = crossings(all[i])
	}
	return all
}

// Width is that of all hidden layers, if they share one and there are any.
func (c Cell) Width() (width int, square bool) {
	if len(c.LayerSizes) == 0 {
		return 0, false
	}
	for _, width := range c.LayerSizes {
		if width != c.LayerSizes[0] {
			return 0, false
		}
	}
	return c.LayerSizes[0], true
}

func crossings(c Crossover) []Crossing {
	var all []Crossing
	last := -1 // of the points that differ
	for i, p := range c.Points {
		if !p.Sure {
			continue
		}
		if last >= 0 && c.Points[last].aFaster() != p.aFaster() {
			all = append(all, c.crossing(last, i))
		}
		last = i
	}
	return all
}

// crossing is that between two points that differ in opposite directions.
func (c Crossover) crossing(low, high int) Crossing {
	found := Crossing{Low: c.Points[low].At, High: c.Points[high].At, Faster: c.B}
	if c.Points[high].aFaster() {
		found.Faster = c.A
	}
	// The first pair of neighbours whose medians change places. There is one,
	// because those at both ends do.
	for c.Points[low].aFaster() == c.Points[low+1].aFaster() {
		low++
	}
	from, to := c.Points[low], c.Points[low+1]
	share := from.logRatio() / (from.logRatio() - to.logRatio())
	found.At = math.Exp(math.Log(float64(from.At)) + share*(math.Log(float64(to.At))-math.Log(float64(from.At))))
	return found
}
