package regular

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a file system may lack, in the words of a warning: work goes on without it.
const (
	NoSync = "the file system cannot write a file to its disk on demand (fsync): " +
		"what was saved last may be lost, or be incomplete, if the machine crashes"
	NoRename = "the file system cannot replace a file by renaming another one: " +
		"a process that is killed while it saves may leave half a file"
)

// lacking are the errors of a service that a file system does not have: NFS without a
// lock daemon, Lustre mounted without flock, FUSE, 9p, exFAT and sandboxes such as
// gVisor give one or another.
var lacking = []error{syscall.ENOSYS, syscall.ENOTSUP, syscall.EOPNOTSUPP, syscall.EINVAL, syscall.ENOLCK, syscall.ENOTTY}

// Lacks reports whether err, of a lock, of fsync or of another service, means that the
// file system does not have the service, rather than that it failed.
func Lacks(err error) bool {
	return slices.ContainsFunc(lacking, func(one error) bool { return errors.Is(err, one) })
}

// Sync writes a file, or the names in a folder, to the disk. Where the file system
// cannot do that, warn is told NoSync; it may be nil.
func Sync(file *os.File, warn func(text string)) error {
	err := file.Sync()
	if Lacks(err) || errors.Is(err, syscall.EBADF) { // some give this for a folder, which is open for reading only
		tell(warn, NoSync)
		return nil
	}
	return err
}

func tell(warn func(text string), text string) {
	if warn != nil {
		warn(text)
	}
}

// cannotRename reports whether err, of renaming something in place, means that the file
// system cannot do it: overlay file systems refuse a folder of a lower layer as if it
// were on another device.
func cannotRename(err error) bool { return errors.Is(err, syscall.EXDEV) || Lacks(err) }

// Move renames a file or a folder, and copies it where the file system cannot rename it.
// A file that is at the new place is replaced; a folder is an error.
func Move(from, to string) error {
	err := os.Rename(from, to)
	if !cannotRename(err) {
		return err
	}
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if err := os.Mkdir(to, info.Mode().Perm()); err != nil {
			return err // what is there is another's
		}
		err = os.CopyFS(to, os.DirFS(from))
	} else {
		err = copyFile(from, to, info)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(to))
	}
	return os.RemoveAll(from)
}

func copyFile(from, to string, info os.FileInfo) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := os.RemoveAll(to); err != nil {
		return err // not written over: a process may have it open
	}
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, Sync(target, nil), target.Close())
}

// Free is how many bytes may still be written to the file system of a folder, or of the
// nearest folder above it that exists; false where the file system does not say.
func Free(folder string) (bytes uint64, known bool) {
	var system unix.Statfs_t
	err := unix.Statfs(folder, &system)
	for errors.Is(err, syscall.ENOENT) && folder != filepath.Dir(folder) {
		folder = filepath.Dir(folder)
		err = unix.Statfs(folder, &system)
	}
	return uint64(system.Bavail) * uint64(system.Bsize), err == nil && system.Blocks > 0
}
