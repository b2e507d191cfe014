package experiments

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"time"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/model"
	"epochal/model/backend"
)

// Options are the surroundings of a run: what does not change its result.
type Options struct {
	Observer Observer         // may be nil
	Folder   string           // the run folder, which must not exist or be empty
	Parent   string           // without Folder: where a run folder named after the time is made; "" keeps no record
	Now      func() time.Time // time.Now when nil
	Plugins  backend.Plugins  // where plugins are found and installed
	Device   *Device          // where to run; nil opens c.Backend for this run alone

	CheckpointEvery int    // epochs between two checkpoints, 0 for none but at an interruption and at the end
	Keep            string // KeepLast or KeepBest; "" is KeepLast, or what a run that is resumed kept
	Resume          bool   // Folder is that of a run that ended early, which goes on
}

// Validate reports impossible options as [Problems].
func (o Options) Validate() error {
	var problems Problems
	if o.CheckpointEvery < 0 || o.CheckpointEvery > MaxEpochs {
		problems = append(problems, Problem{Field: "checkpoint_every", Found: fmt.Sprint(o.CheckpointEvery), Expected: fmt.Sprintf("0 (only when interrupted) to %d", MaxEpochs)})
	}
	if o.Keep != "" && o.Keep != KeepLast && o.Keep != KeepBest {
		problems = append(problems, Problem{Field: "keep", Found: fmt.Sprintf("%q", o.Keep), Expected: KeepLast + " or " + KeepBest})
	}
	if o.Resume && o.Folder == "" {
		problems = append(problems, Problem{Field: "resume", Found: `""`, Expected: "a run folder"})
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// The sets of a dataset as sections of the resident images.
const (
	trainSection = iota
	testSection
	validationSection // only with a validation split
)

// Run trains c's network and evaluates it after every epoch.
//
// Nothing is opened or written before c is known to be possible, and the run
// folder appears only when the first epoch begins. A run that diverges ends with
// [Diverged], and one that is cancelled or fails later with [Stopped], which wraps
// ctx's error or the reason; both leave the metrics written so far. A stopped run
// goes on with o.Resume, bit for bit as if nothing had happened: c is then that of
// its folder, but for epochs, backend, tf32 and steps per call, which may change.
func Run(ctx context.Context, c Config, o Options) (Result, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observer == nil {
		o.Observer = func(Event) {}
	}
	r := &run{config: c, options: o, at: Position{Epoch: 1}}
	defer r.close()
	if err := joinProblems(c.Validate(), o.Validate()); err != nil {
		return Result{}, err
	}
	if o.Resume {
		if ended, err := r.reopen(); err != nil {
			return Result{}, err
		} else if ended {
			o.Observer(AlreadyEnded{r.result})
			return r.result, nil
		}
	}
	if err := r.prepare(ctx); err != nil {
		return Result{}, r.stopped(ctx, err)
	}
	if err := ctx.Err(); err != nil {
		return Result{}, r.stopped(ctx, err)
	}
	err := r.record()
	if err == nil {
		err = r.epochs(ctx)
	}
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return Result{}, r.stopped(ctx, err)
	}
	r.observe(RunEnded{r.result})
	return r.result, nil
}

// run is the state of a Run.
type run struct {
	config  Config
	options Options

	loading  *dataset.Loading
	topology model.FullyConnected
	weights  model.Weights
	device   *Device
	network  *model.Network // the device's
	images   *model.Images  // the device's
	folder   *folder
	files    []dataset.File // of the data

	initSHA256 string          // of the file with the initial weights, "" without one
	test       *TestEvaluation // after the last epoch, nil before

	at           Position // what comes next
	saved        Position // of the newest checkpoint, zero without one
	epochSeconds float64  // that the steps of the epoch under way took
	bestEpoch    int      // with KeepBest, 0 before the first
	bestLoss     float64

	recorded    Config      // of a run that is resumed, as are the next
	environment Environment // as recorded
	refused     []Position  // checkpoints newer than the one that was taken
	recording   bool        // the first epoch has begun: what fails from here on leaves a run to resume

	trainCount  int
	stepSeconds float64 // of a step in the last call, 0 before the first
	result      Result
}

// stopped makes of an error what a run ends with.
func (r *run) stopped(ctx context.Context, err error) error {
	var diverged Diverged
	if errors.As(err, &diverged) {
		return errors.Join(err, r.folder.append(diverged.Metrics()))
	}
	cancelled := ctx.Err() != nil && errors.Is(err, ctx.Err())
	if r.folder == nil || !cancelled && !r.recording || errors.Is(err, model.ErrNotFinite) {
		return err // nothing was lost, or it would come to the same again
	}
	if cancelled && r.recording && r.saved != r.at {
		if failed := r.checkpoint(); failed != nil {
			err = failed
		}
	}
	at := r.saved
	if at.Epoch == 0 {
		at.Epoch = 1
	}
	return Stopped{Folder: r.folder.path, Epoch: at.Epoch, Step: at.Step, Err: err}
}

// epochs is the post's epoch_loop: train, evaluate both sets, report.
func (r *run) epochs(ctx context.Context) error {
	for r.at.Epoch <= r.config.Epochs {
		epoch := r.at.Epoch
		r.observe(EpochStarted{epoch})
		if err := r.train(ctx); err != nil {
			return err
		}
		metrics, err := r.evaluate(ctx, epoch)
		if err != nil {
			return err
		}
		metrics.TrainSeconds = r.epochSeconds
		r.result.Final = metrics
		if err := r.folder.append(metrics); err != nil {
			return err
		}
		r.at, r.epochSeconds = Position{Epoch: epoch + 1}, 0
		if err := r.keep(metrics); err != nil {
			return err
		}
		r.observe(EpochDone{metrics})
	}
	return nil
}

// train is the post's train_loop: one pass over the training images, several
// steps per call of the device, from the step that comes next. The seconds that
// it counts are the device's: the observer and the files are outside of them.
func (r *run) train(ctx context.Context) error {
	number := r.at.Epoch
	if r.at.Step < r.steps() {
		order := dataset.FileOrder(r.trainCount)
		if r.config.Shuffle {
			order = dataset.Order(r.config.Seed, number, r.trainCount)
		}
		start := r.options.Now()
		epoch, err := r.network.BeginEpoch(r.images, order)
		if err != nil {
			return err
		}
		defer epoch.Close()
		epoch.Seek(r.at.Step)
		r.epochSeconds += r.options.Now().Sub(start).Seconds()
		before := r.result.TrainSeconds
		for epoch.Step() < epoch.Steps() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.call(ctx, epoch, before); err != nil {
				return err
			}
		}
		r.result.TrainSeconds = before + r.epochSeconds
	} else {
		r.result.TrainSeconds += r.epochSeconds
	}
	r.result.Images += r.trainCount
	return nil
}

