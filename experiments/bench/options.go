package bench

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/model/backend"
)

// Options say what is measured and how. Start from [Defaults] or [Quick].
type Options struct {
	Backends     []string       // names, not auto; nil for every usable one
	LayerSizes   [][]int        // networks
	ConvChannels [][]int        // convolutions before each of them; nil for none, and a nil one for a network without
	BatchSizes   []int          // images per step
	StepsPerCall []StepsPerCall // without effect on pure Go, where every step is a call
	Feeds        []string       // nil for all on xla:cuda, and FeedResident elsewhere
	Precisions   []string       // nil for all that a backend has

	Rounds  int           // 1 to MaxRounds; below FewestRounds there are no intervals
	Seconds float64       // window of steady steps in each measurement; the other windows follow from it
	Timeout time.Duration // of each process
	Quick   bool          // recorded in the results

	Peers  []string // nil for none
	Python string   // interpreter of the peers

	// Command makes the command that runs this program with the given arguments;
	// default os.Executable. `bench-child` is [Serve] on its standard streams.
	Command     func(ctx context.Context, arguments ...string) *exec.Cmd
	CommandLine string      // what the user typed; recorded in the results
	Observer    func(Event) // may be nil
	Machine     fs.FS       // the machine's files, default those below /
}

// ChildCommand is the argument with which this program becomes a child process.
const ChildCommand = "bench-child"

// MaxRounds and the other limits keep a mistyped number from running for days.
const (
	MaxRounds  = 1000
	MaxSeconds = 3600
)

// Defaults is the grid that shows the most in about three minutes on two cores.
func Defaults() Options {
	return Options{
		LayerSizes:   [][]int{{32, 32}, {128, 128}, {512, 512}, {1024, 1024}},
		BatchSizes:   []int{64},
		StepsPerCall: []StepsPerCall{WholeEpoch, 1},
		Rounds:       FewestRounds,
		Seconds:      0.25,
		Timeout:      2 * time.Minute,
		Python:       "python3",
	}
}

// Quick is a smaller grid with short windows, for a minute on two cores.
func Quick() Options {
	o := Defaults()
	o.LayerSizes = [][]int{{128, 128}, {512, 512}}
	o.Seconds = 0.15
	o.Quick = true
	return o
}

func (o Options) withDefaults() Options {
	if o.Command == nil {
		o.Command = func(ctx context.Context, arguments ...string) *exec.Cmd {
			program, err := os.Executable()
			if err != nil {
				program = os.Args[0]
			}
			return exec.CommandContext(ctx, program, arguments...)
		}
	}
	if o.Observer == nil {
		o.Observer = func(Event) {}
	}
	if o.Machine == nil {
		o.Machine = os.DirFS("/")
	}
	return o
}

// known are the backends that are measured if none is named, best first.
var known = []string{backend.XLACUDA, backend.XLACPU, backend.Go}

