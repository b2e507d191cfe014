package report

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"epochal/experiments/bench"
	"epochal/experiments/report/words"

	"golang.org/x/perf/benchunit"
)

// missing stands for what there is no number for.
const missing = "-"

// scaled writes a number with a prefix and three digits, which is what a
// measurement with noise of 1% is worth: "94.3k", "678µ".
func scaled(x float64) string {
	scale := benchunit.CommonScale([]float64{x}, benchunit.Decimal)
	scale.Prec = max(scale.Prec-1, 0) // benchstat's numbers have four
	return scale.Format(x)
}

// timeText is "678µs" or "12.3s".
func timeText(seconds float64) string { return scaled(seconds) + "s" }

// mebibytes is "390MiB".
func mebibytes(x float64) string { return fmt.Sprintf("%.0fMiB", x/(1<<20)) }

// ratioText is "2.20x".
func ratioText(x float64) string { return fmt.Sprintf("%.2fx", x) }

// shareText is "92%", of a share that may exceed 100%.
func shareText(x float64) string {
	if x < 0.005 {
		return "<1%"
	}
	return fmt.Sprintf("%.0f%%", x*100)
}

// summaryText is a median with half of its interval in percent, as benchstat writes
// it: "94.3k ± 1%". Too few rounds have no interval.
func summaryText(s bench.Summary, write func(float64) string) string {
	if !s.Known() {
		return write(s.Median)
	}
	return fmt.Sprintf("%s ± %.0f%%", write(s.Median), 100*max(s.High/s.Median-1, 1-s.Low/s.Median))
}

// aboutText writes an interpolated width or batch size with two digits, which is more
// than it is worth, and no decimals.
func aboutText(x float64) string {
	if x >= 100 {
		unit := math.Pow10(int(math.Log10(x)) - 1)
		x = math.Round(x/unit) * unit
	}
	return words.Thousands(int(math.Round(x)))
}

// layersText is "512,512", or "conv16,32+512,512" with convolutions before the layers.
func layersText(channels, widths []int) string {
	layers := cmp.Or(words.Widths(widths, ","), "none")
	if len(channels) > 0 {
		return "conv" + words.Widths(channels, ",") + "+" + layers
	}
	return layers
}

// BenchLayout is the shape of a text. The zero value writes everything in full lines.
type BenchLayout struct {
	Width int                      // characters of a line, 0 for no limit
	Plain func(text string) string // a text as it is shown, where there is no UTF-8; may be nil
}

// benchText is a text under construction.
type benchText struct {
	strings.Builder
	width int                      // characters of a line, 0 for no limit
	plain func(text string) string // may be nil
}

// shown is a text as it is shown, in one line.
func (t *benchText) shown(text string) string {
	if t.plain != nil {
		text = t.plain(text)
	}
	return words.Printable(text)
}

// heading starts a section.
func (t *benchText) heading(text string) {
	t.WriteByte('\n')
	t.paragraph(0, text)
}

// broken is a text in lines as wide as the terminal minus less characters, but at least
// a third of the terminal.
func (t *benchText) broken(text string, less int) []string {
	if t.width == 0 || text == "" {
		return []string{t.shown(text)}
	}
	return words.Wrap(t.shown(text), max(t.width-less, t.width/3), utf8.RuneCountInString)
}

// paragraph writes a text in lines, those after the first indented further.
func (t *benchText) paragraph(indent int, text string) {
	before := strings.Repeat(" ", indent)
	for _, line := range t.broken(text, indent+2) {
		fmt.Fprintf(t, "%s%s\n", before, line)
		before = strings.Repeat(" ", indent+2)
	}
}

// column is one of a table.
type column struct {
	name  string
	about string // what it holds, for the legend; "" where the name says it
	left  bool   // its texts are aligned at the left, as names are
	spare int    // where the table is too wide, columns with 3 are left out first, then those with 2 and 1; 0 never
}

// line is one of a table: a text for each column, or fewer and then words that
// take the rest of the line and further lines.
type line struct {
	texts []string
	words string
}

// table writes aligned columns, two spaces apart, and a legend that begins with the
// words given. Columns without any text but missing are left out, and so are spare
// ones that do not fit the width.
func (t *benchText) table(columns []column, lines []line, legend ...string) {
	const gap = 2
	names := line{}
	widths := make([]int, len(columns)) // 0 of those that are left out
	total := -gap
	for _, l := range lines {
		for i, text := range l.texts {
			l.texts[i] = t.shown(text)
		}
	}
	for i, c := range columns {
		names.texts = append(names.texts, c.name)
		for _, l := range lines {
			if i < len(l.texts) && l.texts[i] != missing {
				widths[i] = max(widths[i], utf8.RuneCountInString(c.name), utf8.RuneCountInString(l.texts[i]))
			}
		}
		if widths[i] > 0 {
			total += widths[i] + gap
		}
	}
	for spare := 3; spare > 0; spare-- {
		for i, c := range columns {
			if t.width > 0 && total > t.width && c.spare == spare && widths[i] > 0 {
				total -= widths[i] + gap
				widths[i] = 0
			}
		}
	}
	for _, l := range append([]line{names}, lines...) {
		row := ""
		for i, text := range l.texts {
			if widths[i] == 0 {
				continue
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if columns[i].left {
				row += text + pad
			} else {
				row += pad + text
			}
			row += strings.Repeat(" ", gap)
		}
		length := utf8.RuneCountInString(row)
		for _, text := range t.broken(l.words, length) {
			fmt.Fprintln(t, strings.TrimRight(row+text, " "))
			row = strings.Repeat(" ", length)
		}
	}
	for i, c := range columns {
		if widths[i] > 0 && c.about != "" {
			legend = append(legend, c.name+": "+c.about+".")
		}
	}
	if len(legend) > 0 {
		t.paragraph(0, strings.Join(legend, " "))
	}
}
