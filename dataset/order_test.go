package dataset_test

import (
	"slices"
	"testing"

	"epochal/dataset"
)

// The values are what every recorded run was trained with. If this test fails,
// old runs cannot be repeated: change the program, not the values.
func TestOrderNeverChanges(t *testing.T) {
	for _, c := range []struct {
		seed         uint64
		epoch, count int
		want         []int32
	}{
		{0, 1, 60_000, []int32{49222, 5380, 15199, 24922, 36777, 35566, 56817, 4478}},
		{42, 3, 10, []int32{1, 0, 9, 3, 6, 5, 4, 2}},
	} {
		got := dataset.Order(c.seed, c.epoch, c.count)[:8]
		if !slices.Equal(got, c.want) {
			t.Errorf("seed %d, epoch %d, count %d: found %v, expected %v", c.seed, c.epoch, c.count, got, c.want)
		}
	}
}

func TestOrderIsPermutation(t *testing.T) {
	for _, count := range []int{0, 1, 2, 3, 10, 1000, 60_000} {
		order := dataset.Order(7, 1, count)
		slices.Sort(order)
		if !slices.Equal(order, dataset.FileOrder(count)) {
			t.Errorf("count %d: not a permutation", count)
		}
	}
}

func TestOrderDependsOnSeedAndEpoch(t *testing.T) {
	orders := make(map[string][2]uint64)
	for seed := range uint64(20) {
		for epoch := range 20 {
			order := dataset.Order(seed, epoch, 50)
			key := string(bytesOf(order))
			if earlier, ok := orders[key]; ok {
				t.Errorf("seed %d, epoch %d: same order as seed %d, epoch %d", seed, epoch, earlier[0], earlier[1])
			}
			orders[key] = [2]uint64{seed, uint64(epoch)}
			if !slices.Equal(order, dataset.Order(seed, epoch, 50)) {
				t.Errorf("seed %d, epoch %d: another order at the second call", seed, epoch)
			}
		}
	}
}

func bytesOf(order []int32) []byte {
	values := make([]byte, len(order))
	for i, row := range order {
		values[i] = byte(row)
	}
	return values
}

// Over many seeds each row is as often first as any other.
func TestOrderIsEven(t *testing.T) {
	const count, seeds = 10, 20_000
	var first [count]int
	for seed := range uint64(seeds) {
		first[dataset.Order(seed, 1, count)[0]]++
	}
	for row, times := range first {
		// 2000 expected, standard deviation 42.
		if times < 1800 || times > 2200 {
			t.Errorf("row %d: found first %d times of %d, expected about %d", row, times, seeds, seeds/count)
		}
	}
}

func TestFileOrder(t *testing.T) {
	if order := dataset.FileOrder(4); !slices.Equal(order, []int32{0, 1, 2, 3}) {
		t.Errorf("found %v", order)
	}
}
