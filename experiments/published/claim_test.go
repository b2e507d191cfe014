package published_test

import (
	"math"
	"testing"

	"epochal/experiments"
	"epochal/experiments/evaluate"
	"epochal/experiments/published"
)

func TestClaimWords(t *testing.T) {
	for _, c := range []struct {
		claim             published.Claim
		what, published   string
		value             float64
		formatted, negate string // of value and of -value
	}{
		{published.Claim{Kind: published.FinalTestAccuracy, Value: 0.894, Tolerance: 0.004},
			"final test accuracy", "89.4% ± 0.4", 0.89344, "89.34%", "-89.34%"},
		{published.Claim{Kind: published.FinalTestAccuracy, Value: 0.29, Tolerance: 0.07},
			"final test accuracy", "29% ± 7", 0.29, "29.00%", "-29.00%"},
		{published.Claim{Kind: published.TrainTestGap, Value: -0.004, Tolerance: 0.002},
			"train minus test accuracy", "-0.4 ± 0.2 points", 0.00456, "+0.46 points", "-0.46 points"},
		{published.Claim{Kind: published.TrainTestGap, Value: 0.1, Tolerance: 0.03},
			"train minus test accuracy", "+10 ± 3 points", 0.000001, "0.00 points", "0.00 points"},
		{published.Claim{Kind: published.NoOverfitting, Over: 20},
			"least lead of test over train accuracy, last 20 epochs", "above 0", 0.004, "+0.40 points", "-0.40 points"},
		{published.Claim{Kind: published.ClassAccuracy, Class: 5, Digits: true, Value: 0.82, Tolerance: 0.03},
			"accuracy of digit 5", "82% ± 3", 0.8, "80.00%", "-80.00%"},
		{published.Claim{Kind: published.ClassAccuracy, Class: 5, Value: 0.82, Tolerance: 0.03},
			"accuracy of class 5", "82% ± 3", 1, "100.00%", "-100.00%"},
		{published.Claim{Kind: published.CrossoverEpoch, Value: 7, Tolerance: 1, Epochs: 20},
			"crossover of train over test accuracy", "epoch 7 ± 1", 6.8333, "epoch 6.8", "epoch -6.8"},
		{published.Claim{Kind: published.CrossoverEpoch, Value: 7, Tolerance: 1.5, Epochs: 20},
			"crossover of train over test accuracy", "epoch 7 ± 1.5", math.Inf(1), "never", ""},
		{published.Claim{Kind: published.CrossoverEpoch, Value: 7, Tolerance: 1.5, Epochs: 20},
			"crossover of train over test accuracy", "epoch 7 ± 1.5", 20, "epoch 20", "epoch -20"},
		{published.Claim{Kind: published.StillRising, Over: 1},
			"rise of both accuracies, last 1 epoch", "above 0", 0.0005, "+0.05 points", "-0.05 points"},
		{published.Claim{Kind: published.BetterThan, Reference: "attempt-1"},
			"final test accuracy against attempt-1", "above attempt-1", 0.0789, "+7.89 points", "-7.89 points"},
		{published.Claim{Kind: published.CloseTo, Reference: "attempt-1", Tolerance: 0.03},
			"final test accuracy against attempt-1", "within 3 points of attempt-1", 0.0789, "+7.89 points", "-7.89 points"},
	} {
		if got := c.claim.String(); got != c.what {
			t.Errorf("found %q, expected %q", got, c.what)
		}
		if got := c.claim.Published(); got != c.published {
			t.Errorf("found %q, expected %q", got, c.published)
		}
		if got := c.claim.Format(c.value); got != c.formatted {
			t.Errorf("%v of %v: found %q, expected %q", c.claim, c.value, got, c.formatted)
		}
		if got := c.claim.Format(-c.value); c.negate != "" && got != c.negate {
			t.Errorf("%v of %v: found %q, expected %q", c.claim, -c.value, got, c.negate)
		}
	}
}

