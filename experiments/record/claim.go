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
// locks. It is there as long as its process is, or longer if that was killed.
const ClaimFile = ".claim"

// claim is the content of ClaimFile.
type claim struct {
	Busy
	Machine string `json:"machine"` // where PID counts: the boot and the namespace; "" where that is not known
	Start   string `json:"start"`   // of the process, in clock ticks after the boot; "" where that is not known
}

// claimOf is the name of the claim that stands in for a lock file of a folder.
func claimOf(name string) string { return ClaimFile + strings.TrimPrefix(name, LockFile) }

// claimPart is LockPart on a file system without locks; name is that of the claim. A claim
// of a process on this machine that is gone is taken over; what became of one elsewhere
// cannot be known.
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
		err := makeClaim(root, name, text)
		if err == nil {
			return &Lock{Warning: noLocks, root: root, file: name, claim: text}, nil
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

func makeClaim(root *os.Root, name string, text []byte) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err != nil {
		_ = root.Remove(name)
	}
	return err
}

// takeOver removes a claim whose process is gone, else it fails with Busy. The claim is
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
// claim whose process is gone, nil where there is no claim.
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
	if c.gone() {
		return text, nil
	}
	c.Folder, c.Busy.claim = folder, path
	return nil, c.Busy
}

// gone reports whether the process of a claim is known to have ended.
func (c claim) gone() bool {
	if c.PID <= 0 || c.Host != self(time.Time{}).Host || c.Machine != machine() {
		return false
	}
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
