package study

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/record"
)

const (
	runsFolder = "runs"
	partial    = ".partial-"
	digits     = 12 // of an identity in a name
)

// store is a study's folder, of which this process holds the shard.
type store struct {
	folder  string
	keep    func(*record.Record)
	lock    *record.Lock      // nil if nothing is to be written
	known   map[string]bool   // names in the folder of runs that have been looked at
	folders map[string]string // of the runs by their identity, below folder
}

// openStore makes the folder if need be and takes the lock, or fails with [record.Busy].
func openStore(o Options) (*store, error) {
	s := &store{folder: o.Folder, keep: o.Keep, known: map[string]bool{}, folders: map[string]string{}}
	if o.ReadOnly {
		return s, nil
	}
	err := os.MkdirAll(filepath.Join(o.Folder, runsFolder), 0o755)
	if err == nil {
		s.lock, err = o.Shard.hold(o.Folder, o.Now())
	}
	if err == nil && o.Shard.Count == 0 {
		if err = s.restore(); err != nil {
			s.lock.Close()
		}
	}
	if err != nil {
		return nil, record.Unwritable(fmt.Errorf("results: %w", err))
	}
	return s, nil
}

// index reads the identities of the runs that have got their names since the last time.
func (s *store) index() error {
	entries, err := os.ReadDir(filepath.Join(s.folder, runsFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there is nothing to read yet
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") || s.known[e.Name()] })
	identities := make([]string, len(entries))
	err = errors.Join(err, each(len(entries), func(i int) (err error) {
		path := filepath.Join(s.folder, runsFolder, entries[i].Name())
		if identities[i], err = record.ReadIdentity(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return damaged(err, path)
		}
		return nil
	}))
	for i, entry := range entries {
		s.known[entry.Name()] = true
		if identities[i] != "" {
			s.folders[identities[i]] = filepath.Join(runsFolder, entry.Name())
		}
	}
	return err
}

// reading is how many files are read at the same time: on a shared file system most of
// the time is waiting.
const reading = 16

// each calls do for every number below n, several at the same time, and returns the error
// of the lowest one that failed.
func each(n int, do func(i int) error) error {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, min(n, reading))
	failed := slices.Repeat([]int{n}, len(errs))
	for worker := range errs {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[worker] == nil; i = int(next.Add(1)) - 1 {
				failed[worker], errs[worker] = i, do(i)
			}
		})
	}
	group.Wait()
	first, lowest := error(nil), n
	for worker, err := range errs {
		if err != nil && failed[worker] < lowest {
			first, lowest = err, failed[worker]
		}
	}
	return first
}

// damaged is the error of a run that is there and cannot be read: it is not ours
// to throw away.
func damaged(err error, path string) error {
	return fmt.Errorf("%w; remove %s to run it again", err, path)
}

// find reads the results of tasks, as far as the folder holds them and they are not known.
func (s *store) find(tasks []*task) error {
	err := s.index()
	if err == nil {
		err = each(len(tasks), func(i int) error {
			if tasks[i].has() {
				return nil
			}
			return s.read(tasks[i])
		})
	}
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// read reads the result of a task, if the folder holds it.
func (s *store) read(t *task) error {
	folder, found := s.folders[t.identity]
	if !found {
		return nil
	}
	path := filepath.Join(s.folder, folder)
	run, err := record.ReadSoFar(path)
	t.complete = err == nil
	if errors.Is(err, record.ErrUnfinished) {
		// One that stopped for now, or was killed since, can continue from a checkpoint.
		if _, without := os.Stat(filepath.Join(path, record.CheckpointsFolder)); without == nil {
			err = nil
		}
	}
	if err == nil && record.Identity(run.Config, run.Environment.Data, run.Environment.InitSHA256) != t.identity {
		err = fmt.Errorf("%s: found a run with settings or data other than its identity says", path)
	}
	if err != nil {
		return damaged(err, path)
	}
	t.epochs = len(run.Epochs)
	if s.keep != nil {
		s.keep(&run)
	}
	t.result = Result{Folder: folder, Record: run}
	return nil
}

// place is where a run is made: where it is already, or, before it gets its name, in a
// hidden folder. As complete and forget, it is called by one goroutine at a time.
func (s *store) place(t *task) string {
	if folder, found := s.folders[t.identity]; found {
		return filepath.Join(s.folder, folder)
	}
	return s.hidden(t)
}

// hidden is where a run is made before it gets its name.
func (s *store) hidden(t *task) string {
	return filepath.Join(s.folder, runsFolder, partial+t.identity[:digits])
}

// forget removes a run, which is then made anew.
func (s *store) forget(t *task) error {
	err := os.RemoveAll(s.place(t))
	delete(s.folders, t.identity)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// complete gives a run that ended, or stopped for now, its name and reads its result. The
// checkpoints of one that ended are removed first: it never continues.
func (s *store) complete(t *task, ended bool) error {
	path := s.place(t)
	var err error
	if ended {
		err = os.RemoveAll(filepath.Join(path, record.CheckpointsFolder))
	}
	if err == nil && path == s.hidden(t) {
		err = s.name(t, path)
	}
	if err == nil {
		err = s.read(t)
	}
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// name moves the folder at path to the name of the task.
func (s *store) name(t *task, path string) error {
	name := fmt.Sprintf("%s-seed%d", t.Name, t.Config.Seed)
	if _, err := os.Lstat(filepath.Join(s.folder, runsFolder, name)); err == nil {
		name += "-" + t.identity[:digits] // the name is another run's
	}
	err := regular.Move(path, filepath.Join(s.folder, runsFolder, name))
	if errors.Is(err, fs.ErrExist) { // since a moment ago
		name += "-" + t.identity[:digits]
		err = regular.Move(path, filepath.Join(s.folder, runsFolder, name))
	}
	if err == nil {
		s.known[name], s.folders[t.identity] = true, filepath.Join(runsFolder, name)
	}
	return err
}

// content is what the files that a config names hold.
type content struct {
	data       []dataset.File
	initSHA256 string
}

// contents are the contents by what the configs name; each is read once.
type contents map[string]content

// of returns the checksums of c's data and initial weights. MNIST is built in.
func (s contents) of(c experiments.Config) (held content, err error) {
	key := fmt.Sprintf("%q %q %v", c.Data, c.Init, c.DataOptions())
	if known, ok := s[key]; ok {
		return known, nil
	}
	if c.DataOptions().Changes(c.Data) {
		data, err := dataset.Read(c.Data, c.DataOptions())
		if err != nil {
			return held, err
		}
		held.data = data.Files
	}
	if c.Init != "" {
		hash := sha256.New()
		file, err := regular.Open(c.Init)
		if err == nil {
			_, err = io.Copy(hash, file)
			file.Close()
		}
		if err != nil {
			return held, fmt.Errorf("init: %w", err)
		}
		held.initSHA256 = fmt.Sprintf("%x", hash.Sum(nil))
	}
	s[key] = held
	return held, nil
}
