package experiments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"epochal/model"

	"github.com/google/renameio/v2"
)

// The files of a run folder, besides CheckpointsFolder and LockFile.
const (
	ConfigFile      = "config.json"
	EnvironmentFile = "environment.json"
	MetricsFile     = "metrics.jsonl"
	EvaluationFile  = "evaluation.json"
	WeightsFile     = "model.safetensors"
)

// checkFolder reports why a run folder cannot be made: it holds something
// already, or nothing can be written there. It leaves nothing behind, and
// returns the folder that exists and in which the first thing is made, "" if no
// record is kept.
func (o Options) checkFolder() (string, error) {
	path := o.Folder
	if path == "" && o.Parent != "" {
		path = filepath.Join(o.Parent, "run")
		if _, err := os.Lstat(path); err == nil {
			return o.Parent, probe(o.Parent) // somebody's own folder of that name
		}
	}
	if path == "" {
		return "", nil
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return "", fmt.Errorf("out: %s: found a file, expected a new or an empty folder", path)
	}
	entries, err := os.ReadDir(path)
	switch {
	case err == nil && len(entries) > 0:
		if err := checkUnlocked(path); err != nil {
			return "", fmt.Errorf("out: %w", err)
		}
		if abandoned(entries) {
			return path, probe(path)
		}
		return "", taken{fmt.Errorf("out: %s: found %s in it, expected a new or an empty folder", path, firstName(entries)), path}
	case err == nil:
		return path, probe(path)
	}
	// The nearest folder that exists is where the first new one is made.
	parent := filepath.Dir(filepath.Clean(path))
	for {
		info, err := os.Stat(parent)
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("out: %s: found that %s is a file, expected a folder", path, parent)
		}
		if err == nil {
			return parent, probe(parent)
		}
		if above := filepath.Dir(parent); above != parent {
			parent = above
			continue
		}
		return "", fmt.Errorf("out: %w", err)
	}
}

// abandoned tells whether a process was killed before it had made the run folder:
// the lock is there and metrics.jsonl is not yet.
func abandoned(entries []fs.DirEntry) bool {
	locked := false
	for _, entry := range entries {
		switch name := entry.Name(); {
		case name == LockFile:
			locked = true
		case name != ConfigFile && name != EnvironmentFile && !temporary.MatchString(name):
			return false
		}
	}
	return locked
}

// firstName is the first name that is no hidden file's, if there is one.
func firstName(entries []fs.DirEntry) string {
	for _, entry := range entries {
		if entry.Name()[0] != '.' {
			return entry.Name()
		}
	}
	return entries[0].Name()
}

// taken is the error of a new run in a folder that holds something.
type taken struct {
	error
	folder string
}

