package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/report/words"
)

// voice is what the page of the post's experiments says otherwise than that of a
// user's own.
type voice struct {
	Title     string
	QuickNote string // the first thing to be read in the results of a smoke test
	Claimed   string // heads the column of what is claimed
	Default   string // what settings differ from
}

// voiceOf is that for Results. Where there are experiments of a user's own, the
// post's are there for comparison only.
func voiceOf(r Results) voice {
	var own []string
	for _, e := range r.Experiments {
		if e.Own {
			own = append(own, e.Title)
		}
	}
	const quick = "Smoke test: one seed and a few epochs, to see that everything works. No claim was judged"
	if len(own) == 0 {
		return voice{"The post’s experiments, run again", quick + ", and no number here answers the post.", "Published", "attempt 1"}
	}
	return voice{strings.Join(own, "; "), quick + ".", "Claimed", "the defaults of epochal train"}
}

// VerdictNote explains the verdicts.
func (v voice) VerdictNote() string {
	return "A claim holds if the whole 95% interval of its seeds’ mean lies in the " + strings.ToLower(v.Claimed) +
		" range, and does not hold if the whole interval lies outside; otherwise it is undecided. " +
		"Fewer than 3 seeds have no interval and decide only if they lie far off."
}

// intervalNote explains the intervals of tables.
func intervalNote(r Results) string {
	switch len(r.Seeds) {
	case 0, 1:
		return "One seed, so no interval."
	case 2:
		return "Two seeds: too few seeds for an interval."
	}
	return "A number after ± is half of the 95% confidence interval of the seeds’ mean (Student’s t). " +
		"Seeds whose training diverged are left out and named; fewer than 3 are too few seeds for an interval."
}

// TwinNote explains the table of twins.
func (voice) TwinNote() string {
	return "The post’s code passes its images through Normalize, which subtracts the mean of all pixels and divides by their deviation. " +
		"These experiments ran twice, with inputs from 0 to 1 and with normalized ones, and all else alike: the same seeds, weights and orders."
}

// summary is a paragraph on all results.
func summary(r Results) string {
	text := fmt.Sprintf("%s ran with %s", words.Counted(len(r.Experiments), "experiment"), words.Counted(len(r.Seeds), "seed"))
	if len(r.Seeds) > 1 {
		text += " each"
	}
	if len(r.Backends) > 0 {
		text += " on " + strings.Join(r.Backends, " and ")
	}
	text += "."
	diverged, runs := 0, 0
	var expected, others tally
	for _, e := range r.Experiments {
		diverged += e.Diverged
		runs += len(e.Runs)
		for _, c := range e.Claims {
			if c.Expected {
				expected.add(c.Judgement.Verdict)
			} else {
				others.add(c.Judgement.Verdict)
			}
		}
	}
	if diverged > 0 {
		text += fmt.Sprintf(" %d of %s diverged.", diverged, words.Counted(runs, "run"))
	}
	if expected.all() > 0 {
		text += fmt.Sprintf(" Of %s expected to hold, %s.", words.Counted(expected.all(), "claim"), expected)
	}
	if others.all() > 0 {
		text += fmt.Sprintf(" Of %s not expected to hold, %s.", words.Counted(others.all(), "claim"), others)
	}
	if expected.all()+others.all() == 0 && !r.Quick {
		text += " They make no claims."
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
		return words.Thousands(n) + " " + many
	}
	return fmt.Sprintf("%s, %s and %s", choose(t.holds, "holds", "hold"), choose(t.fails, "does not", "do not"),
		choose(t.undecided, "is undecided", "are undecided"))
}

// finalText is a final accuracy of an experiment.
func finalText(e experiment, accuracy interval) string {
	if accuracy.N == 0 && e.Diverged > 0 {
		return "all diverged"
	}
	return accuracy.Percent()
}

// twins is an experiment beside its twin with normalized inputs.
type twins struct {
	Plain, Normalized experiment
	Difference        interval // of final test accuracy, normalized minus plain, seed by seed
	Published         float64  // final test accuracy, 0 to 1
	Claimed           bool     // whether there is a published one
	nearer            int      // to plain if below 0, to normalized if above; 0 if to neither
}

// allTwins are the experiments of which both forms ran.
func allTwins(r Results) []twins {
	var all []twins
	for _, e := range r.Experiments {
		other, found := r.Find(e.Twin)
		if e.Normalized || !found || !other.Normalized {
			continue
		}
		t := twins{Plain: e, Normalized: other, Difference: published.NewInterval(differences(e, other), -1, 1)}
		t.Published, t.Claimed = publishedAccuracy(e)
		if t.Claimed && e.TestAccuracy.N > 0 && other.TestAccuracy.N > 0 {
			t.nearer = cmp.Compare(math.Abs(t.Published-e.TestAccuracy.Mean), math.Abs(t.Published-other.TestAccuracy.Mean))
		}
		all = append(all, t)
	}
	return all
}

// differences are those of the final test accuracies of b and a, for each seed with
// which neither diverged.
func differences(a, b experiment) []float64 {
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
func finished(r runResult) bool { return r.Diverged == nil }

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
	return fmt.Sprintf("The post states a final test accuracy for %d of %s: it lies nearer to the mean with inputs from 0 to 1 in %s, "+
		"and nearer to the mean with normalized inputs in %d.", claimed, words.Counted(len(all), "such experiment"),
		words.Counted(plain, "case"), normalized)
}

// twinsHint says what to run where none of the post's experiments ran in both forms,
// "" if one did or there are others.
func twinsHint(r Results) string {
	if len(allTwins(r)) > 0 || slices.ContainsFunc(r.Experiments, func(e experiment) bool { return e.Own }) {
		return ""
	}
	for _, e := range r.Experiments {
		if e.Twin != "" {
			return fmt.Sprintf("No experiment ran in both forms. To compare them: epochal reproduce %s %s", e.Name, e.Twin)
		}
	}
	return ""
}

// divergedNote names the seeds of e that diverged.
func divergedNote(e experiment) string {
	var named []string
	for _, run := range e.Runs {
		if run.Diverged != nil {
			named = append(named, strconv.FormatUint(run.Seed, 10))
		}
	}
	if len(named) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %s diverged: seed %s.", len(named), words.Counted(len(e.Runs), "run"), strings.Join(named, ", "))
}

// divergedText says where a run diverged.
func divergedText(d experiments.DivergedMetrics) string {
	if d.Step < 0 {
		return fmt.Sprintf("diverged: the loss was %s in the evaluation after epoch %d", d.Loss, d.Epoch)
	}
	return fmt.Sprintf("diverged: the loss was %s at step %d of epoch %d", d.Loss, d.Step, d.Epoch)
}
