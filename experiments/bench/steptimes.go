package bench

import (
	"slices"

	"epochal/model/backend"
)

// Reference is the cell that others of the same work are compared with: xla:cpu in
// float32, a whole epoch per call, data on the device. It is nil if it was not
// measured.
func Reference(r Results, c Cell) *CellResult {
	c.Backend, c.Precision, c.StepsPerCall, c.Feed = backend.XLACPU, Float32, WholeEpoch, FeedResident
	return r.measured(c)
}

// Utilization is how much of a backend a cell uses.
type Utilization struct {
	FLOPS   Summary // floating point operations of matrix products per second of steady training
	OfPeak  Summary // those over the backend's peak, which one large matrix product reached; 1 is all of it
	OfLimit Summary // matrix-product time as a share of step time; 1 is all of it
}

// Utilize returns the utilization of a cell, round by round.
func Utilize(c CellResult) Utilization {
	return Utilization{
		FLOPS:   Summarize(c.Values(c.Cell.FLOPS)),
		OfPeak:  Summarize(c.Values(func(m Measurement) float64 { return c.Cell.FLOPS(m) / m.Peak })),
		OfLimit: Summarize(c.Values(func(m Measurement) float64 { return m.Products / m.Step })),
	}
}

// PartState says what is known of a part of a step.
type PartState int

// The states of a part.
const (
	NotMeasured PartState = iota // the grid lacks the cells that would show it
	WithinNoise                  // steps with it and without it do not differ
	Found                        // Seconds holds it
	Reversed                     // steps with it were faster, by more than noise
)

// Part is a part of the time of a step: the difference of two medians.
type Part struct {
	State   PartState
	Seconds float64 // 0 unless Found
	Share   float64 // of StepTimes.Step; 0 unless Found
}

// StepTimes are where the time goes when every step is a call of its own.
type StepTimes struct {
	Cell Cell    // the one that was measured: fed from the host if there is such a cell, else from the device
	Step Summary // one dispatched step of it

	Products Part // the matrix products alone
	Rest     Part // everything else that the step does on the device: biases, activations, loss, gathering, update
	Dispatch Part // one call per step instead of one per epoch
	Copy     Part // of each batch from the host
}

// AllStepTimes are those of each backend, network and batch size that was measured
// with one step per call.
func AllStepTimes(r Results) []StepTimes {
	var all []StepTimes
	for _, c := range r.Cells {
		if c.Cell.StepsPerCall != 1 || slices.ContainsFunc(all, func(s StepTimes) bool {
			return s.Cell.Runner() == c.Cell.Runner() && s.Cell.SameWork(c.Cell)
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
	measured := func(steps StepsPerCall, feed string) CellResult {
		c.StepsPerCall, c.Feed = steps, feed
		if found := r.measured(c); found != nil {
			return *found
		}
		return CellResult{}
	}
	step := func(m Measurement) float64 { return m.Step }
	epochs, resident, host := measured(WholeEpoch, FeedResident), measured(1, FeedResident), measured(1, FeedHost)
	single := host
	if len(host.Rounds) == 0 {
		single = resident
	}
	if len(single.Rounds) == 0 {
		return StepTimes{}, false
	}
	// The products are the same however the steps are dispatched; those of whole
	// epochs were measured with the steps that Rest is taken from.
	products := single
	if len(epochs.Rounds) > 0 {
		products = epochs
	}
	alone := products.Values(func(m Measurement) float64 { return m.Products })
	times := StepTimes{
		Cell: single.Cell, Step: Summarize(single.Values(step)),
		Products: Part{State: Found, Seconds: Summarize(alone).Median},
		Rest:     difference(epochs.Values(step), alone),
		Dispatch: difference(resident.Values(step), epochs.Values(step)),
		Copy:     difference(host.Values(step), resident.Values(step)),
	}
	for _, part := range []*Part{&times.Products, &times.Rest, &times.Dispatch, &times.Copy} {
		part.Share = part.Seconds / times.Step.Median
	}
	return times, true
}

// difference is by how much the steps of with are longer than those of without.
func difference(with, without []float64) Part {
	if len(with) == 0 || len(without) == 0 {
		return Part{}
	}
	more := Summarize(with).Median - Summarize(without).Median
	switch {
	case more == 0 || !Differ(with, without):
		return Part{State: WithinNoise}
	case more < 0:
		return Part{State: Reversed}
	}
	return Part{State: Found, Seconds: more}
}
