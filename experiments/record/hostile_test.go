package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/model/backend"
)

// recordFiles are the files of a run of two epochs that Read accepts.
func recordFiles() map[string]string {
	c := experiments.Defaults()
	c.Epochs = 2
	config, _ := json.Marshal(c)
	environment, _ := json.Marshal(record.Environment{Version: "(devel)", Backend: backend.Info{Name: "go"}})
	return map[string]string{
		record.ConfigFile:      string(config),
		record.EnvironmentFile: string(environment),
		record.MetricsFile: `{"event":"step","epoch":1,"step":0,"samples":64,"loss":2.3}
{"event":"epoch","epoch":1,"train_loss":1.5,"train_accuracy":0.5,"test_loss":1.25,"test_accuracy":0.75,"train_seconds":1,"eval_seconds":2}
{"event":"step","epoch":2,"step":0,"samples":64,"loss":1.1}
{"event":"epoch","epoch":2,"train_loss":1,"train_accuracy":0.5,"validation_loss":1,"validation_accuracy":1,` +
			`"test_loss":1,"test_accuracy":0.75,"train_seconds":1,"eval_seconds":2}` + "\n",
		record.EvaluationFile: `{"confusion":[[2,1],[0,1]],"mistakes":[{"image":3,"label":0,"predicted":1,"confidence":0.75}]}`,
		record.WeightsFile:    "only its being there counts",
	}
}

// writeRecord writes files to a folder.
func writeRecord(t testing.TB, folder string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const divergedLine = `{"event":"diverged","epoch":1,"step":3,"loss":"NaN"}` + "\n"

func TestReadRefuses(t *testing.T) {
	good := recordFiles()
	first, _, _ := strings.Cut(good[record.MetricsFile], "{\"event\":\"step\",\"epoch\":2")
	edit := func(name, old, new string) string {
		t.Helper()
		if !strings.Contains(good[name], old) {
			t.Fatalf("%s: %q is not in it", name, old)
		}
		return strings.Replace(good[name], old, new, 1)
	}
	config, metrics, evaluation := record.ConfigFile, record.MetricsFile, record.EvaluationFile
	for _, c := range []struct {
		name, file, text string
		want             string // of the error, after the file's path
	}{
		{"no epochs", config, edit(config, `"epochs":2`, `"epochs":0`), ": epochs: found 0, expected 1 to 1000000"},
		{"endless epochs", config, edit(config, `"epochs":2`, `"epochs":9223372036854775807`),
			": epochs: found 9223372036854775807, expected 1 to 1000000"},
		{"an unknown setting", config, edit(config, `"epochs"`, `"epoch"`), `: json: unknown field "epoch"`},
		{"config twice", config, good[config] + "{}", ": found more after the JSON value, expected the end"},
		{"config is a list", config, "[]", ": json: cannot unmarshal array into Go value of type experiments.Config"},
		{"deep objects", config, strings.Repeat(`{"layer_sizes":`, 60_000), ": invalid character '{' exceeded max depth"},

		{"a long line", metrics, first + `{"event":"step"` + strings.Repeat(" ", record.MaxMetricsLine) + "}\n",
			":3: found a line of more than 4096 bytes, expected no more than that"},
		{"no line at all", metrics, strings.Repeat("x", 1<<20), ":1: found a line of more than 4096 bytes, expected no more than that"},
		{"an epoch too many", metrics, good[metrics] + `{"event":"epoch","epoch":3}` + "\n",
			":5: found epoch 3, expected 3, and at most 2 as the config says"},
		{"an epoch twice", metrics, first + first, ":4: found epoch 1, expected 2, and at most 2 as the config says"},
		{"half a line", metrics, good[metrics] + `{"ev`, ":5: found an incomplete line: the run is unfinished"},
		{"another event", metrics, good[metrics] + "{}\n", ":5: found neither a step, an epoch, a stopped nor a diverged event"},
		{"more after it diverged", metrics, divergedLine + divergedLine, ":2: found a line after the run diverged or stopped, expected the end"},
		{"diverged at epoch 2 of 2", metrics, strings.Replace(divergedLine, `"epoch":1`, `"epoch":2`, 1),
			":1: found epoch 2, expected 1, and at most 2 as the config says"},
		{"diverged at no loss", metrics, strings.Replace(divergedLine, `NaN`, `x`, 1), `:1: loss: found "x", expected NaN or an infinite one`},
		{"diverged at a finite loss", metrics, strings.Replace(divergedLine, `NaN`, `1.5`, 1),
			`:1: loss: found "1.5", expected NaN or an infinite one`},
		{"accuracy above 1", metrics, edit(metrics, `"test_accuracy":0.75`, `"test_accuracy":75`),
			":2: test_accuracy: found 75, expected 0 to 1"},
		{"validation accuracy below 0", metrics, edit(metrics, `"validation_accuracy":1`, `"validation_accuracy":-1`),
			":4: validation_accuracy: found -1, expected 0 to 1"},
		{"a loss no network has", metrics, edit(metrics, `"train_loss":1.5`, `"train_loss":1e308`),
			":2: train_loss: found 1e+308, expected 0 to 3.4028234663852886e+38"},
		{"negative time", metrics, edit(metrics, `"eval_seconds":2`, `"eval_seconds":-2`), ":2: eval_seconds: found -2, expected 0 to 1e+10"},

		{"no classes", evaluation, `{"confusion":[],"mistakes":[]}`, ": confusion: found 0 classes, expected 2 to 256"},
		{"257 classes", evaluation, `{"confusion":[` + strings.Repeat("[],", 256) + `[]]}`, ": confusion: found 257 classes, expected 2 to 256"},
		{"a ragged matrix", evaluation, `{"confusion":[[1,2],[3]]}`, ": confusion: found 1 columns in row 1, expected 2"},
		{"fewer than no images", evaluation, `{"confusion":[[1,2],[3,-1]]}`,
			": confusion: found -1 images of class 1 in one cell, expected 0 to 2000000"},
		{"a mistake of another image", evaluation, edit(evaluation, `"image":3`, `"image":4`),
			": mistakes: found {Image:4 Label:0 Predicted:1 Confidence:0.75} at position 0, expected one of 4 images, two of 2 classes"},
		{"a mistake of another class", evaluation, edit(evaluation, `"label":0`, `"label":-7`), ": mistakes: found {Image:3 Label:-7 "},
		{"a mistake of no confidence", evaluation, edit(evaluation, `0.75`, `1e300`), ": mistakes: found {Image:3 Label:0 Predicted:1 Conf"},
		{"no images", evaluation, `{"confusion":[[0,0],[0,0]]}`, ": confusion: found no images, expected at least 1"},
		{"a long evaluation", evaluation, good[evaluation] + strings.Repeat(" ", record.MaxJSON),
			": found more than 2097152 bytes, expected no more than that"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			writeRecord(t, folder, good)
			if _, err := record.Read(folder); err != nil {
				t.Fatalf("the files before the change: %v", err)
			}
			writeRecord(t, folder, map[string]string{c.file: c.text})
			record, err := record.Read(folder)
			if want := filepath.Join(folder, c.file) + c.want; err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("found error %v,\nexpected %s", err, want)
			}
			if record.Config.Epochs != 0 || record.Epochs != nil {
				t.Errorf("found the record %+v beside the error", record)
			}
			if errors.As(err, new(experiments.Problems)) {
				t.Error("the error of a file passes for one of the flags")
			}
		})
	}
}

