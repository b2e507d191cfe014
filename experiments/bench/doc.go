// Package bench measures training and evaluation on every backend, so that one
// can choose between them on evidence.
//
// A [Cell] is one place of a grid: a backend, a network, a batch size, and how the
// steps are dispatched. Each cell is measured once per round in a process of its
// own, and the cells take turns, so that a drift in the machine's speed affects
// all of them alike. [Results] hold all rounds; [Summarize] and [Differ] say what
// repeated measurements mean, and [Agreements], [Crossovers], [AllStepTimes],
// [Utilize] and [PeerResult.Ratios] draw the conclusions.
//
// [Run] plans the rounds and starts the processes, each of which runs [Serve]. A
// process that crashes, hangs or returns rubbish becomes a row with the reason.
// The peers, the same work in Python, run from the programs in the folder peers.
//
// Every measured phase ends by reading a result from the device that depends on
// the work, so that the work is inside the measured time.
//
// It prints nothing and knows no flags. Neighbours: package model runs the steps,
// package train installs plugins, package report writes the results with its words,
// and cmd/epochal starts it all.
package bench
