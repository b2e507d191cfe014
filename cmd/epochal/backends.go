package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"epochal/model/backend"
	"epochal/model/backend/install"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
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
		Short:     "Install the XLA plugin for the CPU (62 MB) or CUDA (2.5 GB)",
		ValidArgs: []string{"cpu", "cuda"},
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || (args[0] != "cpu" && args[0] != "cuda") {
				found := "no argument"
				if len(args) > 0 {
					found = strconv.Quote(strings.Join(args, " "))
				}
				return usageError{err: fmt.Errorf("backends install: found %s, expected cpu or cuda", found)}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			installer := install.Installer{Progress: func(p install.Progress) { printInstallation(t, p) }, Warn: t.warn}
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
	rows := [][]string{{"BACKEND", "STATE", "VERSION", "DEVICE", "FILE"}}
	var hints []string
	for _, status := range backend.List() {
		rows = append(rows, []string{status.Name, status.State,
			cmp.Or(status.Version, none), cmp.Or(status.Device, none), cmp.Or(status.File, none)})
		if status.Hint != "" {
			hints = append(hints, status.Name+": "+status.Hint)
		}
	}
	err := t.table("", 2, rows...)
	for _, hint := range hints {
		fmt.Fprintf(t.err, "hint: %s\n", hint)
	}
	return err
}

// wantCUDA asks at a terminal whether to install CUDA's plugin. Elsewhere, in the
// background of one, and without an answer, it is not wanted.
func (t *terminal) wantCUDA(ctx context.Context) bool {
	stdin := int(os.Stdin.Fd())
	foreground, err := unix.IoctlGetInt(stdin, unix.TIOCGPGRP) // fails at a terminal that stops nobody
	if columns(t.err) == 0 || !term.IsTerminal(stdin) || err == nil && foreground != unix.Getpgrp() {
		return false
	}
	t.end()
	fmt.Fprintf(t.err, "epochal: there is an NVIDIA GPU but no CUDA plugin; install it now, %s? [y/N] ", install.CUDASize)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		answer <- line
	}()
	select {
	case <-ctx.Done():
		return false
	case line := <-answer:
		return strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y")
	}
}

// printInstallation shows how far an installation is: a live line at a terminal,
// a line for each stage in a pipe.
func printInstallation(t *terminal, p install.Progress) {
	if !t.redraws {
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
