package report

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/report/figures"
	"epochal/experiments/report/words"
)

// The files that [Write] makes in a results folder.
const (
	ResultsFile   = "results.json" // all numbers, for programs; its schema is [Results]
	MarkdownFile  = "results.md"   // verdicts, twins with normalized inputs, and settings
	PageFile      = "report.html"
	FiguresFolder = "figures"
)

// Write writes the report of a reproduction into its results folder: results.json,
// results.md, report.html, and the figures of the page, each as PNG and as SVG, in
// figures. It makes the folder if need be, and removes figures of an earlier report
// that this one does not have.
//
// The page needs no network, no script and no other file, and suits a phone, paper, and
// light and dark themes.
//
// Each file is written whole or not at all, and none before all of them are drawn. If
// one would replace something that is not a regular file, none is written. The page comes last.
//
// r needs its Records for the figures. data is the dataset of the random batch, and of
// the mistakes of those experiments whose first run had the same files; the others have
// no figure of their mistakes. Without data there are no figures.
func Write(folder string, r Results, data *dataset.Dataset) error {
	d, err := newDocument(r, data)
	if err == nil {
		err = d.write(folder)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// file is one of a results folder.
type file struct {
	name    string
	content []byte
}

func (d *document) write(folder string) error {
	var markdown, page bytes.Buffer
	numbers, err := json.MarshalIndent(d.Results, "", "  ")
	if err := errors.Join(err, markdownTemplate.Execute(&markdown, d), pageTemplate.Execute(&page, d)); err != nil {
		return err
	}
	return writeFiles(folder, d.figures(), figureFile,
		file{ResultsFile, append(numbers, '\n')}, file{MarkdownFile, markdown.Bytes()}, file{PageFile, page.Bytes()})
}

// writeFiles writes figures and then other files into a folder, if all of them can be
// written, and removes the figures of earlier ones, whose names match stale.
func writeFiles(folder string, all []*figure, stale *regexp.Regexp, others ...file) error {
	var files []file
	for _, f := range all {
		name := filepath.Join(FiguresFolder, f.file)
		files = append(files, file{name + "." + figures.SVG, f.svg}, file{name + "." + figures.PNG, f.png})
	}
	files = append(files, others...)
	if err := os.MkdirAll(filepath.Join(folder, FiguresFolder), 0o755); err != nil {
		return err
	}
	for _, f := range files {
		if err := regular.CanWrite(filepath.Join(folder, f.name)); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := regular.Write(filepath.Join(folder, f.name), f.content); err != nil {
			return err
		}
	}
	return removeStale(folder, files, stale)
}

// figureFile is what the figures of all reports are called.
var figureFile = regexp.MustCompile(`^(answer|batch|comparison|[a-z0-9-]+-(curves|confusion|mistakes))\.(png|svg)$`)

// removeStale removes the figures that match stale and are not among the files written.
// Files of any other name are the user's.
func removeStale(folder string, written []file, stale *regexp.Regexp) error {
	entries, err := os.ReadDir(filepath.Join(folder, FiguresFolder))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := filepath.Join(FiguresFolder, entry.Name())
		current := slices.ContainsFunc(written, func(f file) bool { return f.name == name })
		if !current && entry.Type().IsRegular() && stale.MatchString(entry.Name()) {
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

//go:embed document.html runs.html sweep.html parts.html
var pages embed.FS

// newPage is the template of a page, with the parts that all pages have.
func newPage(name string) *template.Template {
	return template.Must(template.New(name).Funcs(functions).ParseFS(pages, name, "parts.html"))
}

var pageTemplate = newPage("document.html")

var functions = template.FuncMap{
	"base":     filepath.Base, // the folder of a plugin may reveal a user's name
	"diverged": divergedText,
	"final":    finalText,
	"last":     func(all []experiments.EpochMetrics) experiments.EpochMetrics { return all[len(all)-1] },
	"loss":     func(loss float64) string { return fmt.Sprintf("%.4f", loss) },
	"percent":  func(share float64) string { return words.Percent(share, 2) },
	"points":   pointsText,
	"slash":    filepath.ToSlash,
}
