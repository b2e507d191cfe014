package report

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

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
	Twins                 []twinsView
	TwinHint, TwinFinding string // "" if there is nothing to say
	Sections              []section
	Defaults              []setting
	Comparison, Batch     *figure // nil without data
	Facts, DataFiles      []fact
}

// fact is a name and a value.
type fact struct{ Name, Value string }

// section is an experiment.
type section struct {
	experiment
	ID, TwinID           string // for links; the twin's is "" if it did not run
	Train, Test          string
	DivergedNote         string // "" if no run did
	Deviations, Settings []setting
	Verdicts             []verdict
	Classes              []class
	Columns              []string // of the table of seeds, between the seed and its folder
	Seeds                []seed
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

// twinsView is a row of the table of twins.
type twinsView struct {
	Name, ID                                         string
	Plain, Normalized, Difference, Published, Nearer string
}

// class is one of the test set.
type class struct {
	Class    int
	Accuracy string // mean over the runs
	Wrong    string // "120 of 9,800", of all runs together
	Mostly   string // "3 (31 times)", the wrong class that was predicted most
}

// seed is a run.
type seed struct {
	Seed     uint64
	Cells    []string // one for each column; none if it diverged
	Diverged string
	Folder   string
}

// newDocument tells of r. Figures are those that can be drawn of its Records and of
// data: none if data is nil, and mistakes only of experiments whose first run had the
// same files.
func newDocument(r Results, data *dataset.Dataset) (*document, error) {
	d := &document{
		voice: voiceOf(r), Results: r, Summary: summary(r), IntervalNote: intervalNote(r), TwinHint: twinsHint(r),
		Defaults: ofExperiments(settings(experiments.Defaults())), Facts: facts(r),
	}
	for _, file := range r.Environment.Data {
		d.DataFiles = append(d.DataFiles, fact{file.Name, file.SHA256})
	}
	ids := plainNames(r)
	for _, e := range r.Experiments {
		s := newSection(e, r)
		s.ID = "experiment-" + ids[e.Name]
		if twin, found := ids[e.Twin]; found {
			s.TwinID = "experiment-" + twin
		}
		d.Sections = append(d.Sections, s)
	}
	d.Expected = d.newVerdictTable(true, "Claims expected to hold")
	d.Others = d.newVerdictTable(false, "Claims not expected to hold")
	twins := allTwins(r)
	d.TwinFinding = twinsSentence(twins)
	for _, t := range twins {
		d.Twins = append(d.Twins, twinsView{
			Name: t.Plain.Name, ID: "experiment-" + ids[t.Plain.Name],
			Plain: finalText(t.Plain, t.Plain.TestAccuracy), Normalized: finalText(t.Normalized, t.Normalized.TestAccuracy),
			Difference: pointsText(t.Difference), Published: t.publishedText(), Nearer: t.nearerText(),
		})
	}
	if data != nil {
		d.plan(data, ids)
	}
	return d, d.draw()
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
	s.Columns, s.Seeds = seeds(e)
	backend := r.Environment.Backend.Name
	if len(e.Records) > 0 {
		backend = e.Records[0].Environment.Backend.Name
	}
	s.TrainCommand = trainCommand(e.Config, backend)
	return s
}

// seeds is the table of the final numbers of each run, the columns between the seed
// and the folder first.
func seeds(e experiment) (columns []string, rows []seed) {
	validated := e.Config.Validation > 0
	columns = []string{"Train accuracy", "Test accuracy", "Train loss", "Test loss", "Seconds"}
	if validated {
		columns = append(columns, "Validation accuracy", "Validation loss")
	}
	loss := func(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }
	for _, run := range e.Runs {
		row := seed{Seed: run.Seed, Folder: filepath.ToSlash(run.Folder)}
		if run.Diverged != nil {
			row.Diverged = divergedText(*run.Diverged)
		} else {
			last := run.Epochs[len(run.Epochs)-1]
			row.Cells = []string{
				words.Percent(last.TrainAccuracy, 2), words.Percent(last.TestAccuracy, 2), loss(last.TrainLoss), loss(last.TestLoss),
				strconv.FormatFloat(run.Seconds, 'f', 1, 64),
			}
			if validated {
				row.Cells = append(row.Cells, words.Percent(*last.ValidationAccuracy, 2), loss(*last.ValidationLoss))
			}
		}
		rows = append(rows, row)
	}
	return columns, rows
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
			Class: number, Accuracy: accuracyText(newInterval(accuracies)),
			Wrong: words.Thousands(sum(wrong)) + " of " + words.Thousands(sum(row)), Mostly: mostly,
		})
	}
	return all
}

// facts are what the first run ran on.
func facts(r Results) []fact {
	e := r.Environment
	all := []fact{
		{"epochal", strings.TrimSpace(e.Version + " " + e.Revision)},
		{"Go", e.Go}, {"GoMLX", e.GoMLX}, {"go-xla", e.GoXLA},
		{"System", e.OperatingSystem + " on " + e.Architecture},
		{"Cores", strconv.Itoa(e.Cores)},
		{"Backend", e.Backend.Name}, {"Backend’s version", e.Backend.Version}, {"Device", e.Backend.Device},
	}
	if e.Backend.Threads > 0 {
		all = append(all, fact{"Threads of a run", strconv.Itoa(e.Backend.Threads)})
	}
	all = append(all, fact{"TF32", strconv.FormatBool(e.Backend.TF32)}, fact{"XLA_FLAGS", e.Backend.XLAFlags})
	if e.Backend.PluginFile != "" { // whose folder may tell a name
		all = append(all, fact{"Plugin", filepath.Base(e.Backend.PluginFile)}, fact{"Plugin’s SHA-256", e.Backend.PluginSHA256})
	}
	if len(r.Backends) > 1 {
		all = append(all, fact{"All backends", strings.Join(r.Backends, ", ")})
	}
	if !e.Started.IsZero() {
		all = append(all, fact{"First run began", e.Started.UTC().Format(time.DateTime) + " UTC"})
	}
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

var notPlain = regexp.MustCompile(`[^a-z0-9]+`)

// plainNames are the names of experiments as parts of file names and links: letters,
// digits and hyphens, each once, and short enough for any file system.
func plainNames(r Results) map[string]string {
	const longest = 100
	plain, taken := map[string]string{}, map[string]bool{}
	for _, e := range r.Experiments {
		base := strings.Trim(notPlain.ReplaceAllString(strings.ToLower(e.Name), "-"), "-")
		base = cmp.Or(base[:min(len(base), longest)], "experiment")
		name := base
		for i := 2; taken[name]; i++ {
			name = base + "-" + strconv.Itoa(i)
		}
		taken[name], plain[e.Name] = true, name
	}
	return plain
}
