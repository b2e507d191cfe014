package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/model"
)

// MaxThreads is the most that Options.Threads may be.
const MaxThreads = 1024

// Options are the surroundings of a run: what does not change its result.
type Options struct {
	Observer experiments.Observer // may be nil
	Now      func() time.Time     // time.Now when nil
	Device   *Device              // where to run; nil opens the config's backend for this run alone

	Folder string // the run folder, new or empty unless Resume
	Parent string // without Folder: where a run folder named after the time is made; "" keeps no record
	Resume bool   // Folder is that of a run that stopped, which continues

	Until int // epochs after which it ends with [ErrUntil] in [Stopped], to be continued; 0: when all are done

	MaxTime time.Duration // from the call of Run on, after which it ends with [ErrMaxTime] in [Stopped]; 0: none

	Threads int // of XLA on the processor; 0: as suits the steps, see [model.Threads]; ignored with Device
	GPU     int // on CUDA, its number; ignored with Device

	WantCUDA func(context.Context) bool // see [DeviceOptions]

	CheckpointEvery int    // epochs between two checkpoints; 0: only on interrupt and at the end
	Keep            string // record.KeepLast or KeepBest; "" is KeepLast, or what a run that is resumed kept
}

// problems are the impossible options.
func (o Options) problems() (problems experiments.Problems) {
	if o.CheckpointEvery < 0 || o.CheckpointEvery > experiments.MaxEpochs {
		problems = append(problems, experiments.Problem{Field: "checkpoint_every", Found: fmt.Sprint(o.CheckpointEvery),
			Expected: fmt.Sprintf("0 (only on interrupt and at the end) to %d", experiments.MaxEpochs)})
	}
	if o.MaxTime < 0 {
		problems = append(problems, experiments.Problem{Field: "max_time", Found: o.MaxTime.String(),
			Expected: "0s (no limit) or more, such as 10m"})
	}
	if o.Threads < 0 || o.Threads > MaxThreads {
		problems = append(problems, experiments.Problem{Field: "threads", Found: fmt.Sprint(o.Threads),
			Expected: fmt.Sprintf("0 (automatic) to %d", MaxThreads)})
	}
	if o.GPU < 0 {
		problems = append(problems, experiments.Problem{Field: "device", Found: fmt.Sprint(o.GPU), Expected: "the number of a GPU, from 0"})
	}
	if o.Keep != "" && o.Keep != record.KeepLast && o.Keep != record.KeepBest {
		problems = append(problems, experiments.Problem{Field: "keep", Found: fmt.Sprintf("%q", o.Keep),
			Expected: record.KeepLast + " or " + record.KeepBest})
	}
	return problems
}

// Run trains c's network and evaluates it after every epoch.
//
// Nothing is opened or written before c is known to be possible, and a new run
// folder appears only when the first epoch begins. A run that diverges ends with
// [experiments.Diverged], and one that is cancelled or fails later with [Stopped],
// which wraps ctx's error, [ErrMaxTime], [ErrUntil] or the reason; both leave the metrics written so
// far. A stopped run continues with o.Resume, bit for bit as if nothing had happened: c is
// then that of its folder, except for epochs, patience, backend, tf32, deterministic and
// steps per call, which may change, and for the places of the data and the initial weights.
func Run(ctx context.Context, c experiments.Config, o Options) (experiments.Result, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	training := ctx
	if o.MaxTime > 0 {
		// Only the epochs are cut short: what is prepared in vain could not be resumed.
		limited, cancel := context.WithTimeoutCause(ctx, o.MaxTime, ErrMaxTime)
		defer cancel()
		training = limited
	}
	if o.Observer == nil {
		o.Observer = func(experiments.Event) {}
	}
	var problems experiments.Problems
	errors.As(c.Validate(), &problems)
	if problems = append(problems, o.problems()...); len(problems) > 0 {
		return experiments.Result{}, problems
	}
	open := record.Create
	if o.Resume {
		open = record.Open
	}
	recorded, err := open(c, record.Options{
		Folder: o.Folder, Parent: o.Parent, CheckpointEvery: o.CheckpointEvery, Keep: o.Keep, Now: o.Now,
		Warn: func(text string) { o.Observer(experiments.Warning{Text: text}) },
	})
	if err != nil {
		return experiments.Result{}, err
	}
	r := &run{config: c, options: o, record: recorded}
	defer r.close()
	if ended := recorded.Ended; ended != nil {
		r.count(ended.Epochs)
		r.result.Folder, r.result.Backend, r.result.Confusion = o.Folder, ended.Environment.LastBackend(), ended.Test.Confusion
		r.observe(experiments.AlreadyEnded{Result: r.result})
		return r.result, nil
	}
	err = r.prepare(ctx)
	if err == nil {
		err = r.begin()
	}
	if err == nil {
		ctx = training
		err = r.epochs(ctx)
	}
	if err == nil && !r.record.Over() {
		err = ErrUntil
	}
	if err == nil {
		err = r.end()
	}
	if err != nil {
		err = r.stopped(ctx, err)
		r.observe(experiments.RunStopped{Err: err})
		return experiments.Result{}, err
	}
	r.observe(experiments.RunEnded{Result: r.result})
	return r.result, nil
}

