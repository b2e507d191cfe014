// Package tensorboard writes a run for TensorBoard: [Observer] is told the events of a run
// and keeps event files beside its metrics.jsonl.
//
//	events.out.tfevents.*             step_loss by step, the settings, how the run ended
//	train/events.out.tfevents.*       accuracy and loss by epoch
//	validation/events.out.tfevents.*  the same, with a validation split
//	test/events.out.tfevents.*        the same, and the confusion matrix and mistakes as images
//
// TensorBoard takes each folder for a run of its own and draws what has one tag in one
// chart, so train and test lie over each other, as Keras has it. The settings belong to
// the run folder as a session of the HPARAMS tab, which finds accuracy and loss in the
// folders below it. There is no experiment summary: TensorBoard would take that of one
// run for all, while without one it finds out itself which settings differ.
//
// A run that continues begins new files, whose first event tells TensorBoard to forget
// what the old ones have from that step or epoch on.
//
// Nothing reads these files but TensorBoard, so what goes wrong with them is a warning
// and never ends the run.
package tensorboard
