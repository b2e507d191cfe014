package published_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/record"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := published.Parse("mine.yaml", []byte(`# a comment
claims:
  - source: >-
      a sentence
      on two lines
    final_test_accuracy: {value: 0.98, tolerance: 5e-3}
  - crossover_epoch:
      tolerance: 1.5
      value: 3
    expected: false
  - better_than: best-normalized
  - close_to: {experiment: best, tolerance: .02}
  - class_accuracy: {class: 255, value: 1, tolerance: 1}
  - train_test_gap: {value: -0.004, tolerance: 0.003}
  - still_rising: {over: 29}
  - no_overfitting: {over: 30}
settings:
  layer_sizes: [64, 32]
  activation: tanh
  epochs: 30
  learning_rate: 1e-3
  batch_size: 16
  normalize: true
  shuffle: false
  data: my/fashion
  validation: 1000
  init: start.safetensors
why: "because: it is"
name: mine-2
`))
	if err != nil {
		t.Fatal(err)
	}
	config := experiments.Defaults()
	config.LayerSizes, config.Activation, config.Epochs, config.LearningRate = []int{64, 32}, "tanh", 30, 0.001
	config.BatchSize, config.Normalize, config.Shuffle, config.Data = 16, true, false, "my/fashion"
	config.Validation, config.Init = 1000, "start.safetensors"
	want := published.Experiment{
		Name: "mine-2", Title: "mine-2", Why: "because: it is", Config: config, Normalized: true,
		File: "mine.yaml", Line: 29, Column: 7,
		Claims: []published.Claim{
			{Kind: published.FinalTestAccuracy, Value: 0.98, Tolerance: 0.005, Source: "a sentence on two lines", Expected: true, Line: 3, Column: 5},
			{Kind: published.CrossoverEpoch, Value: 3, Tolerance: 1.5, Line: 7, Column: 5},
			{Kind: published.BetterThan, Reference: "best-normalized", Expected: true, Line: 11, Column: 5},
			{Kind: published.CloseTo, Reference: "best", Tolerance: 0.02, Expected: true, Line: 12, Column: 5},
			{Kind: published.ClassAccuracy, Class: 255, Value: 1, Tolerance: 1, Expected: true, Line: 13, Column: 5},
			{Kind: published.TrainTestGap, Value: -0.004, Tolerance: 0.003, Expected: true, Line: 14, Column: 5},
			{Kind: published.StillRising, Over: 29, Expected: true, Line: 15, Column: 5},
			{Kind: published.NoOverfitting, Over: 30, Expected: true, Line: 16, Column: 5},
		},
	}
	for i := range want.Claims {
		want.Claims[i].Epochs = 30
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// A name is all that is needed; an editor's mark at the start and Windows' line
	// ends are no problem; whole numbers do as fractions.
	got, err = published.Parse("f", []byte("\ufeffname: a\r\nsettings: {learning_rate: 1}\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	config = experiments.Defaults()
	config.LearningRate = 1
	if diff := cmp.Diff(published.Experiment{Name: "a", Title: "a", Config: config, File: "f", Line: 1, Column: 7}, got); diff != "" {
		t.Error(diff)
	}
}

const (
	kinds   = "final_test_accuracy, train_test_gap, no_overfitting, class_accuracy, crossover_epoch, still_rising, better_than, close_to"
	allKeys = "name, title, why, settings, claims"
)

func TestBadFiles(t *testing.T) {
	const settings = "name: a\nsettings:\n  "
	const claims = "name: a\nclaims:\n  - "
	for _, c := range []struct{ text, message, hint string }{
		// what is no experiment's file at all
		{"", "bad.yaml: found an empty file, expected an experiment with at least a name", ""},
		{"# nothing\n---\n", "bad.yaml: found an empty file, expected an experiment with at least a name", ""},
		{"just words\n", `bad.yaml:1:1: found "just words", expected a mapping of ` + allKeys, ""},
		{"- name: a\n", "bad.yaml:1:1: found a list, expected a mapping of " + allKeys, ""},
		{"name: a\nsettings: [1,\n", "bad.yaml:2:11: found what is not YAML: sequence end token ']' not found", ""},
		{"name: a: b\n", "bad.yaml:1:7: found what is not YAML: mapping value is not allowed in this context", ""},
		{"title: >x" + strings.Repeat("y", 1000) + "\n", `bad.yaml:1:8: found what is not YAML: invalid header option: "x` + strings.Repeat("y", 95) + "…", ""},
		{"name: a\n---\nname: b\n", "bad.yaml:3:1: found a second document, expected one", ""},
		{"name: a\ntitle: \xff\n", "bad.yaml:2:8: found the byte 0xff, expected UTF-8", ""},
		{"name: a\ntitle: \x1b[2J\n", "bad.yaml:2:8: found the control character U+001B, expected text", ""},
		{"name: a\ntitle: \"\\e[2J\"\n", "bad.yaml:2:8: title: found the control character U+001B, expected text", ""},
		{"name: a\n#" + strings.Repeat("x", published.MaxFileBytes), "bad.yaml: found more than 65536 bytes, expected an experiment's file of at most that", ""},
		{strings.Repeat("[", 60_000), "bad.yaml: found 60000 words and signs, expected at most 2048", ""},

		// keys
		{"nmae: a\n", `bad.yaml:1:1: found the key "nmae", expected one of ` + allKeys, "did you mean name?"},
		{"name: a\nseed: 3\n", `bad.yaml:2:1: found the key "seed", expected one of ` + allKeys, ""},
		{"name: a\n1: 3\n", "bad.yaml:2:1: found 1 as a key, expected one of " + allKeys, ""},
		{"name: a\n<<: {}\n", "bad.yaml:2:1: found an anchor or alias, which experiments do without as a key, expected one of " + allKeys, ""},
		{"name: a\nname: b\n", `bad.yaml:2:1: found the key "name" a second time, expected it only on line 1`, ""},
		{settings + "Epochs: 3\n", `bad.yaml:3:3: settings: found the key "Epochs", expected one of layer_sizes, activation, epochs, learning_rate, batch_size, normalize, shuffle, data, validation, init`, "did you mean epochs?"},
		{settings + "seed: 3\n", `bad.yaml:3:3: settings: found the key "seed", expected one of layer_sizes, activation, epochs, learning_rate, batch_size, normalize, shuffle, data, validation, init`, "seeds are chosen when the experiments run, the same for all of them"},
		{settings + "epochs: 3\n  epochs: 4\n", `bad.yaml:4:3: settings: found the key "epochs" a second time, expected it only on line 3`, ""},

		// types
		{"name: 12\n", "bad.yaml:1:7: name: found 12, expected a text", ""},
		{"name:\n", "bad.yaml:1:7: name: found nothing, expected a text", ""},
		{"name: ' '\n", "bad.yaml:1:7: name: found an empty text, expected some", ""},
		{"name: &x a\n", "bad.yaml:1:7: name: found an anchor or alias, which experiments do without, expected a text", ""},
		{"name: !!str 3\n", "bad.yaml:1:7: name: found a tag, which experiments do without, expected a text", ""},
		{"name: a\nwhy: [x]\n", "bad.yaml:2:6: why: found a list, expected a text", ""},
		{"name: a\nsettings:\n", "bad.yaml:2:11: settings: found nothing, expected a mapping of layer_sizes, activation, epochs, learning_rate, batch_size, normalize, shuffle, data, validation, init", ""},
		{"name: a\nclaims: {}\n", "bad.yaml:2:9: claims: found a mapping, expected a list of claims", ""},
		{settings + "learning_rate: fast\n", `bad.yaml:3:18: settings.learning_rate: found "fast", expected a number`, ""},
		{settings + "learning_rate: '1'\n", `bad.yaml:3:18: settings.learning_rate: found "1", expected a number`, ""},
		{settings + "learning_rate: .inf\n", "bad.yaml:3:18: settings.learning_rate: found .inf, expected a number", ""},
		{settings + "learning_rate: 1e999\n", "bad.yaml:3:18: settings.learning_rate: found 1e999, expected a number", ""},
		{settings + "batch_size: 32.5\n", "bad.yaml:3:15: settings.batch_size: found 32.5, expected a whole number", ""},
		{settings + "batch_size: 1_000\n", "bad.yaml:3:15: settings.batch_size: found 1_000, expected a whole number", ""},
		{settings + "batch_size: 010\n", "bad.yaml:3:15: settings.batch_size: found 010, expected a whole number", ""},
		{settings + "batch_size: 99999999999999999999\n", "bad.yaml:3:15: settings.batch_size: found 99999999999999999999, expected a whole number", ""},
		{settings + "normalize: yes\n", `bad.yaml:3:14: settings.normalize: found "yes", expected true or false`, ""},
		{settings + "layer_sizes: 512\n", "bad.yaml:3:16: settings.layer_sizes: found 512, expected a list of widths", ""},
		{settings + "layer_sizes: [512, {a: 1}]\n", "bad.yaml:3:22: settings.layer_sizes: found a mapping, expected a whole number", ""},

		// names and settings that cannot be
		{"title: x\n", "bad.yaml:1:1: found no name, expected one", ""},
		{"name: ../best\n", `bad.yaml:1:7: name: found "../best", expected at most 64 lower-case letters, digits and single hyphens between them`, ""},
		{"name: " + strings.Repeat("a", 65) + "\n", `bad.yaml:1:7: name: found "` + strings.Repeat("a", 40) + `…", expected at most 64 lower-case letters, digits and single hyphens between them`, ""},
		{settings + "batch_size: 0\n", "bad.yaml:3:15: settings: batch_size: found 0, expected 1 to 65536", ""},
		{settings + "learning_rate: -1\n", "bad.yaml:3:18: settings: learning_rate: found -1.0, expected a finite number above 0 in float32", ""},
		{settings + "activation: swish\n", `bad.yaml:3:15: settings: activation: found "swish", expected relu, sigmoid, tanh`, ""},
		{settings + "layer_sizes: [512, 0]\n", "bad.yaml:3:16: settings: layer_sizes: found 0, expected 1 to 65536", ""},
		{settings + "layer_sizes: [65536, 65536]\n", "bad.yaml:3:16: settings: layer sizes: found 4347133962 parameters, expected at most 268435456", ""},

		// claims
		{claims + "source: x\n", "bad.yaml:3:5: claims: found a claim of no kind, expected one of " + kinds, ""},
		{claims + "better_than: b\n    still_rising: {over: 1}\n", "bad.yaml:4:5: claims: found better_than and still_rising in one claim, expected one kind", ""},
		{claims + "final_accuracy: {}\n", `bad.yaml:3:5: claims: found the key "final_accuracy", expected one of ` + kinds + ", source, expected", ""},
		{claims + "better_then: b\n", `bad.yaml:3:5: claims: found the key "better_then", expected one of ` + kinds + ", source, expected", "did you mean better_than?"},
		{claims + "better_than: [b]\n", "bad.yaml:3:18: better_than: found a list, expected a text", ""},
		{claims + "better_than\n", `bad.yaml:3:5: claims: found "better_than", expected a mapping of ` + kinds + ", source, expected", ""},
		{claims + "final_test_accuracy: 0.9\n", "bad.yaml:3:26: final_test_accuracy: found 0.9, expected a mapping of value, tolerance", ""},
		{claims + "final_test_accuracy: {value: 0.9}\n", "bad.yaml:3:26: final_test_accuracy: found no tolerance, expected value, tolerance", ""},
		{claims + "final_test_accuracy: {}\n", "bad.yaml:3:26: final_test_accuracy: found no value, expected value, tolerance", ""},
		{claims + "final_test_accuracy: {value: 0.9, tolerance: 0.1, over: 3}\n", `bad.yaml:3:55: final_test_accuracy: found the key "over", expected one of value, tolerance`, ""},
		{claims + "final_test_accuracy: {value: high, tolerance: 0.1}\n", `bad.yaml:3:34: final_test_accuracy.value: found "high", expected a number`, ""},
		{claims + "final_test_accuracy: {value: 89.4, tolerance: 0.4}\n", "bad.yaml:3:34: final_test_accuracy.value: found 89.4, expected 0 to 1", "accuracies are fractions: did you mean 0.894?"},
		{claims + "final_test_accuracy: {value: -0.1, tolerance: 0.4}\n", "bad.yaml:3:34: final_test_accuracy.value: found -0.1, expected 0 to 1", ""},
		{claims + "final_test_accuracy: {value: 0.9, tolerance: -0.1}\n", "bad.yaml:3:50: final_test_accuracy.tolerance: found -0.1, expected above 0, at most 1", ""},
		{claims + "final_test_accuracy: {value: 0.9, tolerance: 0}\n", "bad.yaml:3:50: final_test_accuracy.tolerance: found 0, expected above 0, at most 1", ""},
		{claims + "train_test_gap: {value: -1.5, tolerance: 0.1}\n", "bad.yaml:3:29: train_test_gap.value: found -1.5, expected -1 to 1", "accuracies are fractions: did you mean -0.015?"},
		{claims + "class_accuracy: {class: 10, value: 0.9, tolerance: 0.1}\n", "bad.yaml:3:29: class_accuracy.class: found 10, expected 0 to 9", ""},
		{claims + "class_accuracy: {class: 256, value: 0.9, tolerance: 0.1}\nsettings: {data: folder}\n", "bad.yaml:3:29: class_accuracy.class: found 256, expected 0 to 255", ""},
		{claims + "crossover_epoch: {value: 21, tolerance: 1}\n", "bad.yaml:3:30: crossover_epoch.value: found 21, expected 1 to 20", ""},
		{claims + "crossover_epoch: {value: 7.5, tolerance: 1}\n", "bad.yaml:3:30: crossover_epoch.value: found 7.5, expected a whole number", ""},
		{claims + "crossover_epoch: {value: 6, tolerance: 9}\nsettings: {epochs: 8}\n", "bad.yaml:3:44: crossover_epoch.tolerance: found 9, expected above 0, at most 8", ""},
		{claims + "still_rising: {over: 20}\n", "bad.yaml:3:26: still_rising.over: found 20, expected 1 to 19", ""},
		{claims + "still_rising: {over: 1}\nsettings: {epochs: 1}\n", "bad.yaml:3:26: still_rising.over: found a rise in an experiment of 1 epoch, expected at least 2 epochs", ""},
		{claims + "no_overfitting: {over: 21}\n", "bad.yaml:3:28: no_overfitting.over: found 21, expected 1 to 20", ""},
		{claims + "close_to: {experiment: b, tolerance: 2}\n", "bad.yaml:3:42: close_to.tolerance: found 2, expected above 0, at most 1", "accuracies are fractions: did you mean 0.02?"},
		{claims + "better_than: b\n    expected: perhaps\n", `bad.yaml:4:15: expected: found "perhaps", expected true or false`, ""},
		{claims + "better_than: b\n    source: 3\n", "bad.yaml:4:13: source: found 3, expected a text", ""},
		{claims + "class_accuracy: {class: 3, value: 0.9, tolerance: 0.1}\n  - class_accuracy: {class: 3, value: 0.8, tolerance: 0.1}\n", "bad.yaml:4:5: claims: found the accuracy of digit 3 a second time, expected it only on line 3", ""},
	} {
		_, err := published.Parse("bad.yaml", []byte(c.text))
		if err == nil {
			t.Errorf("%.80q: found no error, expected %q", c.text, c.message)
			continue
		}
		if err.Error() != c.message {
			t.Errorf("%.80q:\n   found %s\nexpected %s", c.text, err, c.message)
		}
		var problem *published.Error
		if !errors.As(err, &problem) || problem.Hint() != c.hint {
			t.Errorf("%.80q: found %#v, expected the hint %q", c.text, err, c.hint)
		}
	}
}

