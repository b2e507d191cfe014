package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
)

// Limits on the files of a run folder that [Read] reads. JSON takes up to
// some twenty times its size in memory, so each is near what its file can need;
// of metrics.jsonl only one line at a time is held, and one EpochMetrics for each
// of the epochs that the config allows.
const (
	MaxConfigBytes     = 1 << 20 // config.json
	MaxEnvironment     = 1 << 20 // environment.json, bytes
	MaxEvaluationBytes = 2 << 20 // evaluation.json: 256 classes need 1.2 MB
	MaxMetricsBytes    = 1 << 30 // metrics.jsonl
	MaxMetricsLine     = 4 << 10 // bytes of one of its lines, the end included
)

// maxSeconds is longer than any epoch, and short enough that a million add up.
const maxSeconds = 1e10

// ReadJSON reads one JSON value, of known fields only, from a file of at most
// limit bytes.
func ReadJSON(path string, limit int64, into any) error {
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

// readMetricsLine returns the next line of metrics.jsonl with its end, which is
// valid until the next call. At the end of the file the error is io.EOF, with
// what there is of a line that was cut.
func readMetricsLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("found a line of more than %d bytes, expected at most that", r.Size())
	}
	return line, err
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

// check reports what no test set gives. Others index by what it holds.
func (e TestEvaluation) check() error {
	classes, images := len(e.Confusion), 0
	if classes < 2 || classes > dataset.MaxClasses {
		return fmt.Errorf("confusion: found %d classes, expected 2 to %d", classes, dataset.MaxClasses)
	}
	for label, row := range e.Confusion {
		if len(row) != classes {
			return fmt.Errorf("confusion: found %d columns in row %d, expected %d", len(row), label, classes)
		}
		for _, count := range row {
			if count < 0 || count > dataset.MaxImages {
				return fmt.Errorf("confusion: found %d images of class %d in one place, expected 0 to %d", count, label, dataset.MaxImages)
			}
			images += count
		}
	}
	if images < 1 || images > dataset.MaxImages {
		return fmt.Errorf("confusion: found %d images, expected 1 to %d", images, dataset.MaxImages)
	}
	if len(e.Mistakes) > MaxMistakes {
		return fmt.Errorf("mistakes: found %d, expected at most %d", len(e.Mistakes), MaxMistakes)
	}
	for i, m := range e.Mistakes {
		class := func(found int) bool { return found >= 0 && found < classes }
		if m.Image < 0 || m.Image >= images || !class(m.Label) || !class(m.Predicted) || m.Label == m.Predicted ||
			m.Confidence < 0 || m.Confidence > 1 {
			return fmt.Errorf("mistakes: found %+v at position %d, expected one of %d images, two of %d classes and a confidence from 0 to 1",
				m, i, images, classes)
		}
	}
	return nil
}
