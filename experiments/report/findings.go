package report

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"epochal/experiments"
	"epochal/experiments/published"
)

// What results say in words and numbers, for the page and for results.md alike.

// pageTitle heads the page and results.md.
const pageTitle = "The post’s experiments, run again"

// quickNote is the first thing to be read in the results of a smoke test.
const quickNote = "Smoke test: one seed and a few epochs, to see that everything works. No claim was judged, and no number here answers the post."

// intervalNote explains the intervals of tables.
func intervalNote(r published.Results) string {
	if len(r.Seeds) < 2 {
		return "These are the numbers of one seed, so there is no interval."
	}
	return "A number after ± is half of the 95% confidence interval of the seeds’ mean (Student’s t). Seeds whose training diverged are left out and named."
}

// twinNote explains the table of twins.
const twinNote = "The post’s code passes its images through Normalize, which subtracts the mean of all pixels and divides by their deviation. " +
	"These experiments ran twice, with inputs from 0 to 1 and with normalized ones, and all else alike: the same seeds, weights and orders."

// summary is a paragraph on all results.
func summary(r published.Results) string {
	text := fmt.Sprintf("%s ran with %s", counted(len(r.Experiments), "experiment"), counted(len(r.Seeds), "seed"))
	if len(r.Seeds) > 1 {
		text += " each"
	}
	if len(r.Backends) > 0 {
		text += " on " + strings.Join(r.Backends, " and ")
	}
	text += "."
	diverged, runs := 0, 0
	for _, e := range r.Experiments {
		diverged += e.Diverged
		runs += len(e.Runs)
	}
	if diverged > 0 {
		text += fmt.Sprintf(" %d of %s diverged.", diverged, counted(runs, "run"))
	}
	if r.Quick {
		return text
	}

	var expected, others tally
	for _, e := range r.Experiments {
		for _, c := range e.Claims {
			if c.Expected {
				expected.add(c.Judgement.Verdict)
			} else {
				others.add(c.Judgement.Verdict)
			}
		}
	}
	switch {
	case expected.all()+others.all() == 0:
		text += " They make no claims."
	case others.all() == 0:
		text += fmt.Sprintf(" Of %s %s.", counted(expected.all(), "claim"), expected)
	case expected.all() == 0:
		text += fmt.Sprintf(" Of %s not expected to hold, %s.", counted(others.all(), "claim"), others)
	default:
		text += fmt.Sprintf(" Of %s expected to hold, %s. Of %s not expected to, %s.",
			counted(expected.all(), "claim"), expected, thousands(others.all()), others)
	}
	return text
}

// tally counts verdicts.
type tally struct{ holds, fails, undecided int }

func (t *tally) add(v published.Verdict) {
	switch v {
	case published.Holds:
		t.holds++
	case published.Fails:
		t.fails++
	default:
		t.undecided++
	}
}

func (t tally) all() int { return t.holds + t.fails + t.undecided }

// String is "12 hold, 1 does not and 2 are undecided".
func (t tally) String() string {
	choose := func(n int, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return thousands(n) + " " + many
	}
	return fmt.Sprintf("%s, %s and %s", choose(t.holds, "holds", "hold"), choose(t.fails, "does not", "do not"),
		choose(t.undecided, "is undecided", "are undecided"))
}

// verdictSymbol stands before the word, so that it can be told at a glance and
// without colours.
func verdictSymbol(v published.Verdict) string {
	switch v {
	case published.Holds:
		return "✓"
	case published.Fails:
		return "✗"
	default:
		return "?"
	}
}

// finalText is a final accuracy of an experiment.
func finalText(e published.ExperimentResult, accuracy published.Interval) string {
	if accuracy.N == 0 && e.Diverged > 0 {
		return "all diverged"
	}
	return accuracyText(accuracy)
}

// accuracyText is a mean of accuracies with half of its interval: "89.35% ± 0.12".
func accuracyText(i published.Interval) string {
	if i.N == 0 {
		return "none"
	}
	return strings.ReplaceAll(i.Percent(), " ± ", "\u00a0±\u00a0")
}

// pointsText is a difference of accuracies in points: "+3.61 ± 0.10".
func pointsText(i published.Interval) string {
	switch {
	case i.N == 0:
		return "–"
	case !i.Known():
		return fmt.Sprintf("%+.2f", 100*i.Mean)
	default:
		return fmt.Sprintf("%+.2f\u00a0±\u00a0%.2f", 100*i.Mean, 100*(i.High-i.Mean))
	}
}

