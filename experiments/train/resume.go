package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"

	"epochal/experiments"
	"epochal/experiments/record"
)

// mayChange are the fields that may change when a run is resumed.
var mayChange = map[string]bool{"epochs": true, "backend": true, "tf32": true, "steps_per_call": true}

// changes are the fields in which c differs from a recorded config and may not.
func changes(c, recorded experiments.Config, file string) (problems experiments.Problems) {
	now, before := reflect.ValueOf(c), reflect.ValueOf(recorded)
	for i := range now.NumField() {
		name := now.Type().Field(i).Tag.Get("json")
		found, expected := formatField(now.Field(i)), formatField(before.Field(i))
		if found != expected && !mayChange[name] {
			problems = append(problems, experiments.Problem{Field: name, Found: found,
				Expected: fmt.Sprintf("%s as in %s; it cannot change when a run is resumed", expected, file)})
		}
	}
	return problems
}

// formatField writes a field of a Config for an error.
func formatField(value reflect.Value) string {
	switch value.Kind() {
	case reflect.String:
		return strconv.Quote(value.String())
	case reflect.Float64:
		return experiments.FormatFloat(value.Float())
	default:
		return fmt.Sprint(value.Interface())
	}
}

// reopen takes the run folder of a run that is resumed and checks the config
// against the recorded one. ended tells that the run had come to its end: then
// nothing was touched.
func (r *run) reopen() (ended bool, err error) {
	path := r.options.Folder
	// Once without the lock, so that a finished run is left as it is, and once
	// with it, in case another process finished it in the meantime.
	if ended, err = r.inspect(path); ended || err != nil {
		return ended, err
	}
	r.folder = &record.Folder{Path: path}
	if r.folder.Lock, err = record.LockFolder(path, r.options.Now()); err != nil {
		return false, fmt.Errorf("resume: %w", err)
	}
	if r.folder.Root, err = os.OpenRoot(path); err != nil {
		return false, fmt.Errorf("resume: %w", err)
	}
	return r.inspect(path)
}

// inspect reads what is recorded and tells whether the run has ended.
func (r *run) inspect(path string) (ended bool, err error) {
	if r.recorded, err = record.ReadConfig(path); err != nil {
		return false, err
	}
	r.environment = record.Environment{}
	if err := record.ReadJSON(filepath.Join(path, record.EnvironmentFile), record.MaxEnvironment, &r.environment); err != nil {
		return false, record.CannotResume{Err: fmt.Errorf("resume: %w", err)}
	}
	if problems := changes(r.config, r.recorded, filepath.Join(path, record.ConfigFile)); len(problems) > 0 {
		return false, problems
	}
	done, err := record.Read(path)
	switch {
	case err != nil:
		return false, nil // it ended early, or is damaged: the checkpoints tell
	case done.Diverged != nil:
		return false, fmt.Errorf("resume: %s: the run has come to its end: %w", path, *done.Diverged)
	case len(done.Epochs) > r.config.Epochs:
		return false, tooFewEpochs(r.config.Epochs, len(done.Epochs))
	case len(done.Epochs) < r.config.Epochs:
		return false, nil
	}
	r.result.Folder, r.result.Backend = path, r.environment.LastBackend()
	r.result.Confusion = done.Test.Confusion
	r.restore(done)
	return true, nil
}

func tooFewEpochs(found, done int) error {
	return experiments.Problem{Field: "epochs", Found: fmt.Sprint(found), Expected: fmt.Sprintf("at least %d, the epochs that the run has begun", done)}
}

// restore takes from the record of the epochs that are over what a run knows
// after them.
func (r *run) restore(done record.Record) {
	for _, epoch := range done.Epochs {
		r.result.Final = epoch
		r.result.TrainSeconds += epoch.TrainSeconds
		r.result.EvaluateSeconds += epoch.EvalSeconds
	}
	r.result.Images = len(done.Epochs) * r.trainCount
}

