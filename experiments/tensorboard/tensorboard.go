package tensorboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/report/figures"
	"epochal/experiments/report/words"
)

// The tags of what is written.
const (
	AccuracyTag  = "accuracy"  // by epoch, 0 to 1
	LossTag      = "loss"      // by epoch
	StepLossTag  = "step_loss" // of every experiments.ReportEvery-th step, by steps of the whole run
	ConfusionTag = "confusion" // an image, after the last epoch
	MistakesTag  = "mistakes"  // the same
)

// The folders below the run folder.
const (
	trainFolder      = "train"
	validationFolder = "validation"
	testFolder       = "test"
)

// Observer returns an observer of one run that writes its event files into its run
// folder. now tells the time; warn is told, at most once, why nothing more is written.
func Observer(now func() time.Time, warn func(text string)) experiments.Observer {
	b := &board{now: now}
	return func(e experiments.Event) {
		if err := b.observe(e); err != nil {
			b.close()
			warn(fmt.Sprintf("tensorboard: %v; the run goes on without", err))
		}
	}
}

// board is the event files of a run.
type board struct {
	now     func() time.Time
	started experiments.RunStarted
	files   map[string]*os.File // by the folder below the run's; nil before the run starts and after it ends
}

func (b *board) observe(e experiments.Event) error {
	if started, ok := e.(experiments.RunStarted); ok && started.Folder != "" {
		b.started = started
		return b.open()
	}
	if b.files == nil {
		return nil
	}
	switch e := e.(type) {
	case experiments.StepsDone:
		for _, line := range e.Reported(b.started.Config.BatchSize) {
			if err := b.add("", b.step(line.Epoch, line.Step), scalar(StepLossTag, float64(line.Loss))); err != nil {
				return err
			}
		}
	case experiments.EpochDone:
		return b.epoch(e.Metrics)
	case experiments.RunEnded:
		return errors.Join(b.ended(e.Result), b.close())
	case experiments.RunStopped:
		if errors.As(e.Err, new(experiments.Diverged)) {
			return errors.Join(b.end(statusFailure), b.close())
		}
		return b.close() // it may continue
	}
	return nil
}

// step is the number in the whole run, from 0, of a step of an epoch.
func (b *board) step(epoch, step int) int {
	return (epoch-1)*dataset.BatchCount(b.started.Train, b.started.Config.BatchSize) + step
}

// open makes the files and writes the settings.
func (b *board) open() error {
	b.files = map[string]*os.File{}
	at := b.started.At
	next := map[string]int{"": b.step(at.Epoch, at.Step), trainFolder: at.Epoch, testFolder: at.Epoch}
	if b.started.Config.Validation > 0 {
		next[validationFolder] = at.Epoch
	}
	for folder, step := range next {
		var err error
		if b.files[folder], err = create(filepath.Join(b.started.Folder, folder), b.now()); err != nil {
			return err
		}
		if err := b.write(folder, event(b.seconds(), 0).text(versionField, fileVersion)); err != nil {
			return err
		}
		if err := b.write(folder, event(b.seconds(), step).message(sessionField, newSession)); err != nil {
			return err
		}
	}
	settings, err := settingsOf(b.started)
	if err != nil {
		return err
	}
	return b.add("", 0, sessionStart(settings, b.seconds()))
}

// create makes an event file, whose name sorts after those that are there.
func create(folder string, now time.Time) (file *os.File, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		name := filepath.Join(folder, fmt.Sprintf("events.out.tfevents.%d.%d.epochal", now.Unix(), i))
		if file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644); !errors.Is(err, fs.ErrExist) {
			return file, err
		}
	}
}

// settingsOf are the settings of a run by name, each a google.protobuf.Value.
func settingsOf(started experiments.RunStarted) (map[string]message, error) {
	config := started.Config
	config.Backend = started.Backend.Name
	text, err := json.Marshal(config)
	var values map[string]any
	if err == nil {
		err = json.Unmarshal(text, &values)
	}
	delete(values, "steps_per_call") // changes no result
	settings := map[string]message{"layer_sizes": message(nil).text(3, words.Widths(config.LayerSizes, ","))}
	if len(config.ConvChannels) > 0 {
		settings["conv_channels"] = message(nil).text(3, words.Widths(config.ConvChannels, ","))
	}
	for name, value := range values {
		switch value := value.(type) {
		case float64:
			settings[name] = message(nil).double(2, value)
		case string:
			if value == "" {
				continue
			}
			settings[name] = message(nil).text(3, value)
		case bool:
			settings[name] = message(nil).number(4, map[bool]uint64{true: 1}[value])
		}
	}
	return settings, err
}

func (b *board) epoch(m experiments.EpochMetrics) error {
	err := errors.Join(
		b.add(trainFolder, m.Epoch, scalar(AccuracyTag, m.TrainAccuracy)), b.add(trainFolder, m.Epoch, scalar(LossTag, m.TrainLoss)),
		b.add(testFolder, m.Epoch, scalar(AccuracyTag, m.TestAccuracy)), b.add(testFolder, m.Epoch, scalar(LossTag, m.TestLoss)))
	if err == nil && m.ValidationLoss != nil {
		err = errors.Join(b.add(validationFolder, m.Epoch, scalar(AccuracyTag, *m.ValidationAccuracy)),
			b.add(validationFolder, m.Epoch, scalar(LossTag, *m.ValidationLoss)))
	}
	return err
}

// ended writes what is known of the test set after the last epoch.
func (b *board) ended(r experiments.Result) error {
	run, err := record.Read(r.Folder)
	if err != nil {
		return err
	}
	data, err := dataset.Read(run.Environment.Locate(run.Config.Data), run.Config.DataOptions())
	if err != nil {
		return err
	}
	var mistakes []figures.Mistake
	for _, m := range run.Test.Mistakes {
		mistakes = append(mistakes, figures.Mistake(m))
	}
	err = b.figure(ConfusionTag, r.Final.Epoch, figures.Confusion("Confusion matrix", run.Test.Confusion, run.Test.ClassNames, 1))
	if err == nil && len(mistakes) > 0 {
		err = b.figure(MistakesTag, r.Final.Epoch, figures.Mistakes("Most confident mistakes", data.Test, run.Test.ClassNames, mistakes))
	}
	return errors.Join(err, b.end(statusSuccess))
}

// figure writes a figure of the test set.
func (b *board) figure(tag string, epoch int, f figures.Figure) error {
	var file bytes.Buffer
	if err := f.Write(&file, figures.PNG); err != nil {
		return err
	}
	size, err := png.DecodeConfig(bytes.NewReader(file.Bytes()))
	if err != nil {
		return err
	}
	return b.add(testFolder, epoch, picture(tag, size.Width, size.Height, file.Bytes()))
}

// end writes how the run ended.
func (b *board) end(status uint64) error { return b.add("", 0, sessionEnd(status, b.seconds())) }

func (b *board) seconds() float64 { return float64(b.now().UnixMicro()) / 1e6 }

// add writes one value at a step of the file of a folder.
func (b *board) add(folder string, step int, value message) error {
	return b.write(folder, event(b.seconds(), step).message(summaryField, summary(value)))
}

// write writes a whole event in one call, so that TensorBoard never reads half of one.
func (b *board) write(folder string, event message) error {
	_, err := b.files[folder].Write(frame(event))
	return err
}

func (b *board) close() error {
	var errs []error
	for _, file := range b.files {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	b.files = nil
	return errors.Join(errs...)
}
