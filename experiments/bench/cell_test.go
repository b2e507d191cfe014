package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"epochal/experiments/bench"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// Real rounds on every backend: each phase has its time, and the same seed
// begins alike everywhere.
func TestCells(t *testing.T) {
	cell := func(name string, steps bench.StepsPerCall, feed string) bench.Cell {
		return bench.Cell{Backend: name, Precision: bench.Float32, LayerSizes: []int{4}, BatchSize: 512, StepsPerCall: steps, Feed: feed}
	}
	var losses []float32
	for _, c := range []bench.Cell{
		cell(backend.Go, 1, bench.FeedResident),
		cell(backend.Go, 1, bench.FeedHost),
		cell(backend.XLACPU, bench.WholeEpoch, bench.FeedResident),
		cell(backend.XLACPU, 7, bench.FeedResident),
		cell(backend.XLACPU, 1, bench.FeedHost),
	} {
		t.Run(c.String(), func(t *testing.T) {
			if c.Backend == backend.XLACPU {
				backendtest.XLA(t)
			}
			evaluate := 0
			if c.StepsPerCall == 7 {
				evaluate = bench.TrainImages + bench.TestImages
			}
			task, err := json.Marshal(bench.Task{Cell: c, Seconds: 0.01, Trajectory: 5, Evaluate: evaluate})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := bench.Serve(context.Background(), bytes.NewReader(task), &out); err != nil {
				t.Fatal(err)
			}
			var answer bench.Answer
			if err := json.Unmarshal(out.Bytes(), &answer); err != nil { // one value and no more
				t.Fatal(err)
			}
			m := answer.Measurement
			for name, value := range map[string]float64{
				"open": m.Open, "upload": m.Upload, "compile": m.Compile, "first call": m.FirstCall, "step": m.Step,
				"epoch": m.Epoch, "evaluate": m.Evaluate, "products": m.Products, "peak": m.Peak,
			} {
				if !(value > 0) || math.IsInf(value, 0) {
					t.Errorf("%s: found %v, expected more than 0", name, value)
				}
			}
			if m.Step*float64(m.StepCount) < 0.01 {
				t.Errorf("found %d steps of %v s, expected a window of at least 0.01 s", m.StepCount, m.Step)
			}
			if m.EpochSteps < 1 || m.EpochSteps > 118 {
				t.Errorf("found an epoch of %d steps, expected up to 118", m.EpochSteps)
			}
			if m.EvaluatedImages != 1000 && m.EvaluatedImages != 70000 || evaluate > 0 && m.EvaluatedImages != evaluate {
				t.Errorf("found %d evaluated images", m.EvaluatedImages)
			}
			if m.ProcessMemory < 10<<20 || m.OtherLoad < 0 {
				t.Errorf("found %d bytes and a load of %v", m.ProcessMemory, m.OtherLoad)
			}
			if answer.Info.Name != c.Backend {
				t.Errorf("found the backend %q", answer.Info.Name)
			}
			// Nothing forces all 5 steps into the two seconds of a trajectory.
			found := answer.Trajectory
			if len(found.Losses) < 1 || len(found.Losses) > 5 || found.Evaluated != 1000 || found.Correct < 1 || found.Correct > 1000 {
				t.Fatalf("found the trajectory %+v", found)
			}
			if losses == nil {
				losses = found.Losses
			}
			for i := range min(len(losses), len(found.Losses)) {
				if math.Abs(float64(losses[i]-found.Losses[i])) > 1e-4 {
					t.Errorf("step %d: found the loss %v, expected %v", i, found.Losses[i], losses[i])
				}
			}
		})
	}
}

func TestServeRefuses(t *testing.T) {
	for task, expected := range map[string]string{
		"x":               "the task: invalid character",
		`{"color":"red"}`: `unknown field "color"`,
		`{"cell":{"backend":"tpu","layer_sizes":[4],"batch_size":64}}`: `backend "tpu" is unknown`,
	} {
		var out bytes.Buffer
		err := bench.Serve(context.Background(), strings.NewReader(task), &out)
		if err == nil || !strings.Contains(err.Error(), expected) {
			t.Errorf("%s: found the error %v, expected %q", task, err, expected)
		}
		if out.Len() > 0 {
			t.Errorf("%s: found the output %q, expected none", task, out.String())
		}
	}
}
