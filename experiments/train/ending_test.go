package train_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model/backend"
)

// impatient is a run whose validation loss soon goes up and down.
func impatient(t *testing.T, backend string) experiments.Config {
	c := small(t, backend)
	c.Validation, c.LearningRate, c.Epochs, c.Patience = 100, 4, 30, 2
	return c
}

// A run that patience ends is one with as many epochs, byte for byte: also where its last
// evaluation ran beside an epoch too many.
func TestPatience(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, name string) {
		c := impatient(t, name)
		folder := t.TempDir()
		out, alone := filepath.Join(folder, "patient"), filepath.Join(folder, "alone")
		ended := mustTrain(t, c, train.Options{Folder: out, Threads: 1})
		last := ended.result.Final.Epoch
		if last >= c.Epochs || c.Over(ended.epochs[:last-1]) || !c.Over(ended.epochs) {
			t.Fatalf("found the end after %d epochs", last)
		}
		if want := strings.Repeat("EpochStarted EpochDone ", last); strings.Join(ended.events, " ") != "RunStarted "+want+"RunEnded" {
			t.Errorf("found the events %v", ended.events)
		}

		short := c
		short.Epochs, short.Patience = last, 0
		mustTrain(t, short, train.Options{Folder: alone})
		for _, file := range []string{record.WeightsFile, record.EvaluationFile} {
			if !bytes.Equal(read(t, filepath.Join(out, file)), read(t, filepath.Join(alone, file))) {
				t.Errorf("%s: found other bytes than those of a run with %d epochs", file, last)
			}
		}
		metrics := read(t, filepath.Join(alone, record.MetricsFile))
		stopped, found := bytes.CutPrefix(read(t, filepath.Join(out, record.MetricsFile)), metrics)
		if !found || !strings.Contains(string(stopped), `"reason":"patience"`) {
			t.Errorf("found %q after the metrics of a run with %d epochs", stopped, last)
		}
		if r, err := record.Read(out); err != nil || r.Stopped != experiments.StoppedByPatience || len(r.Epochs) != last {
			t.Errorf("found %d epochs, stopped by %q, and the error %v", len(r.Epochs), r.Stopped, err)
		}

		// Interrupted and resumed, it ends at the same place.
		again := filepath.Join(folder, "again")
		stopAt(t, c, train.Options{Folder: again}, step(last, 40))
		mustTrain(t, c, train.Options{Folder: again, Resume: true})
		sameFiles(t, again, out)

		// It is complete; more patience continues it.
		if more := mustTrain(t, c, train.Options{Folder: out, Resume: true}); !more.ended || more.result.Final.Epoch != last {
			t.Errorf("found %+v, expected to be told that the run has ended", more)
		}
		c.Epochs, c.Patience = last+1, 0
		long := filepath.Join(folder, "long")
		mustTrain(t, c, train.Options{Folder: long})
		mustTrain(t, c, train.Options{Folder: out, Resume: true})
		sameFiles(t, out, long)
	})
}

func TestPatienceNeedsASplit(t *testing.T) {
	c := small(t, backend.Go)
	c.Patience = 2
	want := "patience: found 2 with validation 0, expected validation above 0: patience watches the loss on the images held out"
	if err := attempt(c, train.Options{}).err; err == nil || err.Error() != want {
		t.Errorf("found error %v, expected %s", err, want)
	}
	c.Patience = -1
	if err := c.Validate(); err == nil || err.Error() != "patience: found -1, expected 0 to 1000000" {
		t.Errorf("found error %v", err)
	}
}

// A run whose time is up is saved and continues to the bytes of one that had enough.
func TestMaxTime(t *testing.T) {
	onEveryBackend(t, func(t *testing.T, name string) {
		c := small(t, name)
		folder := t.TempDir()
		alone, out := filepath.Join(folder, "alone"), filepath.Join(folder, "run")
		mustTrain(t, c, train.Options{Folder: alone})
		stopped, ok := errors.AsType[train.Stopped](attempt(c, train.Options{Folder: out, MaxTime: 1}).err)
		if !ok || !errors.Is(stopped, train.ErrMaxTime) || stopped.At != (experiments.Position{Epoch: 1}) || stopped.Folder != out {
			t.Fatalf("found %+v, expected that the time is up", stopped)
		}

		// In the middle of an epoch, by a context that ends as the clock would end it.
		const enough = time.Minute
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		half := attemptUntil(ctx, c, train.Options{Folder: out, Resume: true, MaxTime: enough, Observer: func(e experiments.Event) {
			if step(2, 20)(e) {
				cancel(train.ErrMaxTime)
			}
		}})
		if !errors.Is(half.err, train.ErrMaxTime) {
			t.Fatalf("found the error %v, expected that the time is up", half.err)
		}
		if s := record.Summarize(out); s.StateText() != "interrupted (max_time)" || len(s.Record.Epochs) != 1 {
			t.Errorf("found %+v", s)
		}
		mustTrain(t, c, train.Options{Folder: out, Resume: true, MaxTime: enough})
		sameFiles(t, out, alone)
		if s := record.Summarize(out); s.StateText() != "ended" {
			t.Errorf("found %+v", s)
		}

		if err := attempt(c, train.Options{MaxTime: 1}).err; !errors.Is(err, train.ErrMaxTime) {
			t.Errorf("found the error %v of a run without a folder", err)
		}
	})
}
