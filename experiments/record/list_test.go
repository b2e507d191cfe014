package record_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"epochal/experiments/record"
)

func TestList(t *testing.T) {
	parent := t.TempDir()
	add := func(name, started string, change func(files map[string]string)) string {
		folder := filepath.Join(parent, name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		files := recordFiles()
		files[record.EnvironmentFile] = strings.Replace(files[record.EnvironmentFile], "0001-01-01T", started+"T", 1)
		change(files)
		writeRecord(t, folder, files)
		return folder
	}
	metrics := recordFiles()[record.MetricsFile]
	first, _, _ := strings.Cut(metrics, `{"event":"step","epoch":2`)
	stopped := `{"event":"stopped","epoch":2,"step":3,"reason":"max_time"}` + "\n"
	add("ended", "2020-01-01", func(map[string]string) {})
	add("interrupted", "2020-01-03", func(files map[string]string) { files[record.MetricsFile] = first })
	add("stopped", "2020-01-02", func(files map[string]string) { files[record.MetricsFile] = first + stopped })
	add("diverged", "2020-01-04", func(files map[string]string) { files[record.MetricsFile] = divergedLine })
	add("more", "2020-01-05", func(files map[string]string) { files[record.MetricsFile] = first + stopped + first })
	add("reason", "2020-01-06", func(files map[string]string) {
		files[record.MetricsFile] = first + strings.Replace(stopped, "max_time", "lunch", 1)
	})
	running := add("running", "2020-01-07", func(files map[string]string) { files[record.MetricsFile] = first })
	lock, err := record.LockFolder(running, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := os.Mkdir(filepath.Join(parent, "notes"), 0o755); err != nil {
		t.Fatal(err)
	}

	all, err := record.List(parent)
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, s := range all {
		found += fmt.Sprintf("%s: %s, %d epochs, %v\n", filepath.Base(s.Folder), s.StateText(), len(s.Record.Epochs), s.Err)
		if s.Bytes < 500 {
			t.Errorf("%s: found %d bytes", s.Folder, s.Bytes)
		}
	}
	found = strings.ReplaceAll(found, parent+"/", "")
	// The damaged ones are as new as their folders.
	_, found, _ = strings.Cut(found, "running:")
	if want := ` running, 1 epochs, <nil>
diverged: diverged, 0 epochs, <nil>
interrupted: interrupted, 1 epochs, <nil>
stopped: interrupted (max_time), 1 epochs, <nil>
ended: ended, 2 epochs, <nil>
`; found != want {
		t.Errorf("found\n%s\nexpected\n%s", found, want)
	}
	for name, want := range map[string]string{
		"more":   ":4: found a line after the run diverged or stopped, expected the end",
		"reason": ":3: reason: found \"lunch\", expected one of patience, max_time, rung",
	} {
		s := record.Summarize(filepath.Join(parent, name))
		if s.State != record.StateDamaged || s.Err == nil || !strings.HasSuffix(s.Err.Error(), want) {
			t.Errorf("%s: found the state %s and the error %v, expected %s", name, s.State, s.Err, want)
		}
	}
	if one, err := record.List(running); err != nil || len(one) != 1 || one[0].Folder != running {
		t.Errorf("found %v and the error %v, expected the run that the folder is", one, err)
	}
	if _, err := record.List(filepath.Join(parent, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found the error %v", err)
	}
}
