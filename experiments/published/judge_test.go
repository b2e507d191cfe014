package published_test

import (
	"encoding/json"
	"math"
	"testing"

	"epochal/experiments/published"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestInterval compares with numbers worked out by hand from a printed table of
// Student's t: 12.706 for 1 degree of freedom, 4.303 for 2, 2.776 for 4.
func TestInterval(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   published.Interval
	}{
		{nil, published.Interval{}},
		{[]float64{0.9}, published.Interval{N: 1, Mean: 0.9, Low: 0.9, High: 0.9}},
		// mean 2, deviation sqrt(2), half 12.706 * sqrt(2) / sqrt(2)
		{[]float64{1, 3}, published.Interval{N: 2, Mean: 2, Low: 2 - 12.706, High: 2 + 12.706, Deviation: math.Sqrt2}},
		// deviation 1, half 4.303 / sqrt(3) = 2.4843
		{[]float64{1, 2, 3}, published.Interval{N: 3, Mean: 2, Low: -0.4843, High: 4.4843, Deviation: 1}},
		// deviation sqrt(2.5) = 1.58114, half 2.776 * 1.58114 / sqrt(5) = 1.9629
		{[]float64{5, 1, 4, 2, 3}, published.Interval{N: 5, Mean: 3, Low: 1.0371, High: 4.9629, Deviation: 1.58114}},
	} {
		if diff := cmp.Diff(c.want, published.NewInterval(c.values), cmpopts.EquateApprox(0, 5e-4)); diff != "" {
			t.Errorf("%v: %s", c.values, diff)
		}
	}
	// Equal values: exactly that value, though their sum over their number is not.
	if got, want := published.NewInterval([]float64{0.1, 0.1, 0.1}), (published.Interval{N: 3, Mean: 0.1, Low: 0.1, High: 0.1}); got != want {
		t.Errorf("found %+v, expected %+v", got, want)
	}
}

