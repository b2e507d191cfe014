package record_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/trained"
	"epochal/model"
	"epochal/model/backend"

	"github.com/google/go-cmp/cmp"
)

// finished records a run of c in a folder, until its end, on a dataset with class names.
func finished(t *testing.T, folder string, c experiments.Config, names []string, resume bool) {
	t.Helper()
	open := record.Create
	if resume {
		open = record.Open
	}
	run, err := open(c, record.Options{Folder: folder, CheckpointEvery: 1, Now: time.Now, Warn: func(text string) { t.Error(text) }})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	architecture, err := c.Architecture(2, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := run.Restore(architecture.Parameters(), model.Initialize(architecture.Parameters(), 1), 1)
	if err != nil {
		t.Fatal(err)
	}
	network := model.Description{Architecture: architecture, ClassNames: names, Normalization: model.Unnormalized()}
	if err := run.Begin(backend.Info{Name: "go"}, []dataset.File{{Name: "f", SHA256: "0"}}, "", network); err != nil {
		t.Fatal(err)
	}
	m := experiments.EpochMetrics{Event: "epoch", Epoch: run.At.Epoch, TrainLoss: 1, TestLoss: 1}
	if err := run.EpochDone(m, func() (model.Weights, error) { return weights, nil }); err != nil {
		t.Fatal(err)
	}
	test := model.Evaluation{
		Count: 2, Confusion: [][]int{{1, 0}, {1, 0}},
		Labels: []uint8{0, 1}, Predictions: []uint8{0, 0}, Confidences: []float32{1, 1},
	}
	if err := run.Finish(record.NewTestEvaluation(test), weights); err != nil {
		t.Fatal(err)
	}
}

// The names of the classes are in all files with which a run is used or looked at when its
// data is gone, as they are in the data, and a run that continues keeps those that it began with.
func TestClassNames(t *testing.T) {
	c := experiments.Defaults()
	c.Data, c.Epochs, c.LayerSizes = "pets", 1, []int{2}
	longer := c
	longer.Epochs = 2
	cats := []string{"<b>cat\x1b[2J", strings.Repeat("字", 85)}
	for _, test := range []struct {
		name                    string
		began, continued, named []string
	}{
		{"names", cats, cats, cats},
		{"no names", nil, nil, nil},
		{"names that are gone", cats, nil, cats},
		{"other names", cats, []string{"hot", "cold"}, cats},
		{"new names", nil, cats, nil},
	} {
		folder := filepath.Join(t.TempDir(), "run")
		for i, config := range []experiments.Config{c, longer} {
			finished(t, folder, config, [][]string{test.began, test.continued}[i], i == 1)
			found, err := record.Read(folder)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.named, found.Test.ClassNames); diff != "" {
				t.Errorf("%s, run %d: evaluation.json, -expected +found:\n%s", test.name, i, diff)
			}
			checkpoints, _ := filepath.Glob(filepath.Join(folder, record.CheckpointsFolder, "*"))
			for _, file := range append(checkpoints, folder) {
				network, err := trained.Open(file, model.Hints{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.named, network.Description.ClassNames); diff != "" {
					t.Errorf("%s, run %d: %s, -expected +found:\n%s", test.name, i, file, diff)
				}
			}
			if len(checkpoints) != 1 {
				t.Errorf("%s: found the checkpoints %v, expected one", test.name, checkpoints)
			}
		}
		for _, name := range []string{record.WeightsFile, record.EvaluationFile} {
			text, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil || bytes.Contains(text, []byte("class_names")) != (test.named != nil) {
				t.Errorf("%s: found class_names in %s: %t (%v)", test.name, name, test.named == nil, err)
			}
		}
	}
}

// Names that do not fit the matrix are an error, not a wrong index.
func TestWrongClassNames(t *testing.T) {
	c := experiments.Defaults()
	c.Data, c.Epochs, c.LayerSizes = "pets", 1, []int{2}
	folder := filepath.Join(t.TempDir(), "run")
	finished(t, folder, c, []string{"cat", "dog"}, false)
	path := filepath.Join(folder, record.EvaluationFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{"cat"}, path + ": class_names: found 1, expected 2, one for each class"},
		{[]string{"cat", "dog", "cow"}, path + ": class_names: found 3, expected 2, one for each class"},
	} {
		var evaluation record.TestEvaluation
		if err := json.Unmarshal(text, &evaluation); err != nil {
			t.Fatal(err)
		}
		evaluation.ClassNames = test.names
		changed, _ := json.Marshal(evaluation)
		if err := os.WriteFile(path, changed, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := record.Read(folder); err == nil || err.Error() != test.want {
			t.Errorf("found error %v, expected %s", err, test.want)
		}
	}
}
