package model_test

import (
	"math"
	"testing"

	"epochal/dataset"
	"epochal/model"
	"epochal/model/backend"
)

// A step fed from the host does what a step on resident images does, the short
// last batch included.
func TestAHostFedStepTrainsAlike(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
		const count, batch, rate = 23, 5, 0.1
		n := model.Normalization{Mean: 0.3, Deviation: 0.4}
		f := newFixture(t, b, relu(3, 7), batch, n, count, 6)
		order := dataset.Order(1, 1, count)
		want := f.epoch(t, order, 1, rate)

		hostFed, err := model.CompileHostFed(b, f.Program(), count, 6)
		if err != nil {
			t.Fatal(err)
		}
		defer hostFed.Close()
		if err := hostFed.Network().SetWeights(f.weights); err != nil {
			t.Fatal(err)
		}
		for rows := range dataset.Batches(order, batch) {
			loss, err := hostFed.Train(f.train, n, rows.Rows, rate)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(float64(loss-want[rows.Step])) > 1e-6 {
				t.Errorf("step %d: found the loss %v, expected %v", rows.Step, loss, want[rows.Step])
			}
		}
		for section := range 2 {
			found, expected := evaluate(t, hostFed.Network(), f.images, section), evaluate(t, f.Network, f.images, section)
			if math.Abs(found.Loss-expected.Loss) > 1e-6 {
				t.Errorf("set %d: found the loss %v, expected %v", section, found.Loss, expected.Loss)
			}
		}
	})
}
