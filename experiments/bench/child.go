package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"epochal/model/backend"
)

// Task asks a child process for one round of a cell, as JSON on its standard input.
type Task struct {
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

// Answer is what a child measured, as JSON on its standard output.
type Answer struct {
	Info        backend.Info `json:"info"`
	Measurement Measurement  `json:"measurement"`
	Trajectory  *Trajectory  `json:"trajectory,omitempty"`
}

// Serve does the one task that it reads from in and writes the answer to out:
// the whole life of a child process. It writes nothing if it fails. ctx ends it
// between two device calls.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	var task Task
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&task); err != nil {
		return fmt.Errorf("the task: %w", err)
	}
	answer, err := measureCell(ctx, task)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(answer)
}
