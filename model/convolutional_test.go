package model_test

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// convolved is a network of two convolutions for MNIST's images.
var convolved = model.Convolutional{FullyConnected: model.FullyConnected{
	Rows: 28, Columns: 28, Hidden: []int{16}, Classes: 10, Activation: model.ActivationReLU,
}, Channels: []int{8, 16}, Kernel: 3}

func TestConvolutionalPrintsAsPyTorch(t *testing.T) {
	const want = `Network(
  (conv_stack): Sequential(
    (0): Conv2d(1, 8, kernel_size=(3, 3), stride=(1, 1))
    (1): ReLU()
    (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    (3): Conv2d(8, 16, kernel_size=(3, 3), stride=(1, 1))
    (4): ReLU()
    (5): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
  )
  (flatten): Flatten(start_dim=1, end_dim=-1)
  (linear_relu_stack): Sequential(
    (0): Linear(in_features=400, out_features=16, bias=True)
    (1): ReLU()
    (2): Linear(in_features=16, out_features=10, bias=True)
  )
)`
	if found := convolved.String(); found != want {
		t.Errorf("found\n%s\nexpected\n%s", found, want)
	}
}

func TestConvolutionalCounts(t *testing.T) {
	parameters := convolved.Parameters()
	if got, want := fmt.Sprint(parameters[:5]), "[{conv_stack.0.weight [8 1 3 3] 9} {conv_stack.0.bias [8] 9} "+
		"{conv_stack.3.weight [16 8 3 3] 72} {conv_stack.3.bias [16] 72} {linear_relu_stack.0.weight [16 400] 400}]"; got != want {
		t.Errorf("found the parameters %s, expected %s", got, want)
	}
	first, second, dense := 2.0*26*26*9*8, 2.0*11*11*72*16, 2.0*(400*16+16*10)
	if got, want := model.EvaluationFLOPs(convolved), first+second+dense; got != want {
		t.Errorf("evaluation: found %g operations an image, expected %g", got, want)
	}
	if got, want := model.TrainFLOPs(convolved), 2*first+3*(second+dense); got != want {
		t.Errorf("training: found %g operations an image, expected %g", got, want)
	}
}

func TestConvolutionalRefusesTheImpossible(t *testing.T) {
	for _, test := range []struct {
		change func(n *model.Convolutional)
		want   string
	}{
		{func(*model.Convolutional) {}, "<nil>"},
		{func(n *model.Convolutional) { n.Rows, n.Columns = 10, 4096 }, "<nil>"},
		{func(n *model.Convolutional) { n.Rows = 9 },
			"convolutions: number 2 of 2 gets 3 by 13 pixels of an image of 9 by 28, expected at least 4 by 4"},
		{func(n *model.Convolutional) { n.Kernel = 15 },
			"convolutions: number 2 of 2 gets 7 by 7 pixels of an image of 28 by 28, expected at least 16 by 16"},
		{func(n *model.Convolutional) { n.Kernel = 16 }, "convolutions: kernel of 16 pixels: expected 1 to 15"},
		{func(n *model.Convolutional) { n.Kernel = 0 }, "convolutions: kernel of 0 pixels: expected 1 to 15"},
		{func(n *model.Convolutional) { n.Channels = nil }, "convolutions: found 0, expected 1 to 8"},
		{func(n *model.Convolutional) { n.Channels = make([]int, 9) }, "convolutions: found 9, expected 1 to 8"},
		{func(n *model.Convolutional) { n.Channels = []int{8, -1} }, "convolutions: -1 channels of number 2: expected 1 to 1024"},
		{func(n *model.Convolutional) { n.Channels = []int{1025} }, "convolutions: 1025 channels of number 1: expected 1 to 1024"},
		{func(n *model.Convolutional) { n.Hidden = []int{0} }, "layer sizes: width 0 of hidden layer 1: expected 1 to 65536"},
		{func(n *model.Convolutional) { n.Channels, n.Hidden = []int{1024}, []int{2048} },
			"layer sizes: found 354441226 parameters, expected at most 268435456"},
	} {
		bad := convolved
		test.change(&bad)
		if err := bad.Validate(); fmt.Sprint(err) != test.want {
			t.Errorf("found error %v, expected %s", err, test.want)
		}
	}
}

