package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/bench"
	"epochal/experiments/report"
	"epochal/experiments/report/figures"
	"epochal/model/backend"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

// newBench is `epochal bench`.
func newBench(t *terminal) *cobra.Command {
	o := bench.Defaults()
	var quick, requirements bool
	out := benchOutput{terminal: t, format: "table"}
	command := &cobra.Command{
		Use:   "bench",
		Short: "Compare the CPU, a GPU and pure Go by measuring them",
		Long: `Measure training and evaluation on every usable backend, at several widths and
ways to dispatch the steps, and say which is faster from which size on.

Every cell is measured once per round in a process of its own, and the cells take
turns. Numbers are medians of the rounds with 95% intervals. A cell that crashes,
hangs or answers rubbish is a row with its reason, and the others go on.

Exit code 1 says that a cell failed, or that a backend or a peer that was asked
for by name cannot be measured; the results are printed all the same.`,
		Example: `  epochal bench --quick
  epochal bench --backend xla:cpu --layer-sizes 512,512 --batch-size 16,64,256
  epochal bench --json old.json
  epochal bench --compare old.json --figure bench.svg
  epochal bench --peer jax --python peers/bin/python`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if requirements {
				return t.printf("%s", bench.PeerRequirements())
			}
			if quick {
				o = quickened(c, o)
			}
			if problems := append(problemsOf(o.Validate()), out.check()...); len(problems) > 0 {
				return problems
			}
			o.CommandLine = "epochal " + strings.Join(append([]string{"bench"}, quoted(os.Args[min(2, len(os.Args)):])...), " ")
			o.Observer = (&benchPrinter{t}).observe
			results, err := bench.Run(c.Context(), o)
			t.end()
			var problems experiments.Problems
			if errors.As(err, &problems) {
				return err
			}
			// Whatever was measured is shown, also after Ctrl-C or a failure.
			ended := err == nil || errors.As(err, new(bench.Incomplete))
			if written := out.write(results, ended); written != nil {
				return errors.Join(err, written)
			}
			return err
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&o.Backends, "backend", nil, "xla:cpu, xla:cuda, go, or any GoMLX backend `string`; may be repeated (default every usable one)")
	flags.Var(&networks{values: &o.LayerSizes}, "layer-sizes", "`widths` of the hidden layers of a network, separated by commas; may be repeated")
	flags.IntSliceVar(&o.BatchSizes, "batch-size", o.BatchSizes, "`images` per SGD step, separated by commas")
	flags.Var(&stepsPerCall{values: &o.StepsPerCall}, "steps-per-call", "SGD `steps` per call of the device, separated by commas; epoch for all in one")
	flags.StringSliceVar(&o.Feeds, "feed", nil, "`where` a step's batch is: resident on the device, or copied from the host per step (default both on xla:cuda, else resident)")
	flags.StringSliceVar(&o.Precisions, "precision", nil, "`precision` of matrix products: float32, and on xla:cuda tf32 (default all there are)")
	flags.IntVar(&o.Rounds, "rounds", o.Rounds, fmt.Sprintf("measurements of each cell; below %d there are no intervals", bench.FewestRounds))
	flags.Float64Var(&o.Seconds, "seconds", o.Seconds, "window of steady steps in each measurement")
	flags.DurationVar(&o.Timeout, "timeout", o.Timeout, "after this `time` a process counts as hanging")
	flags.BoolVar(&quick, "quick", false, "two networks and short windows: a minute and a quarter on 2 cores")
	flags.StringArrayVar(&o.Peers, "peer", nil, "compare with `peer`, the same work in Python: torch-loader, torch-memory, jax; may be repeated")
	flags.StringVar(&o.Python, "python", o.Python, "`interpreter` of the peers")
	flags.BoolVar(&requirements, "peer-requirements", false, "print what pip needs to install the peers' packages, and stop")
	flags.StringVar(&out.format, "format", out.format, "`format` of the results: table, csv, json, gobench (for benchstat)")
	flags.StringVar(&out.compare, "compare", "", "compare with the results in `file`, made by --json or --format json")
	flags.StringVar(&out.figure, "figure", "", "draw images/s over the width into `file`, .svg or .png")
	flags.StringVar(&out.json, "json", "", "keep the results in `file` as JSON as well")
	command.RegisterFlagCompletionFunc("backend", cobra.FixedCompletions([]string{backend.XLACPU, backend.XLACUDA, backend.Go}, cobra.ShellCompDirectiveNoFileComp))
	command.RegisterFlagCompletionFunc("peer", cobra.FixedCompletions(bench.Peers(), cobra.ShellCompDirectiveNoFileComp))
	command.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "csv", "json", "gobench"}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

