package train_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/train"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// rounds is count where the tests may take their time, else a tenth of it.
func rounds(count int) int {
	if !long {
		count /= 10
	}
	if raceDetector {
		count /= 5
	}
	return max(10, count)
}

// mostMore is what 800 epochs, or 160 runs, may hold more than those before them.
// One order or one set of parameters kept each time is more: it was tried.
var mostMore = map[string]int64{
	"open files": 0,
	"goroutines": 2, // some may be about to end
	"threads":    4, // Go keeps those that it once needed
	"heap":       256 << 10,
	resident:     4 << 20,
}

const resident = "resident memory"

// used is what the process holds, memory in bytes and once collected; 0 of what the
// system does not say.
func used() map[string]int64 {
	debug.FreeOSMemory()
	debug.FreeOSMemory() // what the first one finalized
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	files, _ := os.ReadDir("/proc/self/fd")
	threads, _ := os.ReadDir("/proc/self/task")
	text, _ := os.ReadFile("/proc/self/statm")
	var virtual, pages int64
	fmt.Sscan(string(text), &virtual, &pages)
	return map[string]int64{
		"open files": int64(len(files)), "goroutines": int64(runtime.NumGoroutine()), "threads": int64(len(threads)),
		"heap": int64(stats.HeapAlloc), resident: pages * int64(os.Getpagesize()),
	}
}

// usage compares what the process holds after one round and after a later one.
type usage struct {
	from, to     int // rounds
	first, last  map[string]int64
	fewest, most int64 // buffers on devices between the two
}

// observe is called after every round.
func (u *usage) observe(round int) {
	if round < u.from || round > u.to {
		return
	}
	buffers := backendtest.DeviceBuffers()
	if round == u.from {
		u.fewest, u.first = buffers, used()
	}
	u.fewest, u.most = min(u.fewest, buffers), max(u.most, buffers)
	if round == u.to {
		u.last = used()
	}
}

// check reports what grew. Resident memory counts from the round on in which C
// libraries have what they keep for later.
func (u *usage) check(t *testing.T, withResident bool) {
	t.Helper()
	if u.last == nil {
		t.Fatal("found no measurement of the last round")
	}
	if u.fewest != u.most {
		t.Errorf("buffers on the device: found %d to %d, expected as many after any round", u.fewest, u.most)
	}
	for name, most := range mostMore {
		if name == resident && (!withResident || !long || raceDetector) {
			continue
		}
		if grown := u.last[name] - u.first[name]; grown > most {
			t.Errorf("%s: found %d after round %d and %d more after round %d, expected at most %d more",
				name, u.first[name], u.from, grown, u.to, most)
		}
	}
	t.Logf("rounds %d to %d: %d buffers, from %v to %v", u.from, u.to, u.most, u.first, u.last)
}

// settled waits for goroutines that are about to end.
func settled(t *testing.T, expected int) {
	t.Helper()
	for range 200 {
		if runtime.NumGoroutine() <= expected {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("found %d goroutines, expected %d:\n%s", runtime.NumGoroutine(), expected, stacks[:runtime.Stack(stacks, true)])
}

func TestAThousandEpochsHoldTheirMemory(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, name string) {
		c := small(t, name)
		c.Epochs, c.BatchSize = rounds(1000), 64
		if name == backend.XLACPU {
			// An order and a set of parameters are of 8 kB each, so that 800 of either show.
			c.LayerSizes, c.BatchSize = []int{128}, 200
			const images = 2000
			labels := make([]byte, images)
			labels[1], labels[2] = 1, 2
			writeIDX(t, filepath.Join(c.Data, "train-images-idx3-ubyte.gz"), 0x803, []int{images, 3, 4}, make([]byte, images*12))
			writeIDX(t, filepath.Join(c.Data, "train-labels-idx1-ubyte"), 0x801, []int{images}, labels)
		}
		before := runtime.NumGoroutine()
		memory := usage{from: c.Epochs / 5, to: c.Epochs - 1} // the last one has no order of a next one beside it
		// Not by mustTrain, which keeps every event.
		_, err := train.Run(context.Background(), c, train.Options{
			Folder: filepath.Join(t.TempDir(), "run"),
			Observer: func(e experiments.Event) {
				if e, ok := e.(experiments.EpochDone); ok {
					memory.observe(e.Metrics.Epoch)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		memory.check(t, true)
		settled(t, before)
	})
}

// Runs of every kind and end on one device.
func TestTwoHundredRunsOnADeviceHoldTheirMemory(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, name string) {
		before := runtime.NumGoroutine()
		device, _, err := train.OpenDevice(context.Background(), name, train.DeviceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		plain := small(t, name)
		plain.Epochs, plain.BatchSize = 1, 64
		normalized, split, wild := plain, plain, plain
		normalized.Normalize = true
		split.Validation = 70
		wild.LearningRate, wild.Epochs = 1e20, 5
		kinds := []experiments.Config{plain, normalized, split, wild, plain}
		turns := rounds(200) / len(kinds) // in which each kind has its run
		memory := usage{from: max(2, turns/5), to: turns}
		for i := 1; i <= turns*len(kinds); i++ {
			c := kinds[i%len(kinds)]
			c.Seed = uint64(i)
			ctx, cancel := context.WithCancel(context.Background())
			o := train.Options{Device: device}
			if i%10 == 0 {
				o.Folder = filepath.Join(t.TempDir(), strconv.Itoa(i))
				o.Observer = func(e experiments.Event) {
					if _, ok := e.(experiments.StepsDone); ok {
						cancel()
					}
				}
			}
			_, err := train.Run(ctx, c, o)
			cancel()
			if err != nil && !errors.As(err, new(experiments.Diverged)) && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			// The images that are resident take turns: compared are runs of one kind.
			if i%len(kinds) == 0 {
				memory.observe(i / len(kinds))
			}
		}
		memory.check(t, true)
		device.Close()
		settled(t, before)
		if left := backendtest.DeviceBuffers(); left != 0 {
			t.Errorf("found %d buffers on a device that is closed", left)
		}
	})
}

// Runs that each open the backend and close it. XLA's compiler and its client go
// with the run, but the C library keeps memory for later: of 200 runs the first 20
// left 40 to 90 MB, the last 80 less than 20 kB a run. So of the few runs that there
// are on XLA, where each costs a quarter of a second, resident memory shows nothing;
// a device that is not closed leaves its buffers and its threads as well.
func TestRunsWithDevicesOfTheirOwnHoldTheirMemory(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, name string) {
		c := small(t, name)
		c.Epochs, c.BatchSize = 1, 64
		runs := rounds(200)
		if name == backend.XLACPU {
			runs = 10
		}
		before := runtime.NumGoroutine()
		memory := usage{from: runs / 5, to: runs}
		for i := 1; i <= runs; i++ {
			mustTrain(t, c, train.Options{Now: time.Now})
			memory.observe(i)
		}
		memory.check(t, name != backend.XLACPU)
		settled(t, before)
	})
}
