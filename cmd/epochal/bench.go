package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/bench"
	"epochal/experiments/report"
	"epochal/experiments/report/figures"
	"epochal/model/backend"

	"github.com/spf13/cobra"
)

// benchFormats write the results to standard output, by the values of --format.
var benchFormats = map[string]func(*terminal, bench.Results) error{
	"table": func(t *terminal, r bench.Results) error {
		return report.BenchTable(t.out, r, report.BenchLayout{Width: columns(t.out), Plain: t.plain})
	},
	"json":    func(t *terminal, r bench.Results) error { return report.BenchJSON(t.out, r) },
	"gobench": func(t *terminal, r bench.Results) error { return report.BenchGo(t.out, r) },
}

// newBench is `epochal bench`.
func newBench(t *terminal) *cobra.Command {
	o := bench.Defaults()
	var quick, requirements bool
	var networks, convolutions, steps []string
	out := benchOutput{terminal: t, format: "table"}
	var peers []string
	for _, peer := range bench.Peers {
		peers = append(peers, fmt.Sprintf("\n  %-13s %s", peer.Name, peer.About))
	}
	command := &cobra.Command{
		Use:   "bench",
		Short: "Measure the CPU, a GPU and pure Go, and compare them",
		Long: `Measure training and evaluation on every usable backend, at several network
widths and with several ways of dispatching the steps. The report shows the
width at which one backend overtakes another.

Every cell of this grid is measured once per round, in a process of its own, and
the cells take turns. Numbers are medians of the rounds with 95% confidence
intervals. A cell that crashes, hangs or returns nonsense becomes a row with the
reason, and the others continue.

--peer measures the same work in Python, alternating with epochal:` + strings.Join(peers, ";") + `.

Exit code 1 means that a cell failed, or that a backend or a peer requested by
name could not be measured. The results are printed all the same.`,
		Example: `  epochal bench --quick
  epochal bench --backend xla:cpu --layer-sizes 512,512 --batch-size 16,64,256
  epochal bench --backend xla:cpu --conv-channels 8,16 --conv-channels 32,64
  epochal bench --json bench.json --figure bench.svg
  epochal bench --format gobench > new.txt && benchstat old.txt new.txt
  epochal bench --peer jax --python peers/bin/python`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if requirements {
				return t.printf("%s", bench.PeerRequirements())
			}
			if quick {
				small := bench.Quick()
				if !c.Flags().Changed("seconds") {
					o.Seconds = small.Seconds
				}
				o.LayerSizes, o.Quick = small.LayerSizes, true
			}
			problems := readGrid(&o, networks, convolutions, steps)
			impossible, _ := errors.AsType[experiments.Problems](o.Validate())
			if problems = append(append(problems, impossible...), out.check()...); len(problems) > 0 {
				return problems
			}
			o.CommandLine = recordedCommand()
			printer := &benchPrinter{terminal: t, started: time.Now()}
			o.Observer = printer.observe
			if !t.redraws {
				ticker := time.NewTicker(progressInterval)
				defer ticker.Stop()
				go printer.tell(ticker.C)
			}
			results, err := bench.Run(c.Context(), o)
			t.end()
			// Whatever was measured is shown, even after Ctrl-C or a failure.
			complete := err == nil || errors.As(err, new(bench.Incomplete))
			return errors.Join(err, out.write(results, complete))
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&o.Backends, "backend", nil,
		"xla:cpu, xla:cuda, go, or any GoMLX backend `string`; may be repeated (default every usable one)")
	flags.StringArrayVar(&networks, "layer-sizes", nil,
		"`widths` of the hidden layers of a network, separated by commas; may be repeated (default 32,32 128,128 512,512 1024,1024)")
	flags.StringArrayVar(&convolutions, "conv-channels", nil,
		"`channels` of convolutions before the hidden layers, separated by commas; \"\" for none; may be repeated (default none)")
	flags.IntSliceVar(&o.BatchSizes, "batch-size", o.BatchSizes, "`images` per SGD step, separated by commas")
	flags.StringSliceVar(&steps, "steps-per-call", nil,
		"SGD `steps` per device call, separated by commas; epoch for a whole epoch (default epoch,1)")
	flags.StringSliceVar(&o.Feeds, "feed", nil,
		"`where` the batches come from: resident (on the device) or host (each one copied) (default both on xla:cuda, else resident)")
	flags.StringSliceVar(&o.Precisions, "precision", nil,
		"`precision` of matrix products: float32, and on xla:cuda also tf32 (default all that the backend has)")
	flags.IntVar(&o.Rounds, "rounds", o.Rounds, fmt.Sprintf("measurements of each cell; intervals need at least %d", bench.FewestRounds))
	flags.Float64Var(&o.Seconds, "seconds", o.Seconds, "`seconds` of steady steps in each measurement")
	flags.DurationVar(&o.Timeout, "timeout", o.Timeout, "`time` after which a process counts as hung and is killed")
	flags.BoolVar(&quick, "quick", false, "two networks and short windows: about a minute and a half on 2 cores")
	flags.StringArrayVar(&o.Peers, "peer", nil, "`peer` to compare with: "+strings.Join(bench.PeerNames(), ", ")+"; may be repeated")
	flags.StringVar(&o.Python, "python", o.Python, "Python `interpreter` that runs the peers")
	flags.BoolVar(&requirements, "peer-requirements", false, "print the peers' packages as a requirements file for pip, and exit")
	flags.StringVar(&out.format, "format", out.format, "`format` of the results: table, json, or gobench for benchstat")
	flags.StringVar(&out.figure, "figure", "", "plot images/s against width in `file`, .svg or .png")
	flags.StringVar(&out.json, "json", "", "also write the results to `file` as JSON")
	for flag, values := range map[string][]string{
		"backend": {backend.XLACPU, backend.XLACUDA, backend.Go}, "peer": bench.PeerNames(), "format": {"table", "json", "gobench"},
	} {
		command.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return command
}

// readGrid reads the flags that pflag cannot parse by itself, if they were given.
func readGrid(o *bench.Options, networks, convolutions, steps []string) (problems experiments.Problems) {
	if networks != nil {
		o.LayerSizes = nil
	}
	for _, text := range networks {
		var widths layerSizes
		if err := widths.Set(text); err != nil {
			problems = append(problems, experiments.Problem{Field: "layer_sizes", Reason: err})
		}
		o.LayerSizes = append(o.LayerSizes, widths)
	}
	for _, text := range convolutions {
		var channels layerSizes
		if err := channels.Set(text); err != nil {
			problems = append(problems, experiments.Problem{Field: "conv_channels", Reason: err})
		}
		o.ConvChannels = append(o.ConvChannels, channels)
	}
	if steps != nil {
		o.StepsPerCall = make([]bench.StepsPerCall, len(steps))
	}
	for i, text := range steps {
		if err := o.StepsPerCall[i].UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
			problems = append(problems, experiments.Problem{Field: "steps_per_call", Reason: err})
			o.StepsPerCall[i] = 1 // one complaint is enough
		}
	}
	return problems
}

