package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

	claimed bool // by ClaimFile, where there are no locks
}

// Error names the folder, the process, its host and since when it has held the lock.
func (b Busy) Error() string {
	if b.PID == 0 {
		return fmt.Sprintf("%s: another process is using the folder", b.Folder)
	}
	return fmt.Sprintf("%s: process %d on %s has been using the folder since %s", b.Folder, b.PID, b.Host, b.Since.Format(time.DateTime))
}

// Hint says what to do.
func (b Busy) Hint() string {
	hint := "wait until it ends, stop it, or choose another folder"
	if b.claimed {
		hint += "; if it was killed or its machine failed, try again after 3 minutes"
	}
	return hint
}

// noLocks is the warning of a folder that only a claim protects, or of a part of it, so
// that whoever is warned of both is told once.
const noLocks = "the file system has no locks: only the file " + ClaimFile +
	" keeps a second process from writing into the folder at the same time"

// Lock is a folder that this process holds.
type Lock struct {
	Warning string // what its file system lacks to protect it, "" for nothing

	lock *flock.Flock // nil with a claim

	root            *os.Root // of the folder, with a claim
	file            *os.File // ClaimFile, or that of a part
	claim           []byte   // its content
	closing, closed chan struct{}
}

// LockFolder takes the lock of a folder that exists until it is closed, or fails
// with [Busy]. A process that died holds nothing. The lock file is never removed:
// so a lock on it is always one on the file that others see. On a file system without
// locks it makes ClaimFile instead, which Close removes.
func LockFolder(folder string, now time.Time) (*Lock, error) { return LockPart(folder, LockFile, now) }

// LockPart is [LockFolder] for a part of the folder that has a lock file of its own, whose
// name begins with LockFile. Its claim has what follows that in its name, too.
func LockPart(folder, name string, now time.Time) (*Lock, error) {
	path := filepath.Join(folder, name)
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	locked, err := lock.TryLock()
	if regular.Lacks(err) {
		return claimPart(folder, claimOf(name), now)
	}
	if err != nil {
		return nil, err
	}
	if !locked {
		return nil, readBusy(folder, name)
	}
	if err = checkUnclaimed(folder, claimOf(name)); err == nil { // by a process on a machine that sees no locks
		var text []byte
		if text, err = json.Marshal(self(now)); err == nil {
			err = os.WriteFile(path, append(text, '\n'), 0o644)
		}
	}
	if err != nil {
		if closing := lock.Close(); closing != nil {
			err = errors.Join(err, closing)
		}
		return nil, err
	}
	return &Lock{lock: lock}, nil
}

// Close releases the folder, also one that was moved.
func (l *Lock) Close() error {
	if l.lock != nil {
		return l.lock.Close()
	}
	close(l.closing)
	<-l.closed
	defer l.root.Close()
	l.file.Close()
	name := filepath.Base(l.file.Name())
	if text, err := l.root.ReadFile(name); err != nil || !bytes.Equal(text, l.claim) {
		return err // it was taken over
	}
	return l.root.Remove(name)
}

// self is this process.
func self(now time.Time) Busy {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return Busy{PID: os.Getpid(), Host: host, Since: now}
}

// readBusy is the error of a folder with what its lock file says, if it can be read.
func readBusy(folder, name string) Busy {
	var busy Busy
	text, err := regular.Read(filepath.Join(folder, name), maxLockFile)
	if err != nil || json.Unmarshal(text, &busy) != nil {
		busy = Busy{}
	}
	busy.Folder = folder
	return busy
}

// checkUnlocked reports a process that holds the folder, without taking its lock.
func checkUnlocked(folder string) error { return CheckUnlocked(folder, LockFile) }

// CheckUnlocked reports a process that holds a lock file of the folder, as [Busy], without
// taking the lock.
func CheckUnlocked(folder, name string) error {
	lock := flock.New(filepath.Join(folder, name), flock.SetFlag(os.O_RDONLY|syscall.O_NONBLOCK)) // never waits, as for a pipe
	if shared, err := lock.TryRLock(); err == nil && !shared {
		return readBusy(folder, name)
	}
	_ = lock.Close()
	return checkUnclaimed(folder, claimOf(name))
}
