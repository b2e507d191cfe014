package published

import (
	"fmt"
	"math"
	"slices"

	"epochal/experiments"
	"epochal/experiments/evaluate"
	"epochal/experiments/record"
	"epochal/experiments/report/words"
	"epochal/experiments/study"
)

// Schema is the version of results.json.
const Schema = 2

// Results are what reproductions in one folder found: results.json.
type Results struct {
	Schema      int                `json:"schema"`      // Schema
	Command     string             `json:"command"`     // the last one
	Quick       bool               `json:"quick"`       // a smoke test: few epochs, no claims judged
	Seeds       []uint64           `json:"seeds"`       // of every experiment of the last command
	Backends    []string           `json:"backends"`    // that the runs ran on, each once
	Environment record.Environment `json:"environment"` // of the first run
	Experiments []ExperimentResult `json:"experiments"` // the post's in its order, then users'
}

// ExperimentResult is one experiment of the results.
type ExperimentResult struct {
	Name       string             `json:"name"`
	Title      string             `json:"title"`
	Why        string             `json:"why"`
	Twin       string             `json:"twin,omitempty"` // the same with the inputs normalized, or without
	Normalized bool               `json:"normalized"`
	Own        bool               `json:"own"`                   // a user's, not the post's
	Group      string             `json:"group,omitempty"`       // as Experiment.Group
	Command    string             `json:"command"`               // the last one that asked for it
	Config     experiments.Config `json:"config"`                // its seed is that of the first run
	ClassNames []string           `json:"class_names,omitempty"` // by label; none where numbers name the classes

	Runs          []RunResult   `json:"runs"`
	Diverged      int           `json:"diverged"`       // runs whose loss stopped being finite
	TrainAccuracy Interval      `json:"train_accuracy"` // after the last epoch, 0 to 1, diverged runs left out
	TestAccuracy  Interval      `json:"test_accuracy"`
	Seconds       float64       `json:"seconds"` // mean of a run, training and evaluation
	Claims        []ClaimResult `json:"claims"`  // none if Quick

	Records []record.Record `json:"-"` // what the run folders hold, in the order of Runs
	Kept    bool            `json:"-"` // the last command did not ask for it
}

// RunResult is one seed of an experiment.
type RunResult struct {
	Seed      uint64                       `json:"seed"`
	Folder    string                       `json:"folder"` // below the results folder; perhaps that of an equal run
	Seconds   float64                      `json:"seconds"`
	Diverged  *experiments.DivergedMetrics `json:"diverged,omitempty"`
	Epochs    []experiments.EpochMetrics   `json:"epochs"`
	Confusion [][]int                      `json:"confusion,omitempty"` // of the test set: [label][predicted]
	Distorted []evaluate.Distorted         `json:"distorted,omitempty"` // test set, if the experiment asks for it
}

// distorted is the accuracy on images with such a distortion, NaN if it was not measured.
func (r RunResult) distorted(d evaluate.Distorted) float64 {
	for _, found := range r.Distorted {
		if found.Shift == d.Shift && found.Rotation == d.Rotation {
			return found.Accuracy
		}
	}
	return math.NaN()
}

// ClaimResult is a claim and what became of it.
type ClaimResult struct {
	Claim     string    `json:"claim"`     // "final test accuracy"
	Published string    `json:"published"` // "89.4% ± 0.4"
	Ours      string    `json:"ours"`      // as Claim.Ours
	Kind      Kind      `json:"kind"`
	Value     float64   `json:"value"`               // what was published, as Claim.Value
	Tolerance float64   `json:"tolerance"`           // as Claim.Tolerance
	Reference string    `json:"reference,omitempty"` // the experiment that is compared with
	By        int       `json:"by,omitempty"`        // as Claim.By
	Source    string    `json:"source"`              // the gist of the post's sentence
	Expected  bool      `json:"expected"`            // whether it is expected to hold
	Judgement Judgement `json:"judgement"`
}

// Unmet are the claims of the last command that were expected to hold and do not,
// as "experiment: claim".
func (r Results) Unmet() []string {
	var unmet []string
	for _, e := range r.Experiments {
		for _, c := range e.Claims {
			if !e.Kept && c.Expected && c.Judgement.Verdict == Fails {
				unmet = append(unmet, e.Name+": "+c.Claim)
			}
		}
	}
	return unmet
}