// On XLA and in pure Go: the logits are those of plain Go, so that the losses are,
// and what is written is read again, with metadata and without.
func TestConvolutionalOnEveryBackend(t *testing.T) {
	for _, n := range []model.Convolutional{
		{FullyConnected: model.FullyConnected{Rows: 7, Columns: 12, Classes: 3, Activation: model.ActivationTanh}, Channels: []int{5}, Kernel: 3},
		{FullyConnected: model.FullyConnected{Rows: 12, Columns: 13, Hidden: []int{6}, Classes: 4, Activation: model.ActivationSigmoid},
			Channels: []int{2, 7, 3}, Kernel: 1},
		{FullyConnected: model.FullyConnected{Rows: 15, Columns: 16, Hidden: []int{6, 5}, Classes: 4, Activation: model.ActivationReLU},
			Channels: []int{4, 3}, Kernel: 4},
	} {
		t.Run(fmt.Sprint(n.Channels), func(t *testing.T) {
			test := func(t *testing.T, b *backend.Backend) {
				f := newFixture(t, b, n, 8, model.Unnormalized(), 30, 40)
				forward := model.NewForward(model.Description{Architecture: n, Normalization: model.Unnormalized()}, f.weights)
				found := evaluate(t, f.Network, f.images, 1)
				for i := range f.test.Len() {
					probabilities, activations := forward.Run(f.test.Image(i))
					difference := probabilities[found.Predictions[i]] - found.Confidences[i]
					if !(difference*difference <= 1e-10) || len(activations) != len(n.Channels)+len(n.Hidden) {
						t.Fatalf("image %d: found a probability that differs by %v, and %d layers", i, difference, len(activations))
					}
				}
			}
			t.Run("go", func(t *testing.T) { test(t, backendtest.Go(t)) })
			if n.Activation == model.ActivationReLU { // one network, because it takes a second to compile
				t.Run("xla:cpu", func(t *testing.T) { test(t, backendtest.XLA(t)) })
			}
			d := model.Description{Architecture: n, Normalization: model.Unnormalized(), BatchSize: 1, Version: "v"}
			weights := model.Initialize(n.Parameters(), 1)
			var file bytes.Buffer
			if err := model.WriteModel(&file, d, weights); err != nil {
				t.Fatal(err)
			}
			got, read, err := model.ReadModel(&file, "m", model.Hints{})
			if n.Hidden == nil {
				n.Hidden = []int{}
			}
			if err != nil || !reflect.DeepEqual(got.Architecture, n) || !reflect.DeepEqual(read, weights) {
				t.Errorf("found %+v (%v), expected %+v", got.Architecture, err, n)
			}
			if err := model.WriteWeights(&file, n.Parameters(), weights); err != nil {
				t.Fatal(err)
			}
			got, read, err = model.ReadModel(&file, "m", model.Hints{Rows: n.Rows, Columns: n.Columns, Activation: n.Activation})
			if err != nil || got.Architecture.String() != n.String() || !reflect.DeepEqual(read, weights) {
				t.Errorf("found %+v (%v), expected %+v", got.Architecture, err, n)
			}
		})
	}
}

// Without metadata, images are MNIST's, or else of a square, the smallest of which the poolings
// leave as much.
func TestReadConvolutionsWithoutMetadata(t *testing.T) {
	for _, test := range []struct {
		rows, columns, side int
		err                 string
	}{
		{28, 28, 28, "<nil>"},
		{32, 32, 30, "<nil>"},
		{32, 40, 0, "m: tensor linear_relu_stack.0.weight: found 768 inputs, expected 400, " +
			"which the convolutions leave of an image of 28 by 28 pixels"},
	} {
		n := convolved
		n.Rows, n.Columns = test.rows, test.columns
		var file bytes.Buffer
		if err := model.WriteWeights(&file, n.Parameters(), model.Initialize(n.Parameters(), 1)); err != nil {
			t.Fatal(err)
		}
		d, _, err := model.ReadModel(&file, "m", model.Hints{})
		want := convolved
		want.Rows, want.Columns = test.side, test.side
		if fmt.Sprint(err) != test.err || err == nil && !reflect.DeepEqual(d.Architecture, want) {
			t.Errorf("%d by %d pixels: found %+v (%v), expected %d by %d (%s)",
				test.rows, test.columns, d.Architecture, err, test.side, test.side, test.err)
		}
	}
}
