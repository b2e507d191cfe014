package report

import (
	"fmt"
	"slices"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/report/words"
)

// document is what results say, in words, numbers and figures: the one thing that
// the templates of the page and of results.md show.
type document struct {
	voice
	Results
	Summary               string
	IntervalNote          string
	Expected, Others      *verdictTable // nil without such claims
	Twins                 []twins
	TwinHint, TwinFinding string // "" if there is nothing to say
	Sections              []section
	Defaults              []setting
	Comparison, Batch     *figure // nil without data
}

// section is an experiment.
type section struct {
	experiment
	Train, Test          string
	DivergedNote         string // "" if no run did
	Deviations, Settings []setting
	Verdicts             []verdict
	Classes              []class
	TrainCommand         string // that repeats the first run

	Curves, Matrix, Mistakes *figure // nil without what they show
}

// verdictTable has the claims that are expected to hold, or those that are not.
type verdictTable struct {
	Title, Claimed string
	Groups         []section // whose Verdicts are those of the table
}

// verdict is a claim.
type verdict struct {
	claimResult
	Symbol, Class string // of the verdict; the class is the style sheet's
}

// class is one of the test set.
type class struct {
	Class    int
	Accuracy string // mean over the runs
	Wrong    string // "120 of 9,800", of all runs together
	Mostly   string // "3 (31 times)", the wrong class that was predicted most
}

// newDocument tells of r. Figures are those that can be drawn of its Records and of
// data: none if data is nil, and mistakes only of experiments whose first run had the
// same files.
func newDocument(r Results, data *dataset.Dataset) (*document, error) {
	d := &document{
		voice: voiceOf(r), Results: r, Summary: summary(r), IntervalNote: intervalNote(r),
		Twins: allTwins(r), TwinHint: twinsHint(r), Defaults: ofExperiments(settings(experiments.Defaults())),
	}
	d.TwinFinding = twinsSentence(d.Twins)
	for _, e := range r.Experiments {
		d.Sections = append(d.Sections, newSection(e, r))
	}
	d.Expected = d.newVerdictTable(true, "Claims expected to hold")
	d.Others = d.newVerdictTable(false, "Claims not expected to hold")
	if data != nil {
		d.plan(data)
	}
	return d, d.draw()
}

// Ran reports whether an experiment is on the page.
func (d *document) Ran(name string) bool {
	_, found := d.Find(name)
	return found
}

// newVerdictTable has the claims that are expected to hold, or the others; it is nil if
// there are none.
func (d *document) newVerdictTable(expected bool, title string) *verdictTable {
	table := verdictTable{Claimed: d.Claimed}
	var count tally
	for _, s := range d.Sections {
		s.Verdicts = slices.DeleteFunc(slices.Clone(s.Verdicts), func(v verdict) bool { return v.Expected != expected })
		for _, v := range s.Verdicts {
			count.add(v.Judgement.Verdict)
		}
		if len(s.Verdicts) > 0 {
			table.Groups = append(table.Groups, s)
		}
	}
	if len(table.Groups) == 0 {
		return nil
	}
	table.Title = fmt.Sprintf("%s: %s", title, count)
	return &table
}

func newSection(e experiment, r Results) section {
	s := section{
		experiment: e,
		Train:      finalText(e, e.TrainAccuracy), Test: finalText(e, e.TestAccuracy),
		DivergedNote: divergedNote(e),
		Deviations:   deviations(e.Config), Settings: settings(e.Config),
		Classes: classes(e),
	}
	for _, c := range e.Claims {
		v := verdict{c, "?", "undecided"}
		switch c.Judgement.Verdict {
		case published.Holds:
			v.Symbol, v.Class = "✓", "holds"
		case published.Fails:
			v.Symbol, v.Class = "✗", "fails"
		}
		s.Verdicts = append(s.Verdicts, v)
	}
	backend := r.Environment.Backend.Name
	if len(e.Records) > 0 {
		backend = e.Records[0].Environment.Backend.Name
	}
	s.TrainCommand = trainCommand(e.Config, backend)
	return s
}

// classes is the table of classes, of all runs that did not diverge.
func classes(e experiment) []class {
	sum := func(row []int) (total int) {
		for _, count := range row {
			total += count
		}
		return total
	}
	confusion, _ := e.Confusion()
	var all []class
	for number, row := range confusion {
		var accuracies []float64
		for _, run := range e.Runs {
			if run.Diverged == nil && sum(run.Confusion[number]) > 0 {
				accuracies = append(accuracies, float64(run.Confusion[number][number])/float64(sum(run.Confusion[number])))
			}
		}
		wrong := slices.Clone(row)
		wrong[number] = 0
		most, mostly := slices.Max(wrong), "none"
		if most > 0 {
			mostly = fmt.Sprintf("%d (%s)", slices.Index(wrong, most), words.Counted(most, "time"))
		}
		all = append(all, class{
			Class: number, Accuracy: published.NewAccuracy(accuracies).Percent(),
			Wrong: words.Thousands(sum(wrong)) + " of " + words.Thousands(sum(row)), Mostly: mostly,
		})
	}
	return all
}
