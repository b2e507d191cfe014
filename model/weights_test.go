package model_test

import (
	"math"
	"slices"
	"testing"

	"epochal/model"
)

func TestInitializeDrawsPyTorchsDistribution(t *testing.T) {
	topology := model.Topology{Inputs: 784, Hidden: []int{512}, Classes: 10, Activation: model.ActivationReLU}
	weights := model.Initialize(topology, 7)
	for i, layer := range topology.Layers() {
		bound := 1 / math.Sqrt(float64(layer.In))
		values := weights[i].Weight
		if len(values) != layer.Out*layer.In || len(weights[i].Bias) != layer.Out {
			t.Fatalf("layer %d: found %d weights and %d biases", i, len(values), len(weights[i].Bias))
		}
		sum, squares := 0.0, 0.0
		for _, value := range slices.Concat(values, weights[i].Bias) {
			if math.Abs(float64(value)) > bound*(1+1e-6) {
				t.Fatalf("layer %d: found %v outside of ±%v", i, value, bound)
			}
		}
		for _, value := range values {
			sum += float64(value)
			squares += float64(value) * float64(value)
		}
		n := float64(len(values))
		// A uniform distribution on ±bound has the variance bound²/3; five
		// standard errors are room enough for a fixed seed.
		if mean := sum / n; math.Abs(mean) > 5*bound/math.Sqrt(3*n) {
			t.Errorf("layer %d: found the mean %v", i, mean)
		}
		if variance, want := squares/n, bound*bound/3; math.Abs(variance-want) > 5*want/math.Sqrt(n) {
			t.Errorf("layer %d: found the variance %v, expected %v", i, variance, want)
		}
	}
}

func TestInitializeIsDecidedByTheSeed(t *testing.T) {
	topology := model.Topology{Inputs: 4, Hidden: []int{3}, Classes: 2, Activation: model.ActivationReLU}
	// Golden: a change of these numbers changes every published run.
	want := []float32{0.38836455, 0.22108619, -0.2817067, -0.4726221}
	got := model.Initialize(topology, 42)[0].Weight[:4]
	if !slices.Equal(got, want) {
		t.Errorf("seed 42: found %v, expected %v", got, want)
	}
	if other := model.Initialize(topology, 43)[0].Weight[:4]; slices.Equal(got, other) {
		t.Errorf("seeds 42 and 43: found the same weights %v", got)
	}
}
