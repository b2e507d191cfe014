package tensorboard_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/tensorboard"
	"epochal/experiments/train"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// board is what TensorBoard shows of a folder.
type board struct {
	Scalars  map[string][][2]float64 `json:"scalars"` // points, step and value, by folder and tag
	Images   map[string][]int        `json:"images"`  // steps by folder and tag
	Sessions map[string]session      `json:"sessions"`
}

// session is a line of the HPARAMS tab.
type session struct {
	Status   int                `json:"status"`
	Settings map[string]any     `json:"settings"`
	Metrics  map[string]float64 `json:"metrics"` // the last values
}

// The status of a session.
const (
	unknown = iota
	success
	failure
)

// The test's clock stands still, so that files of one second must sort as well.
func now() time.Time { return time.Unix(1795857808, 0) }

// config is of 270 images to train on, in 90 steps an epoch.
func config() experiments.Config {
	c := experiments.Defaults()
	c.Data, c.LayerSizes, c.Epochs, c.BatchSize, c.LearningRate = "../study/testdata/three-classes", []int{6, 5}, 5, 2, 0.05
	c.Validation, c.Backend, c.Seed = 30, "go", 7
	return c
}

// run trains in runs/<name> below a folder, and fails the test on a warning.
func run(t *testing.T, c experiments.Config, folder, name string, resume bool) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	observe := tensorboard.Observer(now, func(text string) { t.Errorf("found the warning %s", text) })
	_, err := train.Run(ctx, c, train.Options{
		Folder: filepath.Join(folder, name), Resume: resume, CheckpointEvery: 2, Now: now,
		Observer: func(e experiments.Event) {
			observe(e)
			if done, ok := e.(experiments.StepsDone); ok && !resume && done.Epoch == 4 && done.First > 110 {
				cancel()
			}
		},
	})
	return err
}

// A run that was thrown back to an earlier checkpoint, one that was interrupted and one
// that diverged: TensorBoard shows what metrics.jsonl says, each point once.
func TestTensorBoardShowsTheRecord(t *testing.T) {
	folder := t.TempDir()
	again, interrupted, wild := config(), config(), config()
	if err := run(t, again, folder, "again", false); !errors.Is(err, context.Canceled) {
		t.Fatalf("found the error %v", err)
	}
	checkpoints, err := filepath.Glob(filepath.Join(folder, "again", record.CheckpointsFolder, "epoch-00004-*"))
	if err != nil || len(checkpoints) != 1 {
		t.Fatalf("found the checkpoints %v of epoch 4 (%v)", checkpoints, err)
	}
	if err := os.Remove(checkpoints[0]); err != nil { // so that the run continues with epoch 3
		t.Fatal(err)
	}
	if err := run(t, again, folder, "again", true); err != nil {
		t.Fatal(err)
	}
	interrupted.LearningRate, interrupted.Activation = 0.1, "tanh"
	if err := run(t, interrupted, folder, "sweep/interrupted", false); !errors.Is(err, context.Canceled) {
		t.Fatalf("found the error %v", err)
	}
	wild.LearningRate, wild.Validation = 1e20, 0
	if err := run(t, wild, folder, "wild", false); !errors.As(err, new(experiments.Diverged)) {
		t.Fatalf("found the error %v", err)
	}

	want := board{Scalars: map[string][][2]float64{}, Sessions: map[string]session{}}
	want.add(t, folder, "again", again, success)
	want.add(t, folder, "sweep/interrupted", interrupted, unknown)
	want.add(t, folder, "wild", wild, failure)
	want.Images = map[string][]int{"again/test/confusion": {5}, "again/test/mistakes": {5}}
	if !slices.ContainsFunc(want.Scalars["again/step_loss"], func(p [2]float64) bool { return p[0] == 3*135+100 }) {
		t.Fatal("the test is wrong: epoch 4 has no second reported step")
	}
	if different := cmp.Diff(want, decodeAll(t, folder)); different != "" {
		t.Errorf("the files say (-want +found):\n%s", different)
	}
	t.Run("in TensorBoard", func(t *testing.T) {
		command := exec.Command(python(t), "testdata/read.py", folder)
		var failed bytes.Buffer
		command.Stderr = &failed
		output, err := command.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, failed.Bytes())
		}
		var readers map[string]board
		if err := json.Unmarshal(output, &readers); err != nil || len(readers) != 2 {
			t.Fatalf("%v\n%s", err, output)
		}
		for name, found := range readers {
			if different := cmp.Diff(want, found); different != "" {
				t.Errorf("%s finds (-want +found):\n%s", name, different)
			}
		}
	})
}

