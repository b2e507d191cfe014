package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
)

// Limits on the files of a run folder, in bytes. JSON takes up to some twenty times
// its size in memory, so its limit is near what an evaluation.json of 256 classes
// needs; of metrics.jsonl only one line at a time is held, and one EpochMetrics for
// each of the epochs that the config allows.
const (
	MaxJSON        = 2 << 20
	MaxMetricsLine = 4 << 10 // the line break included
)

// maxSeconds is longer than any epoch, and short enough that those of a million can be added.
const maxSeconds = 1e10

// Record is what a run folder says about a run that ended.
type Record struct {
	Config      experiments.Config
	Environment Environment
	Epochs      []experiments.EpochMetrics // complete epochs, in order; fewer than Config.Epochs if the run diverged or was stopped
	Stopped     string                     // why it ended before it had all its epochs, such as experiments.StoppedByPatience; else ""
	Test        TestEvaluation             // empty if the run diverged
	Diverged    *experiments.Diverged      // nil unless the loss stopped being a finite number
	Seconds     float64                    // training and evaluation of all epochs
}

// ErrUnfinished is the error of Read for a run that did not finish.
var ErrUnfinished = errors.New("the run is unfinished")

// Read reads a run folder, whoever made it: what it returns has the shape of a run's,
// so that others can index by it. An error names the file and what is wrong with it;
// it wraps [ErrUnfinished] if the run was interrupted.
func Read(path string) (Record, error) {
	r, err := ReadSoFar(path)
	if err != nil {
		return Record{}, err
	}
	return r, nil
}

// ReadSoFar is [Read] that also returns, beside an error that wraps [ErrUnfinished], what
// there is of a run that is under way or was interrupted.
func ReadSoFar(path string) (Record, error) {
	config, configErr := readConfig(path)
	environment, environmentErr := readEnvironment(path)
	if err := errors.Join(configErr, environmentErr); err != nil {
		return Record{}, err
	}
	r := Record{Config: config, Environment: environment}
	err := r.readOutcome(path)
	if err != nil && !errors.Is(err, ErrUnfinished) {
		return Record{}, err
	}
	return r, err
}

// readConfig reads config.json.
func readConfig(folder string) (c experiments.Config, err error) {
	path := filepath.Join(folder, ConfigFile)
	if err := readJSON(path, &c); err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		// Not wrapped: the problems are the file's, not those of the command's flags.
		return c, fmt.Errorf("%s: %v", path, err)
	}
	return c, nil
}

// readEnvironment reads environment.json.
func readEnvironment(folder string) (e Environment, err error) {
	err = readJSON(filepath.Join(folder, EnvironmentFile), &e)
	e.Data = dataset.CurrentFiles(e.Data)
	return e, err
}

// readJSON reads one JSON value, of known fields only, from a file.
func readJSON(path string, into any) error {
	text, err := regular.Read(path, MaxJSON)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("%s: found more after the JSON value, expected the end", path)
	}
	return nil
}

// readOutcome reads how the run of r.Config ended.
func (r *Record) readOutcome(folder string) error {
	path := filepath.Join(folder, MetricsFile)
	file, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, ErrUnfinished)
	} else if err != nil {
		return err
	}
	defer file.Close()
	if err := r.readMetrics(file, path); err != nil || r.Diverged != nil {
		return err
	}
	if !r.Config.Over(r.Epochs) {
		return fmt.Errorf("%s: found %d epochs, expected %d: %w", path, len(r.Epochs), r.Config.Epochs, ErrUnfinished)
	}
	if _, err := os.Stat(filepath.Join(folder, WeightsFile)); err != nil {
		return errors.Join(err, ErrUnfinished)
	}
	path = filepath.Join(folder, EvaluationFile)
	if err := readJSON(path, &r.Test); err != nil {
		return err
	}
	if err := r.Test.check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readEpochs reads the epochs in the first bytes of metrics.jsonl, which must be
