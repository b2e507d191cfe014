package model_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"epochal/dataset"
	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// onEveryBackend runs a test on XLA's CPU and on pure Go.
func onEveryBackend(t *testing.T, test func(*testing.T, *backend.Backend)) {
	t.Run("xla:cpu", func(t *testing.T) { test(t, backendtest.XLA(t)) })
	t.Run("go", func(t *testing.T) { test(t, backendtest.Go(t)) })
}

// fixture is a small network on a device with data to train it on.
type fixture struct {
	*model.Network
	images      *model.Images
	train, test dataset.Set
	weights     model.Weights
}

func newFixture(t *testing.T, b *backend.Backend, p model.Program, n model.Normalization, train, test int) fixture {
	t.Helper()
	const rows, columns = 3, 4
	p.Topology.Inputs = rows * columns
	f := fixture{
		train:   randomSet(1, train, rows, columns, p.Topology.Classes),
		test:    randomSet(2, test, rows, columns, p.Topology.Classes),
		weights: model.Initialize(p.Topology, 3),
	}
	var err error
	f.Network, err = model.Compile(b, p, model.Sizes{Rows: model.ResidentRows(rows*columns, train, test), Epoch: train, Largest: max(train, test)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Network.Close)
	if f.images, err = model.Upload(b, n, f.train, f.test); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.images.Close)
	if err := f.SetWeights(f.weights); err != nil {
		t.Fatal(err)
	}
	return f
}

// epoch trains one epoch, stepsPerCall steps a call.
func (f fixture) epoch(t *testing.T, order []int32, stepsPerCall int, rate float64) []float32 {
	t.Helper()
	epoch, err := f.BeginEpoch(f.images, order)
	if err != nil {
		t.Fatal(err)
	}
	defer epoch.Close()
	var losses []float32
	for epoch.Step() < epoch.Steps() {
		some, err := epoch.Train(context.Background(), stepsPerCall, rate)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, some...)
	}
	if epoch.Samples() != len(order) {
		t.Errorf("samples after the epoch: found %d, expected %d", epoch.Samples(), len(order))
	}
	return losses
}

func TestTrainingAndEvaluationFollowTheReference(t *testing.T) {
	for _, test := range []struct {
		name       string
		hidden     []int
		activation model.Activation
		batch      int
	}{
		{"no hidden layer", nil, model.ActivationReLU, 8},
		{"relu", []int{9, 5}, model.ActivationReLU, 8},
		{"sigmoid", []int{7}, model.ActivationSigmoid, 8},
		{"tanh", []int{7}, model.ActivationTanh, 8},
		{"batches of one", []int{4}, model.ActivationReLU, 1},
		{"one batch larger than the set", []int{4}, model.ActivationReLU, 64},
		{"many images and wide layers", []int{512, 512}, model.ActivationReLU, 256}, // see weightGradient
	} {
		t.Run(test.name, func(t *testing.T) {
			onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
				const train, tests, rate = 29, 21, 0.1 // 29 = 3 * 8 + 5: the last batch is partial
				normalization := model.Normalization{Mean: 0.3, Deviation: 0.6}
				program := model.Program{
					Topology:  model.Topology{Hidden: test.hidden, Classes: 3, Activation: test.activation},
					BatchSize: test.batch,
				}
				f := newFixture(t, b, program, normalization, train, tests)
				want := newReference(f.Program().Topology, f.weights)
				for epoch := 1; epoch <= 3; epoch++ {
					order := dataset.Order(5, epoch, train)
					losses := f.epoch(t, order, 2, rate)
					if got, want := len(losses), dataset.BatchCount(train, test.batch); got != want {
						t.Fatalf("steps: found %d, expected %d", got, want)
					}
					for batch := range dataset.Batches(order, test.batch) {
						loss := want.step(f.train, batch.Rows, normalization, rate)
						if difference := math.Abs(loss - float64(losses[batch.Step])); !(difference < 2e-6) {
							t.Errorf("epoch %d step %d: found loss %v, expected %v", epoch, batch.Step, losses[batch.Step], loss)
						}
					}
				}
				compareWeights(t, f, want)
				for section, set := range []dataset.Set{f.train, f.test} {
					compareEvaluation(t, f, section, set, want, normalization)
				}
			})
		})
	}
}

