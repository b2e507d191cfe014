package regular_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"epochal/dataset/regular"
)

// Each of these would keep os.ReadFile forever, or fail with less to go by.
func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	folder := t.TempDir()
	pipe, socket, link := filepath.Join(folder, "pipe"), filepath.Join(folder, "socket"), filepath.Join(folder, "link")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Skipf("no pipes here: %v", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Skipf("no sockets here: %v", err)
	}
	defer listener.Close()
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{folder: "a folder", pipe: "a pipe", link: "a pipe", "/dev/zero": "a device"} {
		want = name + ": found " + want + ", expected a file"
		if _, err := regular.Read(name, 10); err == nil || err.Error() != want {
			t.Errorf("found error %v, expected %s", err, want)
		}
	}
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := regular.Check("s", info); err == nil || err.Error() != "s: found a socket, expected a file" {
		t.Errorf("found error %v for a socket", err)
	}
	if _, err := regular.Open(filepath.Join(folder, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found error %v, expected that there is no such file", err)
	}
}

func TestReadKeepsItsLimit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	if content, err := regular.Read(name, 5); err != nil || string(content) != "12345" {
		t.Errorf("found %q and error %v, expected all of it", content, err)
	}
	want := name + ": found more than 4 bytes, expected no more than that"
	if _, err := regular.Read(name, 4); err == nil || err.Error() != want {
		t.Errorf("found error %v, expected %s", err, want)
	}
	// A sparse file of 1 TiB takes no more than the limit.
	if err := os.Truncate(name, 1<<40); err != nil {
		t.Skip(err)
	}
	if _, err := regular.Read(name, 1<<20); err == nil || !strings.Contains(err.Error(), "found more than 1048576 bytes") {
		t.Errorf("found error %v, expected that the file is too long", err)
	}
}
