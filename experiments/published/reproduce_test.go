package published_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/record"
	"epochal/experiments/study"
)

// made are three made-up experiments: one that learns, a better one, and one
// that diverges.
func made() []published.Experiment {
	c := experiments.Defaults()
	c.Data, c.LayerSizes, c.Epochs, c.BatchSize, c.LearningRate = "../study/testdata/three-classes", []int{6}, 4, 10, 0.02
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

// reproduce reproduces with so many seeds, and writes results.json as the report does.
func reproduce(t *testing.T, chosen []published.Experiment, o published.Options) published.Results {
	t.Helper()
	r, err := published.Reproduce(context.Background(), chosen, o)
	if err != nil {
		t.Fatal(err)
	}
	writeResults(t, o.Folder, r)
	return r
}

func writeResults(t *testing.T, folder string, r published.Results) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, published.ResultsFile), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func optionsFor(folder string, seeds int, command string) published.Options {
	return published.Options{Options: study.Options{Folder: folder, Jobs: 2, Backend: "go"}, Seeds: seeds, Command: command}
}

func resultNames(r published.Results) (names []string) {
	for _, e := range r.Experiments {
		names = append(names, e.Name)
	}
	return names
}

func TestReproduceJudgesAndRemembers(t *testing.T) {
	folder := t.TempDir()
	chosen := made()
	first := reproduce(t, chosen, optionsFor(folder, 3, "all"))
	for name, want := range map[string]published.Verdict{"slow": published.Fails, "fast": published.Holds, "wild": published.Fails} {
		e, found := first.Find(name)
		if !found || len(e.Runs) != 3 || len(e.Records) != 3 || e.Claims[0].Judgement.Verdict != want {
			t.Errorf("%s: found %+v, expected that its first claim %s", name, e.Claims, want)
		}
	}
	slow, fast, wild := first.Experiments[0], first.Experiments[1], first.Experiments[2]
	if c := slow.Claims[0]; c.Kind != published.FinalTestAccuracy || c.Value != 0.99 || c.Tolerance != 0.001 {
		t.Errorf("found %+v, expected the claim's numbers", c)
	}
	if wild.Diverged != 3 || wild.TestAccuracy.N != 0 {
		t.Errorf("wild: found %d diverged and %d averaged, expected 3 and none", wild.Diverged, wild.TestAccuracy.N)
	}
	if confusion, runs := fast.Confusion(); runs != 3 || len(confusion) != 3 || len(fast.ClassAccuracies()) != 3 {
		t.Errorf("found the confusion %v of %d runs", confusion, runs)
	}
	if unmet := first.Unmet(); !slices.Equal(unmet, []string{"slow: final test accuracy"}) {
		t.Errorf("found %q unmet, expected slow's final test accuracy", unmet)
	}

	// The same again answers with the same bytes.
	a, _ := json.Marshal(first)
	if b, _ := json.Marshal(reproduce(t, chosen, optionsFor(folder, 3, "all"))); string(a) != string(b) {
		t.Errorf("found other results the second time:\n%s\n%s", a, b)
	}

	// A smaller one keeps the others, with their seeds and verdicts.
	post := published.Experiment{Name: "attempt-1", Title: "of the post", Config: chosen[0].Config}
	smaller := reproduce(t, []published.Experiment{post, chosen[2]}, optionsFor(folder, 2, "smaller"))
	if got := resultNames(smaller); !slices.Equal(got, []string{"attempt-1", "slow", "fast", "wild"}) {
		t.Errorf("found %v, expected the post's first and all others", got)
	}
	for _, e := range smaller.Experiments {
		kept := e.Name == "slow" || e.Name == "fast"
		if e.Kept != kept || (e.Command == "all") != kept || (len(e.Records) == 3) != kept {
			t.Errorf("%s: found kept %v, %q and %d records", e.Name, e.Kept, e.Command, len(e.Records))
		}
	}
	if runs := smaller.Experiments[0].Runs; runs[1].Folder != filepath.Join("runs", "slow-seed1") {
		t.Errorf("found %s, expected the run that slow has already", runs[1].Folder)
	}
	if smaller.Experiments[1].Claims[0].Judgement.Verdict != published.Fails || len(smaller.Unmet()) != 0 {
		t.Errorf("found %+v and %v, expected the verdict of before, and only the last command's unmet",
			smaller.Experiments[1].Claims, smaller.Unmet())
	}

	// One whose runs are gone is named and left out.
	if err := os.RemoveAll(filepath.Join(folder, fast.Runs[0].Folder)); err != nil {
		t.Fatal(err)
	}
	o := optionsFor(folder, 2, "")
	var warning string
	o.Observer = func(e study.Event) {
		if e, ok := e.(study.Other); ok {
			warning += e.Event.(experiments.Warning).Text
		}
	}
	got := resultNames(reproduce(t, chosen[2:], o))
	if slices.Contains(got, "fast") || !strings.HasPrefix(warning, "fast is no longer in the results: ") {
		t.Errorf("found %v and the warning %q", got, warning)
	}
}

