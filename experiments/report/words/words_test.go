package words_test

import (
	"testing"

	"epochal/experiments/report/words"

	"github.com/google/go-cmp/cmp"
)

func TestWrap(t *testing.T) {
	measure := func(line string) int { return len([]rune(line)) }
	for _, test := range []struct {
		text     string
		expected []string
	}{
		{"", nil},
		{"ten  chars", []string{"ten  chars"}},
		{"eleven char", []string{"eleven", "char"}},
		{"0123456789 next", []string{"0123456789", "next"}},
		{"a/path/without/spaces", []string{"a/path/wit", "hout/space", "s"}},
		{"äöüäöüäöüäöü", []string{"äöüäöüäöüä", "öü"}},
	} {
		if diff := cmp.Diff(test.expected, words.Wrap(test.text, 10, measure)); diff != "" {
			t.Errorf("Wrap(%q) (-expected +found):\n%s", test.text, diff)
		}
	}
	if found := words.Wrap("ab", 0, measure); len(found) != 2 {
		t.Errorf("found %q where nothing fits, expected a character a line", found)
	}
}

func TestWords(t *testing.T) {
	for _, test := range []struct{ found, expected string }{
		{words.Printable(" a\tb\n\x00\xff\u202ec é数 "), "a b ���c é数"},
		{words.Counted(1, "seed"), "1 seed"},
		{words.Counted(1000, "seed"), "1,000 seeds"},
		{words.Thousands(1234567), "1,234,567"},
		{words.Percent(0.8935, 1), "89.3%"},
		{words.Percent(0.0001, 1), "<0.1%"},
		{words.Percent(0.99999, 1), ">99.9%"},
		{words.Percent(1, 1), "100.0%"},
	} {
		if test.found != test.expected {
			t.Errorf("found %q, expected %q", test.found, test.expected)
		}
	}
}
