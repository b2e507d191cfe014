package sweep

import (
	"cmp"
	"math"
	"slices"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/record"
)

// Schema is the version of results.json.
const Schema = 1

// MostCurves is how many of the best settings have their records in [Results].
const MostCurves = 5

// Results are what a sweep found: results.json. Accuracies are fractions from 0 to 1, and,
// as the losses, of the validation split, except for the winner's.
type Results struct {
	Schema      int                `json:"schema"` // Schema
	Name        string             `json:"name"`
	Command     string             `json:"command"`
	RankBy      string             `json:"rank_by"`
	Swept       []string           `json:"swept"` // fields in which the settings differ
	Base        experiments.Config `json:"base"`  // what they have in common; the seed is the first
	Seeds       []uint64           `json:"seeds"`
	Stop        *Stop              `json:"stop,omitempty"`
	Runs        int                `json:"runs"`    // of the plan, those that stopped early included
	Missing     int                `json:"missing"` // runs that must be made before settings can be ranked or go on
	Diverged    int                `json:"diverged"`
	Backends    []string           `json:"backends"`
	Environment record.Environment `json:"environment"` // of a run of the best setting

	Winner     *Winner         `json:"winner,omitempty"` // nil as long as runs are missing
	Importance []Importance    `json:"importance"`
	Settings   []SettingResult `json:"settings"` // the best first; those with missing runs last, the most complete first

	Best [][]record.Record `json:"-"` // of the first MostCurves settings that are ranked, one record per seed
}

// The states of settings.
const (
	Ended      = "ended"
	StoppedAt  = "stopped"    // by the rule, after Epochs
	Waiting    = "waiting"    // for others, to be compared after Epochs
	Incomplete = "incomplete" // runs are missing, so it has no rank; its numbers are of the runs that are there
)

// SettingResult is a setting and how good it is.
type SettingResult struct {
	Rank       int            `json:"rank"`   // from 1; 0 for one without
	Number     int            `json:"number"` // in the plan, from 1
	Values     map[string]any `json:"values"` // of the fields that differ
	State      string         `json:"state"`
	Epochs     int            `json:"epochs"`     // after which it is compared
	Parameters int            `json:"parameters"` // of the network, in numbers
	Diverged   int            `json:"diverged"`   // runs

	ValidationAccuracy published.Interval `json:"validation_accuracy"` // over the seeds that did not diverge
	ValidationLoss     published.Interval `json:"validation_loss"`
	// Difference is that of the metric to the best setting, seed by seed: at the end of both or,
	// for a setting that stopped early, after the same epochs.
	Difference published.Interval `json:"difference"`
	Seconds    float64            `json:"seconds"` // mean of a run so far, training and evaluation
	Runs       []RunResult        `json:"runs"`    // those that are there

	Config experiments.Config `json:"-"`
}

// RunResult is one seed of a setting.
type RunResult struct {
	Seed               uint64                       `json:"seed"`
	Folder             string                       `json:"folder"` // below the sweep's
	Seconds            float64                      `json:"seconds"`
	Diverged           *experiments.DivergedMetrics `json:"diverged,omitempty"`
	ValidationAccuracy *float64                     `json:"validation_accuracy,omitempty"` // after the setting's Epochs
	ValidationLoss     *float64                     `json:"validation_loss,omitempty"`
}

// Winner is the best setting on the test set, which nothing was chosen by.
type Winner struct {
	TestAccuracy published.Interval `json:"test_accuracy"`
	// Optimism is validation minus test accuracy, seed by seed.
	Optimism published.Interval `json:"optimism"`
}

