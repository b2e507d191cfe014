package record

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/model"
	"epochal/model/backend"
)

// What Options.Keep keeps besides the last checkpoint.
const (
	KeepLast = "last" // nothing
	KeepBest = "best" // the best epoch, by EpochMetrics.SelectionLoss
)

// Options say where the record of a run is kept, and how much of it.
type Options struct {
	Folder string // the run folder: for Create a new or an empty one
	Parent string // for Create, without Folder: where a run folder named after the time is made; "" keeps no record

	CheckpointEvery int    // epochs between two checkpoints; 0: only on interrupt and at the end
	Keep            string // KeepLast or KeepBest; "" is KeepLast, or what the run kept before it was resumed

	Now  func() time.Time
	Warn func(text string) // is told what the user should know and what does not stop the run
}

// Run is a run that is being recorded, and where it stands.
type Run struct {
	Folder  string  // the run folder; "" before Begin has made a new one, and where no record is kept
	Resumed bool    // the run was opened, not created
	Ended   *Record // of a run that has come to its end, which is left as it is; else nil

	At           experiments.Position       // what comes next; whoever trains advances it within an epoch
	EpochSeconds float64                    // that the steps of the epoch under way took so far; likewise
	Saved        experiments.Position       // where the run continues if it ends now
	Epochs       []experiments.EpochMetrics // that are over, in order
	BestEpoch    int                        // the best so far, where that is kept; 0 before the first

	config      experiments.Config
	options     Options
	parameters  []model.ParameterSpec // of the network, from Restore on
	description model.Description     // of the network, from Begin on; see described

	// Of a run that was opened.
	recorded    experiments.Config     // what the folder had before
	environment Environment            // as recorded
	refused     []experiments.Position // checkpoints newer than the one that is used
	classNames  []string               // in that one, nil if it has none
	named       string                 // the data, when the checkpoint was written; "" without one

	bestLoss float64
	place    string // the nearest folder above a new run folder that there is

	// Everything in the folder is reached through root, not through its path: a
	// folder that is moved while the run continues is still written to, and one that
	// somebody makes at the same path in the meantime is left alone.
	root    *os.Root
	lock    *Lock
	lacking []string // the services of its file system that were warned of
	metrics *os.File
	size    int // of metrics.jsonl, in bytes
}

// beginning is where a new run stands.
var beginning = experiments.Position{Epoch: 1}

// Create prepares the record of a new run of c. It makes nothing yet, [Run.Begin]
// does, but reports a folder that holds something.
func Create(c experiments.Config, o Options) (*Run, error) {
	if err := o.available(); err != nil {
		return nil, err
	}
	return &Run{At: beginning, Saved: beginning, config: c, options: o}, nil
}

// Open takes the folder of a run that stopped, and continues it as c says: all but
// its epochs, patience, backend, tf32, deterministic and steps per call must be as
// recorded, else the error is [experiments.Problems]; its data and its initial weights
// may be elsewhere, see [Named]. A folder from which no run can
// continue is [CannotResume], one that is in use is [Busy]. No file but the lock's is
// written before Begin.
func Open(c experiments.Config, o Options) (*Run, error) {
	r := &Run{Folder: o.Folder, Resumed: true, At: beginning, Saved: beginning, config: c, options: o}
	// Once without the lock, so that a finished run is left as it is, and once with
	// it, in case another process continued the run in the meantime.
	err := r.inspect()
	if err != nil || r.Ended != nil {
		return r, err
	}
	if err = r.hold(o.Folder); err != nil {
		err = Unwritable(fmt.Errorf("resume: %w", err))
	} else {
		err = r.inspect()
	}
	if err != nil {
		r.Close()
	}
	return r, err
}

// Locate is where a file or folder that the config names is: a relative path
// belongs to the folder in which the run began.
func (r *Run) Locate(name string) string { return r.environment.Locate(name) }

// Locate is where a file or folder that the config of the run names is.
func (e Environment) Locate(name string) string {
	began := e.Folder
	if here, err := os.Getwd(); began == "" || err == nil && here == began || name == dataset.MNIST || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(began, name)
}

// Begin writes down that the run continues from where it stands: it makes a new
// folder, or makes an old one what it was when the checkpoint was written. info is
// the backend of the run; data and initSHA256 are its files, which must be those that
// it began with, else the error is [CannotResume]. network has what it takes to use the
// weights, and is recorded with them; where they come from is added. A run that continues
// from a checkpoint keeps the class names of that.
func (r *Run) Begin(info backend.Info, data []dataset.File, initSHA256 string, network model.Description) error {
	e := BuildEnvironment()
	network.Data, network.DataSHA256 = cmp.Or(r.named, r.dataName(data)), dataset.Digest(data)
	network.Seed, network.BatchSize, network.Version = r.config.Seed, r.config.BatchSize, e.Version
	if r.Saved != beginning {
		network.ClassNames = r.classNames
	}
	r.description = network
	e.Identity = Identity(r.config, data, initSHA256)
	e.Backend, e.Data, e.InitSHA256, e.Started = info, data, initSHA256, r.options.Now()
	if r.Resumed {
		return r.goOn(e)
	}
	var err error
	if e.Folder, err = os.Getwd(); err != nil {
		return err
	}
	if r.options.Folder != "" {
		return r.make(r.options.Folder, e)
	}
	if r.options.Parent == "" {
		return nil
	}
	name := filepath.Join(r.options.Parent, r.options.Now().Format("2006-01-02_15-04-05"))
	err = r.make(name, e)
	for i := 2; errors.Is(err, errTaken) || errors.As(err, new(Busy)); i++ {
		err = r.make(name+"-"+strconv.Itoa(i), e)
	}
	return err
}

