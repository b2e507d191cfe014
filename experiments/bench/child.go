package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"epochal/experiments"
	"epochal/model/backend"
)

// Task is what a child process is told to measure, as JSON on its standard
// input: a cell, or a training.
type Task struct {
	Schema   int           `json:"schema"`
	Cell     *CellTask     `json:"cell,omitempty"`
	Training *TrainingTask `json:"training,omitempty"`
}

// CellTask asks for one round of a cell.
type CellTask struct {
	Cell Cell `json:"cell"`

	// Seconds is how long at least the steady steps are measured, above 0. The
	// other windows follow from it.
	Seconds float64 `json:"seconds"`

	// Trajectory is the number of steps of the trajectory, 0 for none. A slow
	// backend makes as many as fit two seconds.
	Trajectory int `json:"trajectory"`

	// Evaluate is how many images the rounds before evaluated, so that this one
	// does the same; 0 to evaluate both sets unless that takes long.
	Evaluate int `json:"evaluate"`
}

// TrainingTask asks for a training as `epochal train` does it, without a record.
type TrainingTask struct {
	Backend    string `json:"backend"`
	LayerSizes []int  `json:"layer_sizes"`
	BatchSize  int    `json:"batch_size"`
	Epochs     int    `json:"epochs"`
}

// Answer is what a child found, as JSON on its standard output.
type Answer struct {
	Schema      int          `json:"schema"`
	Info        backend.Info `json:"info"`
	Measurement *Measurement `json:"measurement,omitempty"` // of a CellTask
	Trajectory  *Trajectory  `json:"trajectory,omitempty"`
	Epochs      []EpochTimes `json:"epochs,omitempty"` // of a TrainingTask
}

// EpochTimes are the seconds of one epoch of a training process.
type EpochTimes struct {
	Train    float64 `json:"train_seconds"`
	Evaluate float64 `json:"eval_seconds"` // both sets
}

// Surroundings are what a child needs of the world. The zero value is ready to use.
type Surroundings struct {
	Machine fs.FS            // the machine's files, default those below /
	Now     func() time.Time // default time.Now
}

func (s Surroundings) withDefaults() Surroundings {
	if s.Machine == nil {
		s.Machine = os.DirFS("/")
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	return s
}

// maxTask is the most bytes of a task.
const maxTask = 1 << 20

// Serve does the one task that it reads from in and writes the answer to out:
// the whole life of a child process. It writes nothing if it fails. ctx ends it
// between two calls of the device.
func Serve(ctx context.Context, in io.Reader, out io.Writer, s Surroundings) error {
	s = s.withDefaults()
	var task Task
	decoder := json.NewDecoder(io.LimitReader(in, maxTask))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&task); err != nil {
		return fmt.Errorf("the task: %w", err)
	}
	if task.Schema != Schema {
		return fmt.Errorf("the task: found schema %d, expected %d", task.Schema, Schema)
	}
	answer := Answer{Schema: Schema}
	var err error
	switch {
	case task.Cell != nil && task.Training == nil:
		err = measureCell(ctx, *task.Cell, s, &answer)
	case task.Training != nil && task.Cell == nil:
		err = train(ctx, *task.Training, s, &answer)
	default:
		err = errors.New("the task: expected one of cell and training")
	}
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if _, err := out.Write(append(encoded, '\n')); err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	return nil
}

// train runs a TrainingTask.
func train(ctx context.Context, task TrainingTask, s Surroundings, answer *Answer) error {
	config := experiments.Defaults()
	config.Backend, config.LayerSizes, config.BatchSize, config.Epochs = task.Backend, task.LayerSizes, task.BatchSize, task.Epochs
	config.StepsPerCall = TrainImages // a whole epoch
	result, err := experiments.Run(ctx, config, experiments.Options{
		Now: s.Now,
		Observer: func(event experiments.Event) {
			if done, ok := event.(experiments.EpochDone); ok {
				answer.Epochs = append(answer.Epochs, EpochTimes{done.Metrics.TrainSeconds, done.Metrics.EvalSeconds})
			}
		},
	})
	answer.Info = result.Backend
	return err
}
