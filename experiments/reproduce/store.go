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
	"strings"

	"epochal/experiments"

	"github.com/gofrs/flock"
)

// The results folder:
//
//	runs/<hash>-seed<n>/   a complete run folder; the hash is of the config and its files
//	runs/.partial-*        a run that is under way, or was when its process died
//	.lock                  held by the process that writes
const (
	runsFolder = "runs"
	partial    = ".partial-"
	lockFile   = ".lock"
)

// arithmetic is the generation of what a config computes. It is part of the
// hash: raise it when the same config and seed give other numbers than before,
// so that old runs are not mistaken for new ones.
const arithmetic = 1

// store is a results folder that this process holds.
type store struct {
	folder string
	lock   *flock.Flock
}

// ErrBusy is the error of a results folder that another process holds.
var ErrBusy = errors.New("another process is using the results folder")

// openStore makes the results folder if need be and takes its lock. What a
// killed process left unfinished is removed: its runs start again.
func openStore(folder string) (*store, error) {
	runs := filepath.Join(folder, runsFolder)
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	s := &store{folder: folder, lock: flock.New(filepath.Join(folder, lockFile))}
	if locked, err := s.lock.TryLock(); err != nil {
		return nil, fmt.Errorf("results: %w", err)
	} else if !locked {
		return nil, fmt.Errorf("results: %s: %w", folder, ErrBusy)
	}
	entries, err := os.ReadDir(runs)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), partial) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(runs, entry.Name())))
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("results: %w", err)
	}
	return s, nil
}

func (s *store) close() { s.lock.Unlock() }

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
	if c.Data != experiments.MNIST {
		data, err := experiments.OpenData(c.Data)
		if err != nil {
			return "", err
		}
		text = fmt.Sprint(data.Files)
	}
	if c.Init != "" {
		file, err := os.Open(c.Init)
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
func (s *store) read(folder string) (record experiments.Record, found bool, err error) {
	path := filepath.Join(s.folder, folder)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return record, false, nil
	}
	record, err = experiments.ReadRecord(path)
	if err != nil {
		return record, false, fmt.Errorf("results: %w; remove %s to run it again", err, path)
	}
	return record, true, nil
}

// unfinished is where a run is made before it gets its name.
func (s *store) unfinished(folder string) string {
	return filepath.Join(s.folder, runsFolder, partial+filepath.Base(folder))
}

// complete gives a run that ended its name.
func (s *store) complete(folder string) error {
	if err := os.Rename(s.unfinished(folder), filepath.Join(s.folder, folder)); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}
