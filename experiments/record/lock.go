package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"epochal/dataset/regular"

	"github.com/gofrs/flock"
)

// LockFile is the file of a folder whose lock the writing process holds. It says
// who that is, or was: the lock ends with the process, the file stays.
const LockFile = ".lock"

// maxLockFile is the largest lock file that is read, in bytes.
const maxLockFile = 4096

// Busy is the error of a folder that a process holds already. Its JSON is the
// content of LockFile.
type Busy struct {
	Folder string    `json:"-"`
	PID    int       `json:"pid"` // 0 if the process has not said yet who it is
	Host   string    `json:"host"`
	Since  time.Time `json:"since"`
}

// Error names the folder, the process, its host and since when it has held the lock.
func (b Busy) Error() string {
	if b.PID == 0 {
		return fmt.Sprintf("%s: another process is using the folder", b.Folder)
	}
	return fmt.Sprintf("%s: process %d on %s has been using the folder since %s", b.Folder, b.PID, b.Host, b.Since.Format(time.DateTime))
}

// Hint says what to do.
func (b Busy) Hint() string { return "wait until it ends, stop it, or choose another folder" }

// LockFolder takes the lock of a folder that exists until it is closed, or fails
// with [Busy]. A process that died holds nothing. The lock file is never removed:
// so a lock on it is always one on the file that others see.
func LockFolder(folder string, now time.Time) (io.Closer, error) {
	path := filepath.Join(folder, LockFile)
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, err
	}
	if !locked {
		return nil, readBusy(folder)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	text, err := json.Marshal(Busy{PID: os.Getpid(), Host: host, Since: now})
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// readBusy is the error of a folder with what its lock file says, if it can be read.
func readBusy(folder string) Busy {
	var busy Busy
	text, err := regular.Read(filepath.Join(folder, LockFile), maxLockFile)
	if err != nil || json.Unmarshal(text, &busy) != nil {
		busy = Busy{}
	}
	busy.Folder = folder
	return busy
}

// checkUnlocked reports a process that holds the folder, without taking its lock.
func checkUnlocked(folder string) error {
	lock := flock.New(filepath.Join(folder, LockFile), flock.SetFlag(os.O_RDONLY|syscall.O_NONBLOCK)) // never waits, as for a pipe
	if shared, err := lock.TryRLock(); err == nil && !shared {
		return readBusy(folder)
	}
	return lock.Close()
}
