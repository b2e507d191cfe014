package reproduce_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
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
	"epochal/experiments/published"
	"epochal/experiments/record"
	"epochal/experiments/reproduce"
)

// The test binary reproduces in a process of its own when this names a folder.
const childFolder = "EPOCHAL_TEST_REPRODUCE"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		fmt.Println("started")
		if _, err := reproduce.Run(context.Background(), made(filepath.Join(folder, "data")), options(filepath.Join(folder, "results"))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// writeData writes a learnable dataset of 3x4 pixels and 3 classes.
func writeData(t *testing.T, folder string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for name, count := range map[string]int{"train": 300, "t10k": 90} {
		pixels, labels := make([]byte, count*12), make([]byte, count)
		for i := range labels {
			labels[i] = byte(i % 3)
			for j := range 12 {
				pixels[i*12+j] = byte(random.UintN(256))
			}
			pixels[i*12+int(labels[i])] = 255
		}
		write := func(kind string, data []byte, header ...uint32) {
			var file []byte
			for _, value := range header {
				file = binary.BigEndian.AppendUint32(file, value)
			}
			if err := os.WriteFile(filepath.Join(folder, name+kind), append(file, data...), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("-images-idx3-ubyte", pixels, 0x803, uint32(count), 3, 4)
		write("-labels-idx1-ubyte", labels, 0x801, uint32(count))
	}
}

// made are three made-up experiments: one that learns, a better one, and one
// that diverges.
func made(data string) []published.Experiment {
	c := experiments.Defaults()
	c.Data, c.LayerSizes, c.Epochs, c.BatchSize, c.LearningRate = data, []int{6}, 4, 10, 0.02
	slow := published.Experiment{Name: "slow", Title: "a slow one", Config: c, Claims: []published.Claim{
		{Kind: published.FinalTestAccuracy, Value: 0.99, Tolerance: 0.001, Epochs: c.Epochs, Expected: true},
		{Kind: published.StillRising, Over: 2, Epochs: c.Epochs, Expected: true},
	}}
	c.LearningRate = 0.3
	fast := published.Experiment{Name: "fast", Title: "a fast one", Config: c, Claims: []published.Claim{
		{Kind: published.BetterThan, Reference: "slow", Epochs: c.Epochs, Expected: true},
	}}
	c.LearningRate, c.LayerSizes = 1e20, []int{6, 6}
	wild := published.Experiment{Name: "wild", Title: "one that diverges", Config: c, Claims: []published.Claim{
		{Kind: published.FinalTestAccuracy, Value: 0.5, Tolerance: 0.5, Epochs: c.Epochs, Expected: false},
	}}
	return []published.Experiment{slow, fast, wild}
}

func options(folder string) reproduce.Options {
	return reproduce.Options{Folder: folder, Seeds: 3, Jobs: 2, Backend: "go"}
}

var times = regexp.MustCompile(`"(seconds|train_seconds|eval_seconds|started)": *("[^"]*"|[0-9.e+-]+)`)

// withoutTimes is results.json but for times.
func withoutTimes(t *testing.T, r reproduce.Results) string {
	t.Helper()
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(times.ReplaceAll(text, []byte(`"$1": 0`)))
}

func TestRunJudgesAndRemembers(t *testing.T) {
	folder := t.TempDir()
	writeData(t, filepath.Join(folder, "data"))
	chosen := made(filepath.Join(folder, "data"))
	var planned []reproduce.Planned
	ended := 0
	o := options(filepath.Join(folder, "results"))
	o.Observer = func(e reproduce.Event) {
		switch e := e.(type) {
		case reproduce.Planned:
			planned = append(planned, e)
		case reproduce.Working:
			if e.Jobs != 2 || e.Backend.Name != "go" {
				t.Errorf("found %+v, expected two jobs on go", e)
			}
		case reproduce.Progress:
			if e.Share < 0 || e.Share > 1+1e-9 {
				t.Errorf("found the share %v", e.Share)
			}
		case reproduce.RunEnded:
			if ended++; e.Done != ended || e.Runs != 9 {
				t.Errorf("found run %d of %d, expected %d of 9", e.Done, e.Runs, ended)
			}
		}
	}
	first, err := reproduce.Run(context.Background(), chosen, o)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]published.Verdict{}
	for _, e := range first.Experiments {
		if len(e.Runs) != 3 || len(e.Records) != 3 {
			t.Errorf("%s: found %d runs, expected 3", e.Name, len(e.Runs))
		}
		for _, c := range e.Claims {
			verdicts[e.Name+" "+c.Claim] = c.Judgement.Verdict
		}
	}
	want := map[string]published.Verdict{
		"slow final test accuracy":                     published.Fails,
		"fast " + first.Experiments[1].Claims[0].Claim: published.Holds,
		"wild final test accuracy":                     published.Fails,
	}
	for claim, verdict := range want {
		if verdicts[claim] != verdict {
			t.Errorf("%s: found %q, expected %q (all: %v)", claim, verdicts[claim], verdict, verdicts)
		}
	}
	if wild, _ := first.Find("wild"); wild.Diverged != 3 || wild.TestAccuracy.N != 0 {
		t.Errorf("wild: found %d diverged and %d averaged, expected 3 and none", wild.Diverged, wild.TestAccuracy.N)
	}
	if unmet := first.Unmet(); len(unmet) != 1 || unmet[0] != "slow: final test accuracy" {
		t.Errorf("found %q unmet, expected slow's final test accuracy", unmet)
	}
	fast, _ := first.Find("fast")
	if confusion, runs := fast.Confusion(); runs != 3 || len(confusion) != 3 || len(fast.ClassAccuracies()) != 3 {
		t.Errorf("found the confusion %v of %d runs", confusion, runs)
	}

	// A finished reproduction answers without running anything.
	second, err := reproduce.Run(context.Background(), chosen, o)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(first)
	b, _ := json.Marshal(second)
	if !bytes.Equal(a, b) {
		t.Errorf("found other results the second time:\n%s\n%s", a, b)
	}
	if ended != 9 || len(planned) != 2 || planned[1].Done != 9 {
		t.Errorf("found %d runs and the plans %v, expected 9 runs, all of them done in the second plan", ended, planned)
	}
	// More seeds run only what is missing.
	o.Seeds = 4
	o.Observer = func(e reproduce.Event) {
		if e, ok := e.(reproduce.Planned); ok && e != (reproduce.Planned{Runs: 12, Done: 9}) {
			t.Errorf("found the plan %v, expected 12 runs, 9 done", e)
		}
	}
	if _, err := reproduce.Run(context.Background(), chosen, o); err != nil {
		t.Fatal(err)
	}
}

func TestQuickIsMarkedAndShort(t *testing.T) {
	folder := t.TempDir()
	writeData(t, filepath.Join(folder, "data"))
	o := options(filepath.Join(folder, "results"))
	o.Quick = true
	r, err := reproduce.Run(context.Background(), made(filepath.Join(folder, "data"))[:2], o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Quick || len(r.Seeds) != 1 {
		t.Errorf("found quick %v and the seeds %v", r.Quick, r.Seeds)
	}
	for _, e := range r.Experiments {
		if len(e.Claims) != 0 || len(e.Records[0].Epochs) != reproduce.QuickEpochs {
			t.Errorf("%s: found %d claims and %d epochs", e.Name, len(e.Claims), len(e.Records[0].Epochs))
		}
	}
}

// Jobs side by side never change a result.
func TestJobsGiveTheSameResults(t *testing.T) {
	folder := t.TempDir()
	writeData(t, filepath.Join(folder, "data"))
	var first string
	for _, jobs := range []int{1, 3} {
		o := options(filepath.Join(folder, fmt.Sprint("results", jobs)))
		o.Jobs = jobs
		r, err := reproduce.Run(context.Background(), made(filepath.Join(folder, "data")), o)
		if err != nil {
			t.Fatal(err)
		}
		if text := withoutTimes(t, r); first == "" {
			first = text
		} else if text != first {
			t.Errorf("%d jobs: found other results", jobs)
		}
	}
}

// A reproduction killed at random moments goes on to the same results as one
// that was left alone. EPOCHAL_TEST_KILLS sets how often it is killed.
func TestKilledReproductionGoesOn(t *testing.T) {
	kills := 5
	if text := os.Getenv("EPOCHAL_TEST_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	alone, killed := t.TempDir(), t.TempDir()
	// The data's place is part of a config, so both use the same.
	data := filepath.Join(killed, "data")
	writeData(t, data)
	want, err := reproduce.Run(context.Background(), made(data), options(filepath.Join(alone, "results")))
	if err != nil {
		t.Fatal(err)
	}
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
	got, err := reproduce.Run(context.Background(), made(data), options(filepath.Join(killed, "results")))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := withoutTimes(t, got), withoutTimes(t, want); a != b {
		t.Errorf("found other results after %d kills:\n%s\nexpected\n%s", kills, a, b)
	}
	left, err := filepath.Glob(filepath.Join(killed, "results", "runs", ".partial-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("found %v left behind (%v)", left, err)
	}
}

func TestRunRefuses(t *testing.T) {
	folder := t.TempDir()
	writeData(t, filepath.Join(folder, "data"))
	chosen := made(filepath.Join(folder, "data"))[:1]
	o := options(filepath.Join(folder, "results"))
	o.Seeds, o.Jobs, o.Backend = 0, -1, "tpu"
	_, err := reproduce.Run(context.Background(), chosen, o)
	want := "seeds: found 0, expected 1 to 1000\njobs: found -1, expected 0 to 256\nbackend: backend \"tpu\" is unknown"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("found error\n%v\nexpected\n%s", err, want)
	}
	if _, err := os.Stat(o.Folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found a results folder (%v)", err)
	}

	// Two processes do not write into one folder: here the first one holds it.
	o = options(filepath.Join(folder, "results"))
	o.Observer = func(e reproduce.Event) {
		if _, ok := e.(reproduce.Planned); ok {
			if _, err := reproduce.Run(context.Background(), chosen, options(o.Folder)); !errors.As(err, new(record.Busy)) {
				t.Errorf("found error %v, expected to be told who holds the folder", err)
			}
		}
	}
	results, err := reproduce.Run(context.Background(), chosen, o)
	if err != nil {
		t.Fatal(err)
	}

	// A damaged run is not thrown away.
	broken := filepath.Join(o.Folder, results.Experiments[0].Runs[1].Folder, record.ConfigFile)
	if err := os.WriteFile(broken, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = reproduce.Run(context.Background(), chosen, options(o.Folder))
	if err == nil || !strings.Contains(err.Error(), broken+": unexpected EOF; remove "+filepath.Dir(broken)+" to run it again") {
		t.Errorf("found error %v for a damaged run", err)
	}
	if err := os.RemoveAll(filepath.Dir(broken)); err != nil {
		t.Fatal(err)
	}

	// Nor is the record of another run, or one with other classes, taken for this one.
	run := results.Experiments[0].Runs[2].Folder
	for _, c := range []struct{ file, old, new, want string }{
		{record.ConfigFile, `"batch_size": 10`, `"batch_size": 11`, "results: " + run + ": found a run of {"},
		{record.EvaluationFile, "", `{"confusion": [[1, 0], [0, 1]]}`, "results: " + run + ": found 2 classes, expected 3 as the other runs of slow have"},
	} {
		path := filepath.Join(o.Folder, run, c.file)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := c.new
		if c.old != "" {
			changed = strings.Replace(string(before), c.old, c.new, 1)
		}
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = reproduce.Run(context.Background(), chosen, options(o.Folder))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("found error %v, expected %s", err, c.want)
		}
		if err := os.WriteFile(path, before, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCancelledReproductionKeepsWhatIsDone(t *testing.T) {
	folder := t.TempDir()
	writeData(t, filepath.Join(folder, "data"))
	o := options(filepath.Join(folder, "results"))
	o.Jobs = 1
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Observer = func(e reproduce.Event) {
		if e, ok := e.(reproduce.RunEnded); ok && e.Done == 2 {
			cancel()
		}
	}
	if _, err := reproduce.Run(ctx, made(filepath.Join(folder, "data")), o); !errors.Is(err, context.Canceled) {
		t.Errorf("found error %v, expected %v", err, context.Canceled)
	}
	o.Observer = func(e reproduce.Event) {
		if e, ok := e.(reproduce.Planned); ok && e.Done != 2 {
			t.Errorf("found %d runs done, expected 2", e.Done)
		}
	}
	if _, err := reproduce.Run(context.Background(), made(filepath.Join(folder, "data")), o); err != nil {
		t.Fatal(err)
	}
}

// Data that changed under the same name makes other runs; what was run on the
// old data is not taken for them, and is kept.
func TestChangedDataIsRunAgain(t *testing.T) {
	folder := t.TempDir()
	data := filepath.Join(folder, "data")
	writeData(t, data)
	o := options(filepath.Join(folder, "results"))
	var plan reproduce.Planned
	o.Observer = func(e reproduce.Event) {
		if e, ok := e.(reproduce.Planned); ok {
			plan = e
		}
	}
	run := func(done int) {
		t.Helper()
		if _, err := reproduce.Run(context.Background(), made(data)[:1], o); err != nil {
			t.Fatal(err)
		}
		if want := (reproduce.Planned{Runs: 3, Done: done}); plan != want {
			t.Errorf("found the plan %+v, expected %+v", plan, want)
		}
	}
	run(0)
	run(3)
	path := filepath.Join(data, "t10k-images-idx3-ubyte")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(before)
	changed[len(changed)-1] ^= 1
	for _, step := range []struct {
		content []byte
		done    int
	}{{changed, 0}, {before, 3}} {
		if err := os.WriteFile(path, step.content, 0o644); err != nil {
			t.Fatal(err)
		}
		run(step.done)
	}
}
