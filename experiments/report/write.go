package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"epochal/dataset"
	"epochal/experiments/published"

	"github.com/google/renameio/v2"
)

// The files that [Write] makes in a results folder.
const (
	ResultsFile   = "results.json"
	MarkdownFile  = "results.md"
	PageFile      = "report.html"
	FiguresFolder = "figures"
)

// Write writes the report of a reproduction into its results folder: results.json,
// results.md, report.html, and the figures of the page, each as PNG and as SVG, in
// figures. It makes the folder if need be.
//
// Each file is written whole or not at all, and none before all of them are drawn:
// where a figure cannot be drawn, or the folder is none, nothing is left behind. The
// page comes last. Files of an earlier report that this one has none for stay.
//
// r needs its Records. data is the dataset of the random batch, and of the mistakes of
// those experiments whose first run had the same files; the others have no figure of
// their mistakes.
func Write(folder string, r published.Results, data *dataset.Dataset) error {
	figures := plannedFigures(r, data)
	if err := drawAll(figures); err != nil {
		return err
	}
	var svgs []Figure
	for _, f := range figures {
		svgs = append(svgs, f.Figure)
	}
	var results, markdown, page bytes.Buffer
	if err := JSON(&results, r); err != nil {
		return err
	}
	if err := Markdown(&markdown, r); err != nil {
		return err
	}
	if err := Page(&page, r, svgs...); err != nil {
		return err
	}

	if err := os.MkdirAll(filepath.Join(folder, FiguresFolder), 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	write := func(name string, text []byte) error {
		if err := renameio.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		return nil
	}
	for _, f := range figures {
		name := filepath.Join(FiguresFolder, f.file)
		if err := write(name+"."+SVG, f.SVG); err != nil {
			return err
		}
		if err := write(name+"."+PNG, f.png); err != nil {
			return err
		}
	}
	if err := write(ResultsFile, results.Bytes()); err != nil {
		return err
	}
	if err := write(MarkdownFile, markdown.Bytes()); err != nil {
		return err
	}
	return write(PageFile, page.Bytes())
}

// JSON writes results.json: r, indented, equal bytes for equal results.
//
// Its schema is [published.Results], whose fields say what each key holds, and in
// which unit, down to [published.ExperimentResult], [published.RunResult] and
// [published.ClaimResult] with its [published.Judgement]. In short:
//
//	schema                  2; another number where a key changed its meaning
//	command, quick, seeds, backends, environment
//	experiments[]
//	  name, title, why, twin, normalized, own, command
//	  config                as config.json of a run folder
//	  runs[]                one for each seed
//	    seed, folder, seconds
//	    diverged            only if the loss stopped being finite: epoch, step, loss
//	    epochs[]            train and test loss and accuracy, seconds
//	    confusion           [label][predicted], images of the test set
//	  diverged              number of such runs
//	  train_accuracy, test_accuracy
//	                        interval: n, mean, low, high, deviation
//	  seconds               mean of a run
//	  claims[]
//	    claim, published, ours, kind, value, tolerance, source, expected
//	    judgement           verdict, reason, interval, values, never, diverged
//
// Accuracies are from 0 to 1 and times in seconds. Times and the environment are all
// that differs when the same command is run again on the same backend.
func JSON(w io.Writer, r published.Results) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// plannedFigure is a figure of the report, drawn or still to be drawn.
type plannedFigure struct {
	Figure
	file string // in the folder of figures, without its extension
	png  []byte
	draw func(w io.Writer, format string) error
}

// Limits on the figures of a report.
const (
	batchCount  = 64  // images of the random batch, at most
	titleLength = 200 // characters of a title that come from an experiment, at most
)

// plannedFigures are all figures that can be drawn of r.
func plannedFigures(r published.Results, data *dataset.Dataset) []plannedFigure {
	var all []plannedFigure
	add := func(kind FigureKind, experiment, file string, draw func(w io.Writer, format string) error) {
		if file != "" {
			file += "-"
		}
		all = append(all, plannedFigure{Figure: Figure{Kind: kind, Experiment: experiment}, file: file + string(kind), draw: draw})
	}

	var compared []Compared
	for _, e := range r.Experiments {
		compared = append(compared, comparedOf(e))
	}
	if len(compared) > 0 && len(compared) <= MaxCompared {
		add(ComparisonFigure, "", "", func(w io.Writer, format string) error {
			return Comparison(w, format, "Final test accuracy", compared)
		})
	}

	plain := names(r)
	for _, e := range r.Experiments {
		records := e.Records[:min(len(e.Records), MaxRuns)]
		title := shortened(e.Title)
		if len(records) > 0 {
			add(CurvesFigure, e.Name, plain[e.Name], func(w io.Writer, format string) error {
				return Curves(w, format, title, records)
			})
		}
		if confusion, runs := e.Confusion(); len(confusion) > 0 {
			add(ConfusionFigure, e.Name, plain[e.Name], func(w io.Writer, format string) error {
				return Confusion(w, format, title, confusion, runs)
			})
		}
		run, found := firstFinished(e)
		if !found || run >= len(e.Records) || !slices.Equal(e.Records[run].Environment.Data, data.Files) {
			continue
		}
		if mistakes := e.Records[run].Test.Mistakes; len(mistakes) > 0 {
			title := fmt.Sprintf("%s: most confident mistakes, seed %d", title, e.Runs[run].Seed)
			add(MistakesFigure, e.Name, plain[e.Name], func(w io.Writer, format string) error {
				return Mistakes(w, format, title, data.Test, mistakes)
			})
		}
	}

	var seed uint64
	if len(r.Seeds) > 0 {
		seed = r.Seeds[0]
	}
	rows := dataset.Order(seed, 1, data.Train.Len())
	rows = rows[:min(len(rows), batchCount)]
	add(BatchFigure, "", "", func(w io.Writer, format string) error {
		return Batch(w, format, data.Train, rows, fmt.Sprintf("%s: a random batch of %d training images (seed %d)", shortened(data.Name), len(rows), seed))
	})
	return all
}

// comparedOf is an experiment as a line of the figure of all.
func comparedOf(e published.ExperimentResult) Compared {
	c := Compared{
		Name: shortened(e.Name), Low: math.NaN(), Mean: e.TestAccuracy.Mean, High: math.NaN(),
		Seconds: e.Seconds, Values: []float64{},
	}
	if e.TestAccuracy.Known() {
		c.Low, c.High = e.TestAccuracy.Low, e.TestAccuracy.High
	}
	for _, run := range e.Runs {
		if finished(run) {
			c.Values = append(c.Values, run.Epochs[len(run.Epochs)-1].TestAccuracy)
		}
	}
	if e.Diverged > 0 {
		c.Note = fmt.Sprintf("%d of %d diverged", e.Diverged, len(e.Runs))
	}
	return c
}

// shortened cuts a text that a user wrote to what a figure has room for.
func shortened(text string) string {
	if characters := []rune(text); len(characters) > titleLength {
		return string(characters[:titleLength-1]) + "…"
	}
	return text
}

// drawAll draws figures, as many side by side as there are cores.
func drawAll(figures []plannedFigure) error {
	next := make(chan *plannedFigure)
	errs := make(chan error, len(figures))
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(figures)) {
		group.Go(func() {
			for figure := range next {
				errs <- figure.drawBoth()
			}
		})
	}
	for i := range figures {
		next <- &figures[i]
	}
	close(next)
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// drawBoth draws a figure in both formats.
func (f *plannedFigure) drawBoth() error {
	var svg, png bytes.Buffer
	for format, out := range map[string]*bytes.Buffer{SVG: &svg, PNG: &png} {
		if err := f.draw(out, format); err != nil {
			if f.Experiment != "" {
				return fmt.Errorf("report: %s of %s: %w", f.Kind, f.Experiment, err)
			}
			return fmt.Errorf("report: %s: %w", f.Kind, err)
		}
	}
	f.SVG, f.png = svg.Bytes(), png.Bytes()
	return nil
}
