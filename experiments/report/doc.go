// Package report draws the figures of experiments, as PNG or SVG, and writes the
// report of a reproduction.
//
// [Write] makes the whole report in a results folder: the page, by [Page], the
// same in short as Markdown, by [Markdown], all numbers for programs, by [JSON],
// and the figures.
//
// [Batch] draws images with their labels, as the post shows a random batch.
// [Curves] draws accuracy and loss over the epochs of runs, [Confusion] which
// classes were taken for which, [Mistakes] the images that were taken for another
// class with the most confidence, and [Comparison] several experiments in one figure.
// [FormatOf] tells the format from the name that a figure's file is to have.
//
// What a benchmark found is written by [BenchTable] for people, by [BenchJSON] and
// [BenchCSV] for programs, by [BenchGo] for benchstat, and drawn by [BenchFigure].
// [ReadBench] reads the JSON again, and [BenchCompare] compares two.
//
// # Stance
//
// A figure is a function of its arguments: equal input gives equal bytes, on
// every call. So a figure can be compared, checked in, and drawn again from a
// run folder.
//
// A figure is readable at a width of 800 pixels, the column of a web page. A
// PNG has two dots for each of them, for screens and printers that show more.
// Text is Liberation Sans. Its outlines are part of this program for PNG, while
// an SVG names it and the fonts of the same widths that other systems have.
//
// Colours are told apart by colour-blind readers, and what they tell is told by
// dashes, forms or labels too, for print in grey.
//
// What is drawn is checked first, and nothing is written before all of it is
// drawn: where an error is returned, the writer got nothing, unless it is the
// writer's own error.
//
// # What it does not do
//
// It knows no terminals or flags, trains nothing and draws no random numbers. Only
// [Write] knows files, and chooses what is shown; elsewhere that is the caller's
// choice.
//
// # Neighbours
//
// It imports dataset, experiments, and experiments/published and experiments/bench,
// whose results it shows. The command imports it.
package report
