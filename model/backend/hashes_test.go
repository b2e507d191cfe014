package backend

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// SHA-256 of "one" and "two".
const (
	one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
	two = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
)

func TestHashRecord(t *testing.T) {
	folder := t.TempDir()
	file, record := filepath.Join(folder, "plugin.so"), hashRecord(filepath.Join(folder, "cache", "plugins.json"))
	write := func(name, content string, modified time.Time) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		if got, err := record.of(context.Background(), file); got != want || err != nil {
			t.Errorf("hash %s, %v, want %s", got, err, want)
		}
	}
	start := time.Unix(1_700_000_000, 123)
	write(file, "one", start)
	expect(one)
	if sha, ok := record.known(file); sha != one || !ok {
		t.Errorf("known hash %q, %v, want %s", sha, ok, one)
	}

	// Content that changes under the same size and time is not looked at: the record is used.
	write(file, "two", start)
	expect(one)
	// A nanosecond later it is.
	write(file, "two", start.Add(1))
	expect(two)
	write(file, "three", start.Add(1))
	if got, _ := record.of(context.Background(), file); got == two {
		t.Error("a file of another size still has the remembered hash")
	}

	// What is no record is replaced, and forgotten files go.
	write(string(record), "{", start)
	expect("8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f")
	other := filepath.Join(folder, "other.so")
	write(other, "one", start)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if sha, err := record.of(context.Background(), other); sha != one || err != nil {
		t.Errorf("hash %s, %v, want %s", sha, err, one)
	}
	content, err := os.ReadFile(string(record))
	if err != nil || strings.Contains(string(content), "plugin.so") || !strings.Contains(string(content), "other.so") {
		t.Errorf("record %s, %v, want other.so only", content, err)
	}

	write(string(record), "null", start)
	write(file, "one", start)
	expect(one)
}

func TestHashRecordUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plugin.so")
	if err := os.WriteFile(file, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, record := range []hashRecord{"", hashRecord(filepath.Join(file, "below-a-file", "plugins.json"))} {
		if sha, err := record.of(context.Background(), file); sha != one || err != nil {
			t.Errorf("with the record %q: hash %s, %v, want %s", record, sha, err, one)
		}
	}
	if _, err := hashRecord("").of(context.Background(), file+"x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("hash of a missing file: %v, want it not to exist", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := hashFile(ctx, file); !errors.Is(err, context.Canceled) {
		t.Errorf("hash with a cancelled context: %v, want context canceled", err)
	}
}
