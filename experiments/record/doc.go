// Package record keeps the record of a run in its run folder:
//
//	config.json        the Config, enough to repeat the run
//	environment.json   what it ran on, when it was resumed, and its [Identity]
//	metrics.jsonl      a line for every reported step and every epoch, and why it ended early
//	checkpoints/       weights and a position, from which a run that stopped continues
//	evaluation.json    the test set after the last epoch
//	model.safetensors  the weights after the last epoch; a folder that has it is complete
//	.lock              held by the process that writes
//	.claim             in its place where the file system has no locks
//
// [Create] prepares a new folder and [Open] takes that of a run that stopped. Both
// return a [Run], which says where the run stands, so that whoever trains need not
// know which of the two it was. [Read] reads the record of a run that ended, and [List]
// summarizes all runs in a folder.
//
// Every file is written whole or not at all, and whenever the process is killed,
// the next one continues to the same bytes. Everything in a file that others index
// by is checked once, here, when it is read: anybody could have written the file.
//
// The package trains nothing (package train does) and prints nothing.
package record
