package bench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"epochal/experiments/bench"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// withFakes are options whose cells are the behaviours given.
func withFakes(behaviours ...int) bench.Options {
	o := bench.Defaults()
	o.Backends, o.LayerSizes, o.StepsPerCall = []string{backend.Go}, nil, []bench.StepsPerCall{1}
	for _, behaviour := range behaviours {
		o.LayerSizes = append(o.LayerSizes, []int{behaviour})
	}
	o.Rounds, o.Timeout, o.Command = 2, time.Minute, asChild
	o.Machine = fstest.MapFS{}
	return o
}

// A child that does not do its work is a row with the reason, is not asked
// again, and leaves the others alone.
func TestChildrenThatFail(t *testing.T) {
	cases := []struct {
		behaviour int
		reason    string
	}{
		{works, ""},
		{fails, "the device is on fire"},
		{panics, "exit status 2: panic: out of range"},
		{dies, "killed by a signal: killed"},
		{speaks, `returned "WARNING: all is well\n`},
		{isSilent, "returned nothing"},
		{digresses, `unknown field "level"`},
		{repeats, "returned more than one JSON value"},
		{works + 100, ""},
	}
	var behaviours []int
	for _, c := range cases {
		behaviours = append(behaviours, c.behaviour)
	}
	o := withFakes(behaviours...)
	var failed []string
	o.Observer = func(event bench.Event) {
		if e, ok := event.(bench.Failed); ok {
			failed = append(failed, e.What)
		}
	}
	results, err := bench.Run(context.Background(), o)
	var incomplete bench.Incomplete
	if !errors.As(err, &incomplete) || len(incomplete.What) != len(cases)-2 {
		t.Errorf("found the error %v, expected one that lists %d cells", err, len(cases)-2)
	}
	if len(failed) != len(cases)-2 {
		t.Errorf("the observer was told of %d failures, expected %d", len(failed), len(cases)-2)
	}
	for i, c := range cases {
		cell := results.Cells[i]
		rounds := 0
		if c.reason == "" {
			rounds = 2
		}
		if len(cell.Rounds) != rounds || (cell.Trajectory != nil) != (rounds > 0) {
			t.Errorf("behaviour %d: found %d rounds and the trajectory %v, expected %d rounds",
				c.behaviour, len(cell.Rounds), cell.Trajectory, rounds)
		}
		if !strings.Contains(cell.Failure, c.reason) || (cell.Failure == "") != (c.reason == "") {
			t.Errorf("behaviour %d: found the failure %q, expected %q in it", c.behaviour, cell.Failure, c.reason)
		}
	}
}

// dead waits until processes are gone; what nobody waited for yet counts as gone.
func dead(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(content)) {
		alive := true
		for deadline := time.Now().Add(20 * time.Second); alive && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			status, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
			alive = err == nil && !strings.Contains(string(status), ") Z ")
		}
		if alive {
			t.Errorf("process %s is still there", pid)
		}
	}
}

// A child that hangs is killed with all that it started.
func TestAHangingChildIsKilled(t *testing.T) {
	folder := t.TempDir()
	t.Setenv(fakeChild+"_PIDS", folder)
	o := withFakes(hangs, works)
	o.Timeout, o.Rounds = 2*time.Second, 1
	results, err := bench.Run(context.Background(), o)
	if !errors.As(err, new(bench.Incomplete)) {
		t.Errorf("found the error %v", err)
	}
	if found := results.Cells[0].Failure; found != "took longer than 2s and was killed" {
		t.Errorf("found the failure %q", found)
	}
	if len(results.Cells[1].Rounds) != 1 {
		t.Errorf("the other cell: found %d rounds, expected 1", len(results.Cells[1].Rounds))
	}
	dead(t, filepath.Join(folder, "pids"))
}

