package main

import (
	"bytes"
	"strings"
	"testing"
)

// The first of LC_ALL, LC_CTYPE and LANG that is set says whether signs can be shown.
func TestLocale(t *testing.T) {
	for _, c := range []struct {
		variables string // NAME=value, separated by spaces
		utf8      bool
	}{
		{"", false},
		{"LANG=C", false},
		{"LANG=POSIX", false},
		{"LANG=en_US", false},
		{"LANG=de_DE.ISO-8859-15@euro", false},
		{"LANG=ja_JP.eucJP", false},
		{"LANG=en_GB.UTF-8", true},
		{"LANG=C.utf8", true},
		{"LC_CTYPE=UTF-8", true}, // as on macOS
		{"LANG=en_GB.UTF-8 LC_ALL=C", false},
		{"LANG=C LC_CTYPE=C.UTF-8", true},
		{"LANG=C LC_CTYPE=C.UTF-8 LC_ALL=C", false},
		{"LC_ALL=de_DE.UTF-8 LC_CTYPE=C LANG=C", true},
	} {
		environment := func(name string) string {
			for variable := range strings.FieldsSeq(c.variables) {
				if key, value, _ := strings.Cut(variable, "="); key == name {
					return value
				}
			}
			return ""
		}
		var out, err bytes.Buffer
		term := newTerminal(&out, &err, environment)
		term.printf("%s", "89.4% ± 0.4, 5 → 3…\n")
		term.table("", 1, []string{"5 × 3", "|"}, []string{"–", "|"}, []string{"87 ± 1", "|"})
		term.print(`{"name":"±"}` + "\n")
		term.note("the post’s %s", "größe")
		term.warn("1 ± 1")
		term.warn("1 ± 1")
		want := "89.4% +- 0.4, 5 -> 3...\n5 x 3    |\n-        |\n87 +- 1  |\n" +
			"{\"name\":\"±\"}\nepochal: the post's größe\nepochal: warning: 1 +- 1\n"
		if c.utf8 {
			want = "89.4% ± 0.4, 5 → 3…\n5 × 3   |\n–       |\n87 ± 1  |\n" +
				"{\"name\":\"±\"}\nepochal: the post’s größe\nepochal: warning: 1 ± 1\n"
		}
		if found := out.String() + err.String(); found != want {
			t.Errorf("%q: found\n%s\nexpected\n%s", c.variables, found, want)
		}
	}
}
