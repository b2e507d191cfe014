package report

import (
	_ "embed"
	"regexp"
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

// codeBlock writes lines as they are, except for what a terminal would obey. As they
// are indented, nothing in them can end the block.
func codeBlock(text string) string {
	visible := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	return "    " + strings.ReplaceAll(visible, "\n", "\n    ") + "\n"
}

// markdownSigns are the characters that mean something to GitHub's Markdown within a line.
var markdownSigns = regexp.MustCompile("[\\\\`*_\\[\\]<>|~#!$&@]")

// plainText writes text so that Markdown shows it as it is, on one line.
func plainText(text string) string {
	return markdownSigns.ReplaceAllString(words.Printable(text), `\$0`)
}
