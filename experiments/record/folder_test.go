package record_test

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"epochal/experiments/record"
)

func TestUnwritable(t *testing.T) {
	for cause, want := range map[error]string{
		syscall.EACCES: "make the folder writable, or use one elsewhere",
		syscall.EPERM:  "make the folder writable, or use one elsewhere",
		syscall.EROFS:  "its file system is read-only: use a folder elsewhere",
		syscall.ENOSPC: "free some space, or choose a folder elsewhere",
		syscall.EDQUOT: "free some space, or choose a folder elsewhere",
		syscall.EIO:    "check its disk for errors, or use a folder elsewhere",
		syscall.ELOOP:  "",
	} {
		err := record.Unwritable(&fs.PathError{Op: "mkdir", Path: "x", Err: cause})
		hint := ""
		var hinted interface{ Hint() string }
		if errors.As(err, &hinted) {
			hint = hinted.Hint()
		}
		if hint != want || !errors.Is(err, cause) || err.Error() != "mkdir x: "+cause.Error() {
			t.Errorf("found %v with the hint %q, expected %q", err, hint, want)
		}
	}
}
