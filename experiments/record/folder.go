package record

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"

	"epochal/dataset/regular"
	"epochal/model"

	"golang.org/x/sys/unix"
)

// The files of a run folder, besides CheckpointsFolder and LockFile.
const (
	ConfigFile      = "config.json"
	EnvironmentFile = "environment.json"
	MetricsFile     = "metrics.jsonl"
	EvaluationFile  = "evaluation.json"
	WeightsFile     = "model.safetensors"
)

// available reports what a new run folder holds already.
func (o Options) available() error {
	entries, err := os.ReadDir(o.Folder)
	if err != nil || len(entries) == 0 {
		return nil // checkPlace reports whatever else is wrong with it
	}
	if err := checkUnlocked(o.Folder); err != nil {
		return fmt.Errorf("out: %w", err)
	}
	if abandoned(entries) {
		return nil
	}
	last := entries[len(entries)-1].Name() // hidden files come first
	err = fmt.Errorf("out: %s: found %s in it, expected a new or an empty folder", o.Folder, last)
	if _, missing := os.Stat(filepath.Join(o.Folder, ConfigFile)); missing != nil {
		return err
	}
	return hinted{err, "--resume continues a run that stopped"}
}

// abandoned reports whether a process ended before it had made the run folder: the
// lock is there and metrics.jsonl is not yet.
func abandoned(entries []fs.DirEntry) bool {
	locked := false
	for _, entry := range entries {
		switch name := entry.Name(); {
		case name == LockFile:
			locked = true
		case name == ClaimFile:
		case name != ConfigFile && name != EnvironmentFile && !temporary.MatchString(name):
			return false
		}
	}
	return locked
}

// hinted is an error with a hint.
type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string { return h.hint }

func (h hinted) Unwrap() error { return h.error }

// A run folder holds at most five files with weights at one time: two checkpoints
// and the one being written, the best, and model.safetensors. The other files take
// about a megabyte.
const (
	checkpointsAtOnce = 5
	otherBytes        = 1 << 20
)

// checkPlace reports a place where the run folder cannot be made, or a file system
// without room for the checkpoints of the run. It leaves nothing behind.
func (r *Run) checkPlace() error {
	path := cmp.Or(r.options.Folder, r.options.Parent)
	if path == "" {
		return nil
	}
	place := filepath.Clean(path) // or the nearest folder above it that exists
	info, err := os.Stat(place)
	for (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) && place != filepath.Dir(place) {
		place = filepath.Dir(place)
		info, err = os.Stat(place)
	}
	if err == nil && !info.IsDir() {
		return fmt.Errorf("out: %s: found that %s is a file, expected a folder", path, place)
	}
	r.place = place
	probe := ""
	if err == nil {
		probe, err = os.MkdirTemp(place, ".epochal-probe-*") // permission bits do not reveal read-only file systems
	}
	if err == nil {
		err = os.Remove(probe)
	}
	if err != nil {
		return Unwritable(fmt.Errorf("out: %s: cannot create a folder there: %w", place, errors.Unwrap(err)))
	}
	free, known := regular.Free(place)
	need := uint64(checkpointsAtOnce*4*model.ParameterCount(r.parameters) + otherBytes)
	if !known || free >= need {
		return nil
	}
	return hinted{fmt.Errorf("out: %s: found %d bytes free on its file system, expected at least %d for the checkpoints", place, free, need),
		roomHint}
}

// hold locks the run folder, which exists, and opens it.
func (r *Run) hold(path string) (err error) {
	if r.lock, err = LockFolder(path, r.options.Now()); err != nil {
		return err
	}
	r.lacks(r.lock.Warning)
	r.root, err = os.OpenRoot(path)
	return err
}

// make makes path the run folder and locks it. Of several processes that try at the
// same time, one gets it; the others leave it alone.
func (r *Run) make(path string, e Environment) error {
	err := os.MkdirAll(path, 0o755)
	if err == nil {
		err = r.hold(path)
	} else {
		for made := filepath.Clean(path); made != r.place && made != filepath.Dir(made); made = filepath.Dir(made) {
			unix.Rmdir(made) // which leaves alone what holds something or is no folder
		}
	}
	if err == nil {
		err = r.fill(e)
	}
	if err == nil {
		r.Folder = path
		return nil
	}
	r.Close()
	if errors.As(err, new(Busy)) {
		return fmt.Errorf("out: %w", err)
	}
	return Unwritable(fmt.Errorf("out: %s: %w", path, err))
}

