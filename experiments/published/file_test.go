package published_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/strict"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// unexported leaves out where an experiment is written.
var unexported = cmpopts.IgnoreUnexported(published.Experiment{})

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
why: "because:\e it\n is"
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
		Name: "mine-2", Title: "mine-2", Why: "because: it is", Config: config, File: "mine.yaml",
		Claims: []published.Claim{
			{Kind: published.FinalTestAccuracy, Value: 0.98, Tolerance: 0.005, Source: "a sentence on two lines", Expected: true},
			{Kind: published.CrossoverEpoch, Value: 3, Tolerance: 1.5},
			{Kind: published.BetterThan, Reference: "best-normalized", Expected: true},
			{Kind: published.CloseTo, Reference: "best", Tolerance: 0.02, Expected: true},
			{Kind: published.ClassAccuracy, Class: 255, Value: 1, Tolerance: 1, Expected: true},
			{Kind: published.TrainTestGap, Value: -0.004, Tolerance: 0.003, Expected: true},
			{Kind: published.StillRising, Over: 29, Expected: true},
			{Kind: published.NoOverfitting, Over: 30, Expected: true},
		},
	}
	for i := range want.Claims {
		want.Claims[i].Epochs = 30
	}
	if diff := cmp.Diff(want, got, unexported); diff != "" {
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
	if diff := cmp.Diff(published.Experiment{Name: "a", Title: "a", Config: config, File: "f"}, got, unexported); diff != "" {
		t.Error(diff)
	}
}

// kindNames are the kinds as errors list them.
const kindNames = "final_test_accuracy, train_test_gap, no_overfitting, class_accuracy, " +
	"crossover_epoch, still_rising, better_than, close_to, better_when_shifted, better_when_rotated"

