package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// sweepProgram is a program whose command sweep can be divided into shards: epochal or, as
// long as that has none, a stand-in of 24 runs that take 0.3 s each.
func sweepProgram(t *testing.T) string {
	t.Helper()
	name := "stand-in"
	root := newRoot(newTerminal(os.Stdout, os.Stderr, ""))
	if slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == "sweep" }) {
		name = "epochal"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// standIn is the main function of that stand-in.
func standIn() {
	t := newTerminal(os.Stdout, os.Stderr, "")
	var flags clusterFlags
	var out, shard, backend string
	var only, quick bool
	sweep := &cobra.Command{Use: "sweep", RunE: func(c *cobra.Command, args []string) error {
		exists := func(run int) bool {
			_, err := os.Stat(filepath.Join(out, "runs", fmt.Sprint(run)))
			return err == nil
		}
		handled, err := flags.run(c, t, clusterWork{
			folder: out,
			missing: func(shards int) (missing []int, err error) {
				for run := range 24 {
					if !exists(run) && !slices.Contains(missing, run%shards) {
						missing = append(missing, run%shards)
					}
				}
				slices.Sort(missing)
				return missing, nil
			},
			count: func() (complete, all int, err error) {
				for run := range 24 {
					if exists(run) {
						complete++
					}
				}
				return complete, 24, nil
			},
			report: []string{"--report-only"},
		})
		if handled || err != nil {
			return err
		}
		part, parts := 0, 1
		if shard != "" {
			if _, err := fmt.Sscanf(shard, "%d/%d", &part, &parts); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(filepath.Join(out, "runs"), 0o755); err != nil {
			return err
		}
		var results strings.Builder
		for run := range 24 {
			if run%parts != part || only && !exists(run) {
				continue
			}
			if !exists(run) {
				if !quick {
					time.Sleep(300 * time.Millisecond)
				}
				if err := os.WriteFile(filepath.Join(out, "runs", fmt.Sprint(run)), nil, 0o644); err != nil {
					return err
				}
				t.printf("run %d\n", run)
			}
			fmt.Fprintln(&results, run)
		}
		if shard != "" {
			return nil
		}
		return os.WriteFile(filepath.Join(out, "results.json"), []byte(results.String()), 0o644)
	}}
	flags.add(sweep.Flags())
	sweep.Flags().StringVar(&out, "out", "", "")
	sweep.Flags().StringVar(&shard, "shard", "", "")
	sweep.Flags().BoolVar(&only, "report-only", false, "")
	sweep.Flags().BoolVar(&quick, "quick", false, "")
	sweep.Flags().StringVar(&backend, "backend", "", "")
	root := &cobra.Command{Use: "epochal", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(sweep)
	if err := root.Execute(); err != nil {
		printError(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}