func compareWeights(t *testing.T, f fixture, want *reference) {
	t.Helper()
	weights, err := f.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for i, layer := range f.Program().Topology.Layers() {
		for out := range layer.Out {
			if got, want := float64(weights[i].Bias[out]), want.bias[i][out]; !(math.Abs(got-want) < 2e-6) {
				t.Errorf("bias %d of layer %d: found %v, expected %v", out, i, got, want)
			}
			for in := range layer.In {
				if got, want := float64(weights[i].Weight[out*layer.In+in]), want.weight[i][out][in]; !(math.Abs(got-want) < 2e-6) {
					t.Errorf("weight %d,%d of layer %d: found %v, expected %v", out, in, i, got, want)
				}
			}
		}
	}
}

func compareEvaluation(t *testing.T, f fixture, section int, set dataset.Set, want *reference, n model.Normalization) {
	t.Helper()
	got, err := f.Evaluate(context.Background(), f.images, section)
	if err != nil {
		t.Fatal(err)
	}
	loss, predictions, confidences := want.evaluate(set, n, f.Program().BatchSize)
	if !(math.Abs(got.Loss-loss) < 2e-6) {
		t.Errorf("section %d: found loss %v, expected %v", section, got.Loss, loss)
	}
	confusion := make([][]int, f.Program().Topology.Classes)
	for class := range confusion {
		confusion[class] = make([]int, len(confusion))
	}
	correct := 0
	for i, prediction := range predictions {
		confusion[set.Labels[i]][prediction]++
		if int(set.Labels[i]) == prediction {
			correct++
		}
		if got := float64(got.Confidences[i]); !(math.Abs(got-confidences[i]) < 2e-6) {
			t.Errorf("section %d image %d: found confidence %v, expected %v", section, i, got, confidences[i])
		}
		if int(got.Predictions[i]) != prediction {
			t.Errorf("section %d image %d: found class %d, expected %d", section, i, got.Predictions[i], prediction)
		}
	}
	if got.Correct != correct || got.Count != set.Len() || got.Accuracy() != float64(correct)/float64(set.Len()) {
		t.Errorf("section %d: found %d of %d right, expected %d of %d", section, got.Correct, got.Count, correct, set.Len())
	}
	if fmt.Sprint(got.Confusion) != fmt.Sprint(confusion) {
		t.Errorf("section %d: found confusion %v, expected %v", section, got.Confusion, confusion)
	}
}

// Sets that are larger than a chunk of the evaluation and no multiple of it.
func TestEvaluationInChunks(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
		program := model.Program{Topology: model.Topology{Hidden: []int{5}, Classes: 4, Activation: model.ActivationReLU}, BatchSize: 7}
		f := newFixture(t, b, program, model.Unnormalized(), 2503, 1001)
		want := newReference(f.Program().Topology, f.weights)
		compareEvaluation(t, f, 0, f.train, want, model.Unnormalized())
		compareEvaluation(t, f, 1, f.test, want, model.Unnormalized())
	})
}

func TestStepsPerCallNeverChangeTheResult(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
		program := model.Program{Topology: model.Topology{Hidden: []int{16}, Classes: 3, Activation: model.ActivationReLU}, BatchSize: 4}
		var first []byte
		for _, stepsPerCall := range []int{0, 1, 7, 100, 122} {
			program.SingleSteps = stepsPerCall == 0
			f := newFixture(t, b, program, model.Unnormalized(), 487, 10)
			if err := f.SetWeights(f.weights); err != nil {
				t.Fatal(err)
			}
			losses := f.epoch(t, dataset.Order(0, 1, 487), max(1, stepsPerCall), 0.05)
			weights, err := f.Weights()
			if err != nil {
				t.Fatal(err)
			}
			var result bytes.Buffer
			fmt.Fprintln(&result, losses)
			if err := model.WriteWeights(&result, f.Program().Topology, weights); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = result.Bytes()
			} else if !bytes.Equal(first, result.Bytes()) {
				t.Errorf("%d steps a call: found other losses or weights than with a program of single steps", stepsPerCall)
			}
		}
	})
}

// Logits of ±10,000 are far beyond where exp overflows.
func TestLossIsStableForHugeLogits(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
		topology := model.Topology{Inputs: 12, Classes: 2, Activation: model.ActivationReLU}
		f := newFixture(t, b, model.Program{Topology: topology, BatchSize: 5}, model.Unnormalized(), 5, 5)
		bias := []float32{1e4, -1e4}
		if err := f.SetWeights(model.Weights{{Weight: make([]float32, 24), Bias: bias}}); err != nil {
			t.Fatal(err)
		}
		evaluation, err := f.Evaluate(context.Background(), f.images, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, loss := range evaluation.Losses {
			if want := 2e4 * float32(f.train.Labels[i]); loss != want {
				t.Errorf("label %d: found loss %v, expected %v", f.train.Labels[i], loss, want)
			}
		}
		losses := f.epoch(t, dataset.FileOrder(5), 1, 1e-3)
		if math.Abs(float64(losses[0])-evaluation.Loss) > 1e-2 {
			t.Errorf("training: found loss %v, expected %v", losses[0], evaluation.Loss)
		}
		weights, err := f.Weights()
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range slices.Concat(weights[0].Weight, weights[0].Bias) {
			if math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
				t.Fatalf("found the weight %v after a step", value)
			}
		}
	})
}