// Validate reports every impossible field, as experiments.Problems, without
// touching a file or a device.
func (o Options) Validate() error {
	var problems experiments.Problems
	check := func(ok bool, field, found, expected string) {
		if !ok {
			problems = append(problems, experiments.Problem{Field: field, Found: found, Expected: expected})
		}
	}
	for _, name := range o.Backends {
		switch err := backend.Check(name); {
		case err != nil:
			problems = append(problems, experiments.Problem{Field: "backend", Reason: err})
		case name == backend.Auto:
			check(false, "backend", name, "a backend by name; without the flag every usable one is measured")
		default:
			check(!strings.Contains(name, "tf32="), "backend", name, "one without tf32, which --precision chooses")
		}
	}
	for _, network := range o.networks() {
		if err := network.Architecture().Validate(); err != nil {
			field := "layer_sizes"
			if len(network.ConvChannels) > 0 {
				field = "conv_channels"
			}
			problems = append(problems, experiments.Problem{Field: field, Reason: err})
		}
	}
	for _, size := range o.BatchSizes {
		check(size >= 1 && size <= TrainImages, "batch_size", strconv.Itoa(size), fmt.Sprintf("1 to %d", TrainImages))
	}
	check(len(o.StepsPerCall) > 0, "steps_per_call", "none", "at least one")
	for _, steps := range o.StepsPerCall {
		check(steps >= 1, "steps_per_call", strconv.Itoa(int(steps)), "1 or more, or epoch")
	}
	named := func(field string, values, valid []string) {
		check(values == nil || len(values) > 0, field, "none", strings.Join(valid, " or "))
		for _, value := range values {
			check(slices.Contains(valid, value), field, strconv.Quote(value), "one of "+strings.Join(valid, ", "))
		}
	}
	named("feed", o.Feeds, []string{FeedResident, FeedHost})
	named("precision", o.Precisions, []string{Float32, TF32})
	check(o.Rounds >= 1 && o.Rounds <= MaxRounds, "rounds", strconv.Itoa(o.Rounds), fmt.Sprintf("1 to %d", MaxRounds))
	check(o.Seconds > 0 && o.Seconds <= MaxSeconds, "seconds",
		experiments.FormatFloat(o.Seconds), fmt.Sprintf("above 0 and up to %d", MaxSeconds))
	check(o.Timeout > 0, "timeout", o.Timeout.String(), "more than 0")
	if o.Peers != nil {
		named("peer", o.Peers, PeerNames())
		check(o.Python != "", "python", `""`, "a Python interpreter")
	}
	if len(problems) > 0 {
		return problems
	}
	// A feed or a precision may be one that none of these backends can have.
	backends := o.Backends
	if backends == nil {
		backends = known
	}
	cells := o.Grid(backends)
	for _, feed := range o.Feeds {
		check(slices.ContainsFunc(cells, func(c Cell) bool { return c.Feed == feed }),
			"feed", feed+" without --steps-per-call 1", "both: the host can feed a step only between two calls")
	}
	for _, precision := range o.Precisions {
		check(slices.ContainsFunc(cells, func(c Cell) bool { return c.Precision == precision }),
			"precision", precision+" on "+strings.Join(backends, ", "), "xla:cuda, the only backend with a choice")
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// networks are cells with nothing but a network each, in the order of the grid.
func (o Options) networks() []Cell {
	convolutions := o.ConvChannels
	if convolutions == nil {
		convolutions = [][]int{nil}
	}
	var all []Cell
	for _, channels := range convolutions {
		for _, widths := range o.LayerSizes {
			all = append(all, Cell{ConvChannels: channels, LayerSizes: widths})
		}
	}
	return all
}

// isPureGo and isCUDA tell what a backend's name means.
func isPureGo(name string) bool { return name == backend.Go || strings.HasPrefix(name, backend.Go+":") }
func isCUDA(name string) bool   { return strings.HasPrefix(name, backend.XLACUDA) }

// Grid lists the cells on the given backends, each once: every combination of the
// options' values that is possible and shows something new.
func (o Options) Grid(backends []string) []Cell {
	var cells []Cell
	for _, name := range backends {
		feeds := o.Feeds
		if feeds == nil {
			feeds = []string{FeedResident, FeedHost}
			if !isCUDA(name) {
				// Where the device's memory is the host's, copying a batch is nothing
				// compared with the arithmetic.
				feeds = feeds[:1]
			}
		}
		precisions := o.Precisions
		if precisions == nil {
			precisions = []string{Float32, TF32}
		}
		for _, network := range o.networks() {
			for _, batch := range o.BatchSizes {
				for _, steps := range o.StepsPerCall {
					for _, feed := range feeds {
						steps := steps
						switch {
						case isPureGo(name) && feed == FeedHost:
							steps = 1
						case isPureGo(name):
							// Every step is a call there, so that one cell stands for all: the
							// one that others are compared with.
							steps = slices.Max(o.StepsPerCall)
						}
						if int(steps) >= dataset.BatchCount(TrainImages, batch) {
							steps = WholeEpoch
						}
						for _, precision := range precisions {
							if feed == FeedHost && steps != 1 || precision == TF32 && !isCUDA(name) {
								continue
							}
							cell := network
							cell.Backend, cell.Precision, cell.Feed = name, precision, feed
							cell.BatchSize, cell.StepsPerCall = batch, steps
							if !slices.ContainsFunc(cells, cell.Equal) {
								cells = append(cells, cell)
							}
						}
					}
				}
			}
		}
	}
	return cells
}
