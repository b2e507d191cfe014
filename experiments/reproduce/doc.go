// Package reproduce runs named experiments over several seeds and judges their
// claims.
//
// [Run] does what is missing: in its results folder each (config, seed) is one
// run folder, made aside and renamed when it is complete, so that an interrupted
// reproduction goes on where it stopped and a finished one answers at once.
// What comes out is [Results], which results.json holds.
//
// The package draws and prints nothing (experiments/report and cmd/epochal do).
// The experiments and the verdicts are experiments/published's, the runs
// themselves package experiments'.
package reproduce
