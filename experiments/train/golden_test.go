package train_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// golden is the setting of the PyTorch run in testdata/golden.
func golden() experiments.Config {
	c := experiments.Defaults()
	c.LayerSizes, c.BatchSize, c.LearningRate, c.Epochs = []int{24, 16}, 52, 0.02, 2
	c.Normalize, c.Shuffle, c.Init = true, false, "testdata/golden/init.safetensors"
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
		times := cmpopts.IgnoreFields(experiments.EpochMetrics{}, "Event", "TrainSeconds", "EvalSeconds")
		if diff := cmp.Diff(wantEpochs, epochs, times, cmpopts.EquateApprox(0, 1e-4)); diff != "" {
			t.Errorf("epochs, -expected +found:\n%s", diff)
		}
		weights := readWeights(t, filepath.Join(out, record.WeightsFile), parameters)
		if diff := cmp.Diff(wantWeights, weights, cmpopts.EquateApprox(0, 1e-4)); diff != "" {
			t.Errorf("weights, -expected +found:\n%s", diff)
		}
	})
}

// readMetrics reads the steps and epochs of metrics.jsonl. The recorded ones of
// PyTorch are epochs alone, without the name of an event.
func readMetrics(t *testing.T, path string) (steps []experiments.StepMetrics, epochs []experiments.EpochMetrics) {
	t.Helper()
	for line := range bytes.Lines(read(t, path)) {
		var step experiments.StepMetrics
		var epoch experiments.EpochMetrics
		if err := errors.Join(json.Unmarshal(line, &step), json.Unmarshal(line, &epoch)); err != nil {
			t.Fatal(err)
		}
		if step.Event == "step" {
			steps = append(steps, step)
		} else {
			epochs = append(epochs, epoch)
		}
	}
	return steps, epochs
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
