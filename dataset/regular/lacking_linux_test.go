package regular_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"epochal/dataset/regular"
	"epochal/dataset/regular/regulartest"
)

func init() { regulartest.Run() }

// folderVariable makes a process of this test binary one that writes into that folder.
const folderVariable = "EPOCHAL_TEST_FOLDER"

// TestWithout runs itself in processes that lack something.
func TestWithout(t *testing.T) {
	if folder := os.Getenv(folderVariable); folder != "" {
		writeAndMove(t, folder)
		return
	}
	for _, c := range []struct {
		name    string
		lacking regulartest.Lacking
		fails   string // the end of the error of a service that there is, and that fails
	}{
		{"nothing", regulartest.Lacking{"chmod": syscall.EPERM}, ""},
		{"fsync", regulartest.Lacking{"fsync": syscall.EINVAL}, ""},
		{"fsync of a folder", regulartest.Lacking{"fsync": syscall.EBADF}, ""},
		{"everything", regulartest.Lacking{
			"fsync": syscall.ENOSYS, "rename": syscall.EXDEV, "chmod": syscall.ENOTSUP, "statfs": syscall.ENOSYS}, ""},
		{"a disk", regulartest.Lacking{"fsync": syscall.EIO}, "input/output error"},
		{"space", regulartest.Lacking{"fsync": syscall.ENOSPC}, "no space left on device"},
		{"a place", regulartest.Lacking{"rename": syscall.EROFS}, "read-only file system"},
		{"a quota", regulartest.Lacking{"rename": syscall.EDQUOT}, "disk quota exceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			command := regulartest.Command(t, c.lacking, os.Args[0], "-test.run=^TestWithout$")
			command.Env = append(command.Env, folderVariable+"="+folder)
			output, err := command.CombinedOutput()
			if exit := new(exec.ExitError); err != nil && command.ProcessState.ExitCode() == regulartest.NoFilter {
				t.Skipf("%v: %s", exit, output)
			}
			if (err == nil) != (c.fails == "") || !strings.Contains(string(output), c.fails) {
				t.Errorf("found %v and %s, expected %q", err, output, c.fails)
			}
			if left, _ := filepath.Glob(filepath.Join(folder, ".*")); len(left) > 0 {
				t.Errorf("found %q left", left)
			}
		})
	}
}

// writeAndMove replaces a file and moves a folder and a file.
func writeAndMove(t *testing.T, folder string) {
	at := func(name string) string { return filepath.Join(folder, name) }
	content := func(name, expected string) {
		t.Helper()
		if text, err := os.ReadFile(at(name)); err != nil || string(text) != expected {
			t.Errorf("%s: found %q and %v, expected %q", name, text, err, expected)
		}
	}
	for _, text := range []string{"longer", "text"} {
		if err := regular.Write(at("file"), []byte(text)); err != nil {
			t.Fatal(err)
		}
		content("file", text)
	}
	if err := os.MkdirAll(at("a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("a/b/c"), []byte("c"), 0o644); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"a": "moved", "file": "moved.txt"} {
		if err := regular.Move(at(from), at(to)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(at(from)); err == nil {
			t.Errorf("found %s, expected that it was moved", from)
		}
	}
	content("moved/b/c", "c")
	content("moved.txt", "text")
	if err := regular.Move(at("none"), at("other")); !os.IsNotExist(err) {
		t.Errorf("found error %v, expected that there is no such file", err)
	}
}
