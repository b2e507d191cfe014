// Package study makes the records of a list of runs: [Do] runs what its folder
// does not hold yet, several runs side by side, and returns all records.
//
// A run is known by its identity ([record.Identity]: config with seed, data,
// initial weights), which its environment.json holds. So none is ever run twice,
// whoever asks for it and under whatever name; interrupted runs continue, and a
// list that grew, or was split into parts, runs only what is missing.
//
//	runs/<name>-seed<n>/   a run folder that is complete, or has the epochs that it was to have so far;
//	                       named after the first that needed it
//	runs/.partial-<hash>/  a run that is under way, or was when its process ended
//	.lock                  held by the process that makes all runs
//	.lock-<i>-of-<n>       held by the process that makes one shard of them
//
// Several processes, on one machine or on many that share the folder, each make a
// [Shard]: which runs it has depends on their identities and the number of shards alone.
// [Merge] copies the runs of other folders, where they share none.
//
// What a run of n epochs with a checkpoint after each costs the file system: 6 files in the
// end, 3n+9 times fsync, n+4 files that are written under another name and renamed, as is
// the folder, and a line appended to metrics.jsonl for every 100 steps and every epoch. What
// is there already costs a reading of its environment.json, config.json, metrics.jsonl and
// evaluation.json.
//
// Where a name is taken by another run, of other settings or data, the new run's
// name ends in the first 12 digits of its identity as well, and both are kept.
// Folders without an identity, such as those that older versions made, are left alone.
//
// The package takes any experiments; it judges and prints nothing. Package train
// makes a single run, and package record keeps what its folder holds. Package
// published reproduces the post's experiments with it, and package sweep looks for good settings.
package study
