package report

import (
	"reflect"
	"strings"
	"testing"

	"epochal/experiments"
)

func TestTrainCommand(t *testing.T) {
	all := experiments.Config{
		LayerSizes: []int{1024, 512}, Activation: "tanh", Epochs: 2, LearningRate: 1e-5,
		BatchSize: 32, Normalize: true, Shuffle: false, Seed: 18446744073709551615,
		Data: "my data's", Validation: 100, Init: "start;rm", Backend: "auto", TF32: true, StepsPerCall: 3,
	}
	for _, test := range []struct {
		config   experiments.Config
		expected string
	}{
		{experiments.Defaults(), "epochal train --seed 0 --backend auto"},
		{all, `epochal train --layer-sizes 1024,512 --activation tanh --epochs 2 --learning-rate 1e-05 --batch-size 32 ` +
			`--normalize --shuffle=false ` +
			`--seed 18446744073709551615 --data 'my data'\''s' --validation 100 --init 'start;rm' --backend auto --tf32 --steps-per-call 3`},
	} {
		if found := trainCommand(test.config); found != test.expected {
			t.Errorf("found %s, expected %s", found, test.expected)
		}
	}
	none := experiments.Defaults()
	none.LayerSizes = []int{}
	if found := trainCommand(none); !strings.Contains(found, "--layer-sizes '' ") {
		t.Errorf("found %s for a network without hidden layers", found)
	}
}

func TestSettings(t *testing.T) {
	all := settings(experiments.Defaults())
	if expected := reflect.TypeFor[experiments.Config]().NumField(); len(all) != expected {
		t.Errorf("found %d settings, expected %d", len(all), expected)
	}
	for _, s := range all {
		if s.Name == "" || s.Value == "" {
			t.Errorf("found the setting %+v", s)
		}
	}
	if found := deviations(experiments.Defaults()); len(found) > 0 {
		t.Errorf("found %v in which attempt 1 differs from itself", found)
	}
	other := experiments.Defaults()
	other.Seed, other.Backend, other.TF32, other.StepsPerCall = 1, "go", true, 1
	if found := deviations(other); len(found) > 0 {
		t.Errorf("found %v, which are chosen by who runs an experiment", found)
	}
	other.LayerSizes = []int{}
	if found := deviations(other); len(found) != 1 || found[0].Name+" "+found[0].Value != "layer_sizes []" {
		t.Errorf("found %+v, expected layer_sizes []", found)
	}
}
