package trained_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"epochal/experiments/record"
	"epochal/experiments/trained"
	"epochal/model"
)

func TestOpen(t *testing.T) {
	description := model.Description{
		Architecture:  model.FullyConnected{Rows: 3, Columns: 4, Hidden: []int{5}, Classes: 3, Activation: model.ActivationTanh},
		Normalization: model.Unnormalized(), Data: "mnist", BatchSize: 64, Epochs: 1, Version: "v1",
	}
	weights := model.Initialize(description.Architecture.Parameters(), 1)
	var content bytes.Buffer
	if err := model.WriteModel(&content, description, weights); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := filepath.Join(folder, record.WeightsFile)
	if err := os.WriteFile(file, content.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	want := trained.Network{
		Description: description, Weights: weights, File: file, Hash: fmt.Sprintf("%x", sha256.Sum256(content.Bytes())),
	}
	if found, err := trained.Open(file, model.Hints{}); err != nil || !reflect.DeepEqual(found, want) || !found.Described() {
		t.Errorf("found %+v and error %v, expected %+v", found, err, want)
	}
	want.Folder = folder
	if found, err := trained.Open(folder, model.Hints{}); err != nil || !reflect.DeepEqual(found, want) {
		t.Errorf("found %+v and error %v, expected %+v", found, err, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	refused := func(path, want string) error {
		t.Helper()
		_, err := trained.Open(path, model.Hints{})
		if fmt.Sprint(err) != want {
			t.Errorf("found error %v, expected %s", err, want)
		}
		return err
	}
	refused(folder, folder+": found no model.safetensors in it, expected the folder of a run that has ended")
	if err := os.WriteFile(filepath.Join(folder, record.ConfigFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := refused(folder, folder+": found no model.safetensors in it, expected the folder of a run that has ended")
	if !errors.As(err, new(trained.Unfinished)) {
		t.Errorf("found %T, expected that the run is unfinished", err)
	}
	refused("/dev/zero", "/dev/zero: found a device, expected a file")
	refused("nowhere", "open nowhere: no such file or directory")
	file := filepath.Join(folder, "w")
	if err := os.WriteFile(file, []byte("<html>....."), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(file, file+": not safetensors: it looks like an HTML page")
}
