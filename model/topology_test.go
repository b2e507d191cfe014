package model_test

import (
	"strings"
	"testing"

	"epochal/model"
)

func TestTopologyPrintsAsPyTorch(t *testing.T) {
	for _, test := range []struct {
		name string
		in   model.Topology
		want string
	}{
		{"the post's", model.Topology{Inputs: 784, Hidden: []int{512, 512}, Classes: 10, Activation: model.ActivationReLU}, `Sequential(
  (0): Linear(in_features=784, out_features=512, bias=True)
  (1): ReLU()
  (2): Linear(in_features=512, out_features=512, bias=True)
  (3): ReLU()
  (4): Linear(in_features=512, out_features=10, bias=True)
)`},
		{"no hidden layer", model.Topology{Inputs: 6, Classes: 2, Activation: model.ActivationReLU}, `Sequential(
  (0): Linear(in_features=6, out_features=2, bias=True)
)`},
		{"sigmoid", model.Topology{Inputs: 6, Hidden: []int{3}, Classes: 2, Activation: model.ActivationSigmoid}, `Sequential(
  (0): Linear(in_features=6, out_features=3, bias=True)
  (1): Sigmoid()
  (2): Linear(in_features=3, out_features=2, bias=True)
)`},
		{"tanh", model.Topology{Inputs: 6, Hidden: []int{3}, Classes: 2, Activation: model.ActivationTanh}, `Sequential(
  (0): Linear(in_features=6, out_features=3, bias=True)
  (1): Tanh()
  (2): Linear(in_features=3, out_features=2, bias=True)
)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.in.String(); got != test.want {
				t.Errorf("found\n%s\nexpected\n%s", got, test.want)
			}
		})
	}
}

func TestTopologyCounts(t *testing.T) {
	post := model.Topology{Inputs: 784, Hidden: []int{512, 512}, Classes: 10, Activation: model.ActivationReLU}
	if got, want := post.ParameterCount(), 784*512+512+512*512+512+512*10+10; got != want {
		t.Errorf("parameters: found %d, expected %d", got, want)
	}
	forward := 2.0 * (784*512 + 512*512 + 512*10)
	if got := post.EvaluationFLOPs(); got != forward {
		t.Errorf("evaluation: found %g operations an image, expected %g", got, forward)
	}
	// Backwards: every weight gradient, and the input gradients of two layers.
	if got, want := post.TrainFLOPs(), 2*forward+2.0*(512*512+512*10); got != want {
		t.Errorf("training: found %g operations an image, expected %g", got, want)
	}
}

func TestTopologyRefusesTheImpossible(t *testing.T) {
	good := model.Topology{Inputs: 784, Hidden: []int{8}, Classes: 10, Activation: model.ActivationReLU}
	for _, test := range []struct {
		want   string
		change func(*model.Topology)
	}{
		{"inputs: found 0, expected at least 1", func(t *model.Topology) { t.Inputs = 0 }},
		{"classes: found 1, expected at least 2", func(t *model.Topology) { t.Classes = 1 }},
		{"layer sizes: width 0 of hidden layer 2: expected 1 to 65536", func(t *model.Topology) { t.Hidden = []int{8, 0} }},
		{"layer sizes: found 65 hidden layers, expected at most 64", func(t *model.Topology) { t.Hidden = make([]int, 65) }},
		{"layer sizes: found 4347133962 parameters, expected at most 268435456", func(t *model.Topology) { t.Hidden = []int{65536, 65536} }},
		{`activation: found "gelu", expected one of relu, sigmoid, tanh`, func(t *model.Topology) { t.Activation = "gelu" }},
	} {
		bad := good
		test.change(&bad)
		err := bad.Validate()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("found error %v, expected %q", err, test.want)
		}
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
