package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"epochal/dataset/regular"

	"github.com/gofrs/flock"
)

// LockFile is the file of a folder whose lock the writing process holds. It says
// who that is, or was: the lock ends with the process, the file stays.
const LockFile = ".lock"

// Lock is a folder that this process holds.
type Lock struct{ flock *flock.Flock }

// Busy is the error of a folder that a process holds already.
type Busy struct {
	Folder string
	Holder Holder // empty if the process has not said yet who it is
}

// Holder is a process that holds a folder: the content of LockFile.
type Holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// Error names the folder, the process, its host and since when it holds it.
func (b Busy) Error() string {
	if b.Holder.PID == 0 {
		return fmt.Sprintf("%s: another process is using the folder", b.Folder)
	}
	return fmt.Sprintf("%s: process %d on %s is using the folder, since %s",
		b.Folder, b.Holder.PID, b.Holder.Host, b.Holder.Since.Format(time.DateTime))
}

// Hint says what to do.
func (b Busy) Hint() string { return "wait until it ends, stop it, or choose another folder" }

// LockFolder takes the lock of a folder that exists, or fails with [Busy]. A
// process that died holds nothing. The lock file is never removed: so a lock on it
// is always one on the file that others see.
func LockFolder(folder string, now time.Time) (*Lock, error) {
	path := filepath.Join(folder, LockFile)
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, err
	}
	if !locked {
		return nil, Busy{folder, readHolder(path)}
	}
	if err := sign(path, now); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return &Lock{lock}, nil
}

// sign writes who holds the folder.
func sign(path string, now time.Time) error {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	text, err := json.Marshal(Holder{PID: os.Getpid(), Host: host, Since: now})
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// maxHolder is the largest lock file that is read, in bytes.
const maxHolder = 4096

// readHolder is who a lock file names, empty if it cannot be told.
func readHolder(path string) (holder Holder) {
	file, err := regular.Open(path)
	if err != nil {
		return Holder{}
	}
	defer file.Close()
	if err := json.NewDecoder(io.LimitReader(file, maxHolder)).Decode(&holder); err != nil {
		return Holder{}
	}
	return holder
}

// checkUnlocked reports a process that holds the folder, without taking its lock.
func checkUnlocked(folder string) error {
	path := filepath.Join(folder, LockFile)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	if shared, err := lock.TryRLock(); err == nil && !shared {
		return Busy{folder, readHolder(path)}
	}
	return lock.Unlock()
}

// Release gives the folder back. The file stays.
func (l *Lock) Release() { l.flock.Unlock() }
