package dataset

import (
	"iter"
	"math/rand/v2"
)

// Order returns the order in which an epoch visits the images: a permutation of
// 0..count-1 that depends on seed, epoch and count alone, on every machine and
// in every version of this program. Epochs count from 1; count is 0 to [MaxImages].
func Order(seed uint64, epoch, count int) []int32 {
	order := FileOrder(count)
	generator := rand.New(rand.NewPCG(seed, uint64(epoch)))
	generator.Shuffle(count, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// FileOrder returns 0..count-1: the images as they stand in the file.
func FileOrder(count int) []int32 {
	order := make([]int32, count)
	for i := range order {
		order[i] = int32(i)
	}
	return order
}

// Batch is what one training step sees.
type Batch struct {
	Step int     // of the epoch, from 0
	Rows []int32 // [size, or less in the last batch] rows of the set; a view of the order
}

// Batches yields consecutive runs of order, size rows each, and finally those
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
