package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
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
	bar      *progressbar.ProgressBar // nil while there is no live line
	total    int64                    // of bar
}

// isTerminal tells whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// printf prints a result.
func (t *terminal) printf(format string, values ...any) error {
	t.clear()
	_, err := fmt.Fprintf(t.out, format, values...)
	return err
}

// note prints a diagnostic line.
func (t *terminal) note(format string, values ...any) {
	t.clear()
	fmt.Fprintf(t.err, "epochal: "+format+"\n", values...)
}

// clear removes the live line until the next progress.
func (t *terminal) clear() {
	if t.bar != nil {
		t.bar.Clear()
	}
}

// barColumns is what progressbar draws beside the description: the share done
// and a bar.
const (
	barWidth   = 6
	barColumns = barWidth + 10
)

// progress draws the live line: description and how much of total is done; a
// total of 0 is not known. It draws nothing in a pipe.
func (t *terminal) progress(description string, done, total int64, options ...progressbar.Option) {
	if !isTerminal(t.err) {
		return
	}
	if total <= 0 {
		// progressbar would draw a spinner of its own accord, and never stop.
		done, total = 0, 1
	}
	if t.bar == nil || t.total != total {
		t.clear()
		t.total = total
		t.bar = progressbar.NewOptions64(total, append([]progressbar.Option{
			progressbar.OptionSetWriter(t.err),
			progressbar.OptionSetWidth(barWidth),
			progressbar.OptionThrottle(100 * time.Millisecond),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionClearOnFinish(),
		}, options...)...)
	}
	// A line that wraps cannot be cleared.
	if width, _, err := term.GetSize(int(t.err.(*os.File).Fd())); err == nil && width > 0 {
		description = description[:max(0, min(len(description), width-barColumns))]
	}
	t.bar.Describe(description)
	t.bar.Set64(done)
}

// end removes the live line for good.
func (t *terminal) end() {
	t.clear()
	t.bar = nil
}
