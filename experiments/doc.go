// Package experiments has the vocabulary of an experiment: what goes in, what a
// run reports while it happens, and what comes out.
//
//   - [Config] is everything that decides a run, [Defaults] the post's first
//     attempt; [Config.Validate] reports what is impossible in it as [Problems];
//   - an [Observer] is told [Event] after [Event];
//   - [StepMetrics], [EpochMetrics], [StoppedMetrics] and [DivergedMetrics] are the
//     lines of metrics.jsonl, [Result] is the outcome.
//
// It opens no file and no device. Its neighbours do: record keeps a run folder,
// train trains one config, trained opens what came out, evaluate measures it, onnx
// writes it for other programs and picture prepares what it is shown, published has the post's experiments and claims, sweep
// looks for good settings, study makes the runs of both, strict reads their files, bench
// measures, report draws and writes pages.
package experiments
