package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// The help of every command consists of whole sentences and fits 80 columns.
func TestHelpIsWhole(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return // cobra's own
		}
		var text bytes.Buffer
		c.SetOut(&text)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(text.String(), "\n") {
			if utf8.RuneCountInString(line) > 80 {
				t.Errorf("%s: found a line wider than 80 columns: %q", c.CommandPath(), line)
			}
		}
		if strings.Contains(text.String(), "\n\n\n") {
			t.Errorf("%s: found an empty paragraph in\n%s", c.CommandPath(), text.String())
		}
		for paragraph := range strings.SplitSeq(c.Long, "\n\n") {
			if paragraph != "" && !strings.HasSuffix(paragraph, ".") {
				t.Errorf("%s: found a paragraph that breaks off: %q", c.CommandPath(), paragraph)
			}
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: found the summary %q, expected a phrase without a full stop", c.CommandPath(), c.Short)
		}
		for _, child := range c.Commands() {
			visit(child)
		}
	}
	visit(newRoot(newTerminal(&bytes.Buffer{}, &bytes.Buffer{}, os.Getenv)))
}

// What is wider than the terminal is folded at spaces; a pipe gets whole lines.
func TestFold(t *testing.T) {
	for _, c := range []struct {
		line  string
		width int
		want  string
	}{
		{"  one two three", 0, "  one two three"},
		{"  one two three", 15, "  one two three"},
		{"  one two three", 10, "  one two\n    three"},
		{"one-very-long-word and more", 8, "one-very-long-word\n  and\n  more"},
	} {
		if found := fold(c.line, c.width); found != c.want {
			t.Errorf("fold(%q, %d): found %q, expected %q", c.line, c.width, found, c.want)
		}
	}
}
