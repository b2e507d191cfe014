package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"epochal/experiments/report/words"
	"epochal/experiments/train"
)

// again is an error after which a command can continue where it stopped.
type again struct {
	error
	command string // as a shell reads it
	saved   string // what the error does not say of what is kept, "" for nothing
}

func (a again) Unwrap() error { return a.error }

// Hint says what to do first, if anything, and the command that continues.
func (a again) Hint() string {
	stopped, _ := errors.AsType[train.Stopped](a.error)
	if advice := stopped.Advice(); advice != "" {
		return advice + ", then continue with: " + a.command
	}
	return "continue with: " + a.command
}

// savedAt says where an interrupted run will continue.
func savedAt(err error) string {
	if stopped, ok := errors.AsType[train.Stopped](err); ok {
		return "; " + stopped.Saved()
	}
	if a, ok := errors.AsType[again](err); ok && a.saved != "" {
		return "; " + a.saved
	}
	return ""
}

// runsSaved is what is kept of a study that was interrupted.
const runsSaved = "the runs are saved, also those that had not ended"

// commandLine is how a shell in the same folder calls this program with other
// arguments. What `go run` builds is gone when it ends.
func commandLine(args ...string) string {
	name := os.Args[0]
	if strings.Contains(name, string(filepath.Separator)+"go-build") && filepath.Base(filepath.Dir(name)) == "exe" {
		return "go run epochal/cmd/epochal " + words.Shell(args...)
	}
	return words.Shell(append([]string{name}, args...)...)
}

// recordedCommand is how this program was called, without its path.
func recordedCommand() string { return "epochal " + words.Shell(os.Args[1:]...) }