// add adds what the record of a run says.
func (b board) add(t *testing.T, folder, name string, c experiments.Config, status int) {
	t.Helper()
	file, err := os.Open(filepath.Join(folder, name, record.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := session{Status: status, Metrics: map[string]float64{}, Settings: map[string]any{
		"layer_sizes": "6,5", "activation": c.Activation, "epochs": 5.0, "learning_rate": c.LearningRate, "batch_size": 2.0,
		"normalize": false, "shuffle": true, "seed": 7.0, "data": c.Data, "validation": float64(c.Validation), "backend": "go",
		"tf32": false, "deterministic": true,
	}}
	add := func(tag string, step int, value float64) {
		s.Metrics[tag] = float64(float32(value))
		b.Scalars[name+"/"+tag] = append(b.Scalars[name+"/"+tag], [2]float64{float64(step), s.Metrics[tag]})
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var step experiments.StepMetrics
		var epoch experiments.EpochMetrics
		err := errors.Join(json.Unmarshal(lines.Bytes(), &step), json.Unmarshal(lines.Bytes(), &epoch))
		switch {
		case step.Event == "diverged":
		case err != nil:
			t.Fatal(err)
		case step.Event == "step":
			add("step_loss", (step.Epoch-1)*(300-c.Validation)/2+step.Step, float64(step.Loss))
		case step.Event == "epoch":
			for _, set := range []struct {
				name           string
				accuracy, loss *float64
			}{
				{"train", &epoch.TrainAccuracy, &epoch.TrainLoss}, {"test", &epoch.TestAccuracy, &epoch.TestLoss},
				{"validation", epoch.ValidationAccuracy, epoch.ValidationLoss},
			} {
				add(set.name+"/accuracy", epoch.Epoch, *set.accuracy)
				add(set.name+"/loss", epoch.Epoch, *set.loss)
			}
		}
	}
	b.Sessions[name] = s
}

// decodeAll reads the event files below a folder as TensorBoard does.
func decodeAll(t *testing.T, folder string) board {
	t.Helper()
	b := board{Scalars: map[string][][2]float64{}, Images: map[string][]int{}, Sessions: map[string]session{}}
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), "events.out.tfevents.") {
			var content []byte
			content, err = os.ReadFile(path)
			run, _ := filepath.Rel(folder, filepath.Dir(path))
			b.decode(t, filepath.ToSlash(run), content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range b.Sessions {
		for tag, points := range b.Scalars {
			if tag, ok := strings.CutPrefix(tag, name+"/"); ok {
				s.Metrics[tag] = points[len(points)-1][1]
			}
		}
	}
	return b
}

// decode reads one event file of a folder.
func (b board) decode(t *testing.T, run string, file []byte) {
	t.Helper()
	masked := func(data []byte) uint32 {
		sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
		return (sum>>15 | sum<<17) + 0xa282ead8
	}
	for i := 0; len(file) > 0; i++ {
		length := binary.LittleEndian.Uint64(file)
		event, rest := file[12:12+length], file[12+length+4:]
		if binary.LittleEndian.Uint32(file[8:]) != masked(file[:8]) || binary.LittleEndian.Uint32(file[12+length:]) != masked(event) {
			t.Fatalf("%s: found a wrong checksum", run)
		}
		file = rest
		e := fields(t, event)
		step := 0
		if e[2] != nil {
			step = int(e[2][0].(uint64))
		}
		switch {
		case i == 0 && (e[3] == nil || string(e[3][0].([]byte)) != "brain.Event:2"):
			t.Fatalf("%s: found another first event: %v", run, e)
		case e[7] != nil: // a new start: what was there from this step on is forgotten
			for tag, points := range b.Scalars {
				if filepath.Dir(tag) == run {
					b.Scalars[tag] = slices.DeleteFunc(points, func(p [2]float64) bool { return int(p[0]) >= step })
				}
			}
		case e[5] != nil:
			b.value(t, run, step, fields(t, fields(t, e[5][0].([]byte))[1][0].([]byte)))
		}
	}
}

// value takes the value of a summary.
func (b board) value(t *testing.T, run string, step int, v map[protowire.Number][]any) {
	t.Helper()
	name := run + "/" + string(v[1][0].([]byte))
	switch {
	case v[2] != nil:
		value := float64(math.Float32frombits(v[2][0].(uint32)))
		b.Scalars[name] = append(b.Scalars[name], [2]float64{float64(step), value})
	case v[4] != nil:
		image := fields(t, v[4][0].([]byte))
		picture, err := png.Decode(bytes.NewReader(image[4][0].([]byte)))
		if err != nil {
			t.Fatal(err)
		}
		if size := picture.Bounds().Size(); uint64(size.Y) != image[1][0].(uint64) || uint64(size.X) != image[2][0].(uint64) {
			t.Errorf("%s: found the size %v, expected %v x %v", name, size, image[2], image[1])
		}
		b.Images[name] = append(b.Images[name], step)
	case v[9] != nil:
		plugin := fields(t, fields(t, v[9][0].([]byte))[1][0].([]byte))
		data := fields(t, plugin[2][0].([]byte))
		if string(plugin[1][0].([]byte)) != "hparams" {
			t.Errorf("%s: found the plugin %s", name, plugin[1][0])
		}
		s := b.Sessions[run]
		if data[4] != nil {
			s.Status = int(fields(t, data[4][0].([]byte))[1][0].(uint64))
		} else {
			s = session{Settings: map[string]any{}, Metrics: map[string]float64{}}
			for _, entry := range fields(t, data[3][0].([]byte))[1] {
				setting := fields(t, entry.([]byte))
				s.Settings[string(setting[1][0].([]byte))] = settingOf(fields(t, setting[2][0].([]byte)))
			}
		}
		b.Sessions[run] = s
	}
}

// settingOf is a google.protobuf.Value.
func settingOf(v map[protowire.Number][]any) any {
	switch {
	case v[2] != nil:
		return math.Float64frombits(v[2][0].(uint64))
	case v[3] != nil:
		return string(v[3][0].([]byte))
	default:
		return v[4][0].(uint64) == 1
	}
}

// fields are those of a message, in their order.
func fields(t *testing.T, m []byte) map[protowire.Number][]any {
	t.Helper()
	all := map[protowire.Number][]any{}
	for len(m) > 0 {
		number, kind, n := protowire.ConsumeTag(m)
		m = m[max(n, 0):]
		var value any
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(m)
		case protowire.Fixed32Type:
			value, n = protowire.ConsumeFixed32(m)
		case protowire.Fixed64Type:
			value, n = protowire.ConsumeFixed64(m)
		default:
			value, n = protowire.ConsumeBytes(m)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		all[number], m = append(all[number], value), m[n:]
	}
	return all
}

// python is a Python that has TensorBoard. Without one the test is skipped, or fails if
// EPOCHAL_REQUIRE_PYTHON is 1.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("EPOCHAL_PYTHON")
	if path == "" {
		path = "python3"
	}
	if output, err := exec.Command(path, "-c", "import tensorboard, PIL").CombinedOutput(); err != nil {
		text := fmt.Sprintf("EPOCHAL_PYTHON (%s) cannot import tensorboard and PIL: %v\n%s", path, err, output)
		if os.Getenv("EPOCHAL_REQUIRE_PYTHON") == "1" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	return path
}

// Where the files cannot be written, the user is told once and the run ends as it would.
func TestATroubleIsOneWarning(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "run")
	var warnings []string
	observe := tensorboard.Observer(now, func(text string) { warnings = append(warnings, text) })
	c := config()
	c.Epochs = 1
	_, err := train.Run(t.Context(), c, train.Options{Folder: folder, Observer: func(e experiments.Event) {
		if _, ok := e.(experiments.RunStarted); ok {
			if err := os.WriteFile(filepath.Join(folder, "test"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		observe(e)
	}})
	want := fmt.Sprintf("tensorboard: mkdir %s: not a directory; the run goes on without", filepath.Join(folder, "test"))
	if err != nil || !slices.Equal(warnings, []string{want}) {
		t.Errorf("found the error %v and the warnings %q, expected only %q", err, warnings, want)
	}
}
