package train_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model"
	"epochal/model/backend"
)

// started reports whether the first epoch begins.
func started(e experiments.Event) bool { _, ok := e.(experiments.RunStarted); return ok }

// Stopped anywhere, on any backend, with any number of steps per call before and
// after, a run continues to the same bytes.
func TestResumedRunIsTheSameRun(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, backend string) {
		c := small(t, backend)
		c.Epochs, c.Validation, c.Normalize = 4, 50, true
		alone := filepath.Join(t.TempDir(), "alone")
		want := mustTrain(t, c, train.Options{Folder: alone, CheckpointEvery: 1, Keep: record.KeepBest})
		for _, test := range []struct {
			name string
			at   func(experiments.Event) bool
			want experiments.Position
		}{
			{"before the first step", started, experiments.Position{Epoch: 1}},
			{"in an epoch", step(2, 50), experiments.Position{Epoch: 2, Step: 56}},
			{"in the evaluation", step(3, 105), experiments.Position{Epoch: 3, Step: 105}},
			{"in the last evaluation", step(4, 105), experiments.Position{Epoch: 4, Step: 105}},
			{"between two epochs", epochs(2), experiments.Position{Epoch: 3}},
		} {
			t.Run(test.name, func(t *testing.T) {
				out := filepath.Join(t.TempDir(), "run")
				c := c
				c.StepsPerCall = 7
				stopped := stopAt(t, c, train.Options{Folder: out, Keep: record.KeepBest}, test.at)
				if stopped.At != test.want || stopped.Folder != out {
					t.Errorf("found %+v, expected %+v", stopped, test.want)
				}
				if _, err := record.Read(out); !errors.Is(err, record.ErrUnfinished) {
					t.Errorf("found error %v, expected %v", err, record.ErrUnfinished)
				}
				c.StepsPerCall = 0
				resumed := mustTrain(t, c, train.Options{Folder: out, Resume: true})
				if resumed.started == nil || !resumed.started.Resumed || resumed.started.At != test.want || len(resumed.warnings) > 0 {
					t.Errorf("found the start %+v and the warnings %q", resumed.started, resumed.warnings)
				}
				sameFiles(t, out, alone, filepath.Join(record.CheckpointsFolder, record.BestFile))
				numbers := func(r experiments.Result) string {
					return fmt.Sprint(r.Confusion, r.Images, r.BestEpoch, r.Final.TestLoss)
				}
				if a, b := numbers(resumed.result), numbers(want.result); a != b {
					t.Errorf("found the result %s, expected %s", a, b)
				}
			})
		}
	})
}

// More epochs continue a finished run; the result is that of a run that had
// them from the beginning. Fewer than were done are refused, in between is fine.
func TestEpochsMayChange(t *testing.T) {
	c := small(t, backend.Go)
	parent := t.TempDir()
	long, short, out := filepath.Join(parent, "long"), filepath.Join(parent, "short"), filepath.Join(parent, "run")
	c.Epochs = 5
	mustTrain(t, c, train.Options{Folder: long})
	c.Epochs = 2
	mustTrain(t, c, train.Options{Folder: out, CheckpointEvery: 1})
	environment := filepath.Join(out, record.EnvironmentFile)
	before := read(t, environment)
	refuses := func(want string) {
		t.Helper()
		if few := attempt(c, train.Options{Folder: out, Resume: true}); few.err == nil || few.err.Error() != want {
			t.Errorf("found error %v, expected %q", few.err, want)
		}
	}

	// A finished run says so and is left as it is.
	again := mustTrain(t, c, train.Options{Folder: out, Resume: true})
	if !again.ended || again.started != nil || again.result.Final.Epoch != 2 || len(again.result.Confusion) != 3 {
		t.Errorf("found %+v, expected to be told that the run has ended", again)
	}
	if !bytes.Equal(before, read(t, environment)) {
		t.Errorf("found a changed %s", record.EnvironmentFile)
	}
	c.Epochs = 1
	refuses("epochs: found 1, expected at least 2, the epochs that the run has begun")

	// Stopped in between it is no longer finished.
	c.Epochs = 5
	stopAt(t, c, train.Options{Folder: out, Resume: true}, step(4, 50))
	if _, err := record.Read(out); !errors.Is(err, record.ErrUnfinished) {
		t.Errorf("found error %v, expected %v", err, record.ErrUnfinished)
	}
	c.Epochs = 3
	refuses("epochs: found 3, expected at least 4, the epochs that the run has begun")
	c.Epochs = 5
	mustTrain(t, c, train.Options{Folder: out, Resume: true})
	sameFiles(t, out, long)

	// Fewer than planned.
	c.Epochs = 5
	stopAt(t, c, train.Options{Folder: short}, step(2, 50))
	c.Epochs = 2
	mustTrain(t, c, train.Options{Folder: short, Resume: true})
	two := filepath.Join(parent, "two")
	mustTrain(t, c, train.Options{Folder: two})
	sameFiles(t, short, two)
}

