package published

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/evaluate"
	"epochal/experiments/strict"

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
	Distort  bool       `yaml:"distorted"`
}

// settings are the fields of [experiments.Config] that a file may set, as its keys.
// Those that are missing here (seed, backend, TF32, determinism, steps per call) are
// chosen when the experiments run, the same for all of them; with patience, seeds would
// have different epochs, which have no mean.
type settings struct {
	LayerSizes   setting `yaml:"layer_sizes"`
	Activation   setting `yaml:"activation"`
	ConvChannels setting `yaml:"conv_channels"`
	ConvKernel   setting `yaml:"conv_kernel"`
	Epochs       setting `yaml:"epochs"`
	LearningRate setting `yaml:"learning_rate"`
	BatchSize    setting `yaml:"batch_size"`
	Normalize    setting `yaml:"normalize"`
	Shuffle      setting `yaml:"shuffle"`
	Data         setting `yaml:"data"`
	Split        setting `yaml:"split"`
	Transpose    setting `yaml:"transpose"`
	TestShare    setting `yaml:"test_share"`
	TrainImages  setting `yaml:"train_images"`
	Permute      setting `yaml:"permute_pixels"`
	Validation   setting `yaml:"validation"`
	Init         setting `yaml:"init"`
}

// setting points to the field that takes a value.
type setting struct{ field any }

// UnmarshalYAML sets the field.
func (s setting) UnmarshalYAML(n ast.Node) error { return strict.Decode(n, s.field) }

// load reads the experiment of a user's file.
func load(path string) (Experiment, error) {
	text, err := strict.Read(path)
	if err != nil {
		return Experiment{}, err
	}
	return Parse(path, text)
}

// Error is what is wrong with an experiment's file or name.
type Error = strict.Error

// Parse reads an experiment from the text of a YAML file of at most [strict.MaxFileBytes].
// What the settings leave out is as in [experiments.Defaults]. Names of other
// experiments are checked by [Known], not here. Errors are an [*Error] for the
// first problem.
func Parse(file string, text []byte) (Experiment, error) {
	e := Experiment{File: file}
	if err := e.read(text); err != nil {
		return Experiment{}, strict.InFile(file, err)
	}
	return e, nil
}

// read reads the experiment from a text.
func (e *Experiment) read(text []byte) (err error) {
	if e.body, err = strict.Parse(text, "an experiment with at least a name"); err != nil {
		return err
	}
	var c content
	if err := strict.Decode(e.body, &c); err != nil {
		return err
	}
	if c.Name == "" {
		return strict.Wrong(e.body, "found no name, expected one")
	}
	if len(c.Name) > maxName || !validName.MatchString(c.Name) {
		return strict.Wrong(strict.At(e.body, "$.name"),
			"name: found %.40q, expected at most %d lower-case letters, digits and single hyphens between them", c.Name, maxName)
	}
	e.Name, e.Title, e.Why, e.Distort = c.Name, cmp.Or(oneLine(c.Title), c.Name), oneLine(c.Why), c.Distort
	if e.Config, err = configOf(c.Settings); err != nil {
		return err
	}
	if e.Distort && e.Config.PermutePixels != 0 {
		return strict.Wrong(strict.At(e.body, "$.distorted"),
			"distorted: found it with permuted pixels, which no shift moves as it moves an image")
	}
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
	into := settings{
		setting{&c.LayerSizes}, setting{&c.Activation}, setting{&c.ConvChannels}, setting{&c.ConvKernel},
		setting{&c.Epochs}, setting{&c.LearningRate}, setting{&c.BatchSize}, setting{&c.Normalize}, setting{&c.Shuffle},
		setting{&c.Data}, setting{&c.Split}, setting{&c.Transpose}, setting{&c.TestShare}, setting{&c.TrainImages},
		setting{&c.PermutePixels}, setting{&c.Validation}, setting{&c.Init},
	}
	if err := strict.Decode(n, &into); err != nil {
		return c, err
	}
	if problems, found := errors.AsType[experiments.Problems](c.Validate()); found {
		return c, strict.Wrong(strict.At(n, "$."+problems[0].Field), "%v", problems[0])
	}
	if c.Data == dataset.MNIST {
		if _, err := c.Architecture(mnistSide, mnistSide, mnistDigits); err != nil {
			problem, _ := errors.AsType[experiments.Problem](err)
			return c, strict.Wrong(strict.At(n, "$."+problem.Field), "%v", problem.Reason)
		}
	}
	return c, nil
}

