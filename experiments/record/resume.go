package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/model"
)

// CannotResume is the error of a folder from which no run can continue: it is no run
// folder, no checkpoint is left, or the files of the run have changed.
type CannotResume struct{ error }

// Unwrap returns the reason.
func (c CannotResume) Unwrap() error { return c.error }

// ReadConfig reads the config of a run folder that is to be resumed.
func ReadConfig(folder string) (experiments.Config, error) {
	c, err := readConfig(folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = fmt.Errorf("%s: found no %s in it, expected a run folder", folder, ConfigFile)
	}
	if err != nil {
		return c, CannotResume{fmt.Errorf("resume: %w", err)}
	}
	return c, nil
}

// inspect reads what is recorded and whether the run has ended.
func (r *Run) inspect() (err error) {
	recorded, err := ReadConfig(r.Folder)
	if err != nil {
		return err
	}
	if r.environment, err = readEnvironment(r.Folder); err != nil {
		return CannotResume{fmt.Errorf("resume: %w", err)}
	}
	if problems := changes(r.config, recorded, filepath.Join(r.Folder, ConfigFile)); len(problems) > 0 {
		return problems
	}
	r.recorded = recorded
	record := Record{Config: recorded, Environment: r.environment}
	switch err := record.readOutcome(r.Folder); {
	case err != nil:
		return nil // it ended early, or is damaged: the checkpoints will show
	case record.Diverged != nil:
		return fmt.Errorf("resume: %s: the run has already ended: %w", r.Folder, *record.Diverged)
	case len(record.Epochs) <= r.config.Epochs && r.config.Over(record.Epochs):
		r.Ended = &record
	}
	return nil
}

// fixed is c without the fields that may change when a run is resumed. A run is its
// data and its initial weights, which checkFiles knows by their content, and not their
// places.
func fixed(c experiments.Config) experiments.Config {
	c.Data, c.Init = "", ""
	return fixedWithPlaces(c)
}

// fixedWithPlaces is fixed as it was when the places of files could not change. The
// checkpoints from then have its digest.
func fixedWithPlaces(c experiments.Config) experiments.Config {
	c = c.Canonical()
	defaults := experiments.Defaults()
	c.Epochs, c.Patience = defaults.Epochs, defaults.Patience
	c.Backend, c.TF32, c.StepsPerCall = defaults.Backend, defaults.TF32, defaults.StepsPerCall
	c.Deterministic = defaults.Deterministic
	return c
}

// changes are the fields in which c differs from a recorded config and may not.
func changes(c, recorded experiments.Config, file string) (problems experiments.Problems) {
	now, before := reflect.ValueOf(fixed(c)), reflect.ValueOf(fixed(recorded))
	for i := range now.NumField() {
		found, expected := formatJSON(now.Field(i)), formatJSON(before.Field(i))
		if found != expected {
			name, _, _ := strings.Cut(now.Type().Field(i).Tag.Get("json"), ",")
			problems = append(problems, experiments.Problem{Field: name, Found: found,
				Expected: fmt.Sprintf("%s as in %s; it cannot change when a run is resumed", expected, file)})
		}
	}
	return problems
}

func formatJSON(field reflect.Value) string {
	text, _ := json.Marshal(field.Interface()) // a valid config has no number that JSON lacks
	return string(text)
}

// Restore finds out where the run stands, and returns the weights that it has
// there: those of the newest checkpoint that can be used, or the initial ones.
// steps is the number of steps of an epoch. Without any checkpoint the run is new, or
// was killed before the first, and begins. It reports why the folder could not be made
// or written, before much time is spent.
func (r *Run) Restore(parameters []model.ParameterSpec, initial model.Weights, steps int) (model.Weights, error) {
	r.parameters = parameters
	if err := r.checkPlace(); err != nil {
		return nil, err
	}
	if r.root == nil {
		return initial, nil
	}
	found, err := r.checkpoints()
	if err != nil {
		return nil, fmt.Errorf("resume: %s: %w", r.Folder, err)
	}
	var refused error // why the checkpoint after this one is not used
	for i, at := range found {
		if refused != nil {
			r.options.Warn(fmt.Sprintf("%v; using the checkpoint before it", refused))
		}
		weights, err := r.take(at, steps)
		if err == nil {
			r.refused = found[:i]
			return weights, r.checkEpochs()
		}
		refused = fmt.Errorf("resume: %s: %w", r.Folder, err)
	}
	if refused != nil {
		return nil, CannotResume{fmt.Errorf("%w\nresume: %s: no usable checkpoint is left", refused, r.Folder)}
	}
	if _, err := r.root.Stat(WeightsFile); err == nil {
		return nil, CannotResume{fmt.Errorf("resume: %s: found %s but no checkpoint to resume from", r.Folder, WeightsFile)}
	}
	r.options.Warn(r.Folder + " has no checkpoint: the run starts from the beginning")
	return initial, nil
}

