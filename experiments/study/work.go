package study

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/install"
)

// work runs what is missing.
type work struct {
	options Options
	store   *store
	missing []*task
	queue   chan *task // those of missing that no job has taken yet
	runs    int        // of the study
	total   float64    // cost of all missing runs
	started time.Time

	mutex sync.Mutex        // guards what follows, the store and the observer
	done  int               // of all runs
	spent map[*task]float64 // cost of what was done of each
}

// cost is the work of the epochs that a task lacks, as Cost.
func (t *task) cost() float64 {
	return Cost(t.Config) * float64(t.until()-t.epochs) / float64(t.Config.Epochs)
}

// until is how many epochs the run is to have.
func (t *task) until() int { return cmp.Or(t.Until, t.Config.Epochs) }

// Cost is the work of a run in floating point operations of its matrix
// products, as if every dataset had MNIST's size. It orders runs and tells how
// far they are.
func Cost(c experiments.Config) float64 {
	t, err := c.Architecture(28, 28, 10)
	if err != nil { // images of other data may be larger
		t = model.FullyConnected{Rows: 28, Columns: 28, Hidden: c.LayerSizes, Classes: 10}
	}
	images := float64(cmp.Or(c.TrainImages, 60000))
	return float64(c.Epochs) * (images*model.TrainFLOPs(t) + (images+10000)*model.EvaluationFLOPs(t))
}

// run starts the jobs and waits for them. The first error stops all of them.
func (w *work) run(ctx context.Context) error {
	// The longest first, so that the jobs end at about the same time.
	slices.SortStableFunc(w.missing, func(a, b *task) int { return cmp.Compare(b.cost(), a.cost()) })
	w.spent, w.queue = map[*task]float64{}, make(chan *task, len(w.missing))
	for _, t := range w.missing {
		w.total += t.cost()
		w.queue <- t
	}
	close(w.queue)
	devices, err := w.open(ctx)
	if err != nil {
		return err
	}
	w.observe(Working{Backend: devices[0].Info(), Jobs: len(devices)})
	w.started = w.options.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var failure error // the first that is not the end of the context
	var group sync.WaitGroup
	for _, device := range devices {
		group.Go(func() {
			defer device.Close()
			if err := w.job(ctx, device); err != nil {
				w.mutex.Lock()
				if failure == nil && !errors.Is(err, context.Canceled) {
					failure = err // also a run that could not be saved when it was cancelled
				}
				w.mutex.Unlock()
				cancel(err)
			}
		})
	}
	group.Wait()
	return cmp.Or(failure, context.Cause(ctx))
}

// open opens a device for every job. On the processor each has its share of the
// cores: several runs side by side use them better than one run does, whose
// steps are too small to be divided well. On GPUs they take turns.
func (w *work) open(ctx context.Context) (devices []*train.Device, err error) {
	cores := backend.Cores()
	jobs := min(cmp.Or(w.options.Jobs, cores), len(w.missing))
	gpus, want := 1, w.options.WantCUDA
	for len(devices) < jobs {
		device, warnings, err := train.OpenDevice(ctx, w.options.Backend, train.DeviceOptions{
			TF32: w.options.TF32, Deterministic: w.options.Deterministic,
			Threads:  max(1, cores/jobs),
			GPU:      len(devices) % gpus,
			WantCUDA: want,
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
		gpus, want = max(1, device.GPUs()), nil // it is asked once
		if w.options.Jobs == 0 && !strings.HasPrefix(device.Info().Name, backend.XLACPU) {
			jobs = min(gpus, len(w.missing)) // pure Go has a pool of its own for all cores
		}
	}
	return devices, nil
}

// job runs one missing run after another on a device.
func (w *work) job(ctx context.Context, device *train.Device) error {
	for t := range w.queue {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := w.one(ctx, t, device); err != nil {
			return err
		}
	}
	return nil
}

// one runs one run until it ends or diverges.
func (w *work) one(ctx context.Context, t *task, device *train.Device) error {
	place := func() string {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		return w.store.place(t)
	}
	folder := place()
	_, err := os.Lstat(folder)
	o := train.Options{
		Folder: folder, Resume: err == nil, Until: t.Until, Device: device, Now: w.options.Now, CheckpointEvery: 1,
		Observer: func(e experiments.Event) { w.progress(t, e) },
	}
	if w.options.RunObserver != nil {
		progress, other := o.Observer, w.options.RunObserver()
		o.Observer = func(e experiments.Event) { progress(e); other(e) }
	}
	c := t.Config
	if o.Resume {
		c.Data, c.Init = record.Named(folder, c.Data), record.Named(folder, c.Init)
	}
	_, err = train.Run(ctx, c, o)
	if o.Resume && errors.As(err, new(record.CannotResume)) {
		w.observe(Other{experiments.Warning{Text: fmt.Sprintf("%v; the run starts over", err)}})
		w.mutex.Lock()
		failed := w.store.forget(t)
		w.mutex.Unlock()
		if failed != nil {
			return failed
		}
		o.Folder, o.Resume = place(), false
		_, err = train.Run(ctx, t.Config, o)
	}
	var diverged experiments.Diverged
	if paused := errors.Is(err, train.ErrUntil); err != nil && !paused && !errors.As(err, &diverged) {
		return fmt.Errorf("%s, seed %d: %w", t.Name, t.Config.Seed, err)
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.spent[t] = t.cost() // before the task knows that it has its epochs
	if err := w.store.complete(t, !errors.Is(err, train.ErrUntil)); err != nil {
		return err
	}
	w.done++
	w.options.Observer(RunEnded{Run: t.Run, Record: t.result.Record, Done: w.done, Runs: w.runs})
	return nil
}

// progress passes on what a run says.
func (w *work) progress(t *task, e experiments.Event) {
	switch e := e.(type) {
	case experiments.Warning, experiments.PluginProgress:
		w.observe(Other{e})
	case experiments.StepsDone:
		w.mutex.Lock()
		defer w.mutex.Unlock()
		w.spent[t] = t.cost() * (float64(e.Images)/float64(e.Count) - float64(t.epochs)) / float64(t.until()-t.epochs)
		spent := 0.0
		for _, one := range w.spent {
			spent += one
		}
		if spent <= 0 { // a run does again what a damaged checkpoint had
			return
		}
		share, elapsed := spent/w.total, w.options.Now().Sub(w.started)
		w.options.Observer(Progress{
			Run: t.Run, Epoch: e.Epoch,
			Share: share, Left: time.Duration(float64(elapsed) * (1 - share) / share),
		})
	}
}

func (w *work) observe(e Event) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.options.Observer(e)
}
