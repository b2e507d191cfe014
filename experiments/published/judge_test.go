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
// Student's t: 4.303 for 2 degrees of freedom, 2.776 for 4.
func TestInterval(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   published.Interval
	}{
		{nil, published.Interval{}},
		{[]float64{0.9}, published.Interval{N: 1, Mean: 0.9, Low: 0.9, High: 0.9}},
		// two are too few
		{[]float64{1, 3}, published.Interval{N: 2, Mean: 2, Low: 2, High: 2, Deviation: math.Sqrt2}},
		// deviation 1, half 4.303 / sqrt(3) = 2.4843
		{[]float64{1, 2, 3}, published.Interval{N: 3, Mean: 2, Low: -0.4843, High: 4.4843, Deviation: 1}},
		// deviation sqrt(2.5) = 1.58114, half 2.776 * 1.58114 / sqrt(5) = 1.9629
		{[]float64{5, 1, 4, 2, 3}, published.Interval{N: 5, Mean: 3, Low: 1.0371, High: 4.9629, Deviation: 1.58114}},
	} {
		if diff := cmp.Diff(c.want, published.NewInterval(c.values, -10, 10), cmpopts.EquateApprox(0, 5e-4)); diff != "" {
			t.Errorf("%v: %s", c.values, diff)
		}
	}
	// Equal values: exactly that value, though their sum over their number is not.
	if got, want := published.NewAccuracy([]float64{0.1, 0.1, 0.1}), (published.Interval{N: 3, Mean: 0.1, Low: 0.1, High: 0.1}); got != want {
		t.Errorf("found %+v, expected %+v", got, want)
	}
	// It does not leave the range of what is measured.
	for _, c := range []struct {
		values    []float64
		low, high float64
		text      string
	}{
		{[]float64{0.8, 0.98, 0.9}, 0.6693, 1, "89.33% (66.93 to 100.00)"},
		{[]float64{0.02, 0.1, 0.3}, 0, 0.4983, "14.00% (0.00 to 49.83)"},
		{[]float64{0.8, 0.82, 0.81}, 0.7852, 0.8348, "81.00% ± 2.48"},
		{[]float64{1, 1, 1}, 1, 1, "100.00% ± 0.00"},
		{[]float64{0.8, 0.9}, 0.85, 0.85, "85.00%"},
		{[]float64{0.8}, 0.8, 0.8, "80.00%"},
		{nil, 0, 0, "-"},
	} {
		got := published.NewAccuracy(c.values)
		if math.Abs(got.Low-c.low) > 5e-5 || math.Abs(got.High-c.high) > 5e-5 || got.Percent() != c.text {
			t.Errorf("%v: found %+v, %s, expected %v to %v, %s", c.values, got, got.Percent(), c.low, c.high, c.text)
		}
	}
}

