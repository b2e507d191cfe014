package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"epochal/experiments/published"
)

// FigureKind is what a figure on the page shows.
type FigureKind string

// The kinds of figures.
const (
	ComparisonFigure FigureKind = "comparison" // of all experiments, by [Comparison]
	BatchFigure      FigureKind = "batch"      // of no experiment, by [Batch]
	CurvesFigure     FigureKind = "curves"     // of one experiment, by [Curves]
	ConfusionFigure  FigureKind = "confusion"  // of one experiment, by [Confusion]
	MistakesFigure   FigureKind = "mistakes"   // of one experiment, by [Mistakes]
)

// Figure is a figure for the page.
type Figure struct {
	Kind       FigureKind
	Experiment string // name of the one that it is of, "" for none
	SVG        []byte // as this package's functions write it
}

// Page writes report.html: the results of a reproduction on one page, which needs no
// network, no script and no other file, on a phone, on paper, light or dark.
//
// It needs of r what results.json holds; the Records may be missing. Figures that are
// not given are left out. They stand in the page as images, so that nothing in one
// can reach another, or run.
//
// It is an error if a figure is no SVG of this package, for there is no telling its
// size.
func Page(w io.Writer, r published.Results, figures ...Figure) error {
	view, err := newPageView(r, figures)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, view); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(page.Bytes())
	return err
}

//go:embed document.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// pageView is what the page shows.
type pageView struct {
	published.Results
	Title, Summary        string
	QuickNote             string // "" unless it was a smoke test
	IntervalNote          string
	Expected, Others      *verdictTable // nil without such claims
	Twins                 []twinsView
	TwinHint              string // what to run, if no twins ran and some could have
	TwinNote, TwinFinding string
	Comparison, Batch     *figureView
	Sections              []section
	Facts, DataFiles      []fact
}

// fact is a name and a value.
type fact struct{ Name, Value string }

// section is an experiment.
type section struct {
	published.ExperimentResult
	ID, TwinID           string // for links; the twin's is "" if it did not run
	Train, Test          string
	DivergedNote         string // "" if no run did
	Deviations, Settings []setting
	Curves, Matrix       *figureView
	Mistakes             *figureView
	Classes              []classView
	Columns              []string // of the table of seeds, between the seed and its folder
	Seeds                []seedView
	TrainCommand         string // that repeats the first run
}

// verdictTable has the claims that are expected to hold, or those that are not.
type verdictTable struct {
	Title  string
	Groups []verdictGroup
}

// verdictGroup are the claims of an experiment.
type verdictGroup struct {
	Name, ID string
	Rows     []verdictView
}

// verdictView is a claim.
type verdictView struct {
	published.ClaimResult
	Symbol, Class string // of the verdict; the class is the style sheet's
}

// twinsView is a row of the table of twins.
type twinsView struct {
	Name, ID                      string
	Plain, Normalized, Difference string
	Published, Nearer             string
}

// classView is a class of the test set.
type classView struct {
	Class    int
	Accuracy string // mean over the runs
	Wrong    string // "120 of 9,800", of all runs together
	Mostly   string // "3 (31 times)", the wrong class that was predicted most
}

// seedView is a run.
type seedView struct {
	Seed     uint64
	Cells    []string // one for each column; none if it diverged
	Diverged string
	Folder   string
}

// figureView is a figure and what says the same in words.
type figureView struct {
	Source        template.URL // data:, of this program's own making
	Width, Height int          // in pixels of a style sheet
	Alt, Caption  string
}

func newPageView(r published.Results, figures []Figure) (pageView, error) {
	view := pageView{
		Results: r, Title: pageTitle, Summary: summary(r), IntervalNote: intervalNote(r),
		TwinNote: twinNote, Facts: facts(r),
	}
	if r.Quick {
		view.QuickNote = quickNote
	}
	for _, file := range r.Environment.Data {
		view.DataFiles = append(view.DataFiles, fact{file.Name, file.SHA256})
	}
	ids := names(r)
	for _, e := range r.Experiments {
		s := newSection(e, r)
		s.ID = "experiment-" + ids[e.Name]
		if twin, found := ids[e.Twin]; found {
			s.TwinID = "experiment-" + twin
		}
		view.Sections = append(view.Sections, s)
	}
	view.Expected = newVerdictTable(r, ids, true, "Claims expected to hold")
	view.Others = newVerdictTable(r, ids, false, "Claims not expected to hold")
	twins := allTwins(r)
	view.TwinHint = twinsHint(r)
	view.TwinFinding = twinsSentence(twins)
	for _, t := range twins {
		view.Twins = append(view.Twins, twinsView{
			Name: t.Plain.Name, ID: "experiment-" + ids[t.Plain.Name],
			Plain: finalText(t.Plain, t.Plain.TestAccuracy), Normalized: finalText(t.Normalized, t.Normalized.TestAccuracy),
			Difference: pointsText(t.Difference), Published: t.PublishedText(), Nearer: t.NearerText(),
		})
	}
	for _, figure := range figures {
		if err := view.place(figure); err != nil {
			return pageView{}, fmt.Errorf("report: %s of %q: %w", figure.Kind, figure.Experiment, err)
		}
	}
	return view, nil
}

