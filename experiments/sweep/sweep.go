package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/study"
	"epochal/model"
)

// Options say where and on what a sweep is run.
type Options struct {
	study.Options        // with Shard, only its runs are made; with ReadOnly, none; Keep is the sweep's own
	Command       string // what makes the results, for the record
}

// Run makes the runs of a plan that its folder does not hold yet, and ranks what is there. It
// fails with [record.Busy] if another process makes the same runs. After a shard, or with
// ReadOnly, runs may be missing, see [Results.Missing].
func Run(ctx context.Context, p Plan, o Options) (Results, error) {
	settings, err := p.Check()
	if err != nil {
		return Results{}, err
	}
	if err := o.Validate(); err != nil {
		return Results{}, err
	}
	parameters, err := p.parameters(settings)
	if err != nil {
		return Results{}, err
	}
	o.Keep = p.keep
	s, err := study.Open(o.Options)
	if err != nil {
		return Results{}, err
	}
	defer s.Close()
	all := entrants(settings)
	missing, err := p.race(ctx, s, all)
	if err != nil {
		return Results{}, err
	}
	return p.results(o, all, parameters, missing)
}

// Watch looks for the runs of a plan that other processes make; its rounds are the rungs.
func Watch(ctx context.Context, p Plan, o Options) (*study.Watch, error) {
	settings, err := p.Check()
	if err != nil {
		return nil, err
	}
	o.Keep = p.keep
	return study.NewWatch(o.Options, func(s *study.Study) error {
		_, err := p.race(ctx, s, entrants(settings))
		return err
	})
}

func entrants(settings []Setting) []*entrant {
	all := make([]*entrant, len(settings))
	for i, setting := range settings {
		all[i] = &entrant{Setting: setting}
	}
	return all
}

// race makes the runs of all settings, rung after rung, and returns how many are missing.
func (p Plan) race(ctx context.Context, s *study.Study, all []*entrant) (missing int, err error) {
	names, running := p.names(all), all
	for _, rung := range append(slices.Clone(p.Stop.At), 0) {
		var runs []study.Run
		for _, e := range running {
			for _, seed := range p.Seeds {
				e.Config.Seed = seed
				runs = append(runs, study.Run{Name: names[e], Config: e.Config, Until: rung})
			}
		}
		made, err := s.Do(ctx, runs)
		if err != nil {
			return 0, err
		}
		for i, e := range running {
			e.runs, e.Config.Seed = made[i*len(p.Seeds):(i+1)*len(p.Seeds)], p.Seeds[0]
			p.measure(e, cmp.Or(rung, e.Config.Epochs))
			if e.there() {
				e.ended = rung == 0
				continue
			}
			for _, run := range e.runs {
				if run.Folder == "" {
					missing++
				}
			}
		}
		if missing > 0 {
			return missing, nil // what comes next cannot be decided yet
		}
		if rung > 0 {
			running = p.decide(running, all)
		}
	}
	return 0, nil
}

// names are the names of the runs of settings, each its own.
func (p Plan) names(all []*entrant) map[*entrant]string {
	names, taken := map[*entrant]string{}, map[string]int{}
	for _, e := range all {
		names[e] = p.folderName(e.Config)
		taken[names[e]]++
	}
	for e, name := range names {
		if taken[name] > 1 {
			c := e.Config
			c.Seed = 0
			names[e] = name + "-" + record.Identity(c, nil, "")[:8]
		}
	}
	return names
}

// keep takes away what the ranking does not need of a record: all but the epochs at the
// rungs and the last one, and the name of the backend.
func (p Plan) keep(r *record.Record) {
	var epochs []experiments.EpochMetrics
	for i, m := range r.Epochs {
		if i == len(r.Epochs)-1 || slices.Contains(p.Stop.At, m.Epoch) {
			epochs = append(epochs, m)
		}
	}
	environment := record.Environment{}
	environment.Backend.Name = r.Environment.LastBackend().Name
	*r = record.Record{Epochs: epochs, Diverged: r.Diverged, Stopped: r.Stopped, Seconds: r.Seconds, Environment: environment}
}

// parameters are the parameters of each setting, in numbers.
func (p Plan) parameters(settings []Setting) ([]int, error) {
	data, err := dataset.Open(p.Base.Data, p.Base.DataOptions())
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	defer data.Close()
	if p.Base.Validation >= data.TrainCount {
		return nil, experiments.Problem{Field: "validation", Found: fmt.Sprint(p.Base.Validation),
			Expected: fmt.Sprintf("fewer than the %d training images", data.TrainCount)}
	}
	counts := make([]int, len(settings))
	for i, s := range settings {
		a, err := s.Config.Architecture(data.Rows, data.Columns, data.Classes)
		if err != nil {
			return nil, err
		}
		counts[i] = model.ParameterCount(a.Parameters())
	}
	return counts, nil
}

// read reads the whole records of a setting.
func read(folder string, e *entrant) ([]record.Record, error) {
	var all []record.Record
	for _, run := range e.runs {
		r, err := record.ReadSoFar(filepath.Join(folder, run.Folder))
		if err != nil && !errors.Is(err, record.ErrUnfinished) {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}
