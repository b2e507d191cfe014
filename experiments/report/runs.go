package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/record"
	"epochal/experiments/report/figures"
	"epochal/experiments/report/words"
	"epochal/experiments/trained"
	"epochal/model"
)

// RunsPageFile is the page that [WriteRuns] makes in its folder.
const RunsPageFile = "index.html"

// Run is a run folder as the page of [WriteRuns] shows it.
type Run struct {
	record.Summary
	name    string
	data    *dataset.Dataset // its own, nil where that cannot be read
	network *trained.Network // nil before the end of the run
	missing []string         // sentences on what the page lacks
}

// ReadRuns reads run folders, which may be under way, interrupted or diverged, with their
// data and weights as far as there are any. A folder that cannot be read is an error.
func ReadRuns(folders ...string) ([]Run, error) {
	var all []Run
	read := map[string]*dataset.Dataset{}
	for _, folder := range folders {
		path, err := filepath.Abs(folder)
		r := Run{Summary: record.Summarize(folder), name: words.Printable(filepath.Base(path))}
		if err := errors.Join(err, r.Err); err != nil {
			return nil, err
		}
		environment := r.Record.Environment
		options := r.Record.Config.DataOptions()
		path = environment.Locate(r.Record.Config.Data)
		key := fmt.Sprintf("%q %v", path, options)
		if read[key] == nil {
			if read[key], err = dataset.Read(path, options); err != nil {
				r.missing = append(r.missing, fmt.Sprintf("The data could not be read, so no mistakes are shown: %v.", err))
			}
		}
		if r.data = read[key]; r.data != nil && !dataset.SameContent(r.data.Files, environment.Data) {
			r.data, r.missing = nil, append(r.missing, "The data have changed since, so no mistakes are shown.")
		}
		network, err := trained.Open(folder, model.Hints{})
		if err == nil {
			r.network = &network
		} else if r.State == record.StateEnded {
			r.missing = append(r.missing, fmt.Sprintf("The weights could not be read, so they are not shown: %v.", err))
		}
		if slices.ContainsFunc(all, func(other Run) bool { return other.name == r.name }) {
			r.name = words.Printable(folder) // another folder has the same last part
		}
		all = append(all, r)
	}
	return all, nil
}

// runsDocument is what the page of runs shows.
type runsDocument struct {
	Sections []runSection
	Together *figure // of several runs
}

// runSection is a run, told as an experiment of one seed is.
type runSection struct {
	section
	Run
	ID      string
	Weights *figure // nil before the end of the run
}

// WriteRuns writes the page of runs into a folder, and its figures, each as PNG and as
// SVG, in figures below it. Everything else about it is as [Write] says.
func WriteRuns(folder string, runs []Run) error {
	d, err := newRunsDocument(runs)
	var page bytes.Buffer
	if err == nil {
		err = runsTemplate.Execute(&page, d)
	}
	if err == nil {
		err = writeFiles(folder, d.figures(), runsFigureFile, file{RunsPageFile, page.Bytes()})
	}
	if err != nil {
		return fmt.Errorf("show: %w", err)
	}
	return nil
}

var runsTemplate = newPage("runs.html")

// runsFigureFile is what the figures of all pages of runs are called.
var runsFigureFile = regexp.MustCompile(`^(together|run([0-9]+)-(curves|confusion|mistakes|weights))\.(png|svg)$`)

func newRunsDocument(runs []Run) (*runsDocument, error) {
	d := &runsDocument{}
	var together []figures.Run
	for i, run := range runs {
		s := newRunSection(run, fmt.Sprintf("run%d", i+1))
		line := runsOf(s.Records)[0]
		line.Name = run.name
		together = append(together, line)
		d.Sections = append(d.Sections, s)
	}
	if len(runs) > 1 {
		d.Together = &figure{
			Alt:     "Test accuracy and test loss of all runs after each epoch. The numbers are in the table.",
			Caption: "Test accuracy and test loss of all runs after each epoch.",
			file:    "together", drawing: figures.Together("Test accuracy and loss of "+words.Counted(len(runs), "run"), together),
		}
	}
	return d, draw(d.figures())
}

func newRunSection(run Run, id string) runSection {
	r := run.Record
	one := published.RunResult{
		Seed: r.Config.Seed, Folder: run.Folder, Seconds: r.Seconds, Epochs: r.Epochs, Confusion: r.Test.Confusion,
	}
	if r.Diverged != nil {
		metrics := r.Diverged.Metrics()
		one.Diverged = &metrics
	}
	s := runSection{Run: run, ID: id, section: section{experiment: experiment{
		Name: id, Title: run.name, Config: r.Config, ClassNames: r.Test.ClassNames, Runs: []published.RunResult{one}, Records: []record.Record{r},
	}}}
	s.Train, s.Test = "none yet", "none yet"
	if last, ok := run.Last(); ok {
		s.Train, s.Test = words.Percent(last.TrainAccuracy, 2), words.Percent(last.TestAccuracy, 2)
		s.plan(run.data)
	}
	if run.network == nil || run.network.Description.PermutePixels != 0 {
		return s // the weights of permuted pixels are no pictures
	}
	a := run.network.Description.Architecture
	first, rows, columns, layer := a.Parameters()[0], a.Task().Rows, a.Task().Columns, "layer"
	switch {
	case len(first.Dims) == 2 && first.Dims[1] == rows*columns:
	case len(first.Dims) == 4 && first.Dims[1] == 1: // the kernels of a convolution
		rows, columns, layer = first.Dims[2], first.Dims[3], "convolution"
	default:
		return s // its weights are no pictures
	}
	units := slices.Collect(slices.Chunk(run.network.Weights[0], rows*columns))
	s.Weights = &figure{
		Alt:     fmt.Sprintf("The weights of units of the first %s as pictures, each below the number of its unit.", layer),
		Caption: fmt.Sprintf("What the units of the first %s look for: their weights from each pixel.", layer),
		file:    id + "-weights", drawing: figures.Weights(fmt.Sprintf("%s: weights of the first %s", run.name, layer), rows, columns, units),
	}
	return s
}

