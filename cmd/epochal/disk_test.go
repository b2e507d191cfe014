package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// manyEpochs is a run with short epochs, whose metrics.jsonl outgrows a checkpoint.
func manyEpochs(out string) []string {
	return []string{"train", "--data", "d", "--backend", "go", "--layer-sizes", "32", "--batch-size", "64",
		"--epochs", "60", "--learning-rate", "0.05", "--out", out}
}

// diskFolder is a folder with data and a run that was left alone.
func diskFolder(t *testing.T) string {
	t.Helper()
	folder := dataFolder(t)
	if alone := start(t, folder, append([]string{program(t)}, manyEpochs("alone")...)...); alone.code(t) != 0 {
		t.Fatal(alone.stderr.String())
	}
	return folder
}

// checkpoints are the whole checkpoints of a run folder.
func checkpoints(run string) string {
	found, _ := filepath.Glob(filepath.Join(run, "checkpoints", "epoch-*"))
	return strings.Join(found, "\n")
}

// A file that reaches the limit of its size ends the run with an error that says
// what to do, and no stack trace; then it continues as printed.
func TestFileSizeLimit(t *testing.T) {
	folder := diskFolder(t)
	for _, c := range []struct {
		blocks      string
		file        string // that is too large, or its beginning
		checkpoints int
	}{
		{"8", "metrics.jsonl", 2},
		{"2", ".epoch-00002-step-00000.safetensors", 0}, // too small even for the first checkpoint
	} {
		out := "after-" + c.blocks
		shell := []string{"bash", "-c", "ulimit -f " + c.blocks + `; exec "$@"`, "bash", program(t)}
		limited := start(t, folder, append(shell, manyEpochs(out)...)...)
		code, text := limited.code(t), limited.stderr.String()
		for _, want := range []string{"epochal: out: " + out + ": write " + out + "/" + c.file,
			": file too large\nhint: raise the file size limit (ulimit -f), then continue with: "} {
			if code != 1 || !strings.Contains(text, want) || strings.Contains(text, "goroutine") {
				t.Fatalf("found exit code %d and %q", code, text)
			}
		}
		if found := checkpoints(filepath.Join(folder, out)); strings.Count(found, "epoch-") != c.checkpoints {
			t.Errorf("found the checkpoints %q, expected %d", found, c.checkpoints)
		}
		if left, _ := filepath.Glob(filepath.Join(folder, out, ".*safetensors*")); len(left) > 0 {
			t.Errorf("found %v left", left)
		}
		resumed := start(t, folder, "sh", "-c", limited.nextCommand(t))
		if code := resumed.code(t); code != 0 || strings.Contains(resumed.stderr.String(), "warning") != (c.checkpoints == 0) {
			t.Fatalf("found exit code %d and %q", code, resumed.stderr.String())
		}
		sameRun(t, filepath.Join(folder, out), filepath.Join(folder, "alone"))
	}
}

// A run folder that is removed during the run ends it with an error; one
// that is moved is written on.
func TestRunFolderRemovedOrMoved(t *testing.T) {
	folder := diskFolder(t)
	out, moved := filepath.Join(folder, "r"), filepath.Join(folder, "moved")
	begin := func() *process {
		p := start(t, folder, append(append([]string{program(t)}, manyEpochs("r")...), "--epochs", "100000")...)
		waitFor(t, func() bool { return checkpoints(out) != "" })
		return p
	}
	p := begin()
	waitFor(t, func() bool {
		os.RemoveAll(out)
		_, err := os.Stat(out)
		return err != nil
	})
	code, text := p.code(t), p.stderr.String()
	if code != 1 || !strings.Contains(text, "epochal: out: r: the folder is gone\nhint: put the folder back, then continue with: ") {
		t.Errorf("found exit code %d and %q", code, text)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("found that the folder was made again")
	}

	p = begin()
	if err := os.Rename(out, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(out, 0o755); err != nil { // somebody else's
		t.Fatal(err)
	}
	before := checkpoints(moved)
	waitFor(t, func() bool { return checkpoints(moved) != before })
	p.Process.Signal(os.Interrupt)
	if code := p.code(t); code != 130 {
		t.Errorf("found exit code %d and %q", code, p.stderr.String())
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) > 0 {
		t.Errorf("found %v in a folder that is not the run's (%v)", entries, err)
	}
	before = checkpoints(moved)
	resumed := start(t, folder, program(t), "train", "--resume", "moved", "--epochs", "100000")
	waitFor(t, func() bool { return checkpoints(moved) != before })
	resumed.Process.Signal(os.Interrupt)
	resumed.code(t)
	if !strings.Contains(resumed.stderr.String(), "continuing moved at step ") {
		t.Errorf("found %q", resumed.stderr.String())
	}
}

// On a small file system of its own: too small to begin with, full in mid-run,
// and read-only.
func TestFullAndReadOnlyFileSystems(t *testing.T) {
	if out, err := exec.Command("unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt").CombinedOutput(); err != nil {
		t.Skipf("needs unshare and tmpfs: %v: %s", err, out)
	}
	folder := diskFolder(t)
	script := `
mkdir m
mount -t tmpfs -o size=64k tmpfs m
"$@" --out m/r >/dev/null; echo "small $?" >&2
ls -A m >&2
umount m
mount -t tmpfs -o size=2m tmpfs m
"$@" --out m/r >/dev/null & pid=$!
while [ "$(ls m/r/checkpoints 2>/dev/null | wc -l)" -lt 2 ]; do sleep 0.01; done
cat /dev/zero >m/filler 2>/dev/null
wait $pid; echo "full $?" >&2
ls m/r/checkpoints/epoch-* | wc -l >&2
rm m/filler
EPOCHAL train --resume m/r >/dev/null; echo "resumed $?" >&2
cp -r m/r r
mount -o remount,ro m
"$@" --out m/other >/dev/null; echo "read-only $?" >&2
EPOCHAL train --resume m/r >/dev/null; echo "ended $?" >&2
EPOCHAL train --resume m/r --epochs 200 >/dev/null; echo "more $?" >&2
EPOCHAL reproduce --quick --backend go --out m/results attempt-1 >/dev/null; echo "results $?" >&2
`
	args := manyEpochs("")
	args = append([]string{program(t)}, args[:len(args)-2]...)
	p := start(t, folder, append([]string{"unshare", "-rm", "sh", "-c", strings.ReplaceAll(script, "EPOCHAL", program(t)), "sh"}, args...)...)
	if code := p.code(t); code != 0 {
		t.Fatalf("found exit code %d and %q", code, p.stderr.String())
	}
	text := p.stderr.String()
	for _, want := range []string{
		"epochal: out: m: found 65536 bytes free on its file system, expected at least ",
		"\nhint: free some space, or choose a folder elsewhere\nsmall 1\n",
		"no space left on device\nhint: free some space on its file system, then continue with: ", "\nfull 1\n2\n",
		"\nresumed 0\n",
		"epochal: out: m: cannot create a folder there: read-only file system\n" +
			"hint: its file system is read-only: use a folder elsewhere\nread-only 1\n",
		"epochal: m/r is already complete: 60 epochs, ", "\nended 0\n",
		"epochal: resume: m/r/.lock: read-only file system\nhint: its file system is read-only: use a folder elsewhere\nmore 1\n",
		"epochal: results: mkdir m/results: read-only file system\nhint: its file system is read-only: use a folder elsewhere\nresults 1\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("found no %q in\n%s", want, text)
		}
	}
	sameRun(t, filepath.Join(folder, "r"), filepath.Join(folder, "alone"))
}
