package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/report"
	"epochal/experiments/report/words"

	"github.com/spf13/cobra"
)

// newRuns is `epochal runs`.
func newRuns(t *terminal) *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use:   "runs [folder]",
		Short: "List the runs in a folder, newest first",
		Long: `List all runs in a folder (default runs), newest first: their state, epochs,
test accuracy, size, and the settings that are not the defaults of train.

A run is running while its process holds the folder, interrupted if it can be
continued with train --resume, ended, or diverged. A damaged one is listed with
what is wrong with it.`,
		Example: "  epochal runs\n  epochal runs results/runs --json",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{err: fmt.Errorf("runs: found %d arguments, expected at most one folder", len(args))}
			}
			folder := append(args, "runs")[0]
			runs, err := record.List(folder)
			if errors.Is(err, fs.ErrNotExist) && len(args) == 0 {
				t.note("there are no runs in %s yet; epochal train makes one", folder)
			} else if err != nil {
				return fmt.Errorf("runs: %w", err)
			}
			if err == nil && len(runs) == 0 {
				t.note("found no runs in %s", folder)
			}
			if asJSON {
				return printRunsJSON(t, runs)
			}
			if len(runs) == 0 {
				return nil
			}
			rows := [][]string{{"RUN", "STATE", "EPOCHS", "TEST", "SIZE", "SETTINGS"}}
			for _, run := range runs {
				rows = append(rows, runRow(run))
			}
			return t.table("", 2, rows...)
		},
	}
	command.Flags().BoolVar(&asJSON, "json", asJSON, "print a JSON list with every setting and number")
	return command
}

// runRow is a run as a row of the list.
func runRow(s record.Summary) []string {
	row := []string{words.Printable(s.Folder), s.StateText(), none, none, fmt.Sprintf("%.1f MB", float64(s.Bytes)/1e6), none}
	if s.Err != nil {
		row[5] = harmless(words.Printable(s.Err.Error()))
		return row
	}
	row[2] = fmt.Sprintf("%d/%d", len(s.Record.Epochs), s.Record.Config.Epochs)
	if last, ok := s.Last(); ok {
		row[3] = words.Percent(last.TestAccuracy, 2)
	}
	if differ := words.Printable(report.Deviations(s.Record.Config)); differ != "" {
		row[5] = differ
	}
	return row
}

// runJSON is a run in the output of --json.
type runJSON struct {
	Folder  string                    `json:"folder"`
	State   record.State              `json:"state"`
	Stopped string                    `json:"stopped,omitempty"` // why, if by itself before it had all epochs
	Started time.Time                 `json:"started"`
	Bytes   int64                     `json:"bytes"`
	Config  *experiments.Config       `json:"config,omitempty"`
	Epochs  int                       `json:"epochs"` // that are over
	Seconds float64                   `json:"seconds"`
	Last    *experiments.EpochMetrics `json:"last,omitempty"` // of the last epoch that is over
	Error   string                    `json:"error,omitempty"`
}

func printRunsJSON(t *terminal, runs []record.Summary) error {
	all := make([]runJSON, len(runs))
	for i, s := range runs {
		r := s.Record
		all[i] = runJSON{
			Folder: s.Folder, State: s.State, Stopped: r.Stopped, Started: s.Started, Bytes: s.Bytes,
			Epochs: len(r.Epochs), Seconds: r.Seconds,
		}
		if s.Err != nil {
			all[i].Error = s.Err.Error()
		} else {
			all[i].Config = &r.Config
		}
		if last, ok := s.Last(); ok {
			all[i].Last = &last
		}
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return t.print(string(text) + "\n")
}