// steps is the number of steps of an epoch.
func (r *run) steps() int { return dataset.BatchCount(r.trainCount, r.config.BatchSize) }

// call is one call of the device that trains. before is the training time of the
// epochs before.
func (r *run) call(ctx context.Context, epoch *model.Epoch, before float64) error {
	number := r.at.Epoch
	done := StepsDone{Epoch: number, First: epoch.Step(), Count: r.trainCount}
	start := r.options.Now()
	losses, err := epoch.Train(ctx, r.stepsPerCall(), r.config.LearningRate)
	call := r.options.Now().Sub(start).Seconds()
	if len(losses) > 0 {
		r.stepSeconds = call / float64(len(losses))
	}
	r.epochSeconds += call
	r.result.TrainSeconds = before + r.epochSeconds
	finite := finiteLosses(losses)
	done.Losses, done.Samples = losses[:finite], min((done.First+finite)*r.config.BatchSize, r.trainCount)
	done.Images = (number-1)*r.trainCount + done.Samples
	done.Trained = time.Duration(r.result.TrainSeconds * float64(time.Second))
	for _, line := range done.Reported(r.config.BatchSize) {
		if err := r.folder.append(line); err != nil {
			return err
		}
	}
	r.at.Step = epoch.Step()
	r.observe(done)
	if finite < len(losses) {
		return Diverged{number, done.First + finite, float64(losses[finite])}
	}
	return err
}

// stepsPerCall is the number of steps of the next call.
func (r *run) stepsPerCall() int {
	switch {
	case r.config.StepsPerCall > 0:
		return r.config.StepsPerCall
	case r.stepSeconds > 0:
		return int(max(1, min(CallSeconds/r.stepSeconds, math.MaxInt32)))
	default:
		return 1 // the first call tells how long a step takes
	}
}

