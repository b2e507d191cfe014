package install

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"epochal/dataset/regular"
	"epochal/dataset/regular/regulartest"
)

func init() { regulartest.Run() }

// What the file system lacks is a warning, what fails is an error with a hint.
func TestWithoutServices(t *testing.T) {
	const noLocks = "warning: the file system has no locks: " +
		"if several processes install the XLA CPU plugin at the same time, each downloads it\n"
	for _, c := range []struct {
		name     string
		lacking  regulartest.Lacking
		warnings string
		fails    string // the end of an error with its hint
	}{
		{"nfs", regulartest.Lacking{"flock": syscall.ENOLCK, "statfs": syscall.ENOSYS}, noLocks, ""},
		{"everything", regulartest.Lacking{"flock": syscall.ENOSYS, "fsync": syscall.EINVAL, "rename": syscall.EXDEV},
			noLocks + "warning: " + regular.NoSync + "\n", ""},
		{"a disk", regulartest.Lacking{"fsync": syscall.EIO}, "", ": input/output error; hint: check its disk for errors, " + elsewhere},
		{"space", regulartest.Lacking{"fsync": syscall.ENOSPC}, "",
			": no space left on device; hint: free some space on its file system, " + elsewhere},
		{"a place", regulartest.Lacking{"rename": syscall.EROFS}, "",
			": read-only file system; hint: its file system is read-only: " + elsewhere},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			home, folder := newHome(t)
			put(t, filepath.Join(folder, pins[0].file()), "damaged")
			command := regulartest.Command(t, c.lacking, os.Args[0])
			command.Env = append(command.Env, childServer+"="+s.URL)
			var printed, warned strings.Builder
			command.Stdout, command.Stderr = &printed, &warned
			err := command.Run()
			if command.ProcessState.ExitCode() == regulartest.NoFilter {
				t.Skip(warned.String())
			}
			if c.fails != "" {
				if err == nil || !strings.HasSuffix(warned.String(), c.fails) || content(filepath.Join(folder, pins[0].file())) != "damaged" {
					t.Errorf("found %v and %q, expected %q and what was there before", err, warned.String(), c.fails)
				}
				return
			}
			if want := filepath.Join(folder, pins[0].file()); err != nil || printed.String() != want || warned.String() != c.warnings {
				t.Errorf("found %v, %q and %q, expected %q and %q", err, printed.String(), warned.String(), want, c.warnings)
			}
			if left := tree(t, home); len(left) != 1 || content(printed.String()) != fakePlugin("first") {
				t.Errorf("found %d files, expected the plugin alone", len(left))
			}
		})
	}
}
