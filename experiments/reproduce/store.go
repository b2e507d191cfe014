package reproduce

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/record"
)

// The results folder:
//
//	runs/<hash>-seed<n>/   a complete run folder; the hash is of the config and its files
//	runs/.partial-*        a run that is under way, or was when its process ended: it goes on from its checkpoint
//	record.LockFile   held by the process that writes
const (
	runsFolder = "runs"
	partial    = ".partial-"
)

// arithmetic is the generation of what a config computes. It is part of the
// hash: raise it when the same config and seed give other numbers than before,
// so that old runs are not mistaken for new ones.
const arithmetic = 1

// store is a results folder that this process holds.
type store struct {
	folder string
	lock   *record.Lock
}

// openStore makes the results folder if need be and takes its lock, or fails
// with [record.Busy].
func openStore(folder string, now time.Time) (*store, error) {
	if err := os.MkdirAll(filepath.Join(folder, runsFolder), 0o755); err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	lock, err := record.LockFolder(folder, now)
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	return &store{folder, lock}, nil
}

func (s *store) close() { s.lock.Release() }

// contents are what the files that a config names hold, so that a run on other
// files of the same name is another run. MNIST is built in and names none.
type contents map[string]string

// of returns the hashes of c's data and initial weights, read once per name.
func (s contents) of(c experiments.Config) (string, error) {
	key := fmt.Sprintf("%q %q", c.Data, c.Init)
	if known, ok := s[key]; ok {
		return known, nil
	}
	var text string
	if c.Data != dataset.MNIST {
		data, err := dataset.Read(c.Data)
		if err != nil {
			return "", err
		}
		text = fmt.Sprint(data.Files)
	}
	if c.Init != "" {
		file, err := regular.Open(c.Init)
		if err != nil {
			return "", fmt.Errorf("init: %w", err)
		}
		defer file.Close()
		hash := sha256.New()
		if _, err := io.Copy(hash, file); err != nil {
			return "", fmt.Errorf("init: %w", err)
		}
		text += hex.EncodeToString(hash.Sum(nil))
	}
	s[key] = text
	return text, nil
}

// name is the run folder of a config, below the results folder.
func name(c experiments.Config, files contents) (string, error) {
	held, err := files.of(c)
	if err != nil {
		return "", err
	}
	seed := c.Seed
	// Neither changes what a run computes.
	c.Seed, c.StepsPerCall = 0, 0
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256(fmt.Appendf(text, " arithmetic %d %s", arithmetic, held))
	return filepath.Join(runsFolder, fmt.Sprintf("%s-seed%d", hex.EncodeToString(hash[:6]), seed)), nil
}

// read returns the record of a complete run, or found false if there is none.
// A folder that is there and cannot be read is an error: it is not ours to
// throw away.
func (s *store) read(folder string) (run record.Record, found bool, err error) {
	path := filepath.Join(s.folder, folder)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return run, false, nil
	}
	run, err = record.Read(path)
	if err != nil {
		return run, false, fmt.Errorf("results: %w; remove %s to run it again", err, path)
	}
	return run, true, nil
}

// unfinished is where a run is made before it gets its name.
func (s *store) unfinished(folder string) string {
	return filepath.Join(s.folder, runsFolder, partial+filepath.Base(folder))
}

// begun tells whether there is something of a run that has not ended.
func (s *store) begun(folder string) bool {
	_, err := os.Lstat(s.unfinished(folder))
	return err == nil
}

// discard removes what there is of a run that cannot go on.
func (s *store) discard(folder string) error {
	if err := os.RemoveAll(s.unfinished(folder)); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// complete gives a run that ended its name. What it would need to go on is
// removed first: a run of the store never does.
func (s *store) complete(folder string) error {
	path := s.unfinished(folder)
	err := errors.Join(
		os.RemoveAll(filepath.Join(path, record.CheckpointsFolder)),
		os.RemoveAll(filepath.Join(path, record.LockFile)),
	)
	if err == nil {
		err = os.Rename(path, filepath.Join(s.folder, folder))
	}
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}
