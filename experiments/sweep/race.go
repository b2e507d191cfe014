package sweep

import (
	"cmp"
	"math"
	"slices"

	"epochal/experiments/record"
	"epochal/experiments/study"
)

// entrant is a setting in the race.
type entrant struct {
	Setting
	runs    []study.Result // one per seed, as far as they are there
	epochs  int            // at which it is compared: those of its last rung or, at its end, of its config
	stopped bool           // it does not go on from there
	ended   bool           // all its runs ended
	value   float64        // mean of the metric over the seeds that have one; NaN if none has
	lost    int            // seeds without a value, because they diverged or are missing
}

// there reports whether all runs are there, as far as they were asked for.
func (e *entrant) there() bool {
	return !slices.ContainsFunc(e.runs, func(r study.Result) bool { return r.Folder == "" })
}

// at is the metric of a run after some epochs, or at its end if it has fewer; false for a
// run that diverged before.
func (p Plan) at(r record.Record, epochs int) (float64, bool) {
	for _, m := range slices.Backward(r.Epochs) {
		if m.Epoch > epochs {
			continue
		}
		if m.ValidationLoss == nil || r.Diverged != nil && r.Diverged.Epoch <= epochs {
			return 0, false
		}
		if p.RankBy == ValidationLoss {
			return *m.ValidationLoss, true
		}
		return *m.ValidationAccuracy, true
	}
	return 0, false
}

// measure compares a setting by what it has after some epochs.
func (p Plan) measure(e *entrant, epochs int) {
	e.epochs, e.lost = epochs, 0
	sum, n := 0.0, 0
	for _, run := range e.runs {
		if value, ok := p.at(run.Record, epochs); ok {
			sum, n = sum+value, n+1
		} else {
			e.lost++
		}
	}
	e.value = math.NaN()
	if n > 0 {
		e.value = sum / float64(n)
	}
}

// better orders settings: those of which more seeds diverged come later, then those with
// the worse mean, then those that come later in the plan.
func (p Plan) better(a, b *entrant) int {
	sign := 1.0
	if p.RankBy == ValidationAccuracy {
		sign = -1
	}
	return cmp.Or(cmp.Compare(a.lost, b.lost), cmp.Compare(sign*a.value, sign*b.value), cmp.Compare(a.Number, b.Number))
}

// decide stops those of the race that do not go on after a rung, at which all of them have
// been measured, and returns the others. all are the settings of the plan, each measured at
// the last rung that it came to.
func (p Plan) decide(race, all []*entrant) []*entrant {
	ranked := slices.SortedStableFunc(slices.Values(race), p.better)
	keep := 0
	switch p.Stop.Rule {
	case Halving:
		keep = (len(ranked) + p.Stop.Eta - 1) / p.Stop.Eta
	case Median:
		middle := slices.SortedStableFunc(slices.Values(all), p.better)[(len(all)-1)/2]
		for keep < len(ranked) && p.better(ranked[keep], middle) <= 0 {
			keep++
		}
	}
	keep = max(1, keep)
	for _, e := range ranked[keep:] {
		e.stopped = true
	}
	return slices.DeleteFunc(slices.Clone(race), func(e *entrant) bool { return e.stopped })
}
