package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CanWriteFolder reports what [Dataset.WriteFolder] would find in the way: the folder has to
// be new or empty.
func CanWriteFolder(folder string) error {
	entries, err := os.ReadDir(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return unreadable(folder, err)
	case len(entries) > 0:
		return fmt.Errorf("%s: found %s in it, expected a new or an empty folder", folder, entries[0].Name())
	}
	return nil
}

// WriteFolder writes the train and the test set to a folder, which is made, as four plain
// IDX files with MNIST's names, and the names of the classes to classes.txt, if they have
// any. The folder is there with all files, or is left as it was. Reading it gives the same
// [Digest].
func (d *Dataset) WriteFolder(folder string) (err error) {
	if err := CanWriteFolder(folder); err != nil {
		return err
	}
	path, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return unreadable(folder, err)
	}
	unfinished, err := os.MkdirTemp(filepath.Dir(path), ".epochal-*")
	if err != nil {
		return unreadable(folder, err)
	}
	defer os.RemoveAll(unfinished)
	err = errors.Join(writeHalf(unfinished, trainImages, d.Train), writeHalf(unfinished, testImages, d.Test))
	if err == nil && d.ClassNames != nil {
		err = writeFile(filepath.Join(unfinished, classesFile), []byte(strings.Join(d.ClassNames, "\n")+"\n"))
	}
	if err == nil {
		err = os.Chmod(unfinished, 0o755)
	}
	if err == nil {
		err = os.Rename(unfinished, path)
	}
	if err != nil {
		return unreadable(folder, err)
	}
	return nil
}