// An experiment is reported when all is there that its claims rest on, also by way of others.
func TestReportOfWhatIsThere(t *testing.T) {
	o := optionsFor(t.TempDir(), 2, "some")
	there := made()
	last, middle, first := there[0], there[1], there[1]
	first.Name, first.Config.LearningRate = "first", 0.2
	middle.Claims, first.Claims, there = nil, nil, there[2:]
	if _, err := published.Reproduce(context.Background(), append(there, first, middle), o); err != nil {
		t.Fatal(err)
	}
	middle.Claims = []published.Claim{{Kind: published.BetterThan, Reference: last.Name, Epochs: 4}}
	first.Claims = []published.Claim{{Kind: published.BetterThan, Reference: middle.Name, Epochs: 4}}
	o.ReadOnly = true
	r := reproduce(t, append(there, first, middle, last), o)
	if names := resultNames(r); !slices.Equal(names, []string{"wild"}) {
		t.Errorf("found %v, expected only what has all runs that it rests on", names)
	}
}

func TestReproduceQuick(t *testing.T) {
	folder := t.TempDir()
	o := optionsFor(folder, 3, "")
	o.Quick = true
	r := reproduce(t, made()[:2], o)
	if !r.Quick || len(r.Seeds) != 1 {
		t.Errorf("found quick %v and the seeds %v", r.Quick, r.Seeds)
	}
	for _, e := range r.Experiments {
		if len(e.Claims) != 0 || len(e.Records[0].Epochs) != published.QuickEpochs {
			t.Errorf("%s: found %d claims and %d epochs", e.Name, len(e.Claims), len(e.Records[0].Epochs))
		}
	}
}

func TestReproduceRefuses(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "results")
	o := optionsFor(folder, 0, "")
	o.Jobs, o.Backend = -1, "tpu"
	_, err := published.Reproduce(context.Background(), made(), o)
	want := "seeds: found 0, expected 1 to 1000\njobs: found -1, expected 0 to 256\nbackend: backend \"tpu\" is unknown"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("found error\n%v\nexpected\n%s", err, want)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("found a results folder (%v)", err)
	}

	// The report of another version or kind is not overwritten.
	r := reproduce(t, made()[:1], optionsFor(folder, 2, ""))
	results := filepath.Join(folder, published.ResultsFile)
	for _, c := range []struct {
		schema int
		quick  bool
		want   string
	}{
		{1, false, "results: " + results + ": found schema 1, expected 2; another version wrote it: choose another folder"},
		{2, true, "results: " + results + ": found the results of a smoke test, expected those of a full reproduction; choose another folder"},
	} {
		r.Schema, r.Quick = c.schema, c.quick
		writeResults(t, folder, r)
		if _, err := published.Reproduce(context.Background(), made(), optionsFor(folder, 2, "")); err == nil || err.Error() != c.want {
			t.Errorf("found error %v, expected %s", err, c.want)
		}
	}
	if err := os.Remove(results); err != nil {
		t.Fatal(err)
	}

	// Nor are runs of other classes summed up.
	evaluation := filepath.Join(folder, r.Experiments[0].Runs[1].Folder, record.EvaluationFile)
	if err := os.WriteFile(evaluation, []byte(`{"confusion": [[1, 0], [0, 1]]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	want = "results: runs/slow-seed1: found 2 classes, expected 3 as in the other runs of slow"
	if _, err := published.Reproduce(context.Background(), made()[:1], optionsFor(folder, 2, "")); err == nil || err.Error() != want {
		t.Errorf("found error %v, expected %s", err, want)
	}
}
