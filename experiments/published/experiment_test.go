package published_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/model"

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

// known are the post's experiments and those of files with these texts, which are
// called mine-0.yaml and so on.
func known(t testing.TB, texts ...string) ([]published.Experiment, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	var files []string
	for i, text := range texts {
		files = append(files, fmt.Sprintf("mine-%d.yaml", i))
		if err := os.WriteFile(files[i], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return published.Known(files...)
}

// all are the experiments of the post and of the group on convolutions.
func all(t testing.TB) []published.Experiment {
	t.Helper()
	all, err := published.Known()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ofGroup are those of a group, "" for the post's.
func ofGroup(all []published.Experiment, group string) []published.Experiment {
	return slices.DeleteFunc(slices.Clone(all), func(e published.Experiment) bool { return e.Group != group })
}

func names(all []published.Experiment) []string {
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	return names
}

// TestAll compares titles and claims with a list, and checks what else every
// experiment has.
func TestAll(t *testing.T) {
	post := ofGroup(all(t), "")
	if len(post) != 2*len(embedded(t)) {
		t.Errorf("found %d experiments, expected a pair for each of %d files", len(post), len(embedded(t)))
	}
	text := ""
	for i, e := range all(t) {
		text += e.Name + ": " + e.Title + "\n"
		if e.Why == "" || len(e.Claims) == 0 && e.Group == "" {
			t.Errorf("%s: found no reason or no claims", e.Name)
		}
		file := filepath.Join(e.Group, strings.TrimSuffix(e.Name, published.NormalizedSuffix)) + ".yaml"
		if want := "experiments/published/" + file; e.File != want {
			t.Errorf("%s: found the file %s, expected %s", e.Name, e.File, want)
		}
		for _, c := range e.Claims {
			text += "  " + c.String() + ": " + c.Published()
			if !c.Expected {
				text += " (not expected)"
			}
			text += "\n"
			if c.Source == "" {
				t.Errorf("%s: %v: found no source", e.Name, c)
			}
		}
		if e.Group != "" {
			continue
		}
		// The twin differs in its inputs and in nothing else.
		twin := post[i^1]
		if e.Twin != twin.Name || e.Config.Normalize != (i%2 == 1) {
			t.Errorf("%s: found the twin %s and normalized %v, expected %s and %v", e.Name, e.Twin, e.Config.Normalize, twin.Name, i%2 == 1)
		}
		twin.Config.Normalize = e.Config.Normalize
		if diff := cmp.Diff(e.Config, twin.Config); diff != "" {
			t.Errorf("%s: %s", e.Name, diff)
		}
	}
	if diff := cmp.Diff(experiments.Defaults(), post[0].Config); diff != "" {
		t.Errorf("attempt-1 is not the default: %s", diff)
	}
	golden := filepath.Join("testdata", "all.txt")
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

// Claims refer to experiments in any order, and to no other.
func TestKnown(t *testing.T) {
	for _, c := range []struct {
		files         []string
		message, hint string
	}{
		{[]string{"name: a\nclaims: [{better_than: b}, {better_than: best-normalized}]",
			"name: b\nclaims: [{close_to: {experiment: a, tolerance: 0.1}}]"}, "", ""},
		{[]string{"name: deeper"},
			"mine-0.yaml:1:7: name: found deeper, which experiments/published/deeper.yaml already has, expected a new name", ""},
		{[]string{"name: a", "name: a"}, "mine-1.yaml:1:7: name: found a, which mine-0.yaml already has, expected a new name", ""},
		{[]string{"name: a\nclaims: [{better_than: deeepr}]"},
			`mine-0.yaml:2:24: found the unknown experiment "deeepr", expected one of ` + strings.Join(names(all(t)), ", ") + ", a",
			"did you mean deeper?"},
		{[]string{"name: a\nclaims: [{better_than: something}]"},
			`mine-0.yaml:2:24: found the unknown experiment "something", expected one of ` + strings.Join(names(all(t)), ", ") + ", a", ""},
		{[]string{"name: a\nclaims: [{better_than: a}]"}, "mine-0.yaml:2:24: found the experiment itself, expected another one", ""},
	} {
		got, err := known(t, c.files...)
		if c.message == "" {
			mine := got[len(got)-2]
			if err != nil || mine.Name != "a" || mine.File != "mine-0.yaml" || mine.Twin != "" || len(got) != len(all(t))+2 {
				t.Errorf("found %+v, %v", mine, err)
			}
			continue
		}
		checkError(t, err, c.message, c.hint)
	}
}

// checkError compares the first line of an error, and its hint.
func checkError(t *testing.T, err error, message, hint string) {
	t.Helper()
	var problem *published.Error
	if !errors.As(err, &problem) {
		t.Errorf("found %v, expected %s", err, message)
		return
	}
	if found, _, _ := strings.Cut(problem.Error(), "\n"); found != message || problem.Hint() != hint {
		t.Errorf("\n   found %s and the hint %q\nexpected %s and the hint %q", found, problem.Hint(), message, hint)
	}
}

func TestChoose(t *testing.T) {
	everything := all(t)
	post, group := ofGroup(everything, ""), ofGroup(everything, published.Convolution)
	own, err := known(t, "name: mine\nclaims: [{better_than: yours}, {better_than: best}]", "name: yours\nclaims: [{better_than: mine}]")
	if err != nil {
		t.Fatal(err)
	}
	best := []string{"attempt-1", "higher-learning-rate", "smaller-batch", "best"}
	for _, c := range []struct {
		known       []published.Experiment
		names, want []string
	}{
		{everything, nil, names(post)},
		{everything, []string{"convolution"}, names(group)},
		{everything, []string{"convolution", "conv-5k"}, names(group)},
		{everything, []string{"conv-5k"}, []string{"conv-5k", "dense-5k"}},
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
		{"attempt1", "did you mean attempt-1?"}, {"highr-lerning-rat", "did you mean higher-learning-rate?"},
		{"convolutions", "did you mean convolution?"}, {"", ""},
	} {
		_, err := published.Choose(everything, []string{"best", c.name})
		checkError(t, err, `experiment "`+c.name+`" is unknown, expected one of `+strings.Join(names(everything), ", ")+", convolution", c.hint)
	}
}

// The networks that are compared are as large, and train with as much arithmetic, as is claimed.
func TestConvolutionBudgets(t *testing.T) {
	group := ofGroup(all(t), published.Convolution)
	size := func(name string) (parameters, work float64) {
		c := group[slices.Index(names(group), name)].Config
		network, err := c.Architecture(28, 28, 10)
		if err != nil {
			t.Fatal(err)
		}
		return float64(model.ParameterCount(network.Parameters())), model.TrainFLOPs(network) * float64(c.Epochs)
	}
	for _, c := range []struct {
		convolution, dense string
		parameters         float64
	}{{"conv-5k", "dense-5k", 5400}, {"conv-35k", "dense-35k", 34_200}, {"conv-670k", "dense-670k", 670_000}} {
		convolution, _ := size(c.convolution)
		dense, _ := size(c.dense)
		if max(convolution, dense) > 1.04*c.parameters || min(convolution, dense) < 0.96*c.parameters {
			t.Errorf("%s and %s: found %g and %g parameters, expected about %g", c.convolution, c.dense, convolution, dense, c.parameters)
		}
	}
	_, convolution := size("conv-35k")
	if _, dense := size("dense-equal-work"); dense < convolution || dense > 1.05*convolution {
		t.Errorf("found %g operations an image for the fully connected network and %g for the convolution", dense, convolution)
	}
}