// What may not change is refused, each with what was found and recorded, and the
// folder is left as it is.
func TestResumeRefusesOtherSettings(t *testing.T) {
	c := small(t, backend.Go)
	out := filepath.Join(t.TempDir(), "run")
	stopAt(t, c, train.Options{Folder: out}, step(2, 50))
	other := c
	other.LayerSizes, other.Activation, other.LearningRate, other.BatchSize = []int{8, 8}, "tanh", 0.2, 8
	other.Normalize, other.Shuffle, other.Seed, other.Validation = true, false, 1, 3
	file := filepath.Join(out, record.ConfigFile)
	as := " as in " + file + "; it cannot change when a run is resumed\n"
	want := "layer_sizes: found [8,8], expected [8]" + as +
		`activation: found "tanh", expected "relu"` + as +
		"learning_rate: found 0.2, expected 0.1" + as +
		"batch_size: found 8, expected 4" + as +
		"normalize: found true, expected false" + as +
		"shuffle: found false, expected true" + as +
		"seed: found 1, expected 0" + as +
		"validation: found 3, expected 0" + as
	refused := attempt(other, train.Options{Folder: out, Resume: true})
	if refused.err == nil || refused.err.Error()+"\n" != want {
		t.Errorf("found error\n%v\nexpected\n%s", refused.err, want)
	}
	var problems experiments.Problems
	if !errors.As(refused.err, &problems) || len(problems) != 8 {
		t.Errorf("found %#v, expected eight problems", refused.err)
	}
	mustTrain(t, c, train.Options{Folder: out, Resume: true})
}

// Another backend continues with a warning, and the folder says so.
func TestBackendMayChangeWithAWarning(t *testing.T) {
	c := small(t, backend.Go)
	out := filepath.Join(t.TempDir(), "run")
	stopAt(t, c, train.Options{Folder: out}, step(2, 50))
	// The same backend with another name is on record when the folder was moved
	// from another machine.
	name := filepath.Join(out, record.EnvironmentFile)
	write(t, name, bytes.Replace(read(t, name), []byte(`"name": "go"`), []byte(`"name": "xla:cuda"`), 1))
	resumed := mustTrain(t, c, train.Options{Folder: out, Resume: true})
	warnings := fmt.Sprint(resumed.warnings)
	if !strings.HasPrefix(warnings, "[the run was on xla:cuda (") || !strings.Contains(warnings, "may differ") {
		t.Errorf("found the warnings %q", resumed.warnings)
	}
	var environment record.Environment
	readJSON(t, name, &environment)
	if all := environment.Resumed; len(all) != 1 || all[0].Backend.Name != "go" || all[0].Epoch != 2 || all[0].Step == 0 {
		t.Errorf("found %+v in %s", environment.Resumed, record.EnvironmentFile)
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
	mustTrain(t, c, train.Options{Folder: "first"})
	c.Init = filepath.Join("first", record.WeightsFile)
	mustTrain(t, c, train.Options{Folder: "alone"})
	stopAt(t, c, train.Options{Folder: "run"}, step(2, 50))
	t.Chdir(t.TempDir())
	mustTrain(t, c, train.Options{Folder: filepath.Join(parent, "run"), Resume: true})
	sameFiles(t, filepath.Join(parent, "run"), filepath.Join(parent, "alone"))
}

// A run continues with the files that it began with or not at all.
func TestResumeRefusesOtherFiles(t *testing.T) {
	c := small(t, backend.Go)
	parent := t.TempDir()
	first, out := filepath.Join(parent, "first"), filepath.Join(parent, "run")
	mustTrain(t, c, train.Options{Folder: first})
	c.Init = filepath.Join(parent, "init.safetensors")
	weights := read(t, filepath.Join(first, record.WeightsFile))
	images := filepath.Join(c.Data, "t10k-images-idx3-ubyte.gz")
	pixels := read(t, images)
	write(t, c.Init, weights)
	stopAt(t, c, train.Options{Folder: out}, step(2, 50))

	other := bytes.Clone(weights)
	other[len(other)-4] ^= 1
	refuses := func(want string) {
		t.Helper()
		err := attempt(c, train.Options{Folder: out, Resume: true}).err
		var hinted interface{ Hint() string }
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.As(err, new(record.CannotResume)) || !errors.As(err, &hinted) {
			t.Errorf("found error %v, expected %s and a hint", err, want)
		}
	}
	write(t, c.Init, other)
	refuses("init: " + c.Init + ": found SHA-256 ")
	write(t, c.Init, weights)
	writeIDX(t, images, 0x803, []int{90, 3, 4}, make([]byte, 90*12))
	refuses("data: " + images + ": found SHA-256 ")
	write(t, images, pixels)
	place, flat := c.Data, t.TempDir() // a folder of images is what its files are named by
	for _, class := range []string{"a", "b"} {
		var picture bytes.Buffer
		if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 4, 3))); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(flat, class), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(flat, class, "x.png"), picture.Bytes())
	}
	c.Data = flat
	refuses("data: " + flat + ": found SHA-256 ")
	c.Data = place
	mustTrain(t, c, train.Options{Folder: out, Resume: true})
}

