package dataset_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"epochal/dataset"

	"github.com/google/go-cmp/cmp"
)

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

func TestBatchesBreak(t *testing.T) {
	var steps []int
	for batch := range dataset.Batches(dataset.FileOrder(100), 10) {
		steps = append(steps, batch.Step)
		if batch.Step == 2 {
			break
		}
	}
	if !slices.Equal(steps, []int{0, 1, 2}) {
		t.Errorf("found steps %v, expected 0 to 2", steps)
	}
}

func TestBatchRowsAreViews(t *testing.T) {
	order := dataset.FileOrder(10)
	for batch := range dataset.Batches(order, 4) {
		if &batch.Rows[0] != &order[4*batch.Step] {
			t.Errorf("step %d: the rows are a copy", batch.Step)
		}
		if cap(batch.Rows) != len(batch.Rows) {
			t.Errorf("step %d: appending to the rows would write to the next batch", batch.Step)
		}
	}
}

func TestBatchCount(t *testing.T) {
	for _, c := range [][3]int{{60_000, 64, 938}, {60_000, 32, 1875}, {10_000, 64, 157}, {1, 64, 1}, {64, 64, 1}, {65, 64, 2}} {
		if count := dataset.BatchCount(c[0], c[1]); count != c[2] {
			t.Errorf("%d rows, size %d: found %d, expected %d", c[0], c[1], count, c[2])
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
