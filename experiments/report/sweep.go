package report

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/record"
	"epochal/experiments/report/figures"
	"epochal/experiments/report/words"
	"epochal/experiments/sweep"
)

// TableFile is the table of a sweep for spreadsheets: every setting, the best first.
const TableFile = "results.csv"

// mostRows is how many settings a page shows. [TableFile] has all of them.
const mostRows = 100

// WriteSweep writes the report of a sweep into its folder: results.json, results.csv,
// results.md, report.html, and its figures. Everything else is as [Write] says.
func WriteSweep(folder string, r sweep.Results) error {
	d := &sweepDocument{Results: r}
	d.plan()
	err := draw(d.figures())
	var table, markdown, page bytes.Buffer
	numbers, failed := json.MarshalIndent(r, "", "  ")
	err = errors.Join(err, failed, writeSweepCSV(&table, r), sweepMarkdown.Execute(&markdown, d), sweepPage.Execute(&page, d))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	err = writeFiles(folder, d.figures(), sweepFigureFile, file{ResultsFile, append(numbers, '\n')}, file{TableFile, table.Bytes()},
		file{MarkdownFile, markdown.Bytes()}, file{PageFile, page.Bytes()})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

var sweepPage = newPage("sweep.html")

//go:embed sweep.md.tmpl
var sweepMarkdownText string

var sweepMarkdown = template.Must(template.New("sweep.md").
	Funcs(template.FuncMap{"text": plainText, "code": codeBlock}).Parse(sweepMarkdownText))

// sweepFigureFile is what the figures of all sweeps are called.
var sweepFigureFile = regexp.MustCompile(`^(settings|curves|importance)\.(png|svg)$`)

// sweepDocument is what a sweep's results say.
type sweepDocument struct {
	sweep.Results
	Multiples, Curves, Shares *figure // nil without what they show
}

func (d *sweepDocument) figures() []*figure {
	return slices.DeleteFunc([]*figure{d.Multiples, d.Curves, d.Shares}, func(f *figure) bool { return f == nil })
}

// ranked are the settings that have a rank and a value.
func (d *sweepDocument) ranked() []sweep.SettingResult {
	return slices.DeleteFunc(slices.Clone(d.Results.Settings), func(s sweep.SettingResult) bool {
		return s.Rank == 0 || s.ValidationAccuracy.N == 0
	})
}

// plan places the figures.
func (d *sweepDocument) plan() {
	ranked := d.ranked()
	if len(ranked) == 0 || len(d.Swept) == 0 {
		return
	}
	var fields []figures.Swept
	for _, name := range d.Swept {
		fields = append(fields, sweptOf(ranked, name))
	}
	d.Multiples = &figure{
		Alt: "The validation accuracy of every setting against each of the fields in which the settings differ. " +
			"The numbers are in the table.",
		Caption: d.multiplesCaption(len(ranked)),
		file:    "settings", drawing: figures.Sweep("Validation accuracy by setting", fields),
	}
	var runs []figures.Run
	for i, records := range d.Best {
		name := fmt.Sprintf("%d: %s", i+1, valuesText(d.Results.Settings[i], d.Swept))
		if run := meanRun(records); len(run.Epochs) > 0 {
			run.Name = name
			runs = append(runs, run)
		}
	}
	if len(runs) > 0 {
		d.Curves = &figure{
			Alt: "Validation accuracy and loss of the best settings after each epoch, means of their seeds.",
			Caption: "Validation accuracy and loss of the best settings after each epoch: the mean of the seeds that did not diverge. " +
				"The names of the settings begin with their ranks.",
			file: "curves", drawing: figures.Validated("The best "+words.Counted(len(runs), "setting"), runs),
		}
	}
	if len(d.Importance) > 0 {
		var shares []figures.Influence
		for _, one := range d.Importance {
			shares = append(shares, figures.Influence{Name: one.Name, Share: one.EtaSquared, Chance: one.Chance})
		}
		d.Shares = &figure{
			Alt:     "How much of the variance of the validation accuracy each field explains. The numbers are in the table.",
			Caption: "How much of the variance of the validation accuracy each field explains by itself.",
			file:    "importance", drawing: figures.Importance("What matters", shares),
		}
	}
}

// multiplesCaption says which settings the figure of so many settings shows, and after how many epochs.
func (d *sweepDocument) multiplesCaption(shown int) string {
	text := "Validation accuracy of every setting, against each of the fields in which they differ."
	if hidden := len(d.Results.Settings) - shown; hidden > 0 {
		text += fmt.Sprintf(" Left out: %s of which runs are missing or all runs diverged.", words.Counted(hidden, "setting"))
	}
	if d.Stop != nil {
		text += " Those that stopped early are grey, shown as they were then, and not in the means."
	}
	return text
}

// sweptOf is a field as a panel: numbers with many values on an axis, all else in categories.
func sweptOf(settings []sweep.SettingResult, name string) figures.Swept {
	const mostCategories = 8
	f := figures.Swept{Name: strings.ReplaceAll(name, "_", " ")}
	var values []any
	for _, s := range settings {
		if !slices.ContainsFunc(values, func(v any) bool { return sweep.Format(v) == sweep.Format(s.Values[name]) }) {
			values = append(values, s.Values[name])
			if len(values) > mostCategories {
				break
			}
		}
	}
	_, whole := values[0].(int)
	_, number := values[0].(float64)
	if (whole || number) && len(values) > mostCategories {
		least, most := math.Inf(1), math.Inf(-1)
		for _, s := range settings {
			at := sweep.Number(s.Values[name])
			least, most = min(least, at), max(most, at)
			f.Settings = append(f.Settings, sweptSetting(s, at))
		}
		f.Log = least > 0 && most/least > 10
		return f
	}
	values = nil
	index := map[string]int{}
	for _, s := range settings {
		if key := sweep.Format(s.Values[name]); index[key] == 0 {
			values = append(values, s.Values[name])
			index[key] = len(values)
		}
	}
	slices.SortStableFunc(values, compareValues)
	for i, value := range values {
		f.Categories = append(f.Categories, sweep.Format(value))
		index[sweep.Format(value)] = i
	}
	for _, s := range settings {
		f.Settings = append(f.Settings, sweptSetting(s, float64(index[sweep.Format(s.Values[name])])))
	}
	return f
}

func sweptSetting(s sweep.SettingResult, at float64) figures.SweptSetting {
	return figures.SweptSetting{At: at, Accuracy: s.ValidationAccuracy.Mean, Stopped: s.State == sweep.StoppedAt}
}

// compareValues orders numbers by size, widths by their number of weights, texts by letters.
func compareValues(a, b any) int {
	size := func(value any) float64 {
		if widths, ok := value.([]int); ok {
			size, before := 0.0, 784.0
			for _, width := range widths {
				size, before = size+before*float64(width), float64(width)
			}
			return size
		}
		return sweep.Number(value)
	}
	if x, y := size(a), size(b); x != y {
		if x < y {
			return -1
		}
		return 1
	}
	return strings.Compare(sweep.Format(a), sweep.Format(b))
}

// meanRun is the mean of the runs of a setting that did not diverge, over the epochs that all
// of them have.
func meanRun(records []record.Record) figures.Run {
	finished := slices.DeleteFunc(slices.Clone(records), func(r record.Record) bool { return r.Diverged != nil })
	var run figures.Run
	if len(finished) == 0 {
		return run
	}
	epochs := len(slices.MinFunc(finished, func(a, b record.Record) int { return len(a.Epochs) - len(b.Epochs) }).Epochs)
	for i := range epochs {
		accuracy, loss := 0.0, 0.0
		for _, r := range finished {
			accuracy += *r.Epochs[i].ValidationAccuracy / float64(len(finished))
			loss += *r.Epochs[i].ValidationLoss / float64(len(finished))
		}
		run.Epochs = append(run.Epochs, figures.Epoch{ValidationAccuracy: &accuracy, ValidationLoss: &loss})
	}
	return run
}

// valuesText names a setting in a figure: "learning rate 0.1, batch 64".
func valuesText(s sweep.SettingResult, swept []string) string {
	var parts []string
	for _, name := range swept {
		text := sweep.Format(s.Values[name])
		if widths, ok := s.Values[name].([]int); ok && len(widths) > 0 {
			text = words.Widths(widths, "-")
		}
		parts = append(parts, strings.NewReplacer("_sizes", "s", "_size", "", "_", " ").Replace(name)+" "+text)
	}
	return strings.Join(parts, ", ")
}

// SweepTable is the ranking: a head and at most so many settings, the best first.
func SweepTable(r sweep.Results, most int) [][]string {
	head := append([]string{"rank"}, r.Swept...)
	head = append(head, "validation accuracy", "validation loss", "against the best", "diverged", "epochs", "parameters", "seconds", "state")
	table := [][]string{head}
	for _, s := range r.Settings[:min(len(r.Settings), most)] {
		row := []string{rankText(s)}
		for _, name := range r.Swept {
			row = append(row, words.Printable(sweep.Format(s.Values[name])))
		}
		table = append(table, append(row, s.ValidationAccuracy.Percent(), lossText(s.ValidationLoss), againstBest(r, s),
			fmt.Sprintf("%d of %d", s.Diverged, len(s.Runs)), strconv.Itoa(s.Epochs), words.Thousands(s.Parameters),
			fmt.Sprintf("%.1f", s.Seconds), stateText(r, s)))
	}
	return table
}

// stateText is a setting's state, and how many of its seeds are there if some are missing.
func stateText(r sweep.Results, s sweep.SettingResult) string {
	if s.State != sweep.Incomplete {
		return s.State
	}
	return fmt.Sprintf("%s, %d of %s", s.State, len(s.Runs), words.Counted(len(r.Seeds), "seed"))
}

func rankText(s sweep.SettingResult) string {
	if s.Rank == 0 {
		return "–"
	}
	return strconv.Itoa(s.Rank)
}

// lossText is "0.1234 ± 0.0010", and "0.1234 (0 to 0.4000)" where the interval ends at 0.
func lossText(i published.Interval) string {
	switch {
	case i.N == 0:
		return "-"
	case !i.Known():
		return fmt.Sprintf("%.4f", i.Mean)
	case i.Low == 0 && i.High > 0:
		return fmt.Sprintf("%.4f (0 to %.4f)", i.Mean, i.High)
	default:
		return fmt.Sprintf("%.4f ± %.4f", i.Mean, i.High-i.Mean)
	}
}

// againstBest is the difference to the best setting: in points, or of losses.
func againstBest(r sweep.Results, s sweep.SettingResult) string {
	switch {
	case s.Rank == 1 || s.Difference.N == 0:
		return "–"
	case r.RankBy == sweep.ValidationAccuracy:
		return pointsText(s.Difference)
	case s.Difference.Known():
		return fmt.Sprintf("%+.4f ± %.4f", s.Difference.Mean, s.Difference.High-s.Difference.Mean)
	default:
		return fmt.Sprintf("%+.4f", s.Difference.Mean)
	}
}

// writeSweepCSV writes all settings for spreadsheets.
func writeSweepCSV(to *bytes.Buffer, r sweep.Results) error {
	w := csv.NewWriter(to)
	head := append([]string{"rank", "number", "state", "epochs"}, r.Swept...)
	w.Write(append(head, "parameters", "runs", "diverged",
		"validation_accuracy", "validation_accuracy_low", "validation_accuracy_high",
		"validation_loss", "validation_loss_low", "validation_loss_high",
		"difference", "difference_low", "difference_high", "seconds"))
	number := func(i published.Interval) []string {
		if i.N == 0 {
			return []string{"", "", ""}
		}
		text := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
		if !i.Known() {
			return []string{text(i.Mean), "", ""}
		}
		return []string{text(i.Mean), text(i.Low), text(i.High)}
	}
	for _, s := range r.Settings {
		rank := ""
		if s.Rank > 0 {
			rank = strconv.Itoa(s.Rank)
		}
		row := []string{rank, strconv.Itoa(s.Number), s.State, strconv.Itoa(s.Epochs)}
		for _, name := range r.Swept {
			row = append(row, sweep.Format(s.Values[name]))
		}
		row = append(row, strconv.Itoa(s.Parameters), strconv.Itoa(len(s.Runs)), strconv.Itoa(s.Diverged))
		row = slices.Concat(row, number(s.ValidationAccuracy), number(s.ValidationLoss), number(s.Difference))
		w.Write(append(row, strconv.FormatFloat(s.Seconds, 'f', 3, 64)))
	}
	w.Flush()
	return w.Error()
}

// Title is that of the page.
func (d *sweepDocument) Title() string { return "Sweep: " + d.Name }

// Table is the ranking as far as it is shown.
func (d *sweepDocument) Table() [][]string { return SweepTable(d.Results, mostRows) }

// Hidden says how many settings the table leaves out, "" for none.
func (d *sweepDocument) Hidden() string {
	if hidden := len(d.Results.Settings) - mostRows; hidden > 0 {
		return fmt.Sprintf("%s more are in %s.", words.Counted(hidden, "setting"), TableFile)
	}
	return ""
}

// Findings are the sentences at the top.
func (d *sweepDocument) Findings() []string { return SweepFindings(d.Results) }

// SweepFindings are sentences on what a sweep found. They and the figures of the winner are
// the only place where numbers of the test set are.
func SweepFindings(r sweep.Results) []string {
	text := fmt.Sprintf("%s with %s each, ranked by mean %s", words.Counted(len(r.Settings), "setting"),
		words.Counted(len(r.Seeds), "seed"), strings.ReplaceAll(r.RankBy, "_", " "))
	if r.Stop != nil {
		after := "epoch"
		if len(r.Stop.At) > 1 {
			after = "epochs"
		}
		text += fmt.Sprintf("; bad settings stopped early (%s, after %s %s), and their differences are to the best after the same epochs",
			r.Stop.Rule, after, words.Widths(r.Stop.At, ", "))
	}
	if r.Diverged > 0 {
		text += fmt.Sprintf("; %s diverged", words.Counted(r.Diverged, "run"))
	}
	sentences := []string{text + "."}
	if len(r.Backends) > 1 {
		sentences = append(sentences, "The runs were made on different backends ("+strings.Join(r.Backends, ", ")+
			"), so their numbers may differ in the last digits.")
	}
	if r.Missing > 0 {
		return append(sentences, fmt.Sprintf("%s missing. "+
			"Only settings with all their runs have a rank; the others have the numbers of the seeds that are there. "+
			"The test accuracy is reported when no run is missing.",
			map[bool]string{true: "1 run is", false: words.Thousands(r.Missing) + " runs are"}[r.Missing == 1]))
	}
	if r.Winner == nil {
		return append(sentences, "Every run of the best setting diverged, so there is no winner.")
	}
	best := r.Settings[0]
	var values []string
	for _, name := range r.Swept {
		values = append(values, name+" "+sweep.Format(best.Values[name]))
	}
	named := strings.Join(values, ", ")
	if named == "" {
		named = "the only setting"
	}
	loss := ""
	if r.RankBy == sweep.ValidationLoss {
		loss = "validation loss " + lossText(best.ValidationLoss) + ", "
	}
	sentences = append(sentences, fmt.Sprintf("Best: %s, with %svalidation accuracy %s and %s parameters.",
		words.Printable(named), loss, best.ValidationAccuracy.Percent(), words.Thousands(best.Parameters)), testFinding(r))
	if middle := middleFinding(r); middle != "" {
		sentences = append(sentences, middle)
	}
	return sentences
}

// testFinding is how good the winner is on the test set, and whether choosing it made it look better.
func testFinding(r sweep.Results) string {
	i := r.Winner.Optimism
	const images = "on the validation images"
	points, interval := fmt.Sprintf("%.2f points", 100*math.Abs(i.Mean)), ""
	if i.Known() {
		interval = fmt.Sprintf(" (± %.2f)", 100*(i.High-i.Mean))
	}
	var than string
	switch {
	case points == "0.00 points":
		than = "as much as " + images + interval
	case i.Mean > 0:
		than = points + interval + " less than " + images
	default:
		than = points + interval + " more than " + images
	}
	chosen := "choosing by " + strings.ReplaceAll(r.RankBy, "_", " ")
	var verdict string
	switch {
	case !i.Known():
		verdict = "Fewer than 3 seeds give no interval, so they do not show whether " + chosen + " made it look better than it is."
	case i.Low > 0:
		verdict = "The interval excludes zero: " + chosen + " made it look better than it is, or the test images are harder."
	case i.High < 0:
		verdict = "The interval excludes zero, so " + chosen + " did not make it look better than it is."
	default:
		verdict = "The interval includes zero, so these seeds do not show that " + chosen + " made it look better than it is."
	}
	return fmt.Sprintf("On the test set, which no choice was based on, the best setting reaches %s, %s. %s",
		r.Winner.TestAccuracy.Percent(), than, verdict)
}

// middleFinding compares the setting in the middle of the ranking with the best, after the
// same epochs if it stopped early; "" if there is no such setting or it diverged.
func middleFinding(r sweep.Results) string {
	middle := r.Settings[len(r.Settings)/2]
	if len(r.Settings) < 3 || middle.Difference.N == 0 {
		return ""
	}
	stopped, best := "has", "the best"
	if middle.State == sweep.StoppedAt {
		stopped = "stopped after " + words.Counted(middle.Epochs, "epoch") + " with"
		best = "the best had by then"
	}
	less, difference := "less", middle.Difference.Mean
	if difference > 0 {
		less = "more"
	}
	if r.RankBy == sweep.ValidationLoss {
		return fmt.Sprintf("The setting in the middle of the ranking %s a validation loss of %.4f, %.4f %s than %s.",
			stopped, middle.ValidationLoss.Mean, math.Abs(difference), less, best)
	}
	return fmt.Sprintf("The setting in the middle of the ranking %s a validation accuracy of %s, %.2f points %s than %s.",
		stopped, words.Percent(middle.ValidationAccuracy.Mean, 2), 100*math.Abs(difference), less, best)
}

// ImportanceTable has a row for each field below a head.
func (d *sweepDocument) ImportanceTable() [][]string {
	table := [][]string{{"field", "explained", "by chance", "groups"}}
	for _, one := range d.Importance {
		table = append(table, []string{one.Name, words.Percent(one.EtaSquared, 1), words.Percent(one.Chance, 1), strconv.Itoa(one.Groups)})
	}
	return table
}

// ImportanceNote says how importance is measured.
func (d *sweepDocument) ImportanceNote() string {
	if len(d.Importance) == 0 {
		return ""
	}
	one := d.Importance[0]
	after := "at the end of each"
	if one.Epochs > 0 {
		after = "after " + words.Counted(one.Epochs, "epoch")
	}
	return fmt.Sprintf("Explained: the variance of the validation accuracy between the groups of settings with one value of the field, "+
		"as a share of the variance of all %s (eta squared), by means over seeds %s. "+
		"By chance: what a field without any influence would have on average. What fields do together is in none of them. "+
		"Numbers that were drawn at random are in five groups of neighbours. Settings whose runs all diverged do not count.",
		words.Counted(one.Settings, "setting"), after)
}

// DifferenceNote explains the table.
func (d *sweepDocument) DifferenceNote() string {
	text := "Intervals are 95% intervals of the mean over seeds by Student’s t, from 3 seeds on. " +
		"Differences to the best setting are paired: they are taken seed by seed, for a setting that stopped early after the same epochs, "
	if d.RankBy == sweep.ValidationAccuracy {
		return text + "in points of validation accuracy."
	}
	return text + "of the validation loss."
}

// Common are the settings that all have in common and that are not the usual ones.
func (d *sweepDocument) Common() string {
	c, usual := d.Base, experiments.Defaults()
	for _, name := range d.Swept {
		sweep.Copy(&c, usual, name)
	}
	c.Seed = usual.Seed
	return Deviations(c)
}

// ExportHint is the command that exports the winner.
func (d *sweepDocument) ExportHint() string {
	if strings.Contains(d.Command, " --export") {
		return d.Command
	}
	return d.Command + " --export best.yaml"
}
