package published

import (
	"cmp"
	"embed"
	"fmt"
	"slices"
	"strings"

	"epochal/experiments"

	"github.com/goccy/go-yaml/ast"
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
	Own        bool               // a user's experiment, not the post's

	File string   // where it is written; of an embedded one its path in the repository
	body ast.Node // of File, for errors; nil for one that was not read from a file
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

// place is where an experiment stands in the post, after all of it for a user's.
func place(e ExperimentResult) int {
	i := slices.Index(order, strings.TrimSuffix(e.Name, NormalizedSuffix))
	if i < 0 || e.Own {
		return 2 * len(order)
	}
	if e.Normalized {
		return 2*i + 1
	}
	return 2 * i
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
	twin.Why += " Here the inputs are normalized by their mean and deviation, " +
		"as the post's code reads; its numbers are those of inputs from 0 to 1."
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

// Known returns the post's experiments and, after them, those of users' files.
// Their claims may refer to each other in any order.
func Known(files ...string) ([]Experiment, error) {
	known, err := All()
	if err != nil {
		return nil, err
	}
	var own []Experiment
	for _, file := range files {
		e, err := load(file)
		if err != nil {
			return nil, err
		}
		own = append(own, e)
	}
	return Add(known, own...)
}

// Choose returns the known experiments that a command asks for and whatever their
// claims refer to, in the order of known, each once: those of the names, each with
// its twin, so that the numbers show what Normalize does; without names those of
// the users' files; without these all. Errors are an [*Error] that lists the known
// names.
func Choose(known []Experiment, names []string) ([]Experiment, error) {
	wanted := slices.Clone(names)
	for _, e := range known {
		if slices.Contains(names, e.Name) && e.Twin != "" || len(names) == 0 && e.Own {
			wanted = append(wanted, cmp.Or(e.Twin, e.Name))
		}
	}
	if len(wanted) == 0 {
		return slices.Clone(known), nil
	}
	chosen := map[string]bool{}
	for ; len(wanted) > 0; wanted = wanted[1:] {
		i := slices.IndexFunc(known, func(e Experiment) bool { return e.Name == wanted[0] })
		if i < 0 {
			all := namesOf(known)
			return nil, &Error{Text: fmt.Sprintf("experiment %.40q is unknown, expected one of %s", wanted[0], strings.Join(all, ", ")),
				Advice: didYouMean(wanted[0], all)}
		}
		if !chosen[known[i].Name] {
			chosen[known[i].Name] = true
			wanted = append(wanted, known[i].references()...)
		}
	}
	return slices.DeleteFunc(slices.Clone(known), func(e Experiment) bool { return !chosen[e.Name] }), nil
}

// references are the experiments that the claims of e compare it with.
func (e Experiment) references() (names []string) {
	for _, c := range e.Claims {
		if c.Reference != "" {
			names = append(names, c.Reference)
		}
	}
	return names
}

// Add returns the known experiments with more after them. It refuses names that
// are taken, and claims that refer to an unknown experiment or to their own. Errors
// are an [*Error].
func Add(known []Experiment, more ...Experiment) ([]Experiment, error) {
	all := append(slices.Clip(slices.Clone(known)), more...)
	files := map[string]string{}
	for _, e := range all {
		if file, taken := files[e.Name]; taken {
			return nil, e.wrong("$.name", "name: found %s, which %s has already, expected a new name", e.Name, file)
		}
		files[e.Name] = e.File
	}
	for _, e := range all {
		for i, c := range e.Claims {
			at := fmt.Sprintf("$.claims[%d].%s", i, c.Kind)
			_, found := files[c.Reference]
			switch {
			case c.Reference == "":
			case c.Reference == e.Name:
				return nil, e.wrong(at, "found the experiment itself, expected another one")
			case !found:
				names := namesOf(all)
				err := e.wrong(at, "found the unknown experiment %.40q, expected one of %s", c.Reference, strings.Join(names, ", "))
				err.Advice = didYouMean(c.Reference, names)
				return nil, err
			}
		}
	}
	return all, nil
}

// wrong is an error at a path of the experiment's file.
func (e Experiment) wrong(path, format string, values ...any) *Error {
	err := wrong(nodeAt(e.body, path), format, values...)
	err.File = e.File
	return err
}

func namesOf(all []Experiment) []string {
	names := make([]string, len(all))
	for i, e := range all {
		names[i] = e.Name
	}
	return names
}

// didYouMean is the advice for a name that is none of the known ones: the nearest
// of them, or "" if none is near.
func didYouMean(name string, known []string) string {
	best, least := "", min(len(name), max(2, len(name)/3)+1)
	for _, candidate := range known {
		if d := distance(strings.ToLower(name), candidate); d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance is Levenshtein's: how many bytes must be inserted, deleted or replaced
// to make b of a, which is cut where it is much too long to be near.
func distance(a, b string) int {
	a = a[:min(len(a), 2*maxName)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, replaced)
		}
	}
	return row[len(b)]
}
