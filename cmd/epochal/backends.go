package main

import (
	"fmt"
	"text/tabwriter"

	"epochal/model/backend"
	"epochal/model/backend/install"

	"github.com/spf13/cobra"
)

// newBackends is `epochal backends`.
func newBackends(t *terminal) *cobra.Command {
	command := &cobra.Command{
		Use:   "backends",
		Short: "List the backends, or install the plugin of one",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return listBackends(c, t)
		},
	}
	command.AddCommand(&cobra.Command{
		Use:       "install cpu|cuda",
		Short:     "Install the XLA plugin for the CPU (62 MB) or for NVIDIA GPUs (gigabytes)",
		ValidArgs: []string{"cpu", "cuda"},
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || (args[0] != "cpu" && args[0] != "cuda") {
				return usageError{err: fmt.Errorf("backends install: found %q, expected cpu or cuda", args)}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			installer := install.Installer{Progress: func(p install.Progress) { printInstallation(t, p) }}
			run := installer.CPU
			if args[0] == "cuda" {
				run = installer.CUDA
			}
			path, err := run(c.Context())
			t.end()
			if err != nil {
				return fmt.Errorf("backends install %s: %w", args[0], err)
			}
			return t.printf("%s\n", path)
		},
	})
	return command
}

// listBackends prints a table with a line for every backend.
func listBackends(c *cobra.Command, t *terminal) error {
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BACKEND\tSTATE\tVERSION\tDEVICE\tFILE")
	var hints []string
	for _, status := range backend.List() {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", status.Name, status.State, dash(status.Version), dash(status.Device), dash(status.File))
		if status.Hint != "" {
			hints = append(hints, status.Name+": "+status.Hint)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	for _, hint := range hints {
		fmt.Fprintf(t.err, "hint: %s\n", hint)
	}
	return nil
}

// dash stands for what is not known.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// printInstallation shows how far an installation is: a live line at a terminal,
// a line for each stage in a pipe.
func printInstallation(t *terminal, p install.Progress) {
	if !isTerminal(t.err) {
		if p.Done == 0 {
			t.note("%s %s", p.Stage, p.File)
		}
		return
	}
	done := ""
	if p.Total > 0 && p.Done > 0 {
		done = fmt.Sprintf("%d%% of %d MB ", 100*p.Done/p.Total, (p.Total+500_000)/1_000_000)
	}
	t.progress("%s %s%s", p.Stage, done, p.File)
}
