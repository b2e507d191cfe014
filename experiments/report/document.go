package report

import (
	"fmt"
	"slices"

	"epochal/dataset"
	"epochal/experiments/published"
	"epochal/experiments/report/words"
)

// What is reported: the results of a reproduction, and how this package understands
// them.
type (
	// Results are what is reported.
	Results = published.Results

	experiment = published.ExperimentResult
)

// document is what results say, in words, numbers and figures: the one thing that
// the templates of the page and of results.md show.
type document struct {
	voice
	Results
	Expected, Others          *verdictTable // nil without such claims
	Twins                     []twins
	Sections                  []section
	Glance, Comparison, Batch *figure // nil without data; Glance also without the experiments on convolutions
}

// section is an experiment.
type section struct {
	experiment
	Train, Test              string
	Curves, Matrix, Mistakes *figure // nil without what they show
}

// verdictTable has the claims that are expected to hold, or those that are not.
type verdictTable struct {
	Title, Claimed string
	Groups         []section // whose Claims are those of the table
	claims         int
	tally          string // of their verdicts
}

// class is one of the test set.
type class struct {
	Name     string
	Accuracy string // mean over the runs
	Wrong    string // "120 of 9,800", of all runs together
	Mostly   string // "3 (31 times)", the wrong class that was predicted most
}

// newDocument describes r. Figures are those that can be drawn of its Records and of
// data: none if data is nil, and mistakes only of experiments whose first run had the
// same files.
func newDocument(r Results, data *dataset.Dataset) (*document, error) {
	d := &document{voice: voiceOf(r), Results: r, Twins: allTwins(r)}
	for _, e := range r.Experiments {
		if _, ran := r.Find(e.Twin); !ran {
			e.Twin = "" // there is nothing to link to
		}
		d.Sections = append(d.Sections, section{
			experiment: e, Train: finalText(e, e.TrainAccuracy), Test: finalText(e, e.TestAccuracy),
		})
	}
	d.Expected = d.newVerdictTable(true, "Claims expected to hold")
	d.Others = d.newVerdictTable(false, "Claims not expected to hold")
	if data != nil {
		d.plan(data)
	}
	return d, draw(d.figures())
}

// newVerdictTable has the claims that are expected to hold, or the others; it is nil if
// there are none.
func (d *document) newVerdictTable(expected bool, title string) *verdictTable {
	table := verdictTable{Claimed: d.Claimed}
	verdicts := map[published.Verdict]int{}
	for _, s := range d.Sections {
		s.Claims = slices.DeleteFunc(slices.Clone(s.Claims), func(c published.ClaimResult) bool { return c.Expected != expected })
		for _, c := range s.Claims {
			verdicts[c.Judgement.Verdict]++
		}
		if len(s.Claims) > 0 {
			table.Groups, table.claims = append(table.Groups, s), table.claims+len(s.Claims)
		}
	}
	if table.claims == 0 {
		return nil
	}
	table.tally = tallyText(verdicts)
	table.Title = title + ": " + table.tally
	return &table
}

// Classes is the table of classes, of all runs that did not diverge.
func (s section) Classes() []class {
	sum := func(row []int) (total int) {
		for _, count := range row {
			total += count
		}
		return total
	}
	confusion, _ := s.Confusion()
	var all []class
	for number, row := range confusion {
		var accuracies []float64
		for _, run := range s.Runs {
			if run.Diverged == nil && sum(run.Confusion[number]) > 0 {
				accuracies = append(accuracies, float64(run.Confusion[number][number])/float64(sum(run.Confusion[number])))
			}
		}
		wrong := slices.Clone(row)
		wrong[number] = 0
		most, mostly := slices.Max(wrong), "none"
		if most > 0 {
			mostly = fmt.Sprintf("%s (%s)", words.Class(s.ClassNames, slices.Index(wrong, most)), words.Counted(most, "time"))
		}
		all = append(all, class{
			Name: words.Class(s.ClassNames, number), Accuracy: published.NewAccuracy(accuracies).Percent(),
			Wrong: words.Thousands(sum(wrong)) + " of " + words.Thousands(sum(row)), Mostly: mostly,
		})
	}
	return all
}
