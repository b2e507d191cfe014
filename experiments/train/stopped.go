package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/model"
)

// ErrMaxTime is the error of a run that took as long as Options.MaxTime.
var ErrMaxTime = errors.New("the time is up")

// ErrUntil is the error of a run that has as many epochs as Options.Until.
var ErrUntil = errors.New("the run has the epochs that it was to have so far")

// Stopped is the error of a run that ended early and that can be
// resumed: it was cancelled, a file could not be written, a device failed.
type Stopped struct {
	error                       // what ended it
	Folder string               // the run folder
	At     experiments.Position // where a resumed run continues
}

// stopped turns an error into the one that the run ends with.
func (r *run) stopped(ctx context.Context, err error) error {
	var diverged experiments.Diverged
	if errors.As(err, &diverged) {
		return errors.Join(err, r.record.Diverged(diverged))
	}
	cancelled := ctx.Err() != nil && errors.Is(err, ctx.Err())
	timeUp := cancelled && context.Cause(ctx) == ErrMaxTime
	if timeUp {
		err = ErrMaxTime
	}
	if r.record.Folder == "" || !cancelled && !r.begun || errors.As(err, new(record.CannotResume)) || errors.Is(err, model.ErrNotFinite) {
		return err // nothing was lost, or the same would happen again
	}
	if cancelled && r.begun || err == ErrUntil {
		var failed error
		if err != ErrUntil || r.record.Saved != r.record.At {
			failed = r.record.Save(r.network.Weights)
		}
		if failed == nil && timeUp {
			failed = r.record.Stopped(experiments.StoppedByTime)
		} else if failed == nil && err == ErrUntil {
			failed = r.record.Stopped(experiments.StoppedByRung)
		}
		err = cmp.Or(failed, err)
	}
	return Stopped{err, r.record.Folder, r.record.Saved}
}

// Unwrap returns what ended the run.
func (s Stopped) Unwrap() error { return s.error }

// Advice says what must be done before the run is resumed, "" for nothing.
func (s Stopped) Advice() string {
	switch {
	case errors.Is(s.error, syscall.ENOSPC), errors.Is(s.error, syscall.EDQUOT):
		return "free some space on its file system"
	case errors.Is(s.error, syscall.EFBIG):
		return "raise the file size limit (ulimit -f)"
	case errors.Is(s.error, syscall.EIO):
		return "check its disk for errors"
	case errors.Is(s.error, syscall.EROFS), errors.Is(s.error, fs.ErrPermission):
		return "make the folder writable"
	case errors.Is(s.error, record.ErrGone):
		return "put the folder back"
	default:
		return ""
	}
}

// Saved says where a resumed run continues.
func (s Stopped) Saved() string {
	if s.At == (experiments.Position{Epoch: 1}) {
		return "nothing was saved yet: the run starts from the beginning"
	}
	return fmt.Sprintf("saved up to step %d of epoch %d", s.At.Step, s.At.Epoch)
}
