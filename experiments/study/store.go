package study

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

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

// store is a study's folder that this process holds.
type store struct {
	folder  string
	lock    *record.Lock
	folders map[string]string // of the complete runs by their identity, below folder
}

// openStore makes the folder if need be, takes its lock, or fails with
// [record.Busy], and finds out which runs it holds.
func openStore(folder string, now time.Time) (*store, error) {
	if err := os.MkdirAll(filepath.Join(folder, runsFolder), 0o755); err != nil {
		return nil, record.Unwritable(fmt.Errorf("results: %w", err))
	}
	lock, err := record.LockFolder(folder, now)
	if err != nil {
		return nil, record.Unwritable(fmt.Errorf("results: %w", err))
	}
	s := &store{folder: folder, lock: lock, folders: map[string]string{}}
	if err := s.index(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("results: %w", err)
	}
	return s, nil
}

// index reads the identities of all complete runs.
func (s *store) index() error {
	entries, err := os.ReadDir(filepath.Join(s.folder, runsFolder))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		folder := filepath.Join(runsFolder, entry.Name())
		identity, err := record.ReadIdentity(filepath.Join(s.folder, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return damaged(err, filepath.Join(s.folder, folder))
		}
		if identity != "" {
			s.folders[identity] = folder
		}
	}
	return nil
}

// damaged is the error of a run that is there and cannot be read: it is not ours
// to throw away.
func damaged(err error, path string) error {
	return fmt.Errorf("%w; remove %s to run it again", err, path)
}

// find reads the result of a task, if the folder holds it.
func (s *store) find(t *task) (found bool, err error) {
	folder, found := s.folders[t.identity]
	if !found {
		return false, nil
	}
	path := filepath.Join(s.folder, folder)
	run, err := record.Read(path)
	if err == nil && record.Identity(run.Config, run.Environment.Data, run.Environment.InitSHA256) != t.identity {
		err = fmt.Errorf("%s: found a run with settings or data other than its identity says", path)
	}
	if err != nil {
		return false, fmt.Errorf("results: %w", damaged(err, path))
	}
	t.result = Result{Folder: folder, Record: run}
	return true, nil
}

// unfinished is where a run is made before it gets its name.
func (s *store) unfinished(t *task) string {
	return filepath.Join(s.folder, runsFolder, partial+t.identity[:digits])
}

// complete gives a run that ended its name and reads its result. Its checkpoints
// are removed first: a complete run never continues.
func (s *store) complete(t *task) error {
	folder := filepath.Join(runsFolder, fmt.Sprintf("%s-seed%d", t.Name, t.Config.Seed))
	if _, err := os.Lstat(filepath.Join(s.folder, folder)); err == nil {
		folder += "-" + t.identity[:digits] // the name is another run's
	}
	path := s.unfinished(t)
	err := os.RemoveAll(filepath.Join(path, record.CheckpointsFolder))
	if err == nil {
		err = regular.Move(path, filepath.Join(s.folder, folder))
	}
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	s.folders[t.identity] = folder
	_, err = s.find(t)
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
