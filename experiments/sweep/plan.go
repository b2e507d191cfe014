package sweep

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"epochal/dataset"
	"epochal/experiments"
)

// Limits of a plan. They keep a mistyped number from taking the machine down.
const (
	MaxRuns  = 1_000_000
	MaxSeeds = 1000
)

// The metrics by which settings are ranked.
const (
	ValidationLoss     = "validation_loss"
	ValidationAccuracy = "validation_accuracy"
)

// The rules that stop bad settings early.
const (
	Median  = "median"  // settings that are worse than the median of all, each as far as it came, stop
	Halving = "halving" // successive halving: at every rung the best 1/Eta go on
)

// Plan is a sweep: settings, and how they are run and compared. [Plan.Check] says what is
// impossible in it.
type Plan struct {
	Name   string             // of the sweep and of what it exports: lower-case letters, digits and hyphens
	Base   experiments.Config // what the settings differ from, with the validation split
	Grid   []Axis             // all combinations of these values
	Random Random             // each draw with each combination
	Seeds  []uint64           // of every setting, at least 1
	RankBy string             // ValidationLoss or ValidationAccuracy
	Stop   Stop
}

// Axis is a field of the config with the values that it takes.
type Axis struct {
	Name   string // as in config.json
	Values []any  // of the field's type
}

// Random is a number of random draws. A draw depends on the seed, the name of the field and
// its own number alone: a larger Count keeps the earlier draws. Equal draws are one setting.
type Random struct {
	Count      int // 0: none
	Seed       uint64
	Parameters []Parameter
}

// Parameter is a field of the config that is drawn.
type Parameter struct {
	Name      string
	Low, High float64 // without Choices: bounds, both included; whole numbers for a whole number
	Log       bool    // the logarithm is uniform, not the number
	Choices   []any   // equally likely
}

// Stop says when bad settings stop.
type Stop struct {
	Rule string `json:"rule"` // Median or Halving, "" for none
	At   []int  `json:"at"`   // rungs: epochs, ascending, below those of the runs
	Eta  int    `json:"eta"`  // of Halving: one in Eta goes on, at least 2
}

// Defaults is a plan of the default settings alone.
func Defaults() Plan {
	p := Plan{Name: "unnamed", Base: experiments.Defaults(), Seeds: []uint64{0, 1, 2}, RankBy: ValidationAccuracy, Stop: Stop{Eta: 2}}
	p.Base.Validation = 5000
	return p
}

// chosenElsewhere are the fields of a config that no setting has: those that tell runs of a
// setting apart, that are the same for all of the plan, or with which runs would have
// different epochs, which have no mean.
var chosenElsewhere = []string{"seed", "validation", "patience", "backend", "tf32", "deterministic", "steps_per_call"}

// dataFields are those that say what data all runs have.
var dataFields = []string{"data", "split", "transpose", "test_share"}

// Fields are the names of the fields that settings can differ in, in the order of
// config.json.
func Fields() []string {
	var names []string
	for i := range reflect.TypeFor[experiments.Config]().NumField() {
		if name := fieldName(i); !slices.Contains(chosenElsewhere, name) && !slices.Contains(dataFields, name) {
			names = append(names, name)
		}
	}
	return names
}

func fieldName(i int) string {
	name, _, _ := strings.Cut(reflect.TypeFor[experiments.Config]().Field(i).Tag.Get("json"), ",")
	return name
}

// field is the field of a config by its name.
func field(c *experiments.Config, name string) reflect.Value {
	for i := range reflect.TypeFor[experiments.Config]().NumField() {
		if fieldName(i) == name {
			return reflect.ValueOf(c).Elem().Field(i)
		}
	}
	panic("sweep: no field " + name) // names come from Fields
}

// Value is the value of a field of a config.
func Value(c experiments.Config, name string) any { return field(&c, name).Interface() }

// Format writes a value as config.json does: [512, 512], 0.01, relu.
func Format(value any) string {
	switch value := value.(type) {
	case []int:
		return "[" + strings.ReplaceAll(strings.Trim(fmt.Sprint(value), "[]"), " ", ", ") + "]"
	case float64:
		return experiments.FormatFloat(value)
	case string:
		if value == "" {
			return `""`
		}
		return value
	default:
		return fmt.Sprint(value)
	}
}

