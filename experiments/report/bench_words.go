package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"epochal/experiments/bench"

	"golang.org/x/perf/benchunit"
)

// How the numbers of a benchmark are written.

// benchWidth is the characters of a terminal's line that texts are broken for.
// Tables may be wider where a name is long.
const benchWidth = 100

// missing stands for what was not measured.
const missing = "-"

// countText writes a number per second with four digits: "94.34k".
func countText(x float64) string {
	if !measurable(x) {
		return missing
	}
	return benchunit.Scale(x, benchunit.Decimal)
}

// bytesText is "390MiB".
func bytesText(x float64) string {
	if !measurable(x) {
		return missing
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	for x >= 999.5 && len(units) > 1 {
		x, units = x/1024, units[1:]
	}
	return digits(x) + units[0]
}

// timeText is "678µs", "12.3s" or "1234s".
func timeText(x float64) string {
	if !measurable(x) {
		return missing
	}
	units := []string{"s", "ms", "µs", "ns"}
	for x < 0.9995 && len(units) > 1 {
		x, units = x*1000, units[1:]
	}
	return digits(x) + units[0]
}

// digits writes a number above 0 with three digits, or more before the point.
func digits(x float64) string {
	decimals := 2
	for limit := 9.995; decimals > 0 && x >= limit; limit *= 10 {
		decimals--
	}
	return strconv.FormatFloat(x, 'f', decimals, 64)
}

// ratioText is "2.20x".
func ratioText(x float64) string {
	if !measurable(x) {
		return missing
	}
	return digits(x) + "x"
}

// shareText is "92%", of a share that may be more than all.
func shareText(x float64) string {
	if !measurable(x) {
		return missing
	}
	if x < 0.005 {
		return "<1%"
	}
	return strconv.FormatFloat(x*100, 'f', 0, 64) + "%"
}

// rangeText is the interval of a summary in percent of its median, "1%", as
// benchstat writes it, or "∞".
func rangeText(s bench.Summary) string {
	if !s.Known() {
		return "∞"
	}
	if s.Median == 0 {
		return "?"
	}
	return strconv.FormatFloat(100*max(s.High/s.Median-1, 1-s.Low/s.Median), 'f', 0, 64) + "%"
}

// roundsNote is the footnote of an interval that is not known.
func roundsNote() string {
	return fmt.Sprintf("need >= %d rounds for a %g%% interval", bench.FewestRounds, 100*bench.Confidence)
}

// fewestToDiffer is how many rounds of both can tell a difference at all.
const fewestToDiffer = 4

// differNote is the footnote of a difference that could not be told.
func differNote() string {
	return fmt.Sprintf("need >= %d rounds to tell a difference from noise", fewestToDiffer)
}

// joined writes "a", "a and b" or "a, b and c".
func joined(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// benchText is a text under construction, with numbered footnotes.
type benchText struct {
	strings.Builder
	notes []string
}

func (t *benchText) printf(format string, values ...any) { fmt.Fprintf(t, format, values...) }

// heading starts a section.
func (t *benchText) heading(text string) { t.printf("\n%s\n", text) }

// paragraph writes a text in lines, those after the first indented further.
func (t *benchText) paragraph(indent int, text string) {
	hang := indent + 2
	lines := wrap(printable(text), benchWidth-hang, utf8.RuneCountInString)
	for i, line := range lines {
		before := hang
		if i == 0 {
			before = indent
		}
		t.printf("%s%s\n", strings.Repeat(" ", before), line)
	}
}

// note returns the mark of a footnote: " ¹".
func (t *benchText) note(text string) string {
	place := slices.Index(t.notes, text)
	if place < 0 {
		place = len(t.notes)
		t.notes = append(t.notes, text)
	}
	return " " + superscript(place+1)
}

// footnotes writes all footnotes so far and forgets them.
func (t *benchText) footnotes() {
	for i, text := range t.notes {
		t.paragraph(0, superscript(i+1)+" "+text)
	}
	t.notes = nil
}

func superscript(n int) string {
	var text strings.Builder
	for _, digit := range strconv.Itoa(n) {
		text.WriteRune([]rune("⁰¹²³⁴⁵⁶⁷⁸⁹")[digit-'0'])
	}
	return text.String()
}

// summary writes a median with its interval.
func (t *benchText) summary(s bench.Summary, write func(float64) string) string {
	if s.N == 0 || !measurable(s.Median) {
		return missing
	}
	text := write(s.Median) + " ± " + rangeText(s)
	if !s.Known() {
		text += t.note(roundsNote())
	}
	return text
}

// column is one of a table.
type column struct {
	name string
	left bool // its texts stand at the left, as names do
}

// line is one of a table: a text for each column, or fewer and then words that
// take the rest of the line and more lines.
type line struct {
	texts []string
	words string
}

// table writes aligned columns, two spaces apart. Columns that have no text but
// missing are left out.
func (t *benchText) table(columns []column, lines []line) {
	widths := make([]int, len(columns))
	for i, c := range columns {
		for _, l := range lines {
			if i < len(l.texts) && l.texts[i] != missing {
				widths[i] = max(widths[i], utf8.RuneCountInString(c.name), utf8.RuneCountInString(l.texts[i]))
			}
		}
	}
	write := func(l line) {
		text, length := "", 0
		for i, cell := range l.texts {
			if widths[i] == 0 {
				continue
			}
			if text != "" {
				text, length = text+"  ", length+2
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if columns[i].left {
				text += cell + pad
			} else {
				text += pad + cell
			}
			length += widths[i]
		}
		if l.words == "" {
			t.printf("%s\n", strings.TrimRight(text, " "))
			return
		}
		if text != "" {
			text, length = text+"  ", length+2
		}
		room := max(benchWidth-length, benchWidth/3) // beside a wide name too
		for i, words := range wrap(printable(l.words), room, utf8.RuneCountInString) {
			if i > 0 {
				text = strings.Repeat(" ", length)
			}
			t.printf("%s%s\n", text, words)
		}
	}
	var names line
	for _, c := range columns {
		names.texts = append(names.texts, c.name)
	}
	write(names)
	for _, l := range lines {
		write(l)
	}
}

// cellColumns are what tells cells of a table apart.
type cellColumns struct {
	layers, batch, steps, feed bool // vary, or are shown whatever they do
}

// varying are the columns in which cells differ.
func varying(cells []bench.Cell) cellColumns {
	var v cellColumns
	for _, c := range cells {
		first := cells[0]
		v.layers = v.layers || !slices.Equal(c.LayerSizes, first.LayerSizes)
		v.batch = v.batch || c.BatchSize != first.BatchSize
		v.steps = v.steps || c.StepsPerCall != first.StepsPerCall
		v.feed = v.feed || c.Feed != first.Feed
	}
	return v
}

// dispatch tells whether one column shows steps and feed: "epoch", "1", "1 host".
func (v cellColumns) dispatch() bool { return v.steps && v.feed }

func (v cellColumns) columns() []column {
	all := []column{{"backend", true}}
	if v.layers {
		all = append(all, column{"layers", true})
	}
	if v.batch {
		all = append(all, column{"batch", false})
	}
	if v.steps {
		all = append(all, column{"steps", v.dispatch()})
	} else if v.feed {
		all = append(all, column{"feed", true})
	}
	return all
}

func (v cellColumns) texts(c bench.Cell) []string {
	all := []string{printable(c.Runner().String())}
	if v.layers {
		all = append(all, layersText(c.LayerSizes))
	}
	if v.batch {
		all = append(all, strconv.Itoa(c.BatchSize))
	}
	switch steps := stepsText(c.StepsPerCall); {
	case v.dispatch() && c.Feed != bench.FeedResident:
		all = append(all, steps+" "+printable(c.Feed))
	case v.steps:
		all = append(all, steps)
	case v.feed:
		all = append(all, printable(c.Feed))
	}
	return all
}

// common says what all cells have alike, "" for nothing.
func (v cellColumns) common(c bench.Cell) string {
	var all []string
	if !v.layers {
		all = append(all, "layers "+layersText(c.LayerSizes))
	}
	if !v.batch {
		all = append(all, "batch "+strconv.Itoa(c.BatchSize))
	}
	if !v.steps {
		all = append(all, "steps per call "+stepsText(c.StepsPerCall))
	}
	if !v.feed {
		all = append(all, "feed "+printable(c.Feed))
	}
	return strings.Join(all, ", ")
}

// cellText names a cell in a sentence: "xla:cpu at 512,512 x 64 (epoch, resident)".
func cellText(c bench.Cell) string {
	return fmt.Sprintf("%s at %s x %d (%s)", c.Runner(), layersText(c.LayerSizes), c.BatchSize, dispatchText(c.StepsPerCall, c.Feed))
}

func dispatchText(stepsPerCall int, feed string) string {
	if stepsPerCall == 0 {
		return "epoch, " + feed
	}
	return counted(stepsPerCall, "step") + " a call, " + feed
}

// medianOf writes the median of a number of a cell's rounds.
func medianOf(c bench.CellResult, of func(bench.Measurement) float64, write func(float64) string) string {
	values := c.Measured(of)
	if len(values) == 0 {
		return missing
	}
	return write(bench.Summarize(values).Median)
}

// aboutText writes a width or a batch size that was interpolated: with two digits,
// which is more than it is worth, and no decimals.
func aboutText(x float64) string {
	if x >= 100 {
		unit := math.Pow10(int(math.Log10(x)) - 1)
		x = math.Round(x/unit) * unit
	}
	return thousands(int(math.Round(x)))
}
