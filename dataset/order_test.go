package dataset_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"epochal/dataset"

	"github.com/google/go-cmp/cmp"
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
	if order := dataset.FileOrder(4); !slices.Equal(order, []int32{0, 1, 2, 3}) {
		t.Errorf("found the order of the file %v", order)
	}
	for _, count := range []int{0, 1, 2, 3, 10, 1000, 60_000} {
		order := dataset.Order(7, 1, count)
		slices.Sort(order)
		if !slices.Equal(order, dataset.FileOrder(count)) {
			t.Errorf("count %d: not a permutation", count)
		}
	}
}

func TestBatches(t *testing.T) {
	order := []int32{6, 2, 4, 0, 5, 1, 3}
	for _, c := range []struct {
		count, size int
		want        []dataset.Batch
	}{
		{7, 3, []dataset.Batch{{Step: 0, Rows: []int32{6, 2, 4}}, {Step: 1, Rows: []int32{0, 5, 1}}, {Step: 2, Rows: []int32{3}}}},
		{6, 3, []dataset.Batch{{Step: 0, Rows: []int32{6, 2, 4}}, {Step: 1, Rows: []int32{0, 5, 1}}}},
		{2, 1, []dataset.Batch{{Step: 0, Rows: []int32{6}}, {Step: 1, Rows: []int32{2}}}},
		{7, 7, []dataset.Batch{{Step: 0, Rows: order}}},
		{7, math.MaxInt, []dataset.Batch{{Step: 0, Rows: order}}},
		{0, 3, nil},
		{7, 0, nil},
		{7, -1, nil},
	} {
		got := slices.Collect(dataset.Batches(order[:c.count], c.size))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d rows, size %d (-expected +found):\n%s", c.count, c.size, diff)
		}
		if count := dataset.BatchCount(c.count, c.size); count != len(c.want) {
			t.Errorf("%d rows, size %d: found a count of %d batches, expected %d", c.count, c.size, count, len(c.want))
		}
	}
}

func ExampleBatches() {
	order := dataset.Order(42, 1, 10)
	for batch := range dataset.Batches(order, 4) {
		fmt.Println(batch.Step, batch.Rows)
	}
	// Output:
	// 0 [3 6 9 2]
	// 1 [7 8 4 0]
	// 2 [5 1]
}
