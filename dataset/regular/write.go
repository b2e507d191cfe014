package regular

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Write writes a whole file, or leaves what is there untouched. It replaces a regular file
// only: a device, a pipe or a link is refused. Errors begin with name.
func Write(name string, content []byte) error {
	if err := checkReplace(name); err != nil {
		return err
	}
	return naming(name, renameio.WriteFile(name, content, 0o644))
}

// CanWrite returns the error that [Write] would meet, as far as it can be known
// before there is something to write. It leaves nothing behind.
func CanWrite(name string) error {
	if err := checkReplace(name); err != nil {
		return err
	}
	// Permission bits alone are not enough: the file system may be read-only.
	probe, err := os.CreateTemp(filepath.Dir(name), ".epochal-probe-*")
	if err != nil {
		return naming(name, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func checkReplace(name string) error {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return naming(name, err)
	}
	return Check(name, info)
}

// naming makes err name the user's file rather than a temporary one beside it.
func naming(name string, err error) error {
	if err == nil {
		return nil
	}
	if path := new(fs.PathError); errors.As(err, &path) {
		err = path.Err
	} else if link := new(os.LinkError); errors.As(err, &link) {
		err = link.Err
	}
	return fmt.Errorf("%s: %w", name, err)
}