// A run is its data and its initial weights, wherever they are and whatever they are called.
func TestResumeWithMovedFiles(t *testing.T) {
	c := small(t, backend.Go)
	parent := t.TempDir()
	at := func(name string) string { return filepath.Join(parent, name) }
	mustTrain(t, c, train.Options{Folder: at("first")})
	c.Init = at("first/" + record.WeightsFile)
	mustTrain(t, c, train.Options{Folder: at("alone"), CheckpointEvery: 1})
	stopAt(t, c, train.Options{Folder: at("run")}, step(2, 50))
	stopAt(t, c, train.Options{Folder: at("older")}, step(2, 50))

	// Checkpoints of older versions have a digest of the whole config, places included.
	parameters := parametersOf(t, c, 3, 4, 3)
	checkpoints, err := filepath.Glob(at("older/checkpoints/epoch-*"))
	if err != nil || len(checkpoints) == 0 {
		t.Fatal(checkpoints, err)
	}
	for _, file := range checkpoints {
		metadata, weights := readMetadata(t, read(t, file), parameters)
		defaults, before := experiments.Defaults(), c
		before.Epochs, before.Backend, before.Deterministic = defaults.Epochs, defaults.Backend, defaults.Deterministic
		text, _ := json.Marshal(before)
		metadata["config_sha256"] = fmt.Sprintf("%x", sha256.Sum256(text))
		var changed bytes.Buffer
		if err := model.WriteCheckpoint(&changed, parameters, weights, metadata); err != nil {
			t.Fatal(err)
		}
		write(t, file, changed.Bytes())
	}

	places := c
	places.Data, places.Init = at("elsewhere"), at("weights")
	for from, to := range map[string]string{c.Data: places.Data, c.Init: places.Init} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	refuses := func(c experiments.Config, want, hint string) {
		t.Helper()
		err := attempt(c, train.Options{Folder: at("run"), Resume: true}).err
		var hinted interface{ Hint() string }
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.As(err, &hinted) || hinted.Hint() != hint {
			t.Errorf("found error %v and hint %v, expected %s and %s", err, hinted, want, hint)
		}
	}
	refuses(c, "data: ", "if it has moved, name its new place with --data")
	half := places
	half.Init = c.Init
	refuses(half, "init: ", "if it has moved, name its new place with --init")
	missing := places
	missing.Data = at("nowhere")
	err = attempt(missing, train.Options{Folder: at("run"), Resume: true}).err
	var hinted interface{ Hint() string }
	if err == nil || errors.As(err, &hinted) && strings.HasPrefix(hinted.Hint(), "if it has moved") {
		t.Errorf("found error %v and hint %v, expected another one: the place was named", err, hinted)
	}
	other := places
	other.Data = smallData(t)
	writeIDX(t, filepath.Join(other.Data, "t10k-images-idx3-ubyte.gz"), 0x803, []int{90, 3, 4}, make([]byte, 90*12))
	refuses(other, "data: "+other.Data, "name what the run started with, with --data, or start a new run"+
		"; older versions recorded another SHA-256 of a .gz file, that of the compressed bytes")
	drawn := places
	drawn.Init = ""
	refuses(drawn, "init: found no file, expected one with the SHA-256 ", "name what the run started with, with --init, or start a new run")

	for _, folder := range []string{"run", "older"} {
		stopAt(t, places, train.Options{Folder: at(folder), Resume: true}, step(3, 50))
		mustTrain(t, places, train.Options{Folder: at(folder), Resume: true})
		for _, name := range []string{record.WeightsFile, record.EvaluationFile, record.MetricsFile} {
			if !bytes.Equal(read(t, at(folder+"/"+name)), read(t, at("alone/"+name))) {
				t.Errorf("found another %s than in an uninterrupted run", name)
			}
		}
		var recorded experiments.Config
		if readJSON(t, at(folder+"/"+record.ConfigFile), &recorded); recorded.Data != places.Data || recorded.Init != places.Init {
			t.Errorf("found data %s and init %s in the config, expected the new places", recorded.Data, recorded.Init)
		}
	}
}

