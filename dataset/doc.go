// Package dataset holds labelled images and the order in which training visits them.
//
// It carries MNIST, recognizes and reads the forms in which people have such sets (see
// [Open]), knows some by their content, holds out a validation part, shuffles each epoch
// from an explicit seed, and cuts an order into batches.
//
// # Where to start
//
// [Read] gives a [Dataset] by its name: [MNIST], or a path. [Open] gives its
// shape and what is suspicious about it, and decodes its pixels when Wait is called, which may be while
// a program compiles. [Order] and [Batches] say which images each training step sees.
//
// # Stance
//
// A data file is hostile input until every field of it has been checked: a
// file that differs from its header in any way is refused, with an error that
// names the file, the field, what was found and what was expected. No memory
// is spent on what a header claims before the file has delivered it.
//
// Images stay bytes, one channel, 0 to 255. Scaling and normalizing them is
// arithmetic of the model, which does it on its device.
//
// # What it does not do
//
// It knows nothing of tensors, devices or run folders, and of flags only the names, for its
// advice. It downloads nothing, writes only datasets, and takes no time or randomness that was not passed in.
//
// # Neighbours
//
// Of this project it imports only its own subpackage regular. Packages model,
// experiments and the command import it.
package dataset