// results ranks the settings.
func (p Plan) results(o Options, all []*entrant, parameters []int, missing int) (Results, error) {
	r := Results{
		Schema: Schema, Name: p.Name, Command: o.Command, RankBy: p.RankBy, Swept: p.Swept(), Base: p.Base, Seeds: p.Seeds,
		Runs: len(all) * len(p.Seeds), Missing: missing, Backends: []string{},
	}
	r.Base.Seed = p.Seeds[0]
	r.Base.Backend, r.Base.TF32, r.Base.Deterministic = o.Backend, o.TF32, o.Deterministic
	if p.Stop.Rule != "" {
		r.Stop = &p.Stop
	}
	ranked := slices.Clone(all)
	slices.SortStableFunc(ranked, func(a, b *entrant) int {
		group := func(e *entrant) int {
			switch {
			case !e.there():
				return math.MaxInt
			case e.ended:
				return 0
			default:
				return math.MaxInt - e.epochs
			}
		}
		return cmp.Or(cmp.Compare(group(a), group(b)), p.better(a, b))
	})
	for i, e := range ranked {
		s := p.settingResult(e, ranked[0])
		s.Config.Backend, s.Config.TF32, s.Config.Deterministic = o.Backend, o.TF32, o.Deterministic
		s.Parameters = parameters[e.Number-1]
		if e.there() {
			s.Rank = i + 1
		}
		r.Diverged += s.Diverged
		r.Settings = append(r.Settings, s)
		for _, run := range e.runs {
			if name := run.Record.Environment.Backend.Name; run.Folder != "" && !slices.Contains(r.Backends, name) {
				r.Backends = append(r.Backends, name)
			}
		}
	}
	slices.Sort(r.Backends)
	for _, e := range ranked[:min(len(ranked), MostCurves)] {
		if e.there() {
			records, err := read(o.Folder, e)
			if err != nil {
				return r, err
			}
			r.Best = append(r.Best, records)
		}
	}
	if len(r.Best) > 0 {
		r.Environment = r.Best[0][0].Environment
		r.Environment.Resumed = nil // that run's alone; its folder has it
	}
	r.Importance = p.importance(all)
	if missing == 0 {
		r.Winner = r.winner()
	}
	return r, nil
}

// settingResult is what a setting has, compared with the best one.
func (p Plan) settingResult(e, best *entrant) SettingResult {
	s := SettingResult{Number: e.Number, Config: e.Config, Values: map[string]any{}, State: Waiting, Epochs: e.epochs, Runs: []RunResult{}}
	for _, name := range p.Swept() {
		s.Values[name] = Value(e.Config, name)
	}
	switch {
	case !e.there():
		s.State = Incomplete
	case e.ended:
		s.State = Ended
	case e.stopped:
		s.State = StoppedAt
	}
	accuracy, loss := p, p
	accuracy.RankBy, loss.RankBy = ValidationAccuracy, ValidationLoss
	var accuracies, losses, differences []float64
	there := 0
	for i, run := range e.runs {
		if run.Folder == "" {
			continue
		}
		there++
		one := RunResult{Seed: p.Seeds[i], Folder: run.Folder, Seconds: run.Record.Seconds}
		s.Seconds += run.Record.Seconds
		if d := run.Record.Diverged; d != nil && d.Epoch <= e.epochs {
			metrics := d.Metrics()
			one.Diverged = &metrics
			s.Diverged++
		}
		if a, ok := accuracy.at(run.Record, e.epochs); ok {
			l, _ := loss.at(run.Record, e.epochs)
			one.ValidationAccuracy, one.ValidationLoss = &a, &l
			accuracies, losses = append(accuracies, a), append(losses, l)
			after := e.epochs
			if e.epochs == e.Config.Epochs {
				after = best.epochs
			}
			if other, ok := p.at(best.runs[i].Record, after); ok && best.there() {
				mine, _ := p.at(run.Record, e.epochs)
				differences = append(differences, mine-other)
			}
		}
		s.Runs = append(s.Runs, one)
	}
	s.Seconds /= float64(max(1, there))
	s.ValidationAccuracy, s.ValidationLoss = published.NewAccuracy(accuracies), published.NewInterval(losses, 0, math.MaxFloat64)
	s.Difference = published.NewInterval(differences, -math.MaxFloat64, math.MaxFloat64)
	return s
}

// winner is how good the best setting is on the test set; nil if it diverged with all seeds.
func (r Results) winner() *Winner {
	var tests, optimism []float64
	for _, one := range r.Best[0] {
		if one.Diverged == nil {
			last := one.Epochs[len(one.Epochs)-1]
			tests = append(tests, last.TestAccuracy)
			optimism = append(optimism, *last.ValidationAccuracy-last.TestAccuracy)
		}
	}
	if len(tests) == 0 {
		return nil
	}
	return &Winner{TestAccuracy: published.NewAccuracy(tests), Optimism: published.NewInterval(optimism, -1, 1)}
}
