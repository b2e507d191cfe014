package sweep

import (
	"cmp"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// mostGroups is how many groups the values of a field that was drawn at random are put in.
const mostGroups = 5

// Importance is how much of the variance of the validation accuracy a field explains by
// itself: eta squared, the sum of squares between the groups of settings with one value of
// the field, over that of all settings. Settings count with the mean of their seeds, after
// Epochs, which all of them have; those that diverged with all seeds do not count. Drawn
// numbers are put in five groups of as many numbers each.
type Importance struct {
	Name       string  `json:"name"`
	EtaSquared float64 `json:"eta_squared"` // 0 to 1
	Chance     float64 `json:"chance"`      // that a field without any influence would have on average
	Groups     int     `json:"groups"`
	Settings   int     `json:"settings"` // that count
	Epochs     int     `json:"epochs"`   // 0: at the end of each, where they differ
}

// importance is that of every field that is swept, the largest first.
func (p Plan) importance(all []*entrant) []Importance {
	p.RankBy = ValidationAccuracy
	epochs := p.Base.Epochs
	if len(p.Stop.At) > 0 {
		epochs = p.Stop.At[0]
	} else if slices.Contains(p.Swept(), "epochs") {
		epochs = 0
	}
	var counted []*entrant
	var values []float64
	for _, e := range all {
		if !e.there() || len(e.runs) == 0 {
			continue
		}
		copied := *e
		p.measure(&copied, cmp.Or(epochs, e.Config.Epochs))
		if copied.lost < len(e.runs) {
			counted, values = append(counted, e), append(values, copied.value)
		}
	}
	found := []Importance{}
	if len(values) < 2 {
		return found
	}
	total := stat.Variance(values, nil) * float64(len(values)-1)
	for _, name := range p.Swept() {
		groups := p.groups(counted, name)
		if len(groups) < 2 {
			continue
		}
		between, mean := 0.0, stat.Mean(values, nil)
		for _, group := range groups {
			var members []float64
			for _, i := range group {
				members = append(members, values[i])
			}
			difference := stat.Mean(members, nil) - mean
			between += float64(len(members)) * difference * difference
		}
		one := Importance{Name: name, Groups: len(groups), Settings: len(values), Epochs: epochs,
			Chance: float64(len(groups)-1) / float64(len(values)-1)}
		if total > 0 {
			one.EtaSquared = min(1, between/total)
		}
		found = append(found, one)
	}
	slices.SortStableFunc(found, func(a, b Importance) int { return cmp.Compare(b.EtaSquared, a.EtaSquared) })
	return found
}

// groups are settings, by their position, with the same value of a field; of numbers that
// were drawn, with values next to each other.
func (p Plan) groups(all []*entrant, name string) [][]int {
	by := map[string][]int{}
	var values []any
	for i, e := range all {
		value := Value(e.Config, name)
		key := Format(value)
		if by[key] == nil {
			values = append(values, value)
		}
		by[key] = append(by[key], i)
	}
	count := len(values)
	if slices.ContainsFunc(p.Random.Parameters, func(r Parameter) bool { return r.Name == name && len(r.Choices) == 0 }) {
		slices.SortStableFunc(values, func(a, b any) int { return cmp.Compare(Number(a), Number(b)) })
		count = min(mostGroups, count)
	}
	groups := make([][]int, count)
	for i, value := range values {
		group := i * count / len(values)
		groups[group] = append(groups[group], by[Format(value)]...)
	}
	return groups
}

// Number is a value that is a number, as a float64; 0 for any other.
func Number(value any) float64 {
	switch value := value.(type) {
	case int:
		return float64(value)
	case float64:
		return value
	}
	return 0
}
