package published_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"epochal/experiments"
	"epochal/experiments/published"

	"github.com/google/go-cmp/cmp"
)

// embedded are the experiments' files.
func embedded(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %d files, %v, expected the experiments", len(paths), err)
	}
	return paths
}

// all are the post's experiments.
func all(t testing.TB) []published.Experiment {
	t.Helper()
	all, err := published.All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func names(all []published.Experiment) []string {
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	return names
}

func TestAll(t *testing.T) {
	var got []string
	for _, e := range all(t) {
		got = append(got, e.Name+": "+e.Title)
		for _, c := range e.Claims {
			expected := ""
			if !c.Expected {
				expected = " (not expected)"
			}
			got = append(got, "  "+c.String()+": "+c.Published()+expected)
		}
	}
	golden := filepath.Join("testdata", "all.txt")
	text := strings.Join(got, "\n") + "\n"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("set UPDATE_GOLDEN=1 if this is as it should be:\n%s", diff)
	}
}

func TestAllAreComplete(t *testing.T) {
	known := all(t)
	if len(known) != 2*len(embedded(t)) {
		t.Errorf("found %d experiments, expected a pair for each of %d files", len(known), len(embedded(t)))
	}
	for i, e := range known {
		if e.Why == "" || len(e.Claims) == 0 {
			t.Errorf("%s: found no reason or no claims", e.Name)
		}
		if want := "experiments/published/" + strings.TrimSuffix(e.Name, published.NormalizedSuffix) + ".yaml"; e.File != want {
			t.Errorf("%s: found the file %s, expected %s", e.Name, e.File, want)
		}
		for _, c := range e.Claims {
			if c.Source == "" {
				t.Errorf("%s: %v: found no source", e.Name, c)
			}
			if c.Expected == e.Normalized {
				t.Errorf("%s: %v: found expected %v, expected the published ones and only those", e.Name, c, c.Expected)
			}
			if c.Reference != "" && strings.HasSuffix(c.Reference, published.NormalizedSuffix) != e.Normalized {
				t.Errorf("%s: %v: found a comparison across the inputs", e.Name, c)
			}
		}
		// The twin differs in its inputs and in nothing else.
		twin := known[i^1]
		if e.Twin != twin.Name || e.Normalized != (i%2 == 1) || e.Config.Normalize != e.Normalized {
			t.Errorf("%s: found the twin %s and normalized %v, expected %s and %v", e.Name, e.Twin, e.Normalized, twin.Name, i%2 == 1)
		}
		twin.Config.Normalize = e.Config.Normalize
		if diff := cmp.Diff(e.Config, twin.Config); diff != "" {
			t.Errorf("%s: %s", e.Name, diff)
		}
	}
	if diff := cmp.Diff(experiments.Defaults(), known[0].Config); diff != "" {
		t.Errorf("attempt-1 is not the default: %s", diff)
	}
	known[0].Config.LayerSizes[0], known[0].Claims[0].Value = 1, 1
	if again := all(t); again[0].Config.LayerSizes[0] != 512 || known[1].Config.LayerSizes[0] != 512 || known[1].Claims[0].Value == 1 {
		t.Error("found that changing one experiment changes another")
	}
}

// experiment is one with claims of being better than, or close to, the references.
func experiment(name string, references ...string) published.Experiment {
	e := published.Experiment{Name: name, File: name + ".yaml"}
	for i, reference := range references {
		kind := published.BetterThan
		if i%2 == 1 {
			kind = published.CloseTo
		}
		e.Claims = append(e.Claims, published.Claim{Kind: kind, Reference: reference})
	}
	return e
}

func TestAdd(t *testing.T) {
	known := []published.Experiment{experiment("base"), experiment("deep", "base")}
	for _, c := range []struct {
		more          []published.Experiment
		message, hint string
	}{
		{nil, "", ""},
		{[]published.Experiment{experiment("mine", "deep", "base"), experiment("yours", "mine")}, "", ""},
		{[]published.Experiment{experiment("mine", "yours"), experiment("yours", "mine")}, "", ""}, // in any order
		{[]published.Experiment{experiment("deep")}, "deep.yaml: name: found deep, which deep.yaml has already, expected a new name", ""},
		{[]published.Experiment{experiment("a"), experiment("a")}, "a.yaml: name: found a, which a.yaml has already, expected a new name",
			""},
		{[]published.Experiment{experiment("mine", "base", "deeep")},
			`mine.yaml: found the unknown experiment "deeep", expected one of base, deep, mine`,
			"did you mean deep?"},
		{[]published.Experiment{experiment("mine", "something")},
			`mine.yaml: found the unknown experiment "something", expected one of base, deep, mine`,
			""},
		{[]published.Experiment{experiment("mine", "mine")}, "mine.yaml: found the experiment itself, expected another one", ""},
	} {
		all, err := published.Add(known, c.more...)
		if c.message == "" {
			if want := append(names(known), names(c.more)...); err != nil || !slices.Equal(names(all), want) {
				t.Errorf("%v: found %v, %v, expected %v", names(c.more), names(all), err, want)
			}
			continue
		}
		var problem *published.Error
		if !errors.As(err, &problem) || err.Error() != c.message || problem.Hint() != c.hint {
			t.Errorf("%v:\n   found %v\nexpected %s and the hint %q", names(c.more), err, c.message, c.hint)
		}
	}
	if len(known) != 2 {
		t.Error("found that Add changed what it was given")
	}
}

func TestChoose(t *testing.T) {
	post := all(t)
	mine, yours := experiment("mine", "yours", "best"), experiment("yours", "mine")
	mine.Own, yours.Own = true, true
	own, err := published.Add(post, mine, yours)
	if err != nil {
		t.Fatal(err)
	}
	best := []string{"attempt-1", "higher-learning-rate", "smaller-batch", "best"}
	for _, c := range []struct {
		known       []published.Experiment
		names, want []string
	}{
		{post, nil, names(post)},
		{post, []string{"deeper", "attempt-1", "deeper"}, []string{"attempt-1", "attempt-1-normalized", "deeper", "deeper-normalized"}},
		{post, []string{"smaller-batch-normalized"}, []string{"attempt-1", "attempt-1-normalized", "smaller-batch", "smaller-batch-normalized"}},
		{own, nil, append(best, "mine", "yours")}, // those of the files and what they need, no twins
		{own, []string{"yours"}, append(best, "mine", "yours")},
		{own, []string{"attempt-1"}, []string{"attempt-1", "attempt-1-normalized"}},
	} {
		got, err := published.Choose(c.known, c.names)
		if err != nil || !slices.Equal(names(got), c.want) {
			t.Errorf("%v: found %v, %v, expected %v", c.names, names(got), err, c.want)
		}
	}
	for _, c := range []struct{ name, hint string }{
		{"bset", "did you mean best?"}, {"Deeper", "did you mean deeper?"}, {"smallerbatch", "did you mean smaller-batch?"},
		{"attempt1", "did you mean attempt-1?"}, {"convolution", ""}, {"", ""},
	} {
		_, err := published.Choose(post, []string{"best", c.name})
		want := `experiment "` + c.name + `" is unknown, expected one of ` + strings.Join(names(post), ", ")
		var problem *published.Error
		if !errors.As(err, &problem) || err.Error() != want || problem.Hint() != c.hint {
			t.Errorf("found %#v, expected %s with the hint %q", err, want, c.hint)
		}
	}
}
