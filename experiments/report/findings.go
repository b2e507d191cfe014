package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/report/words"
)

// voice holds the words in which the page of the post's experiments differs from that
// of a user's own.
type voice struct {
	own       bool // not the post's experiments: a user's, or the group on convolutions
	Title     string
	QuickNote string // the first thing to be read in the results of a smoke test
	Claimed   string // heads the column of what is claimed
	Default   string // what settings differ from
}

// voiceOf is that for Results. Where there are experiments of a user's own, the
// post's are there for comparison only.
func voiceOf(r Results) voice {
	var own []string
	convolutions := true // all of them are of the group
	for _, e := range r.Experiments {
		convolutions = convolutions && e.Group == published.Convolution
		if e.Own {
			own = append(own, e.Title)
		}
	}
	const quick = "Smoke test: one seed and a few epochs, to see that everything works. No claim was judged"
	if convolutions {
		return voice{own: true, Title: "How different are convolutions?", QuickNote: quick + ".", Claimed: "Claimed", Default: "attempt 1"}
	}
	if len(own) == 0 {
		return voice{
			Title: "The post’s experiments, run again", QuickNote: quick + ", and no number here can be compared with the post’s.",
			Claimed: "Published", Default: "attempt 1",
		}
	}
	return voice{true, strings.Join(own, "; "), quick + ".", "Claimed", "the defaults of epochal train"}
}

// VerdictNote explains the verdicts.
func (v voice) VerdictNote() string {
	return "A claim holds if the whole 95% interval of its seeds’ mean lies in the " + strings.ToLower(v.Claimed) +
		" range, and does not hold if the whole interval lies outside; otherwise it is undecided. " +
		"Fewer than 3 seeds give no interval and decide only if they are far off."
}