// problemsOf are the fields that a validation found impossible.
func problemsOf(err error) experiments.Problems {
	var problems experiments.Problems
	if errors.As(err, &problems) || err == nil {
		return problems
	}
	return experiments.Problems{{Field: "bench", Reason: err}}
}

// quickened is o with the values of the smaller grid wherever no flag was given.
func quickened(c *cobra.Command, o bench.Options) bench.Options {
	small := bench.Quick()
	o.Quick = true
	if !c.Flags().Changed("layer-sizes") {
		o.LayerSizes = small.LayerSizes
	}
	if !c.Flags().Changed("seconds") {
		o.Seconds = small.Seconds
	}
	return o
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
				// The parent holds the other end open. When it is gone, nobody waits
				// for the answer, and a call of the device cannot be cancelled.
				_, _ = io.Copy(io.Discard, in)
				os.Exit(exitInterrupted)
			}()
			return bench.Serve(c.Context(), bytes.NewReader(task), t.out, bench.Surroundings{})
		},
	}
}

// benchOutput is what becomes of the results.
type benchOutput struct {
	*terminal
	format, compare, figure, json string

	former bench.Results // in the file to compare with
}

// check reports what is impossible, and reads the file to compare with.
func (o *benchOutput) check() experiments.Problems {
	var problems experiments.Problems
	wrong := func(field string, reason error) {
		problems = append(problems, experiments.Problem{Field: field, Reason: reason})
	}
	switch o.format {
	case "table", "csv", "json", "gobench":
	default:
		wrong("format", fmt.Errorf("found %q, expected table, csv, json or gobench", o.format))
	}
	if o.compare != "" {
		if o.format != "table" {
			wrong("compare", fmt.Errorf("found it with --format %s, expected the table", o.format))
		}
		if err := o.readFormer(); err != nil {
			wrong("compare", err)
		}
	}
	if o.figure != "" {
		if _, err := figures.FormatOf(o.figure); err != nil {
			wrong("figure", err)
		} else if err := canBeWritten(o.figure); err != nil {
			wrong("figure", err)
		}
	}
	if o.json != "" {
		if err := canBeWritten(o.json); err != nil {
			wrong("json", err)
		}
	}
	return problems
}

func (o *benchOutput) readFormer() error {
	file, err := regular.Open(o.compare)
	if err != nil {
		return err
	}
	defer file.Close()
	o.former, err = report.ReadBench(file, o.compare)
	return err
}

// canBeWritten reports a file that cannot be made, without making it.
func canBeWritten(name string) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: found something that is not a file", name)
	}
	folder := filepath.Dir(name)
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: found a file, expected a folder", folder)
	}
	probe, err := os.CreateTemp(folder, ".epochal-")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// write prints the results and writes the files. ended tells whether the
