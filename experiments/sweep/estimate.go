package sweep

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/study"
	"epochal/experiments/train"
	"epochal/model/backend"
)

// measureFor is how long each of the settings that are measured trains.
const measureFor = 1500 * time.Millisecond

// Forecast says what a sweep would do.
type Forecast struct {
	Settings []Setting
	Runs     int           // of the plan
	Missing  int           // those that would be made now, of the shard, if no setting stops early
	Jobs     int           // side by side
	Time     time.Duration // that they would take; an upper bound where bad settings stop early
	Measured []Speed       // what that rests on; none if nothing is missing
}

// Speed is how fast a setting trains.
type Speed struct {
	Setting      Setting
	EpochSeconds float64 // of training and evaluation
	StartSeconds float64 // before the first step of a run: reading, compiling, copying
}

// Estimate finds out what is missing and trains up to three of the settings, the smallest,
// the middle and the largest by their work, for a few seconds. It writes nothing.
func Estimate(ctx context.Context, p Plan, o Options) (Forecast, error) {
	settings, err := p.Check()
	if err != nil {
		return Forecast{}, err
	}
	if err := o.Validate(); err != nil {
		return Forecast{}, err
	}
	if _, err := p.parameters(settings); err != nil {
		return Forecast{}, err
	}
	f := Forecast{Settings: settings, Runs: len(settings) * len(p.Seeds)}
	missing, err := p.missing(ctx, settings, o)
	if err != nil {
		return f, err
	}
	f.Missing = len(missing)
	f.Jobs = min(cmp.Or(o.Jobs, backend.Cores()), f.Missing)
	if f.Missing == 0 {
		return f, nil
	}
	data, err := dataset.Open(p.Base.Data, p.Base.DataOptions())
	if err != nil {
		return f, err
	}
	all := data.TrainCount
	data.Close()
	devices, err := f.open(ctx, o)
	for _, device := range devices {
		defer device.Close()
	}
	if err != nil {
		return f, err
	}
	ordered := slices.SortedStableFunc(slices.Values(missing), func(a, b Setting) int {
		return cmp.Compare(epochCost(a.Config), epochCost(b.Config))
	})
	for _, i := range slices.Compact([]int{0, len(ordered) / 2, len(ordered) - 1}) {
		speed, err := measureAll(ctx, ordered[i], uint64(len(f.Measured)), devices, trainedOn(ordered[i].Config, all), o)
		if err != nil {
			return f, err
		}
		f.Measured = append(f.Measured, speed)
	}
	seconds, longest := 0.0, 0.0
	for _, s := range missing {
		one := f.seconds(s.Config, all)
		seconds, longest = seconds+one, max(longest, one)
	}
	f.Time = time.Duration(max(seconds/float64(f.Jobs), longest) * float64(time.Second))
	return f, nil
}

// missing are the settings of all runs that are missing, each as often as it has such runs.
func (p Plan) missing(ctx context.Context, settings []Setting, o Options) (missing []Setting, err error) {
	o.ReadOnly, o.Keep, o.Observer = true, p.keep, nil
	s, err := study.Open(o.Options)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var runs []study.Run
	for _, setting := range settings {
		for _, seed := range p.Seeds {
			setting.Config.Seed = seed
			runs = append(runs, study.Run{Config: setting.Config})
		}
	}
	results, err := s.Do(ctx, runs)
	for i, r := range results {
		if r.Folder == "" && r.Ours {
			missing = append(missing, settings[i/len(p.Seeds)])
		}
	}
	return missing, err
}

// trainedOn is the number of images of an epoch of c, with so many training images in the data.
func trainedOn(c experiments.Config, all int) int {
	if c.TrainImages > 0 {
		all = min(all, c.TrainImages)
	}
	return max(1, all-c.Validation)
}

func epochCost(c experiments.Config) float64 { return study.Cost(c) / float64(c.Epochs) }

// open opens a device for every job, as a study does.
func (f *Forecast) open(ctx context.Context, o Options) (devices []*train.Device, err error) {
	for gpus := 1; len(devices) < f.Jobs; {
		device, _, err := train.OpenDevice(ctx, o.Backend, train.DeviceOptions{
			TF32: o.TF32, Deterministic: o.Deterministic,
			Threads: max(1, backend.Cores()/f.Jobs), GPU: len(devices) % gpus, WantCUDA: o.WantCUDA,
		})
		if err != nil {
			return devices, err
		}
		devices = append(devices, device)
		if gpus = max(1, device.GPUs()); o.Jobs == 0 && device.GPUs() > 0 {
			f.Jobs = min(gpus, f.Missing)
		}
	}
	return devices, nil
}