// newVerdictTable has the claims of r that are expected to hold, or the others; nil if
// there are none.
func newVerdictTable(r published.Results, ids map[string]string, expected bool, title string) *verdictTable {
	classes := map[published.Verdict]string{published.Holds: "holds", published.Fails: "fails", published.Undecided: "undecided"}
	var table verdictTable
	var count tally
	for _, e := range r.Experiments {
		group := verdictGroup{Name: e.Name, ID: "experiment-" + ids[e.Name]}
		for _, c := range e.Claims {
			if c.Expected == expected {
				group.Rows = append(group.Rows, verdictView{c, verdictSymbol(c.Judgement.Verdict), classes[c.Judgement.Verdict]})
				count.add(c.Judgement.Verdict)
			}
		}
		if len(group.Rows) > 0 {
			table.Groups = append(table.Groups, group)
		}
	}
	if len(table.Groups) == 0 {
		return nil
	}
	table.Title = fmt.Sprintf("%s: %s", title, count)
	return &table
}

// place puts a figure where it belongs.
func (v *pageView) place(f Figure) error {
	figure, err := newFigureView(f.SVG)
	if err != nil {
		return err
	}
	switch f.Kind {
	case ComparisonFigure:
		figure.Alt = "The final test accuracy of each experiment, and its training time. The numbers stand in the sections of the experiments."
		figure.Caption = "Final test accuracy of all experiments: the mean of the seeds with its 95% interval, each seed, and the time of a run."
		v.Comparison = figure
		return nil
	case BatchFigure:
		figure.Alt = "Images of the training set in a grid, each with its label."
		figure.Caption = "Images of the training set in a random order, each with its label."
		v.Batch = figure
		return nil
	}
	for i := range v.Sections {
		s := &v.Sections[i]
		if s.Name != f.Experiment {
			continue
		}
		switch f.Kind {
		case CurvesFigure:
			figure.Alt = fmt.Sprintf("Accuracy and loss of %s after each epoch. Final train accuracy %s, final test accuracy %s.", s.Name, s.Train, s.Test)
			figure.Caption = "Accuracy and loss on the train and the test set after each epoch: each seed, and their mean."
			s.Curves = figure
		case ConfusionFigure:
			_, runs := s.Confusion()
			figure.Alt = fmt.Sprintf("Confusion matrix of %s on the test set. The table of classes says the most of it in numbers.", s.Name)
			figure.Caption = "Confusion matrix of the test set after the last epoch, summed over " + counted(runs, "seed") + "."
			s.Matrix = figure
		case MistakesFigure:
			figure.Alt = fmt.Sprintf("Test images that %s took for another class, each with its true class, the predicted one and the confidence in it.", s.Name)
			figure.Caption = "The wrong test images of which the network was most certain."
			if run, found := firstFinished(s.ExperimentResult); found {
				figure.Caption = fmt.Sprintf("The wrong test images of which the network of seed %d was most certain.", s.Runs[run].Seed)
			}
			s.Mistakes = figure
		default:
			return fmt.Errorf("found a figure of an unknown kind")
		}
		return nil
	}
	return fmt.Errorf("found no such experiment in the results")
}

// firstFinished is the first run that did not diverge.
func firstFinished(e published.ExperimentResult) (run int, found bool) {
	for i, run := range e.Runs {
		if finished(run) {
			return i, true
		}
	}
	return 0, false
}

// svgSize finds the size of an SVG of this package, in points.
var svgSize = regexp.MustCompile(`<svg width="([0-9.]{1,9})pt" height="([0-9.]{1,9})pt"`)

func newFigureView(svg []byte) (*figureView, error) {
	size := svgSize.FindSubmatch(svg)
	if size == nil {
		return nil, fmt.Errorf("found no SVG with a width and a height in points")
	}
	view := &figureView{Source: template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg))}
	for i, pixels := range []*int{&view.Width, &view.Height} {
		points, err := strconv.ParseFloat(string(size[1+i]), 64)
		if err != nil {
			return nil, err
		}
		*pixels = int(math.Round(points * 96 / 72)) // so many of each make an inch
	}
	return view, nil
}

func newSection(e published.ExperimentResult, r published.Results) section {
	s := section{
		ExperimentResult: e,
		Train:            finalText(e, e.TrainAccuracy), Test: finalText(e, e.TestAccuracy),
		DivergedNote: divergedNote(e),
		Deviations:   deviations(e.Config), Settings: settings(e.Config),
		Classes:      classes(e),
		TrainCommand: trainCommand(e.Config, firstBackend(e, r)),
	}
	s.Columns, s.Seeds = seeds(e)
	return s
}