// Compressed or not, the files are the same where their hash is that of the content.
func TestResumeWithUnpackedFiles(t *testing.T) {
	c := small(t, backend.Go)
	out := filepath.Join(t.TempDir(), "run")
	stopAt(t, c, train.Options{Folder: out}, step(2, 50))
	packed := c.Data
	c.Data = t.TempDir()
	for _, set := range []string{"train", "t10k"} {
		name := set + "-labels-idx1-ubyte"
		write(t, filepath.Join(c.Data, name), read(t, filepath.Join(packed, name)))
		name = set + "-images-idx3-ubyte"
		reader, err := gzip.NewReader(bytes.NewReader(read(t, filepath.Join(packed, name+".gz"))))
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(c.Data, name), content)
	}
	before, err := dataset.Read(packed, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	after, err := dataset.Read(c.Data, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if dataset.Digest(before.Files) != dataset.Digest(after.Files) {
		t.Skip("the hashes are those of the files as they are stored")
	}
	mustTrain(t, c, train.Options{Folder: out, Resume: true})
}

// What else is no run, resume.txtar of the command tests.
func TestResumeWithoutCheckpoints(t *testing.T) {
	parent := t.TempDir()
	c := small(t, backend.Go)
	unsaved, finished := filepath.Join(parent, "unsaved"), filepath.Join(parent, "finished")
	mustTrain(t, c, train.Options{Folder: finished})
	stopAt(t, c, train.Options{Folder: unsaved}, step(2, 50))
	for _, folder := range []string{unsaved, finished} {
		if err := os.RemoveAll(filepath.Join(folder, record.CheckpointsFolder)); err != nil {
			t.Fatal(err)
		}
	}
	more := c
	more.Epochs++
	for folder, want := range map[string]string{
		parent:   "found no config.json in it, expected a run folder",
		finished: "found model.safetensors but no checkpoint to resume from",
	} {
		err := attempt(more, train.Options{Folder: folder, Resume: true}).err
		if err == nil || err.Error() != "resume: "+folder+": "+want {
			t.Errorf("found error %v, expected %s", err, want)
		}
	}
	// Killed before the first checkpoint, a run starts over.
	again := mustTrain(t, c, train.Options{Folder: unsaved, Resume: true})
	if len(again.warnings) != 1 || again.warnings[0] != unsaved+" has no checkpoint: the run starts from the beginning" {
		t.Errorf("found the warnings %q", again.warnings)
	}
	sameFiles(t, unsaved, finished)
}

// checkpointOf is a checkpoint of a network of one hidden layer on smallData, with
// the initial weights.
func checkpointOf(t *testing.T, width int, metadata map[string]string) []byte {
	t.Helper()
	parameters := model.FullyConnected{Rows: 3, Columns: 4, Hidden: []int{width}, Classes: 3, Activation: model.ActivationReLU}.Parameters()
	var file bytes.Buffer
	if err := model.WriteCheckpoint(&file, parameters, model.Initialize(parameters, 0), metadata); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// readMetadata is the metadata of a checkpoint.
func readMetadata(t *testing.T, file []byte, parameters []model.ParameterSpec) (metadata map[string]string, weights model.Weights) {
	t.Helper()
	weights, err := model.ReadCheckpoint(bytes.NewReader(file), "c", parameters, func(m map[string]string) error { metadata = m; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return metadata, weights
}

// A checkpoint that is damaged, or another run's, is not used: the run falls back to
// the one before and ends as if nothing had happened. Without one before, it is
// refused, and the folder is left as it is. That no byte can change or be missing
// without being noticed is package model's test.
func TestDamagedCheckpoint(t *testing.T) {
	c := small(t, backend.Go)
	c.Epochs = 4
	parent := t.TempDir()
	out, alone := filepath.Join(parent, "run"), filepath.Join(parent, "alone")
	mustTrain(t, c, train.Options{Folder: alone})
	stopAt(t, c, train.Options{Folder: out, CheckpointEvery: 1}, step(3, 50))
	files, err := filepath.Glob(filepath.Join(out, record.CheckpointsFolder, "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("found the checkpoints %v (%v), expected two", files, err)
	}
	older, newest := filepath.Base(files[0]), filepath.Base(files[1])
	good := read(t, files[1])
	flipped := bytes.Clone(good)
	flipped[len(good)-1] ^= 1
	damages := map[string]func(path string) error{
		"a folder": func(path string) error {
			return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o755))
		},
		"a pipe": func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o644)) },
		"short metrics": func(path string) error {
			metrics := filepath.Join(filepath.Dir(filepath.Dir(path)), record.MetricsFile)
			return os.Truncate(metrics, int64(len(read(t, metrics)))-1)
		},
	}
	contents := map[string][]byte{
		"flipped": flipped, "cut": good[:100], "another topology": checkpointOf(t, 9, map[string]string{"checkpoint_version": "1"}),
		"plain weights": read(t, filepath.Join(alone, record.WeightsFile)),
	}
	for key, value := range map[string]string{
		"checkpoint_version": "2", "epoch": "4", "step": "57", "metrics_bytes": "3",
		"epoch_seconds": "NaN", "best_loss": "-1", "best_epoch": "x", "keep": "all", "config_sha256": "00",
	} {
		metadata, _ := readMetadata(t, good, parametersOf(t, c, 3, 4, 3))
		metadata[key] = value
		contents["metadata "+key+" "+value] = checkpointOf(t, 8, metadata)
	}
	for name, content := range contents {
		damages[name] = func(path string) error { return os.WriteFile(path, content, 0o644) }
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			// damaged is a copy of the run with the damage.
			damaged := func() (folder, checkpoints string) {
				folder = filepath.Join(t.TempDir(), "copy")
				checkpoints = filepath.Join(folder, record.CheckpointsFolder)
				if err := errors.Join(os.CopyFS(folder, os.DirFS(out)), damage(filepath.Join(checkpoints, newest))); err != nil {
					t.Fatal(err)
				}
				return folder, checkpoints
			}
			fallen, _ := damaged()
			resumed := mustTrain(t, c, train.Options{Folder: fallen, Resume: true})
			if len(resumed.warnings) != 1 || !strings.Contains(resumed.warnings[0], "; using the checkpoint before it") ||
				!strings.Contains(resumed.warnings[0], newest) {
				t.Errorf("found the warnings %q", resumed.warnings)
			}
			newer := `found "2", expected at most 1; it was written by a newer epochal`
			if name == "metadata checkpoint_version 2" && !strings.Contains(resumed.warnings[0], newer) {
				t.Errorf("found the warnings %q", resumed.warnings)
			}
			if resumed.started.At != (experiments.Position{Epoch: 3}) {
				t.Errorf("found that the run continued at %v", resumed.started.At)
			}
			sameFiles(t, fallen, alone)

			// Alone it is refused, and nothing is touched.
			refused, checkpoints := damaged()
			if err := os.Remove(filepath.Join(checkpoints, older)); err != nil {
				t.Fatal(err)
			}
			metrics := read(t, filepath.Join(refused, record.MetricsFile))
			err := attempt(c, train.Options{Folder: refused, Resume: true}).err
			if !errors.As(err, new(record.CannotResume)) || !strings.Contains(err.Error(), "no usable checkpoint is left") {
				t.Errorf("found error %v", err)
			}
			if now := read(t, filepath.Join(refused, record.MetricsFile)); !bytes.Equal(now, metrics) {
				t.Errorf("found %d bytes of metrics afterwards, expected the %d that there were", len(now), len(metrics))
			}
			if _, err := os.Lstat(filepath.Join(checkpoints, newest)); err != nil {
				t.Error(err)
			}
		})
	}
}

