package experiments_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"epochal/experiments"
	"epochal/model"
	"epochal/model/backend"
)

// outcome is what a run told.
type outcome struct {
	result   experiments.Result
	err      error
	started  *experiments.RunStarted
	warnings []string
	ended    bool // it had ended before
}

// train runs c in a folder.
func train(c experiments.Config, o experiments.Options) (out outcome) {
	stop := o.Observer
	o.Now = fixedNow
	o.Observer = func(e experiments.Event) {
		switch e := e.(type) {
		case experiments.RunStarted:
			out.started = &e
		case experiments.Warning:
			out.warnings = append(out.warnings, e.Text)
		case experiments.AlreadyEnded:
			out.ended = true
		}
		if stop != nil {
			stop(e)
		}
	}
	out.result, out.err = experiments.Run(context.Background(), c, o)
	return out
}

// stopAt runs c and cancels it at the first event for which at holds.
func stopAt(t *testing.T, c experiments.Config, o experiments.Options, at func(experiments.Event) bool) experiments.Stopped {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Now = fixedNow
	o.Observer = func(e experiments.Event) {
		if at(e) {
			cancel()
		}
	}
	_, err := experiments.Run(ctx, c, o)
	var stopped experiments.Stopped
	if !errors.As(err, &stopped) || !errors.Is(err, context.Canceled) {
		t.Fatalf("found error %v, expected to be stopped", err)
	}
	return stopped
}

// step tells whether an event comes after at least that many steps of an epoch.
func step(epoch, steps int) func(experiments.Event) bool {
	return func(e experiments.Event) bool {
		done, ok := e.(experiments.StepsDone)
		return ok && done.Epoch == epoch && done.First+len(done.Losses) >= steps
	}
}

// epochs tells whether that many epochs are over.
func epochs(n int) func(experiments.Event) bool {
	return func(e experiments.Event) bool {
		done, ok := e.(experiments.EpochDone)
		return ok && done.Metrics.Epoch == n
	}
}

func mustTrain(t *testing.T, c experiments.Config, o experiments.Options) outcome {
	t.Helper()
	out := train(c, o)
	if out.err != nil {
		t.Fatal(out.err)
	}
	return out
}

// Stopped anywhere, on any backend, with any number of steps per call before and
// after, a run goes on to the same bytes.
func TestResumedRunIsTheSameRun(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, backend string) {
		c := small(t, backend)
		c.Epochs, c.Validation, c.Normalize = 4, 50, true
		alone := filepath.Join(t.TempDir(), "alone")
		want := mustTrain(t, c, experiments.Options{Folder: alone, CheckpointEvery: 1, Keep: experiments.KeepBest})
		for _, test := range []struct {
			name string
			at   func(experiments.Event) bool
			want experiments.Position
		}{
			{"before the first step", func(e experiments.Event) bool { _, ok := e.(experiments.RunStarted); return ok }, experiments.Position{Epoch: 1}},
			{"in an epoch", step(2, 50), experiments.Position{Epoch: 2, Step: 56}},
			{"in the evaluation", step(3, 105), experiments.Position{Epoch: 3, Step: 105}},
			{"in the last evaluation", step(4, 105), experiments.Position{Epoch: 4, Step: 105}},
			{"between two epochs", epochs(2), experiments.Position{Epoch: 3}},
		} {
			t.Run(test.name, func(t *testing.T) {
				out := filepath.Join(t.TempDir(), "run")
				c := c
				c.StepsPerCall = 7
				stopped := stopAt(t, c, experiments.Options{Folder: out, Keep: experiments.KeepBest}, test.at)
				if found := (experiments.Position{Epoch: stopped.Epoch, Step: stopped.Step}); found != test.want || stopped.Folder != out {
					t.Errorf("found %+v, expected %+v", stopped, test.want)
				}
				if _, err := experiments.ReadRecord(out); !errors.Is(err, experiments.ErrUnfinished) {
					t.Errorf("found error %v, expected %v", err, experiments.ErrUnfinished)
				}
				c.StepsPerCall = 0
				resumed := mustTrain(t, c, experiments.Options{Folder: out, Resume: true})
				if resumed.started == nil || !resumed.started.Resumed || resumed.started.At != test.want || len(resumed.warnings) > 0 {
					t.Errorf("found the start %+v and the warnings %q", resumed.started, resumed.warnings)
				}
				sameFiles(t, out, alone)
				sameFiles(t, out, alone, filepath.Join(experiments.CheckpointsFolder, experiments.BestFile))
				a, b := resumed.result, want.result
				a.Folder, b.Folder = "", ""
				if fmt.Sprint(a.Confusion, a.Images, a.BestEpoch, a.Final.TestLoss) != fmt.Sprint(b.Confusion, b.Images, b.BestEpoch, b.Final.TestLoss) {
					t.Errorf("found the result %+v, expected %+v", a, b)
				}
			})
		}
	})
}

