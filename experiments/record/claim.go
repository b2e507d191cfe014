package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"epochal/dataset/regular"
)

// ClaimFile holds a folder instead of LockFile's lock where the file system has no
// locks. It is there as long as its process is, or longer if that was killed. The process
// writes it anew again and again, so that others see by its age that they may take it over.
const ClaimFile = ".claim"

const (
	refreshEvery = 30 * time.Second
	staleAfter   = 3 * time.Minute // also where a client of a shared file system sees changes a minute late
)

// claim is the content of ClaimFile.
type claim struct {
	Busy
	Machine string `json:"machine"` // where PID counts: the boot and the namespace; "" where that is not known
	Start   string `json:"start"`   // of the process, in clock ticks after the boot; "" where that is not known
}

// claimOf is the name of the claim that stands in for a lock file of a folder.
func claimOf(name string) string { return ClaimFile + strings.TrimPrefix(name, LockFile) }

// claimPart is LockPart on a file system without locks; name is that of the claim. A claim
// of a process on this machine that is gone is taken over, and one of a process elsewhere
// that has not refreshed it for staleAfter.
func claimPart(folder, name string, now time.Time) (*Lock, error) {
	text, err := json.Marshal(claim{self(now), machine(), startOf(os.Getpid())})
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	for {
		file, err := makeClaim(root, name, text)
		if err == nil {
			l := &Lock{Warning: noLocks, root: root, file: file, claim: text, closing: make(chan struct{}), closed: make(chan struct{})}
			go l.refresh()
			return l, nil
		}
		if errors.Is(err, fs.ErrExist) {
			err = takeOver(root, folder, name)
		}
		if err != nil {
			root.Close()
			return nil, err
		}
	}
}

func makeClaim(root *os.Root, name string, text []byte) (*os.File, error) {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, regular.Sync(file, nil)); err != nil {
		return nil, errors.Join(err, file.Close(), root.Remove(name))
	}
	return file, nil
}

// refresh writes the claim again and again until the lock is closed: so the file system
// sets its time by its own clock. The file is the one that was made: if another process
// took the claim over, that has another file.
func (l *Lock) refresh() {
	defer close(l.closed)
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.closing:
			return
		case <-ticker.C:
			if _, err := l.file.WriteAt(l.claim, 0); err == nil { // else it is tried again
				_ = regular.Sync(l.file, nil)
			}
		}
	}
}

// takeOver removes a claim that is stale, else it fails with Busy. The claim is
// put aside first, and back if it is no longer the one that was read: of several
// processes that take over, one has it.
func takeOver(root *os.Root, folder, name string) error {
	stale, err := heldClaim(folder, name)
	if err != nil || stale == nil {
		return err
	}
	aside := fmt.Sprintf("%s%d", name, time.Now().UnixNano())
	if err := root.Rename(name, aside); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if text, err := root.ReadFile(aside); err != nil || !bytes.Equal(text, stale) {
		return errors.Join(err, root.Rename(aside, name))
	}
	return root.Remove(aside)
}

// checkUnclaimed reports a process whose claim holds the folder.
func checkUnclaimed(folder, name string) error {
	_, err := heldClaim(folder, name)
	return err
}

// heldClaim is the error Busy of a folder that is held by a claim, else the text of a
// stale claim, nil where there is no claim.
func heldClaim(folder, name string) (stale []byte, err error) {
	path := filepath.Join(folder, name)
	text, err := regular.Read(path, maxLockFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var c claim
	if err := json.Unmarshal(text, &c); err != nil {
		c = claim{} // it is being written
	}
	if c.here() && c.gone() || !c.here() && unrefreshed(folder, path) {
		return text, nil
	}
	c.Folder, c.Busy.claimed = folder, true
	return nil, c.Busy
}

// unrefreshed reports whether a claim is older than staleAfter, by the file system's own
// clock: that which gives a new file in the folder its time.
func unrefreshed(folder, path string) bool {
	claimed, err := os.Stat(path)
	if err != nil {
		return false
	}
	file, err := os.CreateTemp(folder, ClaimFile+"-clock-")
	if err != nil {
		return false
	}
	defer os.Remove(file.Name())
	defer file.Close()
	now, err := file.Stat()
	return err == nil && now.ModTime().Sub(claimed.ModTime()) > staleAfter
}

// here reports whether the process of a claim is, or was, one of this machine.
func (c claim) here() bool {
	return c.PID > 0 && c.Host == self(time.Time{}).Host && c.Machine == machine()
}

// gone reports whether a process of this machine has ended.
func (c claim) gone() bool {
	start := startOf(c.PID)
	return errors.Is(syscall.Kill(c.PID, 0), syscall.ESRCH) || start != "" && start != c.Start
}

// machine tells machines of one name apart, and containers on them, by what Linux knows
// of its boot and of the namespace of process numbers.
func machine() string {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	return strings.TrimSpace(strings.TrimSpace(string(boot)) + " " + namespace)
}

// startOf is when a process started, which its number alone does not tell; "" where
// that cannot be known.
func startOf(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ") // the name before it may have spaces
	const start = 22 - 3                          // the state is the third
	if fields := strings.Fields(rest); len(fields) > start {
		return fields[start]
	}
	return ""
}
