package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"epochal/experiments/record"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Whether loops work as CUDA graphs is tried in a process of its own: a device on which they
// crash or compute something else trains without them.
func TestLoopsAreTried(t *testing.T) {
	const graphs = "--xla_gpu_enable_command_buffer=+WHILE"
	g := backendtest.CUDA(t, "NVIDIA H100 80GB HBM3")
	g.Here(t)
	g.Pin(t)
	t.Setenv("XLA_FLAGS", "")
	folder := dataFolder(t)
	train := func(out, backend string) (string, record.Environment) {
		t.Helper()
		p := start(t, folder, program(t), "train", "--data", "d", "--layer-sizes", "8", "--epochs", "2", "--backend", backend, "--out", out)
		if code := p.code(t); code != 0 {
			t.Fatalf("found exit code %d: %s", code, p.stderr.String())
		}
		var environment record.Environment
		text, err := os.ReadFile(filepath.Join(folder, out, record.EnvironmentFile))
		if err == nil {
			err = json.Unmarshal(text, &environment)
		}
		if err != nil {
			t.Fatal(err)
		}
		return p.stderr.String(), environment
	}
	for _, c := range []struct{ device, loops string }{
		{"", backend.LoopsOnGPU},
		{"abort", "on the host: exit status 2: SIGABRT: abort"},
		{"wrong", "on the host: exit status 1: epochal: loss number 0: found "},
	} {
		t.Setenv("FAKE_WHILE", c.device)
		os.Remove(g.Plugin + ".loops.json")
		first, environment := train(c.device+"-first", backend.XLACUDA)
		again, _ := train(c.device+"-again", backend.XLACUDA)
		info, well := environment.Backend, c.device == ""
		if !strings.HasPrefix(info.Loops, c.loops) || strings.Contains(info.XLAFlags, graphs) != well || info.Nondeterministic {
			t.Errorf("FAKE_WHILE=%s: found %+v, expected loops %q", c.device, info, c.loops)
		}
		if warned := strings.Contains(first, "a trial on the GPU failed"); warned == well || strings.Contains(again, "trial") {
			t.Errorf("FAKE_WHILE=%s: found %q, and then %q", c.device, first, again)
		}
	}
	// Whatever the device, the numbers are the processor's.
	train("cpu", backend.XLACPU)
	for _, out := range []string{"-first", "abort-again", "wrong-again"} {
		sameLosses(t, filepath.Join(folder, out), filepath.Join(folder, "cpu"))
	}
}

// A trial that hangs can be interrupted, and then there is no outcome to remember.
func TestTrialIsInterrupted(t *testing.T) {
	g := backendtest.CUDA(t, "NVIDIA H100 80GB HBM3")
	g.Here(t)
	g.Pin(t)
	t.Setenv("FAKE_WHILE", "hang")
	p := start(t, dataFolder(t), program(t), "train", "--data", "d", "--layer-sizes", "8", "--backend", backend.XLACUDA, "--out", "out")
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if log, _ := os.ReadFile(g.Log); strings.Contains(string(log), "+WHILE") {
			break
		} else if time.Now().After(end) {
			t.Fatalf("found no trial in a minute, printed %s", p.stderr.String())
		}
	}
	p.Process.Signal(os.Interrupt)
	if code := p.code(t); code != exitInterrupted {
		t.Errorf("found exit code %d, expected %d, printed %s", code, exitInterrupted, p.stderr.String())
	}
	if _, err := os.Stat(g.Plugin + ".loops.json"); err == nil {
		t.Error("found an outcome of the trial, expected none")
	}
}

// sameLosses expects the losses and the accuracies of another run to a rounding.
func sameLosses(t *testing.T, folder, expected string) {
	t.Helper()
	read := func(folder string) (lines []struct {
		Train    float64 `json:"train_loss"`
		Test     float64 `json:"test_loss"`
		Accuracy float64 `json:"test_accuracy"`
	}) {
		text, err := os.ReadFile(filepath.Join(folder, record.MetricsFile))
		if err == nil {
			err = json.Unmarshal([]byte("["+strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ",")+"]"), &lines)
		}
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if diff := cmp.Diff(read(expected), read(folder), cmpopts.EquateApprox(1e-5, 0)); diff != "" {
		t.Errorf("%s (-expected +found):\n%s", filepath.Base(folder), diff)
	}
}