// More epochs go on with a finished run; the result is that of a run that had
// them from the beginning. Fewer than were done are refused, in between is fine.
func TestEpochsMayChange(t *testing.T) {
	c := small(t, backend.Go)
	parent := t.TempDir()
	long, short, out := filepath.Join(parent, "long"), filepath.Join(parent, "short"), filepath.Join(parent, "run")
	c.Epochs = 5
	mustTrain(t, c, experiments.Options{Folder: long})
	c.Epochs = 2
	mustTrain(t, c, experiments.Options{Folder: out, CheckpointEvery: 1})
	before, err := os.ReadFile(filepath.Join(out, experiments.EnvironmentFile))
	if err != nil {
		t.Fatal(err)
	}

	// A finished run says so and is left as it is.
	again := mustTrain(t, c, experiments.Options{Folder: out, Resume: true})
	if !again.ended || again.started != nil || again.result.Final.Epoch != 2 || len(again.result.Confusion) != 3 {
		t.Errorf("found %+v, expected to be told that the run has ended", again)
	}
	after, err := os.ReadFile(filepath.Join(out, experiments.EnvironmentFile))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("found a changed %s (%v)", experiments.EnvironmentFile, err)
	}
	c.Epochs = 1
	want := "epochs: found 1, expected at least 2, the epochs that the run has begun"
	if few := train(c, experiments.Options{Folder: out, Resume: true}); few.err == nil || few.err.Error() != want {
		t.Errorf("found error %v, expected %q", few.err, want)
	}

	// Stopped in between it is no longer finished.
	c.Epochs = 5
	stopAt(t, c, experiments.Options{Folder: out, Resume: true}, step(4, 50))
	if _, err := experiments.ReadRecord(out); !errors.Is(err, experiments.ErrUnfinished) {
		t.Errorf("found error %v, expected %v", err, experiments.ErrUnfinished)
	}
	c.Epochs = 3
	want = "epochs: found 3, expected at least 4, the epochs that the run has begun"
	if few := train(c, experiments.Options{Folder: out, Resume: true}); few.err == nil || few.err.Error() != want {
		t.Errorf("found error %v, expected %q", few.err, want)
	}
	c.Epochs = 5
	mustTrain(t, c, experiments.Options{Folder: out, Resume: true})
	sameFiles(t, out, long)

	// Fewer than planned.
	c.Epochs = 5
	stopAt(t, c, experiments.Options{Folder: short}, step(2, 50))
	c.Epochs = 2
	mustTrain(t, c, experiments.Options{Folder: short, Resume: true})
	two := filepath.Join(parent, "two")
	mustTrain(t, c, experiments.Options{Folder: two})
	sameFiles(t, short, two)
}

