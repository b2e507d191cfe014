// Package regular reads and writes regular files and refuses everything else: a
// pipe without a writer would block its reader forever, a device such as /dev/zero
// never ends, and a link may lead to a file that somebody else depends on. It also knows
// what file systems may lack, see [Lacks].
package regular

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Check returns an error that begins with name unless info is a regular file's.
func Check(name string, info fs.FileInfo) error {
	if mode := info.Mode(); !mode.IsRegular() {
		return fmt.Errorf("%s: found %s, expected a file", name, kind(mode))
	}
	return nil
}

// kind names what a file is if it is not a regular one.
func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	default:
		return "something else"
	}
}

// Open opens a regular file, or what a link to one leads to. It never waits.
func Open(name string) (*os.File, error) {
	// Opening a pipe waits for a writer unless it is told not to. For a regular
	// file the flag means nothing.
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = Check(name, info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Read returns the content of a regular file of at most limit bytes.
func Read(name string, limit int64) ([]byte, error) {
	file, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// The size that the file system reports is no promise, as /proc shows.
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s: found more than %d bytes, expected no more than that", name, limit)
	}
	return content, nil
}
