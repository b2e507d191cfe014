package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"epochal/experiments/record"
	"epochal/experiments/report"
	"epochal/experiments/report/figures"

	"github.com/spf13/cobra"
)

// newShow is `epochal show`.
func newShow(t *terminal) *cobra.Command {
	out := ""
	command := &cobra.Command{
		Use:   "show run...",
		Short: "Draw the figures of runs and a page with them, or compare several",
		Long: `Draw the curves, the confusion matrix, the worst mistakes and the weights of the
first layer of a run, and write a page with them and all its numbers. Several
runs also get one figure and one table with what differs in their settings.

A run may also be under way, interrupted or diverged. The page and the figures
go to show/<run>, or to show/comparison for several runs, with a number after it
if other runs are shown there already.`,
		Example: `  epochal show runs/2026-11-23_16-35-10
  epochal show runs/narrow runs/wide --out widths`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > figures.MostTogether {
				return usageError{err: fmt.Errorf("show: found %d runs, expected 1 to %d run folders", len(args), figures.MostTogether)}
			}
			for _, run := range args {
				if _, err := os.Stat(filepath.Join(run, record.ConfigFile)); err != nil {
					return fmt.Errorf("show: %s: found no %s in it, expected a run folder", run, record.ConfigFile)
				}
			}
			if out != "" {
				if err := someoneElses(out); err != nil {
					return fmt.Errorf("--out: %w", err)
				}
			}
			runs, err := report.ReadRuns(args...)
			if err != nil {
				return fmt.Errorf("show: %w", err)
			}
			if out == "" {
				if out, err = place(args, runs); err != nil {
					return fmt.Errorf("show: %w", err)
				}
			}
			if err := report.WriteRuns(out, runs); err != nil {
				return record.Unwritable(err)
			}
			table := report.RunsTable(runs)
			for i, name := range table[0] {
				table[0][i] = strings.ToUpper(name)
			}
			t.table("", 1, table...)
			return t.printf("\n%s\n", filepath.Join(out, report.RunsPageFile))
		},
	}
	command.Flags().StringVar(&out, "out", out, "`folder` of the page and its figures (default show/<run>)")
	return command
}

// place is where the page of runs goes that is to go nowhere else: where their page is
// already, or else a folder without a page of other runs.
func place(folders []string, runs []report.Run) (string, error) {
	path, err := filepath.Abs(folders[0])
	if err != nil {
		return "", err
	}
	name := filepath.Base(path)
	if len(runs) > 1 {
		name = "comparison"
	}
	for number := 1; ; number++ {
		out := filepath.Join("show", name)
		if number > 1 {
			out += fmt.Sprintf("-%d", number)
		}
		if !report.ShowsOthers(out, runs) {
			return out, someoneElses(out)
		}
	}
}

// someoneElses reports a run folder, and a folder in a reproduction's results, whose
// files and figures are their own.
func someoneElses(folder string) error {
	if _, err := os.Stat(filepath.Join(folder, record.ConfigFile)); err == nil {
		return fmt.Errorf("%s: found %s in it, expected a folder that is not a run's", folder, record.ConfigFile)
	}
	path, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	for ; path != filepath.Dir(path); path = filepath.Dir(path) {
		if _, err := os.Stat(filepath.Join(path, report.ResultsFile)); err == nil {
			return fmt.Errorf("%s: found %s in %s, expected a folder outside of results", folder, report.ResultsFile, path)
		}
	}
	return nil
}
