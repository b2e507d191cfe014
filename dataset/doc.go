// Package dataset holds labelled images and the order in which training visits them.
//
// It reads IDX files (the format of MNIST), carries MNIST itself, opens any
// folder that has the four files of such a set, holds out a validation part,
// shuffles each epoch from an explicit seed, and cuts an order into batches.
//
// # Where to start
//
// [Read] gives a [Dataset] by its name: [MNIST], or a folder. [Open] gives its
// shape immediately and decodes its pixels when Wait is called, which may be while
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
// It knows nothing of tensors, devices, flags or run folders. It downloads
// nothing, writes nothing, and takes no time or randomness that was not passed in.
//
// # Neighbours
//
// Of this project it imports only its own subpackage regular. Packages model,
// experiments and the command import it.
package dataset