// take takes one checkpoint if it can be used.
func (r *Run) take(at experiments.Position, steps int) (model.Weights, error) {
	c, weights, err := r.readCheckpoint(checkpointFile(at))
	if err != nil {
		return nil, err
	}
	if c.Position != at || c.Step > steps {
		return nil, fmt.Errorf("%s: found step %d of epoch %d, expected the position in its name and at most %d steps",
			checkpointFile(at), c.Step, c.Epoch, steps)
	}
	epochs, err := r.readEpochs(c.metricsBytes)
	if err == nil && len(epochs) != c.Epoch-1 {
		err = fmt.Errorf("%s: found %d epochs, expected %d", MetricsFile, len(epochs), c.Epoch-1)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", checkpointFile(at), err)
	}
	r.At, r.Saved, r.EpochSeconds, r.classNames, r.named = at, at, c.epochSeconds, c.classNames, c.data
	r.Epochs, r.size = epochs, c.metricsBytes
	if r.options.Keep == "" {
		r.options.Keep = c.keep
	}
	if r.options.Keep == KeepBest && c.bestEpoch > 0 {
		r.takeBest(c)
	}
	return weights, nil
}

// takeBest takes the best epoch so far if its file is there.
func (r *Run) takeBest(c checkpoint) {
	best, _, err := r.readCheckpoint(bestName)
	// It may be of a later epoch, which the run does again.
	if err == nil && (best.bestEpoch < c.bestEpoch || best.bestEpoch > r.config.Epochs) {
		err = fmt.Errorf("%s: found the weights of epoch %d, expected those of epoch %d", bestName, best.bestEpoch, c.bestEpoch)
	}
	if err != nil {
		r.options.Warn(fmt.Sprintf("resume: %s: %v; the search for the best epoch starts over at epoch %d", r.Folder, err, c.Epoch))
		return
	}
	r.BestEpoch, r.bestLoss = c.bestEpoch, c.bestLoss
}

// checkEpochs reports fewer epochs than the run has begun.
func (r *Run) checkEpochs() error {
	begun := r.At.Epoch
	if r.At.Step == 0 {
		begun--
	}
	if r.config.Epochs >= begun {
		return nil
	}
	return experiments.Problem{Field: "epochs", Found: fmt.Sprint(r.config.Epochs),
		Expected: fmt.Sprintf("at least %d, the epochs that the run has begun", begun)}
}

// Named is how the config of the run in a folder names what this process calls name:
// a relative path there belongs to the folder in which the run began.
func Named(folder, name string) string {
	here, err := os.Getwd()
	environment, unread := readEnvironment(folder)
	if err != nil || unread != nil || name == "" || environment.Locate(name) == name {
		return name
	}
	return filepath.Join(here, name)
}

// Moved reports whether the data are somewhere else than recorded.
func (r *Run) Moved() bool { return r.Resumed && r.config.Data != r.recorded.Data }

// Missing is the error of what the config names, "data" or "init", and that cannot be read.
func (r *Run) Missing(field string, err error) error {
	named, recorded := r.config.Data, r.recorded.Data
	if field == "init" {
		named, recorded = r.config.Init, r.recorded.Init
	}
	if r.Resumed && named == recorded {
		return Elsewhere(field, err)
	}
	return fmt.Errorf("%s: %w", field, err)
}