// TestEverySettingIsDecided fails when Config gets a field of which nobody decided
// whether an experiment's file may set it.
func TestEverySettingIsDecided(t *testing.T) {
	config := reflect.TypeFor[experiments.Config]()
	for i := range config.NumField() {
		key := config.Field(i).Tag.Get("json")
		_, err := published.Parse("f", []byte("name: a\nsettings: {"+key+": }\n"))
		var problem *published.Error
		if !errors.As(err, &problem) {
			t.Fatalf("%s: found %v, expected an error", key, err)
		}
		if strings.Contains(problem.Text, "found the key") && !strings.Contains(problem.Advice, "chosen when the experiments run") {
			t.Errorf("%s: found %q, expected a setting or advice why it is none", key, problem.Text)
		}
	}
}

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "mine.yaml")
	if err := os.WriteFile(path, []byte("name: mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := published.Load(path)
	if err != nil || e.Name != "mine" || e.File != path {
		t.Errorf("found %q in %q, %v, expected mine in %q", e.Name, e.File, err, path)
	}
	if err := os.WriteFile(path, []byte("name: mine\n#"+strings.Repeat("x", 1<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	want := path + ": found more than 65536 bytes, expected an experiment's file of at most that"
	if _, err := published.Load(path); err == nil || err.Error() != want {
		t.Errorf("found %v, expected %s", err, want)
	}
	if _, err := published.Load(filepath.Join(folder, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, expected that there is no such file", err)
	}
}

// TestHostileFilesAreQuick shows that the bounds hold where goccy/go-yaml takes
// time that grows with the square of the depth.
func TestHostileFilesAreQuick(t *testing.T) {
	for _, part := range []string{"[", "{", "- ", "? ", "a: ", "!a ", "&a ", "[]", "\"\\", "a\n", "#\n", "a: b\n"} {
		for _, size := range []int{2000, published.MaxFileBytes} {
			text := strings.Repeat(part, size/len(part))
			start := time.Now()
			if _, err := published.Parse("f", []byte(text)); err == nil {
				t.Errorf("%d bytes of %q: found no error, expected one", size, part)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("%d bytes of %q: took %v, expected well below a second", size, part, took)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range embedded(f) {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		"", "name: a", "name: &a x\nwhy: *a", "name: !!str a", "name: a\nclaims: [{better_than: b}]", "? name\n: a", "{name: a, name: b}",
		"name: a\nsettings: {layer_sizes: [[1]], epochs: 0x10, learning_rate: 1e-3}", "name: |\n  a\n", "name: a\n...\n---\n", "%YAML 1.2\n---\nname: a",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := published.Parse("f.yaml", text)
		if err != nil {
			var problem *published.Error
			if !errors.As(err, &problem) || problem.File != "f.yaml" || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 1000 {
				t.Fatalf("found the error %q, expected one line that names the file", err)
			}
			return
		}
		if err := e.Config.Validate(); err != nil {
			t.Fatalf("found the config %v, expected a valid one", err)
		}
		if e.Name == "" || e.Title == "" || e.Line < 1 || e.Column < 1 {
			t.Fatalf("found %+v, expected name, title and place", e)
		}
		for _, c := range e.Claims {
			if c.String() == "" || c.Published() == "" || c.Line < 1 || c.Column < 1 {
				t.Fatalf("found the claim %+v, expected words and a place", c)
			}
			if j := c.Judge([]float64{0.5, 0.6}, 1); j.Verdict == "" || j.Reason == "" {
				t.Fatalf("found the judgement %+v, expected a verdict", j)
			}
			if _, ok := c.Measure(record.Record{}, record.Record{}); ok {
				t.Fatalf("found that %v can be measured on no run", c)
			}
		}
		again, err := published.Parse("f.yaml", text)
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("found %+v, %v the second time, expected %+v", again, err, e)
		}
	})
}
