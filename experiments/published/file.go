package published

import (
	"errors"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"

	"github.com/goccy/go-yaml/ast"
)

// maxName is the longest name of an experiment, which names folders.
const maxName = 64

var validName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// The size of MNIST, which is known before any data is read.
const (
	mnistSide   = 28 // pixels
	mnistDigits = 10
)

// content is what a file holds.
type content struct {
	Name     string     `yaml:"name"`
	Title    string     `yaml:"title"`
	Why      string     `yaml:"why"`
	Settings ast.Node   `yaml:"settings"`
	Claims   []ast.Node `yaml:"claims"`
}

// settings are the deviations from [experiments.Defaults]. Those that are missing
// here (seed, backend, TF32, steps per call) are chosen when the experiments run,
// alike for all of them.
type settings struct {
	LayerSizes   []whole `yaml:"layer_sizes"`
	Activation   string  `yaml:"activation"`
	Epochs       whole   `yaml:"epochs"`
	LearningRate number  `yaml:"learning_rate"`
	BatchSize    whole   `yaml:"batch_size"`
	Normalize    bool    `yaml:"normalize"`
	Shuffle      bool    `yaml:"shuffle"`
	Data         string  `yaml:"data"`
	Validation   whole   `yaml:"validation"`
	Init         string  `yaml:"init"`
}

// load reads the experiment of a user's file.
func load(path string) (Experiment, error) {
	file, err := regular.Open(path)
	if err != nil {
		return Experiment{}, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	if err != nil {
		return Experiment{}, err
	}
	e, err := Parse(path, text)
	e.Own = true
	return e, err
}

// Parse reads an experiment from the text of a YAML file of at most MaxFileBytes.
// What the settings leave out is as in [experiments.Defaults]. Names of other
// experiments are checked by [Add], not here. Errors are an [*Error] for the
// first problem.
func Parse(file string, text []byte) (Experiment, error) {
	body, err := parseYAML(text)
	if err != nil {
		return Experiment{}, inFile(file, err)
	}
	e := Experiment{File: file, body: body}
	if err := e.read(); err != nil {
		return Experiment{}, inFile(file, err)
	}
	return e, nil
}

// read reads the experiment from its body.
func (e *Experiment) read() error {
	var c content
	if err := decode(e.body, &c); err != nil {
		return err
	}
	if c.Name == "" {
		return wrong(e.body, "found no name, expected one")
	}
	if len(c.Name) > maxName || !validName.MatchString(c.Name) {
		return wrong(nodeAt(e.body, "$.name"),
			"name: found %.40q, expected at most %d lower-case letters, digits and single hyphens between them", c.Name, maxName)
	}
	e.Name, e.Title, e.Why = c.Name, oneLine(c.Title), oneLine(c.Why)
	if e.Title == "" {
		e.Title = e.Name
	}
	var err error
	if e.Config, err = configOf(c.Settings); err != nil {
		return err
	}
	e.Normalized = e.Config.Normalize
	for _, n := range c.Claims {
		claim, err := claimOf(n, e.Config)
		if err != nil {
			return err
		}
		e.Claims = append(e.Claims, claim)
	}
	return nil
}

// oneLine is a text without line breaks, and without control characters, which no
// terminal should be sent.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// configOf are the defaults with the deviations in n, which may be nil.
func configOf(n ast.Node) (experiments.Config, error) {
	c := experiments.Defaults()
	if n == nil {
		return c, nil
	}
	s := settings{
		Activation: c.Activation, Epochs: whole(c.Epochs), LearningRate: number(c.LearningRate), BatchSize: whole(c.BatchSize),
		Normalize: c.Normalize, Shuffle: c.Shuffle, Data: c.Data, Validation: whole(c.Validation), Init: c.Init,
	}
	if err := decode(n, &s); err != nil {
		return c, err
	}
	if s.LayerSizes != nil {
		c.LayerSizes = make([]int, len(s.LayerSizes))
		for i, width := range s.LayerSizes {
			c.LayerSizes[i] = int(width)
		}
	}
	c.Activation, c.Epochs, c.LearningRate, c.BatchSize = s.Activation, int(s.Epochs), float64(s.LearningRate), int(s.BatchSize)
	c.Normalize, c.Shuffle, c.Data, c.Validation, c.Init = s.Normalize, s.Shuffle, s.Data, int(s.Validation), s.Init

	err := c.Validate()
	var problems experiments.Problems
	if errors.As(err, &problems) {
		return c, wrong(nodeAt(n, "$."+problems[0].Field), "%v", problems[0])
	}
	if c.Data == dataset.MNIST {
		if _, err := c.Architecture(mnistSide, mnistSide, mnistDigits); err != nil {
			return c, wrong(nodeAt(n, "$.layer_sizes"), "%v", errors.Unwrap(err))
		}
	}
	return c, nil
}

// fields returns the values of a mapping by their keys, all of them known.
func fields(n ast.Node, known ...string) (values map[string]ast.Node, err error) {
	if err := decode(n, &values); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, key) {
			err := wrong(values[key], "found the key %.40q, expected one of %s", key, strings.Join(known, ", "))
			err.Advice = didYouMean(key, known)
			return nil, err
		}
	}
	return values, nil
}