// Every wrong file gives one error that names the place, what was found and what
// was expected; the hint stands after a "; ".
func TestBadFiles(t *testing.T) {
	const settings, claims = "name: a\nsettings:\n  ", "name: a\nclaims:\n  - "
	for _, c := range []struct{ text, want string }{
		// what is no experiment's file at all
		{"", ": found an empty file, expected an experiment with at least a name"},
		{"# nothing\n---\n", ": found an empty file, expected an experiment with at least a name"},
		{"just words\n", ":1:1: found text, expected fields"},
		{"- name: a\n", ":1:1: found a list, expected fields"},
		{"name: a\nsettings: [1,\n", ":2:11: sequence end token ']' not found"},
		{"name: a: b\n", ":1:7: mapping value is not allowed in this context"},
		{"name: a\n---\nname: b\n", ":3:1: found a second document, expected one"},
		{"name: a\ntitle: \xff\n", ": found bytes that are not UTF-8, expected text"},
		{"name: a\n#" + strings.Repeat("x", strict.MaxFileBytes),
			": found more than 65536 bytes, expected no more than that"},
		{strings.Repeat("[", 60_000), ": found 60000 YAML tokens, expected at most 2048"},

		// keys
		{"nmae: a\n", `:1:1: unknown field "nmae"`},
		{"name: a\nseed: 3\n", `:2:1: unknown field "seed"`},
		{"name: a\n1: 3\n", ":1:1: found no name, expected one"}, // the library takes no key that is a number
		{"name: a\n<<: {}\n", ":2:1: found an anchor, an alias or a tag, expected a plain value"},
		{"name: a\nname: b\n", `:2:1: mapping key "name" already defined at [1:1]`},
		{settings + "Epochs: 3\n", `:3:3: unknown field "Epochs"`},
		{settings + "epochs: 3\n  epochs: 4\n", `:4:3: mapping key "epochs" already defined at [3:3]`},

		// types
		{"name:\n", ":1:7: found nothing, expected a value"},
		{"name: ' '\n", ":1:7: name: found \" \", expected at most 64 lower-case letters, digits and single hyphens between them"},
		{"name: &x a\n", ":1:7: found an anchor, an alias or a tag, expected a plain value"},
		{"name: a\nsettings: {batch_size: &x 3, epochs: *x}\n", ":2:24: found an anchor, an alias or a tag, expected a plain value"},
		{"name: !!str 3\n", ":1:7: found an anchor, an alias or a tag, expected a plain value"},
		{"name: a\nwhy: [x]\n", `:2:6: found "[", expected text`},
		{"name: a\nsettings:\n", ":2:11: found nothing, expected a value"},
		{"name: a\nsettings: 3\n", ":2:11: found a number, expected fields"},
		{"name: a\nclaims: {}\n", ":2:9: found fields, expected a list"},
		{settings + "learning_rate: fast\n", `:3:18: found "fast", expected a number`},
		{settings + "learning_rate: '1'\n", `:3:18: found "1", expected a number`},
		{settings + "learning_rate: .inf\n", `:3:18: found ".inf", expected a number`},
		{settings + "learning_rate: 1e999\n", `:3:18: found "1e999", expected a number`},
		{settings + "batch_size: 3.5\n", `:3:15: found "3.5", expected a whole number`},
		{settings + "batch_size: 3.0\n", `:3:15: found "3.0", expected a whole number`},
		{settings + "batch_size: 1e2\n", `:3:15: found "1e2", expected a whole number`},
		{settings + "batch_size: \"64\"\n", `:3:15: found "64", expected a whole number`},
		{settings + "batch_size: .nan\n", `:3:15: found ".nan", expected a whole number`},
		{settings + "batch_size: 1_000\n", `:3:15: found "1_000", expected a whole number`},
		{settings + "batch_size: 010\n", `:3:15: found "010", expected a whole number`},
		{settings + "batch_size: 0x10\n", `:3:15: found "0x10", expected a whole number`},
		{settings + "batch_size: 99999999999999999999\n", `:3:15: found "99999999999999999999", expected a whole number`},
		{settings + "batch_size: null\n", ":3:15: found nothing, expected a value"},
		{settings + "batch_size: [64]\n", `:3:15: found "[", expected a whole number`},
		{settings + "batch_size: true\n", `:3:15: found "true", expected a whole number`},
		{settings + "normalize: yes\n", `:3:14: found "yes", expected true or false`},
		{settings + "normalize: 1\n", `:3:14: found "1", expected true or false`},
		{settings + "layer_sizes: 512\n", ":3:16: found a number, expected a list"},
		{settings + "layer_sizes: [512, 3.5]\n", `:3:22: found "3.5", expected a whole number`},

		// names and settings that cannot be
		{"title: x\n", ":1:1: found no name, expected one"},
		{"name: ../best\n", `:1:7: name: found "../best", expected at most 64 lower-case letters, digits and single hyphens between them`},
		{"name: " + strings.Repeat("a", 65) + "\n",
			`:1:7: name: found "` + strings.Repeat("a", 40) + `", expected at most 64 lower-case letters, digits and single hyphens between them`},
		{settings + "batch_size: 0\n", ":3:15: batch_size: found 0, expected 1 to 65536"},
		{settings + "learning_rate: -1\n", ":3:18: learning_rate: found -1.0, expected a finite number above 0 in float32"},
		{settings + "activation: swish\n", `:3:15: activation: found "swish", expected relu, sigmoid, tanh`},
		{settings + "layer_sizes: [512, 0]\n", ":3:16: layer_sizes: found 0 neurons in layer 2, expected 1 to 65536 neurons"},
		{settings + "layer_sizes: [65536, 65536]\n", ":3:16: layer sizes: found 4347133962 parameters, expected at most 268435456"},

		// claims
		{claims + "source: x\n", ":3:5: found a claim of no kind, expected one of " + kindNames},
		{claims + "better_than: b\n    still_rising: {over: 1}\n",
			":3:5: found still_rising and better_than in one claim, expected one kind"},
		{claims + "better_then: b\n",
			`:3:18: found the key "better_then", expected one of source, expected, ` + kindNames + `; did you mean better_than?`},
		{claims + "better_than: [b]\n", `:3:18: found "[", expected text`},
		{claims + "better_than\n", ":3:5: found text, expected fields"},
		{claims + "final_test_accuracy: 0.9\n", ":3:26: found a number, expected fields"},
		{claims + "final_test_accuracy: {value: 0.9}\n", ":3:26: found no tolerance, expected value, tolerance"},
		{claims + "final_test_accuracy: {value: 0.9, tolerance: 0.1, over: 3}\n",
			`:3:61: found the key "over", expected one of value, tolerance`},
		{claims + "final_test_accuracy: {value: high, tolerance: 0.1}\n", `:3:34: found "high", expected a number`},
		{claims + "final_test_accuracy: {value: 89.4, tolerance: 0.4}\n",
			":3:34: found 89.4, expected 0 to 1; accuracies are fractions: did you mean 0.894?"},
		{claims + "final_test_accuracy: {value: 0.9, tolerance: 0}\n", ":3:50: found 0, expected 1e-06 to 1"},
		{claims + "train_test_gap: {value: -1.5, tolerance: 0.1}\n",
			":3:29: found -1.5, expected -1 to 1; accuracies are fractions: did you mean -0.015?"},
		{claims + "class_accuracy: {class: 10, value: 0.9, tolerance: 0.1}\n", ":3:29: found 10, expected 0 to 9"},
		{claims + "class_accuracy: {class: 256, value: 0.9, tolerance: 0.1}\nsettings: {data: folder}\n",
			":3:29: found 256, expected 0 to 255"},
		{claims + "crossover_epoch: {value: 21, tolerance: 1}\n", ":3:30: found 21, expected 1 to 20"},
		{claims + "crossover_epoch: {value: 7.5, tolerance: 1}\n", `:3:30: found "7.5", expected a whole number`},
		{claims + "crossover_epoch: {value: 6, tolerance: 9}\nsettings: {epochs: 8}\n", ":3:44: found 9, expected 1e-06 to 8"},
		{claims + "still_rising: {over: 20}\n", ":3:26: found 20, expected 1 to 19"},
		{claims + "still_rising: {over: 1}\nsettings: {epochs: 1}\n",
			":3:26: found an experiment of 1 epoch, expected more for this kind of claim"},
		{claims + "no_overfitting: {over: 21}\n", ":3:28: found 21, expected 1 to 20"},
		{claims + "close_to: {experiment: b, tolerance: 2}\n",
			":3:42: found 2, expected 1e-06 to 1; accuracies are fractions: did you mean 0.02?"},
		{claims + "better_than: b\n    expected: perhaps\n", `:4:15: found "perhaps", expected true or false`},
	} {
		_, err := published.Parse("bad.yaml", []byte(c.text))
		want, hint, _ := strings.Cut(c.want, "; ")
		checkError(t, err, "bad.yaml"+want, hint)
	}
	_, err := published.Parse("bad.yaml", []byte(settings+"batch_size: 3.5\ntitle: x\n"))
	want := `bad.yaml:3:15: found "3.5", expected a whole number
   1 | name: a
   2 | settings:
>  3 |   batch_size: 3.5
                     ^
   4 | title: x`
	if err == nil || err.Error() != want {
		t.Errorf("found\n%v\nexpected\n%s", err, want)
	}
}

