package experiments

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
)

// ErrCannotResume is the error of a run folder from which no run can go on: it
// is none, no checkpoint is left, or what the run was made from is not there.
var ErrCannotResume = errors.New("the run cannot go on")

// cannotResume makes of an error one that is ErrCannotResume as well.
type cannotResume struct{ error }

func (c cannotResume) Is(target error) bool { return target == ErrCannotResume }
func (c cannotResume) Unwrap() error        { return c.error }

// ReadConfig reads the config of a run folder.
func ReadConfig(folder string) (c Config, err error) {
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		return c, fmt.Errorf("resume: %s: found a file, expected a run folder", folder)
	}
	err = readJSONFile(filepath.Join(folder, ConfigFile), MaxConfigBytes, &c)
	if errors.Is(err, fs.ErrNotExist) {
		return c, cannotResume{fmt.Errorf("resume: %s: found no %s in it, expected a run folder", folder, ConfigFile)}
	} else if err != nil {
		return c, cannotResume{fmt.Errorf("resume: %w", err)}
	}
	return c, nil
}

// mayChange are the fields that may change when a run is resumed.
var mayChange = map[string]bool{"epochs": true, "backend": true, "tf32": true, "steps_per_call": true}

// changes are the fields in which c differs from a recorded config and may not.
func (c Config) changes(recorded Config, file string) (problems Problems) {
	now, before := reflect.ValueOf(c), reflect.ValueOf(recorded)
	for i := range now.NumField() {
		name := now.Type().Field(i).Tag.Get("json")
		found, expected := formatField(now.Field(i)), formatField(before.Field(i))
		if found != expected && !mayChange[name] {
			problems = append(problems, Problem{Field: name, Found: found,
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
		return FormatFloat(value.Float())
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
	r.folder = &folder{path: path}
	if r.folder.lock, err = LockFolder(path, r.options.Now()); err != nil {
		return false, fmt.Errorf("resume: %w", err)
	}
	if r.folder.root, err = os.OpenRoot(path); err != nil {
		return false, fmt.Errorf("resume: %w", err)
	}
	return r.inspect(path)
}

// inspect reads what is recorded and tells whether the run has ended.
func (r *run) inspect(path string) (ended bool, err error) {
	if r.recorded, err = ReadConfig(path); err != nil {
		return false, err
	}
	r.environment = Environment{}
	if err := readJSONFile(filepath.Join(path, EnvironmentFile), MaxEnvironment, &r.environment); err != nil {
		return false, cannotResume{fmt.Errorf("resume: %w", err)}
	}
	if problems := r.config.changes(r.recorded, filepath.Join(path, ConfigFile)); len(problems) > 0 {
		return false, problems
	}
	record, err := ReadRecord(path)
	switch {
	case err != nil:
		return false, nil // it ended early, or is damaged: the checkpoints tell
	case record.Diverged != nil:
		return false, fmt.Errorf("resume: %s: the run has come to its end: %w", path, *record.Diverged)
	case len(record.Epochs) > r.config.Epochs:
		return false, tooFewEpochs(r.config.Epochs, len(record.Epochs))
	case len(record.Epochs) < r.config.Epochs:
		return false, nil
	}
	r.result.Folder, r.result.Backend = path, r.environment.lastBackend()
	r.result.Confusion = record.Test.Confusion
	r.restore(record)
	return true, nil
}

func tooFewEpochs(found, done int) error {
	return Problem{Field: "epochs", Found: fmt.Sprint(found), Expected: fmt.Sprintf("at least %d, the epochs that the run has begun", done)}
}

// restore takes from the record of the epochs that are over what a run knows
// after them.
func (r *run) restore(record Record) {
	for _, epoch := range record.Epochs {
		r.result.Final = epoch
		r.result.TrainSeconds += epoch.TrainSeconds
		r.result.EvaluateSeconds += epoch.EvalSeconds
	}
	r.result.Images = len(record.Epochs) * r.trainCount
}

// resolve is where a file or folder that the config names is: a relative path
// belongs to the folder in which the run was started.
func (r *run) resolve(name string) string {
	if !r.options.Resume || name == MNIST || filepath.IsAbs(name) {
		return name
	}
	if here, err := os.Getwd(); err == nil && here == r.environment.Folder {
		return name
	}
	return filepath.Join(r.environment.Folder, name)
}

// changedFile is the error of a file that is not the one that the run began with.
type changedFile struct{ error }

func (changedFile) Is(target error) bool { return target == ErrCannotResume }

// Hint says what to do.
func (changedFile) Hint() string {
	return "put the file back with which the run began, or begin a new run"
}

// checkInit reports initial weights that are not those that the run began with.
func (r *run) checkInit() error {
	if expected := r.environment.InitSHA256; r.options.Resume && r.initSHA256 != expected {
		return changedFile{fmt.Errorf("init: %s: found SHA-256 %s, expected %s as in %s", r.resolve(r.config.Init), r.initSHA256, expected, EnvironmentFile)}
	}
	return nil
}

// checkFiles reports data that is not that which the run began with.
func (r *run) checkFiles() error {
	if !r.options.Resume {
		return nil
	}
	if len(r.files) != len(r.environment.Data) {
		return changedFile{fmt.Errorf("data: found %d files, expected %d as in %s", len(r.files), len(r.environment.Data), EnvironmentFile)}
	}
	for i, file := range r.files {
		if expected := r.environment.Data[i]; file.SHA256 != expected.SHA256 {
			return changedFile{fmt.Errorf("data: %s: found SHA-256 %s, expected %s as in %s",
				filepath.Join(r.resolve(r.config.Data), file.Name), file.SHA256, expected.SHA256, EnvironmentFile)}
		}
	}
	return nil
}

// compareBackend warns of a backend that is another than the run was on.
func (r *run) compareBackend() {
	before, now := r.environment.lastBackend(), r.result.Backend
	if before.Name != now.Name || before.Version != now.Version || before.PluginSHA256 != now.PluginSHA256 || before.Device != now.Device || before.TF32 != now.TF32 {
		r.observe(Warning{fmt.Sprintf("the run was on %s (%s), tf32 %t, and goes on on %s (%s), tf32 %t: its numbers may differ from those of a run that stayed",
			before.Name, before.Device, before.TF32, now.Name, now.Device, now.TF32)})
	}
}

// choose takes the newest checkpoint that can be used. Without any checkpoint
// the run was killed before the first, and begins again.
func (r *run) choose() error {
	f := r.folder
	found, err := f.checkpoints()
	if err != nil {
		return fmt.Errorf("resume: %s: %w", f.path, err)
	}
	fixed, err := r.config.fixedSHA256()
	if err != nil {
		return err
	}
	var refused []error
	for i, p := range found {
		err := r.take(p, fixed)
		if err == nil {
			return r.checkEpochs()
		}
		refused = append(refused, fmt.Errorf("resume: %s: %w", f.path, err))
		r.refused = append(r.refused, p)
		if i < len(found)-1 {
			r.observe(Warning{fmt.Sprintf("%v; falling back to the checkpoint before", refused[i])})
		}
	}
	if len(found) > 0 {
		return cannotResume{fmt.Errorf("%w\nresume: %s: no checkpoint is left that can be used", errors.Join(refused...), f.path)}
	}
	if _, err := f.root.Stat(WeightsFile); err == nil {
		return cannotResume{fmt.Errorf("resume: %s: found %s and no checkpoint, which a run needs to go on", f.path, WeightsFile)}
	}
	r.observe(Warning{f.path + " holds no checkpoint: the run begins again"})
	return nil
}

// take takes one checkpoint if it can be used.
func (r *run) take(p Position, fixed string) error {
	c, weights, err := r.folder.readCheckpoint(p.name(), r.topology, fixed)
	if err != nil {
		return err
	}
	if c.Position != p || c.Step > r.steps() {
		return fmt.Errorf("%s: found step %d of epoch %d, expected what the name says and at most %d steps", p.name(), c.Step, c.Epoch, r.steps())
	}
	record, err := r.folder.readMetrics(c.MetricsBytes)
	if err == nil && (len(record.Epochs) != c.Epoch-1 || record.Diverged != nil) {
		err = fmt.Errorf("%s: found %d epochs, expected %d", MetricsFile, len(record.Epochs), c.Epoch-1)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name(), err)
	}
	r.restore(record)
	r.weights, r.at, r.saved = weights, c.Position, c.Position
	r.folder.size, r.epochSeconds = c.MetricsBytes, c.EpochSeconds
	if r.options.Keep == "" {
		r.options.Keep = c.Keep
	}
	if r.options.Keep == KeepBest && c.BestEpoch > 0 {
		r.takeBest(c, fixed)
	}
	return nil
}

// takeBest goes on with the best epoch so far if its file is there.
func (r *run) takeBest(c Checkpoint, fixed string) {
	name := filepath.Join(CheckpointsFolder, BestFile)
	best, _, err := r.folder.readCheckpoint(name, r.topology, fixed)
	// It may be of a later epoch, which the run does again.
	if err == nil && (best.BestEpoch < c.BestEpoch || best.BestEpoch > r.config.Epochs) {
		err = fmt.Errorf("%s: found the weights of epoch %d, expected those of epoch %d", name, best.BestEpoch, c.BestEpoch)
	}
	if err != nil {
		r.observe(Warning{fmt.Sprintf("resume: %s: %v; the best is now looked for from epoch %d on", r.folder.path, err, c.Epoch)})
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

// readMetrics reads the first bytes of metrics.jsonl, which must be whole lines.
func (f *folder) readMetrics(size int64) (record Record, err error) {
	file, err := f.root.Open(MetricsFile)
	if err != nil {
		return record, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return record, err
	}
	if !info.Mode().IsRegular() || info.Size() < size {
		return record, fmt.Errorf("%s: found %d bytes, expected at least the %d that belong to the checkpoint", MetricsFile, info.Size(), size)
	}
	record.Config.Epochs = MaxEpochs // the caller knows how many there are
	return record, record.readLines(io.LimitReader(file, size), MetricsFile)
}

// continueRecord makes the run folder what it was when the checkpoint was
// written. Whatever moment it is killed at, the next one finds the same.
func (r *run) continueRecord() error {
	f := r.folder
	if err := f.sweep(); err != nil {
		return f.failed(err)
	}
	for _, p := range r.refused {
		if err := f.root.Rename(p.name(), p.name()+damaged); err != nil {
			return f.failed(err)
		}
	}
	if formatField(reflect.ValueOf(r.config)) != formatField(reflect.ValueOf(r.recorded)) {
		if err := f.writeJSON(ConfigFile, r.config); err != nil {
			return f.failed(err)
		}
	}
	r.environment.Resumed = append(r.environment.Resumed, Resumption{
		Epoch: r.at.Epoch, Step: r.at.Step, Version: BuildEnvironment().Version, Backend: r.device.Info(), Started: r.options.Now(),
	})
	if err := f.writeJSON(EnvironmentFile, r.environment); err != nil {
		return f.failed(err)
	}
	// A run that goes on is not complete until its end.
	for _, name := range []string{WeightsFile, EvaluationFile} {
		if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f.failed(err)
		}
	}
	if err := f.sync("."); err != nil {
		return f.failed(err)
	}
	var err error
	if f.metrics, err = f.root.OpenFile(MetricsFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err != nil {
		return f.failed(err)
	}
	if err := errors.Join(f.metrics.Truncate(f.size), f.metrics.Sync()); err != nil {
		return f.failed(err)
	}
	return nil
}