// Unwritable gives the error of a folder that cannot be made or written the hint that
// fits its cause.
func Unwritable(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return hinted{err, roomHint}
	case errors.Is(err, syscall.EROFS):
		return hinted{err, "its file system is read-only: use a folder elsewhere"}
	case errors.Is(err, fs.ErrPermission):
		return hinted{err, "make the folder writable, or use one elsewhere"}
	case errors.Is(err, syscall.EIO):
		return hinted{err, "check its disk for errors, or use a folder elsewhere"}
	default:
		return err
	}
}

// roomHint is the hint for a full file system.
const roomHint = "free some space, or choose a folder elsewhere"

// errTaken is the error of a folder that another run made in the meantime.
var errTaken = errors.New("another run is already recorded there")

// fill writes the first files of a new run. metrics.jsonl comes last: a folder that
// has it is a run's, and one that does not, because the process failed or was killed,
// is free for the next run.
func (r *Run) fill(e Environment) (err error) {
	if _, err := r.root.Lstat(MetricsFile); err == nil {
		return errTaken
	}
	if err := errors.Join(r.sweep(), r.writeJSON(ConfigFile, r.config), r.writeJSON(EnvironmentFile, e)); err != nil {
		return err
	}
	r.metrics, err = r.root.OpenFile(MetricsFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
	return err
}

// temporary are the names of files that a killed process was about to rename, or
// of its attempts to make one.
var temporary = regexp.MustCompile(
	`^\.((config|environment|evaluation)\.json|(model|best|epoch-[0-9]+-step-[0-9]+)\.safetensors|epochal-probe-|claim)[0-9]+$`)

// sweep removes what killed processes left.
func (r *Run) sweep() error {
	entries, err := fs.ReadDir(r.root.FS(), ".")
	for _, entry := range entries {
		if temporary.MatchString(entry.Name()) {
			err = errors.Join(err, r.root.Remove(entry.Name()))
		}
	}
	return err
}

// append adds one line to metrics.jsonl, in one write, so that a reader never sees
// half of one.
func (r *Run) append(line any) error {
	if r.root == nil {
		return nil
	}
	text, err := json.Marshal(line)
	if err == nil {
		var n int
		n, err = r.metrics.Write(append(text, '\n'))
		r.size += n
	}
	return r.failed(err)
}

// openFile opens a regular file of the folder for reading. It never waits, as opening
// a pipe would.
func (r *Run) openFile(name string) (*os.File, error) {
	file, err := r.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = regular.Check(name, info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// write writes one file of the folder whole or not at all, and has it on the disk
// when it returns.
func (r *Run) write(name string, data []byte) error {
	if err := regular.WriteIn(r.root, name, data, r.lacks); err != nil {
		return err
	}
	return r.sync(filepath.Dir(name))
}

// writeJSON writes a value as one file of the folder.
func (r *Run) writeJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return r.write(name, append(text, '\n'))
}

// sync makes sure that the names in a folder, "." for the run's own, are on the disk.
func (r *Run) sync(name string) error {
	folder, err := r.root.Open(name)
	if err != nil {
		return err
	}
	defer folder.Close()
	return regular.Sync(folder, r.lacks)
}

// lacks warns once of each service that the folder's file system lacks.
func (r *Run) lacks(text string) {
	if text != "" && !slices.Contains(r.lacking, text) {
		r.lacking = append(r.lacking, text)
		r.options.Warn(text)
	}
}

// ErrGone is the error of a run folder that was removed while it was in use.
var ErrGone = errors.New("the folder is gone")

// failed is the error of a file of the folder that could not be written, nil if err
// is.
func (r *Run) failed(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrGone
	}
	return fmt.Errorf("out: %s: %w", r.Folder, err)
}