// dataName is the name under which the data is known, or that of its folder without
// those above it.
func (r *Run) dataName(data []dataset.File) string {
	if known := dataset.KnownName(data); known != "" {
		return known
	}
	name, err := filepath.Abs(r.Locate(r.config.Data))
	if r.config.Data == dataset.MNIST || err != nil {
		return r.config.Data
	}
	return filepath.Base(name)
}

// described is the description of the weights where the run stands.
func (r *Run) described() model.Description {
	d := r.description
	d.Epochs = len(r.Epochs)
	if d.Epochs > 0 {
		d.TestAccuracy = r.Epochs[d.Epochs-1].TestAccuracy
	}
	return d
}

// StepsDone records those losses of finished steps that are to be reported.
func (r *Run) StepsDone(done experiments.StepsDone) error {
	for _, line := range done.Reported(r.config.BatchSize) {
		if err := r.append(line); err != nil {
			return err
		}
	}
	return nil
}

// Over reports whether the epochs that are over are all that the run is to have.
func (r *Run) Over() bool { return r.config.Over(r.Epochs) }

// EpochDone records an epoch that is over: its metrics and the checkpoints that
// are due, for which it asks for the weights.
func (r *Run) EpochDone(m experiments.EpochMetrics, weights func() (model.Weights, error)) error {
	if err := r.append(m); err != nil {
		return err
	}
	r.At, r.EpochSeconds, r.Epochs = experiments.Position{Epoch: m.Epoch + 1}, 0, append(r.Epochs, m)
	if r.root == nil {
		return nil
	}
	if _, err := r.root.Stat(MetricsFile); err != nil {
		return r.failed(err) // lines still go to a file that was removed
	}
	every := r.options.CheckpointEvery
	due := every > 0 && m.Epoch%every == 0 || r.Over()
	best := r.options.Keep == KeepBest && (r.BestEpoch == 0 || m.SelectionLoss() < r.bestLoss)
	if !due && !best {
		return nil
	}
	values, err := weights()
	if err != nil {
		return err
	}
	if best {
		r.BestEpoch, r.bestLoss = m.Epoch, m.SelectionLoss()
		if err := r.writeCheckpoint(bestName, values); err != nil {
			return err
		}
	}
	if due {
		return r.writeNext(values)
	}
	return nil
}

// Diverged records that the loss is no longer finite, which ends the run.
func (r *Run) Diverged(d experiments.Diverged) error { return r.append(d.Metrics()) }

// Stopped records why the run ends here, before it has all its epochs.
func (r *Run) Stopped(reason string) error {
	return r.append(experiments.StoppedMetrics{Event: "stopped", Epoch: r.At.Epoch, Step: r.At.Step, Reason: reason})
}

// Save writes a checkpoint of where the run stands, and asks for the weights.
func (r *Run) Save(weights func() (model.Weights, error)) error {
	if r.root == nil {
		return nil
	}
	values, err := weights()
	if err != nil {
		return err
	}
	return r.writeNext(values)
}

// Finish writes what is known when the last epoch is over. model.safetensors comes
// last: a folder that has it is complete.
func (r *Run) Finish(test TestEvaluation, weights model.Weights) error {
	if r.root == nil {
		return nil
	}
	test.ClassNames = r.description.ClassNames
	var file bytes.Buffer
	err := model.WriteModel(&file, r.described(), weights)
	if err == nil && len(r.Epochs) < r.config.Epochs {
		err = r.Stopped(experiments.StoppedByPatience)
	}
	if err == nil {
		err = regular.Sync(r.metrics, r.lacks)
	}
	if err == nil {
		err = r.writeJSON(EvaluationFile, test)
	}
	if err == nil {
		err = r.prune(1)
	}
	if err == nil {
		err = r.write(WeightsFile, file.Bytes())
	}
	return r.failed(err)
}

// Close releases the folder.
func (r *Run) Close() {
	if r.metrics != nil {
		r.metrics.Close()
	}
	if r.root != nil {
		r.root.Close()
	}
	if r.lock != nil {
		r.lock.Close()
	}
	r.metrics, r.root, r.lock = nil, nil, nil
}
