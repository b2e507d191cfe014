package published

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"epochal/experiments"
)

// Experiment is a named setting with what is claimed about it.
type Experiment struct {
	Name       string             // lower-case letters, digits and hyphens; unique
	Title      string             // one line; the name unless the file has one
	Why        string             // what differs from attempt 1 and why, "" if the file does not say
	Config     experiments.Config // valid; Seed and Backend are for who runs it to choose
	Claims     []Claim            // in the order of the file; may be empty
	Twin       string             // the same experiment with the other inputs, "" for a user's experiment
	Normalized bool               // Config.Normalize: inputs normalized instead of 0 to 1

	File         string // where it is written; of an embedded one its path in the repository
	Line, Column int    // of the name in File, from 1
}

// NormalizedSuffix ends the name of the twin whose inputs are normalized.
const NormalizedSuffix = "-normalized"

//go:embed *.yaml
var files embed.FS

// folder is where the embedded files are in the repository.
const folder = "experiments/published/"

// order is that of the post; the names of the files.
var order = []string{
	"attempt-1",
	"deeper", "wider", "narrower", "one-layer",
	"higher-learning-rate", "smaller-batch",
	"best",
}

// All returns the post's experiments in its order, each as published (inputs 0 to
// 1) and right after it its twin with normalized inputs. The values are the
// caller's to change.
func All() ([]Experiment, error) {
	var all []Experiment
	for _, name := range order {
		text, err := files.ReadFile(name + ".yaml")
		if err != nil {
			return nil, err
		}
		e, err := Parse(folder+name+".yaml", text)
		if err != nil {
			return nil, err
		}
		e.Twin = e.Name + NormalizedSuffix
		all = append(all, e, normalized(e))
	}
	return Add(nil, all...)
}

// normalized is the twin of an embedded experiment. The post's numbers are not
// those of normalized inputs, so the twin makes the same claims and none of them
// is expected to hold.
func normalized(e Experiment) Experiment {
	twin := e
	twin.Name, twin.Twin = e.Twin, e.Name
	twin.Title += ", inputs normalized"
	twin.Why += " Here the inputs are normalized by their mean and deviation, as the post's code reads; its numbers are those of inputs from 0 to 1."
	twin.Config.LayerSizes = slices.Clone(e.Config.LayerSizes)
	twin.Config.Normalize, twin.Normalized = true, true
	twin.Claims = slices.Clone(e.Claims)
	for i := range twin.Claims {
		claim := &twin.Claims[i]
		claim.Expected = false
		if claim.Reference != "" {
			claim.Reference += NormalizedSuffix
		}
	}
	return twin
}

// Add returns the known experiments with more after them. It refuses names that
// are taken, claims that refer to an unknown experiment or to their own, and
// references that go in a circle. Errors are an [*Error].
func Add(known []Experiment, more ...Experiment) ([]Experiment, error) {
	all := append(slices.Clip(slices.Clone(known)), more...)
	index := map[string]int{}
	for i, e := range all {
		if first, taken := index[e.Name]; taken {
			return nil, &Error{File: e.File, Line: e.Line, Column: e.Column,
				Text: fmt.Sprintf("name: found %s, which %s has already, expected a new name", e.Name, all[first].File)}
		}
		index[e.Name] = i
	}
	for _, e := range all {
		for _, c := range e.Claims {
			_, ok := index[c.Reference]
			switch {
			case c.Reference == "":
			case c.Reference == e.Name:
				return nil, e.claimError(c, "found the experiment itself, expected another one")
			case !ok:
				names := names(all)
				err := e.claimError(c, "found the unknown experiment %s, expected one of %s", quote(c.Reference), strings.Join(names, ", "))
				err.Advice = didYouMean(c.Reference, names)
				return nil, err
			}
		}
	}
	if err := checkCircles(all, index); err != nil {
		return nil, err
	}
	return all, nil
}

// claimError is an error in a claim of e.
func (e Experiment) claimError(c Claim, format string, values ...any) *Error {
	return &Error{File: e.File, Line: c.Line, Column: c.Column, Text: fmt.Sprintf("%s: %s", c.Kind, fmt.Sprintf(format, values...))}
}

// checkCircles refuses references that lead back to where they start: a better
// than b better than a. All references are known.
func checkCircles(all []Experiment, index map[string]int) error {
	done := make([]bool, len(all))
	var path []string
	var visit func(i int) error
	visit = func(i int) error {
		if done[i] {
			return nil
		}
		e := all[i]
		path = append(path, e.Name)
		for _, c := range e.Claims {
			if c.Reference == "" {
				continue
			}
			if start := slices.Index(path, c.Reference); start >= 0 {
				circle := append(slices.Clone(path[start:]), c.Reference)
				return e.claimError(c, "found the circle %s, expected references that end", strings.Join(circle, " -> "))
			}
			if err := visit(index[c.Reference]); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		done[i] = true
		return nil
	}
	for i := range all {
		if err := visit(i); err != nil {
			return err
		}
	}
	return nil
}

// Select returns the known experiments of those names and whatever their claims
// refer to, in the order of known, each once. No names select all. Errors are an
// [*Error] that lists the known names.
func Select(known []Experiment, wanted []string) ([]Experiment, error) {
	if len(wanted) == 0 {
		return slices.Clone(known), nil
	}
	index := map[string]int{}
	for i, e := range known {
		index[e.Name] = i
	}
	selected := make([]bool, len(known))
	for left := slices.Clone(wanted); len(left) > 0; left = left[1:] {
		i, ok := index[left[0]]
		if !ok {
			names := names(known)
			return nil, &Error{Text: fmt.Sprintf("experiment %s is unknown, expected one of %s", quote(left[0]), strings.Join(names, ", ")),
				Advice: didYouMean(left[0], names)}
		}
		if selected[i] {
			continue
		}
		selected[i] = true
		for _, c := range known[i].Claims {
			if c.Reference != "" {
				left = append(left, c.Reference)
			}
		}
	}
	var all []Experiment
	for i, e := range known {
		if selected[i] {
			all = append(all, e)
		}
	}
	return all, nil
}

func names(all []Experiment) []string {
	names := make([]string, len(all))
	for i, e := range all {
		names[i] = e.Name
	}
	return names
}