// The best epoch is by validation loss if there is a split, else by train loss,
// and its weights are those of a run that ends there.
func TestKeepBest(t *testing.T) {
	for _, validation := range []int{0, 100} {
		c := small(t, backend.Go)
		c.Epochs, c.Validation, c.BatchSize, c.LayerSizes = 8, validation, 2, []int{32}
		c.LearningRate = 1 // at which the loss goes up and down
		out := filepath.Join(t.TempDir(), "run")
		run := mustTrain(t, c, train.Options{Folder: out, Keep: record.KeepBest})
		var losses []float64
		for _, metrics := range run.epochs {
			if validation > 0 {
				losses = append(losses, *metrics.ValidationLoss)
			} else {
				losses = append(losses, metrics.TrainLoss)
			}
		}
		best := slices.Index(losses, slices.Min(losses))
		if run.result.BestEpoch != best+1 {
			t.Errorf("validation %d: found the best epoch %d of the losses %v", validation, run.result.BestEpoch, losses)
		}
		parameters := parametersOf(t, c, 3, 4, 3)
		metadata, weights := readMetadata(t, read(t, filepath.Join(out, record.CheckpointsFolder, record.BestFile)), parameters)
		if metadata["best_epoch"] != fmt.Sprint(best+1) || metadata["best_loss"] != fmt.Sprint(losses[best]) {
			t.Errorf("found the metadata %v", metadata)
		}
		c.Epochs = best + 1
		content, _ := runBytes(t, c)
		description, want, err := model.ReadModel(bytes.NewReader(content), "m", model.Hints{})
		if err != nil || !reflect.DeepEqual(weights, want) {
			t.Errorf("validation %d: found other weights than after epoch %d (%v)", validation, best+1, err)
		}
		for name, value := range description.Metadata() {
			if metadata[name] != value {
				t.Errorf("validation %d: found %q as %s of the checkpoint, expected %q", validation, metadata[name], name, value)
			}
		}
	}
}

