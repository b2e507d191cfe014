// Package train trains one [experiments.Config].
//
// How a config gets from the flags to the graph: The command fills it from flags,
// and [Run] validates it and asks package record where the run stands. The config's
// Data says which images are read, and their size and classes make its layer sizes a
// [model.Architecture]. Its Init, its Seed or the newest checkpoint gives the weights. Its
// Backend is opened, or is the caller's [Device]; there the architecture and BatchSize
// become two compiled programs, and the sets become resident images. From then on
// every step is one call of the first program, with LearningRate and the epoch's
// order, which comes from Seed, as its inputs; every evaluation is one of the second.
//
// The loop is the post's: for each epoch train, evaluate, report. It begins where the
// record says that the run stands, so a resumed run is no special case.
//
// The package knows nothing of flags and terminals (cmd/epochal does), of the files of
// a run (record does) or of graphs (model does).
package train