// resolve is where a file or folder that the config names is: a relative path
// belongs to the folder in which the run was started.
func (r *run) resolve(name string) string {
	if !r.options.Resume || name == experiments.MNIST || filepath.IsAbs(name) {
		return name
	}
	if here, err := os.Getwd(); err == nil && here == r.environment.Folder {
		return name
	}
	return filepath.Join(r.environment.Folder, name)
}

// changedFile is the error of a file that is not the one that the run began with.
type changedFile struct{ error }

func (changedFile) Is(target error) bool { return target == record.ErrCannotResume }

// Hint says what to do.
func (changedFile) Hint() string {
	return "put the file back with which the run began, or begin a new run"
}

// checkInit reports initial weights that are not those that the run began with.
func (r *run) checkInit() error {
	if expected := r.environment.InitSHA256; r.options.Resume && r.initSHA256 != expected {
		return changedFile{fmt.Errorf("init: %s: found SHA-256 %s, expected %s as in %s", r.resolve(r.config.Init), r.initSHA256, expected, record.EnvironmentFile)}
	}
	return nil
}

// checkFiles reports data that is not that which the run began with.
func (r *run) checkFiles() error {
	if !r.options.Resume {
		return nil
	}
	if len(r.files) != len(r.environment.Data) {
		return changedFile{fmt.Errorf("data: found %d files, expected %d as in %s", len(r.files), len(r.environment.Data), record.EnvironmentFile)}
	}
	for i, file := range r.files {
		if expected := r.environment.Data[i]; file.SHA256 != expected.SHA256 {
			return changedFile{fmt.Errorf("data: %s: found SHA-256 %s, expected %s as in %s",
				filepath.Join(r.resolve(r.config.Data), file.Name), file.SHA256, expected.SHA256, record.EnvironmentFile)}
		}
	}
	return nil
}

// compareBackend warns of a backend that is another than the run was on.
func (r *run) compareBackend() {
	before, now := r.environment.LastBackend(), r.result.Backend
	if before.Name != now.Name || before.Version != now.Version || before.PluginSHA256 != now.PluginSHA256 || before.Device != now.Device || before.TF32 != now.TF32 {
		r.observe(experiments.Warning{Text: fmt.Sprintf("the run was on %s (%s), tf32 %t, and goes on on %s (%s), tf32 %t: its numbers may differ from those of a run that stayed",
			before.Name, before.Device, before.TF32, now.Name, now.Device, now.TF32)})
	}
}

// choose takes the newest checkpoint that can be used. Without any checkpoint
// the run was killed before the first, and begins again.
func (r *run) choose() error {
	f := r.folder
	found, err := f.Checkpoints()
	if err != nil {
		return fmt.Errorf("resume: %s: %w", f.Path, err)
	}
	fixed, err := record.FixedSHA256(r.config)
	if err != nil {
		return err
	}
	var refused []error
	for i, p := range found {
		err := r.take(p, fixed)
		if err == nil {
			return r.checkEpochs()
		}
		refused = append(refused, fmt.Errorf("resume: %s: %w", f.Path, err))
		r.refused = append(r.refused, p)
		if i < len(found)-1 {
			r.observe(experiments.Warning{Text: fmt.Sprintf("%v; falling back to the checkpoint before", refused[i])})
		}
	}
	if len(found) > 0 {
		return record.CannotResume{Err: fmt.Errorf("%w\nresume: %s: no checkpoint is left that can be used", errors.Join(refused...), f.Path)}
	}
	if _, err := f.Root.Stat(record.WeightsFile); err == nil {
		return record.CannotResume{Err: fmt.Errorf("resume: %s: found %s and no checkpoint, which a run needs to go on", f.Path, record.WeightsFile)}
	}
	r.observe(experiments.Warning{Text: f.Path + " holds no checkpoint: the run begins again"})
	return nil
}

