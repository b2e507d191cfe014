package report

import (
	"testing"

	"epochal/experiments"
)

func TestTrainCommand(t *testing.T) {
	all := experiments.Config{
		LayerSizes: []int{1024, 512}, Activation: "tanh", Epochs: 2, LearningRate: 1e-5,
		BatchSize: 32, Normalize: true, Shuffle: false, Seed: 18446744073709551615,
		Data: "my data's", Validation: 100, Init: "start;rm", Backend: "xla:cuda", TF32: true, StepsPerCall: 3,
	}
	const expected = `epochal train --layer-sizes 1024,512 --activation tanh --epochs 2 --learning-rate 1e-05 --batch-size 32 ` +
		`--normalize --shuffle=false ` +
		`--seed 18446744073709551615 --data 'my data'\''s' --validation 100 --init 'start;rm' --backend xla:cuda --tf32 ` +
		`--steps-per-call 3 --deterministic=false`
	if found := (section{experiment: experiment{Config: all}}).TrainCommand(); found != expected {
		t.Errorf("found %s, expected %s", found, expected)
	}
}

func TestSettings(t *testing.T) {
	other := experiments.Defaults()
	other.Seed, other.Backend, other.TF32, other.StepsPerCall = 1, "go", true, 1
	deviations := func() []setting { return section{experiment: experiment{Config: other}}.Deviations() }
	if found := deviations(); len(found) > 0 {
		t.Errorf("found %v, which are chosen by who runs an experiment", found)
	}
	other.LayerSizes = []int{}
	if found := deviations(); len(found) != 1 || found[0].Name+" "+found[0].Value != "layer_sizes []" {
		t.Errorf("found %+v, expected layer_sizes []", found)
	}
}
