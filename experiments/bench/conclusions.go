package bench

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"epochal/model/backend"
)

// Runner is what computes: a backend, and the precision of its matrix products.
type Runner struct {
	Backend   string
	Precision string
}

// String is the backend, with its precision unless that is Float32.
func (r Runner) String() string {
	if r.Precision == Float32 {
		return r.Backend
	}
	return r.Backend + " (" + r.Precision + ")"
}

// Runner is what computes the cell.
func (c Cell) Runner() Runner { return Runner{c.Backend, c.Precision} }

// SameWork tells whether two cells train the same network with the same batch
// size, however and wherever.
func (c Cell) SameWork(other Cell) bool {
	return c.BatchSize == other.BatchSize && slices.Equal(c.LayerSizes, other.LayerSizes)
}

// Equal tells whether two cells are one place of the grid.
func (c Cell) Equal(other Cell) bool {
	return c.Runner() == other.Runner() && c.SameWork(other) && c.sameDispatch(other)
}

func (c Cell) sameDispatch(other Cell) bool {
	return c.StepsPerCall == other.StepsPerCall && c.Feed == other.Feed
}

// fastDispatch tells whether the cell runs as fast as its backend can: a whole
// epoch a call, its data on the device.
func (c Cell) fastDispatch() bool { return c.StepsPerCall == 0 && c.Feed == FeedResident }

// Measured are the values of one number of every round, without those that were
// not measured, or were made of such: 0, infinite or NaN.
func (c CellResult) Measured(of func(Measurement) float64) []float64 {
	return slices.DeleteFunc(c.Values(of), func(x float64) bool { return !measured(x) })
}

// measured tells whether x is the result of a measurement. Nothing that is measured takes no time or
// no memory.
func measured(x float64) bool { return x > 0 && !math.IsInf(x, 0) }

// Throughput is the images per second of training, of each round that measured them.
func (c CellResult) Throughput() []float64 { return c.Measured(c.Cell.ImagesPerSecond) }

// ratio is a/b, or NaN where one of them was not measured.
func ratio(a, b float64) float64 {
	if !measured(a) || !measured(b) {
		return math.NaN()
	}
	return a / b
}

// Reference is the cell that others of the same work are compared with: xla:cpu in
// float32, a whole epoch a call, data on the device. It is nil if it was not
// measured.
func Reference(r Results, c Cell) *CellResult {
	want := Cell{Backend: backend.XLACPU, Precision: Float32, LayerSizes: c.LayerSizes, BatchSize: c.BatchSize, Feed: FeedResident}
	for i := range r.Cells {
		if found := &r.Cells[i]; found.Cell.Equal(want) && len(found.Throughput()) > 0 {
			return found
		}
	}
	return nil
}

// Agreement is how near the start of a cell's training is to another one's, which
// had the same seed and order.
type Agreement struct {
	Cell, Reference Cell

	Steps          int     // compared: the common start
	LossDifference float64 // the largest of those steps, absolute; NaN if one loss is
	LossTolerance  float64

	Images            int // test images that both evaluated after the same number of steps, 0 if either number differs: then accuracies are not compared
	CorrectDifference int // images that Cell had right, less those of Reference
	CorrectTolerance  int

	Within bool // all that was compared is within its tolerance, and something was
}

// Tolerances of losses, absolute. Losses start at log 10 = 2.3 and fall.
//
// Float32 has 24 bits, and a sum of 784 products in another order differs in the
// last two or three decimals: 1e-6. Updates amplify that from step to step, in the
// hundreds of steps of a trajectory to 1e-5 at most where it was tried; a wrong
// order of images, gradient or rate shows by 1e-2 within ten steps. 1e-4 parts them.
//
// TF32 rounds the factors of each product to 11 bits, so that each differs by up
// to 5e-4 and a sum of many by about as much, relative to its terms. Within hundreds
// of steps that makes some 1e-3; a loss that is off by 1e-2 has another cause.
const (
	lossTolerance     = 1e-4
	lossToleranceTF32 = 1e-2
)

// correctTolerance is how many of some test images may be right on one backend and
// wrong on the other: those whose two best classes are nearer to each other than the
// arithmetic. At the start of a training many are undecided. Two, or one of a
// thousand, are within float32; in TF32 it is five, or one of a hundred.
func correctTolerance(images int, tf32 bool) int {
	if tf32 {
		return max(5, images/100)
	}
	return max(2, images/1000)
}

