package reproduce

import (
	"slices"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/record"
)

// Schema is the version of results.json that this package writes.
const Schema = 1

// Results are what a reproduction found: results.json.
type Results struct {
	Schema      int                `json:"schema"`      // Schema
	Command     string             `json:"command"`     // that made it
	Quick       bool               `json:"quick"`       // a smoke test: few epochs, no claims judged
	Seeds       []uint64           `json:"seeds"`       // of every experiment
	Backends    []string           `json:"backends"`    // that the runs ran on, each once
	Environment record.Environment `json:"environment"` // of the first run
	Experiments []Experiment       `json:"experiments"`
}

// Experiment is one experiment of the results.
type Experiment struct {
	Name       string             `json:"name"`
	Title      string             `json:"title"`
	Why        string             `json:"why"`
	Twin       string             `json:"twin,omitempty"` // the same with the inputs normalized, or without
	Normalized bool               `json:"normalized"`
	Config     experiments.Config `json:"config"` // its seed is that of the first run

	Runs          []RunResult        `json:"runs"`
	Diverged      int                `json:"diverged"`       // runs whose loss stopped being finite
	TrainAccuracy published.Interval `json:"train_accuracy"` // after the last epoch, 0 to 1, diverged runs left out
	TestAccuracy  published.Interval `json:"test_accuracy"`
	Seconds       float64            `json:"seconds"` // mean of a run, training and evaluation
	Claims        []ClaimResult      `json:"claims"`  // none if Quick

	// Records are what the run folders hold, in the order of Runs.
	Records []record.Record `json:"-"`
}

// RunResult is one seed of an experiment.
type RunResult struct {
	Seed      uint64                       `json:"seed"`
	Folder    string                       `json:"folder"` // below the results folder
	Seconds   float64                      `json:"seconds"`
	Diverged  *experiments.DivergedMetrics `json:"diverged,omitempty"`
	Epochs    []experiments.EpochMetrics   `json:"epochs"`
	Confusion [][]int                      `json:"confusion,omitempty"` // of the test set: [label][predicted]
}

// ClaimResult is a claim and what became of it.
type ClaimResult struct {
	Claim     string              `json:"claim"`     // "final test accuracy"
	Published string              `json:"published"` // "89.4% ± 0.4%"
	Ours      string              `json:"ours"`      // the mean and its interval in the claim's unit
	Source    string              `json:"source"`    // the gist of the post's sentence
	Expected  bool                `json:"expected"`  // whether it is expected to hold
	Judgement published.Judgement `json:"judgement"`
}

// Unmet are the claims that were expected to hold and do not, as
// "experiment: claim".
func (r Results) Unmet() []string {
	var unmet []string
	for _, e := range r.Experiments {
		for _, c := range e.Claims {
			if c.Expected && c.Judgement.Verdict == published.Fails {
				unmet = append(unmet, e.Name+": "+c.Claim)
			}
		}
	}
	return unmet
}

// Find returns the experiment of that name.
func (r Results) Find(name string) (Experiment, bool) {
	i := slices.IndexFunc(r.Experiments, func(e Experiment) bool { return e.Name == name })
	if i < 0 {
		return Experiment{}, false
	}
	return r.Experiments[i], true
}

// Confusion is the sum of the test set's confusion matrices over all runs that
// did not diverge, and their number; nil if there are none.
func (e Experiment) Confusion() (sum [][]int, runs int) {
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
// predicted right, over all runs that did not diverge.
func (e Experiment) ClassAccuracies() []float64 {
	confusion, _ := e.Confusion()
	accuracies := make([]float64, len(confusion))
	for label, row := range confusion {
		total := 0
		for _, count := range row {
			total += count
		}
		if total > 0 {
			accuracies[label] = float64(row[label]) / float64(total)
		}
	}
	return accuracies
}

// summarize makes the results of an experiment from its records, one per seed.
func summarize(e published.Experiment, runs []plannedRun) Experiment {
	result := Experiment{
		Name: e.Name, Title: e.Title, Why: e.Why, Twin: e.Twin, Normalized: e.Normalized, Config: e.Config,
		Claims: []ClaimResult{},
	}
	var train, test []float64
	for _, run := range runs {
		record := run.record
		result.Records = append(result.Records, record)
		one := RunResult{
			Seed: run.config.Seed, Folder: run.folder, Seconds: record.Seconds,
			Epochs: record.Epochs, Confusion: record.Test.Confusion,
		}
		if record.Diverged != nil {
			metrics := record.Diverged.Metrics()
			one.Diverged = &metrics
			result.Diverged++
		} else {
			last := record.Epochs[len(record.Epochs)-1]
			train, test = append(train, last.TrainAccuracy), append(test, last.TestAccuracy)
		}
		result.Seconds += record.Seconds / float64(len(runs))
		result.Runs = append(result.Runs, one)
	}
	result.TrainAccuracy, result.TestAccuracy = published.NewAccuracy(train), published.NewAccuracy(test)
	return result
}

// judge judges a claim of e; others has the records of all experiments by name.
func judge(c published.Claim, e Experiment, others map[string]Experiment) ClaimResult {
	reference, refers := others[c.Reference]
	var values []float64
	diverged := 0
	for i, run := range e.Records {
		var other record.Record
		if refers {
			other = reference.Records[i]
		}
		if run.Diverged != nil || other.Diverged != nil {
			diverged++
			continue
		}
		if value, ok := c.Measure(run, other); ok {
			values = append(values, value)
		}
	}
	judgement := c.Judge(values, diverged)
	return ClaimResult{
		Claim: c.String(), Published: c.Published(), Source: c.Source, Expected: c.Expected,
		Ours: c.Ours(judgement), Judgement: judgement,
	}
}
