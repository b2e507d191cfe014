package report

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"epochal/experiments"
	"epochal/experiments/published"
)

// Markdown writes results.md: the verdicts, the twins with normalized inputs and the
// settings, as tables of GitHub's Markdown.
func Markdown(w io.Writer, r published.Results) error {
	var m markdown
	m.printf("# %s\n\n", plainText(pageTitle))
	if r.Quick {
		m.printf("**%s**\n\n", plainText(quickNote))
	}
	m.printf("%s\n\n", plainText(summary(r)))
	m.code(r.Command)

	m.verdicts(r)
	m.twins(r)
	m.settings(r)
	_, err := w.Write(m.Bytes())
	return err
}

// markdown is a text under construction.
type markdown struct{ bytes.Buffer }

func (m *markdown) printf(format string, values ...any) { fmt.Fprintf(m, format, values...) }

// code writes lines as they are. Indented, nothing in them can end the block.
func (m *markdown) code(text string) {
	if text == "" {
		return
	}
	for line := range strings.Lines(text) {
		m.printf("    %s\n", strings.Map(visible, strings.TrimRight(line, "\r\n")))
	}
	m.printf("\n")
}

// visible replaces what a terminal would obey.
func visible(r rune) rune {
	if unicode.IsControl(r) && r != '\t' {
		return unicode.ReplacementChar
	}
	return r
}

// row writes a row of a table.
func (m *markdown) row(cells ...string) {
	for _, cell := range cells {
		m.printf("| %s ", plainText(cell))
	}
	m.printf("|\n")
}

// head writes the first two rows of a table. Columns whose name ends in ":" have
// numbers, which stand at the right.
func (m *markdown) head(names ...string) {
	rule := ""
	for i, name := range names {
		var right bool
		names[i], right = strings.CutSuffix(name, ":")
		rule += "| --- "
		if right {
			rule = strings.TrimSuffix(rule, " ") + ": "
		}
	}
	m.row(names...)
	m.printf("%s|\n", rule)
}

func (m *markdown) verdicts(r published.Results) {
	var rows markdown
	for _, e := range r.Experiments {
		for _, c := range e.Claims {
			verdict := verdictSymbol(c.Judgement.Verdict) + " " + string(c.Judgement.Verdict)
			if !c.Expected {
				verdict += " (not expected to)"
			}
			rows.row(e.Name, c.Claim, c.Published, c.Ours, strconv.Itoa(c.Judgement.Interval.N), verdict, c.Judgement.Reason)
		}
	}
	if rows.Len() == 0 {
		return
	}
	m.printf("## Verdicts\n\n")
	m.head("experiment", "claim", "published", "ours: mean (95% interval)", "n:", "verdict", "reason")
	m.Write(rows.Bytes())
	m.printf("\n")
}

func (m *markdown) twins(r published.Results) {
	all := allTwins(r)
	if hint := twinsHint(r); hint != "" {
		m.printf("## With and without Normalize\n\n%s\n\n", plainText(hint))
	}
	if len(all) == 0 {
		return
	}
	m.printf("## With and without Normalize\n\n%s\n\n", plainText(twinNote))
	columns := []string{"final test accuracy of", "inputs 0 to 1:", "normalized:", "difference in points:", "published:", "published lies nearer to"}
	if finding := twinsSentence(all); finding != "" {
		m.printf("%s\n\n", plainText(finding))
	} else {
		columns = columns[:4]
	}
	m.head(columns...)
	for _, t := range all {
		m.row([]string{
			t.Plain.Name, finalText(t.Plain, t.Plain.TestAccuracy), finalText(t.Normalized, t.Normalized.TestAccuracy), pointsText(t.Difference),
			t.PublishedText(), t.NearerText(),
		}[:len(columns)]...)
	}
	m.printf("\n%s\n\n", plainText(intervalNote(r)))
}

func (m *markdown) settings(r published.Results) {
	m.printf("## Settings\n\n")
	m.printf("What is not named is as in attempt 1: %s.\n\n", plainText(settingsText(ofExperiments(settings(experiments.Defaults())))))
	m.head("experiment", "differs from attempt 1", "train accuracy:", "test accuracy:", "n:", "diverged:")
	for _, e := range r.Experiments {
		m.row(e.Name, settingsText(deviations(e.Config)), finalText(e, e.TrainAccuracy), finalText(e, e.TestAccuracy),
			strconv.Itoa(e.TestAccuracy.N), strconv.Itoa(e.Diverged))
	}
}

// settingsText is "batch_size 32, learning_rate 0.01".
func settingsText(all []setting) string {
	var parts []string
	for _, s := range all {
		parts = append(parts, s.Name+" "+s.Value)
	}
	return strings.Join(parts, ", ")
}

// markdownSigns are the characters that mean something to GitHub's Markdown within a line.
const markdownSigns = "\\`*_[]<>|~#!$&@"

// plainText writes text so that Markdown shows it as it is, on one line.
func plainText(text string) string {
	var escaped strings.Builder
	for _, r := range printable(text) {
		if strings.ContainsRune(markdownSigns, r) {
			escaped.WriteByte('\\')
		}
		escaped.WriteRune(r)
	}
	return escaped.String()
}
