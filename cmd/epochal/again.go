package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"epochal/experiments/train"
)

// again is an error after which a command can continue where it stopped.
type again struct {
	error
	command string // as a shell reads it
}

func (a again) Unwrap() error { return a.error }

// Hint says what to do first, if anything, and the command that continues.
func (a again) Hint() string {
	var stopped train.Stopped
	if errors.As(a.error, &stopped) {
		if advice := stopped.Advice(); advice != "" {
			return advice + ", then continue with: " + a.command
		}
	}
	return "continue with: " + a.command
}

// savedAt says where an interrupted run will continue.
func savedAt(err error) string {
	var stopped train.Stopped
	if !errors.As(err, &stopped) {
		return ""
	}
	return "; " + stopped.Saved()
}

// commandLine is how a shell in the same folder calls this program with other
// arguments.
func commandLine(args ...string) string {
	return strings.Join(append(programName(os.Args[0]), quoted(args)...), " ")
}

// programName is how the program was called. What `go run` builds is gone when
// it ends.
func programName(name string) []string {
	if strings.Contains(name, string(filepath.Separator)+"go-build") && filepath.Base(filepath.Dir(name)) == "exe" {
		return []string{"go", "run", "epochal/cmd/epochal"}
	}
	return quoted([]string{name})
}

// quoted are arguments as a shell reads them.
func quoted(args []string) []string {
	var words []string
	for _, arg := range args {
		if arg == "" || strings.ContainsAny(arg, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return words
}
