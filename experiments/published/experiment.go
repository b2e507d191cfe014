package published

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"epochal/experiments"
	"epochal/experiments/strict"

	"github.com/goccy/go-yaml/ast"
)

// Experiment is a named setting with what is claimed about it.
type Experiment struct {
	Name    string             // lower-case letters, digits and hyphens; unique
	Title   string             // one line; the name unless the file has one
	Why     string             // what differs from attempt 1 and why, "" if the file does not say
	Config  experiments.Config // valid; Seed and Backend are left to whoever runs it
	Claims  []Claim            // in the order of the file; may be empty
	Distort bool               // evaluate the networks on distorted test images as well
	Group   string             // what the experiment belongs to: Convolution, or "" for the post's and users'
	Twin    string             // the same experiment of the post with the other inputs, "" for a user's experiment

	File string   // where it is written; of an embedded one its path in the repository
	body ast.Node // of File, for errors; nil for one that was not read from a file
}

// NormalizedSuffix ends the name of the twin whose inputs are normalized.
const NormalizedSuffix = "-normalized"

// Convolution is the group of experiments on the post's open question, how different convolutions are.
const Convolution = "convolution"

// convolutions are that group, in the order in which its report has them.
var convolutions = []string{
	"conv-5k", "dense-5k", "conv-35k", "dense-35k", "conv-670k", "dense-670k", "dense-equal-time", "dense-equal-work",
	"conv-100-images", "dense-100-images", "conv-1000-images", "dense-1000-images", "conv-10000-images", "dense-10000-images",
	"conv-35k-permuted", "dense-35k-permuted", "conv-best",
}

//go:embed *.yaml convolution/*.yaml
var embedded embed.FS

// folder is where the embedded files are in the repository.
const folder = "experiments/published/"

// order is that of the post; the names of the files.
var order = []string{
	"attempt-1",
	"deeper", "wider", "narrower", "one-layer",
	"higher-learning-rate", "smaller-batch",
	"best",
}

// place is where an experiment stands in the post, after all of it for a user's,
// which has none of the post's names.
func place(e ExperimentResult) int {
	if i := slices.Index(convolutions, e.Name); i >= 0 {
		return 2*len(order) + i
	}
	i := slices.Index(order, strings.TrimSuffix(e.Name, NormalizedSuffix))
	if i < 0 {
		return 2*len(order) + len(convolutions)
	}
	if e.Normalized {
		return 2*i + 1
	}
	return 2 * i
}

// normalized is the twin of an embedded experiment. The post's numbers are not
// those of normalized inputs, so the twin makes the same claims and none of them
// is expected to hold.
func normalized(e Experiment) Experiment {
	twin := e
	twin.Name, twin.Twin = e.Twin, e.Name
	twin.Title += ", inputs normalized"
	twin.Why += " Here the inputs are normalized by their mean and deviation, " +
		"as in the post's code, although its numbers are those of inputs from 0 to 1."
	twin.Config.Normalize = true
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

// Known returns the post's experiments in its order, each as published (inputs 0 to
// 1) and right after it its twin with normalized inputs, after them those of the group
// Convolution, and then those of users' files. Claims may refer to experiments in any order, but not to their own
// or an unknown one. Errors of a file's content are an [*Error].
func Known(files ...string) ([]Experiment, error) {
	var known []Experiment
	for _, name := range order {
		text, err := embedded.ReadFile(name + ".yaml")
		if err != nil {
			return nil, err
		}
		e, err := Parse(folder+name+".yaml", text)
		if err != nil {
			return nil, err
		}
		e.Twin = e.Name + NormalizedSuffix
		known = append(known, e, normalized(e))
	}
	for _, name := range convolutions {
		file := Convolution + "/" + name + ".yaml"
		text, err := embedded.ReadFile(file)
		if err != nil {
			return nil, err
		}
		e, err := Parse(folder+file, text)
		if err != nil {
			return nil, err
		}
		e.Group = Convolution
		known = append(known, e)
	}
	for _, file := range files {
		e, err := load(file)
		if err != nil {
			return nil, err
		}
		known = append(known, e)
	}
	names := namesOf(known)
	for i, e := range known {
		if e.Name == Convolution {
			return nil, strict.InFile(e.File, strict.Wrong(strict.At(e.body, "$.name"),
				"name: found %s, the name of a group of experiments, expected another one", e.Name))
		}
		if first := slices.Index(names, e.Name); first < i {
			return nil, strict.InFile(e.File, strict.Wrong(strict.At(e.body, "$.name"),
				"name: found %s, which %s already has, expected a new name", e.Name, known[first].File))
		}
		for i, c := range e.Claims {
			at := strict.At(e.body, fmt.Sprintf("$.claims[%d].%s", i, c.Kind))
			switch {
			case c.Reference == e.Name:
				return nil, strict.InFile(e.File, strict.Wrong(at, "found the experiment itself, expected another one"))
			case c.Reference != "" && !slices.Contains(names, c.Reference):
				return nil, strict.InFile(e.File, strict.Unknown(at, "found the unknown experiment %.40q", c.Reference, names))
			case c.By != 0 && !(e.Distort && known[slices.Index(names, c.Reference)].Distort):
				return nil, strict.InFile(e.File, strict.Wrong(at, "found an experiment without \"distorted: true\", expected it in %s and in %s",
					e.Name, c.Reference))
			}
		}
	}
	return known, nil
}

func namesOf(all []Experiment) []string {
	names := make([]string, len(all))
	for i, e := range all {
		names[i] = e.Name
	}
	return names
}

// Choose returns the known experiments that a command asks for and whatever their
// claims refer to, in the order of known, each once: those of the names, each with
// its twin, so that the numbers show what Normalize does; without names those of
// the users' files; without these the post's. The name of a group stands for all of
// it. Errors are an [*Error] that lists the known names.
func Choose(known []Experiment, names []string) ([]Experiment, error) {
	all := namesOf(known)
	for _, name := range names {
		if name != Convolution && !slices.Contains(all, name) {
			return nil, strict.Unknown(nil, "experiment %.40q is unknown", name, append(all, Convolution))
		}
	}
	chosen := map[string]bool{}
	var choose func(name string)
	choose = func(name string) {
		if name == "" || chosen[name] {
			return
		}
		chosen[name] = true
		for _, c := range known[slices.Index(all, name)].Claims {
			choose(c.Reference)
		}
	}
	for _, e := range known {
		if slices.Contains(names, e.Name) || slices.Contains(names, e.Group) || len(names) == 0 && e.Twin == "" && e.Group == "" {
			choose(e.Name)
			choose(e.Twin)
		}
	}
	return slices.DeleteFunc(slices.Clone(known), func(e Experiment) bool {
		return !chosen[e.Name] && (len(chosen) > 0 || e.Group != "")
	}), nil
}