func TestJudge(t *testing.T) {
	accuracy := published.Claim{Kind: published.FinalTestAccuracy, Value: 0.894, Tolerance: 0.004}
	gap := published.Claim{Kind: published.TrainTestGap, Value: -0.004, Tolerance: 0.002}
	crossover := published.Claim{Kind: published.CrossoverEpoch, Value: 7, Tolerance: 1, Epochs: 20}
	better := published.Claim{Kind: published.BetterThan, Reference: "attempt-1"}
	rising := published.Claim{Kind: published.StillRising, Over: 5}
	never := math.Inf(1)
	const holds, fails, undecided, tolerance = published.Holds, published.Fails, published.Undecided, "the tolerance, 89% to 89.8%"
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
			holds, "the interval 89.35% to 89.45% lies within " + tolerance},
		{"below", accuracy, []float64{0.8835, 0.8840, 0.8845, 0.8838, 0.8842}, 0,
			fails, "the interval 88.35% to 88.45% lies outside " + tolerance},
		{"above", accuracy, []float64{0.9295, 0.9290, 0.9292}, 0, fails, "the interval 92.86% to 92.99% lies outside " + tolerance},
		{"across the lower end", accuracy, []float64{0.8895, 0.8905, 0.8910}, 0,
			undecided, "the interval 88.84% to 89.22% reaches beyond " + tolerance},
		{"beyond 100%", accuracy, []float64{0.80, 0.98, 0.9}, 0, undecided, "the interval 66.93% to 100.00% reaches beyond " + tolerance},
		{"up to 100%", published.Claim{Kind: published.FinalTestAccuracy, Value: 0.99, Tolerance: 0.02}, []float64{0.99, 1, 0.99}, 0,
			holds, "the interval 97.90% to 100.00% lies within the tolerance, 97% to 100%"},

		{"no spread, inside", accuracy, []float64{0.895, 0.895, 0.895}, 0, holds, "every seed's value (89.50%) lies within " + tolerance},
		{"no spread, at the upper end", accuracy, []float64{0.898, 0.898, 0.898}, 0,
			holds, "every seed's value (89.80%) lies within " + tolerance},
		{"no spread, at the end as a difference falls", gap, []float64{0.889 - 0.895, 0.889 - 0.895, 0.889 - 0.895}, 0,
			holds, "every seed's value (-0.60 points) lies within the tolerance, -0.6 to -0.2 points"},
		{"no spread but for the last bits, at the end", gap, []float64{math.Nextafter(-0.006, -1), -0.006, math.Nextafter(-0.006, 0)}, 0,
			holds, "the interval -0.60 to -0.60 points lies within the tolerance, -0.6 to -0.2 points"},
		{"no spread, a train image beyond", accuracy, []float64{0.898 + 1./60000, 0.898 + 1./60000, 0.898 + 1./60000}, 0,
			fails, "every seed's value (89.80%) lies outside " + tolerance},

		{"one seed inside", accuracy, []float64{0.894}, 0, undecided, "one seed, so no interval"},
		{"one seed outside by the tolerance", accuracy, []float64{0.902}, 0, undecided, "one seed, so no interval"},
		{"one seed far above", accuracy, []float64{0.9021}, 0, fails, "one seed, so no interval; far outside " + tolerance},
		{"one seed far below", accuracy, []float64{0.8859}, 0, fails, "one seed, so no interval; far outside " + tolerance},
		{"two seeds inside", accuracy, []float64{0.8940, 0.8941}, 0, undecided, "2 seeds, too few seeds for an interval"},
		{"two seeds, one far off", accuracy, []float64{0.8940, 0.9941}, 0, undecided, "2 seeds, too few seeds for an interval"},
		{"two seeds far off", accuracy, []float64{0.7, 0.98}, 0, fails, "2 seeds, too few seeds for an interval; far outside " + tolerance},

		{"none", accuracy, nil, 0, undecided, "not measured"},
		{"all diverged", accuracy, nil, 5, fails, "5 of 5 seeds diverged"},
		{"the only one diverged", accuracy, nil, 1, fails, "1 of 1 seed diverged"},
		{"some diverged", accuracy, []float64{0.8935, 0.8940, 0.8945}, 2,
			undecided, "2 of 5 seeds diverged; the interval 89.28% to 89.52% lies within " + tolerance},
		{"all but one diverged", accuracy, []float64{0.894}, 4, undecided, "4 of 5 seeds diverged; one seed, so no interval"},

		{"better", better, []float64{0.031, 0.030, 0.032}, 0, holds, "the interval +2.85 to +3.35 points is above 0"},
		{"worse", better, []float64{-0.031, -0.030, -0.032}, 0, fails, "the interval -3.35 to -2.85 points is not above 0"},
		{"perhaps better", better, []float64{0.001, -0.0005, 0.002}, 0,
			undecided, "the interval -0.23 to +0.40 points reaches down to 0 or below"},
		{"as good, no spread", better, []float64{0, 0, 0}, 0, fails, "every seed's value (0.00 points) is not above 0"},
		{"as good but for the last bits", better, []float64{1e-17, 2e-17, 1e-17}, 0,
			fails, "the interval 0.00 to 0.00 points is not above 0"},
		{"better, no spread", better, []float64{0.0001, 0.0001, 0.0001}, 0, holds, "every seed's value (+0.01 points) is above 0"},
		{"one seed, better", better, []float64{0.3}, 0, undecided, "one seed, so no interval"},
		{"one seed, worse", better, []float64{-0.01}, 0, undecided, "one seed, so no interval"},
		{"one seed, far worse", better, []float64{-0.0101}, 0, fails, "one seed, so no interval; far below 0"},
		{"falling", rising, []float64{-0.02}, 0, fails, "one seed, so no interval; far below 0"},

		{"crossover", crossover, []float64{7, 7, 7, 6, 7}, 0,
			holds, "the interval epoch 6.2 to 7.4 lies within the tolerance, epoch 6 to 8"},
		{"crossover, wide", crossover, []float64{6, 8, 9}, 0,
			undecided, "the interval epoch 3.9 to 11.5 reaches beyond the tolerance, epoch 6 to 8"},
		{"crossover, wider than the run", crossover, []float64{1, 8, 19}, 0,
			undecided, "the interval epoch 1 to 20 reaches beyond the tolerance, epoch 6 to 8"},
		{"crossover, never", crossover, []float64{never, never}, 0, fails, "0 of 2 seeds crossed"},
		{"crossover, one seed, never", crossover, []float64{never}, 0, fails, "0 of 1 seed crossed"},
		{"crossover, once", crossover, []float64{never, 3, never}, 0, fails, "1 of 3 seeds crossed, at epoch 3"},
		{"crossover, as claimed but once never", crossover, []float64{7, never, 7, 7}, 0,
			undecided, "3 of 4 seeds crossed, on average at epoch 7"},
		{"crossover, late or never", crossover, []float64{15, never, 16, 15}, 1,
			fails, "1 of 5 seeds diverged; 3 of 4 seeds crossed, on average at epoch 15.3"},

		{"close", near, []float64{0.01, -0.01, 0.005, 0.0, 0.002}, 0,
			holds, "the interval -0.78 to +1.06 points lies within the tolerance, -3 to +3 points"},
		{"not close", near, []float64{0.029, 0.034, 0.031}, 0,
			undecided, "the interval +2.51 to +3.76 points reaches beyond the tolerance, -3 to +3 points"},
	} {
		got := c.claim.Judge(c.values, c.diverged)
		if got.Verdict != c.verdict || got.Reason != c.reason {
			t.Errorf("%s:\n   found %s: %s\nexpected %s: %s", c.name, got.Verdict, got.Reason, c.verdict, c.reason)
		}
		if got.Interval.N != len(got.Values) || len(got.Values)+got.Never != len(c.values) || got.Diverged != c.diverged {
			t.Errorf("%s: found %+v, expected it to rest on %v and %d diverged", c.name, got, c.values, c.diverged)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOurs(t *testing.T) {
	accuracy := published.Claim{Kind: published.FinalTestAccuracy, Value: 0.5, Tolerance: 0.1}
	crossover := published.Claim{Kind: published.CrossoverEpoch, Value: 7, Tolerance: 1, Epochs: 20}
	for _, c := range []struct {
		claim  published.Claim
		values []float64
		want   string
	}{
		{accuracy, nil, "not measured"},
		{accuracy, []float64{0.2361}, "23.61%"},
		{accuracy, []float64{0.8, 0.9}, "85.00% (too few seeds for an interval)"},
		{accuracy, []float64{0.8, 0.9, 0.99}, "89.67% (66.06% to 100.00%)"},
		{crossover, []float64{math.Inf(1), 3, math.Inf(1)}, "1 of 3 seeds crossed, at epoch 3"},
		{crossover, []float64{math.Inf(1)}, "0 of 1 seed crossed"},
		{crossover, []float64{3, 4, 4}, "epoch 3.7 (epoch 2.2 to 5.1)"},
	} {
		if got := c.claim.Ours(c.claim.Judge(c.values, 0)); got != c.want {
			t.Errorf("%v: found %q, expected %q", c.values, got, c.want)
		}
	}
}

// TestJudgeAtTheBound moves an interval by steps across the claim's bounds.
func TestJudgeAtTheBound(t *testing.T) {
	values := []float64{0.890, 0.892, 0.891}
	i := published.NewAccuracy(values)
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

func TestJudgementJSON(t *testing.T) {
	claim := published.Claim{Kind: published.FinalTestAccuracy, Value: 0.5, Tolerance: 0.1}
	got, err := json.Marshal(claim.Judge(nil, 0))
	const want = `{"verdict":"undecided","reason":"not measured",` +
		`"interval":{"n":0,"mean":0,"low":0,"high":0,"deviation":0},"values":[],"diverged":0}`
	if err != nil || string(got) != want {
		t.Errorf("found %s, %v, expected %s", got, err, want)
	}
}
