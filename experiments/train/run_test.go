package train_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/experiments/trained"
	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

func TestRunTellsWhatHappens(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, backend string) {
		c := small(t, backend)
		c.Validation = 100
		now := fixedNow()
		samples := 0
		out := mustTrain(t, c, train.Options{
			Now: func() time.Time { now = now.Add(time.Second); return now },
			Observer: func(e experiments.Event) {
				if e, ok := e.(experiments.StepsDone); ok {
					if samples = e.Samples; e.Count != 370 {
						t.Errorf("found an epoch of %d images, expected 370", e.Count)
					}
				}
			},
		})
		want := "[RunStarted EpochStarted EpochDone EpochStarted EpochDone EpochStarted EpochDone RunEnded]"
		if fmt.Sprint(out.events) != want {
			t.Errorf("found the events %v, expected %v", out.events, want)
		}
		for i, metrics := range out.epochs {
			if metrics.Epoch != i+1 || metrics.ValidationAccuracy == nil || metrics.ValidationLoss == nil {
				t.Errorf("epoch %d: found the metrics %+v, expected validation metrics in them", i+1, metrics)
			}
		}
		if wantSteps := 3 * 93; len(out.losses) != wantSteps || samples != 370 {
			t.Errorf("found %d losses and %d samples in the end, expected %d and 370", len(out.losses), samples, wantSteps)
		}
		if out.result.Final.TestAccuracy < 0.9 || out.result.Final.Epoch != 3 || out.result.Images != 3*370 {
			t.Errorf("found the result %+v, expected to have learned", out.result)
		}
		if total, _ := countImages(out.result.Confusion); total != 90 {
			t.Errorf("found %d images in the confusion matrix, expected 90", total)
		}
	})
}

// toldAndWritten is all that a run tells and writes, but for what it ran on. It may diverge.
func toldAndWritten(t *testing.T, c experiments.Config, folder string, threads int) string {
	t.Helper()
	told := attempt(c, train.Options{Folder: folder, Threads: threads, Keep: record.KeepBest})
	if told.err != nil && !errors.As(told.err, new(experiments.Diverged)) {
		t.Fatal(told.err)
	}
	all := fmt.Sprint(told.events, told.losses, told.err)
	for _, file := range []string{record.WeightsFile, record.EvaluationFile, record.MetricsFile} {
		content, _ := os.ReadFile(filepath.Join(folder, file))
		all += string(content)
	}
	return all
}

// Any number of threads computes the same bits, and the record says how many there were.
func TestThreadsNeverChangeTheResult(t *testing.T) {
	backendtest.XLA(t)
	for _, activation := range model.Activations() {
		c := small(t, backend.XLACPU)
		c.Activation, c.LayerSizes, c.BatchSize, c.Epochs = string(activation), []int{512, 512}, 64, 2
		var first string
		for _, threads := range []int{1, 2, 3} {
			out := filepath.Join(t.TempDir(), "run")
			all := toldAndWritten(t, c, out, threads)
			if first == "" {
				first = all
			}
			if all != first {
				t.Errorf("%s, %d threads: found other files or events than with one", activation, threads)
			}
			if found, err := record.Read(out); err != nil || found.Environment.Backend.Threads != threads {
				t.Errorf("found %d threads in the record (%v), expected %d", found.Environment.Backend.Threads, err, threads)
			}
		}
	}
}

// What is evaluated beside the training is told and written as if it were not, also where
// it is not finite.
func TestEvaluationBesideTheTraining(t *testing.T) {
	backendtest.Beside(t)
	for _, rate := range []float64{0.1, 1e30} {
		c := small(t, backend.XLACPU)
		c.BatchSize, c.LearningRate = 470, rate // a step an epoch
		out := filepath.Join(t.TempDir(), "run")
		if beside, alone := toldAndWritten(t, c, out, 0), toldAndWritten(t, c, filepath.Join(t.TempDir(), "run"), 1); beside != alone {
			t.Errorf("learning rate %v: found\n%.2000s\nexpected\n%.2000s", rate, beside, alone)
		}
		found, err := record.Read(out)
		if err != nil || found.Environment.Backend.Beside == 0 {
			t.Errorf("found no threads beside the training in the record (%v)", err)
		}
		if rate > 1 && (found.Diverged == nil || found.Diverged.Epoch != 1 || found.Diverged.Step != -1) {
			t.Errorf("found %v, expected to have diverged in the first evaluation", found.Diverged)
		}
	}
}