// measureAll measures a setting on all devices at the same time, which slow each other down.
func measureAll(ctx context.Context, s Setting, seed uint64, devices []*train.Device, images int, o Options) (Speed, error) {
	s.Config.Seed = seed // another split of the images, so that they are copied again
	speeds, errs := make([]Speed, len(devices)), make([]error, len(devices))
	var group sync.WaitGroup
	for i, device := range devices {
		group.Go(func() { speeds[i], errs[i] = measure(ctx, s, device, images, o) })
	}
	group.Wait()
	mean := Speed{Setting: s}
	for _, speed := range speeds {
		mean.EpochSeconds += speed.EpochSeconds / float64(len(devices))
		mean.StartSeconds += speed.StartSeconds / float64(len(devices))
	}
	return mean, errors.Join(errs...)
}

// measure trains a setting for a while.
func measure(ctx context.Context, s Setting, device *train.Device, images int, o Options) (Speed, error) {
	c := s.Config
	c.Backend, c.TF32, c.Deterministic = o.Backend, o.TF32, o.Deterministic
	c.LearningRate = experiments.Defaults().LearningRate // takes the same time, and does not diverge
	now := o.Now
	if now == nil {
		now = time.Now
	}
	begun, started := now(), now()
	var trained, evaluated float64
	done, epochs, first := 0, 0, 0.0
	firstDone := 0
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err := train.Run(limited, c, train.Options{Device: device, Now: now, Observer: func(e experiments.Event) {
		switch e := e.(type) {
		case experiments.RunStarted:
			started = now()
		case experiments.StepsDone:
			trained, done = e.Trained.Seconds(), e.Images
			if firstDone == 0 { // the first call has a single step, and what is done only once
				first, firstDone = trained, done
			}
		case experiments.EpochDone:
			evaluated, epochs = evaluated+e.Metrics.EvalSeconds, epochs+1
		}
		if now().Sub(started) > measureFor && done > firstDone {
			cancel()
		}
	}})
	if err != nil && ctx.Err() == nil && (errors.Is(err, context.Canceled) || errors.As(err, new(experiments.Diverged))) {
		err = nil
	}
	speed := Speed{Setting: s, StartSeconds: started.Sub(begun).Seconds()}
	if done > firstDone {
		trained, done = trained-first, done-firstDone
	}
	if done > 0 {
		speed.EpochSeconds = trained / float64(done) * float64(images)
	}
	if epochs > 0 {
		speed.EpochSeconds += evaluated / float64(epochs)
	} else {
		speed.EpochSeconds *= 1 + 1.0/3 // a step's work is about three times that of an evaluation
	}
	return speed, err
}

// seconds is what a run of c takes: as the measured setting whose work is nearest, and in
// proportion to the work of a step and the number of steps. The data has so many training images.
func (f Forecast) seconds(c experiments.Config, all int) float64 {
	steps := float64(dataset.BatchCount(trainedOn(c, all), c.BatchSize))
	perStep := epochCost(c) / steps
	// seconds of a step = a + b*work, through the smallest and the largest that was measured
	point := func(s Speed) (work, seconds float64) {
		n := float64(dataset.BatchCount(trainedOn(s.Setting.Config, all), s.Setting.Config.BatchSize))
		return epochCost(s.Setting.Config) / n, s.EpochSeconds / n
	}
	least, most := f.Measured[0], f.Measured[0]
	start := f.Measured[len(f.Measured)/2].StartSeconds // the first one also opens files for the first time
	for _, s := range f.Measured {
		work, _ := point(s)
		if low, _ := point(least); work < low {
			least = s
		}
		if high, _ := point(most); work > high {
			most = s
		}
	}
	low, lowSeconds := point(least)
	high, highSeconds := point(most)
	step := highSeconds * perStep / high
	if high > low && highSeconds > lowSeconds {
		step = max(lowSeconds+(highSeconds-lowSeconds)*(perStep-low)/(high-low), min(lowSeconds, lowSeconds*perStep/low))
	}
	return start + float64(c.Epochs)*steps*step
}
