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
}

// Result is a run that ended, possibly by diverging.
type Result struct {
	Folder string // below that of the study
	Record record.Record
}

// Options say where and on what runs are made.
type Options struct {
	Folder        string                     // of the study, made if need be
	Jobs          int                        // runs side by side, 0 to MaxJobs; 0 for one per core on the processor and one per GPU
	Backend       string                     // as in experiments.Config
	TF32          bool                       // the same
	Deterministic bool                       // the same
	Observer      func(Event)                // may be nil
	Now           func() time.Time           // time.Now when nil
	WantCUDA      func(context.Context) bool // see [epochal/experiments/train.DeviceOptions]
}

// Validate reports impossible options as [experiments.Problems].
func (o Options) Validate() error {
	var problems experiments.Problems
	if o.Jobs < 0 || o.Jobs > MaxJobs {
		problems = append(problems, experiments.Problem{Field: "jobs", Found: fmt.Sprint(o.Jobs), Expected: fmt.Sprintf("0 to %d", MaxJobs)})
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

// Planned says how many runs there are, and how many of them were complete already.
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

// task is a run that has to be made once, whoever needs it.
type task struct {
	Run
	identity string
	result   Result // of a task that is done
}

// Do returns the results of runs, in their order. Runs whose records the folder
// holds are not run again, and unfinished ones continue. The
// first error stops all jobs. It fails with [record.Busy] if another process
// writes into the folder.
func Do(ctx context.Context, runs []Run, o Options) ([]Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observer == nil {
		o.Observer = func(Event) {}
	}
	tasks, of, err := plan(runs, o)
	if err != nil {
		return nil, err
	}
	s, err := openStore(o.Folder, o.Now())
	if err != nil {
		return nil, err
	}
	defer s.lock.Close()
	if s.lock.Warning != "" {
		o.Observer(Other{experiments.Warning{Text: s.lock.Warning}})
	}
	var missing []*task
	for _, t := range tasks {
		if found, err := s.find(t); err != nil {
			return nil, err
		} else if !found {
			missing = append(missing, t)
		}
	}
	o.Observer(Planned{Runs: len(tasks), Done: len(tasks) - len(missing)})
	if len(missing) > 0 {
		w := &work{options: o, store: s, missing: missing, done: len(tasks) - len(missing), runs: len(tasks)}
		if err := w.run(ctx); err != nil {
			return nil, err
		}
	}
	results := make([]Result, len(runs))
	for i, t := range of {
		results[i] = t.result
	}
	return results, nil
}

// plan returns every run that has to be made, each once, and which of them each
// entry of the list is.
func plan(runs []Run, o Options) (tasks, of []*task, err error) {
	known := map[string]*task{}
	files := contents{}
	for _, run := range runs {
		run.Config.Backend, run.Config.TF32, run.Config.Deterministic = o.Backend, o.TF32, o.Deterministic
		held, err := files.of(run.Config)
		if err != nil {
			return nil, nil, err
		}
		identity := record.Identity(run.Config, held.data, held.initSHA256)
		t := known[identity]
		if t == nil {
			t = &task{Run: run, identity: identity}
			known[identity] = t
			tasks = append(tasks, t)
		}
		of = append(of, t)
	}
	return tasks, of, nil
}
