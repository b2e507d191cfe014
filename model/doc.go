// Package model is the post's network as a GoMLX computation graph: a fully
// connected stack, softmax cross-entropy and plain SGD, compiled once and run
// on whatever backend was opened.
//
// A [Topology] says what the network looks like, [Weights] are its parameters
// on the host, and a [Network] is both on a device, with two compiled programs:
//
//   - training runs any number of SGD steps in one call ([Network.Train]);
//   - evaluation runs a section of the data in large chunks ([Network.Evaluate]).
//
// The data lives on the device as bytes ([Images]); rows are gathered,
// converted and normalized inside the compiled step.
//
// The package knows nothing of flags, terminals, run folders or the order of an
// epoch: package experiments decides what to run, package dataset supplies
// images and orders, package model/backend opens devices.
//
// Graph building in GoMLX panics on misuse; every exported function here
// recovers at its own border and returns an error instead.
package model