// benchmark came to its end.
func (o *benchOutput) write(r bench.Results, ended bool) error {
	print := map[string]func(io.Writer, bench.Results) error{
		"table": report.BenchTable, "csv": report.BenchCSV, "json": report.BenchJSON, "gobench": report.BenchGo,
	}[o.format]
	errs := []error{print(o.out, r)}
	if o.compare != "" {
		errs = append(errs, report.BenchCompare(o.out, o.former, r))
	}
	if o.json != "" && o.mayReplace(o.json, ended) {
		errs = append(errs, writeFile(o.json, func(w io.Writer) error { return report.BenchJSON(w, r) }))
	}
	if o.figure != "" && o.mayReplace(o.figure, ended) {
		format, err := figures.FormatOf(o.figure)
		if err == nil {
			err = writeFile(o.figure, func(w io.Writer) error { return report.BenchFigure(w, format, r) })
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// mayReplace tells whether a file may be written: one that is there is not given
// for a benchmark that did not come to its end.
func (o *benchOutput) mayReplace(name string, ended bool) bool {
	if _, err := os.Stat(name); ended || err != nil {
		return true
	}
	o.note("%s is left as it was: the benchmark did not come to its end", name)
	return false
}

// writeFile writes a whole file or leaves what is there.
func writeFile(name string, write func(io.Writer) error) error {
	var content bytes.Buffer
	if err := write(&content); err != nil {
		return err
	}
	if err := renameio.WriteFile(name, content.Bytes(), 0o644); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// benchPrinter prints how a benchmark goes on.
type benchPrinter struct{ *terminal }

func (p *benchPrinter) observe(event bench.Event) {
	switch e := event.(type) {
	case bench.Planned:
		p.note("measuring; cells: %d, peers: %d, rounds: %d", e.Cells, e.Peers, e.Rounds)
	case bench.Measuring:
		left := ""
		if e.Left > 0 {
			left = fmt.Sprintf(", %v left", e.Left.Round(time.Second))
		}
		p.progress("round %d/%d%s: %s", e.Round, e.Rounds, left, e.What)
	case bench.Failed:
		p.note("%s: %s", e.What, e.Reason)
	case bench.Warned:
		p.note("warning: %s", e.Text)
	case bench.Installing:
		printInstallation(p.terminal, e.Progress)
	}
}

// networks is the value of a --layer-sizes that may be repeated.
type networks struct {
	values *[][]int
	given  bool // whether the default was replaced
}

// String writes the networks as the help shows them.
func (n *networks) String() string {
	if n.values == nil {
		return ""
	}
	words := make([]string, len(*n.values))
	for i := range *n.values {
		words[i] = (*layerSizes)(&(*n.values)[i]).String()
	}
	return strings.Join(words, " ")
}

// Set adds a network.
func (n *networks) Set(text string) error {
	var sizes layerSizes
	if err := sizes.Set(text); err != nil {
		return err
	}
	if !n.given {
		*n.values, n.given = nil, true
	}
	*n.values = append(*n.values, sizes)
	return nil
}

// Type names the value in help texts.
func (n *networks) Type() string { return "widths" }

// stepsPerCall is the value of a --steps-per-call that is a list.
type stepsPerCall struct {
	values *[]int
	given  bool // whether the default was replaced
}

// String writes the list as Set reads it.
func (s *stepsPerCall) String() string {
	if s.values == nil {
		return ""
	}
	words := make([]string, len(*s.values))
	for i, steps := range *s.values {
		words[i] = strconv.Itoa(steps)
		if steps == 0 {
			words[i] = "epoch"
		}
	}
	return strings.Join(words, ",")
}

// Set reads whole numbers above 0, or epoch, separated by commas.
func (s *stepsPerCall) Set(text string) error {
	var values []int
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "epoch" {
			values = append(values, 0)
			continue
		}
		steps, err := strconv.Atoi(word)
		if err != nil || steps < 1 {
			return fmt.Errorf("found %q, expected whole numbers above 0, or epoch, separated by commas", word)
		}
		values = append(values, steps)
	}
	if !s.given {
		*s.values, s.given = nil, true
	}
	*s.values = append(*s.values, values...)
	return nil
}

// Type names the value in help texts.
func (s *stepsPerCall) Type() string { return "steps" }
