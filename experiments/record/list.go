package record

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"epochal/experiments"
)

// State is how far a run is.
type State string

// The states of runs.
const (
	StateRunning     State = "running"     // a process holds its folder
	StateInterrupted State = "interrupted" // it stopped before its end and can be resumed
	StateEnded       State = "ended"       // it is complete
	StateDiverged    State = "diverged"    // its loss stopped being a finite number
	StateDamaged     State = "damaged"     // its folder cannot be read
)

// Summary is what a list of runs says of one.
type Summary struct {
	Folder  string
	State   State
	Started time.Time // or, where that is not known, when the folder last changed
	Bytes   int64     // of all its files
	Record  Record    // so far; empty with Err
	Err     error     // why the folder cannot be read, nil if it can
}

// Last are the metrics of the last epoch that is over, false before the first.
func (s Summary) Last() (experiments.EpochMetrics, bool) {
	if len(s.Record.Epochs) == 0 {
		return experiments.EpochMetrics{}, false
	}
	return s.Record.Epochs[len(s.Record.Epochs)-1], true
}

// StateText is the state, with why the run stopped by itself: "ended (patience)".
func (s Summary) StateText() string {
	if s.Record.Stopped != "" && s.State != StateRunning {
		return fmt.Sprintf("%s (%s)", s.State, s.Record.Stopped)
	}
	return string(s.State)
}

// List summarizes the runs in a folder, or the one that the folder is, newest first. A
// damaged run does not end the list. Folders that hold no file of a run are left out.
func List(folder string) ([]Summary, error) {
	if isRun(folder) {
		return []Summary{Summarize(folder)}, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var all []Summary
	for _, entry := range entries {
		if path := filepath.Join(folder, entry.Name()); isRun(path) {
			all = append(all, Summarize(path))
		}
	}
	slices.SortStableFunc(all, func(a, b Summary) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(b.Folder, a.Folder)) })
	return all, nil
}

// isRun reports whether a folder holds a file of a run.
func isRun(folder string) bool {
	return slices.ContainsFunc([]string{ConfigFile, EnvironmentFile, MetricsFile, WeightsFile}, func(name string) bool {
		_, err := os.Lstat(filepath.Join(folder, name))
		return err == nil
	})
}

// Summarize summarizes the run in a folder.
func Summarize(folder string) Summary {
	s := Summary{Folder: folder, State: StateEnded}
	s.Record, s.Err = ReadSoFar(folder)
	switch {
	case errors.Is(s.Err, ErrUnfinished):
		s.State, s.Err = StateInterrupted, nil
	case s.Err != nil:
		s.State = StateDamaged
	case s.Record.Diverged != nil:
		s.State = StateDiverged
	}
	if checkUnlocked(folder) != nil {
		s.State = StateRunning
	}
	if s.Started = s.Record.Environment.Started; s.Started.IsZero() {
		if info, err := os.Stat(folder); err == nil {
			s.Started = info.ModTime()
		}
	}
	fs.WalkDir(os.DirFS(folder), ".", func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil {
				s.Bytes += info.Size()
			}
		}
		return nil // what cannot be read, or went away meanwhile, does not count
	})
	return s
}
