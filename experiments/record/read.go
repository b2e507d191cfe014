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
	"strconv"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
)

// Limits on the files of a run folder. JSON takes up to some twenty times its size
// in memory, so each is near what its file can need; of metrics.jsonl only one line
// at a time is held, and one EpochMetrics for each of the epochs that the config
// allows.
const (
	MaxConfigBytes     = 1 << 20 // config.json
	MaxEnvironment     = 1 << 20 // environment.json, bytes
	MaxEvaluationBytes = 2 << 20 // evaluation.json: 256 classes need 1.2 MB
	MaxMetricsBytes    = 1 << 30 // metrics.jsonl
	MaxMetricsLine     = 4 << 10 // bytes of one of its lines, the end included
)

// maxSeconds is longer than any epoch, and short enough that a million add up.
const maxSeconds = 1e10

// Record is what a run folder tells of a run that ended.
type Record struct {
	Config      experiments.Config
	Environment Environment
	Epochs      []experiments.EpochMetrics // complete epochs, in order; fewer than Config.Epochs if the run diverged
	Test        TestEvaluation             // empty if the run diverged
	Diverged    *experiments.Diverged      // nil unless the loss stopped being a finite number
	Seconds     float64                    // training and evaluation of all epochs
}

// ErrUnfinished is the error of Read for a run that did not come to an end.
var ErrUnfinished = errors.New("the run is unfinished")

// Read reads a run folder, whoever made it: what it returns is possible, so that
// nobody need check it again. An error names the file and what is wrong with it;
// it wraps [ErrUnfinished] if the run was interrupted.
func Read(path string) (Record, error) {
	config, configErr := readConfig(path)
	environment, environmentErr := readEnvironment(path)
	if err := errors.Join(configErr, environmentErr); err != nil {
		return Record{}, err
	}
	r := Record{Config: config, Environment: environment}
	if err := r.readOutcome(path); err != nil {
		return Record{}, err
	}
	return r, nil
}

// readConfig reads config.json.
func readConfig(folder string) (c experiments.Config, err error) {
	path := filepath.Join(folder, ConfigFile)
	if err := readJSON(path, MaxConfigBytes, &c); err != nil {
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
	return e, readJSON(filepath.Join(folder, EnvironmentFile), MaxEnvironment, &e)
}

// readJSON reads one JSON value, of known fields only, from a file of at most
// limit bytes.
func readJSON(path string, limit int64, into any) error {
	text, err := regular.Read(path, limit)
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
	if len(r.Epochs) != r.Config.Epochs {
		return fmt.Errorf("%s: found %d epochs, expected %d: %w", path, len(r.Epochs), r.Config.Epochs, ErrUnfinished)
	}
	if _, err := os.Stat(filepath.Join(folder, WeightsFile)); err != nil {
		return errors.Join(err, ErrUnfinished)
	}
	path = filepath.Join(folder, EvaluationFile)
	if err := readJSON(path, MaxEvaluationBytes, &r.Test); err != nil {
		return err
	}
	if err := r.Test.check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readMetrics reads the first bytes of metrics.jsonl, which must be whole lines.
func (r *Run) readMetrics(size int) (record Record, err error) {
	file, err := r.openFile(MetricsFile)
	if err != nil {
		return record, err
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() < int64(size) {
		return record, fmt.Errorf("%s: found %d bytes, expected at least the %d that belong to the checkpoint", MetricsFile, info.Size(), size)
	}
	record.Config.Epochs = experiments.MaxEpochs // the caller knows how many there are
	return record, record.readMetrics(io.LimitReader(file, int64(size)), MetricsFile)
}

// readMetrics reads the lines of metrics.jsonl that matter here; path is the name
// of the file, for errors. A last line without its end was cut when the run was.
func (r *Record) readMetrics(reader io.Reader, path string) error {
	lines := bufio.NewReaderSize(io.LimitReader(reader, MaxMetricsBytes+1), MaxMetricsLine)
	size := 0
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		if size += len(line); size > MaxMetricsBytes {
			return fmt.Errorf("%s: found more than %d bytes, expected at most that", path, MaxMetricsBytes)
		}
		switch {
		case err == io.EOF && len(line) == 0:
			return nil
		case err == io.EOF:
			err = fmt.Errorf("found an incomplete line: %w", ErrUnfinished)
		case errors.Is(err, bufio.ErrBufferFull):
			err = fmt.Errorf("found a line of more than %d bytes, expected at most that", MaxMetricsLine)
		case err == nil:
			err = r.readLine(line)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, number, err)
		}
	}
}

func (r *Record) readLine(line []byte) error {
	if r.Diverged != nil {
		return errors.New("found a line after the run diverged, expected the end")
	}
	switch {
	case bytes.HasPrefix(line, []byte(`{"event":"epoch"`)):
		var epoch experiments.EpochMetrics
		if err := json.Unmarshal(line, &epoch); err != nil {
			return err
		}
		if epoch.Epoch != len(r.Epochs)+1 {
			return fmt.Errorf("found epoch %d, expected %d", epoch.Epoch, len(r.Epochs)+1)
		}
		if err := checkEpoch(epoch, r.Config.Epochs); err != nil {
			return err
		}
		r.Epochs = append(r.Epochs, epoch)
		r.Seconds += epoch.TrainSeconds + epoch.EvalSeconds
	case bytes.HasPrefix(line, []byte(`{"event":"diverged"`)):
		var diverged experiments.DivergedMetrics
		if err := json.Unmarshal(line, &diverged); err != nil {
			return err
		}
		loss, err := strconv.ParseFloat(diverged.Loss, 64)
		if err != nil {
			return err
		}
		r.Diverged = &experiments.Diverged{Epoch: diverged.Epoch, Step: diverged.Step, Loss: loss}
		return checkDiverged(*r.Diverged, r.Config.Epochs)
	case !bytes.HasPrefix(line, []byte(`{"event":"step"`)):
		return errors.New("found neither a step, an epoch nor a diverged event")
	}
	return nil
}

// checkEpoch reports what no epoch of a run of that many can have measured.
func checkEpoch(m experiments.EpochMetrics, epochs int) error {
	if m.Epoch > epochs {
		return fmt.Errorf("found epoch %d, expected at most %d as the config says", m.Epoch, epochs)
	}
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

// checkDiverged reports what no run of that many epochs can have diverged at.
func checkDiverged(d experiments.Diverged, epochs int) error {
	switch {
	case d.Epoch < 1 || d.Epoch > epochs:
		return fmt.Errorf("epoch: found %d, expected 1 to %d as the config says", d.Epoch, epochs)
	case d.Step < -1 || d.Step >= dataset.MaxImages:
		return fmt.Errorf("step: found %d, expected -1 to %d", d.Step, dataset.MaxImages-1)
	case experiments.IsFinite(d.Loss):
		return fmt.Errorf("loss: found %v, expected NaN or an infinite one", d.Loss)
	}
	return nil
}
