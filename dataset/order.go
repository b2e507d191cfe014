package dataset

import "math/rand/v2"

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
