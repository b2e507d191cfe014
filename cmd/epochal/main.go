// Command epochal trains fully connected image classifiers, with many SGD steps
// per call of XLA, and repeats a blog post's PyTorch experiments.
//
// One file holds one subcommand: its flags, what it prints and nothing else. The
// work is done by package experiments and the packages below it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"epochal/experiments"
	"epochal/experiments/strict"
	"epochal/model"
	"epochal/model/backend"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes, as the help and the README state them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitWrongUse    = 2
	exitNotMet      = 3
	exitInterrupted = 130
)

func main() {
	// A file that reaches the size limit makes that write fail; it does not kill
	// the process.
	signal.Ignore(syscall.SIGXFSZ)
	if name := os.Getenv(model.TrialVariable); name != "" {
		if err := model.Trial(context.Background(), name); err != nil {
			printError(os.Stderr, err)
			if errors.Is(err, backend.ErrNotTried) {
				os.Exit(model.NotTried)
			}
			os.Exit(exitFailed)
		}
		return
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program: it parses args, does the work, prints errors and
// returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	// The first signal ends the run gracefully; after that the default handling is
	// restored, so that a second one kills.
	t := newTerminal(stdout, stderr, os.Getenv)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals, finished := make(chan os.Signal, 1), make(chan struct{})
	defer close(finished)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // until the end: one that comes too late changes nothing
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			t.note("stopping; press Ctrl-C again to quit immediately")
			cancel()
		case <-finished:
		}
	}()
	root := newRoot(t)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	started := false // whether the command line was understood
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if !started && !errors.As(err, new(usageError)) {
		err = usageError{err: err, hint: "run 'epochal --help' for the commands"}
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		fmt.Fprintf(stderr, "epochal: interrupted%s\n", savedAt(err))
		printHint(stderr, err)
		return exitInterrupted
	}
	printError(stderr, err)
	return exitCode(err)
}

// newRoot builds the command tree.
func newRoot(t *terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "epochal",
		Short: "Train fully connected image classifiers through XLA",
		Long: `epochal trains fully connected image classifiers with plain SGD, many steps per
call of XLA, on a CPU or a GPU. It also reruns the MNIST experiments of a blog
post over several seeds and judges what the post claims.

Results go to standard output, progress and diagnostics to standard error.
Exit codes: 0 success; 1 failure; 2 wrong usage; 3 a required accuracy or a
claim was not met; 130 interrupted.`,
		Example: `  epochal train
  epochal train --layer-sizes 128 --learning-rate 0.01 --epochs 5
  epochal reproduce attempt-1 best`,
		Version:       versionLine(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArguments,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		limit := func(*pflag.Flag) string { return "" }
		if c.Name() == "train" {
			limit = configLimit
		}
		return usageError{err: flagError(err, limit), hint: fmt.Sprintf("run '%s --help' for the flags", c.CommandPath())}
	})
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate("{{.Version}}\n")
	width := cmp.Or(columns(t.out), 80)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", width)))
	root.AddCommand(newTrain(t), newEvaluate(t), newPredict(t), newServe(t), newShow(t), newRuns(t), newExport(t),
		newData(t), newBackends(t), newReproduce(t), newSweep(t), newList(t), newBench(t), newBenchChild(t), newVersion(t))
	return root
}

// noArguments refuses arguments, with the command that was probably meant.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !c.HasSubCommands() {
		return usageError{err: fmt.Errorf("found the argument %q, expected flags only", args[0]),
			hint: fmt.Sprintf("run '%s --help' for the flags", c.CommandPath())}
	}
	hint := fmt.Sprintf("run '%s --help' for the commands", c.CommandPath())
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError{err: fmt.Errorf("unknown command %q", args[0]), hint: hint}
}

// usageError is a wrong use of the command line.
type usageError struct {
	err  error
	hint string
}

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }
func (e usageError) Hint() string  { return e.hint }

// notMet is the error of a finished run that missed what was required of it.
type notMet struct{ error }

// exitCode maps an error to the program's exit code.
func exitCode(err error) int {
	switch {
	case errors.As(err, new(usageError)), errors.As(err, new(experiments.Problem)), errors.As(err, new(*strict.Error)):
		return exitWrongUse
	case errors.As(err, new(notMet)):
		return exitNotMet
	default:
		return exitFailed
	}
}

// printError prints an error: a line `epochal: what: why` for each part, and a line
// `hint: what to do` if the error has a hint.
func printError(stderr io.Writer, err error) {
	lines := slices.Collect(strings.SplitSeq(strings.TrimRight(flagNames(err), "\n"), "\n"))
	for i, line := range lines {
		if i == maxErrorLines {
			fmt.Fprintf(stderr, "epochal: and %d more\n", len(lines)-i)
			break
		}
		prefix := "epochal: "
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, ">") {
			prefix = "" // lines of a file, around what is wrong in it
		}
		fmt.Fprintf(stderr, "%s%s\n", prefix, harmless(line))
	}
	printHint(stderr, err)
}

func printHint(stderr io.Writer, err error) {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hinted.Hint())
	}
}

// How much of an error is shown, in lines and in characters per line.
const (
	maxErrorLines = 100
	maxErrorLine  = 4000
)

// harmless is a line of an error made safe for a terminal: names in a file can have
// any length and can contain terminal commands.
func harmless(line string) string {
	line = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, line)
	if runes := []rune(line); len(runes) > maxErrorLine {
		return string(runes[:maxErrorLine]) + "..."
	}
	return line
}

// parts are the messages of an error, those of errors that were joined each with what
// was said before all of them. One of a file begins with its name, without the call of the system
// that failed.
func parts(err error) []string {
	text := err.Error()
	if file, ok := err.(*fs.PathError); ok && slices.Contains([]string{"open", "stat", "lstat"}, file.Op) {
		return []string{file.Path + ": " + file.Err.Error()}
	}
	switch wrapper := err.(type) {
	case interface{ Unwrap() []error }:
		var all, inner []string
		for _, one := range wrapper.Unwrap() {
			all, inner = append(all, one.Error()), append(inner, parts(one)...)
		}
		if text == strings.Join(all, "\n") {
			return inner
		}
	case interface{ Unwrap() error }:
		one := wrapper.Unwrap()
		if one == nil {
			break
		}
		if before, whole := strings.CutSuffix(text, one.Error()); whole {
			inner := parts(one)
			for i := range inner {
				inner[i] = before + inner[i]
			}
			return inner
		}
	}
	return []string{text}
}

// flagNames is the text of err with the fields of a Config as the flags that set
// them: learning_rate becomes --learning-rate.
func flagNames(err error) string {
	var problems experiments.Problems
	var problem experiments.Problem
	switch {
	case errors.As(err, &problems):
		problems = slices.Clone(problems)
	case errors.As(err, &problem):
		problems = experiments.Problems{problem}
	default:
		return strings.Join(parts(err), "\n")
	}
	for i := range problems {
		problems[i].Field = "--" + strings.ReplaceAll(problems[i].Field, "_", "-")
	}
	return problems.Error()
}
