package study

import (
	"context"
	"fmt"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/model/backend"
)

// MaxJobs is the most runs side by side.
const MaxJobs = 256

// Run is one run of a study.
type Run struct {
	Name   string             // what it is for, in progress and the name of its folder: letters, digits and hyphens
	Config experiments.Config // with its seed; Backend, TF32 and Deterministic are those of the Options
	Until  int                // epochs that it is to have for now, after which it can continue; 0 for all
}

// Result is a run that ended, possibly by diverging, or has the epochs that it is to have
// for now.
type Result struct {
	Folder string // below that of the study; "" for a run that is not there, see Options.Shard and Options.ReadOnly
	Record record.Record
	Ours   bool // it is of the shard
}

// Options say where and on what runs are made.
type Options struct {
	Folder        string                      // of the study, made if need be
	Jobs          int                         // runs side by side, 0 to MaxJobs; 0 for one per core on the processor and one per GPU
	Backend       string                      // as in experiments.Config
	TF32          bool                        // the same
	Deterministic bool                        // the same
	Observer      func(Event)                 // may be nil
	RunObserver   func() experiments.Observer // makes one more observer for each run that is made; may be nil
	Shard         Shard                       // the runs that are made, among those that are missing; others are only looked for
	ReadOnly      bool                        // no run is made, and no lock taken
	Keep          func(*record.Record)        // takes away what need not be held in memory of a record; may be nil
	Now           func() time.Time            // time.Now when nil
	WantCUDA      func(context.Context) bool  // see [epochal/experiments/train.DeviceOptions]
}

// Validate reports impossible options as [experiments.Problems].
func (o Options) Validate() error {
	var problems experiments.Problems
	if o.Jobs < 0 || o.Jobs > MaxJobs {
		problems = append(problems, experiments.Problem{Field: "jobs", Found: fmt.Sprint(o.Jobs), Expected: fmt.Sprintf("0 to %d", MaxJobs)})
	}
	if s := o.Shard; s.Count < 0 || s.Count > MaxShards || s.Index < 0 || s.Index >= max(s.Count, 1) {
		problems = append(problems, experiments.Problem{Field: "shard", Found: s.String(), Expected: shardForm})
	}
	if err := backend.Check(o.Backend); err != nil {
		problems = append(problems, experiments.Problem{Field: "backend", Reason: err})
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// Event is what a study reports to its observer: one of the types below, one at a time.
type Event interface{ event() }

// Planned says how many runs there are, of those of the shard, and how many of them
// were complete already.
type Planned struct{ Runs, Done int }

// Working says what the runs use, and how many of them go side by side.
type Working struct {
	Backend backend.Info
	Jobs    int
}

// Progress comes after every call of a device.
type Progress struct {
	Run   Run     // the first that needs it, if several do
	Epoch int     // under way, from 1
	Share float64 // of all the work that was missing at the start, 0 to 1
	Left  time.Duration
}

// RunEnded comes after every run.
type RunEnded struct {
	Run        Run // the first that needs it, if several do
	Record     record.Record
	Done, Runs int // of all runs of the shard, those that were there included
}

// Other passes on what a run or the opening of a device says: a Warning or
// PluginProgress.
type Other struct{ Event experiments.Event }

func (Planned) event()  {}
func (Working) event()  {}
func (Progress) event() {}
func (RunEnded) event() {}
func (Other) event()    {}

// task is a run that has to be made once, whoever needs it.
type task struct {
	Run
	identity string
	result   Result // Folder is "" as long as it has not been read
	epochs   int    // that the run has, before Options.Keep
	complete bool   // it ended
}

// has reports whether what is known of the run is all that it is to have.
func (t *task) has() bool {
	return t.complete || t.Until > 0 && t.epochs >= t.Until
}

// Study is a folder with runs. Its methods are for one goroutine.
type Study struct {
	options Options
	store   *store
	files   contents
	tasks   map[string]*task // all that were ever asked for, by their identity

	// Of the last call of Do, for a Watch.
	runs, rounds int // of the shard; calls so far
	missing      []*task
}

// Open makes the folder of a study if need be, and takes the lock of the shard. It fails
// with [record.Busy] if another process makes the same runs.
func Open(o Options) (*Study, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observer == nil {
		o.Observer = func(Event) {}
	}
	s, err := openStore(o)
	if err != nil {
		return nil, err
	}
	if s.lock != nil && s.lock.Warning != "" {
		o.Observer(Other{experiments.Warning{Text: s.lock.Warning}})
	}
	return &Study{options: o, store: s, files: contents{}, tasks: map[string]*task{}}, nil
}

// Close gives the lock back.
func (s *Study) Close() {
	if s.store.lock != nil {
		s.store.lock.Close()
	}
}

// Do returns the results of runs of a folder, in their order. It is [Open], [Study.Do] and
// [Study.Close].
func Do(ctx context.Context, runs []Run, o Options) ([]Result, error) {
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Do(ctx, runs)
}

// Do returns the results of runs, in their order. Runs whose records the folder
// holds are not run again, and unfinished ones continue. The first error stops all jobs.
func (s *Study) Do(ctx context.Context, runs []Run) ([]Result, error) {
	tasks, of, err := s.plan(runs)
	if err == nil {
		err = s.store.find(tasks)
	}
	if err != nil {
		return nil, err
	}
	w := &work{options: s.options, store: s.store}
	for _, t := range tasks {
		if !s.options.Shard.Has(t.identity) {
			continue
		}
		w.runs++
		if !t.has() {
			w.missing = append(w.missing, t)
		}
	}
	w.done = w.runs - len(w.missing)
	s.options.Observer(Planned{Runs: w.runs, Done: w.done})
	s.runs, s.rounds, s.missing = w.runs, s.rounds+1, w.missing
	if len(w.missing) > 0 && !s.options.ReadOnly {
		if err := w.run(ctx); err != nil {
			return nil, err
		}
	}
	results := make([]Result, len(runs))
	for i, t := range of {
		if t.has() {
			results[i] = t.result
		}
		results[i].Ours = s.options.Shard.Has(t.identity)
	}
	return results, nil
}

// plan returns every run that has to be made, each once, and which of them each
// entry of the list is.
func (s *Study) plan(runs []Run) (tasks, of []*task, err error) {
	now := map[*task]bool{}
	of = make([]*task, len(runs))
	for i, run := range runs {
		o := s.options
		run.Config.Backend, run.Config.TF32, run.Config.Deterministic = o.Backend, o.TF32, o.Deterministic
		if run.Until >= run.Config.Epochs {
			run.Until = 0
		}
		held, err := s.files.of(run.Config)
		if err != nil {
			return nil, nil, err
		}
		identity := record.Identity(run.Config, held.data, held.initSHA256)
		t := s.tasks[identity]
		if t == nil {
			t = &task{identity: identity}
			s.tasks[identity] = t
		}
		if !now[t] {
			t.Run, now[t] = run, true
			tasks = append(tasks, t)
		}
		of[i] = t
	}
	return tasks, of, nil
}