// claimOf reads a claim on an experiment with the settings config: one kind, and
// the keys that all kinds have.
func claimOf(n ast.Node, config experiments.Config) (Claim, error) {
	claim := Claim{Epochs: config.Epochs, Digits: config.Data == dataset.MNIST, Expected: true}
	known := []string{"source", "expected"}
	for _, row := range kinds {
		known = append(known, string(row.name))
	}
	values, err := strict.Fields(n, known...)
	for _, key := range known {
		value := values[key]
		switch {
		case err != nil:
			return claim, err
		case value == nil:
		case key == "source":
			err = strict.Decode(value, &claim.Source)
		case key == "expected":
			err = strict.Decode(value, &claim.Expected)
		case claim.Kind != "":
			err = strict.Wrong(n, "found %s and %s in one claim, expected one kind", claim.Kind, key)
		default:
			claim.Kind = Kind(key)
			err = claim.readTerms(value)
		}
	}
	claim.Source = oneLine(claim.Source)
	if err == nil && claim.Kind == "" {
		err = strict.Wrong(n, "found a claim of no kind, expected one of %s", strings.Join(known[2:], ", "))
	}
	return claim, err
}

// readBy reads which distortion the claim is about: one of those that are evaluated.
func (c *Claim) readBy(n ast.Node) error {
	if err := strict.Decode(n, &c.By); err != nil {
		return err
	}
	var known []string
	for _, d := range evaluate.Distortions() {
		if d == c.distortion() {
			return nil
		}
		if by := max(d.Shift, d.Rotation); (d.Rotation != 0) == (c.Kind == BetterWhenRotated) {
			known = append(known, fmt.Sprint(by))
		}
	}
	return strict.Wrong(n, "found %d, expected one of %s", c.By, strings.Join(known, ", "))
}

// readTerms reads what a claim of its kind says, within what is possible for it.
func (c *Claim) readTerms(n ast.Node) error {
	row := c.Kind.row()
	if row.fields == nil {
		return strict.Decode(n, &c.Reference)
	}
	values, err := strict.Fields(n, row.fields...)
	least, most := row.unit.bounds(c.Epochs)
	classes := dataset.MaxClasses
	if c.Digits {
		classes = mnistDigits
	}
	for _, field := range row.fields {
		value := values[field]
		switch {
		case err != nil:
			return err
		case value == nil:
			return strict.Wrong(n, "found no %s, expected %s", field, strings.Join(row.fields, ", "))
		case field == "experiment":
			err = strict.Decode(value, &c.Reference)
		case field == "by":
			err = c.readBy(value)
		case field == "class":
			err = decodeBetween(value, &c.Class, 0, classes-1)
		case field == "over" && c.Epochs <= row.spare:
			err = strict.Wrong(value, "found an experiment of %s, expected more for this kind of claim", plural(c.Epochs, "epoch"))
		case field == "over":
			err = decodeBetween(value, &c.Over, 1, c.Epochs-row.spare)
		case field == "value" && row.unit == epoch:
			var first int
			err = decodeBetween(value, &first, 1, c.Epochs)
			c.Value = float64(first)
		case field == "value":
			err = decodeBetween(value, &c.Value, least, most)
		case field == "tolerance": // above 0: otherwise no interval would ever lie within it
			err = decodeBetween(value, &c.Tolerance, 1e-6, most)
		}
	}
	return err
}

// decodeBetween reads a number from least to most.
func decodeBetween[T int | float64](n ast.Node, value *T, least, most T) error {
	if err := strict.Decode(n, value); err != nil {
		return err
	}
	if *value >= least && *value <= most {
		return nil
	}
	err := strict.Wrong(n, "found %v, expected %v to %v", *value, least, most)
	if x := float64(*value); most == 1 && math.Abs(x) > 1 && math.Abs(x) <= 100 {
		err.Advice = "accuracies are fractions: did you mean " + unit{scale: 0.01}.exact(x) + "?"
	}
	return err
}