// run is the state of a Run.
type run struct {
	config  experiments.Config
	options Options
	record  *record.Run // where the run stands

	loading      *dataset.Loading
	reading      chan experiments.DataProgress // how far loading is, while programs compile; nil before
	files        []dataset.File                // of the data
	described    model.Description             // what the data say for one
	initSHA256   string                        // of the file with the initial weights, "" without one
	architecture model.Architecture
	trainCount   int // images to train on
	testCount    int // images in the test set

	device  *Device
	network *model.Network // the device's
	images  *model.Images  // the device's

	begun       bool              // the run folder is the run's: what fails from here on can be resumed
	stepSeconds float64           // of a step in the last call, 0 before the first
	ahead       float64           // seconds of training of the epoch after record.At, while evaluation is under way
	evaluation  *evaluation       // of the epoch at record.At, nil if it has not begun
	test        *model.Evaluation // of the test set after the last epoch, nil before
	result      experiments.Result
}

func (r *run) observe(e experiments.Event) { r.options.Observer(e) }

// count adds epochs that are over to the result.
func (r *run) count(epochs []experiments.EpochMetrics) {
	for _, epoch := range epochs {
		r.result.Final = epoch
		r.result.TrainSeconds += epoch.TrainSeconds
		r.result.EvaluateSeconds += epoch.EvalSeconds
		r.result.Images += r.trainCount
	}
}

// begin makes the run folder, or reopens it, and says that the run starts.
func (r *run) begin() error {
	r.begun = true
	network := r.described
	network.Architecture = r.architecture
	if err := r.record.Begin(r.device.Info(), r.files, r.initSHA256, network); err != nil {
		return err
	}
	r.result.Folder = r.record.Folder
	r.observe(experiments.RunStarted{
		Config: r.config, Architecture: r.architecture, Backend: r.device.Info(),
		Train: r.trainCount, Test: r.testCount, Folder: r.record.Folder,
		Resumed: r.record.Resumed, At: r.record.At,
	})
	return nil
}

// epochs is the post's epoch_loop: train, evaluate both sets, report. With a second
// client the evaluation runs beside the first call of the next epoch, after which it is
// reported; what is observed and recorded has the same order.
func (r *run) epochs(ctx context.Context) error {
	last := r.config.Epochs
	if r.options.Until > 0 {
		last = min(last, r.options.Until)
	}
	for at := r.at(); at.Step > 0 || at.Epoch <= last && !r.record.Over(); at = r.at() {
		err := r.train(ctx)
		if err == nil {
			err = r.evaluate(ctx)
		}
		if errors.Is(err, errOver) {
			return nil
		}
		if err != nil {
			return cmp.Or(r.report(), err)
		}
	}
	return r.report()
}

// errOver ends an epoch of which only the first call ran, beside the evaluation that found
// the run to be over.
var errOver = errors.New("the run is over")

// at is the step that trains next.
func (r *run) at() experiments.Position {
	if r.evaluation != nil {
		return experiments.Position{Epoch: r.record.At.Epoch + 1}
	}
	return r.record.At
}

