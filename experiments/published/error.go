package published

import "fmt"

// Error is what is wrong with an experiment's file or with a name: a wrong use,
// found before anything trains.
type Error struct {
	File   string // "" when the problem is in no file
	Line   int    // from 1, 0 when not known
	Column int    // from 1, in characters
	Text   string // what was found and what was expected
	Advice string // what was probably meant, "" for nothing; one line
}

// Error is "file:line:column: text", as far as the place is known.
func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Text
	case e.Line == 0:
		return fmt.Sprintf("%s: %s", e.File, e.Text)
	default:
		return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Text)
	}
}

// Hint returns the advice. The command prints it on a line of its own.
func (e *Error) Hint() string { return e.Advice }