// finiteLosses is the number of losses before the first that is not finite.
func finiteLosses(losses []float32) int {
	for i, loss := range losses {
		if !isFinite(float64(loss)) {
			return i
		}
	}
	return len(losses)
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// evaluate is the post's eval_loop over every set.
func (r *run) evaluate(ctx context.Context, epoch int) (EpochMetrics, error) {
	start := r.options.Now()
	metrics := EpochMetrics{Event: "epoch", Epoch: epoch}
	sections := []int{trainSection, testSection}
	if r.config.Validation > 0 {
		sections = append(sections, validationSection)
	}
	for _, section := range sections {
		evaluation, err := r.network.Evaluate(ctx, r.images, section)
		if err != nil {
			return metrics, err
		}
		loss, accuracy := evaluation.Loss, evaluation.Accuracy()
		if !isFinite(loss) {
			return metrics, Diverged{epoch, -1, loss}
		}
		switch section {
		case trainSection:
			metrics.TrainLoss, metrics.TrainAccuracy = loss, accuracy
		case testSection:
			metrics.TestLoss, metrics.TestAccuracy = loss, accuracy
			r.result.Confusion = evaluation.Confusion
			if epoch == r.config.Epochs {
				test := newTestEvaluation(evaluation)
				r.test = &test
			}
		case validationSection:
			metrics.ValidationLoss, metrics.ValidationAccuracy = &loss, &accuracy
		}
	}
	metrics.EvalSeconds = r.options.Now().Sub(start).Seconds()
	r.result.EvaluateSeconds += metrics.EvalSeconds
	return metrics, nil
}

// prepare makes everything ready for the first epoch. The pixels inflate in the
// background while the backend opens and the programs compile.
func (r *run) prepare(ctx context.Context) error {
	c := r.config
	place := r.options.Folder
	if !r.options.Resume {
		var err error
		if place, err = r.options.checkFolder(); err != nil {
			return err
		}
	}
	if err := r.load(); err != nil {
		if r.options.Resume {
			err = cannotResume{err}
		}
		return err
	}
	if r.options.Resume {
		if err := r.choose(); err != nil {
			return err
		}
	}
	if place != "" {
		if err := checkSpace(place, r.topology); err != nil {
			return err
		}
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	start := r.options.Now()
	if err := ctx.Err(); err != nil {
		return err
	}
	// The pixels go to the device while the programs compile, as soon as they are there.
	uploaded := make(chan error, 1)
	go func() { uploaded <- r.upload() }()
	counts := []int{trainSection: r.trainCount, testSection: r.loading.TestCount, validationSection: c.Validation}
	var err error
	r.network, err = r.device.network(model.Program{Architecture: r.topology, BatchSize: c.BatchSize, SingleSteps: c.StepsPerCall == 1}, counts)
	compiled := r.options.Now()
	uploadErr := <-uploaded
	if err != nil {
		return err
	}
	r.result.CompileSeconds = compiled.Sub(start).Seconds()
	r.result.WaitSeconds = r.options.Now().Sub(compiled).Seconds()
	if uploadErr != nil {
		return uploadErr
	}
	return r.network.SetWeights(r.weights)
}

// open takes the device of the options, or opens one for this run.
func (r *run) open(ctx context.Context) error {
	if r.device = r.options.Device; r.device == nil {
		start := r.options.Now()
		device, warnings, err := OpenDevice(ctx, r.config.Backend, DeviceOptions{
			TF32: r.config.TF32, Plugins: r.options.Plugins,
			Progress: func(p backend.Progress) { r.observe(PluginProgress{p}) },
		})
		for _, warning := range warnings {
			r.observe(Warning{warning})
		}
		if err != nil {
			return err
		}
		r.device = device
		r.result.OpenSeconds = r.options.Now().Sub(start).Seconds()
	}
	r.result.Backend = r.device.Info()
	if r.config.TF32 && !r.result.Backend.TF32 {
		r.observe(Warning{"tf32 has no effect on " + r.result.Backend.Name})
	}
	if r.options.Resume {
		r.compareBackend()
	}
	return r.device.serves(r.config)
}

// load reads the headers and labels of the data and the initial weights, so
// that what is wrong with them is said before a device opens. Pixels are still
// being read then; upload reports theirs.
func (r *run) load() (err error) {
	c := r.config
	if r.loading, err = loadData(r.resolve(c.Data)); err != nil {
		return err
	}
	r.trainCount = r.loading.TrainCount - c.Validation
	if r.trainCount < 1 {
		return Problem{Field: "validation", Found: fmt.Sprint(c.Validation),
			Expected: fmt.Sprintf("fewer than the %d training images", r.loading.TrainCount)}
	}
	if r.topology, err = c.topology(r.loading.Rows, r.loading.Columns, r.loading.Classes); err != nil {
		return err
	}
	if c.Init == "" {
		r.weights = model.Initialize(r.topology.Parameters(), c.Seed)
		return nil
	}
	file, err := regular.Open(r.resolve(c.Init))
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	if r.weights, err = model.ReadWeights(io.TeeReader(file, hash), c.Init, r.topology.Parameters()); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	r.initSHA256 = hex.EncodeToString(hash.Sum(nil))
	return r.checkInit()
}

// upload waits for the pixels and has them on the device.
func (r *run) upload() error {
	data, err := r.loading.Wait()
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	r.files = data.Files
	if err := r.checkFiles(); err != nil {
		return err
	}
	r.images, err = r.device.images(data, r.config)
	return err
}

// record makes the run folder, or goes on with it, and says that the run starts.
func (r *run) record() (err error) {
	if r.options.Resume {
		r.recording = true
		err = r.continueRecord()
	} else {
		var environment Environment
		if environment, err = r.newEnvironment(); err == nil {
			r.folder, err = r.options.createFolder(r.config, environment)
		}
	}
	if err != nil {
		return err
	}
	r.recording = true
	if r.folder != nil {
		r.result.Folder = r.folder.path
	}
	r.observe(RunStarted{
		Config: r.config, Topology: r.topology, Backend: r.device.Info(),
		Train: r.trainCount, Test: r.loading.TestCount, Folder: r.result.Folder,
		Resumed: r.options.Resume, At: r.at,
	})
	return nil
}

// keep writes the checkpoints that are due when an epoch is over.
func (r *run) keep(metrics EpochMetrics) error {
	if r.folder == nil {
		return nil
	}
	if _, err := r.folder.root.Stat(MetricsFile); err != nil {
		return r.folder.failed(err) // lines still go to a file that was removed
	}
	loss := metrics.TrainLoss
	if metrics.ValidationLoss != nil {
		loss = *metrics.ValidationLoss
	}
	every := r.options.CheckpointEvery
	due := every > 0 && metrics.Epoch%every == 0 || metrics.Epoch == r.config.Epochs
	best := r.options.Keep == KeepBest && (r.bestEpoch == 0 || loss < r.bestLoss)
	var weights model.Weights
	if due || best {
		var err error
		if weights, err = r.network.Weights(); err != nil {
			return err
		}
	}
	if best {
		r.bestEpoch, r.bestLoss = metrics.Epoch, loss
		if err := r.write(path.Join(CheckpointsFolder, BestFile), weights); err != nil {
			return err
		}
	}
	if due {
		return r.writeNext(weights)
	}
	return nil
}

// checkpoint writes a checkpoint of what comes next.
func (r *run) checkpoint() error {
	weights, err := r.network.Weights()
	if err != nil {
		return err
	}
	return r.writeNext(weights)
}

// writeNext writes a checkpoint of what comes next and removes the one before
// the last.
func (r *run) writeNext(weights model.Weights) error {
	if err := r.write(r.at.name(), weights); err != nil {
		return err
	}
	if err := r.folder.prune(2); err != nil {
		return r.folder.failed(err)
	}
	return nil
}

// write writes one file with weights. Weights that are no longer finite while
// the loss still is do not stop a run: it has the same end as without checkpoints.
func (r *run) write(name string, weights model.Weights) error {
	fixed, err := r.config.fixedSHA256()
	if err != nil {
		return err
	}
	err = r.folder.writeCheckpoint(name, Checkpoint{
		Position: r.at, MetricsBytes: r.folder.size, EpochSeconds: r.epochSeconds,
		Keep: cmp.Or(r.options.Keep, KeepLast), BestEpoch: r.bestEpoch, BestLoss: r.bestLoss, ConfigSHA256: fixed,
	}, r.topology, weights)
	switch {
	case errors.Is(err, model.ErrNotFinite):
		r.observe(Warning{fmt.Sprintf("%s is not written: %v", name, err)})
	case err != nil:
		return r.folder.failed(err)
	case name == r.at.name():
		r.saved = r.at
	}
	return nil
}

// end writes the weights and what else is known at the end.
func (r *run) end() error {
	if r.test == nil {
		// Resumed after the last epoch, the run has not evaluated anything.
		evaluation, err := r.network.Evaluate(context.Background(), r.images, testSection)
		if err != nil {
			return err
		}
		test := newTestEvaluation(evaluation)
		r.test, r.result.Confusion = &test, evaluation.Confusion
	}
	weights, err := r.network.Weights()
	if err != nil {
		return err
	}
	r.result.BestEpoch = r.bestEpoch
	return r.folder.finish(*r.test, r.topology, weights)
}

func (r *run) observe(e Event) { r.options.Observer(e) }

// close ends the record, and the device if it was opened for this run.
func (r *run) close() {
	if r.folder != nil {
		r.folder.close()
	}
	if r.device != nil && r.options.Device == nil {
		r.device.Close()
	}
}