// Agreements compare every cell that has a trajectory with xla:cpu's in float32 of
// the same work, and with the same backend's other ways to dispatch, both where
// there are such: one cell stands for each, preferably that of whole epochs with
// data on the device.
func Agreements(r Results) []Agreement {
	var all []Agreement
	for _, c := range r.Cells {
		if c.Trajectory == nil {
			continue
		}
		var before *CellResult
		for _, runner := range []Runner{{backend.XLACPU, Float32}, c.Cell.Runner()} {
			reference := standsFor(r, runner, c.Cell)
			if reference == nil || reference == before || reference.Cell.Equal(c.Cell) {
				continue
			}
			all = append(all, agree(c, *reference))
			before = reference
		}
	}
	return all
}

// standsFor is the cell whose trajectory stands for a runner's at the work of c,
// nil if there is none.
func standsFor(r Results, runner Runner, c Cell) *CellResult {
	var first *CellResult
	for i := range r.Cells {
		found := &r.Cells[i]
		if found.Trajectory == nil || found.Cell.Runner() != runner || !found.Cell.SameWork(c) {
			continue
		}
		if found.Cell.fastDispatch() {
			return found
		}
		if first == nil {
			first = found
		}
	}
	return first
}

func agree(c, reference CellResult) Agreement {
	tf32 := c.Cell.Precision == TF32 || reference.Cell.Precision == TF32
	a := Agreement{Cell: c.Cell, Reference: reference.Cell, LossTolerance: lossTolerance}
	if tf32 {
		a.LossTolerance = lossToleranceTF32
	}
	ours, theirs := *c.Trajectory, *reference.Trajectory
	a.Steps = min(len(ours.Losses), len(theirs.Losses))
	for i := range a.Steps {
		// The builtin max keeps a NaN.
		a.LossDifference = max(a.LossDifference, math.Abs(float64(ours.Losses[i])-float64(theirs.Losses[i])))
	}
	if ours.Evaluated == theirs.Evaluated && len(ours.Losses) == len(theirs.Losses) {
		a.Images = ours.Evaluated
		a.CorrectDifference = ours.Correct - theirs.Correct
	}
	a.CorrectTolerance = correctTolerance(a.Images, tf32)
	a.Within = (a.Steps > 0 || a.Images > 0) && a.LossDifference <= a.LossTolerance &&
		max(a.CorrectDifference, -a.CorrectDifference) <= a.CorrectTolerance
	return a
}

// Axis is what a crossover is looked for along.
type Axis string

// The axes.
const (
	AlongWidth Axis = "width"
	AlongBatch Axis = "batch size"
)

// Crossover is which of two backends trains faster along one axis of the grid, all
// else alike.
type Crossover struct {
	Along Axis
	A, B  Runner

	Depth        int   // hidden layers, all of one width; along the width
	BatchSize    int   // along the width
	LayerSizes   []int // along the batch size
	StepsPerCall int
	Feed         string

	Points    []CrossoverPoint // at least 2, ascending
	Crossings []Crossing       // ascending; none: not within the grid
}

// CrossoverPoint is a place of the grid where both backends were measured.
type CrossoverPoint struct {
	At   int     // width or batch size
	A, B Summary // images per second
	Sure bool    // they differ by more than noise
}

// AFaster tells whether A's median is the higher one.
func (p CrossoverPoint) AFaster() bool { return p.A.Median > p.B.Median }

// logRatio is above 0 where A is faster.
func (p CrossoverPoint) logRatio() float64 { return math.Log(p.A.Median / p.B.Median) }

// Crossing is where the faster backend changes.
type Crossing struct {
	At              float64 // width or batch size, by a straight line on logarithmic axes between two neighbouring points
	ImagesPerSecond float64 // of both, there
	Low, High       int     // the nearest points on both sides that differ by more than noise
	Faster          Runner  // from there on
}

