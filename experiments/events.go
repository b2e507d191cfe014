package experiments

import (
	"time"

	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/install"
)

// Event is what a run reports to its observer: one of the types below.
type Event interface{ event() }

// Observer is told every event, in order and one at a time, while the run waits.
type Observer func(Event)

// PluginProgress says how far the installation of a backend's plugin is.
type PluginProgress struct{ install.Progress }

// DataProgress says how many images of the data are read. It comes while the device and the
// programs are prepared.
type DataProgress struct{ Done, Total int }

// Warning is something that the user should know and that does not stop the run.
type Warning struct{ Text string }

// Position is where a run stands. A new run stands at step 0 of epoch 1.
type Position struct {
	Epoch int // from 1; the last one plus 1 when all are done
	Step  int // that comes next, from 0; the number of steps when the epoch's evaluation is what comes next
}

// RunStarted comes when everything is ready and the first epoch begins.
type RunStarted struct {
	Config       Config
	Architecture model.Architecture
	Backend      backend.Info
	Train        int    // images
	Test         int    // images
	Folder       string // the run folder, "" for none
	Resumed      bool   // the run continues where it stopped
	At           Position
}

// AlreadyEnded is the only event of a run that was to be resumed but had
// already ended.
type AlreadyEnded struct{ Result Result }

// EpochStarted comes before the first step of an epoch, or before the first step
// of it that a resumed run does.
type EpochStarted struct{ Epoch int } // from 1

// StepsDone comes after every device call, with the losses of its steps.
type StepsDone struct {
	Epoch   int       // from 1
	First   int       // number of the first of these steps in the epoch, from 0
	Losses  []float32 // of each step, before its update
	Samples int       // images of this epoch seen so far
	Count   int       // images in an epoch

	Trained time.Duration // training time of the whole run so far, evaluation left out
	Images  int           // trained on in it
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

// EpochDone comes after the evaluation of an epoch.
type EpochDone struct{ Metrics EpochMetrics }

// RunEnded comes last, when the run folder is complete.
type RunEnded struct{ Result Result }

// RunStopped comes last instead, when a run diverged, was cancelled or failed.
type RunStopped struct{ Err error } // what Run returns

func (PluginProgress) event() {}
func (DataProgress) event()   {}
func (Warning) event()        {}
func (RunStarted) event()     {}
func (AlreadyEnded) event()   {}
func (EpochStarted) event()   {}
func (StepsDone) event()      {}
func (EpochDone) event()      {}
func (RunEnded) event()       {}
func (RunStopped) event()     {}