// Find returns the experiment of that name.
func (r Results) Find(name string) (ExperimentResult, bool) {
	i := slices.IndexFunc(r.Experiments, func(e ExperimentResult) bool { return e.Name == name })
	if i < 0 {
		return ExperimentResult{}, false
	}
	return r.Experiments[i], true
}

// finish puts the experiments in order and sets what is true of all.
func (r *Results) finish() {
	slices.SortStableFunc(r.Experiments, func(a, b ExperimentResult) int { return place(a) - place(b) })
	for _, e := range r.Experiments {
		for _, run := range e.Records {
			if name := run.Environment.Backend.Name; !slices.Contains(r.Backends, name) {
				r.Backends = append(r.Backends, name)
			}
		}
	}
	r.Environment = r.Experiments[0].Records[0].Environment
	r.Environment.Resumed = nil // that run's alone; its folder has it
}

// summarize sets what the runs of e, one per seed, say.
func (e *ExperimentResult) summarize(runs []study.Result) error {
	e.Runs, e.Records, e.ClassNames, e.Diverged, e.Seconds = nil, nil, nil, 0, 0
	var train, test []float64
	classes := 0
	for _, run := range runs {
		one := RunResult{
			Seed: run.Record.Config.Seed, Folder: run.Folder, Seconds: run.Record.Seconds,
			Epochs: run.Record.Epochs, Confusion: run.Record.Test.Confusion,
		}
		if run.Record.Diverged != nil {
			metrics := run.Record.Diverged.Metrics()
			one.Diverged = &metrics
			e.Diverged++
		} else {
			// Nothing here makes such folders, and sums over them would make no sense.
			if n := len(one.Confusion); classes != 0 && n != classes {
				return fmt.Errorf("results: %s: found %d classes, expected %d as in the other runs of %s", run.Folder, n, classes, e.Name)
			}
			if classes == 0 {
				e.ClassNames = run.Record.Test.ClassNames
			}
			classes = len(one.Confusion)
			train, test = append(train, last(one).TrainAccuracy), append(test, last(one).TestAccuracy)
		}
		e.Seconds += one.Seconds / float64(len(runs))
		e.Runs, e.Records = append(e.Runs, one), append(e.Records, run.Record)
	}
	e.TrainAccuracy, e.TestAccuracy = NewAccuracy(train), NewAccuracy(test)
	return nil
}

// judge judges a claim of e; reference is the experiment that it compares with.
func judge(c Claim, e, reference ExperimentResult) ClaimResult {
	var values []float64
	diverged := 0
	for i, run := range e.Runs {
		var other RunResult
		if c.Reference != "" {
			other = reference.Runs[i]
		}
		if run.Diverged != nil || other.Diverged != nil {
			diverged++
		} else if value := c.Measure(run, other); !math.IsNaN(value) {
			values = append(values, value)
		}
	}
	judgement := c.Judge(values, diverged)
	claim := c.String()
	if c.Kind == ClassAccuracy && c.Class < len(e.ClassNames) {
		claim += " (" + words.Class(e.ClassNames, c.Class) + ")"
	}
	return ClaimResult{
		Claim: claim, Published: c.Published(), Ours: c.Ours(judgement), Kind: c.Kind, Value: c.Value, Tolerance: c.Tolerance,
		Reference: c.Reference, By: c.By, Source: c.Source, Expected: c.Expected, Judgement: judgement,
	}
}

// Confusion is the sum of the test set's confusion matrices over all runs that
// did not diverge, and their number; nil if there are none.
func (e ExperimentResult) Confusion() (sum [][]int, runs int) {
	for _, run := range e.Runs {
		if run.Diverged != nil {
			continue
		}
		if sum == nil {
			for _, row := range run.Confusion {
				sum = append(sum, make([]int, len(row)))
			}
		}
		for label, row := range run.Confusion {
			for predicted, count := range row {
				sum[label][predicted] += count
			}
		}
		runs++
	}
	return sum, runs
}

// ClassAccuracies are the shares of each class of the test set that were
// predicted correctly, over all runs that did not diverge; 0 for one without images.
func (e ExperimentResult) ClassAccuracies() []float64 {
	confusion, _ := e.Confusion()
	accuracies := make([]float64, len(confusion))
	for class := range confusion {
		if accuracy := classAccuracy(confusion, class); !math.IsNaN(accuracy) {
			accuracies[class] = accuracy
		}
	}
	return accuracies
}
