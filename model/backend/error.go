package backend

import (
	"fmt"
	"strings"
)

// Error is an error with advice for the user.
type Error struct {
	Err    error
	Advice string // what the user can do, such as a command; one line
}

// Error returns the message of Err, without the advice.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the advice. The command prints it on a line of its own; it looks
// for this method in the chain of any error.
func (e *Error) Hint() string { return e.Advice }

const (
	hintCPU  = "epochal backends install cpu"
	hintCUDA = "epochal backends install cuda"
)

// hintf is fmt.Errorf with advice.
func hintf(advice, format string, values ...any) error {
	return &Error{Err: fmt.Errorf(format, values...), Advice: advice}
}

// attempts are the errors of several tries at one thing, shown on one line.
type attempts []error

func (a attempts) Error() string {
	texts := make([]string, len(a))
	for i, err := range a {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (a attempts) Unwrap() []error { return a }

// recovered turns a panic of GoMLX, compute or go-xla into *err. Deferred at
// each border to them.
func recovered(err *error) {
	if problem := recover(); problem != nil {
		if cause, ok := problem.(error); ok {
			*err = fmt.Errorf("panic in the backend's library: %w", cause)
			return
		}
		*err = fmt.Errorf("panic in the backend's library: %v", problem)
	}
}
