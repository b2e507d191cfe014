package study_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/study"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// data are 300 and 90 images of 3x4 pixels and 3 classes that can be learned.
const data = "testdata/three-classes"

// The test binary makes the runs in a process of its own when this names a folder.
const childFolder = "EPOCHAL_TEST_STUDY"

// With this number of jobs as well, it makes fewer, on CUDA.
const childJobs = "EPOCHAL_TEST_STUDY_JOBS"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		fmt.Println("started")
		o, seeds := options(folder), 3
		if jobs := os.Getenv(childJobs); jobs != "" {
			o.Jobs, _ = strconv.Atoi(jobs)
			o.Backend, seeds = "xla:cuda", 1
		}
		if _, err := study.Do(context.Background(), runs(data, seeds), o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runs are those of three settings, one of which diverges, with so many seeds.
func runs(data string, seeds int) (all []study.Run) {
	c := experiments.Defaults()
	c.Data, c.LayerSizes, c.Epochs, c.BatchSize, c.LearningRate = data, []int{6}, 4, 10, 0.02
	for seed := range seeds {
		c.Seed = uint64(seed)
		slow, fast, wild := study.Run{Name: "slow", Config: c}, study.Run{Name: "fast", Config: c}, study.Run{Name: "wild", Config: c}
		fast.Config.LearningRate = 0.3
		wild.Config.LearningRate, wild.Config.LayerSizes = 1e20, []int{6, 6}
		all = append(all, slow, fast, wild)
	}
	return all
}

func options(folder string) study.Options {
	return study.Options{Folder: folder, Jobs: 2, Backend: "go"}
}

// do makes runs, and returns what was planned as well.
func do(t *testing.T, runs []study.Run, o study.Options) ([]study.Result, study.Planned) {
	t.Helper()
	var planned study.Planned
	observer := o.Observer
	o.Observer = func(e study.Event) {
		if e, ok := e.(study.Planned); ok {
			planned = e
		}
		if observer != nil {
			observer(e)
		}
	}
	results, err := study.Do(context.Background(), runs, o)
	if err != nil {
		t.Fatal(err)
	}
	return results, planned
}

var times = regexp.MustCompile(`"(Seconds|train_seconds|eval_seconds|started)":("[^"]*"|[0-9.e+-]+)`)

// bits is all that results and their folders hold but for times and resumptions.
func bits(t *testing.T, folder string, results []study.Result) string {
	t.Helper()
	var all strings.Builder
	for _, r := range results {
		r.Record.Environment.Resumed = nil
		r.Record.Diverged = nil // its loss is no number of JSON's
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		weights, err := os.ReadFile(filepath.Join(folder, r.Folder, record.WeightsFile))
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it diverged
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %x\n", times.ReplaceAll(text, nil), weights)
	}
	return all.String()
}

func TestEachRunIsMadeOnce(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "results"))
	ended := 0
	o.Observer = func(e study.Event) {
		switch e := e.(type) {
		case study.Working:
			if e.Jobs != 2 || e.Backend.Name != "go" {
				t.Errorf("found %+v, expected two jobs on go", e)
			}
		case study.Progress:
			if e.Share < 0 || e.Share > 1+1e-9 {
				t.Errorf("found the share %v", e.Share)
			}
		case study.RunEnded:
			if ended++; e.Done != ended || e.Runs != 9 {
				t.Errorf("found run %d of %d, expected %d of 9", e.Done, e.Runs, ended)
			}
		}
	}
	first, _ := do(t, runs(data, 3), o)
	for i, run := range runs(data, 3) {
		want := filepath.Join("runs", fmt.Sprintf("%s-seed%d", run.Name, run.Config.Seed))
		r := first[i].Record
		if first[i].Folder != want || r.Config.LearningRate != run.Config.LearningRate || (r.Diverged != nil) != (run.Name == "wild") {
			t.Errorf("found %+v, expected %s", first[i], want)
		}
		identity := first[i].Record.Environment.Identity
		if held, err := record.ReadIdentity(filepath.Join(o.Folder, want)); err != nil || len(identity) != 64 || held != identity {
			t.Errorf("found the identities %q and %q (%v)", identity, held, err)
		}
	}
	// Again, in part, with more seeds and under other names: only what is missing runs.
	o.Observer = nil
	renamed := runs(data, 4)[:4]
	renamed[0].Name = "other"
	for _, c := range []struct {
		runs []study.Run
		want study.Planned
	}{
		{runs(data, 3), study.Planned{Runs: 9, Done: 9}},
		{runs(data, 2)[1:], study.Planned{Runs: 5, Done: 5}},
		{append(renamed, runs(data, 1)...), study.Planned{Runs: 4, Done: 4}},
		{runs(data, 4), study.Planned{Runs: 12, Done: 9}},
	} {
		again, planned := do(t, c.runs, o)
		if planned != c.want || again[0].Record.Config.Seed != c.runs[0].Config.Seed {
			t.Errorf("found the plan %+v, expected %+v", planned, c.want)
		}
		if c.runs[0].Name == "other" && again[0].Folder != first[0].Folder {
			t.Errorf("found %s, expected the run that slow has already", again[0].Folder)
		}
	}
	// A name that is another run's.
	changed := runs(data, 1)[:1]
	changed[0].Config.BatchSize = 20
	for _, done := range []int{0, 1} {
		results, planned := do(t, changed, o)
		want := filepath.Join("runs", "slow-seed0-"+results[0].Record.Environment.Identity[:12])
		if planned.Done != done || results[0].Folder != want || results[0].Record.Config.BatchSize != 20 {
			t.Errorf("found %d done and %+v, expected %d and %s", planned.Done, results[0], done, want)
		}
	}
	if _, planned := do(t, runs(data, 1), o); planned.Done != 3 {
		t.Errorf("found the plan %+v, expected that the other run is still there", planned)
	}
}

