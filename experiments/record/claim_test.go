package record

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A claim of a process on another machine is taken over when it has not been refreshed for
// a while, by the clock of the file system.
func TestOldClaims(t *testing.T) {
	for _, test := range []struct {
		age   time.Duration
		taken bool
	}{{0, false}, {2 * time.Minute, false}, {4 * time.Minute, true}, {-time.Hour, false}} {
		folder := t.TempDir()
		path := filepath.Join(folder, ClaimFile)
		text, err := json.Marshal(claim{Busy: Busy{PID: 1, Host: "node7", Since: time.Now().Add(-time.Hour)}})
		if err == nil {
			err = os.WriteFile(path, text, 0o644)
		}
		if at := time.Now().Add(-test.age); err == nil {
			err = os.Chtimes(path, at, at)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, door := range []func() error{
			func() error { return checkUnclaimed(folder, ClaimFile) },
			func() error {
				lock, err := claimPart(folder, ClaimFile, time.Now())
				if err == nil {
					err = lock.Close()
				}
				return err
			},
		} {
			if err := door(); errors.As(err, new(Busy)) == test.taken || test.taken && err != nil {
				t.Errorf("%v: found the error %v, expected the folder to be free: %v", test.age, err, test.taken)
			}
		}
		// Neither a clock nor a claim that was taken over is left.
		if entries, err := os.ReadDir(folder); err != nil || len(entries) > 1 || test.taken && len(entries) > 0 {
			t.Errorf("%v: found the files %v (%v)", test.age, entries, err)
		}
	}
}

// A process refreshes its claim as long as it holds it, whatever was made of the name since.
func TestClaimsAreRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		path := filepath.Join(folder, ClaimFile)
		lock, err := claimPart(folder, ClaimFile, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		old := time.Unix(1e9, 0)
		refreshed := func() bool {
			t.Helper()
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
			time.Sleep(refreshEvery + time.Second)
			synctest.Wait()
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			return info.ModTime().After(old)
		}
		for range 2 {
			if !refreshed() {
				t.Error("found the claim as old as before, expected it refreshed")
			}
		}
		if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("another's"), 0o644)); err != nil {
			t.Fatal(err)
		}
		if refreshed() {
			t.Error("found another's claim refreshed")
		}
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "another's" {
			t.Errorf("found %q (%v), expected another's claim untouched", text, err)
		}
	})
}
