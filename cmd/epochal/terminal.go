package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// The rules of what is printed, for every subcommand:
//
//   - standard output carries the result and nothing else;
//   - standard error carries progress, warnings and errors, prefixed with
//     "epochal: ", in lower case and without a full stop;
//   - one live line, drawn over itself, only where standard error is a terminal;
//     in a pipe there is none, and no cursor codes;
//   - no colours, so that there is nothing for NO_COLOR to turn off.

// terminal is where a command prints. The live line is cleared before anything
// else is printed, since both streams usually end on one screen.
type terminal struct {
	out, err io.Writer
	mutex    sync.Mutex
	live     bool      // whether there is a live line on the screen
	drawn    time.Time // when it was drawn last
}

// redraw is how long a live line stands at least.
const redraw = 100 * time.Millisecond

// isTerminal tells whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// printf prints a result.
func (t *terminal) printf(format string, values ...any) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.clear()
	_, err := fmt.Fprintf(t.out, format, values...)
	return err
}

// note prints a diagnostic line.
func (t *terminal) note(format string, values ...any) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.clear()
	fmt.Fprintf(t.err, "epochal: "+format+"\n", values...)
}

// progress draws the live line, the most important first: what does not fit the
// width of the terminal is cut, because a line that wraps cannot be cleared. It
// draws nothing in a pipe.
func (t *terminal) progress(format string, values ...any) {
	if !isTerminal(t.err) {
		return
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.live && time.Since(t.drawn) < redraw {
		return
	}
	text := []rune(fmt.Sprintf(format, values...))
	if width, _, err := term.GetSize(int(t.err.(*os.File).Fd())); err == nil && width > 0 {
		text = text[:min(len(text), width-1)]
	}
	fmt.Fprintf(t.err, "\r%s\x1b[K", string(text))
	t.live, t.drawn = true, time.Now()
}

// end removes the live line.
func (t *terminal) end() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.clear()
}

func (t *terminal) clear() {
	if t.live {
		fmt.Fprint(t.err, "\r\x1b[K")
		t.live = false
	}
}
