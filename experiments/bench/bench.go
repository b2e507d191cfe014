package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"slices"
	"strings"
	"time"

	"epochal/experiments"
	"epochal/model/backend"
	"epochal/model/backend/install"
)

// Event is what a benchmark tells its observer: one of the types below.
type Event interface{ event() }

// Planned comes when it is known what is measured.
type Planned struct {
	Cells, Peers int
	Rounds       int
}

// Measuring comes before each process, or pair of processes with a peer.
type Measuring struct {
	Round, Rounds int    // from 1
	Done, Total   int    // of all rounds
	What          string // a cell, or a peer at a network
	Left          time.Duration
}

// Failed comes when a cell or a peer failed: it is not measured again.
type Failed struct{ What, Reason string }

// Warned comes with every warning of the results.
type Warned struct{ Text string }

// Installing says how far the installation of a plugin is.
type Installing struct{ install.Progress }

func (Planned) event()    {}
func (Measuring) event()  {}
func (Failed) event()     {}
func (Warned) event()     {}
func (Installing) event() {}

// Incomplete is the error of a benchmark that ran to its end without something
// that was asked for by name, or that should have worked. Its results are valid.
type Incomplete struct{ What []string }

// Error lists what is missing.
func (e Incomplete) Error() string { return "not measured: " + strings.Join(e.What, "; ") }

// busyProcessors is what other processes may use before a warning, and what a
// virtual machine's host may take.
const busyProcessors = 0.1

// disturbedShare is how many measurements may have one among them in which other
// processes used more; medians bear that many.
const disturbedShare = 10

// trajectorySteps is how many steps agreement between backends is judged by.
const trajectorySteps = 50

// Run measures the grid and the peers, each process after the one before.
//
// With an error of experiments.Problems nothing was done; with any other,
// [Incomplete] or ctx's among them, the results are what was measured so far.
func Run(ctx context.Context, o Options) (Results, error) {
	if err := o.Validate(); err != nil {
		return Results{}, err
	}
	o = o.withDefaults()
	r := &benchmark{Options: o, started: o.Now(), results: Results{
		Schema: Schema, Command: o.CommandLine, Environment: experiments.BuildEnvironment(), Started: o.Now(),
		WantedRounds: o.Rounds, Quick: o.Quick,
		Cells: []CellResult{}, Unavailable: []Unavailable{}, Peers: []PeerResult{}, Warnings: []string{},
	}}
	r.results.Environment.Started = r.results.Started
	err := r.run(ctx)
	r.results.Seconds = o.Now().Sub(r.started).Seconds()
	return r.results, err
}

// benchmark is a Run under way.
type benchmark struct {
	Options
	started time.Time
	results Results
	jobs    []*job
	missing []string // what an Incomplete names
}

