// Package figures draws training runs, evaluations and measurements with
// gonum/plot, as SVG or PNG: [Curves], [Together], [Confusion], [Batch], [Mistakes],
// [Weights], [Comparison] and [Throughput] each return a [Figure].
//
// Nothing is left out silently: where there is more than a figure can show (cells
// without room for numbers, epochs below the axis), the note under it says so.
// Equal input gives equal bytes, so that a figure can be compared, checked in, and
// drawn again from a run folder.
//
// Names of classes can be anything: they are shortened to the room that there is, and a
// name with a character that the font lacks is replaced by the number of its class, which the
// note says.
//
// Figures are at most 720 points wide and their text is 12 points (shares in cells and the
// names of many classes 10), which is legible where a page shows them 640 pixels wide or more. A PNG has
// two dots per point. Colour-blind readers can tell the colours apart, and what colours
// show is also shown by dashes, shapes or labels, for print in grey.
//
// It checks nothing: its callers hand it what they trained, measured or read with
// checks. It knows nothing of files, runs or results, only the plain inputs that its functions
// take, so that any command can draw.
package figures
