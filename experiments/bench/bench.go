package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model/backend"
	"epochal/model/backend/install"
)

// Event is what a benchmark reports to its observer: one of the types that follow.
type Event any

// Planned comes once it is known what will be measured.
type Planned struct {
	Cells, Peers int
	Rounds       int
}

// Measuring comes before each process, or pair of processes with a peer.
type Measuring struct {
	Round, Rounds int           // from 1
	Done, Total   int           // processes, or pairs of them, of all rounds
	What          string        // a cell, or a peer at a network
	Left          time.Duration // to the end of the benchmark, an estimate; 0 in the first round
}

// Failed comes when a cell or a peer failed. It is not measured again.
type Failed struct{ What, Reason string }

// Warned comes with every warning of the results.
type Warned struct{ Text string }

// Installing says how far the installation of a plugin is.
type Installing struct{ install.Progress }

// Incomplete is the error of a benchmark that ran to completion but could not
// measure something that was requested by name or should have worked. The results
// of everything else are valid.
type Incomplete struct{ What []string }

// Error lists what is missing.
func (e Incomplete) Error() string { return "not measured: " + strings.Join(e.What, "; ") }

// busyProcessors is how many processors other processes, or the host of a virtual
// machine, may use before a warning.
const busyProcessors = 0.1

// disturbedShare is the number of measurements of which one may be disturbed by
// other processes without a warning: medians tolerate that many.
const disturbedShare = 10

// trajectorySteps is the number of steps by which agreement between backends is judged.
const trajectorySteps = 50

// Run measures the grid and the peers, one process at a time.
//
// On an error of type experiments.Problems nothing was done. On any other, such as
// [Incomplete] or ctx's, the results are what was measured so far.
func Run(ctx context.Context, o Options) (Results, error) {
	if err := o.Validate(); err != nil {
		return Results{}, err
	}
	o = o.withDefaults()
	r := &benchmark{Options: o, results: Results{
		Schema: Schema, Command: o.CommandLine, Environment: record.BuildEnvironment(), Started: time.Now(),
		WantedRounds: o.Rounds, Quick: o.Quick,
		Cells: []CellResult{}, Unavailable: []Unavailable{}, Peers: []PeerResult{}, Warnings: []string{},
	}}
	r.results.Environment.Started = r.results.Started
	err := r.run(ctx)
	r.results.Seconds = time.Since(r.results.Started).Seconds()
	return r.results, err
}

// benchmark is a Run under way.
type benchmark struct {
	Options
	results Results
	jobs    []*job
	missing []string // what an Incomplete names
}

// job is one thing that is measured once per round.
type job struct {
	what    string
	measure func(ctx context.Context, round int) error // errors other than ctx's are its failure
	failure *string                                    // in the results
}

func (r *benchmark) run(ctx context.Context) error {
	backends, err := r.available(ctx)
	if err != nil {
		return err
	}
	for _, warning := range machineWarnings(r.Machine, r.results.Environment.Cores) {
		r.warn(warning)
	}
	if r.Rounds < FewestRounds {
		r.warn(fmt.Sprintf("too few rounds for 95%% intervals: found %d, expected at least %d", r.Rounds, FewestRounds))
	}
	for _, cell := range r.Grid(backends) {
		r.results.Cells = append(r.results.Cells, CellResult{Cell: cell, Rounds: []Measurement{}})
	}
	for i := range r.results.Cells {
		result := &r.results.Cells[i]
		r.jobs = append(r.jobs, &job{
			what: result.Cell.String(), failure: &result.Failure,
			measure: func(ctx context.Context, round int) error { return r.measure(ctx, result, round) },
		})
	}
	if len(r.Options.Peers) > 0 {
		folder, err := os.MkdirTemp("", "epochal-peers-")
		if err != nil {
			return fmt.Errorf("peers: %w", err)
		}
		defer os.RemoveAll(folder)
		if err := r.addPeers(ctx, folder, backends); err != nil {
			return err
		}
	}
	r.Observer(Planned{Cells: len(r.results.Cells), Peers: len(r.results.Peers), Rounds: r.Rounds})
	began := time.Now()
	before, known := readProcessorTimes(r.Machine)
	err = r.rounds(ctx)
	r.warnAfterwards()
	if after, ok := readProcessorTimes(r.Machine); ok && known {
		if stolen := (after.stolen - before.stolen) / time.Since(began).Seconds(); stolen > busyProcessors {
			r.warn(fmt.Sprintf("the host of this virtual machine gave the time of %.2g processors to others", stolen))
		}
	}
	switch {
	case err != nil:
		return err
	case len(r.jobs) == 0 && len(r.missing) == 0:
		r.missing = []string{"there is no backend for any of the cells"}
	}
	if len(r.missing) > 0 {
		return Incomplete{r.missing}
	}
	return nil
}

// available returns those of the wanted backends that can be measured, installs
// the CPU's plugin if need be, and records the others.
func (r *benchmark) available(ctx context.Context) ([]string, error) {
	wanted := r.Backends
	if wanted == nil {
		wanted = known
	}
	states := map[string]backend.Status{}
	for _, status := range backend.List() {
		states[status.Name] = status
	}
	var usable []string
	for _, name := range wanted {
		reason := r.whyUnusable(ctx, name, states[name])
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if reason == "" {
			usable = append(usable, name)
			continue
		}
		r.results.Unavailable = append(r.results.Unavailable, Unavailable{Backend: name, Reason: reason})
		if r.Backends != nil {
			r.missing = append(r.missing, fmt.Sprintf("%s is not available: %s", name, reason))
		}
	}
	return usable, nil
}

