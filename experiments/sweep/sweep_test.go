package sweep_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"epochal/experiments/published"
	"epochal/experiments/record"
	"epochal/experiments/study"
	"epochal/experiments/sweep"
)

// data are 300 and 90 images of 3x4 pixels and 3 classes that can be learned.
const data = "../study/testdata/three-classes"

// The test binary makes a shard in a process of its own when this names a folder.
const childFolder = "EPOCHAL_TEST_SWEEP"

const childShard = "EPOCHAL_TEST_SWEEP_SHARD"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		fmt.Println("started")
		o := options(folder)
		o.Shard, _ = study.ParseShard(os.Getenv(childShard))
		if _, err := sweep.Run(context.Background(), stopping(), o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func options(folder string) sweep.Options {
	return sweep.Options{Options: study.Options{Folder: folder, Jobs: 2, Backend: "go", Deterministic: true}}
}

func plan(text string) sweep.Plan {
	settings := "data: " + data
	for name, value := range map[string]string{"epochs": "4", "batch_size": "10", "layer_sizes": "[6]"} {
		if !strings.Contains(text, name+":") {
			settings += ", " + name + ": " + value
		}
	}
	p, err := sweep.Parse("plan.yaml", []byte("settings: {"+settings+"}\nvalidation: 60\nname: p\n"+text))
	if err != nil {
		panic(err)
	}
	return p
}

// stopping is a plan of 8 settings, the last two of which diverge, that stops bad ones.
func stopping() sweep.Plan {
	return plan("grid: {learning_rate: [0.001, 0.01, 0.1, 1e20], layer_sizes: [[6], [6, 6]]}\nseeds: 2\nstop: {rule: halving, at: [1, 2]}")
}

func run(t *testing.T, p sweep.Plan, o sweep.Options) sweep.Results {
	t.Helper()
	r, err := sweep.Run(context.Background(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var times = regexp.MustCompile(`"(seconds|train_seconds|eval_seconds|started)":("[^"]*"|[0-9.e+-]+)`)

// timeless is results.json without times.
func timeless(t *testing.T, r sweep.Results) string {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(times.ReplaceAll(text, nil))
}

func states(r sweep.Results) (all []string) {
	for _, s := range r.Settings {
		all = append(all, fmt.Sprintf("%d:%s@%d", s.Number, s.State, s.Epochs))
	}
	return all
}

func TestRanking(t *testing.T) {
	p := plan("grid: {learning_rate: [0.001, 0.1, 1e20], layer_sizes: [[6, 6]]}\nseeds: 3")
	folder := t.TempDir()
	r := run(t, p, options(folder))
	if r.Runs != 9 || r.Missing != 0 || r.Diverged != 3 || len(r.Settings) != 3 || r.Winner == nil {
		t.Fatalf("found %+v", r)
	}
	if best := r.Settings[0]; best.Number != 2 || best.Rank != 1 || best.State != sweep.Ended || best.Parameters != 12*6+6+6*6+6+6*3+3 {
		t.Errorf("found the best %+v, expected learning rate 0.1", best)
	}
	if last := r.Settings[2]; last.Diverged != 3 || last.ValidationAccuracy.N != 0 || len(last.Runs) != 3 || last.Runs[0].Diverged == nil {
		t.Errorf("found %+v, expected that all runs diverged, which is a result", last)
	}
	// The ranking is that of the records' validation split, and the winner's test accuracy theirs.
	var accuracy, test []float64
	for _, one := range r.Settings[0].Runs {
		recorded, err := record.Read(filepath.Join(folder, one.Folder))
		if err != nil {
			t.Fatal(err)
		}
		last := recorded.Epochs[3]
		accuracy, test = append(accuracy, *last.ValidationAccuracy), append(test, last.TestAccuracy)
	}
	if r.Settings[0].ValidationAccuracy != published.NewAccuracy(accuracy) || r.Winner.TestAccuracy != published.NewAccuracy(test) {
		t.Errorf("found %+v and %+v", r.Settings[0].ValidationAccuracy, r.Winner)
	}
	if d := r.Settings[1].Difference; d.N != 3 || d.Mean >= 0 || r.Settings[0].Difference.Mean != 0 {
		t.Errorf("found the differences %+v, expected one below 0 by seeds", d)
	}
	if i := r.Importance; len(i) != 1 || i[0].Name != "learning_rate" || i[0].EtaSquared != 1 || i[0].Chance != 1 || i[0].Settings != 2 {
		t.Errorf("found %+v", i)
	}
	// No number of the test set is anywhere but at the winner.
	winner := r.Winner
	r.Winner, r.Best = nil, nil
	if text := timeless(t, r); strings.Contains(text, "test_") {
		t.Errorf("found numbers of the test set in %s", text)
	}
	r.Winner = winner

	// The winner is an experiment.
	text, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	e, err := published.Parse("best.yaml", text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	want := r.Settings[0].Config
	e.Config.Backend, e.Config.Seed = want.Backend, want.Seed
	if record.Identity(e.Config, nil, "") != record.Identity(want, nil, "") || e.Name != "p-best" {
		t.Errorf("found %+v\nexpected %+v", e.Config, want)
	}
}

// Settings of different epochs are compared at their ends, whichever is the best.
func TestDifferencesOfEpochs(t *testing.T) {
	r := run(t, plan("grid: {epochs: [1, 2, 3], learning_rate: [0.1, 0.001]}\nseeds: 3"), options(t.TempDir()))
	best := r.Settings[0].Runs
	for _, s := range r.Settings {
		var want []float64
		for i, one := range s.Runs {
			want = append(want, *one.ValidationAccuracy-*best[i].ValidationAccuracy)
		}
		if s.Difference != published.NewInterval(want, -1, 1) {
			t.Errorf("%v: found the difference %+v, expected that of %v", s.Values, s.Difference, want)
		}
	}
}

// A plan that grows runs only what is new.
func TestPlanGrows(t *testing.T) {
	o := options(t.TempDir())
	var planned []study.Planned
	o.Observer = func(e study.Event) {
		if e, ok := e.(study.Planned); ok {
			planned = append(planned, e)
		}
	}
	run(t, plan("grid: {learning_rate: [0.1, 0.2]}\nseeds: 1"), o)
	run(t, plan("grid: {learning_rate: [0.3, 0.2, 0.1], batch_size: [10, 20]}\nseeds: 2"), o)
	run(t, plan("grid: {batch_size: [10, 20]}\nrandom: {count: 1, parameters: {learning_rate: {choice: [0.2]}}}\nseeds: [1]"), o)
	if want := []study.Planned{{Runs: 2}, {Runs: 12, Done: 2}, {Runs: 2, Done: 2}}; !slices.Equal(planned, want) {
		t.Errorf("found %+v, expected %+v", planned, want)
	}
}

// Which shard a run is in depends on the number of shards alone.
func TestShardsStayWhenThePlanGrows(t *testing.T) {
	owners := func(p sweep.Plan, count int) map[string]int {
		all := map[string]int{}
		settings, err := p.Check()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range settings {
			for _, seed := range p.Seeds {
				s.Config.Seed = seed
				identity := record.Identity(s.Config, nil, "")
				for i := range count {
					if (study.Shard{Index: i, Count: count}).Has(identity) {
						if _, twice := all[identity]; twice {
							t.Fatalf("found a run in two of %d shards", count)
						}
						all[identity] = i
					}
				}
			}
		}
		if len(all) != len(settings)*len(p.Seeds) {
			t.Fatalf("found %d runs in %d shards, expected %d", len(all), count, len(settings)*len(p.Seeds))
		}
		return all
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		text := func(draws, seeds int, rates string) sweep.Plan {
			const text = "grid: {batch_size: [%s]}\nrandom: {count: %d, parameters: {learning_rate: {uniform: [0.1, 1]}}}\nseeds: %d"
			return plan(fmt.Sprintf(text, rates, draws, seeds))
		}
		draws, seeds, count := 1+random.IntN(5), 1+random.IntN(3), 1+random.IntN(40)
		before := owners(text(draws, seeds, "10, 20"), count)
		after := owners(text(draws+random.IntN(5), seeds+random.IntN(3), "5, 10, 15, 20"), count)
		for identity, shard := range before {
			if found, there := after[identity]; !there || found != shard {
				t.Errorf("of %d shards: found a run in shard %d, which was in %d", count, found, shard)
			}
		}
	}
}

// A setting of which seeds are missing has no rank, and the numbers of those that are there.
func TestSomeSeedsAreThere(t *testing.T) {
	o := options(t.TempDir())
	run(t, plan("grid: {learning_rate: [0.1]}\nseeds: 3"), o)
	before := run(t, plan("grid: {learning_rate: [0.2]}\nseeds: 2"), o)
	o.ReadOnly = true
	r := run(t, plan("grid: {learning_rate: [0.3, 0.2, 0.1]}\nseeds: 3"), o)
	if r.Missing != 4 || r.Winner != nil || !slices.Equal(states(r), []string{"3:ended@4", "2:incomplete@4", "1:incomplete@4"}) {
		t.Fatalf("found %d runs missing, the winner %v and %v", r.Missing, r.Winner, states(r))
	}
	s := r.Settings[1]
	if s.Rank != 0 || len(s.Runs) != 2 || s.ValidationAccuracy != before.Settings[0].ValidationAccuracy || s.Difference.N != 2 {
		t.Errorf("found %+v, expected the accuracy %+v of 2 seeds", s, before.Settings[0].ValidationAccuracy)
	}
	if n := r.Settings[2].ValidationAccuracy.N; n != 0 {
		t.Errorf("found the accuracy of %d seeds, expected none", n)
	}
}

// Bad settings stop at rungs; what is decided does not depend on who made the runs, on what
// the folder holds already, or on what else was planned before.
func TestStopping(t *testing.T) {
	alone := run(t, stopping(), options(t.TempDir()))
	if want := 2; len(slices.DeleteFunc(states(alone), func(s string) bool { return !strings.Contains(s, ":ended@4") })) != want {
		t.Errorf("found %v, expected %d settings that ended", states(alone), want)
	}
	if n := len(slices.DeleteFunc(states(alone), func(s string) bool { return !strings.Contains(s, ":stopped@1") })); n != 4 {
		t.Errorf("found %v, expected that 4 of 8 settings stopped at the first rung", states(alone))
	}

	// Shards: each call makes its runs of one rung.
	o := options(t.TempDir())
	for range 3 {
		for i := range 3 {
			o.Shard = study.Shard{Index: i, Count: 3}
			run(t, stopping(), o)
		}
	}
	o.Shard, o.ReadOnly = study.Shard{}, true
	if r := run(t, stopping(), o); timeless(t, r) != timeless(t, alone) {
		t.Errorf("found other results with shards:\n%v\nexpected\n%v", timeless(t, r), timeless(t, alone))
	}

	// All runs are there already, whole; and a part of them is.
	o = options(t.TempDir())
	part := stopping()
	part.Grid[0].Values = part.Grid[0].Values[:1]
	run(t, part, o)
	if r := run(t, stopping(), o); timeless(t, r) != timeless(t, alone) {
		t.Errorf("found other results after a smaller plan:\n%v\nexpected\n%v", timeless(t, r), timeless(t, alone))
	}
	whole := stopping()
	whole.Stop = sweep.Stop{}
	run(t, whole, o)
	if r := run(t, stopping(), o); timeless(t, r) != timeless(t, alone) {
		t.Errorf("found other results after a plan that stops none:\n%v\nexpected\n%v", states(r), states(alone))
	}

	// The median rule stops no more than half, and a reader without a lock sees what waits.
	median := stopping()
	median.Stop = sweep.Stop{Rule: sweep.Median, At: []int{1, 2}, Eta: 2}
	r := run(t, median, o)
	if n := len(slices.DeleteFunc(states(r), func(s string) bool { return !strings.Contains(s, ":ended@4") })); n != 4 {
		t.Errorf("found %v, expected that 4 of 8 settings ended", states(r))
	}
	o = options(t.TempDir())
	o.Shard = study.Shard{Index: 0, Count: 2}
	run(t, stopping(), o)
	o.Shard, o.ReadOnly = study.Shard{}, true
	r = run(t, stopping(), o)
	if r.Missing == 0 || r.Winner != nil || r.Runs != 16 {
		t.Errorf("found %d of %d runs missing and the winner %v, expected no winner yet", r.Missing, r.Runs, r.Winner)
	}
	for i, s := range r.Settings {
		if (s.State == sweep.Incomplete) != (s.Rank == 0) || s.Rank != 0 && s.Rank != i+1 {
			t.Errorf("found rank %d of a setting that is %s, in place %d", s.Rank, s.State, i+1)
		}
	}
	if _, err := r.Export(); err == nil {
		t.Error("found an experiment, expected an error because runs are missing")
	}
}

// Shards that are killed at random moments lose no finished run, and calling them again
// ends in the results of a sweep that was left alone.
func TestKilledShardsGoOn(t *testing.T) {
	kills := 3
	if os.Getenv("EPOCHAL_LONG") != "" {
		kills = 30
	}
	alone := run(t, stopping(), options(t.TempDir()))
	folder := t.TempDir()
	random := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(time.Now().UnixNano())))
	const shards = 2
	named := func() []string {
		found, err := filepath.Glob(filepath.Join(folder, "runs", "[a-z]*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	killed := 0
	for range kills {
		before := named()
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childFolder+"="+folder, fmt.Sprintf("%s=%d/%d", childShard, random.IntN(shards), shards))
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
		time.Sleep(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
		child.Process.Kill()
		if child.Wait() != nil {
			killed++
		}
		after := named()
		for _, run := range before {
			if !slices.Contains(after, run) {
				t.Errorf("found that %s is gone", run)
			}
		}
	}
	t.Logf("%d of %d shards were killed before their end, with %d runs there", killed, kills, len(named()))
	for range 3 {
		for i := range shards {
			o := options(folder)
			o.Shard = study.Shard{Index: i, Count: shards}
			run(t, stopping(), o)
		}
	}
	o := options(folder)
	var planned []study.Planned
	o.Observer = func(e study.Event) {
		if e, ok := e.(study.Planned); ok {
			planned = append(planned, e)
		}
	}
	// Where a run was resumed is part of its environment, and no result.
	resumed := regexp.MustCompile(`"environment":\{.*?\},"winner"`)
	got := resumed.ReplaceAllString(timeless(t, run(t, stopping(), o)), "")
	if want := resumed.ReplaceAllString(timeless(t, alone), ""); got != want {
		t.Errorf("found other results after %d kills:\n%s\nexpected\n%s", kills, got, want)
	}
	for _, p := range planned {
		if p.Done != p.Runs {
			t.Errorf("found %+v, expected that the shards had made all runs", planned)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "s")
	p := plan("grid: {learning_rate: [0.1, 0.2]}")
	p.Base.Validation = 300
	want := "validation: found 300, expected fewer than the 300 training images"
	if _, err := sweep.Run(context.Background(), p, options(folder)); err == nil || err.Error() != want {
		t.Errorf("found error %v", err)
	}
	p.RankBy, p.Seeds = "test_accuracy", nil
	_, err := sweep.Run(context.Background(), p, options(folder))
	want = "seeds: found 0, expected 1 to 1000\nrank_by: found \"test_accuracy\", expected validation_loss or validation_accuracy"
	if err == nil || err.Error() != want {
		t.Errorf("found error %v, expected %s", err, want)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found a folder (%v)", err)
	}
}

func TestEstimate(t *testing.T) {
	p := plan("grid: {learning_rate: [0.1, 0.2], layer_sizes: [[6], [12, 12]]}\nseeds: 2")
	o := options(filepath.Join(t.TempDir(), "s"))
	f, err := sweep.Estimate(context.Background(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	if f.Runs != 8 || f.Missing != 8 || f.Jobs != 2 || f.Time <= 0 || len(f.Measured) == 0 {
		t.Errorf("found %+v", f)
	}
	if _, err := os.Stat(o.Folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found a folder (%v)", err)
	}
	p.Grid[0].Values = p.Grid[0].Values[:1]
	run(t, p, o)
	if f, err := sweep.Estimate(context.Background(), p, o); err != nil || f.Missing != 0 || f.Time != 0 {
		t.Errorf("found %+v and error %v, expected that nothing is missing", f, err)
	}
}

// Settings that will diverge at once are measured like others: here every look at the clock
// takes a second.
func TestEstimateOfDivergence(t *testing.T) {
	var seconds []float64
	for _, rate := range []string{"[0.1]", "[1e20]"} {
		o, at := options(filepath.Join(t.TempDir(), "s")), time.Unix(0, 0)
		o.Jobs, o.Now = 1, func() time.Time { at = at.Add(time.Second); return at }
		f, err := sweep.Estimate(context.Background(), plan("grid: {learning_rate: "+rate+"}\nseeds: 1"), o)
		if err != nil || len(f.Measured) != 1 {
			t.Fatalf("found %+v and error %v", f, err)
		}
		seconds = append(seconds, f.Measured[0].EpochSeconds)
	}
	if seconds[0] != seconds[1] {
		t.Errorf("found %v seconds an epoch, expected the same of both", seconds)
	}
}