// Ctrl-C ends the child and keeps what was measured.
func TestInterrupted(t *testing.T) {
	folder := t.TempDir()
	t.Setenv(fakeChild+"_PIDS", folder)
	o := withFakes(works, hangs)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(folder, "pids")); err == nil {
				cancel()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	results, err := bench.Run(ctx, o)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("found the error %v, expected %v", err, context.Canceled)
	}
	if len(results.Cells) != 2 || len(results.Cells[0].Rounds) != 1 || len(results.Cells[1].Rounds) != 0 || results.Cells[1].Failure != "" {
		t.Errorf("found %+v, expected one round of the first cell", results.Cells)
	}
	dead(t, filepath.Join(folder, "pids"))
}

// Cells take turns, and every second round goes the other way.
func TestRoundsInterleave(t *testing.T) {
	o := withFakes(works, 20, 30)
	o.Rounds = 3
	var order []int
	var last bench.Measuring
	o.Observer = func(event bench.Event) {
		if e, ok := event.(bench.Measuring); ok {
			var width int
			fmt.Sscanf(e.What, "go %d batch", &width)
			order = append(order, width)
			if e.Done != len(order)-1 || e.Total != 9 || e.Round != (len(order)-1)/3+1 {
				t.Errorf("found %+v at place %d", e, len(order))
			}
			last = e
		}
	}
	results, err := bench.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 20, 30, 30, 20, 1, 1, 20, 30}; !slices.Equal(order, want) {
		t.Errorf("found the order %v, expected %v", order, want)
	}
	if last.Left <= 0 || last.Left > time.Minute {
		t.Errorf("the time left before the last cell: found %v", last.Left)
	}
	if results.WantedRounds != 3 || results.Schema != bench.Schema || results.Unavailable == nil || results.Peers == nil {
		t.Errorf("found %+v", results)
	}
	if want := []string{"too few rounds for 95% intervals: found 3, expected at least 6"}; !slices.Equal(results.Warnings, want) {
		t.Errorf("found the warnings %q, expected %q", results.Warnings, want)
	}
}

func TestMachineWarnings(t *testing.T) {
	stat := func(user, steal int) *fstest.MapFile {
		return &fstest.MapFile{Data: fmt.Appendf(nil, "cpu  %d 5 10 1000 7 1 2 %d 0 0\ncpu0 1 2 3\n", user, steal)}
	}
	for name, test := range map[string]struct {
		machine fstest.MapFS
		want    string          // in a warning, "" for none
		later   *fstest.MapFile // proc/stat from the second round on
	}{
		"nothing readable": {fstest.MapFS{}, "", nil},
		"no limits": {fstest.MapFS{
			"sys/fs/cgroup/cpu.max": {Data: []byte("max 100000\n")},
			"proc/self/cgroup":      {Data: []byte("0::/\n")},
			"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": {Data: []byte("performance\n")},
			"proc/stat": stat(100, 0),
		}, "", nil},
		"version 2": {fstest.MapFS{
			"sys/fs/cgroup/cpu.max": {Data: []byte("50000 100000\n")},
		}, "limits this process to 0.5 of ", nil},
		"version 2, a group above": {fstest.MapFS{
			"proc/self/cgroup":               {Data: []byte("0::/user/app\n")},
			"sys/fs/cgroup/user/cpu.max":     {Data: []byte("25000 100000\n")},
			"sys/fs/cgroup/user/app/cpu.max": {Data: []byte("50000 100000\n")},
		}, "limits this process to 0.25 of ", nil},
		"version 1": {fstest.MapFS{
			"proc/self/cgroup":                          {Data: []byte("4:cpu,cpuacct:/docker/7\n")},
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":        {Data: []byte("-1\n")},
			"sys/fs/cgroup/cpu/cpu.cfs_period_us":       {Data: []byte("100000\n")},
			"sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us": {Data: []byte("75000\n")},
			"sys/fs/cgroup/cpu/docker/cpu.cfs_period_us": {
				Data: []byte("100000\n")},
		}, "limits this process to 0.75 of ", nil},
		"rubbish": {fstest.MapFS{
			"sys/fs/cgroup/cpu.max": {Data: []byte("a b\n")},
			"proc/self/cgroup":      {Data: []byte("x\n0::/../..\n")},
			"proc/stat":             {Data: []byte("cpu x\n")},
		}, "", nil},
		"steal": {fstest.MapFS{"proc/stat": stat(100, 100)}, "the host of this virtual machine gave the time of ", stat(100, 1_000_000)},
		"governor": {fstest.MapFS{
			"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": {Data: []byte("performance\n")},
			"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": {Data: []byte("powersave\n")},
		}, `the frequency governor is "powersave", expected "performance"`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := withFakes(works)
			o.Rounds, o.Machine = bench.FewestRounds, test.machine
			o.Observer = func(event bench.Event) {
				if e, ok := event.(bench.Measuring); ok && e.Round == 2 && test.later != nil {
					test.machine["proc/stat"] = test.later
				}
			}
			results, err := bench.Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if text := strings.Join(results.Warnings, "; "); !strings.Contains(text, test.want) || (text == "") != (test.want == "") {
				t.Errorf("found the warnings %q, expected %q", results.Warnings, test.want)
			}
		})
	}
}

