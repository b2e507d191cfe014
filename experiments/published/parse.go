package published

import (
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/model"

	"github.com/goccy/go-yaml/token"
)

// MaxFileBytes is the most that an experiment's file may hold; the longest of the
// embedded ones has less than 2 KiB.
const MaxFileBytes = 64 << 10

// maxName is the longest name of an experiment, which names folders.
const maxName = 64

var validName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// The size of MNIST, which is known before any data is read.
const (
	mnistSide   = 28
	mnistDigits = 10
)

// The keys of a file, in the order in which errors list them.
var (
	fileKeys    = []string{"name", "title", "why", "settings", "claims"}
	settingKeys = []string{"layer_sizes", "activation", "epochs", "learning_rate", "batch_size", "normalize", "shuffle", "data", "validation", "init"}
)

// runKeys are the settings that a file cannot have, for they are chosen alike for
// all experiments when they run: a file that set one would be overruled.
var runKeys = map[string]string{
	"seed":           "seeds are chosen when the experiments run, the same for all of them",
	"backend":        "the backend is chosen when the experiments run, the same for all of them",
	"tf32":           "tf32 is chosen when the experiments run, the same for all of them",
	"steps_per_call": "steps per call are chosen when the experiments run; they change speed, never results",
}

// Load reads the experiment of a user's file, as [Parse] does.
func Load(path string) (Experiment, error) {
	file, err := regular.Open(path)
	if err != nil {
		return Experiment{}, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	if err != nil {
		return Experiment{}, err
	}
	return Parse(path, text)
}

// Parse reads an experiment from the text of a YAML file of at most MaxFileBytes.
// What the settings leave out is as in [experiments.Defaults]. Names of other
// experiments are checked by [Add], not here. Errors are an [*Error] for the
// first problem.
func Parse(file string, text []byte) (Experiment, error) {
	top, err := parseYAML(file, text)
	if err != nil {
		return Experiment{}, err
	}
	entries, err := top.mapping(fileKeys, nil)
	if err != nil {
		return Experiment{}, err
	}
	e := Experiment{File: file, Config: experiments.Defaults()}
	var claims *node
	for _, entry := range entries {
		var err error
		switch entry.key {
		case "name":
			e.Name, err = entry.value.name()
			if at := entry.value.position(); at != nil {
				e.Line, e.Column = at.Line, at.Column
			}
		case "title":
			e.Title, err = entry.value.text()
		case "why":
			e.Why, err = entry.value.text()
		case "settings":
			e.Config, err = entry.value.settings()
		case "claims":
			claims = &entry.value // they depend on the settings, which may come later
		}
		if err != nil {
			return Experiment{}, err
		}
	}
	if e.Name == "" {
		return Experiment{}, top.errorf("found no name, expected one")
	}
	if e.Title == "" {
		e.Title = e.Name
	}
	e.Normalized = e.Config.Normalize
	if claims != nil {
		if e.Claims, err = claims.claims(e.Config); err != nil {
			return Experiment{}, err
		}
	}
	return e, nil
}

// name is the name of an experiment.
func (n node) name() (string, error) {
	text, err := n.text()
	if err != nil {
		return "", err
	}
	if len(text) > maxName || !validName.MatchString(text) {
		return "", n.errorf("found %s, expected at most %d lower-case letters, digits and single hyphens between them", quote(text), maxName)
	}
	return text, nil
}

// settings are the defaults with the deviations in n.
func (n node) settings() (experiments.Config, error) {
	c := experiments.Defaults()
	entries, err := n.mapping(settingKeys, runKeys)
	if err != nil {
		return c, err
	}
	places := map[string]*token.Position{}
	for _, entry := range entries {
		value := entry.value
		places[entry.key] = value.position()
		var err error
		switch entry.key {
		case "layer_sizes":
			c.LayerSizes, err = value.widths()
		case "activation":
			c.Activation, err = value.text()
		case "epochs":
			c.Epochs, err = value.whole()
		case "learning_rate":
			c.LearningRate, err = value.number()
		case "batch_size":
			c.BatchSize, err = value.whole()
		case "normalize":
			c.Normalize, err = value.truth()
		case "shuffle":
			c.Shuffle, err = value.truth()
		case "data":
			c.Data, err = value.text()
		case "validation":
			c.Validation, err = value.whole()
		case "init":
			c.Init, err = value.text()
		}
		if err != nil {
			return c, err
		}
	}
	err = c.Validate()
	var problems experiments.Problems
	if errors.As(err, &problems) {
		return c, n.errorAt(places[problems[0].Field], "%v", problems[0])
	}
	if err == nil && c.Data == dataset.MNIST {
		network := model.FullyConnected{Rows: mnistSide, Columns: mnistSide, Hidden: c.LayerSizes, Classes: mnistDigits, Activation: model.Activation(c.Activation)}
		err = network.Validate()
	}
	if err != nil {
		return c, n.errorAt(places["layer_sizes"], "%v", err)
	}
	return c, nil
}

// widths are the layer sizes.
func (n node) widths() ([]int, error) {
	elements, err := n.list("widths")
	if err != nil {
		return nil, err
	}
	widths := make([]int, len(elements))
	for i, element := range elements {
		if widths[i], err = element.whole(); err != nil {
			return nil, err
		}
	}
	return widths, nil
}

// claims are the claims about an experiment with the settings c.
func (n node) claims(c experiments.Config) ([]Claim, error) {
	elements, err := n.list("claims")
	if err != nil {
		return nil, err
	}
	var claims []Claim
	lines := map[Claim]int{}
	for _, element := range elements {
		claim, err := element.claim(c)
		if err != nil {
			return nil, err
		}
		same := Claim{Kind: claim.Kind, Class: claim.Class, Over: claim.Over, Reference: claim.Reference}
		if line, twice := lines[same]; twice {
			return nil, element.errorf("found the %s a second time, expected it only on line %d", claim, line)
		}
		lines[same] = claim.Line
		claims = append(claims, claim)
	}
	return claims, nil
}

// claim is an element of claims: one kind, and the keys that all kinds have.
func (n node) claim(c experiments.Config) (Claim, error) {
	claim := Claim{Epochs: c.Epochs, Digits: c.Data == dataset.MNIST, Expected: true}
	if at := n.position(); at != nil {
		claim.Line, claim.Column = at.Line, at.Column
	}
	kinds := kindNames()
	entries, err := n.mapping(append(slices.Clone(kinds), "source", "expected"), nil)
	if err != nil {
		return claim, err
	}
	for _, entry := range entries {
		var err error
		value := node{n.file, entry.key, entry.value.ast} // "claims." before it would tell nothing
		switch entry.key {
		case "source":
			claim.Source, err = value.text()
		case "expected":
			claim.Expected, err = value.truth()
		default:
			if claim.Kind != "" {
				return claim, n.errorAt(entry.at, "found %s and %s in one claim, expected one kind", claim.Kind, entry.key)
			}
			claim.Kind = Kind(entry.key)
			err = value.terms(&claim, c)
		}
		if err != nil {
			return claim, err
		}
	}
	if claim.Kind == "" {
		return claim, n.errorf("found a claim of no kind, expected one of %s", strings.Join(kinds, ", "))
	}
	return claim, nil
}

// terms reads what a claim of the kind says.
func (n node) terms(claim *Claim, c experiments.Config) error {
	if claim.Kind == BetterThan {
		var err error
		claim.Reference, err = n.text()
		return err
	}
	keys := claim.Kind.keys()
	entries, err := n.mapping(keys, nil)
	if err != nil {
		return err
	}
	missing := map[string]bool{}
	for _, key := range keys {
		missing[key] = true
	}
	for _, entry := range entries {
		if err := entry.value.term(entry.key, claim, c); err != nil {
			return err
		}
		delete(missing, entry.key)
	}
	for _, key := range keys {
		if missing[key] {
			return n.errorf("found no %s, expected %s", key, strings.Join(keys, ", "))
		}
	}
	return nil
}

// term reads one key of a claim, within what is possible for its kind.
func (n node) term(key string, claim *Claim, c experiments.Config) (err error) {
	switch key {
	case "experiment":
		claim.Reference, err = n.text()
	case "class":
		classes := dataset.MaxClasses
		if claim.Digits {
			classes = mnistDigits
		}
		claim.Class, err = n.wholeBetween(0, classes-1)
	case "over":
		most := c.Epochs
		if claim.Kind == StillRising {
			most-- // there must be an epoch to rise from
		}
		if most < 1 {
			return n.errorf("found a rise in an experiment of 1 epoch, expected at least 2 epochs")
		}
		claim.Over, err = n.wholeBetween(1, most)
	case "value":
		if claim.Kind == CrossoverEpoch {
			var epoch int
			epoch, err = n.wholeBetween(1, c.Epochs)
			claim.Value = float64(epoch)
			return err
		}
		least := 0.0
		if claim.Kind == TrainTestGap {
			least = -1
		}
		claim.Value, err = n.numberBetween(least, 1)
	case "tolerance":
		most := 1.0
		if claim.Kind == CrossoverEpoch {
			most = float64(c.Epochs)
		}
		claim.Tolerance, err = n.tolerance(most)
	}
	return err
}

func (n node) wholeBetween(least, most int) (int, error) {
	value, err := n.whole()
	if err == nil && (value < least || value > most) {
		err = n.errorf("found %d, expected %d to %d", value, least, most)
	}
	return value, err
}

// fraction is the advice for 89.4 where 0.894 is expected.
func fraction(value float64) string {
	if size := math.Abs(value); size > 1 && size <= 100 {
		return "accuracies are fractions: did you mean " + trimmed(value/100) + "?"
	}
	return ""
}

func (n node) numberBetween(least, most float64) (float64, error) {
	value, err := n.number()
	if err == nil && !(value >= least && value <= most) {
		wrong := n.errorf("found %v, expected %v to %v", value, least, most)
		wrong.Advice = fraction(value)
		return value, wrong
	}
	return value, err
}

// tolerance is above 0: otherwise no interval would ever lie within it.
func (n node) tolerance(most float64) (float64, error) {
	value, err := n.number()
	if err == nil && !(value > 0 && value <= most) {
		wrong := n.errorf("found %v, expected above 0, at most %v", value, most)
		if most == 1 {
			wrong.Advice = fraction(value)
		}
		return value, wrong
	}
	return value, err
}