// TestEverySettingIsDecided fails when Config gets a field of which nobody decided
// whether an experiment's file may set it.
func TestEverySettingIsDecided(t *testing.T) {
	// For no experiment, or chosen when the experiments run.
	later := []string{"patience", "seed", "backend", "tf32", "steps_per_call", "deterministic"}
	config := reflect.TypeFor[experiments.Config]()
	for i := range config.NumField() {
		key, _, _ := strings.Cut(config.Field(i).Tag.Get("json"), ",")
		_, err := published.Parse("f", []byte("name: a\nsettings: {"+key+": {}}\n"))
		if unknown := strings.Contains(fmt.Sprint(err), "unknown field"); err == nil || unknown != slices.Contains(later, key) {
			t.Errorf("%s: found %v, expected a setting, or one that is chosen later", key, err)
		}
	}
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	folder := t.TempDir()
	long, pipe := filepath.Join(folder, "long.yaml"), filepath.Join(folder, "pipe.yaml")
	if err := os.WriteFile(long, []byte("name: mine\n#"+strings.Repeat("x", 1<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Skip(err)
	}
	for file, want := range map[string]string{
		long:                             long + ": found more than 65536 bytes, expected no more than that",
		filepath.Join(folder, "no.yaml"): "open " + folder + "/no.yaml: no such file",
		// Opening a pipe would wait for whoever writes to it, and a device never ends.
		pipe:        pipe + ": found a pipe, expected a file",
		"/dev/zero": "/dev/zero: found a device, expected a file",
	} {
		if _, err := published.Known(file); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("found %v, expected %s", err, want)
		}
	}
}

// laughs is the YAML that a reader which follows aliases blows up to 9 to the
// power of levels words.
func laughs(levels int) string {
	var text strings.Builder
	text.WriteString("why: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	for i := 1; i < levels; i++ {
		fmt.Fprintf(&text, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 8), i-1)
	}
	return text.String()
}

