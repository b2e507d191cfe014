package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"epochal/experiments"
	"epochal/experiments/train"
	"epochal/model/backend"
)

// Task is what a child process is told to do, as JSON on its standard input: one
// of the two.
type Task struct {
	Cell     *CellTask     `json:"cell,omitempty"`
	Training *TrainingTask `json:"training,omitempty"`
}

// CellTask asks for one round of a cell.
type CellTask struct {
	Cell Cell `json:"cell"`

	// Seconds is the least time for which the steady steps are measured. The other
	// windows follow from it.
	Seconds float64 `json:"seconds"`

	// Trajectory is the number of steps of the trajectory, 0 for none. A slow
	// backend makes as many as fit into two seconds.
	Trajectory int `json:"trajectory"`

	// Evaluate is the number of images that earlier rounds evaluated, so that this
	// one does the same; 0 to evaluate both sets unless that takes too long.
	Evaluate int `json:"evaluate"`
}

// CellAnswer is what a child measured, as JSON on its standard output.
type CellAnswer struct {
	Info        backend.Info `json:"info"`
	Measurement Measurement  `json:"measurement"`
	Trajectory  *Trajectory  `json:"trajectory,omitempty"`
}

// TrainingTask asks for a training as `epochal train` does it, without a record.
type TrainingTask struct {
	Backend    string `json:"backend"`
	LayerSizes []int  `json:"layer_sizes"`
	BatchSize  int    `json:"batch_size"`
	Epochs     int    `json:"epochs"`
}

// TrainingAnswer is how long a child trained, as JSON on its standard output.
type TrainingAnswer struct {
	Epochs []EpochTimes `json:"epochs"`
}

// EpochTimes are the seconds of one epoch of a training process.
type EpochTimes struct {
	Train    float64 `json:"train_seconds"`
	Evaluate float64 `json:"eval_seconds"` // both sets
}

// Serve does the one task that it reads from in and writes the answer to out:
// the whole life of a child process. It writes nothing if it fails. ctx ends it
// between two calls of the device.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	var task Task
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&task); err != nil {
		return fmt.Errorf("the task: %w", err)
	}
	var answer any
	var err error
	switch {
	case task.Cell != nil:
		answer, err = measureCell(ctx, *task.Cell)
	case task.Training != nil:
		answer, err = measureTraining(ctx, *task.Training)
	default:
		err = errors.New("the task: found neither a cell nor a training, expected one of them")
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(answer)
}

// measureTraining runs a TrainingTask.
func measureTraining(ctx context.Context, task TrainingTask) (answer TrainingAnswer, err error) {
	config := experiments.Defaults()
	config.Backend, config.LayerSizes, config.BatchSize, config.Epochs = task.Backend, task.LayerSizes, task.BatchSize, task.Epochs
	config.StepsPerCall = int(WholeEpoch)
	_, err = train.Run(ctx, config, train.Options{
		Observer: func(event experiments.Event) {
			if done, ok := event.(experiments.EpochDone); ok {
				answer.Epochs = append(answer.Epochs, EpochTimes{done.Metrics.TrainSeconds, done.Metrics.EvalSeconds})
			}
		},
	})
	return answer, err
}
