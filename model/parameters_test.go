package model_test

import (
	"math"
	"slices"
	"testing"

	"epochal/model"
)

func TestInitializeDrawsPyTorchsDistribution(t *testing.T) {
	parameters := model.FullyConnected{Rows: 28, Columns: 28, Hidden: []int{512}, Classes: 10}.Parameters()
	for i, values := range model.Initialize(parameters, 7) {
		parameter := parameters[i]
		if len(values) != parameter.Size() {
			t.Fatalf("%s: found %d values, expected %d", parameter.Name, len(values), parameter.Size())
		}
		bound := 1 / math.Sqrt(float64(parameter.FanIn))
		sum, squares := 0.0, 0.0
		for _, value := range values {
			if math.Abs(float64(value)) > bound*(1+1e-6) {
				t.Fatalf("%s: found %v outside of ±%v", parameter.Name, value, bound)
			}
			sum += float64(value)
			squares += float64(value) * float64(value)
		}
		n := float64(len(values))
		// A uniform distribution on ±bound has the variance bound²/3; five
		// standard errors are room enough for a fixed seed.
		if mean := sum / n; math.Abs(mean) > 5*bound/math.Sqrt(3*n) {
			t.Errorf("%s: found the mean %v", parameter.Name, mean)
		}
		if variance, want := squares/n, bound*bound/3; math.Abs(variance-want) > 5*want/math.Sqrt(n) {
			t.Errorf("%s: found the variance %v, expected %v", parameter.Name, variance, want)
		}
	}
}

func TestInitializeIsDecidedByTheSeed(t *testing.T) {
	parameters := model.FullyConnected{Rows: 2, Columns: 2, Hidden: []int{3}, Classes: 2}.Parameters()
	// Golden: a change of these numbers changes every published run.
	want := []float32{0.38836455, 0.22108619, -0.2817067, -0.4726221}
	got := model.Initialize(parameters, 42)[0][:4]
	if !slices.Equal(got, want) {
		t.Errorf("seed 42: found %v, expected %v", got, want)
	}
	if other := model.Initialize(parameters, 43)[0][:4]; slices.Equal(got, other) {
		t.Errorf("seeds 42 and 43: found the same weights %v", got)
	}
}
