// Package advice makes errors that tell the user what to do about them.
package advice

import (
	"errors"
	"fmt"
)

// The commands that install a plugin; the name of its kind follows Install.
const (
	Install     = "epochal backends install "
	InstallCPU  = Install + "cpu"
	InstallCUDA = Install + "cuda"
)

// Error is an error with advice for the user.
type Error struct {
	Err    error
	Advice string // what the user can do, such as a command; one line
}

// Errorf is [fmt.Errorf] with advice.
func Errorf(advice, format string, values ...any) error {
	return &Error{fmt.Errorf(format, values...), advice}
}

// Error returns the message of Err, without the advice.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the advice. The command prints it on a line of its own; it looks
// for this method in the chain of any error.
func (e *Error) Hint() string { return e.Advice }

// Text is the message of err with its advice, for a place with room for one text.
func Text(err error) string {
	if advised, ok := errors.AsType[*Error](err); ok {
		return fmt.Sprintf("%v (%s)", err, advised.Advice)
	}
	return err.Error()
}
