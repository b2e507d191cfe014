package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments/report/figures"
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
// figures. It makes the folder if need be, and removes figures of an earlier report
// that this one has none for.
//
// Each file is written whole or not at all, and none before all of them are drawn. It
// is an error if one would replace what is no regular file. The page comes last.
//
// r needs its Records. data is the dataset of the random batch, and of the mistakes of
// those experiments whose first run had the same files; the others have no figure of
// their mistakes.
func Write(folder string, r Results, data *dataset.Dataset) error {
	d, err := newDocument(r, data)
	if err != nil {
		return err
	}
	var numbers, markdown, page bytes.Buffer
	if err := JSON(&numbers, r); err != nil {
		return err
	}
	if err := markdownTemplate.Execute(&markdown, d); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := pageTemplate.Execute(&page, d); err != nil {
		return fmt.Errorf("report: %w", err)
	}

	if err := os.MkdirAll(filepath.Join(folder, FiguresFolder), 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	written := map[string]bool{}
	write := func(content []byte, name ...string) error {
		written[filepath.Join(name...)] = true
		if err := regular.Write(filepath.Join(append([]string{folder}, name...)...), content); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		return nil
	}
	for _, f := range d.figures() {
		if err := write(f.svg, FiguresFolder, f.file+"."+figures.SVG); err != nil {
			return err
		}
		if err := write(f.png, FiguresFolder, f.file+"."+figures.PNG); err != nil {
			return err
		}
	}
	if err := write(numbers.Bytes(), ResultsFile); err != nil {
		return err
	}
	if err := write(markdown.Bytes(), MarkdownFile); err != nil {
		return err
	}
	if err := write(page.Bytes(), PageFile); err != nil {
		return err
	}
	return removeStale(folder, written)
}

// figureFile is what the figures of all reports are called.
var figureFile = regexp.MustCompile(`^(batch|comparison|[a-z0-9-]+-(curves|confusion|mistakes))\.(png|svg)$`)

// removeStale removes the figures of an earlier report from a folder. Files of any
// other name are the user's.
func removeStale(folder string, written map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(folder, FiguresFolder))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, entry := range entries {
		name := filepath.Join(FiguresFolder, entry.Name())
		if !written[name] && entry.Type().IsRegular() && figureFile.MatchString(entry.Name()) {
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				return fmt.Errorf("report: %w", err)
			}
		}
	}
	return nil
}

// Page writes report.html: the results of a reproduction on one page, which needs no
// network, no script and no other file, on a phone, on paper, light or dark.
//
// It needs of r what results.json holds. Figures are drawn of its Records and of data,
// as [Write] does; there are none if data is nil.
func Page(w io.Writer, r Results, data *dataset.Dataset) error {
	d, err := newDocument(r, data)
	if err != nil {
		return err
	}
	var page bytes.Buffer // so that the writer gets nothing where the template fails
	if err := pageTemplate.Execute(&page, d); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(page.Bytes())
	return err
}

//go:embed document.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

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
func JSON(w io.Writer, r Results) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
