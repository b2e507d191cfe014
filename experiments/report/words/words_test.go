package words_test

import (
	"strings"
	"testing"

	"epochal/experiments/report/words"

	"github.com/google/go-cmp/cmp"
)

func TestClass(t *testing.T) {
	names := []string{"Ankle boot", "\x1b[2J\ttwo\n lines", "", " \n", strings.Repeat("é", 41), strings.Repeat("x", 40), "a\u202eb", "<b>"}
	for class, expected := range []string{
		"Ankle boot", "�[2J two lines", "2", "3",
		strings.Repeat("é", 26) + "…" + strings.Repeat("é", 13), strings.Repeat("x", 40), "a�b", "<b>", "8",
	} {
		if found := words.Class(names, class); found != expected {
			t.Errorf("found %q as the name of class %d, expected %q", found, class, expected)
		}
	}
	if found := words.Class(nil, 3); found != "3" {
		t.Errorf("found %q without names, expected 3", found)
	}
	if found := words.Shorten("a long name", 1); found != "…" {
		t.Errorf("found %q for one character, expected …", found)
	}
}

func TestColumns(t *testing.T) {
	for text, expected := range map[string]int{"": 0, "Bag": 3, "字": 2, "ｱ": 1, "e\u0301": 1, "→": 1, "👟 shoe": 7} {
		if found := words.Columns(text); found != expected {
			t.Errorf("found %d columns for %q, expected %d", found, text, expected)
		}
	}
}

func TestProbability(t *testing.T) {
	for p, expected := range map[float64]string{
		1: ">99.99%", 0: "<0.01%", 0.99996: ">99.99%", 0.5: "50.00%", 1e-9: "<0.01%", 0.9999: "99.99%",
	} {
		if found := words.Probability(p, 2); found != expected {
			t.Errorf("found %s for %v, expected %s", found, p, expected)
		}
	}
}

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
