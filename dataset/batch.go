package dataset

import "iter"

// Batch is what one training step sees.
type Batch struct {
	Step int     // of the epoch, from 0
	Rows []int32 // [size, or less in the last batch] rows of the set; a view of the order
}

// Batches yields consecutive runs of order, size rows each, and at last those
// that remain. A size below 1 yields nothing.
func Batches(order []int32, size int) iter.Seq[Batch] {
	return func(yield func(Batch) bool) {
		for step := range BatchCount(len(order), size) {
			first := step * size
			end := first + min(size, len(order)-first)
			if !yield(Batch{Step: step, Rows: order[first:end:end]}) {
				return
			}
		}
	}
}

// BatchCount returns the number of batches that [Batches] yields for count
// rows: count/size rounded up, 0 for a size below 1.
func BatchCount(count, size int) int {
	if size < 1 {
		return 0
	}
	batches := count / size
	if count%size > 0 {
		batches++
	}
	return batches
}
