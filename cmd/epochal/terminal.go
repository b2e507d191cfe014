package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// The rules of what is printed, for every subcommand:
//
//   - standard output carries the result and nothing else;
//   - standard error carries progress, warnings and errors, prefixed with
//     "epochal: ", in lower case and without a full stop;
//   - one live line, redrawn in place, only where standard error is a terminal
//     that can move its cursor; a pipe and a dumb terminal get no escape codes;
//   - what is wider than the terminal is folded; a pipe gets whole lines;
//   - no colours, so there is nothing for NO_COLOR to turn off;
//   - where the locale is not UTF-8, signs such as ± have plain forms, also in a pipe;
//     JSON, files and the names in them stay as they are.

// terminal is where a command prints. The live line is cleared before anything
// else is printed, since both streams usually end up on one screen.
type terminal struct {
	out, err io.Writer
	redraws  bool // whether standard error is a terminal that can redraw a line
	mutex    sync.Mutex
	live     bool      // whether there is a live line on the screen
	drawn    time.Time // when it was last drawn
	failed   error     // why a result could not be printed, the first time
	ascii    bool      // whether the locale is not UTF-8
	warned   []string  // the warnings that were printed
}

// newTerminal prints to the two streams, as TERM and the locale of an environment say.
func newTerminal(stdout, stderr io.Writer, environment func(string) string) *terminal {
	kind := environment("TERM")
	return &terminal{
		out: stdout, err: stderr,
		redraws: columns(stderr) > 0 && kind != "" && kind != "dumb",
		ascii:   !isUTF8(cmp.Or(environment("LC_ALL"), environment("LC_CTYPE"), environment("LANG"))),
	}
}

// isUTF8 reports whether a locale such as en_GB.UTF-8 has that encoding.
func isUTF8(locale string) bool {
	return strings.Contains(strings.ReplaceAll(strings.ToLower(locale), "-", ""), "utf8")
}

// plainForms are those of the signs that are printed besides ASCII.
var plainForms = strings.NewReplacer("±", "+-", "→", "->", "←", "<-", "×", "x", "…", "...", "–", "-", "—", "-", "−", "-",
	"’", "'", "‘", "'", "“", `"`, "”", `"`, "µ", "u", "μ", "u", "·", ".", "≤", "<=", "≥", ">=", "≈", "~", "\u00a0", " ",
	"▀", "'", "▄", ".", "█", ":")

// plain is text as the locale can show it.
func (t *terminal) plain(text string) string {
	if t.ascii {
		return plainForms.Replace(text)
	}
	return text
}

// redraw is the least time between two drawings of the live line.
const redraw = 100 * time.Millisecond

// columns is the width of the terminal w in characters, 0 if w is not a terminal.
func columns(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0
	}
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// printf prints a result. It returns the first error of this and all earlier calls,
// so that only the last of several calls needs to be checked.
func (t *terminal) printf(format string, values ...any) error {
	return t.print(t.plain(fmt.Sprintf(format, values...)))
}

// print is printf of a text that stays as it is, such as JSON.
func (t *terminal) print(text string) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.clear()
	if _, err := io.WriteString(t.out, text); err != nil && t.failed == nil {
		t.failed = fmt.Errorf("standard output: %w", err)
	}
	return t.failed
}

// note prints a diagnostic line.
func (t *terminal) note(format string, values ...any) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.clear()
	fmt.Fprintln(t.err, fold("epochal: "+t.plain(fmt.Sprintf(format, values...)), columns(t.err)))
}

// warn prints a warning, once. Names in it can have anything in them.
func (t *terminal) warn(text string) {
	t.mutex.Lock()
	known := slices.Contains(t.warned, text)
	if !known {
		t.warned = append(t.warned, text)
	}
	t.mutex.Unlock()
	if !known {
		t.note("warning: %s", harmless(text))
	}
}

// commands prints commands below a diagnostic line, each whole on a line of its own so
// that it can be copied.
func (t *terminal) commands(title string, commands ...string) {
	t.note("%s", title)
	for _, command := range commands {
		fmt.Fprintln(t.err, "  "+command)
	}
}

// table prints rows of cells in columns, indented. Where that is wider than the
// terminal, each row is a paragraph: its first lead cells, then the others.
func (t *terminal) table(indent string, lead int, rows ...[]string) error {
	var text bytes.Buffer
	writer := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(writer, t.plain(indent+strings.Join(row, "\t")))
	}
	writer.Flush()
	if width := columns(t.out); width > 0 && slices.ContainsFunc(strings.Split(text.String(), "\n"), func(line string) bool {
		return utf8.RuneCountInString(line) > width
	}) {
		text.Reset()
		for _, row := range rows {
			rest := slices.DeleteFunc(slices.Clone(row[lead:]), func(cell string) bool { return cell == none })
			fmt.Fprintln(&text, fold(indent+strings.Join(row[:lead], "  "), width))
			if len(rest) > 0 {
				fmt.Fprintln(&text, fold(indent+"    "+strings.Join(rest, ", "), width))
			}
		}
	}
	return t.printf("%s", text.String())
}

// none stands in a table for what is not known.
const none = "-"

// fold breaks a line at spaces so that no part is wider than width; the parts
// after the first are indented by two more than the line. 0 leaves it whole.
func fold(line string, width int) string {
	if width == 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	words := strings.Fields(line)
	folded, part := "", indent+words[0]
	for _, word := range words[1:] {
		if longer := part + " " + word; utf8.RuneCountInString(longer) <= width {
			part = longer
			continue
		}
		folded += part + "\n"
		part = indent + "  " + word
	}
	return folded + part
}

// progress draws the live line, the most important part first: what does not fit
// the width of the terminal is cut, because a line that wraps cannot be cleared. It
// draws nothing in a pipe.
func (t *terminal) progress(format string, values ...any) {
	if !t.redraws {
		return
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.live && time.Since(t.drawn) < redraw {
		return
	}
	text := []rune(t.plain(fmt.Sprintf(format, values...)))
	text = text[:min(len(text), columns(t.err)-1)]
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