// countImages are the images in a confusion matrix, and those off its diagonal.
func countImages(confusion [][]int) (all, wrong int) {
	for label, row := range confusion {
		for predicted, count := range row {
			if all += count; label != predicted {
				wrong += count
			}
		}
	}
	return all, wrong
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

// The config.json of a run is enough to repeat it, and the folder reads back.
func TestRunRepeatsFromItsFolder(t *testing.T) {
	c := small(t, backend.Go)
	c.Normalize, c.Activation, c.Seed, c.LearningRate = true, "tanh", 1<<63+3, 0.01
	out := filepath.Join(t.TempDir(), "a", "b")
	mustTrain(t, c, train.Options{Folder: out, Now: time.Now})
	var again experiments.Config
	readJSON(t, filepath.Join(out, record.ConfigFile), &again)
	if fmt.Sprint(again) != fmt.Sprint(c) {
		t.Errorf("found the config %+v, expected %+v", again, c)
	}
	if repeated, _ := runBytes(t, again); !bytes.Equal(read(t, filepath.Join(out, record.WeightsFile)), repeated) {
		t.Error("found other weights when repeating the run")
	}
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 7 {
		t.Errorf("found %v in the run folder (%v), expected five files, the lock and the checkpoints", entries, err)
	}
	run, err := record.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if e := run.Environment; e.Backend.Name != "go" || e.Go == "" || e.Cores < 1 || e.Started.IsZero() {
		t.Errorf("found the environment %+v", e)
	}
	if fmt.Sprint(run.Config) != fmt.Sprint(c) || len(run.Epochs) != c.Epochs || run.Diverged != nil || run.Seconds <= 0 {
		t.Errorf("found the record %+v", run)
	}
	_, wrong := countImages(run.Test.Confusion)
	accuracy := run.Epochs[c.Epochs-1].TestAccuracy
	if math.Abs(1-float64(wrong)/90-accuracy) > 1e-9 || len(run.Test.Mistakes) != min(wrong, record.MaxMistakes) {
		t.Errorf("found %d wrong images, %d mistakes and the accuracy %v", wrong, len(run.Test.Mistakes), accuracy)
	}
	before := 1.0
	for i, mistake := range run.Test.Mistakes {
		if mistake.Label == mistake.Predicted || mistake.Confidence <= 1.0/3-1e-6 || mistake.Confidence > before {
			t.Errorf("mistake %d: found %+v", i, mistake)
		}
		before = mistake.Confidence
	}
}

// The identity is another one for everything that decides a number, and for
// nothing else.
func TestIdentity(t *testing.T) {
	c := small(t, backend.Go)
	out := filepath.Join(t.TempDir(), "run")
	mustTrain(t, c, train.Options{Folder: out})
	run, err := record.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	data, identity := run.Environment.Data, run.Environment.Identity
	same, seed, longer := c, c, c
	same.StepsPerCall, seed.Seed, longer.Epochs = 7, 1, 4
	if record.Identity(same, data, "") != identity {
		t.Error("found another identity with other steps per call")
	}
	for name, other := range map[string]string{
		"seed": record.Identity(seed, data, ""), "epochs": record.Identity(longer, data, ""),
		"data": record.Identity(c, data[1:], ""), "init": record.Identity(c, data, "00"),
	} {
		if other == identity || len(other) != 64 {
			t.Errorf("%s: found the identity %s for a change of it", name, other)
		}
	}
	mustTrain(t, longer, train.Options{Folder: out, Resume: true})
	if found, err := record.ReadIdentity(out); err != nil || found != record.Identity(longer, data, "") {
		t.Errorf("found the identity %s (%v) after more epochs", found, err)
	}
}

func TestDivergedRunKeepsItsMetrics(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, backend string) {
		c := small(t, backend)
		c.LearningRate, c.LayerSizes, c.Epochs = 1e20, []int{8, 8}, 5
		out := filepath.Join(t.TempDir(), "run")
		err := attempt(c, train.Options{Folder: out, Now: time.Now}).err
		var diverged experiments.Diverged
		if !errors.As(err, &diverged) || diverged.Epoch != 1 || diverged.Step < 1 {
			t.Fatalf("found error %v, expected to have diverged in epoch 1 after step 0", err)
		}
		metrics := read(t, filepath.Join(out, record.MetricsFile))
		if lines := bytes.Count(metrics, []byte("\n")); lines != 2 || !bytes.HasPrefix(metrics, []byte(`{"event":"step"`)) {
			t.Errorf("found %s, expected one step and the end", metrics)
		}
		run, err := record.Read(out)
		if err != nil || run.Diverged == nil || fmt.Sprint(*run.Diverged) != fmt.Sprint(diverged) {
			t.Errorf("found the record %+v (%v), expected it to have diverged", run, err)
		}
		if _, err := os.Stat(filepath.Join(out, record.WeightsFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("found weights of a diverged run (%v)", err)
		}
	})
}

