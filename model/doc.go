// Package model is the post's network as a GoMLX computation graph: a fully
// connected stack, softmax cross-entropy and plain SGD, compiled once and run
// on whatever backend was opened.
//
// An [Architecture] declares a network's parameters and builds its logits; the
// post's is [FullyConnected]. [Weights] are the parameters on the host, and a
// [Network] is all of it on a device, with two compiled programs:
//
//   - training runs any number of SGD steps in one call ([Epoch.Train]);
//   - evaluation runs a set of images in large chunks ([Network.Evaluate]).
//
// A [Description] is what it takes to use weights: [WriteModel] keeps it in their file,
// [ReadModel] reads both, also from files of PyTorch's without it. [Forward] classifies
// one image at a time in plain Go, without a device.
//
// The data lives on the device as bytes ([Images]); rows are gathered,
// converted and normalized inside the compiled step. A [Roofline] measures how
// long a step's matrix products take alone.
//
// The package knows nothing of flags, terminals, run folders or the order of an
// epoch: package experiments decides what to run, package dataset supplies
// images and orders, package model/backend opens devices. It trusts what the
// program made, and validates files and whatever [Architecture.Validate] is called on.
//
// Graph building in GoMLX panics on misuse; the functions here that build or run
// a graph recover at their own boundary and return an error instead.
package model