// whole lines.
func (r *Run) readEpochs(size int) ([]experiments.EpochMetrics, error) {
	file, err := r.openFile(MetricsFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	limited := &io.LimitedReader{R: file, N: int64(size)}
	record := Record{Config: experiments.Config{Epochs: experiments.MaxEpochs}} // the caller knows how many there are
	if err = record.readMetrics(limited, MetricsFile); err == nil && limited.N > 0 {
		err = fmt.Errorf("%s: found %d bytes, expected at least the %d that belong to the checkpoint", MetricsFile, int64(size)-limited.N, size)
	}
	if err == nil && record.Diverged != nil {
		err = fmt.Errorf("%s: %w", MetricsFile, *record.Diverged)
	}
	return record.Epochs, err
}

// readMetrics reads the lines of metrics.jsonl that matter here; path is the name
// of the file, for errors. A last line without a line break was cut short with the run.
func (r *Record) readMetrics(reader io.Reader, path string) error {
	lines := bufio.NewReaderSize(reader, MaxMetricsLine)
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		switch {
		case err == io.EOF && len(line) == 0:
			return nil
		case err == io.EOF:
			err = fmt.Errorf("found an incomplete line: %w", ErrUnfinished)
		case errors.Is(err, bufio.ErrBufferFull):
			err = fmt.Errorf("found a line of more than %d bytes, expected no more than that", MaxMetricsLine)
		case err == nil:
			err = r.readLine(line)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, number, err)
		}
	}
}

func (r *Record) readLine(line []byte) error {
	if r.Diverged != nil || r.Stopped != "" {
		return errors.New("found a line after the run diverged or stopped, expected the end")
	}
	found, expected := 0, len(r.Epochs)+1
	switch {
	case bytes.HasPrefix(line, []byte(`{"event":"step"`)):
		return nil
	case bytes.HasPrefix(line, []byte(`{"event":"epoch"`)):
		var epoch experiments.EpochMetrics
		if err := json.Unmarshal(line, &epoch); err != nil {
			return err
		}
		if err := checkEpoch(epoch); err != nil {
			return err
		}
		found, r.Epochs = epoch.Epoch, append(r.Epochs, epoch)
		r.Seconds += epoch.TrainSeconds + epoch.EvalSeconds
	case bytes.HasPrefix(line, []byte(`{"event":"diverged"`)):
		var diverged experiments.DivergedMetrics
		if err := json.Unmarshal(line, &diverged); err != nil {
			return err
		}
		loss, err := strconv.ParseFloat(diverged.Loss, 64)
		if err != nil || experiments.IsFinite(loss) {
			return fmt.Errorf("loss: found %q, expected NaN or an infinite one", diverged.Loss)
		}
		found, r.Diverged = diverged.Epoch, &experiments.Diverged{Epoch: diverged.Epoch, Step: diverged.Step, Loss: loss}
	case bytes.HasPrefix(line, []byte(`{"event":"stopped"`)):
		var stopped experiments.StoppedMetrics
		if err := json.Unmarshal(line, &stopped); err != nil {
			return err
		}
		known := []string{experiments.StoppedByPatience, experiments.StoppedByTime, experiments.StoppedByRung}
		if !slices.Contains(known, stopped.Reason) {
			return fmt.Errorf("reason: found %.40q, expected one of %s", stopped.Reason, strings.Join(known, ", "))
		}
		found, r.Stopped = stopped.Epoch, stopped.Reason
	default:
		return errors.New("found neither a step, an epoch, a stopped nor a diverged event")
	}
	if found != expected || found > r.Config.Epochs {
		return fmt.Errorf("found epoch %d, expected %d, and at most %d as the config says", found, expected, r.Config.Epochs)
	}
	return nil
}

// checkEpoch reports a number that no epoch can have.
func checkEpoch(m experiments.EpochMetrics) error {
	for _, value := range []struct {
		name  string
		found *float64
		most  float64
	}{
		{"train_loss", &m.TrainLoss, math.MaxFloat32},
		{"validation_loss", m.ValidationLoss, math.MaxFloat32},
		{"test_loss", &m.TestLoss, math.MaxFloat32},
		{"train_accuracy", &m.TrainAccuracy, 1},
		{"validation_accuracy", m.ValidationAccuracy, 1},
		{"test_accuracy", &m.TestAccuracy, 1},
		{"train_seconds", &m.TrainSeconds, maxSeconds},
		{"eval_seconds", &m.EvalSeconds, maxSeconds},
	} {
		if value.found != nil && (*value.found < 0 || *value.found > value.most) {
			return fmt.Errorf("%s: found %v, expected 0 to %v", value.name, *value.found, value.most)
		}
	}
	return nil
}
