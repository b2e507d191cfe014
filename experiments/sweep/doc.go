// Package sweep looks for good settings: it makes the runs of a [Plan], which are all
// combinations of lists of values and a number of random draws, each with several seeds,
// and ranks the settings by the validation split. It never ranks by the test set.
//
//   - a [Plan] is a YAML file ([Parse]) or made from flags; [Plan.Settings] are its settings;
//   - [Run] makes what is missing, or one shard of it, and returns [Results], results.json;
//   - [Estimate] says how long that will take;
//   - [Export] writes the winner as an experiment that package published can run.
//
// # Stopping bad settings early
//
// A decision that depends on which run ended first would differ from one machine to
// another. So decisions are made at rungs, which are epochs: every run that is still in
// the race is trained up to the rung, and only when the records of all of them are there,
// wherever they were made, is it decided which settings go on. The decision is a function
// of the plan and of the metrics at the rungs, so it is the same on any number of machines,
// after any interruption, and when the plan has grown and is made again: then settings that
// were stopped may go on, from where they stopped, and those that went further than they
// should are ranked by what they had at their rung. A shard that has made its runs of a rung
// ends; it is called again when the others have made theirs.
//
// # What is compared
//
// The test set is evaluated after every epoch as train does, but these numbers are read for
// the winner alone, when all runs are there. The ranking, the tables and the figures know
// the validation split only.
//
// Runs are made by package study. The package draws and prints nothing.
package sweep
