package experiments

import (
	"fmt"

	"epochal/model/backend"
)

// ReportEvery is how many steps lie between two reported losses, as in the post.
const ReportEvery = 100

// StepMetrics is a line of metrics.jsonl: the loss of every ReportEvery-th step.
type StepMetrics struct {
	Event   string  `json:"event"`   // "step"
	Epoch   int     `json:"epoch"`   // from 1
	Step    int     `json:"step"`    // in the epoch, from 0
	Samples int     `json:"samples"` // images of this epoch seen, this step's included
	Loss    float32 `json:"loss"`    // mean over the batch, before its update
}

// EpochMetrics is a line of metrics.jsonl: every set after an epoch. Losses are
// means over batches of batch means, accuracies fractions from 0 to 1.
type EpochMetrics struct {
	Event              string   `json:"event"` // "epoch"
	Epoch              int      `json:"epoch"` // from 1
	TrainLoss          float64  `json:"train_loss"`
	TrainAccuracy      float64  `json:"train_accuracy"`
	ValidationLoss     *float64 `json:"validation_loss,omitempty"` // only with a validation split
	ValidationAccuracy *float64 `json:"validation_accuracy,omitempty"`
	TestLoss           float64  `json:"test_loss"`
	TestAccuracy       float64  `json:"test_accuracy"`
	TrainSeconds       float64  `json:"train_seconds"`
	EvalSeconds        float64  `json:"eval_seconds"` // of the evaluation, in which nothing trained
}

// SelectionLoss is the loss by which the best epoch is chosen: the validation
// set's if there is one, else the train set's; never the test set's.
func (m EpochMetrics) SelectionLoss() float64 {
	if m.ValidationLoss != nil {
		return *m.ValidationLoss
	}
	return m.TrainLoss
}

// DivergedMetrics is the last line of metrics.jsonl of a run whose loss stopped
// being a finite number.
type DivergedMetrics struct {
	Event string `json:"event"` // "diverged"
	Epoch int    `json:"epoch"` // from 1
	Step  int    `json:"step"`  // in the epoch, from 0; -1 in an evaluation
	Loss  string `json:"loss"`  // NaN, +Inf or -Inf, which JSON has no numbers for
}

// Why a run ended before it had all its epochs.
const (
	StoppedByPatience = "patience" // for good: see Config.Patience
	StoppedByTime     = "max_time" // and can be resumed
	StoppedByRung     = "rung"     // and can be resumed: it was to be compared with others after this epoch
)

// StoppedMetrics is the last line of metrics.jsonl of a run that ended by itself before
// it had all its epochs. A run that continues removes it.
type StoppedMetrics struct {
	Event  string `json:"event"`  // "stopped"
	Epoch  int    `json:"epoch"`  // that comes next, from 1
	Step   int    `json:"step"`   // that comes next, from 0
	Reason string `json:"reason"` // StoppedByPatience, StoppedByTime or StoppedByRung
}

// Diverged is the error of a training whose loss is no longer a finite number.
type Diverged struct {
	Epoch int     // from 1
	Step  int     // from 0, as in metrics.jsonl; -1 when the loss of an evaluation is not finite
	Loss  float64 // NaN or infinite
}

// Error names the epoch, the step and the loss.
func (d Diverged) Error() string {
	where := fmt.Sprintf("step %d of epoch %d", d.Step, d.Epoch)
	if d.Step < 0 {
		where = fmt.Sprintf("the evaluation after epoch %d", d.Epoch)
	}
	return fmt.Sprintf("training diverged: the loss is %v at %s, expected a finite number", d.Loss, where)
}

// Metrics is the line of metrics.jsonl that ends the record of the run.
func (d Diverged) Metrics() DivergedMetrics {
	return DivergedMetrics{Event: "diverged", Epoch: d.Epoch, Step: d.Step, Loss: fmt.Sprint(d.Loss)}
}

// Hint says what usually helps.
func (d Diverged) Hint() string { return "a lower learning rate usually keeps the loss finite" }

// Result is the outcome of a finished run.
type Result struct {
	Final     EpochMetrics // of the last epoch
	Confusion [][]int      // of the test set after the last epoch: [label][predicted]
	Backend   backend.Info
	Folder    string // the run folder, "" for none
	BestEpoch int    // the epoch of best.safetensors where the best is kept, else 0

	OpenSeconds     float64 // opening the backend, installing its plugin included
	CompileSeconds  float64 // both programs; the pixels are decoded and copied to the device meanwhile
	WaitSeconds     float64 // for pixels that were not there yet when the programs were compiled
	TrainSeconds    float64 // all epochs
	EvaluateSeconds float64 // all epochs, all sets
	Images          int     // trained on, all epochs; 0 for a run that had already ended
}

// ImagesPerSecond is the training throughput, compilation and evaluation left out.
func (r Result) ImagesPerSecond() float64 { return float64(r.Images) / r.TrainSeconds }