// Elsewhere is the error of what a recorded config names, "data" or "init", and that cannot
// be read: it may have been moved.
func Elsewhere(field string, err error) error {
	return hinted{fmt.Errorf("%s: %w", field, err), "if it has moved, name its new place with --" + field}
}

// CheckData reports data that are not those with which the run began, wherever they are.
func (r *Run) CheckData(files []dataset.File) error {
	expected := r.environment.Data
	if !r.Resumed || r.config.Data == dataset.MNIST && r.recorded.Data == dataset.MNIST {
		return nil // the set that is built in does not change
	}
	if len(files) != len(expected) {
		return r.changed("data", "", "data: found %d files, expected %d", len(files), len(expected))
	}
	for i, file := range files {
		if file.SHA256 == expected[i].SHA256 {
			continue
		}
		note := ""
		if filepath.Ext(expected[i].Name) == ".gz" {
			note = "; older versions recorded another SHA-256 of a .gz file, that of the compressed bytes"
		}
		place := r.Locate(r.config.Data)
		path := filepath.Join(place, file.Name)
		if _, missing := os.Stat(path); missing == nil {
			place = path // of one of several files; it may also be the folder itself, or in a file
		}
		return r.changed("data", note, "data: %s: found SHA-256 %s, expected %s", place, file.SHA256, expected[i].SHA256)
	}
	return nil
}

// checkFiles reports initial weights or data that are not those with which the run
// began.
func (r *Run) checkFiles(now Environment) error {
	place, found, expected := r.Locate(r.config.Init), now.InitSHA256, r.environment.InitSHA256
	switch {
	case found == expected:
		return r.CheckData(now.Data)
	case found == "":
		return r.changed("init", "", "init: found no file, expected one with the SHA-256 %s", expected)
	case expected == "":
		return r.changed("init", "", "init: %s: found initial weights, expected those that are drawn from the seed", place)
	default:
		return r.changed("init", "", "init: %s: found SHA-256 %s, expected %s", place, found, expected)
	}
}

// changed is the error of data or initial weights with another content.
func (r *Run) changed(field, note, format string, values ...any) error {
	err := fmt.Errorf(format+" as in %s", append(values, EnvironmentFile)...)
	return CannotResume{hinted{err, "name what the run started with, with --" + field + ", or start a new run" + note}}
}

// goOn makes the run folder what it was when the checkpoint was written. Whenever
// it is killed, the next one finds the same.
func (r *Run) goOn(now Environment) error {
	if err := r.checkFiles(now); err != nil {
		return err
	}
	if before := r.environment.LastBackend(); !sameBackend(before, now.Backend) {
		r.options.Warn(fmt.Sprintf("the run was on %s (%s), tf32 %t, deterministic %t, and continues on %s (%s), tf32 %t, deterministic %t: "+
			"its numbers may differ from those of a run on one backend",
			before.Name, before.Device, before.TF32, !before.Nondeterministic,
			now.Backend.Name, now.Backend.Device, now.Backend.TF32, !now.Backend.Nondeterministic))
	}
	r.environment.Identity = now.Identity
	r.environment.Resumed = append(r.environment.Resumed, Resumption{
		Epoch: r.At.Epoch, Step: r.At.Step, Version: now.Version, Backend: now.Backend, Started: now.Started,
	})
	return r.failed(r.rewind())
}

func (r *Run) rewind() (err error) {
	if err := r.sweep(); err != nil {
		return err
	}
	for _, at := range r.refused {
		if err := r.root.Rename(checkpointFile(at), checkpointFile(at)+damaged); err != nil {
			return err
		}
	}
	if err := r.writeJSON(ConfigFile, r.config); err != nil {
		return err
	}
	if err := r.writeJSON(EnvironmentFile, r.environment); err != nil {
		return err
	}
	// A run that continues is not complete until its end.
	for _, name := range []string{WeightsFile, EvaluationFile} {
		if err := r.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := r.sync("."); err != nil {
		return err
	}
	if r.metrics, err = r.root.OpenFile(MetricsFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err != nil {
		return err
	}
	return errors.Join(r.metrics.Truncate(int64(r.size)), regular.Sync(r.metrics, r.lacks))
}
