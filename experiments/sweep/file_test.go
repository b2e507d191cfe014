package sweep_test

import (
	"errors"
	"strings"
	"testing"

	"epochal/experiments/strict"
	"epochal/experiments/sweep"

	"github.com/google/go-cmp/cmp"
)

const everything = `
name: widths
settings: {epochs: 10, data: mnist, activation: tanh}
grid:
  layer_sizes: [[], [128], [512, 512]]
  normalize: [true, false]
random:
  count: 4
  seed: 7
  parameters:
    learning_rate: {log_uniform: [1e-3, 1]}
    batch_size: {uniform: [16, 64]}
    shuffle: {choice: [true]}
seeds: [3, 5]
validation: 1000
rank_by: validation_loss
stop: {rule: halving, at: [2, 5], eta: 3}
`

func TestParse(t *testing.T) {
	p, err := sweep.Parse("x.yaml", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := p.Check()
	if err != nil {
		t.Fatal(err)
	}
	if len(settings) != 3*2*4 || p.Name != "widths" || p.RankBy != sweep.ValidationLoss || p.Base.Validation != 1000 {
		t.Errorf("found %d settings of %+v", len(settings), p)
	}
	if d := cmp.Diff(sweep.Stop{Rule: sweep.Halving, At: []int{2, 5}, Eta: 3}, p.Stop); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"layer_sizes", "learning_rate", "batch_size", "normalize", "shuffle"}, p.Swept()); d != "" {
		t.Error(d)
	}
	for _, s := range settings {
		c := s.Config
		if c.LearningRate < 1e-3 || c.LearningRate > 1 || c.BatchSize < 16 || c.BatchSize > 64 || c.Epochs != 10 || c.Activation != "tanh" {
			t.Errorf("found %+v", c)
		}
	}
	// More draws and another parameter keep what was drawn.
	more, err := sweep.Parse("x.yaml", []byte(strings.Replace(everything, "count: 4", "count: 40", 1)))
	if err != nil {
		t.Fatal(err)
	}
	grown, err := more.Check()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, s := range grown {
		known[p.Describe(s.Config)] = true
	}
	for _, s := range settings {
		if !known[p.Describe(s.Config)] {
			t.Errorf("found no %s in the plan that grew", p.Describe(s.Config))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "p.yaml: found an empty file, expected a plan with at least grid or random"},
		{"settings: {epochs: 3}", "p.yaml:1:1: found no setting in grid or random"},
		{"grid: {}\nrandom: {count: 3, parameters: {}}", "p.yaml:1:1: found no setting in grid or random"},
		{"grid: {learning_rat: [1]}", "p.yaml:1:22: found the key \"learning_rat\""},
		{"grid: {learning_rate: 1}", "p.yaml:1:23: learning_rate: found \"1\", expected a list of values"},
		{"grid: {learning_rate: [0.1, -1]}", "p.yaml:1:29: learning_rate: found -1.0, expected a finite number above 0"},
		{"grid: {learning_rate: [0.1, 1e-1]}", "p.yaml:1:29: learning_rate: found 0.1 twice"},
		{"grid: {batch_size: [1.5]}", "p.yaml:1:21: found \"1.5\", expected a whole number"},
		{"grid: {layer_sizes: [[0]]}", "p.yaml:1:22: layer_sizes: found 0 neurons in layer 1, expected 1 to"},
		{"grid: {seed: [1, 2]}", "p.yaml:1:14: found the key \"seed\""},
		{"grid: {data: [a, b]}", "p.yaml:1:14: found the key \"data\""},
		{"grid: {batch_size: [1]}\nrank_by: test_accuracy", "p.yaml:2:10: rank_by: found \"test_accuracy\""},
		{"grid: {batch_size: [1]}\nseeds: 0", "p.yaml:2:8: seeds: found 0, expected 1 to 1000"},
		{"grid: {batch_size: [1]}\nseeds: [1, 1]", "p.yaml:2:12: seeds: found 1, expected numbers of 0 or more, each once"},
		{"grid: {batch_size: [1]}\nvalidation: 0", "p.yaml:2:13: validation: found 0"},
		{"grid: {batch_size: [1]}\nname: A b", "p.yaml:2:7: name: found \"A b\""},
		{"grid: {batch_size: [1]}\nstop: {rule: best, at: [2]}", "p.yaml:2:14: rule: found \"best\""},
		{"grid: {batch_size: [1]}\nstop: {rule: median, at: [20]}", "p.yaml:2:26: at: found 20, expected epochs in ascending order, 1 to 19"},
		{"grid: {batch_size: [1]}\nstop: {rule: median, at: [3, 2]}", "p.yaml:2:26: at: found 2"},
		{"grid: {batch_size: [1]}\nstop: {rule: median, at: [3], eta: 2}", "p.yaml:2:36: eta: found it with rule median"},
		{"grid: {batch_size: [1]}\nstop: {rule: halving, at: [3], eta: 1}", "p.yaml:2:37: eta: found 1"},
		{"grid: {epochs: [4, 5]}\nstop: {rule: median, at: [3]}", "p.yaml:2:14: stop: found runs of different epochs"},
		{"random: {count: 2}", "p.yaml:1:9: random: expected count and parameters in it"},
		{"random: {count: 0, parameters: {batch_size: {choice: [1]}}}", "p.yaml:1:17: count: found 0"},
		{"random: {count: 2, parameters: {batch_size: {uniform: [9, 1]}}}", "p.yaml:1:55: uniform: found 9.0 to 1.0"},
		{"random: {count: 2, parameters: {activation: {uniform: [relu, tanh]}}}", "p.yaml:1:55: activation: found uniform, expected choice"},
		{"random: {count: 2, parameters: {batch_size: {uniform: [1, 2], choice: [1]}}}", "p.yaml:1:45: batch_size: found 2 ways to draw it"},
		{"grid: {batch_size: [1]}\nrandom: {count: 2, parameters: {batch_size: {choice: [1]}}}",
			"p.yaml:2:45: batch_size: found it in grid and in random"},
		{"random: {count: 900000, parameters: {learning_rate: {uniform: [0.1, 1]}}}",
			"p.yaml:1:1: runs: found 2700000, expected at most 1000000"},
	} {
		_, err := sweep.Parse("p.yaml", []byte(c.text))
		var problem *strict.Error
		if !errors.As(err, &problem) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s\nfound error %v\nexpected %s", c.text, err, c.want)
		}
	}
	for text, name := range map[string]string{"My Plan_2.yaml": "my-plan-2", "...": "unnamed"} {
		if p, err := sweep.Parse(text, []byte("grid: {batch_size: [1, 2]}\nstop: off")); err != nil || p.Name != name {
			t.Errorf("%s: found the name %q and error %v, expected %s", text, p.Name, err, name)
		}
	}
}

// Whatever the file, there is a plan or an error that can be printed, and soon.
func FuzzParse(f *testing.F) {
	f.Add(everything)
	f.Add("grid: {layer_sizes: [[1], [2, 3]]}\nseeds: [1, 2]\nstop: {rule: median, at: [1]}")
	f.Add("random: {count: 3, parameters: {init: {choice: [a, \"\"]}}}")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := sweep.Parse("f.yaml", []byte(text))
		if err != nil {
			if err.Error() == "" {
				t.Error("found an error without text")
			}
			return
		}
		settings, err := p.Check()
		if err != nil || len(settings) == 0 {
			t.Errorf("found %d settings and error %v of a plan that was accepted", len(settings), err)
		}
	})
}
