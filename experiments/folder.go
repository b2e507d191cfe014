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

// checkFolder reports why a run folder cannot be made: it holds something
// already, or nothing can be written there. It leaves nothing behind.
func (o Options) checkFolder() error {
	path := o.Folder
	if path == "" && o.Parent != "" {
		path = filepath.Join(o.Parent, "run")
		if _, err := os.Lstat(path); err == nil {
			return probe(o.Parent) // somebody's own folder of that name
		}
	}
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
func (o Options) createFolder(c Config, e Environment) (*folder, error) {
	if o.Folder != "" {
		return newFolder(o.Folder, c, e)
	}
	if o.Parent == "" {
		return nil, nil
	}
	name := filepath.Join(o.Parent, o.Now().Format("2006-01-02_15-04-05"))
	for i := 2; ; i++ {
		candidate := name
		if i > 2 {
			candidate += "-" + strconv.Itoa(i-1)
		}
		f, err := newFolder(candidate, c, e)
		if !errors.Is(err, errTaken) {
			return f, err
		}
	}
}

// errTaken is the error of a folder that another run made in the meantime.
var errTaken = errors.New("another run is using the folder")

// newFolder makes path a run folder. Of several processes that try at once one
// gets it, the one that makes metrics.jsonl; the others leave it alone.
func newFolder(path string, c Config, e Environment) (f *folder, err error) {
	made, err := missingFolders(path)
	if err != nil {
		return nil, fmt.Errorf("out: %w", err)
	}
	var written []string
	defer func() {
		if err != nil {
			for _, name := range written {
				os.Remove(filepath.Join(path, name))
			}
			// The innermost first; one in which another process made something stays.
			for _, folder := range made {
				os.Remove(folder)
			}
			err = fmt.Errorf("out: %s: %w", path, err)
		}
	}()
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	metrics, err := os.OpenFile(filepath.Join(path, MetricsFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, errTaken
	} else if err != nil {
		return nil, err
	}
	f = &folder{path: path, metrics: metrics}
	written = []string{MetricsFile, ConfigFile, EnvironmentFile}
	if err := errors.Join(f.writeJSON(ConfigFile, c), f.writeJSON(EnvironmentFile, e)); err != nil {
		metrics.Close()
		return nil, err
	}
	return f, nil
}

// missingFolders are path and its parents as far as they do not exist, the
// innermost first.
func missingFolders(path string) (missing []string, err error) {
	for folder := filepath.Clean(path); ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(folder); err == nil {
			return missing, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		missing = append(missing, folder)
	}
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
