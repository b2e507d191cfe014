package published

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Confidence is the level of every [Interval].
const Confidence = 0.95

// MinSeeds is the least number of seeds that have an interval. Student's t of two
// seeds is 12.7: their interval would reach from 24% to 146% where they differ by 10
// points.
const MinSeeds = 3

// FarBelow is how far few seeds must lie below 0 to refute a claim of "above 0":
// one point of accuracy. Final accuracies of two seeds of one experiment differ by
// a few tenths of a point.
const FarBelow = 0.01

// slack is how far beyond a bound a value still counts as on it, so that 0.898 is
// within 0.894 ± 0.004, whose sum is 0.8980000000000001 or 0.898, depending on rounding.
// It is far above rounding (1e-16) and far below one image of 60,000 (1.7e-5).
const slack = 1e-9

// Interval is the mean of some seeds' values and its 95% confidence interval by
// Student's t. Fewer than MinSeeds values have no interval: Low and High are then
// the mean and say nothing.
type Interval struct {
	N         int     `json:"n"`
	Mean      float64 `json:"mean"`      // 0 for no values, as all else
	Low       float64 `json:"low"`       // of the interval
	High      float64 `json:"high"`      // of the interval
	Deviation float64 `json:"deviation"` // standard deviation of the sample (n - 1)
}

// NewInterval returns the interval of finite values that cannot be less than least
// or more than most, bounds that the interval does not exceed either.
func NewInterval(values []float64, least, most float64) Interval {
	n := len(values)
	if n == 0 {
		return Interval{}
	}
	// Equal values have exactly their value as mean and no deviation; summing them
	// up would get the last bit of both wrong.
	if slices.Min(values) == slices.Max(values) {
		return Interval{N: n, Mean: values[0], Low: values[0], High: values[0]}
	}
	mean, deviation := stat.MeanStdDev(values, nil)
	i := Interval{N: n, Mean: mean, Low: mean, High: mean, Deviation: deviation}
	if i.Known() {
		t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile((1 + Confidence) / 2)
		half := t * deviation / math.Sqrt(float64(n))
		i.Low, i.High = max(mean-half, least), min(mean+half, most)
	}
	return i
}

// NewAccuracy returns the interval of accuracies, from 0 to 1.
func NewAccuracy(values []float64) Interval { return NewInterval(values, 0, 1) }

// Known reports whether there are enough seeds for an interval.
func (i Interval) Known() bool { return i.N >= MinSeeds }

// Percent writes accuracies: "89.35% ± 0.12"; "98.00% (93.20 to 100.00)" where the
// interval ends at 0 or 100%; only the mean of fewer than MinSeeds seeds, and "-"
// of none.
func (i Interval) Percent() string {
	mean := fmt.Sprintf("%.2f%%", 100*i.Mean)
	switch {
	case i.N == 0:
		return "-"
	case !i.Known():
		return mean
	case i.Low < i.High && (i.Low == 0 || i.High == 1):
		return fmt.Sprintf("%s (%.2f to %.2f)", mean, 100*i.Low, 100*i.High)
	default:
		return fmt.Sprintf("%s ± %.2f", mean, 50*(i.High-i.Low))
	}
}

// Verdict is whether a claim holds.
type Verdict string

// The verdicts.
const (
	Holds     Verdict = "holds"
	Fails     Verdict = "does not hold"
	Undecided Verdict = "undecided"
)

// Judgement is the verdict on a claim and what it rests on.
type Judgement struct {
	Verdict  Verdict   `json:"verdict"`
	Reason   string    `json:"reason"` // one line, in the claim's unit: "one seed, so no interval", "2 of 5 seeds diverged; ..."
	Interval Interval  `json:"interval"`
	Values   []float64 `json:"values"`          // one per seed that could be measured
	Never    int       `json:"never,omitempty"` // seeds that have no value because their accuracies did not cross
	Diverged int       `json:"diverged"`        // seeds that have no value because their loss stopped being finite
}