func TestRunRefusesBeforeItWrites(t *testing.T) {
	folder := t.TempDir()
	file, new, long := filepath.Join(folder, "file"), filepath.Join(folder, "new"), filepath.Join(folder, strings.Repeat("x", 300))
	write(t, file, []byte("kept"))
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	small := small(t, backend.Go)
	for _, test := range []struct{ out, data, init, want string }{
		{folder, small.Data, "", "out: " + folder + ": found file in it, expected a new or an empty folder"},
		{long, small.Data, "", "out: " + long + ": cannot create a folder there: file name too long"},
		{new, "/nowhere", "", "data: /nowhere: no such file or directory"},
		{new, file, "", "data: " + file + ": found a file, expected a folder, or an .npz, .csv, .parquet or .zip file"},
		{new, small.Data, pipe, "init: " + pipe + ": found a pipe, expected a file"},
	} {
		c := small
		c.Data, c.Init = test.data, test.init
		if err := attempt(c, train.Options{Folder: test.out}).err; err == nil || err.Error() != test.want {
			t.Errorf("found error\n%v\nexpected\n%s", err, test.want)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("found %v in the folder (%v), expected the one file that was there", entries, err)
	}
}

// Runs on one device share what they can and give what they give alone.
func TestRunsShareADevice(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, backend string) {
		device, _, err := train.OpenDevice(context.Background(), backend, train.DeviceOptions{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer device.Close()
		plain := small(t, backend)
		normalized, split := plain, plain
		normalized.Normalize = true
		split.Validation, split.Seed = 70, 5
		check := func(c experiments.Config) {
			alone, shared := filepath.Join(t.TempDir(), "alone"), filepath.Join(t.TempDir(), "shared")
			mustTrain(t, c, train.Options{Folder: alone})
			mustTrain(t, c, train.Options{Folder: shared, Device: device})
			sameFiles(t, shared, alone)
		}
		for _, c := range []experiments.Config{plain, normalized, split, plain} {
			check(c)
		}
		// Data that changed in place is not mistaken for what is resident.
		writeIDX(t, filepath.Join(plain.Data, "t10k-images-idx3-ubyte.gz"), 0x803, []int{90, 3, 4}, make([]byte, 90*12))
		check(plain)
	})
}

// Of two runs that are given one folder, one gets it and the other leaves it alone.
func TestTwoRunsNeverShareAFolder(t *testing.T) {
	c := small(t, backend.Go)
	parent := t.TempDir()
	run := func(o train.Options) (errs [2]error) {
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() { errs[i] = attempt(c, o).err })
		}
		group.Wait()
		return errs
	}
	folder := filepath.Join(parent, "a", "b")
	if errs := run(train.Options{Folder: folder}); (errs[0] == nil) == (errs[1] == nil) {
		t.Fatalf("found errors %v, expected exactly one", errs)
	}
	// Named after the time, both get one.
	if errs := run(train.Options{Parent: filepath.Join(parent, "runs")}); errs[0] != nil || errs[1] != nil {
		t.Fatalf("found errors %v", errs)
	}
	for _, name := range []string{"a/b", "runs/2026-01-02_03-04-05", "runs/2026-01-02_03-04-05-2"} {
		if _, err := record.Read(filepath.Join(parent, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestNoFolderIsLeft(t *testing.T) {
	parent, c := t.TempDir(), small(t, backend.Go)
	err := attempt(c, train.Options{Folder: filepath.Join(parent, "a", "b", strings.Repeat("x", 300))}).err
	if err == nil || !strings.Contains(err.Error(), "file name too long") {
		t.Errorf("found error %v", err)
	}
	// Cancelled before the first epoch.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := attemptUntil(ctx, c, train.Options{Folder: filepath.Join(parent, "run")}).err; !errors.Is(err, context.Canceled) {
		t.Errorf("found error %v, expected %v", err, context.Canceled)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 0 {
		t.Errorf("found %v left behind (%v)", entries, err)
	}
	// A link to a disk that is not there is neither followed for ever nor removed.
	link := filepath.Join(parent, "runs")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	if err := attempt(c, train.Options{Parent: link}).err; err == nil || !strings.Contains(err.Error(), "file exists") {
		t.Errorf("found error %v", err)
	}
	if _, err := os.Lstat(link); err != nil {
		t.Error(err)
	}
}

// A slow observer, such as a slow terminal, is not slow training.
func TestTheObserverIsOutsideTheClock(t *testing.T) {
	now := fixedNow()
	result := mustTrain(t, small(t, backend.Go), train.Options{
		Now:      func() time.Time { now = now.Add(time.Millisecond); return now },
		Observer: func(experiments.Event) { now = now.Add(time.Hour) },
	}).result
	if result.TrainSeconds > 60 || result.EvaluateSeconds > 60 {
		t.Errorf("found %v s of training and %v s of evaluation", result.TrainSeconds, result.EvaluateSeconds)
	}
}

// One file is enough to use the network, wherever it is copied: that of the run and
// those of its checkpoints.
func TestTheWeightsSayWhatTheyAreFor(t *testing.T) {
	c := small(t, backend.Go)
	c.Normalize, c.Validation, c.Activation, c.Seed = true, 20, "tanh", 7
	out := filepath.Join(t.TempDir(), "run")
	run := mustTrain(t, c, train.Options{Folder: out, Keep: record.KeepBest})
	data, err := dataset.Read(c.Data, c.DataOptions())
	if err != nil {
		t.Fatal(err)
	}
	data.Split(c.Validation, c.Seed)
	want := model.Description{
		Whole:         true, // 3 by 4 pixels with something in each
		Architecture:  model.FullyConnected{Rows: 3, Columns: 4, Hidden: []int{8}, Classes: 3, Activation: model.ActivationTanh},
		Normalization: model.Normalization{Mean: data.Mean, Deviation: data.Deviation},
		Data:          filepath.Base(c.Data), DataSHA256: dataset.Digest(data.Files), Seed: 7, BatchSize: 4,
		Version: record.BuildEnvironment().Version,
	}
	for epoch, file := range map[int]string{
		3: record.WeightsFile, run.result.BestEpoch: filepath.Join(record.CheckpointsFolder, record.BestFile),
	} {
		network, err := trained.Open(filepath.Join(out, file), model.Hints{})
		want.Epochs, want.TestAccuracy = epoch, run.epochs[epoch-1].TestAccuracy
		if err != nil || !reflect.DeepEqual(network.Description, want) {
			t.Errorf("%s: found %+v and error %v, expected %+v", file, network.Description, err, want)
		}
	}
}
