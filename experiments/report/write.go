package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/report/figures"
	"epochal/experiments/reproduce"

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
func Write(folder string, r reproduce.Results, data *dataset.Dataset) error {
	planned := plannedFigures(r, data)
	if err := drawAll(planned); err != nil {
		return err
	}
	var svgs []Figure
	for _, f := range planned {
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
	for _, f := range planned {
		name := filepath.Join(FiguresFolder, f.file)
		if err := write(name+"."+figures.SVG, f.SVG); err != nil {
			return err
		}
		if err := write(name+"."+figures.PNG, f.png); err != nil {
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
// Its schema is [reproduce.Results], whose fields say what each key holds, and in
// which unit, down to [reproduce.Experiment], [reproduce.RunResult] and
// [reproduce.ClaimResult] with its [published.Judgement]. In short:
//
//	schema                  1; another number where a key changed its meaning
//	command, quick, seeds, backends, environment
//	experiments[]
//	  name, title, why, twin, normalized
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
//	    claim, published, ours, source, expected
//	    judgement           verdict, reason, interval, values, diverged
//
// Accuracies are from 0 to 1 and times in seconds. Times and the environment are all
// that differs when the same command is run again on the same backend.
func JSON(w io.Writer, r reproduce.Results) error {
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
	file    string // in the folder of figures, without its extension
	png     []byte
	drawing figures.Figure
}

// batchCount is how many images the random batch has, at most.
const batchCount = 64

// plannedFigures are all figures that can be drawn of r.
func plannedFigures(r reproduce.Results, data *dataset.Dataset) []plannedFigure {
	var all []plannedFigure
	add := func(kind FigureKind, experiment, file string, drawing figures.Figure) {
		if file != "" {
			file += "-"
		}
		all = append(all, plannedFigure{Figure: Figure{Kind: kind, Experiment: experiment}, file: file + string(kind), drawing: drawing})
	}

	var compared []figures.Compared
	for _, e := range r.Experiments {
		compared = append(compared, comparedOf(e))
	}
	if len(compared) > 0 {
		add(ComparisonFigure, "", "", figures.Comparison("Final test accuracy", compared))
	}

	plain := names(r)
	for _, e := range r.Experiments {
		title := e.Title + ": " + network(e, data)
		if len(e.Records) > 0 {
			add(CurvesFigure, e.Name, plain[e.Name], figures.Curves(title, runsOf(e.Records)))
		}
		if confusion, runs := e.Confusion(); len(confusion) > 0 {
			add(ConfusionFigure, e.Name, plain[e.Name], figures.Confusion(title, confusion, runs))
		}
		run, found := firstFinished(e)
		if !found || run >= len(e.Records) || !slices.Equal(e.Records[run].Environment.Data, data.Files) {
			continue
		}
		if mistakes := mistakesOf(e.Records[run]); len(mistakes) > 0 {
			title := fmt.Sprintf("%s: most confident mistakes, seed %d", e.Title, e.Runs[run].Seed)
			add(MistakesFigure, e.Name, plain[e.Name], figures.Mistakes(title, data.Test, mistakes))
		}
	}

	var seed uint64
	if len(r.Seeds) > 0 {
		seed = r.Seeds[0]
	}
	rows := dataset.Order(seed, 1, data.Train.Len())
	rows = rows[:min(len(rows), batchCount)]
	title := fmt.Sprintf("%s: a random batch of %d training images (seed %d)", data.Name, len(rows), seed)
	add(BatchFigure, "", "", figures.Batch(title, data.Train, rows))
	return all
}

// network is the widths of all layers, "784-512-512-10", or of the hidden ones where
// data is not what the experiment was trained on.
func network(e reproduce.Experiment, data *dataset.Dataset) string {
	widths := e.Config.LayerSizes
	if len(e.Records) > 0 && slices.Equal(e.Records[0].Environment.Data, data.Files) {
		widths = slices.Concat([]int{data.Train.Rows * data.Train.Columns}, widths, []int{data.Classes})
	}
	text := make([]string, len(widths))
	for i, width := range widths {
		text[i] = strconv.Itoa(width)
	}
	return strings.Join(text, "-")
}

func runsOf(records []experiments.Record) []figures.Run {
	runs := make([]figures.Run, len(records))
	for i, record := range records {
		runs[i].Seed = record.Config.Seed
		if record.Diverged != nil {
			runs[i].Diverged = record.Diverged.Epoch
		}
		for _, e := range record.Epochs {
			runs[i].Epochs = append(runs[i].Epochs, figures.Epoch{
				TrainAccuracy: e.TrainAccuracy, TestAccuracy: e.TestAccuracy, TrainLoss: e.TrainLoss, TestLoss: e.TestLoss,
			})
		}
	}
	return runs
}

func mistakesOf(record experiments.Record) []figures.Mistake {
	var all []figures.Mistake
	for _, m := range record.Test.Mistakes {
		all = append(all, figures.Mistake(m))
	}
	return all
}

// comparedOf is an experiment as a line of the figure of all.
func comparedOf(e reproduce.Experiment) figures.Compared {
	c := figures.Compared{Name: e.Name, Mean: e.TestAccuracy.Mean, Seconds: e.Seconds, Kind: "inputs 0 to 1"}
	if e.Normalized {
		c.Kind = "normalized inputs"
	}
	c.Low, c.High = c.Mean, c.Mean
	if e.TestAccuracy.N >= fewestSeeds {
		c.Low, c.High = max(e.TestAccuracy.Low, 0), min(e.TestAccuracy.High, 1)
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

// fewestSeeds is how many seeds an interval needs: that of two seeds is so wide that
// it tells nothing.
const fewestSeeds = 3

// drawAll draws figures, as many side by side as there are cores.
func drawAll(all []plannedFigure) error {
	next := make(chan *plannedFigure)
	errs := make(chan error, len(all))
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(all)) {
		group.Go(func() {
			for figure := range next {
				errs <- figure.drawBoth()
			}
		})
	}
	for i := range all {
		next <- &all[i]
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
	for format, out := range map[string]*bytes.Buffer{figures.SVG: &svg, figures.PNG: &png} {
		if err := f.drawing.Write(out, format); err != nil {
			return fmt.Errorf("report: %s: %w", f.file, err)
		}
	}
	f.SVG, f.png = svg.Bytes(), png.Bytes()
	return nil
}
