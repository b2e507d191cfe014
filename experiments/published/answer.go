package published

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"epochal/experiments/evaluate"
)

// Comparison is a convolution beside what it is compared with, in the group [Convolution].
type Comparison struct {
	Question      string // what is equal, or how the images differ: "equal training time"
	Name, Against string // of the experiments
	Claim         string // what is claimed: "above dense-35k"
	Ours, Theirs  Interval
	Seconds       [2]float64 // of training per run, ours and theirs
	Difference    Interval   // ours minus theirs, seed by seed
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
			one := Comparison{
				Question: c.Source, Name: e.Name, Against: other.Name, Claim: c.Published,
				Ours: e.TestAccuracy, Theirs: other.TestAccuracy, Seconds: [2]float64{e.trainSeconds(), other.trainSeconds()},
				Difference: c.Judgement.Interval, Verdict: c.Judgement.Verdict,
			}
			if c.By != 0 {
				distortion := Claim{Kind: c.Kind, By: c.By}.distortion()
				one.Ours, one.Theirs = e.Distorted(distortion), other.Distorted(distortion)
			}
			all = append(all, one)
		}
	}
	return all
}

// trainSeconds is how long a run that did not diverge trained, without evaluation, on average.
func (e ExperimentResult) trainSeconds() float64 {
	seconds, runs := 0.0, 0.0
	for _, run := range e.Runs {
		if run.Diverged != nil {
			continue
		}
		runs++
		for _, epoch := range run.Epochs {
			seconds += epoch.TrainSeconds
		}
	}
	return seconds / max(1, runs)
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

// equalBudget begins the source of a claim that compares networks of an equal budget.
const equalBudget = "equal "

// Answer says what the group's comparisons found, "" if none was made.
func (r Results) Answer() string {
	var said []string
	for _, sentence := range []string{r.budgets(), r.permutation(), r.hope()} {
		if sentence != "" {
			said = append(said, sentence)
		}
	}
	return strings.Join(said, " ")
}

// budgets says how the comparisons of equal budgets ended.
func (r Results) budgets() string {
	verdicts, all := map[Verdict]int{}, 0
	least, most := math.Inf(1), 0.0 // mistakes of the convolution for each of the other network
	for _, c := range r.Comparisons() {
		if !strings.HasPrefix(c.Question, equalBudget) {
			continue
		}
		all++
		verdicts[c.Verdict]++
		if c.Verdict == Holds && c.Theirs.Mean < 1 {
			share := (1 - c.Ours.Mean) / (1 - c.Theirs.Mean)
			least, most = min(least, share), max(most, share)
		}
	}
	if all == 0 {
		return ""
	}
	text := fmt.Sprintf("With an equal budget, the convolution is better than the fully connected network in %d of %s",
		verdicts[Holds], plural(all, "comparison"))
	if from, to := fmt.Sprintf("%.0f%%", 100*least), fmt.Sprintf("%.0f%%", 100*most); most > 0 && from != to {
		text += fmt.Sprintf(", where it makes %s to %s as many mistakes", from, to)
	} else if most > 0 {
		text += fmt.Sprintf(", where it makes %s as many mistakes", to)
	}
	if open := verdicts[Undecided]; open > 0 {
		text += fmt.Sprintf("; %s undecided", map[bool]string{true: "1 is", false: fmt.Sprint(open, " are")}[open == 1])
	}
	return text + "."
}

// permutation says what one order of the pixels for all images changes.
func (r Results) permutation() string {
	var changes []string
	for _, name := range []string{"conv-35k", "dense-35k"} {
		before, _ := r.Find(name)
		after, _ := r.Find(name + "-permuted")
		if change := NewInterval(Differences(before, after), -1, 1); change.Known() {
			includes := "excludes"
			if change.Low <= 0 && change.High >= 0 {
				includes = "includes"
			}
			changes = append(changes, fmt.Sprintf("%s by %s points (%s, which %s 0)", name,
				points.rounded(change.Mean), points.span(points.rounded(change.Low), points.rounded(change.High)), includes))
		}
	}
	if len(changes) == 0 {
		return ""
	}
	return "Permuting the pixels changes the test accuracy of " + strings.Join(changes, " and of ") + "."
}

// hope says how far the best convolution is from the accuracy that the post hopes for.
func (r Results) hope() string {
	const hoped = 0.999
	best, found := r.Find("conv-best")
	i := slices.IndexFunc(best.Runs, func(run RunResult) bool { return run.Confusion != nil })
	if !found || r.Quick || i < 0 || !best.TestAccuracy.Known() {
		return ""
	}
	images := 0
	for _, row := range best.Runs[i].Confusion {
		for _, count := range row {
			images += count
		}
	}
	where := "includes"
	if best.TestAccuracy.High < hoped {
		where = "lies below"
	} else if best.TestAccuracy.Low > hoped {
		where = "lies above"
	}
	n, wrong := float64(images), 1-best.TestAccuracy.Mean
	chance := 1.96 * math.Sqrt(2*n*wrong*(1-wrong)) // between two counts of independent mistakes
	return fmt.Sprintf("The best convolution makes %.0f mistakes in %d test images: the 95%% interval of its accuracy, %s, "+
		"%s the 99.9%% that the post hopes for, which are %.0f mistakes. That interval is over seeds; by chance, "+
		"another %d images would show about %.0f to %.0f mistakes.",
		n*wrong, images, best.TestAccuracy.Percent(), where, n*(1-hoped), images, max(0, n*wrong-chance), n*wrong+chance)
}

// Differences are those of the final test accuracies, b minus a, for each seed with
// which neither diverged.
func Differences(a, b ExperimentResult) []float64 {
	var values []float64
	for _, run := range a.Runs {
		for _, other := range b.Runs {
			if run.Seed == other.Seed && run.Diverged == nil && other.Diverged == nil {
				values = append(values, last(other).TestAccuracy-last(run).TestAccuracy)
			}
		}
	}
	return values
}