// take takes one checkpoint if it can be used.
func (r *run) take(p experiments.Position, fixed string) error {
	c, weights, err := r.folder.ReadCheckpoint(record.CheckpointFile(p), r.topology, fixed)
	if err != nil {
		return err
	}
	if c.Position != p || c.Step > r.steps() {
		return fmt.Errorf("%s: found step %d of epoch %d, expected what the name says and at most %d steps", record.CheckpointFile(p), c.Step, c.Epoch, r.steps())
	}
	done, err := r.folder.ReadMetrics(c.MetricsBytes)
	if err == nil && (len(done.Epochs) != c.Epoch-1 || done.Diverged != nil) {
		err = fmt.Errorf("%s: found %d epochs, expected %d", record.MetricsFile, len(done.Epochs), c.Epoch-1)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", record.CheckpointFile(p), err)
	}
	r.restore(done)
	r.weights, r.at, r.saved = weights, c.Position, c.Position
	r.folder.Size, r.epochSeconds = c.MetricsBytes, c.EpochSeconds
	if r.options.Keep == "" {
		r.options.Keep = c.Keep
	}
	if r.options.Keep == record.KeepBest && c.BestEpoch > 0 {
		r.takeBest(c, fixed)
	}
	return nil
}

// takeBest goes on with the best epoch so far if its file is there.
func (r *run) takeBest(c record.Checkpoint, fixed string) {
	name := filepath.Join(record.CheckpointsFolder, record.BestFile)
	best, _, err := r.folder.ReadCheckpoint(name, r.topology, fixed)
	// It may be of a later epoch, which the run does again.
	if err == nil && (best.BestEpoch < c.BestEpoch || best.BestEpoch > r.config.Epochs) {
		err = fmt.Errorf("%s: found the weights of epoch %d, expected those of epoch %d", name, best.BestEpoch, c.BestEpoch)
	}
	if err != nil {
		r.observe(experiments.Warning{Text: fmt.Sprintf("resume: %s: %v; the best is now looked for from epoch %d on", r.folder.Path, err, c.Epoch)})
		return
	}
	r.bestEpoch, r.bestLoss = c.BestEpoch, c.BestLoss
}

// checkEpochs reports fewer epochs than the run has begun.
func (r *run) checkEpochs() error {
	begun := r.at.Epoch
	if r.at.Step == 0 {
		begun--
	}
	if r.config.Epochs < begun {
		return tooFewEpochs(r.config.Epochs, begun)
	}
	return nil
}

// continueRecord makes the run folder what it was when the checkpoint was
// written. Whatever moment it is killed at, the next one finds the same.
func (r *run) continueRecord() error {
	f := r.folder
	if err := f.Sweep(); err != nil {
		return f.Failed(err)
	}
	for _, p := range r.refused {
		if err := f.Root.Rename(record.CheckpointFile(p), record.CheckpointFile(p)+record.Damaged); err != nil {
			return f.Failed(err)
		}
	}
	if formatField(reflect.ValueOf(r.config)) != formatField(reflect.ValueOf(r.recorded)) {
		if err := f.WriteJSON(record.ConfigFile, r.config); err != nil {
			return f.Failed(err)
		}
	}
	r.environment.Resumed = append(r.environment.Resumed, record.Resumption{
		Epoch: r.at.Epoch, Step: r.at.Step, Version: record.BuildEnvironment().Version, Backend: r.device.Info(), Started: r.options.Now(),
	})
	if err := f.WriteJSON(record.EnvironmentFile, r.environment); err != nil {
		return f.Failed(err)
	}
	// A run that goes on is not complete until its end.
	for _, name := range []string{record.WeightsFile, record.EvaluationFile} {
		if err := f.Root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f.Failed(err)
		}
	}
	if err := f.Sync("."); err != nil {
		return f.Failed(err)
	}
	var err error
	if f.Metrics, err = f.Root.OpenFile(record.MetricsFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err != nil {
		return f.Failed(err)
	}
	if err := errors.Join(f.Metrics.Truncate(f.Size), f.Metrics.Sync()); err != nil {
		return f.Failed(err)
	}
	return nil
}