// A weight that is not a number must show in the loss, as in PyTorch: a ReLU
// that turned NaN into 0 would hide that a training diverged.
func TestNaNReachesTheLoss(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
		for _, activation := range model.Activations() {
			program := model.Program{Topology: model.Topology{Hidden: []int{4, 3}, Classes: 2, Activation: activation}, BatchSize: 2}
			f := newFixture(t, b, program, model.Unnormalized(), 4, 2)
			f.weights[0].Bias[0] = float32(math.NaN())
			if err := f.SetWeights(f.weights); err != nil {
				t.Fatal(err)
			}
			evaluation, err := f.Evaluate(context.Background(), f.images, 0)
			if err != nil {
				t.Fatal(err)
			}
			if losses := f.epoch(t, dataset.FileOrder(4), 1, 0.1); !math.IsNaN(evaluation.Loss) || !math.IsNaN(float64(losses[0])) {
				t.Errorf("%s: found the losses %v and %v, expected NaN", activation, evaluation.Loss, losses[0])
			}
		}
	})
}

func TestCancelledTrainingStopsBetweenSteps(t *testing.T) {
	b := backendtest.Go(t)
	program := model.Program{Topology: model.Topology{Classes: 2, Activation: model.ActivationReLU}, BatchSize: 1}
	f := newFixture(t, b, program, model.Unnormalized(), 10, 2)
	epoch, err := f.BeginEpoch(f.images, dataset.FileOrder(10))
	if err != nil {
		t.Fatal(err)
	}
	defer epoch.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	losses, err := epoch.Train(ctx, 10, 0.1)
	if err != context.Canceled || len(losses) != 0 || epoch.Step() != 0 {
		t.Errorf("found %d losses and error %v at step %d, expected none, %v and 0", len(losses), err, epoch.Step(), context.Canceled)
	}
}

func TestNetworkRefusesWhatItWasNotCompiledFor(t *testing.T) {
	b := backendtest.Go(t)
	program := model.Program{Topology: model.Topology{Hidden: []int{5}, Classes: 3, Activation: model.ActivationReLU}, BatchSize: 4}
	f := newFixture(t, b, program, model.Unnormalized(), 10, 2)
	expect := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found error %v, expected %q", err, want)
		}
	}
	_, err := f.BeginEpoch(f.images, dataset.FileOrder(9))
	expect(err, "order: found 9 images, expected the 10 the network was compiled for")
	_, err = f.BeginEpoch(f.images, []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 10})
	expect(err, "order: found image 10 at place 9, expected 0 to 9")
	_, err = f.Evaluate(context.Background(), f.images, 2)
	expect(err, "evaluating set 2: found 2 sets")
	expect(f.SetWeights(f.weights[:1]), "weights: found 1 layers, expected 2")
	wrong := slices.Clone(f.weights)
	wrong[1].Bias = wrong[1].Bias[:2]
	expect(f.SetWeights(wrong), "weights of layer 1: found 15 weights and 2 biases, expected [3, 5] and [3]")
	_, err = model.Upload(b, model.Normalization{}, f.train)
	expect(err, "normalization: found mean 0 and deviation 0, expected finite numbers and a deviation above 0")
	_, err = model.Upload(b, model.Unnormalized(), f.train, randomSet(1, 2, 5, 5, 3))
	expect(err, "set 1: found images of 25 pixels, expected 12 as in the first set")
	_, err = model.Compile(b, model.Program{Topology: f.Program().Topology}, model.Sizes{Rows: 1000, Epoch: 10, Largest: 10})
	expect(err, "batch size: found 0, expected at least 1")
}

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
		{2000 * 2000, []int{4, 2}, 8}, // chunks of 4
		{4096 * 4096, []int{3, 2}, 5}, // chunks of 1
	} {
		if got := model.ResidentRows(test.inputs, test.counts...); got != test.want {
			t.Errorf("%d inputs, sets of %v: found %d rows, expected %d", test.inputs, test.counts, got, test.want)
		}
	}
}