// Jobs side by side never change a result.
func TestJobsGiveTheSameResults(t *testing.T) {
	var first string
	for _, jobs := range []int{1, 3} {
		o := options(t.TempDir())
		o.Jobs = jobs
		results, _ := do(t, runs(data, 2), o)
		if text := bits(t, o.Folder, results); first == "" {
			first = text
		} else if text != first {
			t.Errorf("%d jobs: found other results", jobs)
		}
	}
}

// On two GPUs each job has its own, and the results are those of one after the other.
func TestEachJobHasItsGPU(t *testing.T) {
	names := []string{"NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"}
	g := backendtest.CUDA(t, names...)
	var first string
	for jobs := 1; jobs <= 2; jobs++ {
		folder := t.TempDir()
		child := exec.Command(os.Args[0])
		child.Env = append(append(os.Environ(), g.Environment...), childFolder+"="+folder, childJobs+"="+fmt.Sprint(jobs))
		if output, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v, printed %s", err, output)
		}
		o := options(folder)
		o.Backend = "xla:cuda"
		results, planned := do(t, runs(data, 1), o)
		if planned != (study.Planned{Runs: 3, Done: 3}) {
			t.Fatalf("found the plan %+v, expected that all is done", planned)
		}
		used := map[string]bool{}
		for i := range results {
			used[results[i].Record.Environment.Backend.Device] = true
			results[i].Record.Environment.Backend = backend.Info{}
		}
		for _, name := range names[:jobs] {
			if device := name + ", CUDA 13.0"; !used[device] || len(used) != jobs {
				t.Errorf("%d jobs: found the devices %v, expected %s among them", jobs, used, device)
			}
		}
		if text := bits(t, folder, results); first == "" {
			first = text
		} else if text != first {
			t.Errorf("%d jobs: found other results", jobs)
		}
	}
}

// Runs killed at random moments continue to the same results as those that were left
// alone. EPOCHAL_TEST_KILLS sets how often they are killed.
func TestKilledStudyGoesOn(t *testing.T) {
	kills := 5
	fmt.Sscan(os.Getenv("EPOCHAL_TEST_KILLS"), &kills)
	alone, killed := t.TempDir(), t.TempDir()
	want, _ := do(t, runs(data, 3), options(alone))
	random := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(time.Now().UnixNano())))
	interrupted := 0
	for range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childFolder+"="+killed)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(40 * time.Millisecond))))
		child.Process.Kill()
		if child.Wait() != nil {
			interrupted++
		}
	}
	t.Logf("%d of %d children were killed before their end", interrupted, kills)
	got, _ := do(t, runs(data, 3), options(killed))
	if a, b := bits(t, killed, got), bits(t, alone, want); a != b {
		t.Errorf("found other results after %d kills:\n%s\nexpected\n%s", kills, a, b)
	}
	left, err := filepath.Glob(filepath.Join(killed, "runs", ".partial-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("found %v left behind (%v)", left, err)
	}
}