// claimOf reads a claim on an experiment with the settings config: one kind, and
// the keys that all kinds have.
func claimOf(n ast.Node, config experiments.Config) (Claim, error) {
	claim := Claim{Epochs: config.Epochs, Digits: config.Data == dataset.MNIST, Expected: true}
	known := []string{"source", "expected"}
	for _, row := range kinds {
		known = append(known, string(row.name))
	}
	values, err := fields(n, known...)
	if err != nil {
		return claim, err
	}
	if source := values["source"]; source != nil {
		err = decode(source, &claim.Source)
		claim.Source = oneLine(claim.Source)
	}
	if expected := values["expected"]; expected != nil && err == nil {
		err = decode(expected, &claim.Expected)
	}
	for _, row := range kinds {
		terms := values[string(row.name)]
		switch {
		case err != nil:
			return claim, err
		case terms != nil && claim.Kind != "":
			return claim, wrong(n, "found %s and %s in one claim, expected one kind", claim.Kind, row.name)
		case terms != nil:
			claim.Kind = row.name
			err = claim.readTerms(terms, row)
		}
	}
	if err == nil && claim.Kind == "" {
		err = wrong(n, "found a claim of no kind, expected one of %s", strings.Join(known[2:], ", "))
	}
	return claim, err
}

// readTerms reads what a claim of a kind says, within what is possible for it.
func (c *Claim) readTerms(n ast.Node, row kind) error {
	if row.fields == nil {
		return decode(n, &c.Reference)
	}
	values, err := fields(n, row.fields...)
	least, most := row.unit.bounds(c.Epochs)
	for _, field := range row.fields {
		value := values[field]
		switch {
		case err != nil:
			return err
		case value == nil:
			return wrong(n, "found no %s, expected %s", field, strings.Join(row.fields, ", "))
		case field == "experiment":
			err = decode(value, &c.Reference)
		case field == "class" && c.Digits:
			err = decodeBetween(value, (*whole)(&c.Class), 0, mnistDigits-1)
		case field == "class":
			err = decodeBetween(value, (*whole)(&c.Class), 0, dataset.MaxClasses-1)
		case field == "over" && c.Epochs <= row.spare:
			err = wrong(value, "found an experiment of %s, expected more for this kind of claim", plural(c.Epochs, "epoch"))
		case field == "over":
			err = decodeBetween(value, (*whole)(&c.Over), 1, whole(c.Epochs-row.spare))
		case field == "value" && row.unit == epoch:
			var first whole
			err = decodeBetween(value, &first, whole(least), whole(most))
			c.Value = float64(first)
		case field == "value":
			err = decodeBetween(value, (*number)(&c.Value), number(least), number(most))
		case field == "tolerance": // above 0: otherwise no interval would ever lie within it
			err = decodeBetween(value, (*number)(&c.Tolerance), 1e-6, number(most))
		}
	}
	return err
}

func decodeBetween[T whole | number](n ast.Node, value *T, least, most T) error {
	if err := decode(n, value); err != nil {
		return err
	}
	if *value >= least && *value <= most {
		return nil
	}
	err := wrong(n, "found %v, expected %v to %v", *value, least, most)
	if x := float64(*value); most == 1 && math.Abs(x) > 1 && math.Abs(x) <= 100 {
		err.Advice = "accuracies are fractions: did you mean " + unit{scale: 0.01}.exact(x) + "?"
	}
	return err
}
