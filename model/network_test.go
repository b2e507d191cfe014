package model_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"epochal/dataset"
	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// onEveryBackend runs a test on XLA's CPU, with one client and with two, and on pure Go.
func onEveryBackend(t *testing.T, test func(*testing.T, *backend.Backend)) {
	t.Run("xla:cpu", func(t *testing.T) { test(t, backendtest.XLA(t)) })
	t.Run("beside", func(t *testing.T) { test(t, backendtest.Beside(t)) })
	t.Run("go", func(t *testing.T) { test(t, backendtest.Go(t)) })
}

// fixture is a small network on a device with data to train it on.
type fixture struct {
	*model.Network
	architecture model.Architecture
	images       *model.Images
	train, test  dataset.Set
	weights      model.Weights
}

// relu is a network for images of 3x4 pixels.
func relu(classes int, hidden ...int) model.FullyConnected {
	return model.FullyConnected{Rows: 3, Columns: 4, Hidden: hidden, Classes: classes, Activation: model.ActivationReLU}
}

func newFixture(t *testing.T, b *backend.Backend, a model.Architecture, batch int, n model.Normalization, train, test int) fixture {
	t.Helper()
	task := a.Task()
	f := fixture{
		architecture: a,
		train:        randomSet(1, train, task.Rows, task.Columns, task.Classes),
		test:         randomSet(2, test, task.Rows, task.Columns, task.Classes),
		weights:      model.Initialize(a.Parameters(), 3),
	}
	f.compile(t, b, model.Program{Architecture: a, BatchSize: batch})
	var err error
	if f.images, err = model.Upload(b, n, f.train, f.test); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.images.Close)
	return f
}

// compile gives f another network, with its first weights.
func (f *fixture) compile(t *testing.T, b *backend.Backend, p model.Program) {
	t.Helper()
	var err error
	if f.Network, err = model.Compile(b, p, f.train.Len(), f.test.Len()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Network.Close)
	if err := f.SetWeights(f.weights); err != nil {
		t.Fatal(err)
	}
}

func evaluate(t *testing.T, n *model.Network, images *model.Images, section int) model.Evaluation {
	t.Helper()
	evaluation, err := n.Evaluate(context.Background(), images, section)
	if err != nil {
		t.Fatal(err)
	}
	return evaluation
}

// trained are the weights on the device.
func (f fixture) trained(t *testing.T) model.Weights {
	t.Helper()
	weights, err := f.Weights()
	if err != nil {
		t.Fatal(err)
	}
	return weights
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
			follow := func(t *testing.T, b *backend.Backend) {
				const train, tests, rate = 29, 21, 0.1 // 29 = 3 * 8 + 5: the last batch is partial
				normalization := model.Normalization{Mean: 0.3, Deviation: 0.6}
				architecture := relu(3, test.hidden...)
				architecture.Activation = test.activation
				f := newFixture(t, b, architecture, test.batch, normalization, train, tests)
				want := newReference(architecture, f.weights)
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
			}
			onEveryBackend(t, follow)
			// The programs of a GPU, which differ, without one.
			t.Run("xla:cuda", func(t *testing.T) { follow(t, backendtest.CUDA(t, "NVIDIA H100 80GB HBM3").Open(t)) })
		})
	}
}

func compareWeights(t *testing.T, f fixture, want *reference) {
	t.Helper()
	for i, values := range f.trained(t) {
		expected := want.bias[i/2]
		if i%2 == 0 {
			expected = slices.Concat(want.weight[i/2]...)
		}
		for j, value := range values {
			if !(math.Abs(float64(value)-expected[j]) < 2e-6) {
				t.Errorf("%s: found %v at position %d, expected %v", f.architecture.Parameters()[i].Name, value, j, expected[j])
			}
		}
	}
}

func compareEvaluation(t *testing.T, f fixture, section int, set dataset.Set, want *reference, n model.Normalization) {
	t.Helper()
	got := evaluate(t, f.Network, f.images, section)
	loss, predictions, confidences := want.evaluate(set, n, f.Program().BatchSize)
	if !(math.Abs(got.Loss-loss) < 2e-6) {
		t.Errorf("section %d: found loss %v, expected %v", section, got.Loss, loss)
	}
	confusion := make([][]int, f.architecture.Task().Classes)
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
		f := newFixture(t, b, relu(4, 5), 7, model.Unnormalized(), 2503, 1001)
		want := newReference(f.architecture.(model.FullyConnected), f.weights)
		compareEvaluation(t, f, 0, f.train, want, model.Unnormalized())
		compareEvaluation(t, f, 1, f.test, want, model.Unnormalized())
	})
}

