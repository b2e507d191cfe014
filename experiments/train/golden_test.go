package train_test

import (
	"bytes"
	"math"
	"path/filepath"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model"
)

// golden is the setting of the PyTorch run in testdata/golden.
func golden() experiments.Config {
	c := experiments.Defaults()
	c.LayerSizes = []int{24, 16}
	c.BatchSize = 52
	c.LearningRate = 0.02
	c.Epochs = 2
	c.Normalize = true
	c.Shuffle = false
	c.Init = "testdata/golden/init.safetensors"
	return c
}

// The same start, order and arithmetic give PyTorch's numbers, on every backend.
func TestRunFollowsPyTorch(t *testing.T) {
	var wantSteps [][]float64
	readJSON(t, "testdata/golden/step_losses.json", &wantSteps)
	_, wantEpochs := readMetrics(t, "testdata/golden/epochs.jsonl")
	parameters := parametersOf(t, golden(), 28, 28, 10)
	wantWeights := readWeights(t, "testdata/golden/final.safetensors", parameters)

	onEveryBackend(t, func(t *testing.T, backend string) {
		c := golden()
		c.Backend = backend
		out := filepath.Join(t.TempDir(), "run")
		mustTrain(t, c, train.Options{Folder: out, Now: time.Now})
		steps, epochs := readMetrics(t, filepath.Join(out, record.MetricsFile))
		if len(epochs) != 2 || len(steps) != 24 {
			t.Fatalf("found %d epochs and %d steps, expected 2 and 24", len(epochs), len(steps))
		}
		for i, step := range steps {
			if want := wantSteps[step.Epoch-1][step.Step/100]; math.Abs(float64(step.Loss)-want) > 1e-5 {
				t.Errorf("loss of line %d (epoch %d, step %d): found %v, expected %v", i, step.Epoch, step.Step, step.Loss, want)
			}
		}
		for i, got := range epochs {
			want := wantEpochs[i]
			for _, pair := range [][2]float64{
				{got.TrainLoss, want.TrainLoss}, {got.TrainAccuracy, want.TrainAccuracy},
				{got.TestLoss, want.TestLoss}, {got.TestAccuracy, want.TestAccuracy},
			} {
				if math.Abs(pair[0]-pair[1]) > 1e-4 {
					t.Errorf("epoch %d: found %+v, expected %+v", i+1, got, want)
				}
			}
		}
		weights := readWeights(t, filepath.Join(out, record.WeightsFile), parameters)
		for i := range weights {
			for j, value := range weights[i] {
				want := wantWeights[i][j]
				if math.Abs(float64(value-want)) > 1e-4 {
					t.Fatalf("parameter %d, value %d: found %v, expected %v", i, j, value, want)
				}
			}
		}
	})
}

// parametersOf are the parameters of the network of c on such images.
func parametersOf(t *testing.T, c experiments.Config, rows, columns, classes int) []model.ParameterSpec {
	t.Helper()
	architecture, err := c.Architecture(rows, columns, classes)
	if err != nil {
		t.Fatal(err)
	}
	return architecture.Parameters()
}

func readWeights(t *testing.T, path string, parameters []model.ParameterSpec) model.Weights {
	t.Helper()
	weights, err := model.ReadWeights(bytes.NewReader(read(t, path)), path, parameters)
	if err != nil {
		t.Fatal(err)
	}
	return weights
}
