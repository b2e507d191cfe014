// Package report writes the report of a reproduction, and what a benchmark found.
//
// [Write] makes the whole report in a results folder: a page and the same in short as
// Markdown, which are two templates of one document, the figures, and all numbers for
// programs.
//
// What a benchmark found is written by [BenchTable] for people, by [BenchJSON] for
// programs, by [BenchGo] for benchstat, and drawn by [BenchFigure].
//
// # Stance
//
// The report shows all experiments and all seeds that the results have. It is a
// function of its arguments: equal results give equal bytes, but for the seconds and
// the environment that they tell. Words of the post are said of the post's
// experiments alone: the page of an experiment of one's own has its own title.
//
// # What it does not do
//
// It knows no terminals or flags, trains nothing, judges nothing, and checks no results: they
// were made by this program or checked when they were read. Only [Write] knows files.
//
// # Neighbours
//
// Figures are drawn by figures and sentences written with words, below this package.
// It imports dataset, experiments, and the packages whose results it shows. The
// command imports it.
package report
