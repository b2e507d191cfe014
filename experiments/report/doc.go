// Package report writes the report of a reproduction, the page of any runs, and what a
// benchmark found.
//
// [Write] makes the whole report in a results folder: a page and the same in short as
// Markdown, which are two templates of one document, the figures, and all numbers for
// programs.
//
// [WriteRuns] makes a page of single runs in the same way, which [ReadRuns] reads from
// their folders.
//
// [WriteSweep] makes the report of a sweep in its folder: the ranking as a page, as Markdown
// and for spreadsheets, and its figures.
//
// What a benchmark found is written by [BenchTable] for people, by [BenchJSON] for
// programs, by [BenchGo] for benchstat, and drawn by [BenchFigure].
//
// # Stance
//
// The report shows all experiments and all seeds that the results have. It is a
// function of its arguments: equal results give equal bytes, except for the seconds and
// the environment in them. What is said of the post is said of the post's experiments
// only: the page of a user's own experiment has its own title.
//
// # What it does not do
//
// It knows nothing of terminals or flags, trains nothing, judges nothing, and checks no
// results: they were made by this program or checked when they were read. Only [Write],
// [WriteSweep], [ReadRuns] and [WriteRuns] touch files.
//
// # Neighbours
//
// Package figures draws the figures and package words writes numbers and text; both are
// below this package.
// It imports dataset, experiments, and the packages whose results it shows. The
// command imports it.
package report
