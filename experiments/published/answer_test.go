package published_test

import (
	"strings"
	"testing"

	"epochal/experiments"
	"epochal/experiments/evaluate"
	"epochal/experiments/published"
)

// Experiments that ask for it are evaluated on distorted images, once.
func TestDistorted(t *testing.T) {
	folder := t.TempDir()
	chosen := made()[:2]
	for i := range chosen {
		chosen[i].Distort = true
	}
	chosen[1].Claims = []published.Claim{{Kind: published.BetterWhenShifted, Reference: "slow", By: 1, Epochs: 4}}
	first := reproduce(t, chosen, optionsFor(folder, 3, "first"))
	for _, e := range first.Experiments {
		for _, run := range e.Runs {
			if len(run.Distorted) != len(evaluate.Distortions()) || run.Distorted[0].Accuracy == 0 || run.Distorted[0].Shift != 1 {
				t.Errorf("%s seed %d: found %+v", e.Name, run.Seed, run.Distorted)
			}
		}
	}
	if c := first.Experiments[1].Claims[0]; c.Judgement.Interval.N != 3 || c.Reference != "slow" {
		t.Errorf("found %+v, expected a judgement over 3 seeds", c)
	}
	first.Experiments[0].Runs[0].Distorted[0].Accuracy = 0.125 // what is there is not measured again
	writeResults(t, folder, first)
	again := reproduce(t, chosen, optionsFor(folder, 3, "again"))
	if found := again.Experiments[0].Runs[0].Distorted[0].Accuracy; found != 0.125 {
		t.Errorf("found %v, expected what was measured before", found)
	}
}

func TestAnswer(t *testing.T) {
	accuracies := func(name string, test ...float64) published.ExperimentResult {
		e := published.ExperimentResult{Name: name, Group: published.Convolution, TestAccuracy: published.NewAccuracy(test)}
		for _, accuracy := range test {
			e.Runs = append(e.Runs, published.RunResult{
				Epochs: []experiments.EpochMetrics{{Epoch: 1, TestAccuracy: accuracy}}, Confusion: [][]int{{9000, 0}, {0, 1000}},
			})
		}
		return e
	}
	claims := func(e published.ExperimentResult, reference, source string, verdict published.Verdict) published.ExperimentResult {
		e.Claims = append(e.Claims, published.ClaimResult{Reference: reference, Source: source,
			Judgement: published.Judgement{Verdict: verdict, Interval: published.Interval{N: 3, Mean: 0.01, Low: 0.009, High: 0.011}}})
		return e
	}
	r := published.Results{Experiments: []published.ExperimentResult{
		claims(accuracies("conv-35k", 0.980, 0.981, 0.982), "dense-35k", "equal parameters", published.Holds),
		accuracies("dense-35k", 0.960, 0.963, 0.966),
		claims(accuracies("conv-35k-permuted", 0.950, 0.952, 0.950), "dense-35k-permuted", "permuted pixels", published.Undecided),
		accuracies("dense-35k-permuted", 0.961, 0.962, 0.966),
		claims(accuracies("conv-best", 0.992, 0.993, 0.994), "dense-35k", "the best", published.Holds),
	}}
	answer := r.Answer()
	for _, want := range []string{
		"better than the fully connected network in 1 of 1 comparison, where it makes 51% as many mistakes.",
		"Permuting the pixels changes the test accuracy of conv-35k by -3.03 points (",
		"which excludes 0) and of dense-35k by ",
		"which includes 0). ",
		"The best convolution makes 70 mistakes in 10000 test images: the 95% interval of its accuracy, ",
		"lies below the 99.9% that the post hopes for, which are 10 mistakes.",
		"would show about 47 to 93 mistakes.",
	} {
		if !strings.Contains(answer, want) {
			t.Errorf("found %q, expected %q in it", answer, want)
		}
	}
	if found := r.Comparisons(); len(found) != 3 || found[0].Against != "dense-35k" || found[0].Theirs.N != 3 {
		t.Errorf("found %+v", found)
	}
	if found := (published.Results{}).Answer(); found != "" {
		t.Errorf("found %q of no results", found)
	}
}