// Crossovers look at each pair of backends along widths, of networks whose hidden
// layers all have one, and along batch sizes of each network. Precisions are never
// mixed within a backend, but TF32 of one is compared with float32 of another that
// has no choice. Two points at least are needed.
//
// The faster backend changes only between points that differ by more than noise,
// either way. Points between those are within noise and only serve to interpolate.
func Crossovers(r Results) []Crossover {
	var runners []Runner
	for _, c := range r.Cells {
		if !slices.Contains(runners, c.Cell.Runner()) && len(c.Throughput()) > 0 {
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
	index := map[string]int{} // into all, by what is alike
	for _, mine := range r.Cells {
		c := mine.Cell
		if c.Runner() != a || len(mine.Throughput()) == 0 {
			continue
		}
		cross := Crossover{Along: along, A: a, B: b, StepsPerCall: c.StepsPerCall, Feed: c.Feed}
		at := c.BatchSize
		if along == AlongWidth {
			width, square := c.Width()
			if !square {
				continue
			}
			at, cross.Depth, cross.BatchSize = width, len(c.LayerSizes), c.BatchSize
		} else {
			cross.LayerSizes = c.LayerSizes
		}
		c.Backend, c.Precision = b.Backend, b.Precision
		other := slices.IndexFunc(r.Cells, func(x CellResult) bool { return x.Cell.Equal(c) && len(x.Throughput()) > 0 })
		if other < 0 {
			continue
		}
		theirs := r.Cells[other].Throughput()
		point := CrossoverPoint{At: at, A: Summarize(mine.Throughput()), B: Summarize(theirs)}
		point.Sure, _ = Differ(mine.Throughput(), theirs)

		key := strings.Join([]string{strconv.Itoa(cross.Depth), strconv.Itoa(cross.BatchSize), widths(cross.LayerSizes), strconv.Itoa(c.StepsPerCall), c.Feed}, " ")
		place, found := index[key]
		if !found {
			place = len(all)
			index[key] = place
			all = append(all, cross)
		}
		all[place].Points = append(all[place].Points, point)
	}
	all = slices.DeleteFunc(all, func(c Crossover) bool { return len(c.Points) < 2 })
	for i := range all {
		slices.SortStableFunc(all[i].Points, func(x, y CrossoverPoint) int { return x.At - y.At })
		all[i].Crossings = crossings(all[i])
	}
	return all
}

// Width is that of all hidden layers, if it is the same one and there are any.
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
		if last >= 0 && c.Points[last].AFaster() != p.AFaster() {
			all = append(all, c.crossing(last, i))
		}
		last = i
	}
	return all
}

// crossing is that between two points that differ either way.
func (c Crossover) crossing(low, high int) Crossing {
	found := Crossing{Low: c.Points[low].At, High: c.Points[high].At, Faster: c.B}
	if c.Points[high].AFaster() {
		found.Faster = c.A
	}
	// The first pair of neighbours whose medians change; there is one, for those at
	// both ends do.
	for c.Points[low].AFaster() == c.Points[low+1].AFaster() {
		low++
	}
	from, to := c.Points[low], c.Points[low+1]
	share := from.logRatio() / (from.logRatio() - to.logRatio())
	between := func(a, b float64) float64 { return math.Exp(math.Log(a) + share*(math.Log(b)-math.Log(a))) }
	found.At = between(float64(from.At), float64(to.At))
	found.ImagesPerSecond = between(from.A.Median, to.A.Median)
	return found
}

// PartState says what is known of a part of a step.
type PartState int

// The states of a part.
const (
	NotMeasured PartState = iota // the grid has not the cells that tell it
	WithinNoise                  // the steps with it and without it do not differ
	Found                        // Seconds tells it
	Reversed                     // the steps with it were the faster ones, by more than noise
)

// Part is a part of the time of a step, by the difference of two medians.
type Part struct {
	State   PartState
	Seconds float64 // 0 unless Found
	Share   float64 // of StepTimes.Step; 0 unless Found
}

// StepTimes are where the time goes when every step is dispatched by itself.
type StepTimes struct {
	Runner     Runner
	LayerSizes []int
	BatchSize  int

	Step Summary // one dispatched step: fed from the host if that was measured, else from the device
	Feed string  // which of them

	Products Part // the matrix products alone
	Rest     Part // of the step on the device: bias, activation, loss, gathering, update
	Dispatch Part // a call for each step rather than one for an epoch
	Copy     Part // of each batch from the host
}

// AllStepTimes are those of each backend, network and batch size of which a single
// step a call was measured.
func AllStepTimes(r Results) []StepTimes {
	var all []StepTimes
	for _, c := range r.Cells {
		if c.Cell.StepsPerCall != 1 || slices.ContainsFunc(all, func(s StepTimes) bool {
			return s.Runner == c.Cell.Runner() && c.Cell.SameWork(Cell{LayerSizes: s.LayerSizes, BatchSize: s.BatchSize})
		}) {
			continue
		}
		if times, ok := stepTimes(r, c.Cell); ok {
			all = append(all, times)
		}
	}
	return all
}

func stepTimes(r Results, c Cell) (StepTimes, bool) {
	step := func(stepsPerCall int, feed string) []float64 {
		c.StepsPerCall, c.Feed = stepsPerCall, feed
		for _, found := range r.Cells {
			if found.Cell.Equal(c) {
				return found.Measured(func(m Measurement) float64 { return m.Step })
			}
		}
		return nil
	}
	epoch, resident, host := step(0, FeedResident), step(1, FeedResident), step(1, FeedHost)
	times := StepTimes{Runner: c.Runner(), LayerSizes: c.LayerSizes, BatchSize: c.BatchSize, Step: Summarize(host), Feed: FeedHost}
	if len(host) == 0 {
		times.Step, times.Feed = Summarize(resident), FeedResident
	}
	if times.Step.N == 0 {
		return times, false
	}
	products := productsOf(r, c)
	if len(products) > 0 {
		times.Products = Part{State: Found, Seconds: Summarize(products).Median}
	}
	times.Rest = difference(epoch, products)
	times.Dispatch = difference(resident, epoch)
	times.Copy = difference(host, resident)
	for _, part := range []*Part{&times.Products, &times.Rest, &times.Dispatch, &times.Copy} {
		part.Share = part.Seconds / times.Step.Median
	}
	return times, true
}