// Checkpoints come as often as was asked for, and two are kept.
func TestCheckpointEvery(t *testing.T) {
	c := small(t, backend.Go)
	c.Epochs = 7
	for every, want := range map[int][]string{
		0: nil,
		1: {"epoch-00006-step-00000", "epoch-00007-step-00000"},
		3: {"epoch-00004-step-00000", "epoch-00007-step-00000"},
	} {
		out := filepath.Join(t.TempDir(), "run")
		var found []string
		mustTrain(t, c, train.Options{Folder: out, CheckpointEvery: every, Observer: func(e experiments.Event) {
			if epochs(6)(e) {
				entries, _ := os.ReadDir(filepath.Join(out, record.CheckpointsFolder))
				for _, entry := range entries {
					found = append(found, strings.TrimSuffix(entry.Name(), ".safetensors"))
				}
			}
		}})
		if fmt.Sprint(found) != fmt.Sprint(want) {
			t.Errorf("every %d: found %v, expected %v", every, found, want)
		}
		left, _ := filepath.Glob(filepath.Join(out, record.CheckpointsFolder, "*"))
		if len(left) != 1 || filepath.Base(left[0]) != "epoch-00008-step-00000.safetensors" {
			t.Errorf("every %d: found %v at the end", every, left)
		}
	}
}

// What a process left that was killed while it made the folder is no run.
func TestAbandonedFolderIsTaken(t *testing.T) {
	c := small(t, backend.Go)
	out := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(out, record.ConfigFile), []byte("x"))
	if refused := attempt(c, train.Options{Folder: out}); refused.err == nil {
		t.Error("found no error for a folder with a file of somebody else's")
	}
	write(t, filepath.Join(out, record.LockFile), []byte("x"))
	write(t, filepath.Join(out, ".environment.json123"), []byte("x"))
	mustTrain(t, c, train.Options{Folder: out})
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 7 {
		t.Errorf("found %v (%v)", entries, err)
	}
}