// IntervalNote explains the intervals of tables.
func (d *document) IntervalNote() string {
	switch len(d.Seeds) {
	case 1:
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
		"These experiments ran twice, with inputs from 0 to 1 and with normalized ones, everything else being equal: " +
		"the same seeds, weights and orders."
}

// Summary is a paragraph on all results.
func (d *document) Summary() string {
	text := fmt.Sprintf("%s ran with %s", words.Counted(len(d.Experiments), "experiment"), words.Counted(len(d.Seeds), "seed"))
	if len(d.Seeds) > 1 {
		text += " each"
	}
	text += " on " + strings.Join(d.Backends, " and ") + "."
	diverged, runs := 0, 0
	for _, e := range d.Experiments {
		diverged += e.Diverged
		runs += len(e.Runs)
	}
	if diverged > 0 {
		text += fmt.Sprintf(" %d of %s diverged.", diverged, words.Counted(runs, "run"))
	}
	if d.Expected != nil {
		text += fmt.Sprintf(" Of %s expected to hold, %s.", words.Counted(d.Expected.claims, "claim"), d.Expected.tally)
	}
	if d.Others != nil {
		text += fmt.Sprintf(" Of %s not expected to hold, %s.", words.Counted(d.Others.claims, "claim"), d.Others.tally)
	}
	if d.Expected == nil && d.Others == nil && !d.Quick {
		text += " They make no claims."
	}
	return text
}

// tallyText is "12 hold, 1 does not and 2 are undecided".
func tallyText(verdicts map[published.Verdict]int) string {
	count := func(v published.Verdict, one, many string) string {
		if verdicts[v] == 1 {
			return "1 " + one
		}
		return words.Thousands(verdicts[v]) + " " + many
	}
	return fmt.Sprintf("%s, %s and %s", count(published.Holds, "holds", "hold"), count(published.Fails, "does not", "do not"),
		count(published.Undecided, "is undecided", "are undecided"))
}

// pointsText is a difference of accuracies in points: "+3.61 ± 0.10".
func pointsText(i published.Interval) string {
	text := fmt.Sprintf("%+.2f", 100*i.Mean)
	switch {
	case i.N == 0:
		return "–"
	case !i.Known():
		return text
	default:
		return fmt.Sprintf("%s\u00a0±\u00a0%.2f", text, 100*(i.High-i.Mean))
	}
}

// finalText is a final accuracy of an experiment.
func finalText(e experiment, accuracy published.Interval) string {
	if accuracy.N == 0 && e.Diverged > 0 {
		return "all diverged"
	}
	return accuracy.Percent()
}

// twins is an experiment beside its twin with normalized inputs.
type twins struct {
	Plain, Normalized experiment
	Difference        published.Interval // of final test accuracy, normalized minus plain, seed by seed
	Published         string             // final test accuracy, or notStated
	Nearer            string             // the form whose mean the published one lies nearer to, or "neither"
}

const (
	notStated        = "not stated"
	nearerPlain      = "inputs 0 to 1"
	nearerNormalized = "normalized"
)

// allTwins are the experiments of which both forms ran.
func allTwins(r Results) []twins {
	var all []twins
	for _, e := range r.Experiments {
		other, found := r.Find(e.Twin)
		if e.Normalized || !found || !other.Normalized {
			continue
		}
		t := twins{e, other, published.NewInterval(published.Differences(e, other), -1, 1), notStated, "–"}
		i := slices.IndexFunc(e.Claims, func(c published.ClaimResult) bool { return c.Kind == published.FinalTestAccuracy })
		if i >= 0 {
			value := e.Claims[i].Value
			t.Published, t.Nearer = strconv.FormatFloat(math.Round(value*1e8)/1e6, 'f', -1, 64)+"%", "neither"
			plain, normalized := math.Abs(value-e.TestAccuracy.Mean), math.Abs(value-other.TestAccuracy.Mean)
			switch {
			case e.TestAccuracy.N == 0 || other.TestAccuracy.N == 0:
			case plain < normalized:
				t.Nearer = nearerPlain
			case plain > normalized:
				t.Nearer = nearerNormalized
			}
		}
		all = append(all, t)
	}
	return all
}

// TwinFinding says what the table of twins shows, "" if there is nothing to say.
func (d *document) TwinFinding() string {
	stated := len(d.Twins)
	nearer := map[string]int{}
	for _, t := range d.Twins {
		nearer[t.Nearer]++
		if t.Published == notStated {
			stated--
		}
	}
	if stated == 0 {
		return ""
	}
	return fmt.Sprintf("The post states a final test accuracy for %d of %s: it lies nearer to the mean with inputs from 0 to 1 in %s, "+
		"and nearer to the mean with normalized inputs in %d.", stated, words.Counted(len(d.Twins), "such experiment"),
		words.Counted(nearer[nearerPlain], "case"), nearer[nearerNormalized])
}

// TwinHint says what to run where none of the post's experiments ran in both forms,
// "" if one did or there are others.
func (d *document) TwinHint() string {
	if len(d.Twins) > 0 || d.own {
		return ""
	}
	for _, e := range d.Experiments {
		if e.Twin != "" {
			return fmt.Sprintf("No experiment ran in both forms. To compare them: epochal reproduce %s %s", e.Name, e.Twin)
		}
	}
	return ""
}

// DivergedNote names the seeds that diverged, "" if none did.
func (s section) DivergedNote() string {
	var named []string
	for _, run := range s.Runs {
		if run.Diverged != nil {
			named = append(named, strconv.FormatUint(run.Seed, 10))
		}
	}
	if len(named) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %s diverged: seed %s.", len(named), words.Counted(len(s.Runs), "run"), strings.Join(named, ", "))
}

// divergedText says where a run diverged.
func divergedText(d experiments.DivergedMetrics) string {
	if d.Step < 0 {
		return fmt.Sprintf("diverged: the loss was %s in the evaluation after epoch %d", d.Loss, d.Epoch)
	}
	return fmt.Sprintf("diverged: the loss was %s at step %d of epoch %d", d.Loss, d.Step, d.Epoch)
}