// job is one thing that is measured once per round.
type job struct {
	what    string
	measure func(ctx context.Context, round int) error // errors but ctx's are its failure
	failure *string                                    // in the results
	seconds float64                                    // of the last round, 0 before the first
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
	cleanup, err := r.addPeers(ctx, backends)
	defer cleanup()
	if err != nil {
		return err
	}
	r.Observer(Planned{Cells: len(r.results.Cells), Peers: len(r.results.Peers), Rounds: r.Rounds})
	began := r.Now()
	before, known := readProcessorTimes(r.Machine)
	err = r.rounds(ctx)
	r.warnAfterwards()
	if after, ok := readProcessorTimes(r.Machine); ok && known {
		r.warnStolen(after.stolen-before.stolen, r.Now().Sub(began).Seconds())
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
	wanted := slices.Clone(r.Backends)
	if wanted == nil {
		wanted = known
	}
	states := map[string]backend.Status{}
	for _, status := range backend.List() {
		states[status.Name] = status
	}
	var usable []string
	for _, name := range wanted {
		if slices.Contains(usable, name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		reason := ""
		switch status, listed := states[name]; {
		case !listed || status.State == backend.StateReady:
			// Of GoMLX's other backends nothing is known before a child tries.
		case name == backend.XLACPU && status.State != backend.StateBroken:
			device, _, err := experiments.OpenDevice(ctx, name, experiments.DeviceOptions{
				Progress: func(p install.Progress) { r.Observer(Installing{p}) },
			})
			if err == nil {
				device.Close()
			} else if ctx.Err() != nil {
				return nil, ctx.Err()
			} else {
				reason = err.Error()
			}
		default:
			reason = unusable(status)
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

// unusable is why a backend cannot be used, with what helps.
func unusable(s backend.Status) string {
	switch {
	case s.Hint == "":
		return s.State
	case s.State == backend.StateBroken:
		return s.State + ": " + s.Hint
	default:
		return fmt.Sprintf("%s; to install it: %s", s.State, s.Hint)
	}
}

// rounds runs every job once per round. Every second round goes the other way,
// so that no job always follows the same other one.
func (r *benchmark) rounds(ctx context.Context) error {
	done, total := 0, r.Rounds*len(r.jobs)
	for round := 1; round <= r.Rounds; round++ {
		for place := range r.jobs {
			j := r.jobs[place]
			if round%2 == 0 {
				j = r.jobs[len(r.jobs)-1-place]
			}
			done++
			if *j.failure != "" {
				continue
			}
			r.Observer(Measuring{Round: round, Rounds: r.Rounds, Done: done - 1, Total: total, What: j.what, Left: r.left(round, place)})
			start := r.Now()
			err := j.measure(ctx, round)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			j.seconds = r.Now().Sub(start).Seconds()
			if err != nil {
				*j.failure = err.Error()
				r.missing = append(r.missing, fmt.Sprintf("%s: %v", j.what, err))
				r.Observer(Failed{What: j.what, Reason: err.Error()})
			}
		}
	}
	return nil
}

// left estimates the time from a place in a round to the end, 0 where nothing is known.
func (r *benchmark) left(round, place int) time.Duration {
	sum, known := 0.0, 0
	for _, j := range r.jobs {
		if j.seconds > 0 {
			sum, known = sum+j.seconds, known+1
		}
	}
	if known == 0 {
		return 0
	}
	mean, left := sum/float64(known), 0.0
	for i := range r.jobs {
		j := r.jobs[i]
		rounds := r.Rounds - round
		if at := i; round%2 == 0 {
			at = len(r.jobs) - 1 - i
			if at >= place {
				rounds++
			}
		} else if at >= place {
			rounds++
		}
		switch {
		case *j.failure != "":
		case j.seconds > 0:
			left += float64(rounds) * j.seconds
		default:
			left += float64(rounds) * mean
		}
	}
	return time.Duration(left * float64(time.Second))
}

// measure runs a round of a cell in a child process.
func (r *benchmark) measure(ctx context.Context, result *CellResult, round int) error {
	task := CellTask{Cell: result.Cell, Seconds: r.Seconds}
	if round == 1 {
		task.Trajectory = trajectorySteps
	} else if len(result.Rounds) > 0 {
		task.Evaluate = result.Rounds[0].EvaluatedImages
	}
	answer, _, err := r.child(ctx, Task{Schema: Schema, Cell: &task})
	if err != nil {
		return err
	}
	if answer.Measurement == nil {
		return errors.New("answered without a measurement")
	}
	if err := answer.Measurement.check(); err != nil {
		return err
	}
	result.Info = answer.Info
	result.Rounds = append(result.Rounds, *answer.Measurement)
	if answer.Trajectory != nil {
		result.Trajectory = answer.Trajectory
	}
	return nil
}

// check reports times that cannot be: the results divide by them.
func (m Measurement) check() error {
	for name, value := range map[string]float64{"step": m.Step, "epoch": m.Epoch, "evaluate": m.Evaluate, "products": m.Products, "peak": m.Peak} {
		if !(value > 0) || math.IsInf(value, 0) {
			return fmt.Errorf("answered with %s %v, expected more than 0", name, value)
		}
	}
	return nil
}

// child gives a task to a child process and reads its answer.
func (r *benchmark) child(ctx context.Context, task Task) (Answer, processed, error) {
	encoded, err := json.Marshal(task)
	if err != nil {
		return Answer{}, processed{}, err
	}
	p, err := r.process(ctx, func(ctx context.Context) *exec.Cmd { return r.Command(ctx, ChildCommand) }, append(encoded, '\n'))
	if err != nil {
		return Answer{}, p, err
	}
	var answer Answer
	decoder := json.NewDecoder(bytes.NewReader(p.output))
	if err := decoder.Decode(&answer); err != nil {
		if err == io.EOF {
			return answer, p, errors.New("answered nothing")
		}
		return answer, p, fmt.Errorf("answered %s, expected JSON: %w", excerpt(p.output), err)
	}
	if decoder.More() {
		return answer, p, fmt.Errorf("answered more than one JSON value: %s", excerpt(p.output[decoder.InputOffset():]))
	}
	if answer.Schema != Schema {
		return answer, p, fmt.Errorf("answered in schema %d, expected %d", answer.Schema, Schema)
	}
	return answer, p, nil
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
	if slices.Contains(r.results.Warnings, text) {
		return
	}
	r.results.Warnings = append(r.results.Warnings, text)
	r.Observer(Warned{text})
}

// warnAfterwards adds the warnings that only the measurements tell.
func (r *benchmark) warnAfterwards() {
	var loads []float64
	partial := 0
	for _, cell := range r.results.Cells {
		whole := true
		for _, m := range cell.Rounds {
			loads = append(loads, m.OtherLoad)
			whole = whole && m.EpochSteps*cell.Cell.BatchSize >= TrainImages
		}
		if !whole {
			partial++
		}
	}
	disturbed := 0
	for _, load := range loads {
		if load > busyProcessors {
			disturbed++
		}
	}
	if disturbed*disturbedShare > len(loads) {
		r.warn(fmt.Sprintf("other processes kept up to %.2g processors busy during %d of %d measurements", slices.Max(loads), disturbed, len(loads)))
	}
	if partial > 0 {
		r.warn(fmt.Sprintf("epochs of %d of %d cells are scaled up from fewer steps, because a whole one takes long", partial, len(r.results.Cells)))
	}
}

// warnStolen warns of processor time, in seconds, that the host of a virtual
// machine gave to others meanwhile.
func (r *benchmark) warnStolen(stolen, elapsed float64) {
	if elapsed > 0 && stolen/elapsed > busyProcessors {
		r.warn(fmt.Sprintf("the host of this virtual machine took %.2g processors away", stolen/elapsed))
	}
}