// twins is an experiment beside its twin with normalized inputs.
type twins struct {
	Plain, Normalized published.ExperimentResult
	Difference        published.Interval // of final test accuracy, normalized minus plain, seed by seed
	Published         float64            // final test accuracy, 0 to 1
	Claimed           bool               // whether there is a published one
	nearer            int                // to plain if below 0, to normalized if above; 0 if to neither
}

// allTwins are the experiments of which both forms ran.
func allTwins(r published.Results) []twins {
	var all []twins
	for _, e := range r.Experiments {
		other, found := r.Find(e.Twin)
		if e.Normalized || !found || !other.Normalized {
			continue
		}
		t := twins{Plain: e, Normalized: other, Difference: published.NewInterval(differences(e, other), -1, 1)}
		t.Published, t.Claimed = publishedAccuracy(e)
		if t.Claimed && e.TestAccuracy.N > 0 && other.TestAccuracy.N > 0 {
			far := math.Abs(t.Published - e.TestAccuracy.Mean)
			farOther := math.Abs(t.Published - other.TestAccuracy.Mean)
			switch {
			case far < farOther:
				t.nearer = -1
			case far > farOther:
				t.nearer = 1
			}
		}
		all = append(all, t)
	}
	return all
}

// differences are those of the final test accuracies of b and a, for each seed with
// which neither diverged.
func differences(a, b published.ExperimentResult) []float64 {
	var values []float64
	for _, run := range a.Runs {
		for _, other := range b.Runs {
			if run.Seed == other.Seed && finished(run) && finished(other) {
				values = append(values, other.Epochs[len(other.Epochs)-1].TestAccuracy-run.Epochs[len(run.Epochs)-1].TestAccuracy)
			}
		}
	}
	return values
}

// finished reports whether a run has a last epoch that counts.
func finished(r published.RunResult) bool { return r.Diverged == nil && len(r.Epochs) > 0 }

// finalTestAccuracy is what a claim about it is called.
var finalTestAccuracy = published.Claim{Kind: published.FinalTestAccuracy}.String()

var leadingPercent = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)%`)

// publishedAccuracy is the final test accuracy that the post has for an experiment.
func publishedAccuracy(e published.ExperimentResult) (accuracy float64, found bool) {
	for _, c := range e.Claims {
		if c.Claim != finalTestAccuracy {
			continue
		}
		if match := leadingPercent.FindStringSubmatch(c.Published); match != nil {
			if value, err := strconv.ParseFloat(match[1], 64); err == nil {
				return value / 100, true
			}
		}
	}
	return 0, false
}

// PublishedText is the published final test accuracy.
func (t twins) PublishedText() string {
	if !t.Claimed {
		return "not stated"
	}
	return strconv.FormatFloat(math.Round(t.Published*1e8)/1e6, 'f', -1, 64) + "%"
}

// NearerText says which form's mean the published number lies nearer to.
func (t twins) NearerText() string {
	switch {
	case !t.Claimed:
		return "–"
	case t.nearer < 0:
		return "inputs 0 to 1"
	case t.nearer > 0:
		return "normalized"
	default:
		return "neither"
	}
}

// twinsSentence says what the table of twins shows, "" if there is nothing to say.
func twinsSentence(all []twins) string {
	claimed, plain, normalized := 0, 0, 0
	for _, t := range all {
		if t.Claimed {
			claimed++
		}
		switch {
		case t.nearer < 0:
			plain++
		case t.nearer > 0:
			normalized++
		}
	}
	if claimed == 0 {
		return ""
	}
	return fmt.Sprintf("The post states a final test accuracy for %d of %s: it lies nearer to the mean with inputs from 0 to 1 in %s, and nearer to the mean with normalized inputs in %d.",
		claimed, counted(len(all), "such experiment"), counted(plain, "case"), normalized)
}

// twinsHint says what to run where no experiment ran in both forms, "" if one did or
// none has two.
func twinsHint(r published.Results) string {
	if len(allTwins(r)) > 0 {
		return ""
	}
	for _, e := range r.Experiments {
		if e.Twin != "" {
			return fmt.Sprintf("No experiment ran in both forms. To compare them: epochal reproduce %s %s", e.Name, e.Twin)
		}
	}
	return ""
}

// divergedText says where a run diverged.
func divergedText(d experiments.DivergedMetrics) string {
	if d.Step < 0 {
		return fmt.Sprintf("diverged: the loss was %s in the evaluation after epoch %d", d.Loss, d.Epoch)
	}
	return fmt.Sprintf("diverged: the loss was %s at step %d of epoch %d", d.Loss, d.Step, d.Epoch)
}
