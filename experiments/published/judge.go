package published

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Confidence is the level of every [Interval].
const Confidence = 0.95

// FarBelow is how far a single seed must lie below 0 to refute a claim of "above
// 0": one point of accuracy. Final accuracies of two seeds of one experiment
// differ by a few tenths of a point.
const FarBelow = 0.01

// slack is how far beyond a bound a value still counts as at it, so that 0.898 is
// within 0.894 ± 0.004, whose sum is 0.8980000000000001 or 0.898 as the bits fall.
// It is far above rounding (1e-16) and far below one image of 60,000 (1.7e-5).
const slack = 1e-9

// Interval is the mean of some seeds' values and its 95% confidence interval by
// Student's t. One value has no spread to tell an interval from: Low and High are
// then the value, Deviation is 0, and N = 1 says that they mean nothing.
type Interval struct {
	N         int     `json:"n"`
	Mean      float64 `json:"mean"`      // 0 for no values, as all else
	Low       float64 `json:"low"`       // of the interval
	High      float64 `json:"high"`      // of the interval
	Deviation float64 `json:"deviation"` // standard deviation of the sample (n - 1)
}

// NewInterval returns the interval of finite values.
func NewInterval(values []float64) Interval {
	n := len(values)
	if n == 0 {
		return Interval{}
	}
	// Equal values have exactly their value as mean and no deviation; summing them
	// up would leave a last bit of both.
	if slices.Min(values) == slices.Max(values) {
		return Interval{N: n, Mean: values[0], Low: values[0], High: values[0]}
	}
	mean, deviation := stat.MeanStdDev(values, nil)
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile((1 + Confidence) / 2)
	half := t * deviation / math.Sqrt(float64(n))
	return Interval{N: n, Mean: mean, Low: mean - half, High: mean + half, Deviation: deviation}
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
	Reason   string    `json:"reason"` // one line, in the claim's unit: "1 seed", "2 of 5 seeds diverged; ..."
	Interval Interval  `json:"interval"`
	Values   []float64 `json:"values"`   // one a seed that could be measured
	Diverged int       `json:"diverged"` // seeds that have no value because their loss stopped being finite
}

// Judge gives the verdict on the values of Measure, one a seed, and the number of
// seeds that diverged, whose values there are none of.
//
// The claim holds if the whole interval lies in its range, bounds included; it does
// not hold if the whole interval lies outside; else it is undecided. Bounds are
// compared with a slack of 1e-9. The range is Value ± Tolerance, or above 0.
//
//   - One seed tells no spread and leaves the claim undecided, unless it is off by
//     more than twice the tolerance or, of "above 0", by more than FarBelow.
//   - Seeds that agree to the last bit have an interval of one point, which decides.
//   - Diverged seeds are counted and named, and never averaged in. A claim that
//     the others bear out is then undecided, since they are the survivors; one
//     that they refute does not hold, and neither does one if all diverged.
//   - Without any seed it is undecided.
func (c Claim) Judge(values []float64, diverged int) Judgement {
	j := Judgement{Interval: NewInterval(values), Values: append([]float64{}, values...), Diverged: diverged}
	j.Verdict, j.Reason = c.verdict(j.Interval)
	switch {
	case diverged == 0:
	case len(values) == 0:
		j.Verdict, j.Reason = Fails, divergedSeeds(diverged, diverged)
	default:
		j.Reason = divergedSeeds(diverged, diverged+len(values)) + "; " + j.Reason
		if j.Verdict == Holds {
			j.Verdict = Undecided
		}
	}
	return j
}

func divergedSeeds(diverged, seeds int) string {
	return fmt.Sprintf("%d of %s diverged", diverged, plural(seeds, "seed"))
}

// verdict judges the seeds that did not diverge.
func (c Claim) verdict(i Interval) (Verdict, string) {
	t, say := c.target(), c.words()
	switch {
	case i.N == 0:
		return Undecided, "not measured"
	case i.N == 1 && t.far(i.Mean):
		return Fails, "1 seed, " + say.far
	case i.N == 1:
		return Undecided, "1 seed"
	}
	found := "the interval " + c.span(i.Low, i.High)
	if i.Low == i.High {
		found = fmt.Sprintf("every seed's value (%s)", c.Format(i.Mean))
	}
	switch {
	case t.contains(i.Low) && t.contains(i.High):
		return Holds, found + " " + say.within
	case t.outside(i.Low, i.High):
		return Fails, found + " " + say.outside
	default:
		return Undecided, found + " " + say.beyond
	}
}

// target is the range in which a claim's mean is claimed to lie.
type target struct {
	low, high float64 // high +Inf if oneSided
	oneSided  bool    // above low, which is not in it
}

func (c Claim) target() target {
	switch c.Kind {
	case NoOverfitting, StillRising, BetterThan:
		return target{high: math.Inf(1), oneSided: true}
	default:
		return target{low: c.Value - c.Tolerance, high: c.Value + c.Tolerance}
	}
}

func (t target) contains(x float64) bool {
	if t.oneSided {
		return x > t.low+slack
	}
	return x >= t.low-slack && x <= t.high+slack
}

// outside is whether no value from low to high is in the range.
func (t target) outside(low, high float64) bool {
	if t.oneSided {
		return high <= t.low+slack
	}
	return high < t.low-slack || low > t.high+slack
}

// far is whether x is off by so much that one seed is enough.
func (t target) far(x float64) bool {
	if t.oneSided {
		return x < t.low-FarBelow-slack
	}
	tolerance := (t.high - t.low) / 2
	return x < t.low-tolerance-slack || x > t.high+tolerance+slack
}

// words say where values are in relation to a claim's range.
type words struct{ within, outside, beyond, far string }

func (c Claim) words() words {
	t, u := c.target(), c.unit()
	if t.oneSided {
		return words{"is above 0", "is not above 0", "reaches down to 0 or below", "far below 0"}
	}
	tolerance := "the tolerance, " + c.spanOf(u.exact(t.low), u.exact(t.high))
	return words{"lies within " + tolerance, "lies outside " + tolerance, "reaches beyond " + tolerance, "far outside " + tolerance}
}
