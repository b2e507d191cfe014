package record

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/model"
)

// Mistake is a test image that the network got wrong.
type Mistake struct {
	Image      int     `json:"image"`      // its number in the test set, from 0
	Label      int     `json:"label"`      // what it is
	Predicted  int     `json:"predicted"`  // the class of the largest logit
	Confidence float64 `json:"confidence"` // softmax probability of the predicted class, 0 to 1
}

// TestEvaluation is the test set after the last epoch: the run folder's
// evaluation.json.
type TestEvaluation struct {
	Confusion [][]int   `json:"confusion"` // [label][predicted], in images
	Mistakes  []Mistake `json:"mistakes"`  // the MaxMistakes most confident ones, the most confident first
}

// MaxMistakes is how many wrong test images a run records.
const MaxMistakes = 64

// NewTestEvaluation picks from an evaluation of the test set what is recorded.
func NewTestEvaluation(e model.Evaluation) TestEvaluation {
	test := TestEvaluation{Confusion: e.Confusion, Mistakes: []Mistake{}}
	for i, predicted := range e.Predictions {
		if predicted != e.Labels[i] {
			test.Mistakes = append(test.Mistakes, Mistake{i, int(e.Labels[i]), int(predicted), float64(e.Confidences[i])})
		}
	}
	slices.SortStableFunc(test.Mistakes, func(a, b Mistake) int { return cmp.Compare(b.Confidence, a.Confidence) })
	test.Mistakes = test.Mistakes[:min(len(test.Mistakes), MaxMistakes)]
	return test
}

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
var ErrUnfinished = errors.New("the run did not come to its end")

// Read reads a run folder, whoever made it: what it returns is possible, so
// that nobody need check it again. An error names the file and what is wrong with
// it; it wraps [ErrUnfinished] if the run was interrupted.
func Read(path string) (Record, error) {
	var r Record
	if err := errors.Join(
		ReadJSON(filepath.Join(path, ConfigFile), MaxConfigBytes, &r.Config),
		ReadJSON(filepath.Join(path, EnvironmentFile), MaxEnvironment, &r.Environment),
	); err != nil {
		return Record{}, err
	}
	if err := r.Config.Validate(); err != nil {
		// Not wrapped: the problems are the file's, not those of the command's flags.
		return Record{}, fmt.Errorf("%s: %v", filepath.Join(path, ConfigFile), err)
	}
	metrics := filepath.Join(path, MetricsFile)
	if err := r.readMetrics(metrics); err != nil {
		return Record{}, err
	}
	if r.Diverged != nil {
		return r, nil
	}
	if len(r.Epochs) != r.Config.Epochs {
		return Record{}, fmt.Errorf("%s: found %d epochs, expected %d: %w", metrics, len(r.Epochs), r.Config.Epochs, ErrUnfinished)
	}
	if _, err := os.Stat(filepath.Join(path, WeightsFile)); err != nil {
		return Record{}, errors.Join(err, ErrUnfinished)
	}
	evaluation := filepath.Join(path, EvaluationFile)
	if err := ReadJSON(evaluation, MaxEvaluationBytes, &r.Test); err != nil {
		return Record{}, err
	}
	if err := r.Test.check(); err != nil {
		return Record{}, fmt.Errorf("%s: %w", evaluation, err)
	}
	return r, nil
}

// readMetrics reads the lines of metrics.jsonl that matter here. A last line
// without its end was cut when the run was.
func (r *Record) readMetrics(path string) error {
	file, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, ErrUnfinished)
	} else if err != nil {
		return err
	}
	defer file.Close()
	return r.readLines(file, path)
}

// readLines reads metrics from a reader; path is its name, for errors.
func (r *Record) readLines(reader io.Reader, path string) error {
	lines := bufio.NewReaderSize(io.LimitReader(reader, MaxMetricsBytes+1), MaxMetricsLine)
	size := 0
	for number := 1; ; number++ {
		line, err := readMetricsLine(lines)
		if size += len(line); size > MaxMetricsBytes {
			return fmt.Errorf("%s: found more than %d bytes, expected at most that", path, MaxMetricsBytes)
		}
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err == io.EOF {
			return fmt.Errorf("%s:%d: found half a line: %w", path, number, ErrUnfinished)
		}
		if err == nil {
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
