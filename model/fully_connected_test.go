package model_test

import (
	"fmt"
	"strings"
	"testing"

	"epochal/model"
)

var post = model.FullyConnected{Rows: 28, Columns: 28, Hidden: []int{512, 512}, Classes: 10, Activation: model.ActivationReLU}

func TestFullyConnectedPrintsAsPyTorch(t *testing.T) {
	for _, test := range []struct {
		name string
		in   model.FullyConnected
		want string
	}{
		{"the post's", post, `Sequential(
  (0): Linear(in_features=784, out_features=512, bias=True)
  (1): ReLU()
  (2): Linear(in_features=512, out_features=512, bias=True)
  (3): ReLU()
  (4): Linear(in_features=512, out_features=10, bias=True)
)`},
		{"no hidden layer", model.FullyConnected{Rows: 2, Columns: 3, Classes: 2}, `Sequential(
  (0): Linear(in_features=6, out_features=2, bias=True)
)`},
	} {
		for activation, module := range map[model.Activation]string{"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh"} {
			test.in.Activation = activation
			if got, want := test.in.String(), strings.ReplaceAll(test.want, "ReLU", module); got != want {
				t.Errorf("%s: found\n%s\nexpected\n%s", test.name, got, want)
			}
		}
	}
}

func TestFullyConnectedCounts(t *testing.T) {
	if got, want := model.ParameterCount(post.Parameters()), 784*512+512+512*512+512+512*10+10; got != want {
		t.Errorf("parameters: found %d, expected %d", got, want)
	}
	forward := 2.0 * (784*512 + 512*512 + 512*10)
	if got := model.EvaluationFLOPs(post); got != forward {
		t.Errorf("evaluation: found %g operations an image, expected %g", got, forward)
	}
	// Backwards: every weight gradient, and the input gradients of two layers.
	if got, want := model.TrainFLOPs(post), 2*forward+2.0*(512*512+512*10); got != want {
		t.Errorf("training: found %g operations an image, expected %g", got, want)
	}
}

func TestFullyConnectedRefusesTheImpossible(t *testing.T) {
	for _, test := range []struct {
		hidden []int
		want   string
	}{
		{[]int{8}, "<nil>"},
		{[]int{8, 0}, "layer sizes: width 0 of hidden layer 2: expected 1 to 65536"},
		{make([]int, 65), "layer sizes: found 65 hidden layers, expected at most 64"},
		{[]int{65536, 65536}, "layer sizes: found 4347133962 parameters, expected at most 268435456"},
	} {
		bad := post
		bad.Hidden = test.hidden
		if err := bad.Validate(); fmt.Sprint(err) != test.want {
			t.Errorf("found error %v, expected %s", err, test.want)
		}
	}
}

func TestThreads(t *testing.T) {
	network := func(hidden ...int) model.FullyConnected {
		return model.FullyConnected{Rows: 28, Columns: 28, Hidden: hidden, Classes: 10, Activation: model.ActivationReLU}
	}
	for _, c := range []struct {
		network            model.FullyConnected
		batch, cores, want int
	}{
		{network(), 1, 64, 1},
		{network(32, 32), 16, 2, 1},
		{network(32, 32), 64, 2, 1},   // 6.9 MFLOP
		{network(128, 128), 16, 2, 1}, // 8.1 MFLOP
		{network(128, 128), 32, 2, 2},
		{network(128, 128), 32, 1, 1},
		{network(128, 128), 64, 64, 4},
		{network(512, 512), 64, 64, 25},
		{network(1024, 1024), 256, 64, 64},
	} {
		if found := model.Threads(c.network, c.batch, c.cores); found != c.want {
			t.Errorf("%v, batch %d, %d cores: found %d threads, expected %d", c.network.Hidden, c.batch, c.cores, found, c.want)
		}
	}
}
