package reproduce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/install"
)

// Limits of Options.
const (
	MaxSeeds = 1000
	MaxJobs  = 256
)

// QuickEpochs is the number of epochs of a smoke test.
const QuickEpochs = 2

// Options say how experiments are reproduced.
type Options struct {
	Folder   string // results folder, made if need be
	Seeds    int    // seeds 0 to Seeds-1 of every experiment, 1 to MaxSeeds
	Jobs     int    // runs side by side, 0 to MaxJobs; 0 for one per core on the processor and one on a GPU
	Backend  string // as in experiments.Config
	TF32     bool
	Quick    bool   // one seed, QuickEpochs epochs, no claims judged
	Command  string // what made the results, for the record
	Observer func(Event)
	Now      func() time.Time // time.Now when nil
}

// Validate reports impossible options as [experiments.Problems].
func (o Options) Validate() error {
	var problems experiments.Problems
	check := func(field string, value, least, most int) {
		if value < least || value > most {
			problems = append(problems, experiments.Problem{Field: field, Found: fmt.Sprint(value), Expected: fmt.Sprintf("%d to %d", least, most)})
		}
	}
	check("seeds", o.Seeds, 1, MaxSeeds)
	check("jobs", o.Jobs, 0, MaxJobs)
	if err := backend.Check(o.Backend); err != nil {
		problems = append(problems, experiments.Problem{Field: "backend", Reason: err})
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// Event is what a reproduction tells its observer: one of the types below, one
// at a time.
type Event interface{ event() }

// Planned says how many runs there are, and how many of them were there already.
type Planned struct{ Runs, Done int }

// Working says what runs on, and how many runs side by side.
type Working struct {
	Backend backend.Info
	Jobs    int
}

// Progress comes after every call of a device.
type Progress struct {
	Experiment string // the first that needs this run
	Seed       uint64
	Epoch      int     // under way, from 1
	Epochs     int     // of the run
	Share      float64 // of all the work that was missing at the start, 0 to 1
	Left       time.Duration
}

// RunEnded comes after every run.
type RunEnded struct {
	Experiment string // the first that needs this run
	Seed       uint64
	Record     record.Record
	Done, Runs int // of all runs, those that were there included
}

// Other passes on what a run or the opening of a device says: a Warning or
// PluginProgress.
type Other struct{ Event experiments.Event }

func (Planned) event()  {}
func (Working) event()  {}
func (Progress) event() {}
func (RunEnded) event() {}
func (Other) event()    {}

// plannedRun is one (config, seed) of the plan.
type plannedRun struct {
	experiment string // the first that needs it
	config     experiments.Config
	folder     string // below the results folder
	record     record.Record
}

// Run reproduces experiments, which must hold everything that their claims
// refer to, and judges their claims. Runs that the results folder holds already
// are not run again, and those that did not come to their end go on.
func Run(ctx context.Context, chosen []published.Experiment, o Options) (Results, error) {
	if err := o.Validate(); err != nil {
		return Results{}, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observer == nil {
		o.Observer = func(Event) {}
	}
	if o.Quick {
		o.Seeds = 1
		chosen = shortened(chosen)
	}
	plan, err := newPlan(chosen, o)
	if err != nil {
		return Results{}, err
	}
	s, err := openStore(o.Folder, o.Now())
	if err != nil {
		return Results{}, err
	}
	defer s.close()
	missing, err := plan.missing(s)
	if err != nil {
		return Results{}, err
	}
	o.Observer(Planned{Runs: len(plan.runs), Done: len(plan.runs) - len(missing)})
	if len(missing) > 0 {
		w := &work{options: o, store: s, missing: missing, runs: len(plan.runs)}
		if err := w.run(ctx); err != nil {
			return Results{}, err
		}
		if missing, err = plan.missing(s); err != nil {
			return Results{}, err
		} else if len(missing) > 0 {
			return Results{}, fmt.Errorf("results: %s: the run is gone", missing[0].folder)
		}
	}
	return plan.results(o), nil
}

// shortened are the experiments as a smoke test runs them.
func shortened(chosen []published.Experiment) []published.Experiment {
	short := slices.Clone(chosen)
	for i := range short {
		short[i].Config.Epochs = min(short[i].Config.Epochs, QuickEpochs)
		short[i].Claims = nil
	}
	return short
}

// plan is every run that the experiments need, each once.
type plan struct {
	experiments []published.Experiment
	runs        []*plannedRun
	of          map[string][]*plannedRun // by experiment, one per seed
}

func newPlan(chosen []published.Experiment, o Options) (plan, error) {
	p := plan{experiments: chosen, of: map[string][]*plannedRun{}}
	byFolder := map[string]*plannedRun{}
	files := contents{}
	for _, e := range chosen {
		for seed := range o.Seeds {
			c := e.Config
			c.Seed, c.Backend, c.TF32 = uint64(seed), o.Backend, o.TF32
			folder, err := name(c, files)
			if err != nil {
				return plan{}, err
			}
			run := byFolder[folder]
			if run == nil {
				run = &plannedRun{experiment: e.Name, config: c, folder: folder}
				byFolder[folder] = run
				p.runs = append(p.runs, run)
			}
			p.of[e.Name] = append(p.of[e.Name], run)
		}
	}
	return p, nil
}

// missing reads the records of the runs that are there and returns the others.
func (p plan) missing(s *store) (missing []*plannedRun, err error) {
	for _, run := range p.runs {
		record, found, err := s.read(run.folder)
		if err != nil {
			return nil, err
		}
		if !found {
			missing = append(missing, run)
			continue
		}
		record.Config.StepsPerCall = run.config.StepsPerCall // it changes nothing
		if !reflect.DeepEqual(record.Config, run.config) {
			return nil, fmt.Errorf("results: %s: found a run of %+v, expected %+v", run.folder, record.Config, run.config)
		}
		run.record = record
	}
	return missing, p.agree()
}

// agree reports runs of one experiment whose test sets have not the same classes.
// Nothing here makes such folders, and sums over them would make no sense.
func (p plan) agree() error {
	for _, e := range p.experiments {
		classes := 0
		for _, run := range p.of[e.Name] {
			here := len(run.record.Test.Confusion) // 0 if it is missing or diverged
			if classes != 0 && here != 0 && here != classes {
				return fmt.Errorf("results: %s: found %d classes, expected %d as the other runs of %s have", run.folder, here, classes, e.Name)
			}
			classes = max(classes, here)
		}
	}
	return nil
}

// results judges the claims of a plan whose runs are all there.
func (p plan) results(o Options) Results {
	r := Results{Schema: Schema, Command: o.Command, Quick: o.Quick, Environment: p.runs[0].record.Environment}
	r.Environment.Resumed = nil // that run's alone; its folder tells
	for seed := range o.Seeds {
		r.Seeds = append(r.Seeds, uint64(seed))
	}
	all := map[string]Experiment{}
	for _, e := range p.experiments {
		var runs []plannedRun
		for _, run := range p.of[e.Name] {
			one := *run
			runs = append(runs, one)
			if name := run.record.Environment.Backend.Name; !slices.Contains(r.Backends, name) {
				r.Backends = append(r.Backends, name)
			}
		}
		all[e.Name] = summarize(e, runs)
	}
	for _, e := range p.experiments {
		result := all[e.Name]
		for _, claim := range e.Claims {
			result.Claims = append(result.Claims, judge(claim, result, all))
		}
		r.Experiments = append(r.Experiments, result)
	}
	return r
}

// work runs what is missing.
type work struct {
	options Options
	store   *store
	missing []*plannedRun
	runs    int // of the plan

	mutex   sync.Mutex // guards what follows, and the observer
	next    int
	done    int
	started time.Time
	total   float64                 // cost of all missing runs
	spent   map[*plannedRun]float64 // cost of what was done of each
	failure error                   // the first that is not the end of the context
}

// cost is the work of a run in floating point operations of its matrix
// products, as if every dataset had MNIST's size. It orders runs and tells how
// far they are.
func cost(c experiments.Config) float64 {
	n := model.FullyConnected{Rows: 28, Columns: 28, Hidden: c.LayerSizes, Classes: 10}
	return float64(c.Epochs) * (60000*model.TrainFLOPs(n) + 70000*model.EvaluationFLOPs(n))
}

// run starts the jobs and waits for them. The first error stops all of them.
func (w *work) run(ctx context.Context) error {
	// The longest first, so that the jobs end at about the same time.
	slices.SortStableFunc(w.missing, func(a, b *plannedRun) int { return cmp.Compare(cost(b.config), cost(a.config)) })
	w.spent = map[*plannedRun]float64{}
	for _, run := range w.missing {
		w.total += cost(run.config)
	}
	w.done = w.runs - len(w.missing)

	devices, err := w.open(ctx)
	if err != nil {
		return err
	}
	w.observe(Working{Backend: devices[0].Info(), Jobs: len(devices)})
	w.started = w.options.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, device := range devices {
		group.Go(func() {
			defer device.Close()
			if err := w.job(ctx, device); err != nil {
				w.mutex.Lock()
				if w.failure == nil && !errors.Is(err, context.Canceled) {
					w.failure = err // a run that could not be saved when it was cancelled, too
				}
				w.mutex.Unlock()
				cancel(err)
			}
		})
	}
	group.Wait()
	if w.failure != nil {
		return w.failure
	}
	return context.Cause(ctx)
}

// open opens a device for every job. On the processor each has its share of the
// cores: several runs side by side use them better than one run does, whose
// steps are too small to be divided well.
func (w *work) open(ctx context.Context) (devices []*train.Device, err error) {
	cores := runtime.GOMAXPROCS(0)
	jobs := w.options.Jobs
	if jobs == 0 {
		jobs = cores
	}
	jobs = min(jobs, len(w.missing))
	for len(devices) < jobs {
		device, warnings, err := train.OpenDevice(ctx, w.options.Backend, train.DeviceOptions{
			TF32:     w.options.TF32,
			Threads:  max(1, cores/jobs),
			Progress: func(p install.Progress) { w.observe(Other{experiments.PluginProgress{Progress: p}}) },
		})
		if err != nil {
			for _, device := range devices {
				device.Close()
			}
			return nil, err
		}
		if len(devices) == 0 {
			for _, warning := range warnings {
				w.observe(Other{experiments.Warning{Text: warning}})
			}
		}
		devices = append(devices, device)
		if w.options.Jobs == 0 && !strings.HasPrefix(device.Info().Name, backend.XLACPU) {
			break // a GPU, or pure Go, which has a pool of its own for all cores
		}
	}
	return devices, nil
}

// job runs one missing run after another on a device.
func (w *work) job(ctx context.Context, device *train.Device) error {
	for {
		w.mutex.Lock()
		if w.next == len(w.missing) {
			w.mutex.Unlock()
			return nil
		}
		run := w.missing[w.next]
		w.next++
		w.mutex.Unlock()
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := w.one(ctx, run, device); err != nil {
			return err
		}
	}
}

// one runs one run to its end, which may be that it diverges.
func (w *work) one(ctx context.Context, run *plannedRun, device *train.Device) error {
	o := train.Options{
		Folder: w.store.unfinished(run.folder), Device: device, Now: w.options.Now,
		Observer:        func(e experiments.Event) { w.progress(run, e) },
		CheckpointEvery: 1, Resume: w.store.begun(run.folder),
	}
	_, err := train.Run(ctx, run.config, o)
	if o.Resume && errors.Is(err, record.ErrCannotResume) {
		w.observe(Other{experiments.Warning{Text: fmt.Sprintf("%v; the run begins again", err)}})
		if err := w.store.discard(run.folder); err != nil {
			return err
		}
		o.Resume = false
		_, err = train.Run(ctx, run.config, o)
	}
	var diverged experiments.Diverged
	if err != nil && !errors.As(err, &diverged) {
		return fmt.Errorf("%s, seed %d: %w", run.experiment, run.config.Seed, err)
	}
	if err := w.store.complete(run.folder); err != nil {
		return err
	}
	record, _, err := w.store.read(run.folder)
	if err != nil {
		return err
	}
	w.mutex.Lock()
	w.done++
	w.spent[run] = cost(run.config)
	done := w.done
	w.mutex.Unlock()
	w.observe(RunEnded{Experiment: run.experiment, Seed: run.config.Seed, Record: record, Done: done, Runs: w.runs})
	return nil
}

// progress passes on what a run says.
func (w *work) progress(run *plannedRun, e experiments.Event) {
	switch e := e.(type) {
	case experiments.Warning, experiments.PluginProgress:
		w.observe(Other{e})
	case experiments.StepsDone:
		w.mutex.Lock()
		w.spent[run] = cost(run.config) * float64(e.Images) / float64(run.config.Epochs*e.Count)
		spent := 0.0
		for _, one := range w.spent {
			spent += one
		}
		share := spent / w.total
		elapsed := w.options.Now().Sub(w.started)
		w.mutex.Unlock()
		w.observe(Progress{
			Experiment: run.experiment, Seed: run.config.Seed, Epoch: e.Epoch, Epochs: run.config.Epochs,
			Share: share, Left: time.Duration(float64(elapsed) * (1 - share) / share),
		})
	}
}

func (w *work) observe(e Event) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.options.Observer(e)
}