func TestPeers(t *testing.T) {
	backendtest.XLA(t) // what the peers are compared with
	t.Setenv(fakeChild, "jax jaxlib numpy")
	o := withFakes(works)
	o.Python, o.Peers = os.Args[0], []string{"torch-memory", "jax"}
	o.BatchSizes = []int{8, 13, 14}
	results, err := bench.Run(context.Background(), o)
	if !errors.As(err, new(bench.Incomplete)) {
		t.Errorf("found the error %v", err)
	}
	if len(results.Peers) != 6 {
		t.Fatalf("found %d peers, expected 6", len(results.Peers))
	}
	jax := results.Peers[3] // after torch-memory at three batch sizes
	if jax.Failure != "" || len(jax.Rounds) != 2 || jax.Versions != "Python 3.99, jax 1.0, jaxlib 1.0, numpy 1.0" {
		t.Fatalf("found %+v", jax)
	}
	for _, round := range jax.Rounds {
		if round.Ours.Train != 1 || round.Ours.Evaluate != 0.25 || round.Peers.Train != 40 || round.Peers.Evaluate != 3 {
			t.Errorf("found %+v, expected the medians without the first epoch", round)
		}
		for _, side := range []bench.ProcessTimes{round.Ours, round.Peers} {
			if side.Process <= 0 || side.Process > 60 || side.Memory < 1<<20 {
				t.Errorf("found %+v, expected a process's time and memory", side)
			}
		}
	}
	const noTorch = " has no torch; to install them: "
	for i, want := range []string{
		noTorch, noTorch, noTorch,
		"", "exit status 1: ValueError: unlucky", `returned "Downloading...", expected one line of JSON per epoch`,
	} {
		if found := results.Peers[i]; !strings.Contains(found.Failure, want) || want != "" && len(found.Rounds) > 0 {
			t.Errorf("peer %d: found %+v, expected the failure %q", i, found, want)
		}
	}
	if !strings.Contains(strings.Join(results.Warnings, "\n"), "the peers use jax 1.0, expected ") {
		t.Errorf("found the warnings %q", results.Warnings)
	}

	o.Python = filepath.Join(t.TempDir(), "python")
	o.Peers, o.BatchSizes, o.Rounds = []string{"jax"}, []int{8}, 1
	results, err = bench.Run(context.Background(), o)
	if !errors.As(err, new(bench.Incomplete)) || len(results.Peers) != 1 || len(results.Cells[0].Rounds) != 1 {
		t.Fatalf("found %+v and the error %v", results, err)
	}
	found := results.Peers[0].Failure
	if !strings.Contains(found, "did not start: ") || !strings.Contains(found, "pip install -r requirements.txt") {
		t.Errorf("found the failure %q", found)
	}
}