// What a file takes to be read, in time and in memory, is bounded by its length,
// which is bounded as well, and by the number of its tokens: goccy/go-yaml
// takes time that grows with the square of the depth.
func TestHostileFilesTakeLittle(t *testing.T) {
	longest := func(part string) string { return strings.Repeat(part, strict.MaxFileBytes/len(part)) }
	texts := map[string]string{
		"billion laughs":       laughs(10),
		"laughs in a setting":  "name: a\nsettings: {layer_sizes: &a [1], activation: *a}\n",
		"an alias of itself":   "name: &a [*a]\n",
		"merged":               "name: &a {b: c}\nsettings:\n  <<: *a\n",
		"aliases":              "name: &a x\nwhy: [" + strings.Repeat("*a, ", 400) + "]\n",
		"deep mapping":         longest("{a: "),
		"one line":             "name: " + longest("x"),
		"one comment":          "#" + longest("x"),
		"blank lines":          longest("\n"),
		"a long text":          "name: a\nwhy: |\n" + longest("  x\n"),
		"many documents":       longest("---\n"),
		"longer than it may":   longest("a") + "aa",
		"an endless number":    "name: a\nsettings: {epochs: " + strings.Repeat("9", 60_000) + "}\n",
		"a number of zeros":    "name: a\nsettings: {learning_rate: 0." + strings.Repeat("0", 60_000) + "1}\n",
		"an enormous exponent": "name: a\nsettings: {learning_rate: 1e" + strings.Repeat("9", 60_000) + "}\n",
		"a name near nothing":  "name: a\nclaims: [{" + strings.Repeat("better_than", 5_000) + ": b}]\n",
	}
	for _, part := range []string{"[", "{", "- ", "? ", "a: ", "!a ", "&a ", "[]", "\"\\", "a", "a\n", "#\n", "a: b\n"} {
		texts[fmt.Sprintf("repeated %q", part)] = strings.Repeat(part, 2000/len(part))
		texts[fmt.Sprintf("repeated %q, as long as can be", part)] = longest(part)
	}
	for name, text := range texts {
		start := time.Now()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := published.Parse("f", []byte(text))
		runtime.ReadMemStats(&after)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: took %v, expected well below a second", name, took)
		}
		if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 96<<20 {
			t.Errorf("%s: found %d bytes allocated for a file of %d", name, bytes, len(text))
		}
		var problem *published.Error
		manyLines := strings.Contains(name, `"a\n"`) // one text, and all of its lines are the place
		if !errors.As(err, &problem) || len(err.Error()) > 4000 && !manyLines {
			t.Errorf("%s: found error %.4000v, expected a short one that says what is wrong", name, err)
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
		"name: a\nsettings: {layer_sizes: [[1]], epochs: 0x10, learning_rate: 1e-3}",
		"name: |\n  a\n", "name: a\n...\n---\n", "%YAML 1.2\n---\nname: a",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := published.Parse("f.yaml", text)
		if err != nil {
			var problem *published.Error
			if !errors.As(err, &problem) || problem.File != "f.yaml" || len(err.Error()) > 4000 {
				t.Fatalf("found the error %q, expected a short one that names the file", err)
			}
			return
		}
		if err := e.Config.Validate(); err != nil {
			t.Fatalf("found the config %v, expected a valid one", err)
		}
		if e.Name == "" || e.Title == "" {
			t.Fatalf("found %+v, expected name and title", e)
		}
		for _, c := range e.Claims {
			if c.String() == "" || c.Published() == "" {
				t.Fatalf("found the claim %+v, expected words", c)
			}
			if j := c.Judge([]float64{0.5, 0.6}, 1); j.Verdict == "" || j.Reason == "" {
				t.Fatalf("found the judgement %+v, expected a verdict", j)
			}
			run := runOf(make([]float64, e.Config.Epochs), make([]float64, e.Config.Epochs))
			value := c.Measure(run, run)
			if math.IsNaN(value) && c.Kind != published.ClassAccuracy && c.By == 0 {
				t.Fatalf("%v: found %v", c, value)
			}
		}
		again, err := published.Parse("f.yaml", text)
		if err != nil || cmp.Diff(e, again, unexported) != "" {
			t.Fatalf("found %+v, %v the second time, expected %+v", again, err, e)
		}
	})
}
