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

// missing stands for what there is no number for.
const missing = "-"

// countText writes a number per second with four digits: "94.34k".
func countText(x float64) string { return benchunit.Scale(x, benchunit.Decimal) }

// bytesText is "390MiB".
func bytesText(x float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for x >= 999.5 && len(units) > 1 {
		x, units = x/1024, units[1:]
	}
	return digits(x) + units[0]
}

// timeText is "678µs", "12.3s" or "1234s".
func timeText(x float64) string {
	units := []string{"s", "ms", "µs", "ns"}
	for x < 0.9995 && len(units) > 1 {
		x, units = x*1000, units[1:]
	}
	return digits(x) + units[0]
}

// gigaText writes a number per second in billions.
func gigaText(x float64) string { return digits(x / 1e9) }

// digits writes a number above 0 with three digits, or more before the point.
func digits(x float64) string {
	decimals := 2
	for limit := 9.995; decimals > 0 && x >= limit; limit *= 10 {
		decimals--
	}
	return strconv.FormatFloat(x, 'f', decimals, 64)
}

// ratioText is "2.20x".
func ratioText(x float64) string { return digits(x) + "x" }

// shareText is "92%", of a share that may be more than all.
func shareText(x float64) string {
	if x < 0.005 {
		return "<1%"
	}
	return strconv.FormatFloat(x*100, 'f', 0, 64) + "%"
}

// rangeText is the interval of a summary as a percentage of its median, "1%", as
// benchstat writes it, or "∞".
func rangeText(s bench.Summary) string {
	if !s.Known() {
		return "∞"
	}
	return strconv.FormatFloat(100*max(s.High/s.Median-1, 1-s.Low/s.Median), 'f', 0, 64) + "%"
}

// aboutText writes an interpolated width or batch size with two digits, which is more
// than it is worth, and no decimals.
func aboutText(x float64) string {
	if x >= 100 {
		unit := math.Pow10(int(math.Log10(x)) - 1)
		x = math.Round(x/unit) * unit
	}
	return thousands(int(math.Round(x)))
}

