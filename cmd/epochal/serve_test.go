package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var drawOn = regexp.MustCompile(`draw on (http://127\.0\.0\.1:[0-9]+)/ `)

// serving starts a server, and returns it with its address once that is known.
func serving(t *testing.T, folder string, args ...string) (*process, string) {
	t.Helper()
	p := prepare(t, folder, append([]string{program(t), "serve", "--address", "127.0.0.1:0"}, args...)...)
	address := make(chan string, 1)
	p.stdout.each = func(line []byte) {
		if found := drawOn.FindSubmatch(line); found != nil {
			address <- string(found[1])
		}
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p, <-address
}

// Without a model a small network is trained, and the page says how far it is and then
// answers; Ctrl-C ends the server as it should end. The run can be served again.
func TestServeTrainsFirst(t *testing.T) {
	folder := dataFolder(t)
	first, address := serving(t, folder, "--data", "d", "--backend", "go")
	state := func(address string) string {
		response, err := http.Get(address + "/state")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var text bytes.Buffer
		text.ReadFrom(response.Body)
		return text.String()
	}
	waitFor(t, func() bool { return !strings.Contains(state(address), `"network":null`) })
	found := state(address)
	if !strings.Contains(found, `"epochs":3,"steps":45,"done":45,`) || !strings.Contains(found, `"layers":"layers 12, 128, 3"`) {
		t.Errorf("found the state %s", found)
	}
	runs, _ := filepath.Glob(filepath.Join(folder, "runs", "*", "model.safetensors"))
	if len(runs) != 1 {
		t.Fatalf("found the runs %v, expected one", runs)
	}

	// The same port again is refused, with what helps.
	second := start(t, folder, program(t), "serve", runs[0], "--address", strings.TrimPrefix(address, "http://"))
	want := "epochal: --address: " + strings.TrimPrefix(address, "http://") + ": another program uses it, expected a free port\n" +
		"hint: --address 127.0.0.1:0 takes a port that is free\n"
	if code := second.code(t); code != 1 || second.stderr.String() != want {
		t.Errorf("found exit code %d and %q, expected 1 and %q", code, second.stderr.String(), want)
	}

	// So is a folder that cannot be made.
	saving := start(t, folder, program(t), "serve", runs[0], "--save", runs[0])
	want = "epochal: --save: " + runs[0] + ": found a file, expected a folder\n"
	if code := saving.code(t); code != 1 || saving.stderr.String() != want {
		t.Errorf("found exit code %d and %q, expected 1 and %q", code, saving.stderr.String(), want)
	}

	third, address := serving(t, folder, filepath.Dir(runs[0]), "--save", "mine")
	pixels := bytes.Repeat([]byte{0}, 100)
	copy(pixels[33:], []byte{255, 255, 255})
	response, err := http.Post(address+"/save?label=2&width=10&height=10", "", bytes.NewReader(pixels))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	for _, p := range []*process{first, third} {
		p.Process.Signal(syscall.SIGINT)
		if code := p.code(t); code != 0 {
			t.Errorf("found exit code %d after Ctrl-C, expected 0\n%s", code, p.stderr.String())
		}
	}
	// What was saved can be trained on.
	train := exec.Command(program(t), "train", "--data", "mine", "--backend", "go", "--layer-sizes", "2", "--epochs", "1", "--out", "r")
	train.Dir = folder
	if text, err := train.CombinedOutput(); err != nil {
		t.Errorf("found the error %v\n%s", err, text)
	}
}

// Ctrl-C during the training says how to go on with it.
func TestServeInterruptedInTraining(t *testing.T) {
	folder := dataFolder(t)
	if err := makeDataset(filepath.Join(folder, "large"), 60_000, 90); err != nil {
		t.Fatal(err)
	}
	p, _ := serving(t, folder, "--data", "large", "--backend", "go")
	waitFor(t, func() bool {
		runs, _ := filepath.Glob(filepath.Join(folder, "runs", "*", "metrics.jsonl"))
		return len(runs) > 0
	})
	p.Process.Signal(os.Interrupt)
	if code := p.code(t); code != 130 || !strings.Contains(p.nextCommand(t), "train --resume runs/") {
		t.Errorf("found exit code %d and %q, expected 130 and a command to continue with", code, p.stderr.String())
	}
}
