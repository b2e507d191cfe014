package bench

import (
	"math"

	"epochal/model/backend"
)

// Agreement is how close the start of a cell's training is to that of another
// cell, which had the same seed and order.
type Agreement struct {
	Cell, Reference Cell

	Steps          int     // compared: those that both made
	LossDifference float64 // the largest of those steps, absolute
	LossTolerance  float64

	// Images is how many test images both evaluated after the same number of steps. It
	// is 0 if either number differs; then accuracies are not compared.
	Images            int
	CorrectDifference int // images that Cell classified correctly, less those of Reference
	CorrectTolerance  int

	Within bool // everything that was compared is within its tolerance
}

// Tolerances of losses, absolute. Losses start at log 10 = 2.3 and fall.
//
// Float32 has 24 bits, and a sum of 784 products in another order differs in the
// last two or three decimals: 1e-6. Updates amplify that from step to step, to 1e-5
// at most over hundreds of steps of a trajectory, where that was tried; a wrong
// order of images, gradient or rate shows by 1e-2 within ten steps. 1e-4 separates
// the two.
//
// TF32 rounds the factors of each product to 11 bits, so that each differs by up
// to 5e-4 and a sum of many by about as much, relative to its terms. Within hundreds
// of steps that makes some 1e-3; a loss that is off by 1e-2 has another cause.
const (
	lossTolerance     = 1e-4
	lossToleranceTF32 = 1e-2
)

// correctTolerance is how many of some test images may be right on one backend and
// wrong on the other: those whose two best classes are closer to each other than the
// arithmetic is exact. At the start of a training many are undecided. Two, or one in
// a thousand, are within float32; in TF32 it is five, or one in a hundred.
func correctTolerance(images int, tf32 bool) int {
	if tf32 {
		return max(5, images/100)
	}
	return max(2, images/1000)
}

// Agreements compare every cell that has a trajectory with xla:cpu's in float32 of
// the same work, and with the same backend's other ways of dispatching, where there
// are any. One cell stands for each: preferably that of whole epochs with data on
// the device.
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

// standsFor is the cell whose trajectory stands for a runner's on the work of c,
// nil if there is none.
func standsFor(r Results, runner Runner, c Cell) *CellResult {
	var best *CellResult
	for i := range r.Cells {
		found := &r.Cells[i]
		if found.Trajectory == nil || found.Cell.Runner() != runner || !found.Cell.SameWork(c) {
			continue
		}
		if best == nil || found.Cell.FastDispatch() {
			best = found
		}
	}
	return best
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
		a.LossDifference = max(a.LossDifference, math.Abs(float64(ours.Losses[i])-float64(theirs.Losses[i])))
	}
	if ours.Evaluated == theirs.Evaluated && len(ours.Losses) == len(theirs.Losses) {
		a.Images = ours.Evaluated
		a.CorrectDifference = ours.Correct - theirs.Correct
	}
	a.CorrectTolerance = correctTolerance(a.Images, tf32)
	a.Within = a.LossDifference <= a.LossTolerance && max(a.CorrectDifference, -a.CorrectDifference) <= a.CorrectTolerance
	return a
}