// whyUnusable says why a backend cannot be measured and what helps, or "" where
// it can be tried.
func (r *benchmark) whyUnusable(ctx context.Context, name string, status backend.Status) string {
	switch {
	case status.State == "" || status.State == backend.StateReady:
		// Nothing is known of GoMLX's other backends before a child tries them.
		return ""
	case name == backend.XLACPU && status.State != backend.StateBroken:
		device, _, err := train.OpenDevice(ctx, name, train.DeviceOptions{
			Progress: func(p install.Progress) { r.Observer(Installing{p}) },
		})
		if err != nil {
			return err.Error()
		}
		device.Close()
		return ""
	case status.Hint == "":
		return status.State
	case status.State == backend.StateMissing || status.State == backend.StateDamaged:
		return fmt.Sprintf("%s; to install it: %s", status.State, status.Hint)
	default:
		return status.State + ": " + status.Hint
	}
}

// rounds runs every job once per round. Every second round goes the other way, so
// that no job always follows the same one.
func (r *benchmark) rounds(ctx context.Context) error {
	began := time.Now()
	done, total := 0, r.Rounds*len(r.jobs)
	for round := 1; round <= r.Rounds; round++ {
		for _, j := range r.jobs {
			done++
			if *j.failure != "" {
				continue
			}
			event := Measuring{Round: round, Rounds: r.Rounds, Done: done - 1, Total: total, What: j.what}
			if round > 1 { // the jobs of a round take very different times
				event.Left = time.Duration(float64(time.Since(began)) * float64(total-event.Done) / float64(event.Done))
			}
			r.Observer(event)
			err := j.measure(ctx, round)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				*j.failure = err.Error()
				r.missing = append(r.missing, fmt.Sprintf("%s: %v", j.what, err))
				r.Observer(Failed{What: j.what, Reason: err.Error()})
			}
		}
		slices.Reverse(r.jobs)
	}
	return nil
}

// measure runs a round of a cell in a child process.
func (r *benchmark) measure(ctx context.Context, result *CellResult, round int) error {
	task := Task{Cell: result.Cell, Seconds: r.Seconds}
	if round == 1 {
		task.Trajectory = trajectorySteps
	} else {
		task.Evaluate = result.Rounds[0].EvaluatedImages
	}
	answer, err := r.child(ctx, task)
	if err != nil {
		return err
	}
	result.Info = answer.Info
	result.Rounds = append(result.Rounds, answer.Measurement)
	if answer.Trajectory != nil {
		result.Trajectory = answer.Trajectory
	}
	return nil
}

// child gives a task to a child process and reads its answer. Anything else on
// its standard output, such as a plugin's log, is an error.
func (r *benchmark) child(ctx context.Context, task Task) (answer Answer, err error) {
	encoded, err := json.Marshal(task)
	if err != nil {
		return answer, err
	}
	p, err := r.process(ctx, func(ctx context.Context) *exec.Cmd { return r.Command(ctx, ChildCommand) }, append(encoded, '\n'))
	if err != nil {
		return answer, err
	}
	decoder := json.NewDecoder(bytes.NewReader(p.output))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err == io.EOF {
		return answer, errors.New("returned nothing")
	} else if err != nil {
		return answer, fmt.Errorf("returned %s, expected JSON: %w", excerpt(p.output), err)
	}
	if decoder.More() {
		return answer, fmt.Errorf("returned more than one JSON value: %s", excerpt(p.output[decoder.InputOffset():]))
	}
	return answer, nil
}

// excerpt is the beginning of an output that is not understood.
func excerpt(output []byte) string {
	const most = 60
	output = bytes.TrimSpace(output)
	if len(output) > most {
		return fmt.Sprintf("%q...", output[:most])
	}
	return fmt.Sprintf("%q", output)
}

// warn adds a warning to the results, once.
func (r *benchmark) warn(text string) {
	if !slices.Contains(r.results.Warnings, text) {
		r.results.Warnings = append(r.results.Warnings, text)
		r.Observer(Warned{text})
	}
}

// warnAfterwards adds the warnings that only the measurements reveal.
func (r *benchmark) warnAfterwards() {
	var loads []float64
	extrapolated := 0
	for _, cell := range r.results.Cells {
		loads = append(loads, cell.Values(func(m Measurement) float64 { return m.OtherLoad })...)
		if slices.ContainsFunc(cell.Rounds, cell.Cell.Extrapolated) {
			extrapolated++
		}
	}
	disturbed := 0
	for _, load := range loads {
		if load > busyProcessors {
			disturbed++
		}
	}
	if disturbed*disturbedShare > len(loads) {
		r.warn(fmt.Sprintf("other processes kept up to %.2g processors busy during %d of %d measurements",
			slices.Max(loads), disturbed, len(loads)))
	}
	if extrapolated > 0 {
		r.warn(fmt.Sprintf("the epoch times of %d of %d cells are extrapolated from fewer steps, because a whole epoch would take too long",
			extrapolated, len(r.results.Cells)))
	}
}
