package experiments_test

import (
	"bufio"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"epochal/experiments"
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
	wantEpochs := readLines[experiments.EpochMetrics](t, "testdata/golden/epochs.jsonl")
	topology := model.FullyConnected{Rows: 28, Columns: 28, Hidden: golden().LayerSizes, Classes: 10, Activation: model.ActivationReLU}
	wantWeights := readWeights(t, "testdata/golden/final.safetensors", topology)

	onEveryBackend(t, func(t *testing.T, backend string) {
		c := golden()
		c.Backend = backend
		out := filepath.Join(t.TempDir(), "run")
		if _, err := experiments.Run(context.Background(), c, experiments.Options{Folder: out}); err != nil {
			t.Fatal(err)
		}
		steps, epochs := readMetrics(t, filepath.Join(out, experiments.MetricsFile))
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
		weights := readWeights(t, filepath.Join(out, experiments.WeightsFile), topology)
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

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// readLines reads a file with one JSON object a line.
func readLines[T any](t *testing.T, path string) []T {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var lines []T
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var line T
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		lines = append(lines, line)
	}
	return lines
}

// readMetrics reads metrics.jsonl and tells its two kinds of lines apart.
func readMetrics(t *testing.T, path string) (steps []experiments.StepMetrics, epochs []experiments.EpochMetrics) {
	t.Helper()
	for _, line := range readLines[json.RawMessage](t, path) {
		var kind struct{ Event string }
		if err := json.Unmarshal(line, &kind); err != nil {
			t.Fatal(err)
		}
		var err error
		switch kind.Event {
		case "step":
			steps = append(steps, experiments.StepMetrics{})
			err = json.Unmarshal(line, &steps[len(steps)-1])
		case "epoch":
			epochs = append(epochs, experiments.EpochMetrics{})
			err = json.Unmarshal(line, &epochs[len(epochs)-1])
		case "diverged":
		default:
			t.Fatalf("%s: found the event %q", path, kind.Event)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return steps, epochs
}

func readWeights(t *testing.T, path string, topology model.FullyConnected) model.Weights {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	weights, err := model.ReadWeights(file, path, topology.Parameters())
	if err != nil {
		t.Fatal(err)
	}
	return weights
}