// Judge gives the verdict on the values of Measure, one per seed, and the number of
// seeds that diverged, which have no value.
//
// The claim holds if the whole interval lies in its range, bounds included; it does
// not hold if the whole interval lies outside; else it is undecided. Bounds are
// compared with a slack of 1e-9. The range is Value ± Tolerance, or above 0.
//
//   - Fewer than MinSeeds seeds have no interval and leave the claim undecided,
//     unless all are off by more than twice the tolerance or, of "above 0", by
//     more than FarBelow.
//   - Seeds that agree to the last bit have an interval of one point, which decides.
//   - Diverged seeds are counted and named, and never averaged in. A claim that
//     the others bear out is then undecided, since they are the survivors; one
//     that they refute does not hold, and neither does one whose seeds all diverged.
//   - Seeds whose accuracies never cross are treated the same way.
//   - Without any seed it is undecided.
func (c Claim) Judge(values []float64, diverged int) Judgement {
	j := Judgement{Values: []float64{}, Diverged: diverged}
	for _, value := range values {
		if math.IsInf(value, 1) {
			j.Never++
		} else {
			j.Values = append(j.Values, value)
		}
	}
	least, most := c.Kind.row().unit.bounds(c.Epochs)
	j.Interval = NewInterval(j.Values, least, most)
	var found string
	j.Verdict, found = c.verdict(j.Values, j.Interval)
	switch missing := j.Never + diverged; {
	case missing > 0 && len(j.Values) == 0:
		j.Verdict = Fails
	case missing > 0 && j.Verdict == Holds:
		j.Verdict = Undecided
	}
	var reasons []string
	if diverged > 0 {
		reasons = append(reasons, fmt.Sprintf("%d of %s diverged", diverged, plural(diverged+len(values), "seed")))
	}
	if j.Never > 0 {
		reasons = append(reasons, c.crossed(j))
	} else if j.Interval.N > 0 || diverged == 0 {
		reasons = append(reasons, found)
	}
	j.Reason = strings.Join(reasons, "; ")
	return j
}

// crossed says how many seeds crossed, and when: "1 of 3 seeds crossed, at epoch 3".
func (c Claim) crossed(j Judgement) string {
	seeds := len(j.Values) + j.Never
	text := fmt.Sprintf("%d of %s crossed", len(j.Values), plural(seeds, "seed"))
	switch len(j.Values) {
	case 0:
		return text
	case 1:
		return text + ", at " + c.Format(j.Interval.Mean)
	default:
		return text + ", on average at " + c.Format(j.Interval.Mean)
	}
}

// Ours writes what was measured in the claim's unit: "89.30% (89.21% to 89.39%)";
// without an interval if there is none, "1 of 3 seeds crossed, at epoch 3" where
// some never do, and "not measured" without any seed.
func (c Claim) Ours(j Judgement) string {
	mean := c.Format(j.Interval.Mean)
	switch {
	case j.Never > 0:
		return c.crossed(j)
	case j.Interval.N == 0:
		return "not measured"
	case j.Interval.N == 1:
		return mean
	case !j.Interval.Known():
		return mean + " (too few seeds for an interval)"
	default:
		return fmt.Sprintf("%s (%s)", mean, c.span(j.Interval))
	}
}

// verdict judges the seeds that have a value.
func (c Claim) verdict(values []float64, i Interval) (Verdict, string) {
	if i.N == 0 {
		return Undecided, "not measured"
	}
	t := c.target()
	if !i.Known() {
		reason := "one seed, so no interval"
		if i.N > 1 {
			reason = fmt.Sprintf("%d seeds, too few seeds for an interval", i.N)
		}
		if slices.ContainsFunc(values, func(x float64) bool { return x >= t.farBelow && x <= t.farAbove }) {
			return Undecided, reason
		}
		return Fails, reason + "; " + t.far
	}
	found := "the interval " + c.span(i)
	if i.Low == i.High {
		found = fmt.Sprintf("every seed's value (%s)", c.Format(i.Mean))
	}
	switch {
	case i.Low >= t.low && i.High <= t.high:
		return Holds, found + " " + t.within
	case i.High < t.low || i.Low > t.high:
		return Fails, found + " " + t.outside
	default:
		return Undecided, found + " " + t.beyond
	}
}

// target is the range in which a claim's mean is claimed to lie, with the slack,
// and how a reason names it.
type target struct {
	low, high                    float64 // both in it
	farBelow, farAbove           float64 // one seed below or above these is enough
	within, outside, beyond, far string
}

func (c Claim) target() target {
	k := c.Kind.row()
	if k.aboveZero {
		return target{
			low: math.Nextafter(slack, 1), high: math.Inf(1), farBelow: -FarBelow - slack, farAbove: math.Inf(1),
			within: "is above 0", outside: "is not above 0", beyond: "reaches down to 0 or below", far: "far below 0",
		}
	}
	low, high := c.Value-c.Tolerance, c.Value+c.Tolerance
	half := (high - low) / 2
	least, most := k.unit.bounds(c.Epochs)
	tolerance := "the tolerance, " + k.unit.span(k.unit.exact(max(low, least)), k.unit.exact(min(high, most)))
	return target{
		low: low - slack, high: high + slack, farBelow: low - half - slack, farAbove: high + half + slack,
		within: "lies within " + tolerance, outside: "lies outside " + tolerance,
		beyond: "reaches beyond " + tolerance, far: "far outside " + tolerance,
	}
}