// figures are those of the whole page.
func (d *runsDocument) figures() []*figure {
	all := []*figure{d.Together}
	for _, s := range d.Sections {
		all = append(all, s.Curves, s.Matrix, s.Mistakes, s.Weights)
	}
	return slices.DeleteFunc(all, func(f *figure) bool { return f == nil })
}

// Title is that of the page.
func (d *runsDocument) Title() string {
	if len(d.Sections) == 1 {
		return d.Sections[0].name
	}
	return fmt.Sprintf("%d runs compared", len(d.Sections))
}

// Table compares the runs.
func (d *runsDocument) Table() [][]string {
	var runs []Run
	for _, s := range d.Sections {
		runs = append(runs, s.Run)
	}
	return RunsTable(runs)
}

// RunsTable compares runs: a row for each below a head, with the settings in which they
// differ and their numbers.
func RunsTable(runs []Run) [][]string {
	var names []string
	values := make([]map[string]string, len(runs)) // of the settings by name; a run has not all of them
	for i, run := range runs {
		values[i] = map[string]string{}
		for _, s := range settings(run.Record.Config) {
			values[i][s.Name] = s.Value
			if !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}
	differ := slices.DeleteFunc(names, func(name string) bool {
		differs := func(of map[string]string) bool { return of[name] != values[0][name] }
		return name == "epochs" || !slices.ContainsFunc(values, differs) // epochs stand beside those that are over
	})
	table := [][]string{append(append([]string{"run"}, differ...), "state", "epochs", "train", "validation", "test", "test loss", "seconds")}
	validated := false
	for i, run := range runs {
		row := []string{run.name}
		for _, name := range differ {
			row = append(row, words.Printable(cmp.Or(values[i][name], "–")))
		}
		numbers := []string{"–", "–", "–", "–"}
		if last, ok := run.Last(); ok {
			numbers[0], numbers[2] = words.Percent(last.TrainAccuracy, 2), words.Percent(last.TestAccuracy, 2)
			numbers[3] = fmt.Sprintf("%.4f", last.TestLoss)
			if last.ValidationAccuracy != nil {
				numbers[1], validated = words.Percent(*last.ValidationAccuracy, 2), true
			}
		}
		row = append(row, run.StateText(), fmt.Sprintf("%d/%d", len(run.Record.Epochs), run.Record.Config.Epochs))
		table = append(table, append(append(row, numbers...), fmt.Sprintf("%.1f", run.Record.Seconds)))
	}
	if !validated {
		for i, row := range table {
			table[i] = slices.Delete(row, len(row)-4, len(row)-3)
		}
	}
	return table
}

// Key tells the runs of a page from others, in any order and wherever their folders are: by
// the moments when they began.
func (d *runsDocument) Key() string {
	var all []Run
	for _, s := range d.Sections {
		all = append(all, s.Run)
	}
	return keyOf(all)
}

func keyOf(runs []Run) string {
	var began []string
	for _, run := range runs {
		began = append(began, run.Started.UTC().Format(time.RFC3339Nano))
	}
	slices.Sort(began)
	return strings.Join(began, " ")
}

// ShowsOthers reports whether a folder has a page of something else than these runs.
func ShowsOthers(folder string, runs []Run) bool {
	file, err := regular.Open(filepath.Join(folder, RunsPageFile))
	if err != nil {
		return false
	}
	defer file.Close()
	const most = 4 << 10 // up to the key, which stands at the beginning
	page, err := io.ReadAll(io.LimitReader(file, most))
	return err == nil && !bytes.Contains(page, fmt.Appendf(nil, keyFormat, keyOf(runs)))
}

// keyFormat is how a page has its key.
const keyFormat = `<meta name="epochal-runs" content="%s">`

// Missing are sentences on what the page lacks.
func (r Run) Missing() []string { return r.missing }

// Summary is a sentence on the run.
func (s runSection) Summary() string {
	r := s.Record
	text := fmt.Sprintf("State: %s, %d of %s", s.StateText(), len(r.Epochs), words.Counted(r.Config.Epochs, "epoch"))
	if r.Seconds > 0 {
		text += fmt.Sprintf(" in %.1f s", r.Seconds)
	}
	text += " on " + words.Printable(r.Environment.LastBackend().Name)
	if last, ok := s.Last(); ok {
		text += fmt.Sprintf(". Accuracy: train %s", s.Train)
		if last.ValidationAccuracy != nil {
			text += ", validation " + words.Percent(*last.ValidationAccuracy, 2)
		}
		text += ", test " + s.Test
	}
	return text + "."
}

// Differs are the settings that are not the usual ones.
func (s runSection) Differs() string { return Deviations(s.Record.Config) }

// Epochs are the numbers of all epochs.
func (s runSection) Epochs() []experiments.EpochMetrics { return s.Record.Epochs }