// firstBackend is the backend that the first run of an experiment ran on.
func firstBackend(e published.ExperimentResult, r published.Results) string {
	if len(e.Records) > 0 {
		return e.Records[0].Environment.Backend.Name
	}
	return r.Environment.Backend.Name
}

// divergedNote names the seeds of e that diverged.
func divergedNote(e published.ExperimentResult) string {
	var named []string
	for _, run := range e.Runs {
		if run.Diverged != nil {
			named = append(named, strconv.FormatUint(run.Seed, 10))
		}
	}
	if len(named) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %s diverged: seed %s.", len(named), counted(len(e.Runs), "run"), strings.Join(named, ", "))
}

// seeds is the table of the final numbers of each run, the columns between the seed
// and the folder first.
func seeds(e published.ExperimentResult) (columns []string, rows []seedView) {
	validated := e.Config.Validation > 0
	columns = []string{"Train accuracy", "Test accuracy", "Train loss", "Test loss", "Seconds"}
	if validated {
		columns = append(columns, "Validation accuracy", "Validation loss")
	}
	for _, run := range e.Runs {
		row := seedView{Seed: run.Seed, Folder: filepath.ToSlash(run.Folder)}
		switch {
		case run.Diverged != nil:
			row.Diverged = divergedText(*run.Diverged)
		case len(run.Epochs) == 0:
			row.Diverged = "no epoch"
		default:
			last := run.Epochs[len(run.Epochs)-1]
			row.Cells = []string{
				percent(last.TrainAccuracy, 2), percent(last.TestAccuracy, 2), lossText(&last.TrainLoss), lossText(&last.TestLoss),
				strconv.FormatFloat(run.Seconds, 'f', 1, 64),
			}
			if validated {
				accuracy := "none"
				if last.ValidationAccuracy != nil {
					accuracy = percent(*last.ValidationAccuracy, 2)
				}
				row.Cells = append(row.Cells, accuracy, lossText(last.ValidationLoss))
			}
		}
		rows = append(rows, row)
	}
	return columns, rows
}

func lossText(loss *float64) string {
	if loss == nil {
		return "none"
	}
	return strconv.FormatFloat(*loss, 'f', 4, 64)
}

// classes is the table of classes, of all runs that did not diverge.
func classes(e published.ExperimentResult) []classView {
	confusion, _ := e.Confusion()
	var views []classView
	for class, row := range confusion {
		var accuracies []float64
		for _, run := range e.Runs {
			if run.Diverged == nil && class < len(run.Confusion) {
				if all := sum(run.Confusion[class]); all > 0 {
					accuracies = append(accuracies, float64(run.Confusion[class][class])/float64(all))
				}
			}
		}
		most := -1
		for predicted, count := range row {
			if predicted != class && count > 0 && (most < 0 || count > row[most]) {
				most = predicted
			}
		}
		view := classView{
			Class: class, Accuracy: accuracyText(published.NewAccuracy(accuracies)),
			Wrong: fmt.Sprintf("%s of %s", thousands(sum(row)-row[class]), thousands(sum(row))), Mostly: "none",
		}
		if most >= 0 {
			view.Mostly = fmt.Sprintf("%d (%s)", most, counted(row[most], "time"))
		}
		views = append(views, view)
	}
	return views
}

func sum(row []int) int {
	total := 0
	for _, count := range row {
		total += count
	}
	return total
}

// facts are what the first run ran on.
func facts(r published.Results) []fact {
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
	if e.Backend.PluginFile != "" {
		all = append(all, fact{"Plugin", filepath.Base(e.Backend.PluginFile)}, fact{"Plugin’s SHA-256", e.Backend.PluginSHA256})
	}
	if len(r.Backends) > 1 {
		all = append(all, fact{"All backends", strings.Join(r.Backends, ", ")})
	}
	if !e.Started.IsZero() {
		all = append(all, fact{"First run began", e.Started.UTC().Format(time.DateTime) + " UTC"})
	}
	var known []fact
	for _, f := range all {
		if f.Value != "" {
			known = append(known, f)
		}
	}
	return known
}

var notPlain = regexp.MustCompile(`[^a-z0-9]+`)

// names are the names of experiments as parts of file names and links: letters,
// digits and hyphens, each once.
func names(r published.Results) map[string]string {
	plain := map[string]string{}
	taken := map[string]bool{}
	for _, e := range r.Experiments {
		base := strings.Trim(notPlain.ReplaceAllString(strings.ToLower(e.Name), "-"), "-")
		base = base[:min(len(base), maxPlainName)]
		name := base
		for i := 2; name == "" || taken[name]; i++ {
			name = strings.Trim(base+"-"+strconv.Itoa(i), "-")
		}
		taken[name] = true
		plain[e.Name] = name
	}
	return plain
}

// maxPlainName keeps file names within what file systems take.
const maxPlainName = 100