// difference is what the steps of with have more than those of without.
func difference(with, without []float64) Part {
	if len(with) == 0 || len(without) == 0 {
		return Part{}
	}
	more := Summarize(with).Median - Summarize(without).Median
	differ, _ := Differ(with, without)
	switch {
	case !differ || more == 0:
		return Part{State: WithinNoise}
	case more < 0:
		return Part{State: Reversed}
	}
	return Part{State: Found, Seconds: more}
}

// productsOf are the measured times of the matrix products of a step: of the cell
// of whole epochs, or else of any other of the same backend and work.
func productsOf(r Results, c Cell) []float64 {
	var first []float64
	for _, found := range r.Cells {
		if found.Cell.Runner() != c.Runner() || !found.Cell.SameWork(c) {
			continue
		}
		values := found.Measured(func(m Measurement) float64 { return m.Products })
		if len(values) > 0 && found.Cell.fastDispatch() {
			return values
		}
		if len(first) == 0 {
			first = values
		}
	}
	return first
}

// peakOf is the median of all measured peaks of a runner, NaN without any.
func peakOf(r Results, runner Runner) float64 {
	var all []float64
	for _, found := range r.Cells {
		if found.Cell.Runner() == runner {
			all = append(all, found.Measured(func(m Measurement) float64 { return m.Peak })...)
		}
	}
	return Summarize(all).Median
}

// Utilization is how much of a backend a cell makes use of. A Summary of nothing
// has N 0.
type Utilization struct {
	FLOPS   Summary // floating point operations of matrix products per second of steady training
	OfPeak  Summary // those over the backend's peak, which one large matrix product reached; 1 is all of it
	OfLimit Summary // the time of the step's matrix products alone over that of the step; 1 is all of it
}

// Utilize returns the utilization of a cell of r, round by round. Where the cell's
// round measured no peak or no products, the median of what other cells of the same
// backend found stands for it.
func Utilize(r Results, c CellResult) Utilization {
	peak, products := peakOf(r, c.Cell.Runner()), Summarize(productsOf(r, c.Cell)).Median
	or := func(x, other float64) float64 {
		if measured(x) {
			return x
		}
		return other
	}
	return Utilization{
		FLOPS:   Summarize(c.Measured(c.Cell.FLOPS)),
		OfPeak:  Summarize(c.Measured(func(m Measurement) float64 { return ratio(c.Cell.FLOPS(m), or(m.Peak, peak)) })),
		OfLimit: Summarize(c.Measured(func(m Measurement) float64 { return ratio(or(m.Products, products), m.Step) })),
	}
}

// PeerRatios compare a peer with ours, pair by pair. A Summary of nothing has N 0.
type PeerRatios struct {
	Train         Summary // an epoch
	TrainEvaluate Summary // an epoch and its evaluation
	Process       Summary // a process of one epoch from start to exit
	Memory        Summary
}

// Ratios are the peer's numbers over ours: 2 means that the peer takes twice as
// long, or twice the memory.
func (p PeerResult) Ratios() PeerRatios {
	return p.ratios(func(ours, peers float64) float64 { return ratio(peers, ours) })
}

// OurRatios are our numbers over the peer's: 2 means that we take twice as long.
func (p PeerResult) OurRatios() PeerRatios { return p.ratios(ratio) }

func (p PeerResult) ratios(of func(ours, peers float64) float64) PeerRatios {
	summary := func(number func(ProcessTimes) float64) Summary {
		var all []float64
		for _, round := range p.Rounds {
			if x := of(number(round.Ours), number(round.Peers)); measured(x) {
				all = append(all, x)
			}
		}
		return Summarize(all)
	}
	return PeerRatios{
		Train: summary(func(t ProcessTimes) float64 { return t.Train }),
		TrainEvaluate: summary(func(t ProcessTimes) float64 {
			if !measured(t.Train) || !measured(t.Evaluate) {
				return 0
			}
			return t.Train + t.Evaluate
		}),
		Process: summary(func(t ProcessTimes) float64 { return t.Process }),
		Memory:  summary(func(t ProcessTimes) float64 { return float64(t.Memory) }),
	}
}
