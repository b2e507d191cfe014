package bench_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"epochal/experiments/bench"
)

// fakeChild is the variable with which this test binary is a child process, or
// a peer's Python. What it does depends on the first width of the cell.
const fakeChild = "EPOCHAL_BENCH_TEST_CHILD"

// What a child with that width does.
const (
	works = iota + 1
	fails
	panics
	dies
	hangs
	speaks
	isSilent
	digresses
	repeats
)

func TestMain(m *testing.M) {
	if os.Getenv(fakeChild) == "" {
		// Under the race detector every child would else wait a second at its end.
		os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
		os.Exit(m.Run())
	}
	switch {
	case len(os.Args) > 1 && strings.HasSuffix(os.Args[1], ".py"):
		fakePython(os.Args[1:])
	case len(os.Args) > 1 && os.Args[1] == "train":
		fakeTrain(os.Args[2:])
	default:
		behave()
	}
}

// asChild makes commands that run this binary as a child.
func asChild(ctx context.Context, arguments ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], arguments...)
	c.Env = append(os.Environ(), fakeChild+"=1")
	return c
}

func behave() {
	line, err := bufio.NewReader(os.Stdin).ReadBytes('\n')
	var task bench.Task
	if err := errors.Join(err, json.Unmarshal(line, &task)); err != nil {
		panic(err)
	}
	answer := bench.Answer{Measurement: bench.Measurement{
		Step: 1e-3, StepCount: 10, Epoch: 1, EpochSteps: 938, Evaluate: 0.5, EvaluatedImages: 70000, Products: 5e-4, Peak: 1e11,
	}}
	if task.Trajectory > 0 {
		answer.Trajectory = &bench.Trajectory{Losses: []float32{2.3, 2.2}, Correct: 100, Evaluated: 1000}
	}
	switch task.Cell.LayerSizes[0] {
	case fails:
		fmt.Fprintln(os.Stderr, "some log\nepochal: the device is on fire\nhint: water")
		os.Exit(1)
	case panics:
		fmt.Fprintln(os.Stderr, "panic: out of range\n\ngoroutine 1 [running]:\nmain.main()")
		os.Exit(2)
	case dies:
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute)
	case hangs:
		sleeper := exec.Command("sleep", "300")
		sleeper.Stdout = os.Stdout
		if err := sleeper.Start(); err != nil {
			panic(err)
		}
		pids := fmt.Sprintf("%d %d", os.Getpid(), sleeper.Process.Pid)
		file := filepath.Join(os.Getenv(fakeChild+"_PIDS"), "pids")
		os.WriteFile(file+".new", []byte(pids), 0o644)
		os.Rename(file+".new", file)
		time.Sleep(5 * time.Minute)
	case speaks:
		fmt.Println("WARNING: all is well")
		json.NewEncoder(os.Stdout).Encode(answer)
	case isSilent:
	case digresses:
		fmt.Println(`{"level": "info", "message": "all is well"}`)
	case repeats:
		json.NewEncoder(os.Stdout).Encode(answer)
		json.NewEncoder(os.Stdout).Encode(answer)
	default:
		json.NewEncoder(os.Stdout).Encode(answer)
	}
}

// fakeTrain is `epochal train`, which leaves a record of steps and epochs.
func fakeTrain(arguments []string) {
	epochs, folder := 0, ""
	for _, argument := range arguments {
		fmt.Sscanf(argument, "--epochs=%d", &epochs)
		fmt.Sscanf(argument, "--out=%s", &folder)
	}
	var metrics strings.Builder
	for epoch := range epochs {
		fmt.Fprintln(&metrics, `{"event":"step","epoch":1,"step":0,"samples":64,"loss":2.3}`)
		fmt.Fprintf(&metrics, `{"event":"epoch","epoch":%d,"train_seconds":%d,"eval_seconds":0.25}`+"\n", epoch+1, 100-99*min(epoch, 1))
	}
	file := filepath.Join(folder, "metrics.jsonl")
	if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(file, []byte(metrics.String()), 0o644)); err != nil {
		panic(err)
	}
}

// fakePython is a Python that has the packages of the variable.
func fakePython(arguments []string) {
	if _, err := os.Stat(arguments[0]); err != nil {
		panic(err)
	}
	if filepath.Base(arguments[0]) == "versions.py" {
		packages := map[string]any{}
		for _, name := range arguments[1:] {
			packages[name] = nil
			if strings.Contains(os.Getenv(fakeChild), name) {
				packages[name] = "1.0"
			}
		}
		json.NewEncoder(os.Stdout).Encode(map[string]any{"python": "3.99", "packages": packages})
		return
	}
	epochs := 0
	for _, argument := range arguments[1:] {
		fmt.Sscanf(argument, "--epochs=%d", &epochs)
		if folder, ok := strings.CutPrefix(argument, "--data="); ok {
			if files, err := filepath.Glob(filepath.Join(folder, "*.gz")); err != nil || len(files) != 4 {
				panic(fmt.Sprint(files, err))
			}
		}
		if argument == "--batch-size=13" {
			fmt.Fprintln(os.Stderr, "Traceback (most recent call last):\n  File \"x.py\"\nValueError: unlucky")
			os.Exit(1)
		}
		if argument == "--batch-size=14" {
			fmt.Println("Downloading...")
		}
	}
	for epoch := range epochs {
		fmt.Printf("{\"epoch\": %d, \"train_seconds\": %d, \"eval_seconds\": 3}\n", epoch, 50-10*min(epoch, 1))
	}
}