// What may not change is refused, each with what was found and recorded, and the
// folder is left as it is.
func TestResumeRefusesOtherSettings(t *testing.T) {
	c := small(t, backend.Go)
	out := filepath.Join(t.TempDir(), "run")
	stopAt(t, c, experiments.Options{Folder: out}, step(2, 50))
	other := c
	other.LayerSizes, other.Activation, other.LearningRate, other.BatchSize = []int{8, 8}, "tanh", 0.2, 8
	other.Normalize, other.Shuffle, other.Seed, other.Validation, other.Init, other.Data = true, false, 1, 3, "w", "d"
	file := filepath.Join(out, experiments.ConfigFile)
	as := " as in " + file + "; it cannot change when a run is resumed\n"
	want := "layer_sizes: found [8 8], expected [8]" + as +
		`activation: found "tanh", expected "relu"` + as +
		"learning_rate: found 0.2, expected 0.1" + as +
		"batch_size: found 8, expected 4" + as +
		"normalize: found true, expected false" + as +
		"shuffle: found false, expected true" + as +
		"seed: found 1, expected 0" + as +
		`data: found "d", expected "` + c.Data + `"` + as +
		"validation: found 3, expected 0" + as +
		`init: found "w", expected ""` + as
	refused := train(other, experiments.Options{Folder: out, Resume: true})
	if refused.err == nil || refused.err.Error()+"\n" != want {
		t.Errorf("found error\n%v\nexpected\n%s", refused.err, want)
	}
	var problems experiments.Problems
	if !errors.As(refused.err, &problems) || len(problems) != 10 {
		t.Errorf("found %#v, expected ten problems", refused.err)
	}
	mustTrain(t, c, experiments.Options{Folder: out, Resume: true})

	bad := train(c, experiments.Options{Resume: true, CheckpointEvery: -1, Keep: "all"})
	want = `checkpoint_every: found -1, expected 0 (only when interrupted) to 1000000
keep: found "all", expected last or best
resume: found "", expected a run folder`
	if bad.err == nil || bad.err.Error() != want {
		t.Errorf("found error\n%v\nexpected\n%s", bad.err, want)
	}
}