// What is not a file is refused immediately. Package regular tests all that it may be.
func TestPipesAreRefused(t *testing.T) {
	for _, name := range []string{record.ConfigFile, record.EnvironmentFile, record.MetricsFile, record.EvaluationFile} {
		folder := t.TempDir()
		files := recordFiles()
		delete(files, name)
		writeRecord(t, folder, files)
		path := filepath.Join(folder, name)
		if err := syscall.Mkfifo(path, 0o644); err != nil {
			t.Skip(err)
		}
		if _, err := record.Read(folder); err == nil || err.Error() != path+": found a pipe, expected a file" {
			t.Errorf("found error %v for a pipe", err)
		}
	}
}

// totalAllocated is what test allocates, freed or not.
func totalAllocated(test func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	test()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Files of the largest sizes, filled with what takes the most memory for its
// length. The bounds are those of the limits, and no file may pass them.
func TestReadBoundsItsMemory(t *testing.T) {
	long := func(start, part, end string, size int) string {
		return start + strings.Repeat(part, (size-len(start)-len(end))/len(part)) + end
	}
	good := recordFiles()
	for _, c := range []struct {
		name, file, text string
		most             uint64 // MiB
	}{
		{"widths", record.ConfigFile, long(`{"layer_sizes":[`, "1,", "1]}", record.MaxJSON), 160},
		{"files", record.EnvironmentFile, long(`{"data":[`, "{},", "{}]}", record.MaxJSON), 256},
		{"rows", record.EvaluationFile, long(`{"confusion":[`, "[],", "[]]}", record.MaxJSON), 160},
		{"mistakes", record.EvaluationFile, long(`{"mistakes":[`, "{},", "{}]}", record.MaxJSON), 160},
		{"steps", record.MetricsFile, long("", `{"event":"step"`+"\n", "", 32<<20), 1},
		{"one line", record.MetricsFile, long("", `{"event":"step" `, "", 32<<20), 1},
		{"epochs", record.MetricsFile, long("", `{"event":"epoch"}`+"\n", "", 32<<20), 1},
	} {
		folder := t.TempDir()
		writeRecord(t, folder, good)
		writeRecord(t, folder, map[string]string{c.file: c.text})
		var err error
		bytes := totalAllocated(func() { _, err = record.Read(folder) })
		if err == nil && c.name != "steps" && c.name != "files" {
			t.Errorf("%s: found no error", c.name)
		}
		if bytes > c.most<<20 {
			t.Errorf("%s: found %d bytes allocated for %d bytes of %s, expected at most %d MiB", c.name, bytes, len(c.text), c.file, c.most)
		}
	}
}

func FuzzRead(f *testing.F) {
	good := recordFiles()
	names := []string{record.ConfigFile, record.EnvironmentFile, record.MetricsFile, record.EvaluationFile}
	add := func(change func(map[string]string)) {
		files := recordFiles()
		if change != nil {
			change(files)
		}
		f.Add([]byte(files[names[0]]), []byte(files[names[1]]), []byte(files[names[2]]), []byte(files[names[3]]))
	}
	add(nil)
	add(func(files map[string]string) { files[record.MetricsFile] = divergedLine })
	for _, name := range names {
		for _, text := range []string{"", "null", "{}", "[]", good[name][:len(good[name])/2], good[name] + good[name],
			strings.Repeat("[", 100), strings.Repeat(`{"a":`, 100), "\xff\xfe", `{"confusion":[[],[1]]}`} {
			add(func(files map[string]string) { files[name] = text })
		}
	}
	f.Fuzz(func(t *testing.T, config, environment, metrics, evaluation []byte) {
		folder := t.TempDir()
		writeRecord(t, folder, map[string]string{
			names[0]: string(config), names[1]: string(environment), names[2]: string(metrics), names[3]: string(evaluation),
			record.WeightsFile: "",
		})
		var read record.Record
		var err error
		size := len(config) + len(environment) + len(metrics) + len(evaluation)
		if bytes := totalAllocated(func() { read, err = record.Read(folder) }); bytes > uint64(4<<20+100*size) {
			t.Errorf("allocated %d bytes for files of %d", bytes, size)
		}
		if err != nil {
			if !strings.Contains(err.Error(), folder) {
				t.Errorf("found error %q, expected the name of a file", err)
			}
			return
		}
		checkPossible(t, read)
		// What was read says the same when it is written and read again.
		text, err := json.Marshal(read.Config)
		if err != nil {
			t.Fatal(err)
		}
		writeRecord(t, folder, map[string]string{record.ConfigFile: string(text)})
		again, err := record.Read(folder)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(again.Config)
		if !bytes.Equal(a, text) {
			t.Errorf("found the config %s, expected %s", a, text)
		}
	})
}

// checkPossible checks what the users of a record rely on.
func checkPossible(t *testing.T, r record.Record) {
	if err := r.Config.Validate(); err != nil {
		t.Error(err)
	}
	for i, epoch := range r.Epochs {
		if epoch.Epoch != i+1 {
			t.Errorf("found %+v at place %d", epoch, i)
		}
	}
	if r.Diverged != nil {
		if r.Diverged.Epoch != len(r.Epochs)+1 || r.Diverged.Epoch > r.Config.Epochs {
			t.Errorf("found %+v after %d epochs of %d", *r.Diverged, len(r.Epochs), r.Config.Epochs)
		}
		return
	}
	images := 0
	for _, row := range r.Test.Confusion {
		if len(row) != len(r.Test.Confusion) {
			t.Errorf("found the matrix %v, expected a square one", r.Test.Confusion)
		}
		for _, count := range row {
			images += count
		}
	}
	if len(r.Epochs) != r.Config.Epochs || len(r.Test.Confusion) < 2 {
		t.Errorf("found %d epochs of %d and %d classes", len(r.Epochs), r.Config.Epochs, len(r.Test.Confusion))
	}
	for _, m := range r.Test.Mistakes {
		if m.Image < 0 || m.Image >= images {
			t.Errorf("found the mistake %+v of %d images", m, images)
		}
	}
}