// A snapshot keeps the network as it was while it trains on, and evaluates it with the
// bits of the first client.
func TestASnapshotIsEvaluatedWhileTheNetworkTrains(t *testing.T) {
	architecture, n := relu(4, 64, 32), model.Normalization{Mean: 0.1, Deviation: 0.3}
	alone := newFixture(t, backendtest.XLA(t), architecture, 7, n, 2503, 1001)
	f := newFixture(t, backendtest.Beside(t), architecture, 7, n, 2503, 1001)
	order := dataset.Order(0, 1, 2503)
	want := fmt.Sprint(alone.epoch(t, order, 358, 0.05),
		evaluate(t, alone.Network, alone.images, 0), evaluate(t, alone.Network, alone.images, 1))

	losses := f.epoch(t, order, 358, 0.05)
	snapshot, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	var found [2]model.Evaluation
	var errs [2]error
	var group sync.WaitGroup
	group.Go(func() {
		for section := range found {
			found[section], errs[section] = snapshot.Evaluate(context.Background(), f.images, section)
		}
	})
	f.epoch(t, order, 20, 0.05)
	group.Wait()
	if got := fmt.Sprint(losses, found[0], found[1]); got != want || errors.Join(errs[:]...) != nil {
		t.Errorf("found another evaluation than alone, errors %v", errs)
	}
	if again := fmt.Sprint(evaluate(t, f.Network, f.images, 0)); again == fmt.Sprint(found[0]) {
		t.Error("the network evaluates like its snapshot although it has trained since")
	}
}

func TestStepsPerCallNeverChangeTheResult(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
		f := newFixture(t, b, relu(3, 16), 4, model.Unnormalized(), 487, 10)
		var first string
		for _, stepsPerCall := range []int{0, 1, 7, 100, 122} {
			f.compile(t, b, model.Program{Architecture: f.architecture, BatchSize: 4, SingleSteps: stepsPerCall == 0})
			losses := f.epoch(t, dataset.Order(0, 1, 487), max(1, stepsPerCall), 0.05)
			result := fmt.Sprint(losses, f.trained(t)) // the shortest digits tell every float32 apart
			if first == "" {
				first = result
			} else if first != result {
				t.Errorf("%d steps a call: found other losses or weights than with a program of single steps", stepsPerCall)
			}
		}
	})
}

// An epoch that continues from its middle ends as one that was never interrupted.
func TestSeek(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
		f := newFixture(t, b, relu(3, 5), 4, model.Unnormalized(), 22, 3)
		order := dataset.Order(0, 1, 22)
		want := f.epoch(t, order, 2, 0.1)
		if err := f.SetWeights(f.weights); err != nil {
			t.Fatal(err)
		}
		var losses []float32
		for _, start := range []int{0, 4} {
			epoch, err := f.BeginEpoch(f.images, order)
			if err != nil {
				t.Fatal(err)
			}
			defer epoch.Close()
			epoch.Seek(start)
			some, err := epoch.Train(context.Background(), 4, 0.1)
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, some...)
		}
		if !slices.Equal(losses, want) {
			t.Errorf("found the losses %v, expected %v", losses, want)
		}
	})
}

func TestTheFirstImagesOfASet(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
		f := newFixture(t, b, relu(3, 7), 4, model.Unnormalized(), 20, 9)
		all, some := evaluate(t, f.Network, f.images, 1), evaluate(t, f.Network, f.images.First(1, 6), 1)
		if some.Count != 6 || !slices.Equal(some.Losses, all.Losses[:6]) {
			t.Errorf("found %d images with the losses %v, expected 6 with %v", some.Count, some.Losses, all.Losses[:6])
		}
		if again := evaluate(t, f.Network, f.images, 1); again.Count != 9 {
			t.Errorf("the images themselves: found %d, expected 9", again.Count)
		}
	})
}

// Logits of ±10,000 are far beyond where exp overflows.
func TestLossIsStableForHugeLogits(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, b *backend.Backend) {
		f := newFixture(t, b, relu(2), 5, model.Unnormalized(), 5, 5)
		if err := f.SetWeights(model.Weights{make([]float32, 24), {1e4, -1e4}}); err != nil {
			t.Fatal(err)
		}
		evaluation := evaluate(t, f.Network, f.images, 0)
		for i, loss := range evaluation.Losses {
			if want := 2e4 * float32(f.train.Labels[i]); loss != want {
				t.Errorf("label %d: found loss %v, expected %v", f.train.Labels[i], loss, want)
			}
		}
		losses := f.epoch(t, dataset.FileOrder(5), 1, 1e-3)
		if math.Abs(float64(losses[0])-evaluation.Loss) > 1e-2 {
			t.Errorf("training: found loss %v, expected %v", losses[0], evaluation.Loss)
		}
		for _, value := range slices.Concat(f.trained(t)...) {
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
			architecture := relu(2, 4, 3)
			architecture.Activation = activation
			f := newFixture(t, b, architecture, 2, model.Unnormalized(), 4, 2)
			f.weights[1][0] = float32(math.NaN())
			if err := f.SetWeights(f.weights); err != nil {
				t.Fatal(err)
			}
			evaluation := evaluate(t, f.Network, f.images, 0)
			if losses := f.epoch(t, dataset.FileOrder(4), 1, 0.1); !math.IsNaN(evaluation.Loss) || !math.IsNaN(float64(losses[0])) {
				t.Errorf("%s: found the losses %v and %v, expected NaN", activation, evaluation.Loss, losses[0])
			}
		}
	})
}

func TestCancelledTrainingStopsBetweenSteps(t *testing.T) {
	f := newFixture(t, backendtest.Go(t), relu(2), 1, model.Unnormalized(), 10, 2)
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
