package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"epochal/experiments"
)

// ErrCannotResume is the error of a run folder from which no run can go on: it
// is none, no checkpoint is left, or what the run was made from is not there.
var ErrCannotResume = errors.New("the run cannot go on")

// CannotResume makes of an error one that is ErrCannotResume as well.
type CannotResume struct{ Err error }

// Error is that of Err.
func (c CannotResume) Error() string { return c.Err.Error() }

// Is tells that the error is ErrCannotResume.
func (c CannotResume) Is(target error) bool { return target == ErrCannotResume }

// Unwrap returns Err.
func (c CannotResume) Unwrap() error { return c.Err }

// ReadConfig reads the config of a run folder.
func ReadConfig(folder string) (c experiments.Config, err error) {
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		return c, fmt.Errorf("resume: %s: found a file, expected a run folder", folder)
	}
	err = ReadJSON(filepath.Join(folder, ConfigFile), MaxConfigBytes, &c)
	if errors.Is(err, fs.ErrNotExist) {
		return c, CannotResume{Err: fmt.Errorf("resume: %s: found no %s in it, expected a run folder", folder, ConfigFile)}
	} else if err != nil {
		return c, CannotResume{Err: fmt.Errorf("resume: %w", err)}
	}
	return c, nil
}

// ReadMetrics reads the first bytes of metrics.jsonl, which must be whole lines.
func (f *Folder) ReadMetrics(size int64) (record Record, err error) {
	file, err := f.Root.Open(MetricsFile)
	if err != nil {
		return record, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return record, err
	}
	if !info.Mode().IsRegular() || info.Size() < size {
		return record, fmt.Errorf("%s: found %d bytes, expected at least the %d that belong to the checkpoint", MetricsFile, info.Size(), size)
	}
	record.Config.Epochs = experiments.MaxEpochs // the caller knows how many there are
	return record, record.readLines(io.LimitReader(file, size), MetricsFile)
}
