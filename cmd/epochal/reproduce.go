package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/record"
	"epochal/experiments/report"
	"epochal/experiments/study"
	"epochal/experiments/train"

	"github.com/spf13/cobra"
)

// newReproduce is `epochal reproduce`.
func newReproduce(t *terminal) *cobra.Command {
	o := published.Options{Options: study.Options{
		Backend: experiments.Defaults().Backend, Deterministic: experiments.Defaults().Deterministic}, Seeds: 5}
	var files, merge []string
	var shard string
	var board bool
	var onCluster clusterFlags
	command := &cobra.Command{
		Use:   "reproduce [experiment...]",
		Short: "Run the post's experiments again and judge its claims",
		Long: `Run experiments over several seeds and judge, claim by claim, whether the
published result holds, with 95% intervals. Without arguments it runs all of
the post's experiments or, with --experiment, those in the given files.
"reproduce convolution" compares convolutional with fully connected networks,
the post's open question, and writes to results/convolution.

The results folder keeps every run, finished or interrupted: the same command
continues the interrupted ones, and returns immediately when nothing is left to
run. results.json, results.md, report.html and figures/ are written there as
well.

--shard i/N makes one of N parts of the runs, on any machine that has the
folder; afterwards the same command without --shard makes what is missing,
judges and reports. --merge copies the runs of other folders first, where the
machines share none.

Exit code 3 means that a claim that was expected to hold does not.`,
		Example: `  epochal reproduce attempt-1 best
  epochal reproduce --quick
  epochal reproduce convolution
  epochal reproduce --experiment mine.yaml --seeds 3`,
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			known, err := published.Known(files...)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			names := []string{cobra.CompletionWithDesc(published.Convolution, "all experiments on convolutions")}
			for _, e := range known {
				if !slices.Contains(args, e.Name) {
					names = append(names, cobra.CompletionWithDesc(e.Name, e.Title))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			known, err := published.Known(files...)
			if err != nil {
				return err
			}
			chosen, err := published.Choose(known, args)
			if err != nil {
				return err
			}
			if o.Folder == "" {
				o.Folder = "results"
				if !slices.ContainsFunc(chosen, func(e published.Experiment) bool { return e.Group != published.Convolution }) {
					o.Folder = filepath.Join("results", published.Convolution)
				}
				if o.Quick {
					o.Folder = filepath.Join(o.Folder, "quick")
				}
			}
			if o.Quick && c.Flags().Changed("seeds") {
				return usageError{err: fmt.Errorf("--quick and --seeds: found both, expected one; --quick runs one seed")}
			}
			o.Command = recordedCommand()
			o.Observer, o.WantCUDA = t.observeStudy, t.wantCUDA
			if board {
				o.RunObserver = t.tensorBoard
			}
			if err := readShard(c.Flags(), shard, &o.Options); err != nil {
				return err
			}
			watch := func() (*study.Watch, error) { return published.Watch(c.Context(), chosen, o) }
			if err := mergeStudies(t, o.Folder, merge, o.Validate(), watch); err != nil {
				return err
			}
			handled, err := onCluster.run(c, t, clusterWork{folder: o.Folder, watch: watch})
			if handled || err != nil {
				return err
			}
			var results published.Results
			missing := 0
			if o.Shard.Count > 0 {
				missing, err = published.ReproduceShard(c.Context(), chosen, o)
			} else {
				results, err = published.Reproduce(c.Context(), chosen, o)
			}
			t.end()
			if err != nil && (c.Context().Err() != nil || errors.As(err, new(train.Stopped))) {
				return again{err, commandLine(os.Args[1:]...), runsSaved}
			} else if err != nil {
				return err
			}
			if o.Shard.Count > 0 {
				noteShard(t, o.Shard, missing, false)
				return nil
			}
			first := chosen[0].Config
			if made, found := results.Find(chosen[0].Name); found {
				first = made.Config // of a smoke test, with fewer images
			}
			data, err := dataset.Read(first.Data, first.DataOptions())
			if err != nil {
				return fmt.Errorf("data: %w", err)
			}
			if err := report.Write(o.Folder, results, data); err != nil {
				return record.Unwritable(err)
			}
			if err := printVerdicts(t, results, o.Folder); err != nil {
				return err
			}
			if unmet := results.Unmet(); len(unmet) > 0 {
				return notMet{fmt.Errorf("claims that were expected to hold but do not: %s", strings.Join(unmet, "; "))}
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.IntVar(&o.Seeds, "seeds", o.Seeds, "`number` of seeds per experiment")
	flags.IntVar(&o.Jobs, "jobs", o.Jobs, "`runs` in parallel, each on the next GPU; 0: one per core, or one per GPU")
	flags.BoolVar(&o.Quick, "quick", o.Quick, "smoke test: one seed, 2 epochs, no claims judged")
	flags.StringArrayVar(&files, "experiment", nil, "YAML `file` with an experiment of your own; may be repeated")
	flags.StringVar(&o.Folder, "out", "", "results `folder` (default results, or for the group convolution\n"+
		"results/convolution; with --quick, quick in it)")
	addShardFlags(flags, &shard, &merge)
	onCluster.add(flags)
	flags.StringVar(&o.Backend, "backend", o.Backend, "auto, xla:cpu, xla:cuda, go, or any GoMLX backend `string`")
	flags.BoolVar(&o.TF32, "tf32", o.TF32, "allow TF32 matrix products on CUDA: faster, less exact")
	flags.BoolVar(&o.Deterministic, "deterministic", o.Deterministic, deterministicUsage)
	flags.BoolVar(&o.ReadOnly, reportOnly, false, "make no runs: judge and report experiments whose runs are there, also while shards run")
	flags.BoolVar(&board, "tensorboard", false, tensorBoardUsage)
	return command
}

// newList is `epochal list`.
func newList(t *terminal) *cobra.Command {
	var files []string
	command := &cobra.Command{
		Use:   "list",
		Short: "List the experiments and their claims",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			known, err := published.Known(files...)
			if err != nil {
				return err
			}
			for i, e := range known {
				if e.Group != "" && known[i-1].Group == "" {
					t.printf("\n%s: convolutional against fully connected networks, which run only when they are named\n\n", e.Group)
				}
				t.printf("%s\n    %s\n", e.Name, e.Title)
				for _, claim := range e.Claims {
					t.printf("    - %s: %s\n", claim, claim.Published())
				}
			}
			return t.failed
		},
	}
	command.Flags().StringArrayVar(&files, "experiment", nil, "YAML `file` with an experiment of your own; may be repeated")
	return command
}

// observeStudy prints the progress of a reproduction.
func (t *terminal) observeStudy(event study.Event) {
	switch e := event.(type) {
	case study.Planned:
		t.note("%d runs, %d of them already complete", e.Runs, e.Done)
	case study.Working:
		t.end()
		t.note("running on %s (%s), %d in parallel", e.Backend.Name, e.Backend.Device, e.Jobs)
	case study.Progress:
		c := e.Run.Config
		t.progress("%.0f%% done, %v left; %s seed %d epoch %d/%d", 100*e.Share, e.Left.Round(time.Second), e.Run.Name, c.Seed, e.Epoch, c.Epochs)
	case study.RunEnded:
		t.note("%d/%d %s seed %d: %s, %.1f s", e.Done, e.Runs, e.Run.Name, e.Run.Config.Seed, outcome(e.Record), e.Record.Seconds)
	case study.Other:
		switch e := e.Event.(type) {
		case experiments.Warning:
			t.warn(e.Text)
		case experiments.PluginProgress:
			printInstallation(t, e.Progress)
		}
	}
}

// outcome says how a run ended.
func outcome(r record.Record) string {
	if r.Diverged != nil {
		return fmt.Sprintf("diverged in epoch %d", r.Diverged.Epoch)
	}
	last := r.Epochs[len(r.Epochs)-1]
	return fmt.Sprintf("train %.2f%%, test %.2f%%", 100*last.TrainAccuracy, 100*last.TestAccuracy)
}

// printVerdicts prints the verdicts on the claims, and a table of all experiments.
func printVerdicts(t *terminal, r published.Results, folder string) error {
	if r.Quick {
		t.printf("smoke test: one seed, %d epochs, no claims judged\n\n", published.QuickEpochs)
	}
	for _, e := range r.Experiments {
		if len(e.Claims) == 0 || e.Kept {
			continue
		}
		var rows [][]string
		said := "published "
		if e.Group != "" {
			said = "claimed "
		}
		for _, c := range e.Claims {
			rows = append(rows, []string{string(c.Judgement.Verdict), c.Claim, said + c.Published,
				fmt.Sprintf("ours %s, n = %d", c.Ours, c.Judgement.Interval.N+c.Judgement.Never)})
		}
		t.printf("%s\n", e.Name)
		t.table("  ", 2, rows...)
		t.printf("\n")
	}
	rows := [][]string{{"EXPERIMENT", "TRAIN", "TEST", "N", "SECONDS"}}
	for _, e := range r.Experiments {
		if e.Kept {
			continue
		}
		rows = append(rows, []string{e.Name, e.TrainAccuracy.Percent(), e.TestAccuracy.Percent(),
			strconv.Itoa(e.TestAccuracy.N), fmt.Sprintf("%.1f", e.Seconds)})
	}
	t.table("", 1, rows...)
	if answer := r.Answer(); answer != "" {
		t.printf("\n%s\n", answer)
	}
	return t.printf("\n%s\n", filepath.Join(folder, "report.html"))
}
