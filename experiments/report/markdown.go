package report

import (
	_ "embed"
	"io"
	"strings"
	"text/template"
	"unicode"

	"epochal/experiments/report/words"
)

// Markdown writes results.md: the verdicts, the twins with normalized inputs and the
// settings, as tables of GitHub's Markdown.
func Markdown(w io.Writer, r Results) error {
	d, err := newDocument(r, nil)
	if err != nil {
		return err
	}
	return markdownTemplate.Execute(w, d)
}

//go:embed results.md.tmpl
var markdownText string

var markdownTemplate = template.Must(template.New("results.md").
	Funcs(template.FuncMap{"text": plainText, "code": codeBlock, "lower": strings.ToLower}).Parse(markdownText))

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