// Another backend goes on with a warning, and the folder says so.
func TestBackendMayChangeWithAWarning(t *testing.T) {
	c := small(t, backend.Go)
	out := filepath.Join(t.TempDir(), "run")
	stopAt(t, c, experiments.Options{Folder: out}, step(2, 50))
	// The same backend with another name is on record when the folder was moved
	// from another machine.
	name := filepath.Join(out, experiments.EnvironmentFile)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Replace(text, []byte(`"name": "go"`), []byte(`"name": "xla:cuda"`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	resumed := mustTrain(t, c, experiments.Options{Folder: out, Resume: true})
	if len(resumed.warnings) != 1 || !strings.HasPrefix(resumed.warnings[0], "the run was on xla:cuda (") || !strings.Contains(resumed.warnings[0], "may differ") {
		t.Errorf("found the warnings %q", resumed.warnings)
	}
	var environment experiments.Environment
	readJSON(t, name, &environment)
	if n := len(environment.Resumed); n != 1 || environment.Resumed[0].Backend.Name != "go" || environment.Resumed[0].Epoch != 2 || environment.Resumed[0].Step == 0 {
		t.Errorf("found %+v in %s", environment.Resumed, experiments.EnvironmentFile)
	}
}

// Relative paths belong to the folder in which the run began.
func TestResumeFromAnotherFolder(t *testing.T) {
	parent := t.TempDir()
	c := small(t, backend.Go)
	if err := os.Rename(c.Data, filepath.Join(parent, "d")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(parent)
	c.Data = "d"
	mustTrain(t, c, experiments.Options{Folder: "first"})
	c.Init = filepath.Join("first", experiments.WeightsFile)
	mustTrain(t, c, experiments.Options{Folder: "alone"})
	stopAt(t, c, experiments.Options{Folder: "run"}, step(2, 50))
	t.Chdir(t.TempDir())
	mustTrain(t, c, experiments.Options{Folder: filepath.Join(parent, "run"), Resume: true})
	sameFiles(t, filepath.Join(parent, "run"), filepath.Join(parent, "alone"))
}

// A run goes on with the files that it began with or not at all.
func TestResumeRefusesOtherFiles(t *testing.T) {
	c := small(t, backend.Go)
	parent := t.TempDir()
	first, out := filepath.Join(parent, "first"), filepath.Join(parent, "run")
	mustTrain(t, c, experiments.Options{Folder: first})
	c.Init = filepath.Join(parent, "init.safetensors")
	weights, err := os.ReadFile(filepath.Join(first, experiments.WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(c.Data, "t10k-images-idx3-ubyte.gz")
	pixels, err := os.ReadFile(images)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(c.Init, weights)
	stopAt(t, c, experiments.Options{Folder: out}, step(2, 50))

	other := bytes.Clone(weights)
	other[len(other)-4] ^= 1
	write(c.Init, other)
	refused := train(c, experiments.Options{Folder: out, Resume: true})
	if refused.err == nil || !strings.HasPrefix(refused.err.Error(), "init: "+c.Init+": found SHA-256 ") || !errors.Is(refused.err, experiments.ErrCannotResume) {
		t.Errorf("found error %v for other initial weights", refused.err)
	}
	write(c.Init, weights)
	writeIDX(t, images, 0x803, []int{90, 3, 4}, make([]byte, 90*12))
	refused = train(c, experiments.Options{Folder: out, Resume: true})
	if refused.err == nil || !strings.HasPrefix(refused.err.Error(), "data: "+images+": found SHA-256 ") || !errors.Is(refused.err, experiments.ErrCannotResume) {
		t.Errorf("found error %v for other data", refused.err)
	}
	var hinted interface{ Hint() string }
	if !errors.As(refused.err, &hinted) || hinted.Hint() == "" {
		t.Error("found no hint")
	}
	write(images, pixels)
	mustTrain(t, c, experiments.Options{Folder: out, Resume: true})
}

func TestResumeOfWhatIsNoRun(t *testing.T) {
	parent := t.TempDir()
	c := small(t, backend.Go)
	file := filepath.Join(parent, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	diverged, unsaved, finished := filepath.Join(parent, "diverged"), filepath.Join(parent, "unsaved"), filepath.Join(parent, "finished")
	wild := c
	wild.LearningRate, wild.LayerSizes = 1e20, []int{8, 8}
	train(wild, experiments.Options{Folder: diverged})
	mustTrain(t, c, experiments.Options{Folder: finished})
	if err := os.RemoveAll(filepath.Join(finished, experiments.CheckpointsFolder)); err != nil {
		t.Fatal(err)
	}
	more := c
	more.Epochs++
	for _, test := range []struct {
		folder string
		config experiments.Config
		want   string
	}{
		{filepath.Join(parent, "nowhere"), c, "found no config.json in it, expected a run folder"},
		{parent, c, "found no config.json in it, expected a run folder"},
		{file, c, "found a file, expected a run folder"},
		{diverged, wild, "the run has come to its end: training diverged: "},
		{finished, more, "found model.safetensors and no checkpoint, which a run needs to go on"},
	} {
		refused := train(test.config, experiments.Options{Folder: test.folder, Resume: true})
		if refused.err == nil || !strings.HasPrefix(refused.err.Error(), "resume: "+test.folder+": "+test.want) {
			t.Errorf("found error %v, expected %s", refused.err, test.want)
		}
	}

	// Killed before the first checkpoint, a run begins again.
	stopAt(t, c, experiments.Options{Folder: unsaved}, step(2, 50))
	if err := os.RemoveAll(filepath.Join(unsaved, experiments.CheckpointsFolder)); err != nil {
		t.Fatal(err)
	}
	again := mustTrain(t, c, experiments.Options{Folder: unsaved, Resume: true})
	if len(again.warnings) != 1 || again.warnings[0] != unsaved+" holds no checkpoint: the run begins again" {
		t.Errorf("found the warnings %q", again.warnings)
	}
	sameFiles(t, unsaved, finished)
}

// prepared is a run folder with two checkpoints, and the same run left alone.
func prepared(t *testing.T) (c experiments.Config, out, alone string, files []string) {
	t.Helper()
	c = small(t, backend.Go)
	c.Epochs = 4
	parent := t.TempDir()
	out, alone = filepath.Join(parent, "run"), filepath.Join(parent, "alone")
	mustTrain(t, c, experiments.Options{Folder: alone})
	stopAt(t, c, experiments.Options{Folder: out, CheckpointEvery: 1}, step(3, 50))
	files, err := filepath.Glob(filepath.Join(out, experiments.CheckpointsFolder, "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("found the checkpoints %v (%v), expected two", files, err)
	}
	return c, out, alone, files
}

// copyFolder copies a run folder.
func copyFolder(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// resealed is a checkpoint with one value of its metadata changed and the
// checksum that belongs to it.
func resealed(t *testing.T, file []byte, c experiments.Config, key, value string) []byte {
	t.Helper()
	topology := model.FullyConnected{Rows: 3, Columns: 4, Hidden: c.LayerSizes, Classes: 3, Activation: model.ActivationReLU}
	var metadata map[string]string
	weights, err := model.ReadCheckpoint(bytes.NewReader(file), "c", topology.Parameters(), func(m map[string]string) error { metadata = m; return nil })
	if err != nil {
		t.Fatal(err)
	}
	metadata[key] = value
	var out bytes.Buffer
	if err := model.WriteCheckpoint(&out, topology.Parameters(), weights, metadata); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A checkpoint with any of its parts damaged is not used: the run falls back to
// the one before and ends as if nothing had happened. Without one before, it is
// refused, and the folder is left as it is.
func TestDamagedCheckpoint(t *testing.T) {
	c, out, alone, files := prepared(t)
	newest := filepath.Base(files[1])
	good, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	header := int(binary.LittleEndian.Uint64(good))
	data := 8 + header
	boundaries := []int{0, 7, 8, 8 + len(`{"__metadata__":{"sha256":"`), 8 + len(`{"__metadata__":{"sha256":"`) + 64, data - 1, data}
	regions := map[string]int{"length": 3, "header": 8 + header/2, "checksum": 8 + 40, "metadata": bytes.Index(good, []byte(`"epoch":"`)) + 9, "padding or end of header": data - 1}
	end := data
	for i, size := range []int{8 * 12, 8, 3 * 8, 3} { // the tensors
		regions[fmt.Sprint("tensor ", i)] = end + 2*size
		end += 4 * size
		boundaries = append(boundaries, end-1, end-4*size+1)
	}
	if end != len(good) {
		t.Fatalf("found %d bytes, expected %d", len(good), end)
	}
	var otherWeights bytes.Buffer
	if err := model.WriteCheckpoint(&otherWeights, model.FullyConnected{Rows: 3, Columns: 4, Hidden: []int{9}, Classes: 3, Activation: model.ActivationReLU}.Parameters(),
		model.Initialize(model.FullyConnected{Rows: 3, Columns: 4, Hidden: []int{9}, Classes: 3, Activation: model.ActivationReLU}.Parameters(), 0),
		map[string]string{"checkpoint_version": "1", "epoch": "3", "step": "56", "metrics_bytes": "0", "epoch_seconds": "0", "keep": "last", "best_epoch": "0", "best_loss": "0"}); err != nil {
		t.Fatal(err)
	}
	damages := map[string]func(path string) error{
		"another topology": func(path string) error { return os.WriteFile(path, otherWeights.Bytes(), 0o644) },
		"a folder": func(path string) error {
			return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o755))
		},
		"one byte more": func(path string) error { return os.WriteFile(path, append(bytes.Clone(good), 0), 0o644) },
		"plain weights": func(path string) error {
			return copyFile(filepath.Join(alone, experiments.WeightsFile), path)
		},
		"short metrics": func(path string) error {
			return os.Truncate(filepath.Join(filepath.Dir(filepath.Dir(path)), experiments.MetricsFile), int64(sizeOf(t, filepath.Join(out, experiments.MetricsFile)))-1)
		},
	}
	for name, at := range regions {
		damages["flipped in the "+name] = func(path string) error {
			changed := bytes.Clone(good)
			changed[at] ^= 1
			return os.WriteFile(path, changed, 0o644)
		}
	}
	for _, at := range boundaries {
		damages[fmt.Sprint("cut at ", at)] = func(path string) error { return os.Truncate(path, int64(at)) }
	}
	for key, value := range map[string]string{"checkpoint_version": "2", "epoch": "4", "step": "57", "metrics_bytes": "3", "epoch_seconds": "NaN", "best_loss": "-1", "best_epoch": "x", "keep": "all", "config_sha256": "00"} {
		damages["metadata "+key+" "+value] = func(path string) error { return os.WriteFile(path, resealed(t, good, c, key, value), 0o644) }
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			fallen := copyFolder(t, out)
			if err := damage(filepath.Join(fallen, experiments.CheckpointsFolder, newest)); err != nil {
				t.Fatal(err)
			}
			resumed := mustTrain(t, c, experiments.Options{Folder: fallen, Resume: true})
			if len(resumed.warnings) != 1 || !strings.Contains(resumed.warnings[0], "; falling back to the checkpoint before") ||
				!strings.Contains(resumed.warnings[0], newest) {
				t.Errorf("found the warnings %q", resumed.warnings)
			}
			if name == "metadata checkpoint_version 2" && !strings.Contains(resumed.warnings[0], "found 2, expected at most 1; a newer epochal wrote it") {
				t.Errorf("found the warnings %q", resumed.warnings)
			}
			if resumed.started.At != (experiments.Position{Epoch: 3}) {
				t.Errorf("found that the run went on at %v", resumed.started.At)
			}
			sameFiles(t, fallen, alone)

			// Alone it is refused, and nothing is touched.
			refused := copyFolder(t, out)
			only := filepath.Join(refused, experiments.CheckpointsFolder, newest)
			if err := errors.Join(damage(only), os.Remove(filepath.Join(refused, experiments.CheckpointsFolder, filepath.Base(files[0])))); err != nil {
				t.Fatal(err)
			}
			metrics := sizeOf(t, filepath.Join(refused, experiments.MetricsFile))
			none := train(c, experiments.Options{Folder: refused, Resume: true})
			if !errors.Is(none.err, experiments.ErrCannotResume) || !strings.Contains(none.err.Error(), "no checkpoint is left that can be used") {
				t.Errorf("found error %v", none.err)
			}
			if now := sizeOf(t, filepath.Join(refused, experiments.MetricsFile)); now != metrics {
				t.Errorf("found %d bytes of metrics afterwards, expected %d", now, metrics)
			}
			if _, err := os.Lstat(only); err != nil {
				t.Error(err)
			}
		})
	}
}

func sizeOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// The best epoch is by validation loss if there is a split, else by train loss,
// and its weights are those of a run that ends there.
func TestKeepBest(t *testing.T) {
	for _, validation := range []int{0, 100} {
		c := small(t, backend.Go)
		c.Epochs, c.Validation, c.LearningRate, c.BatchSize, c.LayerSizes = 8, validation, 1, 2, []int{32} // a rate at which the loss goes up and down
		out := filepath.Join(t.TempDir(), "run")
		var losses []float64
		result := mustTrain(t, c, experiments.Options{Folder: out, Keep: experiments.KeepBest, Observer: func(e experiments.Event) {
			if e, ok := e.(experiments.EpochDone); ok && validation > 0 {
				losses = append(losses, *e.Metrics.ValidationLoss)
			} else if ok {
				losses = append(losses, e.Metrics.TrainLoss)
			}
		}}).result
		best := 0
		for i, loss := range losses {
			if loss < losses[best] {
				best = i
			}
		}
		if result.BestEpoch != best+1 {
			t.Errorf("validation %d: found the best epoch %d of the losses %v", validation, result.BestEpoch, losses)
		}
		file, err := os.Open(filepath.Join(out, experiments.CheckpointsFolder, experiments.BestFile))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		topology := model.FullyConnected{Rows: 3, Columns: 4, Hidden: c.LayerSizes, Classes: 3, Activation: model.ActivationReLU}
		checkpoint, weights, err := experiments.ReadCheckpoint(file, "best", topology)
		if err != nil || checkpoint.BestEpoch != best+1 || checkpoint.BestLoss != losses[best] {
			t.Fatalf("found %+v and error %v", checkpoint, err)
		}
		c.Epochs = best + 1
		want, _ := runBytes(t, c)
		var found bytes.Buffer
		if err := model.WriteWeights(&found, topology.Parameters(), weights); err != nil || !bytes.Equal(found.Bytes(), want) {
			t.Errorf("validation %d: found other weights than after epoch %d (%v)", validation, best+1, err)
		}
	}
}

// Checkpoints come as often as was asked for, and two are kept.
func TestCheckpointEvery(t *testing.T) {
	c := small(t, backend.Go)
	c.Epochs = 7
	for every, want := range map[int][]string{0: nil, 1: {"epoch-00006-step-00000", "epoch-00007-step-00000"}, 3: {"epoch-00004-step-00000", "epoch-00007-step-00000"}} {
		out := filepath.Join(t.TempDir(), "run")
		var found []string
		mustTrain(t, c, experiments.Options{Folder: out, CheckpointEvery: every, Observer: func(e experiments.Event) {
			if epochs(6)(e) {
				entries, _ := os.ReadDir(filepath.Join(out, experiments.CheckpointsFolder))
				for _, entry := range entries {
					found = append(found, strings.TrimSuffix(entry.Name(), ".safetensors"))
				}
			}
		}})
		if fmt.Sprint(found) != fmt.Sprint(want) {
			t.Errorf("every %d: found %v, expected %v", every, found, want)
		}
		left, _ := filepath.Glob(filepath.Join(out, experiments.CheckpointsFolder, "*"))
		if len(left) != 1 || filepath.Base(left[0]) != "epoch-00008-step-00000.safetensors" {
			t.Errorf("every %d: found %v at the end", every, left)
		}
	}
}

// What a process left that was killed while it made the folder is no run.
func TestAbandonedFolderIsTaken(t *testing.T) {
	c := small(t, backend.Go)
	out := filepath.Join(t.TempDir(), "run")
	write := func(name string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(out, 0o755), os.WriteFile(filepath.Join(out, name), []byte("x"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write(experiments.ConfigFile)
	if refused := train(c, experiments.Options{Folder: out}); refused.err == nil {
		t.Error("found no error for a folder with a file of somebody else's")
	}
	write(experiments.LockFile)
	write(".environment.json123")
	mustTrain(t, c, experiments.Options{Folder: out})
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 7 {
		t.Errorf("found %v (%v)", entries, err)
	}
}

func FuzzReadCheckpoint(f *testing.F) {
	topology := model.FullyConnected{Rows: 1, Columns: 2, Hidden: nil, Classes: 2, Activation: model.ActivationReLU}
	f.Add("1", "3", "56", "0", "0", "last", "0", "0.5")
	f.Add("2", "-1", "1e9", "9223372036854775807", "NaN", "best", "x", "+Inf")
	f.Fuzz(func(t *testing.T, version, epoch, step, metrics, seconds, keep, best, loss string) {
		var file bytes.Buffer
		if err := model.WriteCheckpoint(&file, topology.Parameters(), model.Initialize(topology.Parameters(), 0), map[string]string{
			"checkpoint_version": version, "epoch": epoch, "step": step, "metrics_bytes": metrics,
			"epoch_seconds": seconds, "keep": keep, "best_epoch": best, "best_loss": loss,
		}); err != nil {
			t.Fatal(err)
		}
		c, weights, err := experiments.ReadCheckpoint(bytes.NewReader(file.Bytes()), "c", topology)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "c: metadata: ") {
				t.Errorf("found error %v", err)
			}
			return
		}
		if c.Epoch < 1 || c.Epoch > experiments.MaxEpochs+1 || c.Step < 0 || c.MetricsBytes < 0 || !(c.EpochSeconds >= 0) || len(weights) != 2 {
			t.Errorf("found %+v", c)
		}
		if _, err := io.Copy(io.Discard, &file); err != nil {
			t.Fatal(err)
		}
	})
}