// train is the post's train_loop: one pass over the training images, several steps
// per device call, from the step that comes next. The seconds that it counts
// are the device's: the observer and the files are outside of them.
func (r *run) train(ctx context.Context) error {
	at := r.at()
	if r.evaluation == nil {
		r.observe(experiments.EpochStarted{Epoch: at.Epoch})
	}
	order := dataset.FileOrder(r.trainCount)
	if r.config.Shuffle {
		order = dataset.Order(r.config.Seed, at.Epoch, r.trainCount)
	}
	start := r.options.Now()
	epoch, err := r.network.BeginEpoch(r.images, order)
	if err != nil {
		return err
	}
	defer epoch.Close()
	epoch.Seek(at.Step)
	if seconds := r.options.Now().Sub(start).Seconds(); r.evaluation == nil {
		r.record.EpochSeconds += seconds
	} else {
		r.ahead = seconds
	}
	for epoch.Step() < epoch.Steps() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.call(ctx, epoch); err != nil {
			return err
		}
	}
	return nil
}

// call is one device call that trains.
func (r *run) call(ctx context.Context, epoch *model.Epoch) error {
	number := r.at().Epoch
	done := experiments.StepsDone{Epoch: number, First: epoch.Step(), Count: r.trainCount}
	start := r.options.Now()
	losses, err := epoch.Train(ctx, r.stepsPerCall(), r.config.LearningRate)
	seconds := r.options.Now().Sub(start).Seconds()
	if len(losses) > 0 {
		r.stepSeconds = seconds / float64(len(losses))
	}
	r.ahead += seconds
	if e := r.evaluation; e != nil {
		if err := r.report(); err != nil {
			return err
		}
		err := ctx.Err()
		if r.record.Over() {
			err = errOver
		}
		if err != nil {
			// The run stops between two epochs, as if this call had not been.
			return cmp.Or(r.network.SetWeights(e.snapshot.Weights), err)
		}
		r.observe(experiments.EpochStarted{Epoch: number})
	}
	r.record.EpochSeconds += r.ahead
	r.ahead = 0
	finite := slices.IndexFunc(losses, func(x float32) bool { return !experiments.IsFinite(float64(x)) })
	if finite < 0 {
		finite = len(losses)
	}
	done.Losses, done.Samples = losses[:finite], min((done.First+finite)*r.config.BatchSize, r.trainCount)
	done.Images = (number-1)*r.trainCount + done.Samples
	done.Trained = time.Duration((r.result.TrainSeconds + r.record.EpochSeconds) * float64(time.Second))
	if err := r.record.StepsDone(done); err != nil {
		return err
	}
	r.record.At.Step = epoch.Step()
	r.observe(done)
	if finite < len(losses) {
		return experiments.Diverged{Epoch: number, Step: done.First + finite, Loss: float64(losses[finite])}
	}
	return err
}

// stepsPerCall is the number of steps of the next call. One beside an evaluation is
// never long, because the epoch before is reported after it.
func (r *run) stepsPerCall() int {
	wanted := r.config.StepsPerCall
	if r.stepSeconds == 0 {
		return max(1, wanted) // the first call tells how long a step takes
	}
	short := int(max(1, min(experiments.CallSeconds/r.stepSeconds, math.MaxInt32)))
	if wanted > 0 && (r.evaluation == nil || wanted < short) {
		return wanted
	}
	return short
}

// end writes the weights and what else is known at the end.
func (r *run) end() error {
	if r.test == nil {
		// All epochs were over when the run was resumed.
		evaluation, err := r.network.Evaluate(context.Background(), r.images, testSection)
		if err != nil {
			return err
		}
		r.test = &evaluation
	}
	weights, err := r.network.Weights()
	if err != nil {
		return err
	}
	r.result.Confusion, r.result.BestEpoch = r.test.Confusion, r.record.BestEpoch
	return r.record.Finish(record.NewTestEvaluation(*r.test), weights)
}

// close ends the record, and the device if it was opened for this run.
func (r *run) close() {
	r.record.Close()
	if r.loading != nil {
		r.loading.Close()
	}
	if r.device != nil && r.options.Device == nil {
		r.device.Close()
	}
}
