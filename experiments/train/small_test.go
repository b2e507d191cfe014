package train_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// long reports whether the tests may take their time: 1,000 epochs, 50 kills.
var long = os.Getenv("EPOCHAL_LONG") == "1"

// onEveryBackend runs a test on XLA's CPU and on pure Go.
func onEveryBackend(t *testing.T, test func(t *testing.T, backend string)) {
	t.Run("xla:cpu", func(t *testing.T) {
		backendtest.XLA(t)
		test(t, backend.XLACPU)
	})
	t.Run("go", func(t *testing.T) { test(t, backend.Go) })
}

// writeIDX writes a file of the IDX format, gzipped if its name says so.
func writeIDX(t *testing.T, path string, magic uint32, dimensions []int, data []byte) {
	t.Helper()
	content := binary.BigEndian.AppendUint32(nil, magic)
	for _, dimension := range dimensions {
		content = binary.BigEndian.AppendUint32(content, uint32(dimension))
	}
	content = append(content, data...)
	if strings.HasSuffix(path, ".gz") {
		var file bytes.Buffer
		w := gzip.NewWriter(&file)
		w.Write(content)
		w.Close()
		content = file.Bytes()
	}
	write(t, path, content)
}

// smallData is a folder with a learnable dataset of 3x4 pixels and 3 classes.
func smallData(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	random := rand.New(rand.NewPCG(1, 1))
	for name, count := range map[string]int{"train": 470, "t10k": 90} {
		pixels, labels := make([]byte, count*12), make([]byte, count)
		for i := range labels {
			labels[i] = byte(i % 3)
			for j := range 12 {
				pixels[i*12+j] = byte(random.UintN(128))
			}
			pixels[i*12+int(labels[i])] = 255
		}
		writeIDX(t, filepath.Join(folder, name+"-images-idx3-ubyte.gz"), 0x803, []int{count, 3, 4}, pixels)
		writeIDX(t, filepath.Join(folder, name+"-labels-idx1-ubyte"), 0x801, []int{count}, labels)
	}
	return folder
}

// small is a quick run on smallData.
func small(t *testing.T, backend string) experiments.Config {
	c := experiments.Defaults()
	c.Data, c.Backend = smallData(t), backend
	c.LayerSizes, c.BatchSize, c.Epochs, c.LearningRate = []int{8}, 4, 3, 0.1
	return c
}

// fixedNow is a clock that stands still, so that measured seconds are the same.
func fixedNow() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// outcome is what a run reported.
type outcome struct {
	result   experiments.Result
	err      error
	events   []string // their names, without steps
	started  *experiments.RunStarted
	warnings []string
	ended    bool // it had ended before
	losses   []float32
	epochs   []experiments.EpochMetrics
}

// attempt runs c, by a clock that stands still unless o has one.
func attempt(c experiments.Config, o train.Options) (out outcome) {
	return attemptUntil(context.Background(), c, o)
}

func attemptUntil(ctx context.Context, c experiments.Config, o train.Options) (out outcome) {
	also := o.Observer
	if o.Now == nil {
		o.Now = fixedNow
	}
	o.Observer = func(e experiments.Event) {
		name := strings.TrimPrefix(fmt.Sprintf("%T", e), "experiments.")
		switch e := e.(type) {
		case experiments.RunStarted:
			out.started = &e
		case experiments.Warning:
			out.warnings = append(out.warnings, e.Text)
		case experiments.AlreadyEnded:
			out.ended = true
		case experiments.StepsDone:
			out.losses, name = append(out.losses, e.Losses...), ""
		case experiments.DataProgress:
			name = ""
		case experiments.EpochDone:
			out.epochs = append(out.epochs, e.Metrics)
		}
		if name != "" {
			out.events = append(out.events, name)
		}
		if also != nil {
			also(e)
		}
	}
	out.result, out.err = train.Run(ctx, c, o)
	return out
}

// mustTrain is an attempt that succeeds.
func mustTrain(t testing.TB, c experiments.Config, o train.Options) outcome {
	t.Helper()
	out := attempt(c, o)
	if out.err != nil {
		t.Fatal(out.err)
	}
	return out
}

// stopAt runs c and cancels it at the first event for which at holds.
func stopAt(t *testing.T, c experiments.Config, o train.Options, at func(experiments.Event) bool) train.Stopped {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Observer = func(e experiments.Event) {
		if at(e) {
			cancel()
		}
	}
	out := attemptUntil(ctx, c, o)
	var stopped train.Stopped
	if !errors.As(out.err, &stopped) || !errors.Is(out.err, context.Canceled) {
		t.Fatalf("found error %v, expected to be stopped", out.err)
	}
	return stopped
}

// step reports whether an event comes after at least that many steps of an epoch.
func step(epoch, steps int) func(experiments.Event) bool {
	return func(e experiments.Event) bool {
		done, ok := e.(experiments.StepsDone)
		return ok && done.Epoch == epoch && done.First+len(done.Losses) >= steps
	}
}

// epochs reports whether that many epochs are over.
func epochs(n int) func(experiments.Event) bool {
	return func(e experiments.Event) bool {
		done, ok := e.(experiments.EpochDone)
		return ok && done.Metrics.Epoch == n
	}
}

// runBytes runs c and returns the weights file and the losses.
func runBytes(t *testing.T, c experiments.Config) (weights []byte, losses string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "run")
	run := mustTrain(t, c, train.Options{Folder: out, Now: time.Now})
	return read(t, filepath.Join(out, record.WeightsFile)), fmt.Sprint(run.losses)
}

// sameFiles compares what must be the same in two run folders, byte for byte, and
// more files by name.
func sameFiles(t *testing.T, found, expected string, more ...string) {
	t.Helper()
	for _, name := range append(more, record.WeightsFile, record.MetricsFile, record.EvaluationFile, record.ConfigFile) {
		a, b := read(t, filepath.Join(found, name)), read(t, filepath.Join(expected, name))
		if !bytes.Equal(a, b) {
			t.Errorf("%s: found other bytes than in an uninterrupted run:\n%.2000q\nexpected\n%.2000q", name, a, b)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	if err := json.Unmarshal(read(t, path), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