// runOf is a complete run with the given train and test accuracies.
func runOf(train, test []float64) published.RunResult {
	var r published.RunResult
	for i := range test {
		r.Epochs = append(r.Epochs, experiments.EpochMetrics{Epoch: i + 1, TrainAccuracy: train[i], TestAccuracy: test[i]})
	}
	r.Confusion = [][]int{{97, 3, 0}, {0, 0, 0}, {1, 2, 5}}
	return r
}

func TestMeasure(t *testing.T) {
	lagging := runOf([]float64{0.5, 0.6, 0.7, 0.8}, []float64{0.55, 0.62, 0.73, 0.81})
	crossing := runOf([]float64{0.9, 0.90, 0.95, 0.97}, []float64{0.8, 0.91, 0.94, 0.93})
	equal := runOf([]float64{0.5, 0.6}, []float64{0.5, 0.6})
	ahead := runOf([]float64{0.6, 0.7}, []float64{0.5, 0.6})
	shifted := published.RunResult{Distorted: []evaluate.Distorted{{Shift: 2, Accuracy: 0.75}, {Rotation: 30, Accuracy: 0.5}}}
	unshifted := published.RunResult{Distorted: []evaluate.Distorted{{Rotation: 30, Accuracy: 0.625}, {Shift: 2, Accuracy: 0.5}}}
	none := published.RunResult{}

	final := published.Claim{Kind: published.FinalTestAccuracy}
	gap := published.Claim{Kind: published.TrainTestGap}
	crossover := published.Claim{Kind: published.CrossoverEpoch}
	better := published.Claim{Kind: published.BetterThan, Reference: "a"}
	class := func(n int) published.Claim { return published.Claim{Kind: published.ClassAccuracy, Class: n} }
	rising := func(n int) published.Claim { return published.Claim{Kind: published.StillRising, Over: n} }
	lead := func(n int) published.Claim { return published.Claim{Kind: published.NoOverfitting, Over: n} }
	for i, c := range []struct {
		claim          published.Claim
		run, reference published.RunResult
		want           float64
	}{
		{final, lagging, none, 0.81},
		{gap, lagging, none, -0.01},
		{gap, crossing, none, 0.04},
		{lead(1), lagging, none, 0.01},
		{lead(4), lagging, none, 0.01},
		{lead(4), crossing, none, -0.1},
		{lead(2), crossing, none, -0.04},
		{class(0), lagging, none, 0.97},
		{class(1), lagging, none, math.NaN()}, // no images
		{class(2), lagging, none, 0.625},
		{class(3), lagging, none, math.NaN()},
		{crossover, lagging, none, math.Inf(1)}, // never
		{crossover, crossing, none, 3},
		{crossover, equal, none, math.Inf(1)}, // equal is not above
		{crossover, ahead, none, 1},
		{rising(1), lagging, none, 0.08},
		{rising(3), lagging, none, 0.26},
		{rising(1), crossing, none, -0.01},
		{better, lagging, ahead, 0.21},
		{better, ahead, lagging, -0.21},
		{published.Claim{Kind: published.CloseTo, Reference: "a", Tolerance: 0.1}, ahead, lagging, -0.21},
		{published.Claim{Kind: published.BetterWhenShifted, Reference: "a", By: 2}, shifted, lagging, math.NaN()},
		{published.Claim{Kind: published.BetterWhenShifted, Reference: "a", By: 2}, shifted, unshifted, 0.25},
		{published.Claim{Kind: published.BetterWhenRotated, Reference: "a", By: 30}, unshifted, shifted, 0.125},
	} {
		got := c.claim.Measure(c.run, c.reference)
		if math.IsNaN(got) != math.IsNaN(c.want) || got != c.want && math.Abs(got-c.want) > 1e-12 {
			t.Errorf("case %d, %v: found %v, expected %v", i, c.claim, got, c.want)
		}
	}
}