func TestDoRefuses(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "results"))
	o.Jobs, o.Backend = -1, "tpu"
	_, err := study.Do(context.Background(), runs(data, 1), o)
	want := "jobs: found -1, expected 0 to 256\nbackend: backend \"tpu\" is unknown"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("found error\n%v\nexpected\n%s", err, want)
	}
	if _, err := os.Stat(o.Folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found a folder (%v)", err)
	}

	// Two processes do not write into one folder: here the first one holds it.
	o = options(o.Folder)
	o.Observer = func(e study.Event) {
		if _, ok := e.(study.Planned); ok {
			if _, err := study.Do(context.Background(), runs(data, 1), options(o.Folder)); !errors.As(err, new(record.Busy)) {
				t.Errorf("found error %v, expected to be told who holds the folder", err)
			}
		}
	}
	results, _ := do(t, runs(data, 1), o)

	// A damaged run is not thrown away, nor is the record of another one taken for it.
	o.Observer = nil
	path := filepath.Join(o.Folder, results[0].Folder)
	for _, c := range []struct{ file, old, new, want string }{
		{record.ConfigFile, "{", "", "results: " + path},
		{record.EnvironmentFile, "{", "", "results: " + path},
		{record.ConfigFile, `"batch_size": 10`, `"batch_size": 11`,
			"results: " + path + ": found a run with settings or data other than its identity says"},
	} {
		file := filepath.Join(path, c.file)
		before := read(t, file)
		write(t, file, bytes.Replace(before, []byte(c.old), []byte(c.new), 1))
		_, err = study.Do(context.Background(), runs(data, 1), o)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || !strings.HasSuffix(err.Error(), "; remove "+path+" to run it again") {
			t.Errorf("%s: found error %v, expected %s", c.file, err, c.want)
		}
		write(t, file, before)
	}

	// Folders without an identity are left alone.
	older := filepath.Join(o.Folder, "runs", "0123456789ab-seed0")
	if err := os.Mkdir(older, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(older, record.EnvironmentFile), []byte("{}"))
	if _, planned := do(t, runs(data, 1), o); planned.Done != 3 {
		t.Errorf("found the plan %+v", planned)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCancelledStudyKeepsWhatIsDone(t *testing.T) {
	o := options(t.TempDir())
	o.Jobs = 1
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Observer = func(e study.Event) {
		if e, ok := e.(study.RunEnded); ok && e.Done == 2 {
			cancel()
		}
	}
	if _, err := study.Do(ctx, runs(data, 2), o); !errors.Is(err, context.Canceled) {
		t.Errorf("found error %v, expected %v", err, context.Canceled)
	}
	o.Observer = nil
	if _, planned := do(t, runs(data, 2), o); planned.Done != 2 {
		t.Errorf("found the plan %+v, expected 2 done", planned)
	}
}

// Data that changed under the same name makes other runs; what was run on the
// old data is not taken for them, and is kept.
func TestChangedDataIsRunAgain(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(folder, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	o := options(t.TempDir())
	path := filepath.Join(folder, "t10k-images-idx3-ubyte")
	before := read(t, path)
	changed := append([]byte{}, before...)
	changed[len(changed)-1] ^= 1
	for i, step := range []struct {
		content []byte
		done    int
	}{{before, 0}, {before, 3}, {changed, 0}, {before, 3}, {changed, 3}} {
		write(t, path, step.content)
		if _, planned := do(t, runs(folder, 1), o); planned != (study.Planned{Runs: 3, Done: step.done}) {
			t.Errorf("step %d: found the plan %+v, expected %d done", i, planned, step.done)
		}
	}
}