// newBenchChild is the process in which a cell is measured.
func newBenchChild(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:    bench.ChildCommand,
		Short:  "Measure what standard input asks for",
		Hidden: true,
		Args:   noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			in := bufio.NewReader(os.Stdin)
			task, err := in.ReadBytes('\n')
			if err != nil {
				return fmt.Errorf("the task: %w", err)
			}
			go func() {
				// The parent holds the other end open. Once it is gone, nobody waits
				// for the answer, and a device call cannot be cancelled.
				_, _ = io.Copy(io.Discard, in)
				os.Exit(exitInterrupted)
			}()
			return bench.Serve(c.Context(), bytes.NewReader(task), t.out)
		},
	}
}

// benchOutput says where the results go.
type benchOutput struct {
	*terminal
	format, figure, json string
}

// check reports impossible formats and files.
func (o *benchOutput) check() experiments.Problems {
	var problems experiments.Problems
	wrong := func(field string, reason error) {
		if reason != nil {
			problems = append(problems, experiments.Problem{Field: field, Reason: reason})
		}
	}
	if benchFormats[o.format] == nil {
		wrong("format", fmt.Errorf("found %q, expected table, json or gobench", o.format))
	}
	if o.figure != "" {
		_, err := figures.FormatOf(o.figure)
		wrong("figure", cmp.Or(err, regular.CanWrite(o.figure)))
	}
	if o.json != "" {
		wrong("json", regular.CanWrite(o.json))
	}
	return problems
}

// write prints the results and writes the files. complete reports whether
// the benchmark ran to completion; if not, no existing file is replaced.
func (o *benchOutput) write(r bench.Results, complete bool) error {
	write := func(file string, report func(io.Writer) error) error {
		if file == "" {
			return nil
		}
		if _, err := os.Lstat(file); err == nil && !complete {
			o.note("%s is left as it was: the benchmark did not run to completion", file)
			return nil
		}
		var content bytes.Buffer
		if err := report(&content); err != nil {
			return err
		}
		return regular.Write(file, content.Bytes())
	}
	return errors.Join(benchFormats[o.format](o.terminal, r),
		write(o.json, func(w io.Writer) error { return report.BenchJSON(w, r) }),
		write(o.figure, func(w io.Writer) error {
			format, _ := figures.FormatOf(o.figure) // checked already
			return report.BenchFigure(w, format, r)
		}))
}

// progressInterval is how often a benchmark reports its progress in a pipe.
const progressInterval = 30 * time.Second

// benchPrinter prints the progress of a benchmark.
type benchPrinter struct {
	*terminal
	started time.Time

	mutex sync.Mutex
	last  bench.Measuring
	since time.Time // when last came
}

func (p *benchPrinter) observe(event bench.Event) {
	switch e := event.(type) {
	case bench.Planned:
		p.note("measuring; cells: %d, peers: %d, rounds: %d", e.Cells, e.Peers, e.Rounds)
	case bench.Measuring:
		p.mutex.Lock()
		p.last, p.since = e, time.Now()
		p.mutex.Unlock()
		left := ""
		if e.Left > 0 {
			left = fmt.Sprintf(", %v left", e.Left.Round(time.Second))
		}
		p.progress("round %d/%d%s: %s", e.Round, e.Rounds, left, e.What)
	case bench.Failed:
		p.note("%s: %s", e.What, e.Reason)
	case bench.Warned:
		p.warn(e.Text)
	case bench.Installing:
		printInstallation(p.terminal, e.Progress)
	}
}

// tell prints a line at every tick.
func (p *benchPrinter) tell(ticks <-chan time.Time) {
	for tick := range ticks {
		p.mutex.Lock()
		e, since := p.last, p.since
		p.mutex.Unlock()
		if e.Rounds == 0 {
			continue // it has not begun
		}
		text := fmt.Sprintf("round %d of %d, %d of %d measurements done, %v elapsed", e.Round, e.Rounds, e.Done, e.Total,
			tick.Sub(p.started).Round(time.Second))
		if left := e.Left - tick.Sub(since); left > 0 {
			text += fmt.Sprintf(", about %v left", left.Round(time.Second))
		}
		p.note("%s", text)
	}
}
