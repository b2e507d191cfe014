package study

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/record"
)

// The beginnings of hidden names.
const (
	merging  = ".merging-"  // of a run that is being copied
	replaced = ".replaced-" // of a run that one that goes further is taking the place of
)

// Conflict is the error of two records of one run that disagree.
type Conflict struct{ Here, There, What string }

// Error names both folders and the first difference.
func (c Conflict) Error() string {
	return fmt.Sprintf("%s and %s: found two records of one run with %s, expected the same numbers", c.Here, c.There, c.What)
}

// Hint says what to do.
func (c Conflict) Hint() string {
	return "the two ran on different machines or versions: remove the one that is not wanted"
}

// Merge copies the runs of other studies into a folder, and returns their identities. A run that
// the folder has already is left alone, unless the other record of it goes further. Two
// records that disagree, times apart, are a [Conflict]; nothing is copied then. Each run is
// copied whole or not at all. Runs that are under way are not copied.
func Merge(folder string, from []string, now func() time.Time) (copied []string, err error) {
	s, err := openStore(Options{Folder: folder, Now: now})
	if err != nil {
		return nil, err
	}
	defer s.lock.Close()
	copied, err = s.merge(from)
	if err != nil {
		return copied, fmt.Errorf("merge: %w", err)
	}
	return copied, nil
}

func (s *store) merge(from []string) (copied []string, err error) {
	if err := s.index(); err != nil {
		return nil, err
	}
	best := map[string]string{} // paths by identity: the record that goes furthest
	for identity, folder := range s.folders {
		best[identity] = filepath.Join(s.folder, folder)
	}
	for _, other := range from {
		o := &store{folder: other, known: map[string]bool{}, folders: map[string]string{}}
		if _, err := os.Stat(filepath.Join(other, runsFolder)); err != nil {
			return nil, fmt.Errorf("%w; expected the folder of a sweep or of reproduce's results", err)
		}
		if err := o.index(); err != nil {
			return nil, err
		}
		for identity, folder := range o.folders {
			path := filepath.Join(other, folder)
			further, err := goesFurther(identity, best[identity], path)
			if err != nil {
				return nil, err
			}
			if further {
				best[identity] = path
			}
		}
	}
	for identity, path := range best {
		if path == filepath.Join(s.folder, s.folders[identity]) {
			continue
		}
		if err := s.take(identity, path); err != nil {
			return copied, err
		}
		copied = append(copied, identity)
	}
	return copied, nil
}

// goesFurther compares the record at path with that of the same run at before, "" for none,
// and reports whether it says more.
func goesFurther(identity, before, path string) (bool, error) {
	there, complete, err := readWhole(identity, path)
	if err != nil || before == "" {
		return err == nil, err
	}
	here, ended, err := readWhole(identity, before)
	if err != nil {
		return false, err
	}
	if what := difference(here, there, ended && complete); what != "" {
		return false, Conflict{before, path, what}
	}
	return complete && !ended || !ended && len(there.Epochs) > len(here.Epochs), nil
}

// readWhole reads a record that ended, or that stopped for now.
func readWhole(identity, path string) (r record.Record, complete bool, err error) {
	r, err = record.ReadSoFar(path)
	complete = err == nil
	if errors.Is(err, record.ErrUnfinished) && r.Stopped == experiments.StoppedByRung {
		err = nil
	}
	if err == nil && record.Identity(r.Config, r.Environment.Data, r.Environment.InitSHA256) != identity {
		err = fmt.Errorf("%s: found a run with settings or data other than its identity says", path)
	}
	return r, complete, err
}

// difference is what two records of one run differ in, "" if in nothing but times and how
// far they go.
func difference(a, b record.Record, ended bool) string {
	untimed := func(m experiments.EpochMetrics) experiments.EpochMetrics {
		m.TrainSeconds, m.EvalSeconds = 0, 0
		return m
	}
	for i := range min(len(a.Epochs), len(b.Epochs)) {
		if !reflect.DeepEqual(untimed(a.Epochs[i]), untimed(b.Epochs[i])) {
			return fmt.Sprintf("other metrics of epoch %d", i+1)
		}
	}
	if !ended {
		return ""
	}
	if len(a.Epochs) != len(b.Epochs) || (a.Diverged == nil) != (b.Diverged == nil) {
		return fmt.Sprintf("%d and %d epochs", len(a.Epochs), len(b.Epochs))
	}
	if !reflect.DeepEqual(a.Test, b.Test) {
		return "other evaluations of the test set"
	}
	return ""
}

// take copies the record of a run at path to where the run is here, or is to be. What is
// there is put aside, and removed only when the copy is in its place.
func (s *store) take(identity, path string) error {
	whole, _, err := readWhole(identity, path)
	if err != nil {
		return err
	}
	temporary := filepath.Join(s.folder, runsFolder, merging+identity[:digits])
	if err := os.RemoveAll(temporary); err != nil { // of a process that was killed
		return err
	}
	if err := copyFolder(temporary, path); err != nil {
		return errors.Join(err, os.RemoveAll(temporary))
	}
	copied, _, err := readWhole(identity, temporary)
	if err == nil && !reflect.DeepEqual(copied.Epochs, whole.Epochs) {
		err = fmt.Errorf("%s: found that it changed while it was copied, expected a run that no process continues", path)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temporary))
	}
	if here, found := s.folders[identity]; found {
		aside := filepath.Join(s.folder, runsFolder, replaced+filepath.Base(here))
		err := regular.Move(filepath.Join(s.folder, here), aside)
		if err == nil {
			err = regular.Move(temporary, filepath.Join(s.folder, here))
		}
		return errors.Join(err, s.restore())
	}
	name := filepath.Base(path)
	if suffix := "-" + identity[:digits]; !strings.HasSuffix(name, suffix) {
		if _, err := os.Lstat(filepath.Join(s.folder, runsFolder, name)); err == nil {
			name += suffix
		}
	}
	if err := regular.Move(temporary, filepath.Join(s.folder, runsFolder, name)); err != nil {
		return err
	}
	s.folders[identity] = filepath.Join(runsFolder, name)
	return nil
}

// restore puts back what was put aside for a copy that did not come, as when the process
// was killed, and removes it where the copy is there.
func (s *store) restore() error {
	runs := filepath.Join(s.folder, runsFolder)
	entries, err := os.ReadDir(runs)
	for _, entry := range entries {
		name, aside := strings.CutPrefix(entry.Name(), replaced)
		if err != nil || !aside {
			continue
		}
		if _, missing := os.Lstat(filepath.Join(runs, name)); errors.Is(missing, fs.ErrNotExist) {
			err = regular.Move(filepath.Join(runs, entry.Name()), filepath.Join(runs, name))
		} else {
			err = os.RemoveAll(filepath.Join(runs, entry.Name()))
		}
	}
	return err
}

// copyFolder copies the regular files of a folder and of those below it, and has them on
// the disk when it returns. Lock files and claims are left out; anything else is an error.
func copyFolder(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		switch target := filepath.Join(to, name); {
		case err != nil:
			return err
		case entry.IsDir():
			return os.Mkdir(target, 0o755)
		case entry.Name() == record.LockFile, entry.Name() == record.ClaimFile:
			return nil
		default:
			return copyFile(target, path)
		}
	})
}

func copyFile(to, from string) error {
	source, err := regular.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err == nil {
		err = regular.Sync(target, nil)
	}
	return errors.Join(err, target.Close())
}
