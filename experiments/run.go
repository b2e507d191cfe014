package experiments

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"epochal/dataset"
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
// folder appears only when the first epoch begins. A run that is cancelled or
// that diverges ends with an error ([Diverged], or ctx's) and leaves the metrics
// written so far.
func Run(ctx context.Context, c Config, o Options) (Result, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observer == nil {
		o.Observer = func(Event) {}
	}
	r := &run{config: c, options: o}
	defer r.close()
	if err := r.prepare(ctx); err != nil {
		return Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	if err := r.record(); err != nil {
		return Result{}, err
	}
	if err := r.epochs(ctx); err != nil {
		var diverged Diverged
		if errors.As(err, &diverged) {
			err = errors.Join(err, r.folder.append(diverged.Metrics()))
		}
		return Result{}, err
	}
	return r.end()
}

// run is the state of a Run.
type run struct {
	config  Config
	options Options

	loading  *dataset.Loading
	topology model.Topology
	weights  model.Weights
	device   *Device
	network  *model.Network // the device's
	images   *model.Images  // the device's
	folder   *folder
	files    []dataset.File // of the data

	initSHA256 string         // of the file with the initial weights, "" without one
	test       TestEvaluation // after the last epoch

	trainCount  int
	stepSeconds float64 // of a step in the last call, 0 before the first
	result      Result
}

// epochs is the post's epoch_loop: train, evaluate both sets, report.
func (r *run) epochs(ctx context.Context) error {
	for epoch := 1; epoch <= r.config.Epochs; epoch++ {
		r.observe(EpochStarted{epoch})
		trainSeconds, err := r.train(ctx, epoch)
		if err != nil {
			return err
		}
		metrics, err := r.evaluate(ctx, epoch)
		if err != nil {
			return err
		}
		metrics.TrainSeconds = trainSeconds
		r.result.Final = metrics
		if err := r.folder.append(metrics); err != nil {
			return err
		}
		r.observe(EpochDone{metrics})
	}
	return nil
}

// train is the post's train_loop: one pass over the training images, several
// steps per call of the device. It returns the seconds that the device took:
// the observer and the files are outside of them.
func (r *run) train(ctx context.Context, number int) (seconds float64, err error) {
	order := dataset.FileOrder(r.trainCount)
	if r.config.Shuffle {
		order = dataset.Order(r.config.Seed, number, r.trainCount)
	}
	start := r.options.Now()
	epoch, err := r.network.BeginEpoch(r.images, order)
	if err != nil {
		return 0, err
	}
	defer epoch.Close()
	seconds = r.options.Now().Sub(start).Seconds()
	before := r.result.TrainSeconds
	for epoch.Step() < epoch.Steps() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		done := StepsDone{Epoch: number, First: epoch.Step(), Count: r.trainCount}
		start := r.options.Now()
		losses, err := epoch.Train(ctx, r.stepsPerCall(), r.config.LearningRate)
		call := r.options.Now().Sub(start).Seconds()
		if len(losses) > 0 {
			r.stepSeconds = call / float64(len(losses))
		}
		seconds += call
		r.result.TrainSeconds = before + seconds
		finite := finiteLosses(losses)
		done.Losses, done.Samples = losses[:finite], min((done.First+finite)*r.config.BatchSize, r.trainCount)
		done.Images = (number-1)*r.trainCount + done.Samples
		done.Trained = time.Duration(r.result.TrainSeconds * float64(time.Second))
		for _, line := range done.Reported(r.config.BatchSize) {
			if err := r.folder.append(line); err != nil {
				return 0, err
			}
		}
		r.observe(done)
		if finite < len(losses) {
			return 0, Diverged{number, done.First + finite, float64(losses[finite])}
		}
		if err != nil {
			return 0, err
		}
	}
	r.result.Images += r.trainCount
	return seconds, nil
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
				r.test = newTestEvaluation(evaluation)
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
	if err := c.Validate(); err != nil {
		return err
	}
	if err := r.options.checkFolder(); err != nil {
		return err
	}
	if err := r.load(); err != nil {
		return err
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	start := r.options.Now()
	if err := ctx.Err(); err != nil {
		return err
	}
	counts := []int{trainSection: r.trainCount, testSection: r.loading.TestCount, validationSection: c.Validation}
	var err error
	r.network, err = r.device.network(model.Program{Topology: r.topology, BatchSize: c.BatchSize, SingleSteps: c.StepsPerCall == 1}, model.Sizes{
		Rows:    model.ResidentRows(r.topology.Inputs, counts...),
		Epoch:   r.trainCount,
		Largest: max(r.trainCount, r.loading.TestCount, c.Validation),
	})
	if err != nil {
		return err
	}
	r.result.CompileSeconds = r.options.Now().Sub(start).Seconds()
	if err := r.network.SetWeights(r.weights); err != nil {
		return err
	}
	return r.upload()
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
	return r.device.serves(r.config)
}

// load reads the headers and labels of the data and the initial weights, so
// that what is wrong with them is said before a device opens. Pixels are still
// being read then; upload reports theirs.
func (r *run) load() (err error) {
	c := r.config
	if r.loading, err = loadData(c.Data); err != nil {
		return err
	}
	r.trainCount = r.loading.TrainCount - c.Validation
	if r.trainCount < 1 {
		return Problem{Field: "validation", Found: fmt.Sprint(c.Validation),
			Expected: fmt.Sprintf("fewer than the %d training images", r.loading.TrainCount)}
	}
	if r.topology, err = c.topology(r.loading.Rows*r.loading.Columns, r.loading.Classes); err != nil {
		return err
	}
	if c.Init == "" {
		r.weights = model.Initialize(r.topology, c.Seed)
		return nil
	}
	file, err := os.Open(c.Init)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	if r.weights, err = model.ReadWeights(io.TeeReader(file, hash), c.Init, r.topology); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	r.initSHA256 = hex.EncodeToString(hash.Sum(nil))
	return nil
}

// upload waits for the pixels and has them on the device.
func (r *run) upload() error {
	data, err := r.loading.Wait()
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	r.files = data.Files
	r.images, err = r.device.images(data, r.config)
	return err
}

// record makes the run folder and says that the run starts.
func (r *run) record() (err error) {
	environment, err := r.environment()
	if err != nil {
		return err
	}
	if r.folder, err = r.options.createFolder(r.config, environment); err != nil {
		return err
	}
	if r.folder != nil {
		r.result.Folder = r.folder.path
	}
	r.observe(RunStarted{
		Config: r.config, Topology: r.topology, Backend: r.device.Info(),
		Train: r.trainCount, Test: r.loading.TestCount, Folder: r.result.Folder,
	})
	return nil
}

// end writes the weights and says that the run is over.
func (r *run) end() (Result, error) {
	weights, err := r.network.Weights()
	if err != nil {
		return Result{}, err
	}
	if err := r.folder.finish(r.test, r.topology, weights); err != nil {
		return Result{}, err
	}
	r.observe(RunEnded{r.result})
	return r.result, nil
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
