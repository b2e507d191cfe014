package experiments

import (
	"time"

	"epochal/model"
	"epochal/model/backend"
)

// Event is what a run tells its observer: one of the types below.
type Event interface{ event() }

// Observer is told every event, in order and one at a time, while the run waits.
type Observer func(Event)

// PluginProgress says how far the installation of a backend's plugin is.
type PluginProgress struct{ backend.Progress }

// Warning is something that the user should know and that does not stop the run.
type Warning struct{ Text string }

// RunStarted comes when everything is ready and the first epoch begins.
type RunStarted struct {
	Config   Config
	Topology model.FullyConnected
	Backend  backend.Info
	Train    int    // images
	Test     int    // images
	Folder   string // the run folder, "" for none
	Resumed  bool   // the run goes on where it ended early
	At       Position
}

// AlreadyEnded comes instead of everything else if a run that was to be resumed
// had come to its end.
type AlreadyEnded struct{ Result Result }

// EpochStarted comes before the first step of an epoch, or before the first that
// a resumed run does of it.
type EpochStarted struct{ Epoch int } // from 1

// StepsDone comes after every call of the device, with the losses of its steps.
type StepsDone struct {
	Epoch   int       // from 1
	First   int       // number of the first of these steps in the epoch, from 0
	Losses  []float32 // of each step, before its update
	Samples int       // images of this epoch seen so far
	Count   int       // images in an epoch

	// Trained is the training time of the whole run so far, evaluation left out,
	// and Images what was trained on in it.
	Trained time.Duration
	Images  int
}

// EpochDone comes after the evaluation of an epoch.
type EpochDone struct{ Metrics EpochMetrics }

// RunEnded comes last, when the run folder is complete.
type RunEnded struct{ Result Result }

func (PluginProgress) event() {}
func (Warning) event()        {}
func (RunStarted) event()     {}
func (AlreadyEnded) event()   {}
func (EpochStarted) event()   {}
func (StepsDone) event()      {}
func (EpochDone) event()      {}
func (RunEnded) event()       {}

// StepMetrics is a line of metrics.jsonl: the loss of every ReportEvery-th step.
type StepMetrics struct {
	Event   string  `json:"event"`   // "step"
	Epoch   int     `json:"epoch"`   // from 1
	Step    int     `json:"step"`    // in the epoch, from 0
	Samples int     `json:"samples"` // images of this epoch seen, this step's included
	Loss    float32 `json:"loss"`    // mean over the batch, before its update
}

// ReportEvery is how many steps lie between two reported losses, as in the post.
const ReportEvery = 100

// EpochMetrics is a line of metrics.jsonl: both sets after an epoch. Losses are
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
	EvalSeconds        float64  `json:"eval_seconds"`
}

// DivergedMetrics is the last line of metrics.jsonl of a run whose loss stopped
// being a finite number.
type DivergedMetrics struct {
	Event string `json:"event"` // "diverged"
	Epoch int    `json:"epoch"` // from 1
	Step  int    `json:"step"`  // in the epoch, from 0; -1 in an evaluation
	Loss  string `json:"loss"`  // NaN, +Inf or -Inf, which JSON has no numbers for
}

// Reported are the losses that the post would print among those of e: the lines
// of metrics.jsonl.
func (e StepsDone) Reported(batch int) []StepMetrics {
	var lines []StepMetrics
	for i, loss := range e.Losses {
		if step := e.First + i; step%ReportEvery == 0 {
			lines = append(lines, StepMetrics{"step", e.Epoch, step, min((step+1)*batch, e.Count), loss})
		}
	}
	return lines
}

// Result is the outcome of a finished run.
type Result struct {
	Final     EpochMetrics // of the last epoch
	Confusion [][]int      // of the test set after the last epoch: [label][predicted]
	Backend   backend.Info
	Folder    string // the run folder, "" for none
	BestEpoch int    // with KeepBest the epoch of BestFile, else 0

	OpenSeconds     float64 // opening the backend, installing its plugin included
	CompileSeconds  float64 // both programs; the pixels are decoded and copied to the device meanwhile
	WaitSeconds     float64 // for pixels that were not there yet when the programs were compiled
	TrainSeconds    float64 // all epochs
	EvaluateSeconds float64 // all epochs, all sets
	Images          int     // trained on, all epochs; 0 of a run that had ended before
}

// ImagesPerSecond is the training throughput, compilation and evaluation left out.
func (r Result) ImagesPerSecond() float64 { return float64(r.Images) / r.TrainSeconds }
