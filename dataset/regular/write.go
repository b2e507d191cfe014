package regular

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// Write writes a whole file, or leaves what is there untouched. It replaces a regular file
// only: a device, a pipe or a link is refused. Errors begin with name.
func Write(name string, content []byte) error {
	if err := checkReplace(name); err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return naming(name, err)
	}
	defer root.Close()
	return naming(name, WriteIn(root, filepath.Base(name), content, nil))
}

// WriteIn writes a whole file below root, or leaves what is there untouched: it renames
// one that it has written to the disk. A process that is killed leaves at most that one,
// directly in root: a dot, the name and digits. Where the file system cannot do
// all of that, warn is told NoSync or NoRename; it may be nil.
func WriteIn(root *os.Root, name string, content []byte, warn func(text string)) error {
	mode := fs.FileMode(0o644)
	info, err := root.Lstat(name)
	existing := err == nil && info.Mode().IsRegular()
	if existing {
		mode = info.Mode().Perm()
	}
	temporary := "." + filepath.Base(name) + strconv.FormatInt(rand.Int64(), 10)
	file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if existing {
		_ = file.Chmod(mode) // what the umask took; some file systems have no modes
	}
	if err = write(file, content, warn); err == nil {
		err = root.Rename(temporary, name)
	}
	if err == nil {
		return nil
	}
	_ = root.Remove(temporary)
	if link := new(os.LinkError); !errors.As(err, &link) || !cannotRename(err) {
		return err
	}
	tell(warn, NoRename)
	if file, err = root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode); err != nil {
		return err
	}
	return write(file, content, warn)
}

// write writes the content to the disk and closes the file.
func write(file *os.File, content []byte, warn func(text string)) error {
	_, err := file.Write(content)
	if err == nil {
		err = Sync(file, warn)
	}
	return errors.Join(err, file.Close())
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
