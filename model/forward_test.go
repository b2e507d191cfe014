package model_test

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// For one image at a time, plain Go says what the backends say.
func TestForwardAgreesWithTheBackends(t *testing.T) {
	const tolerance = 1e-5
	for _, architecture := range []model.FullyConnected{
		{Rows: 28, Columns: 28, Hidden: []int{128, 64}, Classes: 10, Activation: model.ActivationReLU},
		{Rows: 5, Columns: 7, Hidden: []int{33}, Classes: 3, Activation: model.ActivationSigmoid},
		{Rows: 5, Columns: 7, Hidden: []int{31, 2, 17}, Classes: 26, Activation: model.ActivationTanh},
		{Rows: 5, Columns: 7, Classes: 2, Activation: model.ActivationReLU},
	} {
		t.Run(fmt.Sprint(architecture.Hidden), func(t *testing.T) {
			test := func(t *testing.T, b *backend.Backend) {
				normalization := model.Normalization{Mean: 0.1307, Deviation: 0.3081}
				f := newFixture(t, b, architecture, 8, normalization, 64, 100)
				weights := f.weights
				want := evaluate(t, f.Network, f.images, 1)
				reference := newReference(architecture, weights)
				forward := model.NewForward(model.Description{Architecture: architecture, Normalization: normalization}, weights)
				var group sync.WaitGroup
				for i := range f.test.Len() {
					group.Go(func() {
						pixels := f.test.Image(i)
						probabilities, activations := forward.Run(pixels)
						confidence := probabilities[want.Predictions[i]]
						if difference := math.Abs(float64(confidence - want.Confidences[i])); !(difference <= tolerance) {
							t.Errorf("image %d: found probability %v of class %d, expected %v", i, confidence, want.Predictions[i], want.Confidences[i])
						}
						right := probabilities[f.test.Labels[i]]
						if wanted := math.Exp(-float64(want.Losses[i])); !(math.Abs(float64(right)-wanted) <= tolerance) {
							t.Errorf("image %d: found probability %v of its label, expected %v", i, right, wanted)
						}
						inputs, _, _ := reference.forward(pixels, normalization)
						if len(activations) != len(inputs)-1 {
							t.Errorf("found %d layers, expected %d", len(activations), len(inputs)-1)
							return
						}
						for layer, expected := range inputs[1:] { // each is the input of the next layer
							for unit, value := range expected {
								if found := float64(activations[layer][unit]); !(math.Abs(found-value) <= tolerance) {
									t.Errorf("image %d, unit %d of layer %d: found %v, expected %v", i, unit, layer, found, value)
								}
							}
						}
					})
				}
				group.Wait()
			}
			t.Run("xla:cpu", func(t *testing.T) { test(t, backendtest.XLA(t)) })
			t.Run("go", func(t *testing.T) { test(t, backendtest.Go(t)) })
		})
	}
}

func BenchmarkForward(b *testing.B) {
	architecture := model.FullyConnected{Rows: 28, Columns: 28, Hidden: []int{512, 512}, Classes: 10, Activation: model.ActivationReLU}
	forward := model.NewForward(model.Description{Architecture: architecture, Normalization: model.Unnormalized()},
		model.Initialize(architecture.Parameters(), 1))
	pixels := make([]uint8, 784)
	for b.Loop() {
		forward.Run(pixels)
	}
}
