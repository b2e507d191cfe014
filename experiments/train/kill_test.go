package train_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// childRun tells the test binary to be a process that trains: the JSON of a child.
const childRun = "EPOCHAL_TEST_CHILD_RUN"

// begun is what a child prints when the first epoch begins.
const begun = "begun"

// watched is the output of a child, and tells when it has begun.
type watched struct {
	buffer bytes.Buffer
	begun  func()
}

func (w *watched) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(begun)) && w.begun != nil {
		w.begun()
	}
	return w.buffer.Write(p)
}

func (w *watched) String() string { return w.buffer.String() }

// child is a run in a process of its own.
type child struct {
	Config experiments.Config
	Folder string
	Keep   string
}

// run begins the run, or goes on with it.
func (c child) run(ctx context.Context) error {
	o := train.Options{Folder: c.Folder, Now: fixedNow, CheckpointEvery: 1, Keep: c.Keep, Observer: func(e experiments.Event) {
		if _, ok := e.(experiments.RunStarted); ok {
			fmt.Println(begun)
		}
	}}
	_, err := os.Stat(filepath.Join(c.Folder, record.MetricsFile))
	o.Resume = err == nil
	_, err = train.Run(ctx, c.Config, o)
	return err
}

// command is the run in a process of its own.
func (c child) command(t testing.TB) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0], "-test.run=^TestChildRun$")
	// The race detector would sleep for a second at the end of the process.
	command.Env = append(os.Environ(), childRun+"="+string(text), "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	return command
}

// TestChildRun is no test: it is the process that others start and kill.
func TestChildRun(t *testing.T) {
	text := os.Getenv(childRun)
	if text == "" {
		t.Skip("only in a process that another test starts")
	}
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := c.run(ctx); errors.Is(err, context.Canceled) {
		os.Exit(130)
	} else if err != nil {
		t.Fatal(err)
	}
}

// fromEnvironment is the number that a variable holds, or the given one.
func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// killing kills runs of a process at random moments of its life, or of that part
// of it that comes after the first epoch has begun, goes on with each until it is
// over, and compares it with one that was left alone.
func killing(t *testing.T, c experiments.Config, kills int, afterBegin bool) {
	seed := fromEnvironment(t, "EPOCHAL_TEST_SEED", uint64(time.Now().UnixNano()))
	t.Logf("EPOCHAL_TEST_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	alone := child{Config: c, Folder: filepath.Join(t.TempDir(), "alone"), Keep: record.KeepBest}
	start := time.Now()
	out := &watched{}
	if afterBegin {
		out.begun = func() { start = time.Now() }
	}
	command := alone.command(t)
	command.Stdout, command.Stderr = out, out
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	life := time.Since(start)
	killed, terminated, rounds, between := 0, 0, 0, 0
	for killed < kills {
		if rounds++; rounds > 10*kills {
			t.Fatalf("found %d kills in %d runs, expected more", killed, rounds)
		}
		parent := t.TempDir()
		one := child{Config: c, Folder: filepath.Join(parent, "killed"), Keep: record.KeepBest}
		for ended := false; !ended; {
			command := one.command(t)
			out := &watched{}
			command.Stdout, command.Stderr = out, out
			arm := func() {}
			if killed < kills { // the last one may live
				// One in five saves and ends, so that runs are killed that went on in
				// the middle of an epoch.
				sent := syscall.SIGKILL
				if random.IntN(5) == 0 {
					sent = syscall.SIGTERM
				}
				delay := time.Duration(random.Int64N(int64(life * 2 / 3)))
				arm = func() { time.AfterFunc(delay, func() { command.Process.Signal(sent) }) }
			}
			if afterBegin {
				out.begun, arm = arm, func() {}
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			arm()
			err := command.Wait() // signals that come later reach nobody
			var exit *exec.ExitError
			switch {
			case err == nil:
				ended = true
			case errors.As(err, &exit) && exit.ExitCode() == 130,
				errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM: // before it listened
				terminated++
			case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
				if killed++; inRun(one.Folder) {
					between++
				}
			default:
				t.Fatalf("after %d kills in %d rounds: %v\n%s", killed, rounds, err, out.String())
			}
		}
		sameFiles(t, one.Folder, alone.Folder, filepath.Join(record.CheckpointsFolder, record.BestFile))
		checkClean(t, one.Folder)
		os.RemoveAll(parent)
		if t.Failed() {
			t.Fatalf("after %d kills, in round %d", killed, rounds)
		}
	}
	t.Logf("%d kills, %d of them in a run, and %d SIGTERM in %d runs of %v each",
		killed, between, terminated, rounds, life.Round(time.Millisecond))
	if between < kills/3 {
		t.Errorf("found %d of %d kills between the beginning and the end of a run, expected at least a third", between, killed)
	}
}

// inRun tells whether a process had made the run folder and not yet finished it.
func inRun(folder string) bool {
	_, begun := os.Stat(filepath.Join(folder, record.MetricsFile))
	_, ended := os.Stat(filepath.Join(folder, record.WeightsFile))
	return begun == nil && ended != nil
}

// checkClean expects nothing in a finished run folder that does not belong there.
func checkClean(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 7 {
		t.Errorf("found %v (%v), expected five files, the lock and the checkpoints", entries, err)
	}
	entries, err = os.ReadDir(filepath.Join(folder, record.CheckpointsFolder))
	if err != nil || len(entries) != 2 {
		t.Errorf("found %v (%v), expected the last checkpoint and the best", entries, err)
	}
	if _, err := record.Read(folder); err != nil {
		t.Error(err)
	}
}

// killable is a run whose phases are all short.
func killable(t *testing.T, backend string) experiments.Config {
	c := small(t, backend)
	c.Epochs, c.Validation, c.BatchSize = 16, 50, 32
	return c
}

// kills is how often a run is killed. EPOCHAL_TEST_KILLS sets it, EPOCHAL_TEST_SEED
// sets when.
func kills(t *testing.T) int {
	if long {
		return int(fromEnvironment(t, "EPOCHAL_TEST_KILLS", 50))
	}
	return int(fromEnvironment(t, "EPOCHAL_TEST_KILLS", 8))
}

// However often a run is killed, it ends as one that was left alone.
func TestKilledRunEndsAsIfNothingHadHappened(t *testing.T) {
	killing(t, killable(t, backend.Go), kills(t), false)
}

func TestKilledRunOnXLA(t *testing.T) {
	backendtest.XLA(t)
	c := killable(t, backend.XLACPU)
	c.StepsPerCall = 5
	killing(t, c, max(1, kills(t)/10), true)
}
