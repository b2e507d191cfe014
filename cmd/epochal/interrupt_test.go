package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is the path of this binary as epochal.
func program(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("epochal") // testscript's link to this binary
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// process is a command of this binary that a test sends signals to.
type process struct {
	*exec.Cmd
	stdout, stderr output
}

// output keeps what a process prints, and shows each line to whoever wants to
// know. Lines come whole: the program prints them so.
type output struct {
	buffer bytes.Buffer
	each   func(line []byte)
}

func (o *output) String() string { return o.buffer.String() }

func (o *output) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if o.each != nil {
			o.each(line)
		}
	}
	return o.buffer.Write(p)
}

// prepare makes a command in a folder.
func prepare(t *testing.T, folder string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(args[0], args[1:]...)}
	p.Dir, p.Stdout, p.Stderr = folder, &p.stdout, &p.stderr
	// The race detector would sleep for a second at the end of the process.
	p.Env = append(os.Environ(), "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	t.Cleanup(func() {
		if p.Process != nil {
			p.Process.Kill()
		}
	})
	return p
}

// start starts a command in a folder.
func start(t *testing.T, folder string, args ...string) *process {
	t.Helper()
	p := prepare(t, folder, args...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// code waits for the end and returns the exit code, -1 for a signal.
func (p *process) code(t *testing.T) int {
	t.Helper()
	var exit *exec.ExitError
	if err := p.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

var goOn = regexp.MustCompile(`(?m)^hint: (?:.*, then )?continue with: (.*)$`)

// nextCommand is the command that a process printed.
func (p *process) nextCommand(t *testing.T) string {
	t.Helper()
	found := goOn.FindStringSubmatch(p.stderr.String())
	if found == nil {
		t.Fatalf("found no command to continue with in %q", p.stderr.String())
	}
	return found[1]
}

var seconds = regexp.MustCompile(`"(train|eval)_seconds":[0-9.e+-]+`)

// sameRun compares two run folders, measured seconds left out.
func sameRun(t *testing.T, found, expected string) {
	t.Helper()
	for _, name := range []string{"model.safetensors", "evaluation.json", "metrics.jsonl"} {
		a, err := os.ReadFile(filepath.Join(found, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(expected, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(seconds.ReplaceAll(a, nil), seconds.ReplaceAll(b, nil)) {
			t.Errorf("%s: found other bytes than in an uninterrupted run", name)
		}
	}
}

// trainArguments are a run of a second or so on pure Go.
func trainArguments(out string) []string {
	return []string{"train", "--data", "d", "--backend", "go", "--layer-sizes", "32", "--batch-size", "4",
		"--epochs", "10", "--learning-rate", "0.05", "--out", out}
}

// A run that is interrupted again and again, and continues each time with the
// command that it printed, ends as one that was left alone.
func TestInterruptedTrainGoesOnAsPrinted(t *testing.T) {
	folder := dataFolder(t)
	alone := start(t, folder, append([]string{program(t)}, trainArguments("alone")...)...)
	if code := alone.code(t); code != 0 {
		t.Fatalf("found exit code %d\n%s", code, alone.stderr.String())
	}

	out := "it's a 'run' $HOME" // the printed command must be quoted
	args := append([]string{program(t)}, trainArguments(out)...)
	interrupted, inEpoch := 0, 0
	for {
		// After a few losses, each time other ones.
		sent := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[interrupted%2]
		lines := 1 + interrupted%3
		p := prepare(t, folder, args...)
		p.stdout.each = func(line []byte) {
			if bytes.HasPrefix(line, []byte("loss: ")) {
				if lines--; lines == 0 && interrupted < 5 {
					p.Process.Signal(sent)
				}
			}
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		code := p.code(t)
		if code == 0 {
			break
		}
		interrupted++
		if code != 130 || !strings.Contains(p.stderr.String(), "\nepochal: interrupted; ") {
			t.Fatalf("found exit code %d, expected 130\n%s", code, p.stderr.String())
		}
		if !strings.Contains(p.stderr.String(), "saved up to step 0 of ") {
			inEpoch++
		}
		args = []string{"sh", "-c", "exec " + p.nextCommand(t)}
	}
	if interrupted < 2 || inEpoch < 1 {
		t.Errorf("found %d interruptions, %d in the middle of an epoch, expected two and one at least", interrupted, inEpoch)
	}
	sameRun(t, filepath.Join(folder, out), filepath.Join(folder, "alone"))
}

// Ctrl-C ends a benchmark immediately, with what was measured so far.
func TestInterruptedBenchExits130(t *testing.T) {
	folder := t.TempDir()
	p := prepare(t, folder, program(t), "bench", "--backend", "go", "--layer-sizes", "8",
		"--seconds", "3600", "--timeout", "1h", "--json", "results.json")
	p.stderr.each = func(line []byte) {
		if bytes.HasPrefix(line, []byte("epochal: measuring; cells: 1")) {
			p.Process.Signal(os.Interrupt)
		}
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 130 || !strings.HasSuffix(p.stderr.String(), "\nepochal: interrupted\n") || p.stdout.String() == "" {
		t.Errorf("found exit code %d, %q on standard output and %q, expected 130, results and a word of the interruption",
			code, p.stdout.String(), p.stderr.String())
	}
	if content, err := os.ReadFile(filepath.Join(folder, "results.json")); err != nil || !strings.Contains(string(content), `"cells"`) {
		t.Errorf("found the results %q (%v)", content, err)
	}
}

// The second signal ends the run immediately, and what was saved before stays.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	folder := dataFolder(t)
	for _, sent := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		out := sent.String()
		args := append([]string{program(t)}, trainArguments(out)...)
		p := start(t, folder, append(args, "--epochs", "1000000")...)
		waitFor(t, func() bool { return checkpoints(filepath.Join(folder, out)) != "" })
		// Stopped, the process has both before it can do anything between them.
		p.Process.Signal(syscall.SIGSTOP)
		p.Process.Signal(sent)
		p.Process.Signal(syscall.SIGCONT)
		for range 100 {
			p.Process.Signal(sent)
			time.Sleep(100 * time.Microsecond)
		}
		code := p.code(t)
		status := p.ProcessState.Sys().(syscall.WaitStatus)
		if code != 130 && !(status.Signaled() && status.Signal() == sent) {
			t.Errorf("%v: found %v, expected to be ended by the signal, or to have been faster", sent, p.ProcessState)
		}
		before := checkpoints(filepath.Join(folder, out))
		resumed := start(t, folder, program(t), "train", "--resume", out, "--epochs", "100000")
		waitFor(t, func() bool { return checkpoints(filepath.Join(folder, out)) != before })
		resumed.Process.Signal(syscall.SIGINT)
		resumed.code(t)
		if !strings.Contains(resumed.stderr.String(), "continuing "+out) {
			t.Errorf("found standard error %q", resumed.stderr.String())
		}
	}
}

// waitFor waits until something is so.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for range 60_000 {
		if so() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("waited for a minute in vain")
}

// A second process is told who has the folder.
func TestFolderInUseNamesItsHolder(t *testing.T) {
	folder := dataFolder(t)
	holder := start(t, folder, append(append([]string{program(t)}, trainArguments("r")...), "--epochs", "1000000")...)
	waitFor(t, func() bool {
		_, err := os.Stat(filepath.Join(folder, "r", "metrics.jsonl"))
		return err == nil
	})
	for _, args := range [][]string{trainArguments("r"), {"train", "--resume", "r"}} {
		second := start(t, folder, append([]string{program(t)}, args...)...)
		code := second.code(t)
		want := regexp.MustCompile(`epochal: (out|resume): r: process ` + strconv.Itoa(holder.Process.Pid) + ` on \S+ has been using ` +
			`the folder since [-0-9: ]+\nhint: wait until it ends, stop it, or choose another folder\n$`)
		if code != 1 || !want.MatchString(second.stderr.String()) {
			t.Errorf("%v: found exit code %d and %q, expected 1 and %v", args, code, second.stderr.String(), want)
		}
	}
	// A holder that is killed blocks nobody.
	holder.Process.Kill()
	holder.Wait()
	third := start(t, folder, program(t), "train", "--resume", "r", "--epochs", "1000000")
	waitFor(t, func() bool {
		text, _ := os.ReadFile(filepath.Join(folder, "r", ".lock"))
		return bytes.Contains(text, []byte(strconv.Itoa(third.Process.Pid)))
	})
	third.Process.Signal(os.Interrupt)
	third.code(t)
}

// An interrupted reproduction continues as printed, with the runs that were under way.
func TestInterruptedReproductionGoesOnAsPrinted(t *testing.T) {
	folder := dataFolder(t)
	if err := os.WriteFile(filepath.Join(folder, "mine.yaml"), []byte(`name: mine
title: One of my own
why: It learns three classes.
settings: {data: d, layer_sizes: [16], epochs: 8, batch_size: 8, learning_rate: 0.05}
claims:
  - final_test_accuracy: {value: 0.995, tolerance: 0.005}
    source: I say so
`), 0o644); err != nil {
		t.Fatal(err)
	}
	reproduce := []string{program(t), "reproduce", "mine", "--experiment", "mine.yaml", "--seeds", "2", "--backend", "go"}
	if alone := start(t, folder, append(reproduce, "--out", "alone")...); alone.code(t) != 0 {
		t.Fatal(alone.stderr.String())
	}
	p := start(t, folder, append(reproduce, "--out", "one by one")...)
	waitFor(t, func() bool { // until a run has three epochs
		found, _ := filepath.Glob(filepath.Join(folder, "one by one", "runs", ".partial-*", "checkpoints", "epoch-0000[4-9]*"))
		return len(found) > 0
	})
	p.Process.Signal(os.Interrupt)
	if code := p.code(t); code != 130 || !strings.Contains(p.stderr.String(), "\nepochal: interrupted; the runs are saved, ") {
		t.Fatalf("found exit code %d, expected 130 and what is saved\n%s", code, p.stderr.String())
	}
	if next := start(t, folder, "sh", "-c", "exec "+p.nextCommand(t)); next.code(t) != 0 {
		t.Fatal(next.stderr.String())
	}
	runs, _ := filepath.Glob(filepath.Join(folder, "alone", "runs", "*"))
	resumed := 0
	for _, run := range runs {
		other := filepath.Join(folder, "one by one", "runs", filepath.Base(run))
		sameRun(t, other, run)
		environment, err := os.ReadFile(filepath.Join(other, "environment.json"))
		if err != nil {
			t.Fatal(err)
		}
		resumed += bytes.Count(environment, []byte(`"resumed"`))
		if entries, err := os.ReadDir(other); err != nil || len(entries) != 6 {
			t.Errorf("found %v in a run of the store (%v), expected five files and the lock", entries, err)
		}
	}
	if len(runs) != 2 || resumed == 0 {
		t.Errorf("found %d runs, %d of them resumed, expected 2 and at least one", len(runs), resumed)
	}
}
