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

// watched is the output of a child, and says when it has begun.
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

// child is a run in a process of its own.
type child struct {
	Config experiments.Config
	Folder string
	Keep   string
}

// run begins the run, or continues it.
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

// live runs c in a process of its own, and returns how it ended and what it printed.
// doom is given the process when it starts, or with afterBegin when the first epoch
// begins.
func (c child) live(t *testing.T, afterBegin bool, doom func(*os.Process)) (*os.ProcessState, string) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0], "-test.run=^TestChildRun$")
	// The race detector would sleep for a second at the end of the process.
	command.Env = append(os.Environ(), childRun+"="+string(text), "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	out := &watched{}
	if afterBegin {
		out.begun = func() { doom(command.Process) }
	}
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if !afterBegin {
		doom(command.Process)
	}
	command.Wait() // its state says how it ended
	return command.ProcessState, out.buffer.String()
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

// killing kills runs of a process at random moments of its life, or of that part
// of it that comes after the first epoch has begun, continues each until it is
// over, and compares it with one that was left alone.
func killing(t *testing.T, c experiments.Config, kills int, afterBegin bool) {
	seed := uint64(time.Now().UnixNano())
	fmt.Sscan(os.Getenv("EPOCHAL_TEST_SEED"), &seed)
	t.Logf("EPOCHAL_TEST_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	alone := child{Config: c, Folder: filepath.Join(t.TempDir(), "alone"), Keep: record.KeepBest}
	var start time.Time
	if state, out := alone.live(t, afterBegin, func(*os.Process) { start = time.Now() }); !state.Success() {
		t.Fatalf("%v\n%s", state, out)
	}
	life := time.Since(start)
	killed, terminated, rounds, between := 0, 0, 0, 0
	doom := func(process *os.Process) {
		if killed == kills {
			return // the last one may live
		}
		// One in five saves and ends, so that runs are killed that continued in the
		// middle of an epoch.
		sent := syscall.SIGKILL
		if random.IntN(5) == 0 {
			sent = syscall.SIGTERM
		}
		delay := time.Duration(random.Int64N(int64(life * 2 / 3)))
		time.AfterFunc(delay, func() { process.Signal(sent) }) // one that comes later reaches nobody
	}
	for killed < kills {
		if rounds++; rounds > 10*kills {
			t.Fatalf("found %d kills in %d runs, expected more", killed, rounds)
		}
		parent := t.TempDir()
		one := child{Config: c, Folder: filepath.Join(parent, "killed"), Keep: record.KeepBest}
		for ended := false; !ended; {
			state, out := one.live(t, afterBegin, doom)
			switch signal := state.Sys().(syscall.WaitStatus).Signal(); {
			case state.Success():
				ended = true
			case state.ExitCode() == 130, signal == syscall.SIGTERM: // before it listened
				terminated++
			case signal == syscall.SIGKILL:
				if killed++; inRun(one.Folder) {
					between++
				}
			default:
				t.Fatalf("after %d kills in %d rounds: %v\n%s", killed, rounds, state, out)
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

// inRun reports whether a process had made the run folder and not yet finished it.
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
func kills() int {
	count := 8
	if long {
		count = 50
	}
	fmt.Sscan(os.Getenv("EPOCHAL_TEST_KILLS"), &count)
	return count
}

// However often a run is killed, it ends as one that was left alone.
func TestKilledRunEndsAsIfNothingHadHappened(t *testing.T) {
	killing(t, killable(t, backend.Go), kills(), false)
}

func TestKilledRunOnXLA(t *testing.T) {
	backendtest.XLA(t)
	c := killable(t, backend.XLACPU)
	c.StepsPerCall = 5
	killing(t, c, max(1, kills()/10), true)
}
