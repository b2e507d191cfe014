package experiments_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

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
	var file bytes.Buffer
	header := binary.BigEndian.AppendUint32(nil, magic)
	for _, dimension := range dimensions {
		header = binary.BigEndian.AppendUint32(header, uint32(dimension))
	}
	if strings.HasSuffix(path, ".gz") {
		w := gzip.NewWriter(&file)
		w.Write(header)
		w.Write(data)
		w.Close()
	} else {
		file.Write(header)
		file.Write(data)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
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

func TestRunTellsWhatHappens(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, backend string) {
		c := small(t, backend)
		c.Validation = 100
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		var events []string
		var losses, samples int
		result, err := experiments.Run(context.Background(), c, experiments.Options{
			Now: func() time.Time { now = now.Add(time.Second); return now },
			Observer: func(e experiments.Event) {
				switch e := e.(type) {
				case experiments.StepsDone:
					losses += len(e.Losses)
					samples = e.Samples
					if e.Count != 370 {
						t.Errorf("found an epoch of %d images, expected 370", e.Count)
					}
				case experiments.EpochDone:
					events = append(events, fmt.Sprintf("%T %d", e, e.Metrics.Epoch))
					if e.Metrics.ValidationAccuracy == nil || e.Metrics.ValidationLoss == nil {
						t.Errorf("found no validation metrics in epoch %d", e.Metrics.Epoch)
					}
				default:
					events = append(events, fmt.Sprintf("%T", e))
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"experiments.RunStarted",
			"experiments.EpochStarted", "experiments.EpochDone 1",
			"experiments.EpochStarted", "experiments.EpochDone 2",
			"experiments.EpochStarted", "experiments.EpochDone 3", "experiments.RunEnded"}
		if !slices.Equal(events, want) {
			t.Errorf("found the events %v, expected %v", events, want)
		}
		if wantSteps := 3 * 93; losses != wantSteps || samples != 370 {
			t.Errorf("found %d losses and %d samples in the end, expected %d and 370", losses, samples, wantSteps)
		}
		if result.Final.TestAccuracy < 0.9 || result.Final.Epoch != 3 || result.Images != 3*370 {
			t.Errorf("found the result %+v, expected to have learned", result)
		}
		total := 0
		for _, row := range result.Confusion {
			for _, count := range row {
				total += count
			}
		}
		if total != 90 {
			t.Errorf("found %d images in the confusion matrix, expected 90", total)
		}
	})
}

// runBytes runs c and returns the weights file and the losses.
func runBytes(t *testing.T, c experiments.Config) (weights []byte, losses string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "run")
	var all []float32
	_, err := experiments.Run(context.Background(), c, experiments.Options{Folder: out, Observer: func(e experiments.Event) {
		if e, ok := e.(experiments.StepsDone); ok {
			all = append(all, e.Losses...)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	weights, err = os.ReadFile(filepath.Join(out, experiments.WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	return weights, fmt.Sprint(all)
}

func TestSameSeedSameBytes(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, backend string) {
		c := small(t, backend)
		c.Seed = 11
		weights, losses := runBytes(t, c)
		for _, stepsPerCall := range []int{0, 1, 7, 100, 100_000} {
			c.StepsPerCall = stepsPerCall
			againWeights, againLosses := runBytes(t, c)
			if !bytes.Equal(weights, againWeights) || losses != againLosses {
				t.Errorf("%d steps per call: found other bytes with the same seed", stepsPerCall)
			}
		}
		c.Seed = 12
		if otherWeights, _ := runBytes(t, c); bytes.Equal(weights, otherWeights) {
			t.Error("seed 12: found the same weights as with seed 11")
		}
	})
}

// The config.json of a run is enough to repeat it.
func TestRunRepeatsFromItsFolder(t *testing.T) {
	c := small(t, backend.Go)
	c.Normalize, c.Activation, c.Seed, c.LearningRate = true, "tanh", 1<<63+3, 0.01
	out := filepath.Join(t.TempDir(), "a", "b")
	if _, err := experiments.Run(context.Background(), c, experiments.Options{Folder: out}); err != nil {
		t.Fatal(err)
	}
	var again experiments.Config
	readJSON(t, filepath.Join(out, experiments.ConfigFile), &again)
	if fmt.Sprint(again) != fmt.Sprint(c) {
		t.Errorf("found the config %+v, expected %+v", again, c)
	}
	weights, err := os.ReadFile(filepath.Join(out, experiments.WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	if repeated, _ := runBytes(t, again); !bytes.Equal(weights, repeated) {
		t.Error("found other weights when repeating the run")
	}
	var environment experiments.Environment
	readJSON(t, filepath.Join(out, experiments.EnvironmentFile), &environment)
	if environment.Backend.Name != "go" || environment.Go == "" || environment.Cores < 1 || environment.Started.IsZero() {
		t.Errorf("found the environment %+v", environment)
	}
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 7 {
		t.Errorf("found %v in the run folder (%v), expected five files, the lock and the checkpoints", entries, err)
	}
	checkRecord(t, out, c)
}

// checkRecord reads a run folder back.
func checkRecord(t *testing.T, out string, c experiments.Config) {
	t.Helper()
	record, err := experiments.ReadRecord(out)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(record.Config) != fmt.Sprint(c) || len(record.Epochs) != c.Epochs || record.Diverged != nil || record.Seconds <= 0 {
		t.Errorf("found the record %+v", record)
	}
	wrong := 0
	for label, row := range record.Test.Confusion {
		for predicted, count := range row {
			if label != predicted {
				wrong += count
			}
		}
	}
	if accuracy := 1 - float64(wrong)/90; math.Abs(accuracy-record.Epochs[c.Epochs-1].TestAccuracy) > 1e-9 {
		t.Errorf("found %d wrong images in the confusion matrix and the accuracy %v", wrong, record.Epochs[c.Epochs-1].TestAccuracy)
	}
	if len(record.Test.Mistakes) != min(wrong, experiments.MaxMistakes) {
		t.Errorf("found %d mistakes, expected %d", len(record.Test.Mistakes), wrong)
	}
	for i, mistake := range record.Test.Mistakes {
		if mistake.Label == mistake.Predicted || mistake.Confidence <= 1.0/3-1e-6 || mistake.Confidence > 1 ||
			i > 0 && mistake.Confidence > record.Test.Mistakes[i-1].Confidence {
			t.Errorf("mistake %d: found %+v", i, mistake)
		}
	}
}

func TestDivergedRunKeepsItsMetrics(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, backend string) {
		c := small(t, backend)
		c.LearningRate, c.LayerSizes, c.Epochs = 1e20, []int{8, 8}, 5
		c.StepsPerCall = 0
		out := filepath.Join(t.TempDir(), "run")
		_, err := experiments.Run(context.Background(), c, experiments.Options{Folder: out})
		var diverged experiments.Diverged
		if !errors.As(err, &diverged) || diverged.Epoch != 1 || diverged.Step < 1 {
			t.Fatalf("found error %v, expected to have diverged in epoch 1 after step 0", err)
		}
		want := fmt.Sprintf("training diverged: the loss is %v at step %d of epoch 1, expected a finite number", diverged.Loss, diverged.Step)
		if err.Error() != want {
			t.Errorf("found error %q, expected %q", err, want)
		}
		steps, epochs := readMetrics(t, filepath.Join(out, experiments.MetricsFile))
		if len(steps) != 1 || len(epochs) != 0 {
			t.Errorf("found %d step lines and %d epoch lines, expected 1 and none", len(steps), len(epochs))
		}
		record, err := experiments.ReadRecord(out)
		if err != nil || record.Diverged == nil || fmt.Sprint(*record.Diverged) != fmt.Sprint(diverged) {
			t.Errorf("found the record %+v (%v), expected it to have diverged", record, err)
		}
		if _, err := os.Stat(filepath.Join(out, experiments.WeightsFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("found weights of a diverged run (%v)", err)
		}
	})
}

func TestCancelledRunEndsWithTheContextsError(t *testing.T) {
	c := small(t, backend.Go)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := filepath.Join(t.TempDir(), "run")
	_, err := experiments.Run(ctx, c, experiments.Options{Folder: out, Observer: func(e experiments.Event) {
		if e, ok := e.(experiments.EpochDone); ok && e.Metrics.Epoch == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("found error %v, expected %v", err, context.Canceled)
	}
	if _, epochs := readMetrics(t, filepath.Join(out, experiments.MetricsFile)); len(epochs) != 2 {
		t.Errorf("found %d epochs, expected 2", len(epochs))
	}
	if _, err := experiments.ReadRecord(out); !errors.Is(err, experiments.ErrUnfinished) {
		t.Errorf("found error %v for an interrupted run, expected %v", err, experiments.ErrUnfinished)
	}
}

func TestValidateReportsEveryProblem(t *testing.T) {
	c := experiments.Defaults()
	if err := c.Validate(); err != nil {
		t.Fatalf("defaults: %v", err)
	}
	c.LayerSizes = []int{512, 0, 70000}
	c.Activation = "gelu"
	c.Epochs = 0
	c.LearningRate = -1
	c.BatchSize = 100000
	c.Data = ""
	c.Validation = -1
	c.StepsPerCall = -1
	want := `layer_sizes: found 0, expected 1 to 65536
layer_sizes: found 70000, expected 1 to 65536
activation: found "gelu", expected relu, sigmoid, tanh
epochs: found 0, expected 1 to 1000000
learning_rate: found -1.0, expected a finite number above 0 in float32
batch_size: found 100000, expected 1 to 65536
data: found "", expected mnist or a folder
validation: found -1, expected 0 or more
steps_per_call: found -1, expected 0 (by itself) or more`
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("found\n%v\nexpected\n%s", err, want)
	}
	c = experiments.Defaults()
	c.Backend = "tpu"
	if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), `backend: backend "tpu" is unknown`) {
		t.Errorf("found error %v for the backend tpu", err)
	}
}

func TestRunRefusesBeforeItWrites(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(c experiments.Config, out string) error {
		_, err := experiments.Run(context.Background(), c, experiments.Options{Folder: out})
		return err
	}
	for _, test := range []struct {
		name   string
		out    string
		change func(*experiments.Config)
		want   string
	}{
		{"out holds something", folder, nil, "out: " + folder + ": found file in it, expected a new or an empty folder"},
		{"out below a file", filepath.Join(file, "a", "b"), nil, "out: " + filepath.Join(file, "a", "b") + ": found that " + file + " is a file, expected a folder"},
		{"out is a file", file, nil, "out: " + file + ": found a file, expected a new or an empty folder"},
		{"no data", filepath.Join(folder, "new"), func(c *experiments.Config) { c.Data = "/nowhere" }, "data: stat /nowhere: no such file or directory"},
		{"data is a file", filepath.Join(folder, "new"), func(c *experiments.Config) { c.Data = file }, "data: " + file + ": found a file, expected a folder with four IDX files"},
		{"no weights", filepath.Join(folder, "new"), func(c *experiments.Config) { c.Init = "/nowhere" }, "init: open /nowhere: no such file or directory"},
		{"too much validation", filepath.Join(folder, "new"), func(c *experiments.Config) { c.Validation = 470 }, "validation: found 470, expected fewer than the 470 training images"},
		{"weights of another topology", filepath.Join(folder, "new"), func(c *experiments.Config) { c.Init = "testdata/golden/init.safetensors" },
			"init: testdata/golden/init.safetensors: tensor linear_relu_stack.0.weight: found F32 [24 784], expected F32 [8 12]\n" +
				"tensor linear_relu_stack.0.bias: found F32 [24], expected F32 [8]\n" +
				"tensor linear_relu_stack.2.weight: found F32 [16 24], expected F32 [3 8]\n" +
				"tensor linear_relu_stack.2.bias: found F32 [16], expected F32 [3]\n" +
				"tensor linear_relu_stack.4.bias: found F32 [10], expected no tensor of that name\n" +
				"tensor linear_relu_stack.4.weight: found F32 [10 16], expected no tensor of that name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := small(t, backend.Go)
			if test.change != nil {
				test.change(&c)
			}
			if err := run(c, test.out); err == nil || err.Error() != test.want {
				t.Errorf("found error\n%v\nexpected\n%s", err, test.want)
			}
		})
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("found %v in the folder (%v), expected the one file that was there", entries, err)
	}
}

// Runs on one device share what they can and give what they give alone.
func TestRunsShareADevice(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, backend string) {
		device, _, err := experiments.OpenDevice(context.Background(), backend, experiments.DeviceOptions{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer device.Close()
		plain := small(t, backend)
		normalized, split := plain, plain
		normalized.Normalize = true
		split.Validation, split.Seed = 70, 5
		for _, c := range []experiments.Config{plain, normalized, split, plain} {
			alone, shared := filepath.Join(t.TempDir(), "alone"), filepath.Join(t.TempDir(), "shared")
			if _, err := experiments.Run(context.Background(), c, experiments.Options{Folder: alone}); err != nil {
				t.Fatal(err)
			}
			if _, err := experiments.Run(context.Background(), c, experiments.Options{Folder: shared, Device: device}); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{experiments.WeightsFile, experiments.EvaluationFile, experiments.ConfigFile} {
				a, err := os.ReadFile(filepath.Join(alone, name))
				if err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(filepath.Join(shared, name))
				if err != nil || !bytes.Equal(a, b) {
					t.Errorf("%s: found other bytes on a shared device (%v)", name, err)
				}
			}
		}
	})
}

// Of two runs that are given one folder, one gets it and the other leaves it alone.
func TestTwoRunsNeverShareAFolder(t *testing.T) {
	c := small(t, backend.Go)
	parent := t.TempDir()
	run := func(o experiments.Options) []error {
		var group sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			group.Go(func() { _, errs[i] = experiments.Run(context.Background(), c, o) })
		}
		group.Wait()
		return errs
	}
	folder := filepath.Join(parent, "a", "b")
	errs := run(experiments.Options{Folder: folder})
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Fatalf("found errors %v, expected exactly one", errs)
	}
	if _, err := experiments.ReadRecord(folder); err != nil {
		t.Errorf("the run that got the folder: %v", err)
	}
	// Named after the time, both get one.
	now := func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	if errs := run(experiments.Options{Parent: filepath.Join(parent, "runs"), Now: now}); errs[0] != nil || errs[1] != nil {
		t.Fatalf("found errors %v", errs)
	}
	for _, name := range []string{"2026-01-02_03-04-05", "2026-01-02_03-04-05-2"} {
		if _, err := experiments.ReadRecord(filepath.Join(parent, "runs", name)); err != nil {
			t.Error(err)
		}
	}
}

func TestFailedFolderLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	_, err := experiments.Run(context.Background(), small(t, backend.Go), experiments.Options{Folder: filepath.Join(parent, "a", "b", strings.Repeat("x", 300))})
	if err == nil || !strings.Contains(err.Error(), "file name too long") {
		t.Errorf("found error %v", err)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 0 {
		t.Errorf("found %v left behind (%v)", entries, err)
	}
}

func TestCancelledBeforeTheFirstEpochLeavesNoFolder(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	out := filepath.Join(t.TempDir(), "run")
	_, err := experiments.Run(ctx, small(t, backend.Go), experiments.Options{Folder: out})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("found error %v, expected %v", err, context.Canceled)
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found a run folder (%v)", err)
	}
}

// A slow observer, such as a slow terminal, is not slow training.
func TestTheObserverIsOutsideTheClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	result, err := experiments.Run(context.Background(), small(t, backend.Go), experiments.Options{
		Now:      func() time.Time { now = now.Add(time.Millisecond); return now },
		Observer: func(experiments.Event) { now = now.Add(time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.TrainSeconds > 60 || result.EvaluateSeconds > 60 {
		t.Errorf("found %v s of training and %v s of evaluation", result.TrainSeconds, result.EvaluateSeconds)
	}
}

func TestADeviceRefusesAConfigOfAnother(t *testing.T) {
	device, _, err := experiments.OpenDevice(context.Background(), backend.Go, experiments.DeviceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	_, err = experiments.Run(context.Background(), small(t, backend.XLACPU), experiments.Options{Device: device})
	want := "backend: found xla:cpu with tf32 false, expected go with tf32 false, as the device was opened"
	if err == nil || err.Error() != want {
		t.Errorf("found error %v, expected %q", err, want)
	}
}

// Data that changed in place is not mistaken for what is resident.
func TestADeviceNoticesChangedData(t *testing.T) {
	device, _, err := experiments.OpenDevice(context.Background(), backend.Go, experiments.DeviceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	c := small(t, backend.Go)
	losses := func(o experiments.Options) float64 {
		result, err := experiments.Run(context.Background(), c, o)
		if err != nil {
			t.Fatal(err)
		}
		return result.Final.TestLoss
	}
	before := losses(experiments.Options{Device: device})
	writeIDX(t, filepath.Join(c.Data, "t10k-images-idx3-ubyte.gz"), 0x803, []int{90, 3, 4}, make([]byte, 90*12))
	if after, alone := losses(experiments.Options{Device: device}), losses(experiments.Options{}); after != alone || after == before {
		t.Errorf("found the test loss %v, expected %v (before the change: %v)", after, alone, before)
	}
}
