package experiments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"epochal/model"

	"github.com/google/renameio/v2"
)

// The files of a run folder.
const (
	ConfigFile      = "config.json"
	EnvironmentFile = "environment.json"
	MetricsFile     = "metrics.jsonl"
	EvaluationFile  = "evaluation.json"
	WeightsFile     = "model.safetensors"
)

// NewFolderName is a folder below parent that does not exist yet, named after
// the time.
func NewFolderName(parent string, now time.Time) string {
	name := filepath.Join(parent, now.Format("2006-01-02_15-04-05"))
	for i, candidate := 2, name; ; i++ {
		if _, err := os.Lstat(candidate); err != nil {
			return candidate // not there, or not to be had: then making it says why
		}
		candidate = name + "-" + strconv.Itoa(i)
	}
}

// checkFolder reports why path cannot become a run folder: it holds something
// already, or nothing can be written there. It leaves nothing behind.
func checkFolder(path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return fmt.Errorf("out: %s: found a file, expected a new or an empty folder", path)
	}
	entries, err := os.ReadDir(path)
	switch {
	case err == nil && len(entries) > 0:
		return fmt.Errorf("out: %s: found %s in it, expected a new or an empty folder", path, entries[0].Name())
	case err == nil:
		return probe(path)
	}
	// The nearest folder that exists is where the first new one is made.
	parent := filepath.Dir(filepath.Clean(path))
	for {
		info, err := os.Stat(parent)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("out: %s: found that %s is a file, expected a folder", path, parent)
		}
		if err == nil {
			return probe(parent)
		}
		if above := filepath.Dir(parent); above != parent {
			parent = above
			continue
		}
		return fmt.Errorf("out: %w", err)
	}
}

// probe tries whether a file can be made in folder. Permission bits alone do not
// tell: the file system may be read-only.
func probe(folder string) error {
	file, err := os.CreateTemp(folder, ".epochal-probe-*")
	if err != nil {
		return fmt.Errorf("out: %s: no file can be made there: %w", folder, errors.Unwrap(err))
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// folder is an open run folder. A nil folder keeps nothing.
type folder struct {
	path    string
	metrics *os.File
}

// createFolder makes the run folder with the files that are known at the start.
// If it fails, it leaves nothing that was not there before.
func createFolder(path string, c Config, e Environment) (*folder, error) {
	if path == "" {
		return nil, nil
	}
	made, err := makeFolder(path)
	if err != nil {
		return nil, fmt.Errorf("out: %w", err)
	}
	f := &folder{path: path}
	err = errors.Join(f.writeJSON(ConfigFile, c), f.writeJSON(EnvironmentFile, e))
	if err == nil {
		f.metrics, err = os.OpenFile(filepath.Join(path, MetricsFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
	}
	if err != nil {
		for _, name := range []string{ConfigFile, EnvironmentFile, MetricsFile} {
			os.Remove(filepath.Join(path, name))
		}
		for i := len(made) - 1; i >= 0; i-- {
			os.Remove(made[i])
		}
		return nil, fmt.Errorf("out: %w", err)
	}
	return f, nil
}

// makeFolder makes path and its parents, and returns those that it made, the
// outermost first. It fails if path itself is there and not empty.
func makeFolder(path string) (made []string, err error) {
	for parent := filepath.Clean(path); ; parent = filepath.Dir(parent) {
		if _, err := os.Stat(parent); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		made = append([]string{parent}, made...)
	}
	return made, os.MkdirAll(path, 0o755)
}

// writeJSON writes one file of the folder whole or not at all.
func (f *folder) writeJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(f.path, name), append(text, '\n'), 0o644)
}

// append adds one line to metrics.jsonl, in one write, so that a reader never
// sees half of one.
func (f *folder) append(line any) error {
	if f == nil {
		return nil
	}
	text, err := json.Marshal(line)
	if err == nil {
		_, err = f.metrics.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("out: %w", err)
	}
	return nil
}

// finish writes what is known when the last epoch is over. model.safetensors
// comes last: a folder that has it is complete.
func (f *folder) finish(test TestEvaluation, t model.Topology, weights model.Weights) error {
	if f == nil {
		return nil
	}
	var file bytes.Buffer
	if err := model.WriteWeights(&file, t, weights); err != nil {
		return err
	}
	if err := f.metrics.Sync(); err != nil {
		return fmt.Errorf("out: %w", err)
	}
	if err := f.writeJSON(EvaluationFile, test); err != nil {
		return fmt.Errorf("out: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(f.path, WeightsFile), file.Bytes(), 0o644); err != nil {
		return fmt.Errorf("out: %w", err)
	}
	return nil
}

func (f *folder) close() { f.metrics.Close() }