// Hint says what was perhaps meant.
func (t taken) Hint() string {
	if _, err := os.Stat(filepath.Join(t.folder, ConfigFile)); err != nil {
		return ""
	}
	return "--resume goes on with a run that ended early"
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
//
// Everything in it is reached through root, not through path: a folder that is
// moved while the run goes on is written on, and one that another run made at
// the same path in the meantime is left alone.
type folder struct {
	path    string
	root    *os.Root
	lock    *Lock
	metrics *os.File
	size    int64 // of metrics.jsonl, in bytes
}

// createFolder makes the run folder with the files that are known at the start.
// If it fails, it leaves nothing that was not there before.
func (o Options) createFolder(c Config, e Environment) (*folder, error) {
	if o.Folder != "" {
		return newFolder(o.Folder, c, e, o.Now())
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
		f, err := newFolder(candidate, c, e, o.Now())
		if !errors.Is(err, errTaken) && !errors.As(err, new(Busy)) {
			return f, err
		}
	}
}

// errTaken is the error of a folder that another run made in the meantime.
var errTaken = errors.New("another run has used the folder")

// newFolder makes path a run folder and locks it. Of several processes that try
// at once one gets it; the others leave it alone. metrics.jsonl comes last: a
// folder that has it is a run's.
func newFolder(path string, c Config, e Environment, now time.Time) (f *folder, err error) {
	made, err := missingFolders(path)
	if err != nil {
		return nil, fmt.Errorf("out: %w", err)
	}
	f = &folder{path: path}
	var written []string
	defer func() {
		if err == nil {
			return
		}
		for _, name := range written {
			f.root.Remove(name)
		}
		if f.lock != nil && !errors.Is(err, errTaken) {
			f.lock.remove()
		}
		f.close()
		f = nil
		// The innermost first; one in which another process made something stays.
		for _, folder := range made {
			os.Remove(folder)
		}
		if errors.As(err, new(Busy)) {
			err = fmt.Errorf("out: %w", err)
		} else {
			err = fmt.Errorf("out: %s: %w", path, err)
		}
	}()
	if err := os.MkdirAll(path, 0o755); err != nil {
		return f, err
	}
	if f.lock, err = LockFolder(path, now); err != nil {
		return f, err
	}
	if f.root, err = os.OpenRoot(path); err != nil {
		return f, err
	}
	if _, err := f.root.Lstat(MetricsFile); err == nil {
		return f, errTaken
	}
	if err := f.sweep(); err != nil {
		return f, err
	}
	written = []string{MetricsFile, ConfigFile, EnvironmentFile}
	if err := errors.Join(f.writeJSON(ConfigFile, c), f.writeJSON(EnvironmentFile, e)); err != nil {
		return f, err
	}
	f.metrics, err = f.root.OpenFile(MetricsFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
	return f, err
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

// write writes one file of the folder whole or not at all, and has it on the
// disk when it returns.
func (f *folder) write(name string, data []byte) error {
	if err := renameio.WriteFile(name, data, 0o644, renameio.WithRoot(f.root)); err != nil {
		return err
	}
	return f.sync(filepath.Dir(name))
}

// sync has the names in a folder of the folder on the disk.
func (f *folder) sync(name string) error {
	folder, err := f.root.Open(name)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// temporary are the names of files that a killed process was about to rename,
// or tried whether it can make.
var temporary = regexp.MustCompile(`^\.(((config|environment|evaluation)\.json|(model|best|epoch-[0-9]+-step-[0-9]+)\.safetensors)|epochal-probe-)[0-9]+$`)

// sweep removes what killed processes left.
func (f *folder) sweep() error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	for _, entry := range entries {
		if temporary.MatchString(entry.Name()) {
			err = errors.Join(err, f.root.Remove(entry.Name()))
		}
	}
	return err
}

// writeJSON writes a value as one file of the folder.
func (f *folder) writeJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return f.write(name, append(text, '\n'))
}

// failed is the error of a file of the folder that could not be written.
func (f *folder) failed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = errGone
	}
	return fmt.Errorf("out: %s: %w", f.path, err)
}

// append adds one line to metrics.jsonl, in one write, so that a reader never
// sees half of one.
func (f *folder) append(line any) error {
	if f == nil {
		return nil
	}
	text, err := json.Marshal(line)
	if err == nil {
		var n int
		n, err = f.metrics.Write(append(text, '\n'))
		f.size += int64(n)
	}
	if err != nil {
		return f.failed(err)
	}
	return nil
}

// finish writes what is known when the last epoch is over. model.safetensors
// comes last: a folder that has it is complete.
func (f *folder) finish(test TestEvaluation, t model.FullyConnected, weights model.Weights) error {
	if f == nil {
		return nil
	}
	var file bytes.Buffer
	if err := model.WriteWeights(&file, t.Parameters(), weights); err != nil {
		return err
	}
	err := f.metrics.Sync()
	if err == nil {
		err = f.writeJSON(EvaluationFile, test)
	}
	if err == nil {
		err = f.write(WeightsFile, file.Bytes())
	}
	if err == nil {
		err = f.prune(1)
	}
	if err != nil {
		return f.failed(err)
	}
	return nil
}

func (f *folder) close() {
	if f.metrics != nil {
		f.metrics.Close()
	}
	if f.root != nil {
		f.root.Close()
	}
	if f.lock != nil {
		f.lock.Release()
	}
}
