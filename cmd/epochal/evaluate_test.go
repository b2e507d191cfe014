package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"epochal/experiments/evaluate"
	"epochal/experiments/record"
	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// Of the run's own test set, evaluate prints the run's own numbers, to the bit, from
// the run folder and from a copy of the one file.
func TestEvaluatePrintsTheNumbersOfTheRun(t *testing.T) {
	t.Run("xla:cpu", func(t *testing.T) {
		backendtest.XLA(t)
		evaluateARun(t, backend.XLACPU)
	})
	t.Run("go", func(t *testing.T) { evaluateARun(t, backend.Go) })
}

func evaluateARun(t *testing.T, backend string) {
	t.Chdir(dataFolder(t))
	command := func(args ...string) string {
		t.Helper()
		var out, diagnostics bytes.Buffer
		if code := run(append(args, "--backend", backend), &out, &diagnostics); code != exitDone {
			t.Fatalf("%v: found exit code %d and %s", args, code, diagnostics.String())
		}
		return out.String()
	}
	command("train", "--data", "d", "--layer-sizes", "8", "--batch-size", "4", "--learning-rate", "0.01", "--epochs", "2",
		"--normalize", "--activation", "tanh", "--out", "r")
	run, err := record.Read("r")
	if err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile(filepath.Join("r", record.WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("copy", weights, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"evaluate", "r", "--json"}, {"evaluate", "copy", "--data", "d", "--json"}} {
		var found evaluate.Result
		if err := json.Unmarshal([]byte(command(args...)), &found); err != nil {
			t.Fatal(err)
		}
		last := run.Epochs[len(run.Epochs)-1]
		if found.Loss != last.TestLoss || found.Accuracy != last.TestAccuracy || found.Images != 90 || found.Backend != backend {
			t.Errorf("%v: found %+v, expected loss %v and accuracy %v", args, found, last.TestLoss, last.TestAccuracy)
		}
		if !reflect.DeepEqual(found.Confusion, run.Test.Confusion) {
			t.Errorf("%v: found the confusion matrix %v, expected %v", args, found.Confusion, run.Test.Confusion)
		}
	}
}

// Weights can be finite and the numbers that they give not.
func TestWeightsThatOverflow(t *testing.T) {
	t.Chdir(dataFolder(t))
	description := model.Description{
		Architecture:  model.FullyConnected{Rows: 3, Columns: 4, Hidden: []int{2}, Classes: 3, Activation: model.ActivationReLU},
		Normalization: model.Unnormalized(), Data: "d", BatchSize: 64, Version: "v1",
	}
	weights := model.Initialize(description.Architecture.Parameters(), 1)
	for _, values := range weights {
		for i := range values {
			values[i] = 3e38
		}
	}
	var file bytes.Buffer
	if err := model.WriteModel(&file, description, weights); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("w", file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"evaluate", "w", "--data", "d", "--backend", "go"}, {"evaluate", "w", "--data", "d", "--backend", "go", "--json"},
		{"predict", "w", "d"}, {"predict", "w", "d", "--json"},
	} {
		var out, diagnostics bytes.Buffer
		code := run(args, &out, &diagnostics)
		if want := "w: found the output NaN, expected finite numbers"; code != exitFailed || !strings.Contains(diagnostics.String(), want) {
			t.Errorf("%v: found exit code %d and %s, expected %s", args, code, diagnostics.String(), want)
		}
		if out.Len() > 0 {
			t.Errorf("%v: found %s", args, out.String())
		}
	}
}

// Without metadata, the pixels of an image may be of any rectangle but a square.
func TestImagesThatAreNotSquare(t *testing.T) {
	t.Chdir(dataFolder(t))
	parameters := model.FullyConnected{Rows: 3, Columns: 4, Classes: 3, Activation: model.ActivationReLU}.Parameters()
	var file bytes.Buffer
	if err := model.WriteWeights(&file, parameters, model.Initialize(parameters, 1)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("w", file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"predict", "w", "d"}, {"export", "w", "w.onnx"}} {
		var out, diagnostics bytes.Buffer
		want := "epochal: --image-size: found none, expected rows and columns such as 3x4: w only says that an image has 12 pixels\n"
		if code := run(args, &out, &diagnostics); code != exitWrongUse || diagnostics.String() != want {
			t.Errorf("%v: found exit code %d and %s, expected %s", args, code, diagnostics.String(), want)
		}
		if code := run(append(args, "--image-size", "3x4"), &out, &diagnostics); code != exitDone {
			t.Errorf("%v: found exit code %d and %s with an image size", args, code, diagnostics.String())
		}
	}
	var out, diagnostics bytes.Buffer
	if code := run([]string{"evaluate", "w", "--data", "d", "--backend", "go"}, &out, &diagnostics); code != exitDone {
		t.Errorf("found exit code %d and %s, expected that evaluate takes the shape of the data", code, diagnostics.String())
	}
}
