package sweep

import (
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"epochal/experiments"
	"epochal/experiments/strict"

	"github.com/goccy/go-yaml/ast"
)

var validName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// MaxName is the longest name of a plan, which names a folder.
const MaxName = 58 // with what Export adds, an experiment's

// Load reads a plan from a file.
func Load(path string) (Plan, error) {
	text, err := strict.Read(path)
	if err != nil {
		return Plan{}, err
	}
	return Parse(path, text)
}

// Parse reads a plan from the text of a YAML file of at most [strict.MaxFileBytes]. What it
// leaves out is as in [Defaults]; without a name, it has that of the file. Errors are a
// [*strict.Error] for the first problem. The plan is as [Plan.Check] wants it.
func Parse(file string, text []byte) (Plan, error) {
	p := Defaults()
	name := strings.ToLower(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	if name = strings.Trim(notInNames.ReplaceAllString(name, "-"), "-"); name != "" {
		p.Name = name[:min(len(name), MaxName)]
	}
	if err := p.read(text); err != nil {
		return Plan{}, strict.InFile(file, err)
	}
	return p, nil
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

func (p *Plan) read(text []byte) error {
	body, err := strict.Parse(text, "a plan with at least grid or random")
	if err != nil {
		return err
	}
	values, err := strict.Fields(body, "name", "settings", "grid", "random", "seeds", "validation", "rank_by", "stop")
	if err != nil {
		return err
	}
	read := func(key string, into func(ast.Node) error) {
		if value := values[key]; value != nil && err == nil {
			err = into(value)
		}
	}
	read("name", p.readName)
	read("validation", func(n ast.Node) error {
		if err := strict.Decode(n, &p.Base.Validation); err != nil {
			return err
		}
		if p.Base.Validation < 1 {
			return strict.Wrong(n, "validation: found %d, expected at least 1 image to rank by", p.Base.Validation)
		}
		return nil
	})
	read("settings", p.readSettings)
	read("grid", p.readGrid)
	read("random", p.readRandom)
	read("seeds", p.readSeeds)
	read("rank_by", func(n ast.Node) error {
		if err := strict.Decode(n, &p.RankBy); err != nil {
			return err
		}
		if metrics := []string{ValidationLoss, ValidationAccuracy}; !slices.Contains(metrics, p.RankBy) {
			return strict.Unknown(n, "rank_by: found %.40q", p.RankBy, metrics)
		}
		return nil
	})
	read("stop", p.readStop)
	if err != nil {
		return err
	}
	if len(p.Swept()) == 0 {
		return strict.Wrong(body, "found no setting in grid or random, expected at least one")
	}
	for _, name := range p.Swept() {
		if n := strict.At(body, "$.settings."+name); n != nil {
			return strict.Wrong(n, "%s: found it in settings and in grid or random, expected it in one of them", name)
		}
	}
	if _, err := p.Check(); err != nil {
		if problem, ok := isProblem(err); ok {
			return strict.Wrong(body, "%v", problem)
		}
		return err
	}
	return nil
}

func (p *Plan) readName(n ast.Node) error {
	if err := strict.Decode(n, &p.Name); err != nil {
		return err
	}
	if err := CheckName(p.Name); err != nil {
		return strict.Wrong(n, "%v", err)
	}
	return nil
}

// CheckName reports what is no name of a plan, as an [experiments.Problem].
func CheckName(name string) error {
	if len(name) <= MaxName && validName.MatchString(name) {
		return nil
	}
	return experiments.Problem{Field: "name", Found: fmt.Sprintf("%.40q", name),
		Expected: fmt.Sprintf("at most %d lower-case letters, digits and single hyphens between them", MaxName)}
}

// value reads the value of a field and checks it within the base settings.
func (p *Plan) value(n ast.Node, name string) (any, error) {
	into := reflect.New(field(&p.Base, name).Type())
	if err := strict.Decode(n, into.Interface()); err != nil {
		return nil, err
	}
	value := into.Elem().Interface()
	return value, p.checkValue(n, name, value)
}

// checkValue reports a value that is impossible in the base settings.
func (p *Plan) checkValue(n ast.Node, name string, value any) error {
	c := p.Base
	field(&c, name).Set(reflect.ValueOf(value))
	if problem, ok := isProblem(check(c)); ok && problem.Field == name {
		return strict.Wrong(n, "%v", problem)
	}
	return nil
}

func (p *Plan) readSettings(n ast.Node) error {
	known := append(Fields(), dataFields...)
	values, err := strict.Fields(n, known...)
	if err != nil {
		return err
	}
	for _, name := range known {
		if values[name] == nil {
			continue
		}
		value, err := p.value(values[name], name)
		if err != nil {
			return err
		}
		field(&p.Base, name).Set(reflect.ValueOf(value))
	}
	return nil
}

// list reads the values of a field, each once.
func (p *Plan) list(n ast.Node, name string) (all []any, err error) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok || len(sequence.Values) == 0 {
		return nil, strict.Wrong(n, "%s: found %.40q, expected a list of values", name, n.String())
	}
	for _, one := range sequence.Values {
		value, err := p.value(one, name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(other any) bool { return Format(other) == Format(value) }) {
			return nil, strict.Wrong(one, "%s: found %s twice, expected each value once", name, Format(value))
		}
		all = append(all, value)
	}
	return all, nil
}

func (p *Plan) readGrid(n ast.Node) error {
	values, err := strict.Fields(n, Fields()...)
	if err != nil {
		return err
	}
	for _, name := range Fields() {
		if values[name] == nil {
			continue
		}
		all, err := p.list(values[name], name)
		if err != nil {
			return err
		}
		p.Grid = append(p.Grid, Axis{name, all})
	}
	return nil
}

func (p *Plan) readRandom(n ast.Node) error {
	values, err := strict.Fields(n, "count", "seed", "parameters")
	if err != nil {
		return err
	}
	if values["count"] == nil || values["parameters"] == nil {
		return strict.Wrong(n, "random: expected count and parameters in it")
	}
	if err := strict.Decode(values["count"], &p.Random.Count); err != nil {
		return err
	}
	if p.Random.Count < 1 || p.Random.Count > MaxRuns {
		return strict.Wrong(values["count"], "count: found %d, expected 1 to %d", p.Random.Count, MaxRuns)
	}
	if seed := values["seed"]; seed != nil {
		number := 0
		if err := strict.Decode(seed, &number); err != nil {
			return err
		}
		if number < 0 {
			return strict.Wrong(seed, "seed: found %d, expected 0 or more", number)
		}
		p.Random.Seed = uint64(number)
	}
	parameters, err := strict.Fields(values["parameters"], Fields()...)
	if err != nil {
		return err
	}
	for _, name := range Fields() {
		if parameters[name] == nil {
			continue
		}
		if slices.ContainsFunc(p.Grid, func(a Axis) bool { return a.Name == name }) {
			return strict.Wrong(parameters[name], "%s: found it in grid and in random, expected it in one of them", name)
		}
		if err := p.readParameter(parameters[name], name); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plan) readParameter(n ast.Node, name string) error {
	kinds := []string{"uniform", "log_uniform", "choice"}
	values, err := strict.Fields(n, kinds...)
	if err != nil {
		return err
	}
	if len(values) != 1 {
		return strict.Wrong(n, "%s: found %d ways to draw it, expected one of %s", name, len(values), strings.Join(kinds, ", "))
	}
	r := Parameter{Name: name}
	if choice := values["choice"]; choice != nil {
		if r.Choices, err = p.list(choice, name); err == nil {
			p.Random.Parameters = append(p.Random.Parameters, r)
		}
		return err
	}
	kind := "uniform"
	if values[kind] == nil {
		kind, r.Log = "log_uniform", true
	}
	return p.readBounds(values[kind], kind, r)
}

// readBounds reads a range: [least, most].
func (p *Plan) readBounds(n ast.Node, kind string, r Parameter) error {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok || len(sequence.Values) != 2 {
		return strict.Wrong(n, "%s: found %.40q, expected two numbers: [least, most]", kind, n.String())
	}
	bounds := []*float64{&r.Low, &r.High}
	for i, one := range sequence.Values {
		value, err := p.value(one, r.Name)
		if err != nil {
			return err
		}
		switch value := value.(type) {
		case int:
			*bounds[i] = float64(value)
		case float64:
			*bounds[i] = value
		default:
			return strict.Wrong(n, "%s: found %s, expected choice: %s is no number", r.Name, kind, r.Name)
		}
	}
	if !(r.Low < r.High) || math.IsInf(r.High-r.Low, 0) {
		return strict.Wrong(n, "%s: found %s to %s, expected a smaller and a larger number",
			kind, experiments.FormatFloat(r.Low), experiments.FormatFloat(r.High))
	}
	if r.Log && r.Low <= 0 {
		return strict.Wrong(n, "%s: found %s, expected numbers above 0", kind, experiments.FormatFloat(r.Low))
	}
	p.Random.Parameters = append(p.Random.Parameters, r)
	return nil
}

// readSeeds reads a number of seeds, from 0, or a list of them.
func (p *Plan) readSeeds(n ast.Node) error {
	if sequence, ok := n.(*ast.SequenceNode); ok {
		p.Seeds = nil
		for _, one := range sequence.Values {
			seed := 0
			if err := strict.Decode(one, &seed); err != nil {
				return err
			}
			if seed < 0 || slices.Contains(p.Seeds, uint64(seed)) {
				return strict.Wrong(one, "seeds: found %d, expected numbers of 0 or more, each once", seed)
			}
			p.Seeds = append(p.Seeds, uint64(seed))
		}
		if len(p.Seeds) == 0 || len(p.Seeds) > MaxSeeds {
			return strict.Wrong(n, "seeds: found %d, expected 1 to %d", len(p.Seeds), MaxSeeds)
		}
		return nil
	}
	count := 0
	if err := strict.Decode(n, &count); err != nil {
		return err
	}
	if count < 1 || count > MaxSeeds {
		return strict.Wrong(n, "seeds: found %d, expected 1 to %d or a list of seeds", count, MaxSeeds)
	}
	p.Seeds = FirstSeeds(count)
	return nil
}

// FirstSeeds are the seeds from 0 to count-1.
func FirstSeeds(count int) (seeds []uint64) {
	for seed := range count {
		seeds = append(seeds, uint64(seed))
	}
	return seeds
}

func (p *Plan) readStop(n ast.Node) error {
	if n.String() == "off" {
		return nil
	}
	values, err := strict.Fields(n, "rule", "at", "eta")
	if err != nil {
		return err
	}
	if values["rule"] == nil || values["at"] == nil {
		return strict.Wrong(n, "stop: expected rule and at in it, or off")
	}
	if err := strict.Decode(values["rule"], &p.Stop.Rule); err != nil {
		return err
	}
	if rules := []string{Median, Halving}; !slices.Contains(rules, p.Stop.Rule) {
		return strict.Unknown(values["rule"], "rule: found %.40q", p.Stop.Rule, rules)
	}
	if err := strict.Decode(values["at"], &p.Stop.At); err != nil {
		return err
	}
	if eta := values["eta"]; eta != nil {
		if p.Stop.Rule != Halving {
			return strict.Wrong(eta, "eta: found it with rule %s, expected it with %s only", p.Stop.Rule, Halving)
		}
		if err := strict.Decode(eta, &p.Stop.Eta); err != nil {
			return err
		}
	}
	if problems := p.Stop.problems(*p); len(problems) > 0 {
		at := map[string]ast.Node{"stop": values["rule"], "stop_at": values["at"], "stop_eta": values["eta"]}[problems[0].Field]
		first := problems[0]
		return strict.Wrong(at, "%s: found %s, expected %s", strings.TrimPrefix(first.Field, "stop_"), first.Found, first.Expected)
	}
	return nil
}
