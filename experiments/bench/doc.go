// Package bench measures training and evaluation on every backend, so that one
// can decide between them on evidence.
//
// A [Cell] is one place of the grid: a backend, a network, a batch size, and how
// the steps are dispatched. Each cell is measured once per round in a process of
// its own, and the cells take turns, so that a machine whose speed drifts drifts
// for all of them alike. [Results] are all the rounds; [Summarize] and [Differ]
// say what they mean.
//
// [Run] plans the rounds and starts the processes, each of which is [Serve]. A
// process that crashes, hangs or answers rubbish is a row with its reason. The
// peers, the same work in Python, run from the programs in the folder peers.
//
// Every measured phase ends by reading a result from the device that depends on
// the work, so that the work is inside the time.
//
// It prints nothing and knows no flags. Neighbours: package experiments opens
// the devices, package report draws and writes results, cmd/epochal runs it.
package bench
