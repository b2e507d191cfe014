package model_test

import (
	"context"
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
		p := model.Program{Topology: model.Topology{Hidden: []int{7}, Classes: 3, Activation: model.ActivationReLU}, BatchSize: batch}
		f := newFixture(t, b, p, n, count, 6)
		order := dataset.Order(1, 1, count)
		want := f.epoch(t, order, 1, rate)

		hostFed, err := model.CompileHostFed(b, f.Program(), model.Sizes{Rows: model.ResidentRows(12, count, 6), Epoch: count, Largest: count})
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
		for _, section := range []int{0, 1} {
			found, err := hostFed.Network().Evaluate(context.Background(), f.images, section)
			if err != nil {
				t.Fatal(err)
			}
			expected, err := f.Evaluate(context.Background(), f.images, section)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(found.Loss-expected.Loss) > 1e-6 {
				t.Errorf("set %d: found the loss %v, expected %v", section, found.Loss, expected.Loss)
			}
		}

		for name, train := range map[string]func() error{
			"no rows":       func() error { _, err := hostFed.Train(f.train, n, nil, rate); return err },
			"too many rows": func() error { _, err := hostFed.Train(f.train, n, make([]int32, batch+1), rate); return err },
			"a row outside": func() error { _, err := hostFed.Train(f.train, n, []int32{count}, rate); return err },
			"other images": func() error {
				_, err := hostFed.Train(randomSet(1, 2, 2, 2, 3), n, []int32{0}, rate)
				return err
			},
		} {
			if train() == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}

func TestTheFirstImagesOfASet(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
		p := model.Program{Topology: model.Topology{Hidden: []int{7}, Classes: 3, Activation: model.ActivationReLU}, BatchSize: 4}
		f := newFixture(t, b, p, model.Unnormalized(), 20, 9)
		all, err := f.Evaluate(context.Background(), f.images, 1)
		if err != nil {
			t.Fatal(err)
		}
		first, err := f.images.First(1, 6)
		if err != nil {
			t.Fatal(err)
		}
		some, err := f.Evaluate(context.Background(), first, 1)
		if err != nil {
			t.Fatal(err)
		}
		if some.Count != 6 || len(some.Losses) != 6 {
			t.Fatalf("found %d images and %d losses, expected 6", some.Count, len(some.Losses))
		}
		for i, loss := range some.Losses {
			if loss != all.Losses[i] {
				t.Errorf("image %d: found the loss %v, expected %v", i, loss, all.Losses[i])
			}
		}
		if again, err := f.Evaluate(context.Background(), f.images, 1); err != nil || again.Count != 9 {
			t.Errorf("the images themselves: found %d (%v), expected 9", again.Count, err)
		}
		for _, wrong := range []struct{ section, count int }{{1, 0}, {1, 10}, {2, 1}, {-1, 1}} {
			if _, err := f.images.First(wrong.section, wrong.count); err == nil {
				t.Errorf("set %d, %d images: accepted", wrong.section, wrong.count)
			}
		}
	})
}
