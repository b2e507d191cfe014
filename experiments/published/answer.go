package published

import (
	"fmt"
	"math"
	"strings"

	"epochal/experiments/evaluate"
)

// Comparison is a convolution beside what it is compared with, in the group [Convolution].
type Comparison struct {
	Question      string // what is equal, or how the images differ: "equal training time"
	Name, Against string // of the experiments
	Ours, Theirs  Interval
	Difference    Interval // ours minus theirs, seed by seed
	Verdict       Verdict
}

// Comparisons are those of the group's claims, in the order of the experiments.
func (r Results) Comparisons() []Comparison {
	var all []Comparison
	for _, e := range r.Experiments {
		for _, c := range e.Claims {
			other, found := r.Find(c.Reference)
			if e.Group != Convolution || !found {
				continue
			}
			one := Comparison{c.Source, e.Name, other.Name, e.TestAccuracy, other.TestAccuracy, c.Judgement.Interval, c.Judgement.Verdict}
			if c.By != 0 {
				distortion := Claim{Kind: c.Kind, By: c.By}.distortion()
				one.Ours, one.Theirs = e.Distorted(distortion), other.Distorted(distortion)
			}
			all = append(all, one)
		}
	}
	return all
}

// Distorted is the accuracy on test images with such a distortion, which may be none.
func (e ExperimentResult) Distorted(d evaluate.Distorted) Interval {
	if d.Shift == 0 && d.Rotation == 0 {
		return e.TestAccuracy
	}
	var values []float64
	for _, run := range e.Runs {
		if value := run.distorted(d); !math.IsNaN(value) {
			values = append(values, value)
		}
	}
	return NewAccuracy(values)
}

// Answer says what the group's comparisons found, "" if none was made.
func (r Results) Answer() string {
	var said []string
	better, of := 0, 0
	for _, c := range r.Comparisons() {
		if !isConvolution(c.Name) || isConvolution(c.Against) || strings.Contains(c.Name, "permuted") {
			continue
		}
		of++
		if c.Verdict == Holds {
			better++
		}
	}
	if of > 0 {
		said = append(said, fmt.Sprintf("The convolution is better than the fully connected network in %d of %s",
			better, plural(of, "comparison")))
	}
	for _, c := range r.Comparisons() {
		wrong := func(i Interval) float64 { return 1 - i.Mean }
		if strings.HasPrefix(c.Question, "equal") && c.Theirs.N > 0 && wrong(c.Theirs) > 0 {
			said = append(said, fmt.Sprintf("With %s it makes %.0f%% of the other's mistakes", c.Question, 100*wrong(c.Ours)/wrong(c.Theirs)))
		}
	}
	for _, name := range []string{"conv-35k", "dense-35k"} {
		if change := r.change(name, name+"-permuted"); change.Known() {
			includes := "excludes"
			if change.Low <= 0 && change.High >= 0 {
				includes = "includes"
			}
			said = append(said, fmt.Sprintf("A permutation of the pixels changes the accuracy of %s by %s points (%s), which %s no change", name,
				points.rounded(change.Mean), points.span(points.rounded(change.Low), points.rounded(change.High)), includes))
		}
	}
	if best, found := r.Find("conv-best"); found && len(best.Claims) > 0 && best.TestAccuracy.N > 0 {
		images := 0
		for _, run := range best.Runs[:1] {
			for _, row := range run.Confusion {
				for _, count := range row {
					images += count
				}
			}
		}
		said = append(said, fmt.Sprintf("The best convolution reaches %s of %d test images, %.0f mistakes, "+
			"where the 99.9%% that the post hopes for are %.0f",
			best.TestAccuracy.Percent(), images, (1-best.TestAccuracy.Mean)*float64(images), float64(images)/1000))
	}
	if len(said) == 0 {
		return ""
	}
	return strings.Join(said, ". ") + "."
}

func isConvolution(name string) bool { return strings.HasPrefix(name, "conv-") }

// change is the difference of the final test accuracies, b minus a, seed by seed.
func (r Results) change(a, b string) Interval {
	before, _ := r.Find(a)
	after, _ := r.Find(b)
	var values []float64
	for i := range min(len(before.Runs), len(after.Runs)) {
		if one, other := before.Runs[i], after.Runs[i]; one.Diverged == nil && other.Diverged == nil {
			values = append(values, last(other).TestAccuracy-last(one).TestAccuracy)
		}
	}
	return NewInterval(values, -1, 1)
}
