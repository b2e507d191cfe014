package report

import (
	_ "embed"
	"strings"
	"text/template"
	"unicode"

	"epochal/experiments/report/words"
)

//go:embed results.md.tmpl
var markdownText string

var markdownTemplate = template.Must(template.New("results.md").
	Funcs(template.FuncMap{
		"text": plainText, "code": codeBlock, "lower": strings.ToLower, "final": finalText, "points": pointsText,
	}).Parse(markdownText))

// codeBlock writes lines as they are. Indented, nothing in them can end the block.
func codeBlock(text string) string {
	var block strings.Builder
	for line := range strings.Lines(text) {
		block.WriteString("    " + strings.Map(visible, strings.TrimRight(line, "\r\n")) + "\n")
	}
	return block.String()
}

// visible replaces what a terminal would obey.
func visible(r rune) rune {
	if unicode.IsControl(r) && r != '\t' {
		return unicode.ReplacementChar
	}
	return r
}

// markdownSigns are the characters that mean something to GitHub's Markdown within a line.
const markdownSigns = "\\`*_[]<>|~#!$&@"

// plainText writes text so that Markdown shows it as it is, on one line.
func plainText(text string) string {
	var escaped strings.Builder
	for _, r := range words.Printable(text) {
		if strings.ContainsRune(markdownSigns, r) {
			escaped.WriteByte('\\')
		}
		escaped.WriteRune(r)
	}
	return escaped.String()
}