// joined writes "a", "a and b" or "a, b and c".
func joined(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// layersText is "512,512".
func layersText(widths []int) string {
	if len(widths) == 0 {
		return "none"
	}
	texts := make([]string, len(widths))
	for i, width := range widths {
		texts[i] = strconv.Itoa(width)
	}
	return strings.Join(texts, ",")
}

// cellText names a cell in a sentence: "xla:cpu at 512,512 x 64 (epoch per call, data resident)".
func cellText(c bench.Cell) string {
	return fmt.Sprintf("%s at %s x %d (%s)", c.Runner(), layersText(c.LayerSizes), c.BatchSize, dispatchText(c.StepsPerCall, c.Feed))
}

func dispatchText(steps bench.StepsPerCall, feed string) string {
	text := "epoch per call"
	if steps < bench.WholeEpoch {
		text = counted(int(steps), "step") + " per call"
	}
	if feed == bench.FeedHost {
		return text + ", fed by the host"
	}
	return text + ", data resident"
}

// fewestToDiffer is how many rounds on both sides can show a difference at all.
const fewestToDiffer = 4

// differNote is the footnote of a difference that could not be told.
func differNote() string {
	return fmt.Sprintf("need >= %d rounds to tell a difference from noise", fewestToDiffer)
}

// benchText is a text under construction, with numbered footnotes.
type benchText struct {
	strings.Builder
	width int // characters of a line, 0 for no limit
	notes []string
}

func (t *benchText) printf(format string, values ...any) { fmt.Fprintf(t, format, values...) }

// heading starts a section.
func (t *benchText) heading(text string) { t.printf("\n%s\n", text) }

// broken is a text in lines of at most that many characters less than the width, but
// of a third of it where little is left.
func (t *benchText) broken(text string, less int) []string {
	if t.width == 0 || text == "" {
		return []string{printable(text)}
	}
	return wrap(printable(text), max(t.width-less, t.width/3), utf8.RuneCountInString)
}

// paragraph writes a text in lines, those after the first indented further.
func (t *benchText) paragraph(indent int, text string) {
	hang := indent + 2
	for i, line := range t.broken(text, hang) {
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
	text := write(s.Median) + " ± " + rangeText(s)
	if !s.Known() {
		text += t.note(fmt.Sprintf("need >= %d rounds for a %g%% interval", bench.FewestRounds, 100*bench.Confidence))
	}
	return text
}

// column is one of a table.
type column struct {
	name  string
	about string // what it holds, for the legend; "" where the name says it
	left  bool   // its texts are aligned at the left, as names are
	spare int    // where the table is too wide, columns with the highest number are left out first, and those with 0 never
}

// line is one of a table: a text for each column, or fewer and then words that
// take the rest of the line and further lines.
type line struct {
	texts []string
	words string
}

// table writes aligned columns, two spaces apart, then the footnotes, and a legend
// that begins with the words given. Columns without any text but missing are left
// out, and so are spare ones that do not fit the width.
func (t *benchText) table(columns []column, lines []line, legend ...string) {
	widths := make([]int, len(columns))
	for i, c := range columns {
		for _, l := range lines {
			if i < len(l.texts) && l.texts[i] != missing {
				widths[i] = max(widths[i], utf8.RuneCountInString(c.name), utf8.RuneCountInString(l.texts[i]))
			}
		}
	}
	const gap = 2
	for t.width > 0 {
		total, most := -gap, 0 // most spare
		for i, width := range widths {
			if width == 0 {
				continue
			}
			total += width + gap
			if columns[i].spare > columns[most].spare {
				most = i
			}
		}
		if total <= t.width || columns[most].spare == 0 {
			break
		}
		widths[most] = 0
	}
	write := func(l line) {
		var cells []string
		length := 0
		for i, cell := range l.texts {
			if widths[i] == 0 {
				continue
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if columns[i].left {
				cell += pad
			} else {
				cell = pad + cell
			}
			cells, length = append(cells, cell), length+widths[i]+gap
		}
		for i, words := range t.broken(l.words, length) {
			before := strings.Repeat(" ", length)
			if i == 0 {
				before = strings.Join(append(cells, ""), strings.Repeat(" ", gap))
			}
			t.printf("%s\n", strings.TrimRight(before+words, " "))
		}
	}
	var names line
	for i, c := range columns {
		names.texts = append(names.texts, c.name)
		if widths[i] > 0 && c.about != "" {
			legend = append(legend, c.name+": "+c.about+".")
		}
	}
	write(names)
	for _, l := range lines {
		write(l)
	}
	t.footnotes()
	if len(legend) > 0 {
		t.paragraph(0, strings.Join(legend, " "))
	}
}

// cellColumns are those that tell the cells of a table apart: what varies.
type cellColumns struct {
	layers, batch, steps, feed bool
}

// varying are the columns in which cells differ.
func varying(cells []bench.CellResult) cellColumns {
	var v cellColumns
	for _, c := range cells {
		a, b := c.Cell, cells[0].Cell
		v.layers = v.layers || !slices.Equal(a.LayerSizes, b.LayerSizes)
		v.batch = v.batch || a.BatchSize != b.BatchSize
		v.steps = v.steps || a.StepsPerCall != b.StepsPerCall
		v.feed = v.feed || a.Feed != b.Feed
	}
	return v
}

// work are the columns of the network and the batch size, after a first one.
func (v cellColumns) work(first string) []column {
	all := []column{{name: first, left: true}}
	if v.layers {
		all = append(all, column{name: "layers", left: true})
	}
	if v.batch {
		all = append(all, column{name: "batch"})
	}
	return all
}

func (v cellColumns) workTexts(first string, layers []int, batch int) []string {
	all := []string{printable(first)}
	if v.layers {
		all = append(all, layersText(layers))
	}
	if v.batch {
		all = append(all, strconv.Itoa(batch))
	}
	return all
}

// columns are those of work and one of the dispatch: "epoch", "1", "1 host".
func (v cellColumns) columns() []column {
	all := v.work("backend")
	const steps, host = "SGD steps per call of the device", "host: every batch is copied from the host"
	switch {
	case v.steps && v.feed:
		all = append(all, column{name: "steps", about: steps + "; " + host, left: true})
	case v.steps:
		all = append(all, column{name: "steps", about: steps})
	case v.feed:
		all = append(all, column{name: "feed", about: host, left: true})
	}
	return all
}

func (v cellColumns) texts(c bench.Cell) []string {
	all := v.workTexts(c.Runner().String(), c.LayerSizes, c.BatchSize)
	switch {
	case v.steps && c.Feed == bench.FeedHost:
		all = append(all, c.StepsPerCall.String()+" "+c.Feed)
	case v.steps:
		all = append(all, c.StepsPerCall.String())
	case v.feed:
		all = append(all, c.Feed)
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
		all = append(all, "steps per call "+c.StepsPerCall.String())
	}
	if !v.feed {
		all = append(all, "feed "+c.Feed)
	}
	return strings.Join(all, ", ")
}