// Setting is what is compared: a config with any seed.
type Setting struct {
	Number int // in the plan, from 1
	Config experiments.Config
}

// Swept are the names of the fields that the settings differ in, in the order of config.json.
func (p Plan) Swept() []string {
	var names []string
	for _, name := range Fields() {
		grid := slices.ContainsFunc(p.Grid, func(a Axis) bool { return a.Name == name })
		if grid || slices.ContainsFunc(p.Random.Parameters, func(r Parameter) bool { return r.Name == name }) {
			names = append(names, name)
		}
	}
	return names
}

// Check reports what is impossible in a plan, as [experiments.Problems], and returns its
// settings.
func (p Plan) Check() ([]Setting, error) {
	var problems experiments.Problems
	problem := func(field, found, expected string) {
		problems = append(problems, experiments.Problem{Field: field, Found: found, Expected: expected})
	}
	if n := len(p.Seeds); n < 1 || n > MaxSeeds {
		problem("seeds", strconv.Itoa(n), fmt.Sprintf("1 to %d", MaxSeeds))
	}
	for i, seed := range p.Seeds {
		if slices.Contains(p.Seeds[:i], seed) {
			problem("seeds", fmt.Sprintf("%d twice", seed), "each seed once")
		}
	}
	if p.RankBy != ValidationLoss && p.RankBy != ValidationAccuracy {
		problem("rank_by", strconv.Quote(p.RankBy), ValidationLoss+" or "+ValidationAccuracy)
	}
	if p.Base.Validation < 1 {
		problem("validation", strconv.Itoa(p.Base.Validation), "at least 1: settings are ranked by images that are held out")
	}
	problems = append(problems, p.Stop.problems(p)...)
	runs := float64(max(1, p.Random.Count)) * float64(len(p.Seeds))
	for _, axis := range p.Grid {
		runs *= float64(len(axis.Values))
	}
	if runs > MaxRuns {
		problem("runs", strconv.FormatFloat(runs, 'f', -1, 64), fmt.Sprintf("at most %d", MaxRuns))
	}
	if len(problems) > 0 {
		return nil, problems
	}
	settings := p.settings()
	convolutional := slices.ContainsFunc(settings, func(s Setting) bool { return len(s.Config.ConvChannels) > 0 })
	if !convolutional && (p.Base.ConvKernel != 0 || slices.Contains(p.Swept(), "conv_kernel")) {
		return nil, experiments.Problem{Field: "conv_kernel", Found: "no convolutions", Expected: "their channels as well (conv_channels)"}
	}
	for _, s := range settings {
		if err := check(s.Config); err != nil {
			return nil, err
		}
	}
	return settings, nil
}

// check reports what is impossible in one config, before any data is read.
func check(c experiments.Config) error {
	c = c.Canonical()
	if err := c.Validate(); err != nil {
		return err
	}
	if c.Data == dataset.MNIST {
		const side, digits = 28, 10
		_, err := c.Architecture(side, side, digits)
		return err
	}
	return nil
}

func (s Stop) problems(p Plan) (problems experiments.Problems) {
	problem := func(field, found, expected string) {
		problems = append(problems, experiments.Problem{Field: field, Found: found, Expected: expected})
	}
	switch {
	case s.Rule == "" && len(s.At) > 0:
		problem("stop", "no rule", Median+" or "+Halving)
	case s.Rule == "":
		return nil
	case s.Rule != Median && s.Rule != Halving:
		problem("stop", strconv.Quote(s.Rule), Median+" or "+Halving)
	}
	if slices.Contains(p.Swept(), "epochs") {
		problem("stop", "runs of different epochs", "the same epochs for all runs, which are compared after some of them")
	}
	if len(s.At) == 0 {
		problem("stop_at", "no epoch", "at least one after which settings are compared")
	}
	before := 0
	for _, at := range s.At {
		if at <= before || at >= p.Base.Epochs {
			problem("stop_at", strconv.Itoa(at), fmt.Sprintf("epochs in ascending order, 1 to %d", p.Base.Epochs-1))
		}
		before = at
	}
	if s.Eta < 2 {
		problem("stop_eta", strconv.Itoa(s.Eta), "2 or more, of which one setting goes on")
	}
	return problems
}

