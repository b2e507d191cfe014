// Package report draws the figures of experiments, as PNG or SVG.
//
// [Batch] draws images with their labels, as the post shows a random batch.
// [FormatOf] tells the format from the name that a figure's file is to have.
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
// What is drawn is checked first, and nothing is written before all of it is
// drawn: where an error is returned, the writer got nothing, unless it is the
// writer's own error.
//
// # What it does not do
//
// It knows no terminals, flags or file systems, trains nothing and draws no
// random numbers: which rows are shown is the caller's choice.
//
// # Neighbours
//
// It imports dataset, and experiments once there are figures of runs. The
// command imports it.
package report
