package model

import "testing"

// Small images are evaluated a thousand at a time, huge ones few, so that
// padding and activations do not fill the memory.
func TestResidentRows(t *testing.T) {
	for _, test := range []struct {
		inputs int
		counts []int
		want   int
	}{
		{784, []int{60000, 10000}, 70000},
		{784, []int{60000, 10001}, 71000},
		{784, []int{7}, 1000},
		{784, []int{7, 0}, 1000},
		{2000 * 2000, []int{4, 2}, 8}, // chunks of 4
		{4096 * 4096, []int{3, 2}, 5}, // chunks of 1
	} {
		if got := residentRows(test.inputs, test.counts); got != test.want {
			t.Errorf("%d inputs, sets of %v: found %d rows, expected %d", test.inputs, test.counts, got, test.want)
		}
	}
}