// settings are the settings in the order of the plan, each once.
func (p Plan) settings() []Setting {
	count, configs := max(1, p.Random.Count), []experiments.Config{p.Base}
	for _, axis := range p.Grid { // the last one varies fastest
		var next []experiments.Config
		for _, c := range configs {
			for _, value := range axis.Values {
				field(&c, axis.Name).Set(reflect.ValueOf(value))
				next = append(next, c)
			}
		}
		configs = next
	}
	var all []Setting
	swept, known := p.Swept(), map[string]bool{}
	for _, c := range configs {
		for draw := range count {
			if p.Random.Count > 0 {
				for _, parameter := range p.Random.Parameters {
					field(&c, parameter.Name).Set(reflect.ValueOf(parameter.draw(c, p.Random.Seed, draw)))
				}
			}
			c := c
			if len(c.ConvChannels) == 0 {
				c.ConvKernel = 0 // of nothing: with several kernels, no convolutions are one setting
			}
			if key := describe(c.Canonical(), swept, " "); !known[key] {
				known[key] = true
				all = append(all, Setting{Number: len(all) + 1, Config: c})
			}
		}
	}
	return all
}

// describe writes what a config has in some fields: "learning_rate 0.1, batch_size 64".
func describe(c experiments.Config, names []string, separator string) string {
	var parts []string
	for _, name := range names {
		parts = append(parts, name+" "+Format(Value(c, name)))
	}
	return strings.Join(parts, separator)
}

// Describe says what a config has in the fields that the plan sweeps.
func (p Plan) Describe(c experiments.Config) string { return describe(c, p.Swept(), ", ") }

// significant are the digits that a drawn number keeps, so that people can read it.
const significant = 4

// draw is the value of a draw, of the type that the field has in c.
func (r Parameter) draw(c experiments.Config, seed uint64, number int) any {
	hash := sha256.Sum256(fmt.Appendf(nil, "%d %s %d", seed, r.Name, number))
	random := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(hash[:]), binary.LittleEndian.Uint64(hash[8:])))
	if len(r.Choices) > 0 {
		return r.Choices[random.IntN(len(r.Choices))]
	}
	u, whole := random.Float64(), false
	if _, whole = Value(c, r.Name).(int); whole && !r.Log {
		return int(r.Low) + int(u*(r.High-r.Low+1))
	}
	x := r.Low + u*(r.High-r.Low)
	if r.Log {
		x = math.Exp(math.Log(r.Low) + u*(math.Log(r.High)-math.Log(r.Low)))
	}
	if whole {
		return int(math.Round(x))
	}
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', significant, 64), 64)
	return min(max(x, r.Low), r.High)
}

// folderName is the name of the runs of a config.
func (p Plan) folderName(c experiments.Config) string {
	const most = 100
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '+':
			return r
		case r == '[' || r == ']' || r == '"':
			return -1
		case r == ' ' || r == ',':
			return ' '
		default:
			return '-'
		}
	}, strings.ReplaceAll(describe(c, p.Swept(), " "), ", ", "x"))
	name = strings.Join(strings.Fields(name), "-")
	if name == "" {
		return "setting"
	}
	return name[:min(len(name), most)]
}

// isProblem reports whether err is about one field, and returns the first such.
func isProblem(err error) (experiments.Problem, bool) {
	if problems, ok := errors.AsType[experiments.Problems](err); ok {
		return problems[0], true
	}
	return errors.AsType[experiments.Problem](err)
}

// Copy sets a field of a config to its value in another.
func Copy(to *experiments.Config, from experiments.Config, name string) {
	field(to, name).Set(field(&from, name))
}

// Set sets a field of a config to a value of its type.
func Set(c *experiments.Config, name string, value any) { field(c, name).Set(reflect.ValueOf(value)) }