func TestJudge(t *testing.T) {
	accuracy := published.Claim{Kind: published.FinalTestAccuracy, Value: 0.894, Tolerance: 0.004}
	gap := published.Claim{Kind: published.TrainTestGap, Value: -0.004, Tolerance: 0.002}
	crossover := published.Claim{Kind: published.CrossoverEpoch, Value: 7, Tolerance: 1, Epochs: 20}
	better := published.Claim{Kind: published.BetterThan, Reference: "attempt-1"}
	rising := published.Claim{Kind: published.StillRising, Over: 5}
	near := published.Claim{Kind: published.CloseTo, Reference: "attempt-1", Tolerance: 0.03}
	for _, c := range []struct {
		name     string
		claim    published.Claim
		values   []float64
		diverged int
		verdict  published.Verdict
		reason   string
	}{
		{"inside", accuracy, []float64{0.8935, 0.8940, 0.8945, 0.8938, 0.8942}, 0,
			published.Holds, "the interval 89.35% to 89.45% lies within the tolerance, 89% to 89.8%"},
		{"below", accuracy, []float64{0.8835, 0.8840, 0.8845, 0.8838, 0.8842}, 0,
			published.Fails, "the interval 88.35% to 88.45% lies outside the tolerance, 89% to 89.8%"},
		{"above", accuracy, []float64{0.9295, 0.9290}, 0,
			published.Fails, "the interval 92.61% to 93.24% lies outside the tolerance, 89% to 89.8%"},
		{"across the lower end", accuracy, []float64{0.8895, 0.8905, 0.8910}, 0,
			published.Undecided, "the interval 88.84% to 89.22% reaches beyond the tolerance, 89% to 89.8%"},
		{"wide, all seeds inside", accuracy, []float64{0.891, 0.897}, 0,
			published.Undecided, "the interval 85.59% to 93.21% reaches beyond the tolerance, 89% to 89.8%"},
		{"wide, all seeds outside", accuracy, []float64{0.80, 0.98}, 0,
			published.Undecided, "the interval -25.36% to 203.36% reaches beyond the tolerance, 89% to 89.8%"},
		{"two seeds that nearly agree", accuracy, []float64{0.8940, 0.8941}, 0,
			published.Holds, "the interval 89.34% to 89.47% lies within the tolerance, 89% to 89.8%"},

		{"no spread, inside", accuracy, []float64{0.895, 0.895}, 0,
			published.Holds, "every seed's value (89.50%) lies within the tolerance, 89% to 89.8%"},
		{"no spread, at the upper end", accuracy, []float64{0.898, 0.898, 0.898}, 0,
			published.Holds, "every seed's value (89.80%) lies within the tolerance, 89% to 89.8%"},
		{"no spread, at the lower end", accuracy, []float64{0.89, 0.89}, 0,
			published.Holds, "every seed's value (89.00%) lies within the tolerance, 89% to 89.8%"},
		{"no spread, at the end as a difference falls", gap, []float64{0.889 - 0.895, 0.889 - 0.895}, 0,
			published.Holds, "every seed's value (-0.60 points) lies within the tolerance, -0.6 to -0.2 points"},
		{"no spread but for the last bits, at the end", gap, []float64{math.Nextafter(-0.006, -1), -0.006, math.Nextafter(-0.006, 0)}, 0,
			published.Holds, "the interval -0.60 to -0.60 points lies within the tolerance, -0.6 to -0.2 points"},
		{"no spread, an image beyond", accuracy, []float64{0.8981, 0.8981}, 0,
			published.Fails, "every seed's value (89.81%) lies outside the tolerance, 89% to 89.8%"},
		{"no spread, a train image beyond", accuracy, []float64{0.898 + 1./60000, 0.898 + 1./60000}, 0,
			published.Fails, "every seed's value (89.80%) lies outside the tolerance, 89% to 89.8%"},

		{"one seed inside", accuracy, []float64{0.894}, 0, published.Undecided, "1 seed"},
		{"one seed outside", accuracy, []float64{0.899}, 0, published.Undecided, "1 seed"},
		{"one seed outside by the tolerance", accuracy, []float64{0.902}, 0, published.Undecided, "1 seed"},
		{"one seed far above", accuracy, []float64{0.9021}, 0, published.Fails, "1 seed, far outside the tolerance, 89% to 89.8%"},
		{"one seed far below", accuracy, []float64{0.8859}, 0, published.Fails, "1 seed, far outside the tolerance, 89% to 89.8%"},

		{"none", accuracy, nil, 0, published.Undecided, "not measured"},
		{"all diverged", accuracy, nil, 5, published.Fails, "5 of 5 seeds diverged"},
		{"the only one diverged", accuracy, nil, 1, published.Fails, "1 of 1 seed diverged"},
		{"some diverged", accuracy, []float64{0.8935, 0.8940, 0.8945}, 2,
			published.Undecided, "2 of 5 seeds diverged; the interval 89.28% to 89.52% lies within the tolerance, 89% to 89.8%"},
		{"all but one diverged", accuracy, []float64{0.894}, 4, published.Undecided, "4 of 5 seeds diverged; 1 seed"},

		{"better", better, []float64{0.031, 0.030, 0.032}, 0, published.Holds, "the interval +2.85 to +3.35 points is above 0"},
		{"worse", better, []float64{-0.031, -0.030, -0.032}, 0, published.Fails, "the interval -3.35 to -2.85 points is not above 0"},
		{"perhaps better", better, []float64{0.001, -0.0005, 0.002}, 0, published.Undecided, "the interval -0.23 to +0.40 points reaches down to 0 or below"},
		{"as good, no spread", better, []float64{0, 0}, 0, published.Fails, "every seed's value (0.00 points) is not above 0"},
		{"as good but for the last bits", better, []float64{1e-17, 2e-17}, 0, published.Fails, "the interval 0.00 to 0.00 points is not above 0"},
		{"better, no spread", better, []float64{0.0001, 0.0001}, 0, published.Holds, "every seed's value (+0.01 points) is above 0"},
		{"one seed, better", better, []float64{0.3}, 0, published.Undecided, "1 seed"},
		{"one seed, worse", better, []float64{-0.01}, 0, published.Undecided, "1 seed"},
		{"one seed, far worse", better, []float64{-0.0101}, 0, published.Fails, "1 seed, far below 0"},
		{"falling", rising, []float64{-0.02}, 0, published.Fails, "1 seed, far below 0"},

		{"crossover", crossover, []float64{7, 7, 7, 6, 7}, 0, published.Holds, "the interval epoch 6.2 to 7.4 lies within the tolerance, epoch 6 to 8"},
		{"crossover, wide", crossover, []float64{6, 8, 9}, 0, published.Undecided, "the interval epoch 3.9 to 11.5 reaches beyond the tolerance, epoch 6 to 8"},
		{"crossover, never", crossover, []float64{21, 21}, 0, published.Fails, "every seed's value (never) lies outside the tolerance, epoch 6 to 8"},
		{"crossover, one never", crossover, []float64{7, 21, 7}, 0, published.Undecided, "the interval epoch -8.4 to never reaches beyond the tolerance, epoch 6 to 8"},
		{"crossover, one seed, never", crossover, []float64{21}, 0, published.Fails, "1 seed, far outside the tolerance, epoch 6 to 8"},

		{"close", near, []float64{0.01, -0.01, 0.005, 0.0, 0.002}, 0, published.Holds, "the interval -0.78 to +1.06 points lies within the tolerance, -3 to +3 points"},
		{"not close", near, []float64{0.031, 0.032}, 0, published.Undecided, "the interval +2.51 to +3.79 points reaches beyond the tolerance, -3 to +3 points"},
	} {
		got := c.claim.Judge(c.values, c.diverged)
		if got.Verdict != c.verdict || got.Reason != c.reason {
			t.Errorf("%s:\n   found %s: %s\nexpected %s: %s", c.name, got.Verdict, got.Reason, c.verdict, c.reason)
		}
		if got.Interval != published.NewInterval(c.values) || len(got.Values) != len(c.values) || got.Diverged != c.diverged {
			t.Errorf("%s: found %+v, expected it to rest on %v and %d diverged", c.name, got, c.values, c.diverged)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestJudgeAtTheBound moves an interval by steps across the claim's bounds.
func TestJudgeAtTheBound(t *testing.T) {
	values := []float64{0.890, 0.892, 0.891}
	i := published.NewInterval(values)
	for _, c := range []struct {
		value float64
		want  published.Verdict
	}{
		{i.Low + 0.01, published.Holds}, // the claim's lower end is the interval's
		{i.Low + 0.01 + 1e-6, published.Undecided},
		{i.High - 0.01, published.Holds}, // the upper end
		{i.High - 0.01 - 1e-6, published.Undecided},
		{i.High + 0.01, published.Undecided}, // they touch
		{i.High + 0.01 + 1e-6, published.Fails},
		{i.Low - 0.01, published.Undecided},
		{i.Low - 0.01 - 1e-6, published.Fails},
	} {
		claim := published.Claim{Kind: published.FinalTestAccuracy, Value: c.value, Tolerance: 0.01}
		if got := claim.Judge(values, 0); got.Verdict != c.want {
			t.Errorf("%v: found %s, expected %s: %s", c.value, got.Verdict, c.want, got.Reason)
		}
	}
}

// TestJudgeAtEveryTolerance is at the bound as it is written, for every accuracy
// and tolerance in tenths of a point.
func TestJudgeAtEveryTolerance(t *testing.T) {
	for value := range 1001 {
		for tolerance := 1; tolerance <= 20; tolerance++ {
			claim := published.Claim{Kind: published.FinalTestAccuracy, Value: float64(value) / 1000, Tolerance: float64(tolerance) / 1000}
			for _, end := range []int{value - tolerance, value + tolerance} {
				at := float64(end) / 1000
				if got := claim.Judge([]float64{at, at}, 0); got.Verdict != published.Holds {
					t.Fatalf("%s at %v: found %s, expected that it holds", claim.Published(), at, got.Verdict)
				}
			}
		}
	}
}

func TestJudgementJSON(t *testing.T) {
	claim := published.Claim{Kind: published.FinalTestAccuracy, Value: 0.5, Tolerance: 0.1}
	for _, c := range []struct {
		values []float64
		want   string
	}{
		{nil, `{"verdict":"undecided","reason":"not measured","interval":{"n":0,"mean":0,"low":0,"high":0,"deviation":0},"values":[],"diverged":0}`},
		{[]float64{0.5}, `{"verdict":"undecided","reason":"1 seed","interval":{"n":1,"mean":0.5,"low":0.5,"high":0.5,"deviation":0},"values":[0.5],"diverged":0}`},
	} {
		got, err := json.Marshal(claim.Judge(c.values, 0))
		if err != nil || string(got) != c.want {
			t.Errorf("found %s, %v, expected %s", got, err, c.want)
		}
	}
}
