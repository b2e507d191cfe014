package published

import (
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/model"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// maxName is the longest name of an experiment, which names folders.
const maxName = 64

// The size of MNIST, which is known before any data is read.
const (
	mnistPixels = 28 * 28
	mnistDigits = 10
)

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
	if err == nil {
		var e Experiment
		if e, err = experimentOf(body); err == nil {
			e.File, e.body = file, body
			return e, nil
		}
	}
	var problem *Error
	if !errors.As(err, &problem) {
		problem = &Error{Text: fmt.Sprintf("found what is not YAML: %.200s", err)}
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			problem.Text, problem.at = fmt.Sprintf("%.200s", syntax.GetMessage()), syntax.GetToken()
		}
	}
	problem.File = file
	return Experiment{}, problem
}

// content is what a file holds.
type content struct {
	Name     text       `yaml:"name"`
	Title    text       `yaml:"title"`
	Why      text       `yaml:"why"`
	Settings ast.Node   `yaml:"settings"`
	Claims   []ast.Node `yaml:"claims"`
}

// settings are the deviations from [experiments.Defaults]. Those that are missing
// here (seed, backend, TF32, steps per call) are chosen when the experiments run,
// alike for all of them.
type settings struct {
	LayerSizes   []whole `yaml:"layer_sizes"`
	Activation   text    `yaml:"activation"`
	Epochs       whole   `yaml:"epochs"`
	LearningRate number  `yaml:"learning_rate"`
	BatchSize    whole   `yaml:"batch_size"`
	Normalize    bool    `yaml:"normalize"`
	Shuffle      bool    `yaml:"shuffle"`
	Data         text    `yaml:"data"`
	Validation   whole   `yaml:"validation"`
	Init         text    `yaml:"init"`
}

var validName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// experimentOf reads an experiment but for where it is written.
func experimentOf(body ast.Node) (Experiment, error) {
	var c content
	if err := decode(body, &c); err != nil {
		return Experiment{}, err
	}
	if c.Name == "" {
		return Experiment{}, wrong(body, "found no name, expected one")
	}
	e := Experiment{Name: string(c.Name), Title: string(c.Title), Why: string(c.Why)}
	if len(e.Name) > maxName || !validName.MatchString(e.Name) {
		return e, wrong(nodeAt(body, "$.name"),
			"name: found %.40q, expected at most %d lower-case letters, digits and single hyphens between them", e.Name, maxName)
	}
	if e.Title == "" {
		e.Title = e.Name
	}
	var err error
	if e.Config, err = configOf(c.Settings); err != nil {
		return e, err
	}
	e.Normalized = e.Config.Normalize
	for _, n := range c.Claims {
		claim, err := claimOf(n, e.Config)
		if err != nil {
			return e, err
		}
		e.Claims = append(e.Claims, claim)
	}
	return e, nil
}

// configOf are the defaults with the deviations in n, which may be nil.
func configOf(n ast.Node) (experiments.Config, error) {
	c := experiments.Defaults()
	if n == nil {
		return c, nil
	}
	s := settings{
		Activation: text(c.Activation), Epochs: whole(c.Epochs), LearningRate: number(c.LearningRate), BatchSize: whole(c.BatchSize),
		Normalize: c.Normalize, Shuffle: c.Shuffle, Data: text(c.Data), Validation: whole(c.Validation), Init: text(c.Init),
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
	c.Activation, c.Epochs, c.LearningRate, c.BatchSize = string(s.Activation), int(s.Epochs), float64(s.LearningRate), int(s.BatchSize)
	c.Normalize, c.Shuffle, c.Data, c.Validation, c.Init = s.Normalize, s.Shuffle, string(s.Data), int(s.Validation), string(s.Init)

	err := c.Validate()
	var problems experiments.Problems
	if errors.As(err, &problems) {
		return c, wrong(nodeAt(n, "$."+problems[0].Field), "%v", problems[0])
	}
	if err == nil && c.Data == experiments.MNIST {
		network := model.Topology{Inputs: mnistPixels, Hidden: c.LayerSizes, Classes: mnistDigits, Activation: model.Activation(c.Activation)}
		err = network.Validate()
	}
	if err != nil {
		return c, wrong(nodeAt(n, "$.layer_sizes"), "%v", err)
	}
	return c, nil
}

// claimOf reads a claim on an experiment with the settings config: one kind, and
// the keys that all kinds have.
func claimOf(n ast.Node, config experiments.Config) (Claim, error) {
	claim := Claim{Epochs: config.Epochs, Digits: config.Data == experiments.MNIST, Expected: true}
	var names []string
	for _, row := range kinds {
		names = append(names, string(row.name))
	}
	err := eachEntry(n, append(names, "source", "expected"), func(key string, value ast.Node) error {
		switch {
		case key == "source":
			return decode(value, (*text)(&claim.Source))
		case key == "expected":
			return decode(value, &claim.Expected)
		case claim.Kind != "":
			return wrong(n, "found %s and %s in one claim, expected one kind", claim.Kind, key)
		}
		claim.Kind = Kind(key)
		return claim.readTerms(value, config)
	})
	if err == nil && claim.Kind == "" {
		err = wrong(n, "found a claim of no kind, expected one of %s", strings.Join(names, ", "))
	}
	return claim, err
}

// readTerms reads what a claim of its kind says.
func (c *Claim) readTerms(n ast.Node, config experiments.Config) error {
	row := c.Kind.row()
	if row.fields == nil {
		return decode(n, (*text)(&c.Reference))
	}
	missing := slices.Clone(row.fields)
	err := eachEntry(n, row.fields, func(field string, value ast.Node) error {
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == field })
		return c.readTerm(value, field, config)
	})
	if err == nil && len(missing) > 0 {
		err = wrong(n, "found no %s, expected %s", missing[0], strings.Join(row.fields, ", "))
	}
	return err
}

// readTerm reads one field of a claim, within what is possible for its kind.
func (c *Claim) readTerm(n ast.Node, field string, config experiments.Config) (err error) {
	row := c.Kind.row()
	least, most := row.unit.bounds(config.Epochs)
	switch field {
	case "experiment":
		err = decode(n, (*text)(&c.Reference))
	case "class":
		classes := dataset.MaxClasses
		if c.Digits {
			classes = mnistDigits
		}
		err = decodeBetween(n, (*whole)(&c.Class), 0, whole(classes-1))
	case "over":
		if config.Epochs <= row.spare {
			return wrong(n, "found an experiment of %s, expected more for this kind of claim", plural(config.Epochs, "epoch"))
		}
		err = decodeBetween(n, (*whole)(&c.Over), 1, whole(config.Epochs-row.spare))
	case "value":
		if row.unit == epoch {
			err = decode(n, new(whole))
		}
		if err == nil {
			err = decodeBetween(n, (*number)(&c.Value), number(least), number(most))
		}
	case "tolerance":
		// Above 0: otherwise no interval would ever lie within it.
		err = decodeBetween(n, (*number)(&c.Tolerance), 1e-6, number(most))
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
		err.Advice = "accuracies are fractions: did you mean " + trimmed(x/100) + "?"
	}
	return err
}
