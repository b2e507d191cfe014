package published_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"epochal/experiments/published"
)

// laughs is the YAML that a reader which follows aliases blows up to 9 to the
// power of levels words.
func laughs(levels int) string {
	var text strings.Builder
	text.WriteString("why: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	for i := 1; i < levels; i++ {
		fmt.Fprintf(&text, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 8), i-1)
	}
	return text.String()
}

// What a file takes to be read is bounded by its length, which is bounded as well.
func TestHostileFilesTakeLittleMemory(t *testing.T) {
	longest := func(part string) string { return strings.Repeat(part, published.MaxFileBytes/len(part)) }
	for name, text := range map[string]string{
		"billion laughs":       laughs(10),
		"laughs in a setting":  "name: a\nsettings: {layer_sizes: &a [1], activation: *a}\n",
		"an alias of itself":   "name: &a [*a]\n",
		"merged":               "name: &a {b: c}\nsettings:\n  <<: *a\n",
		"aliases":              "name: &a x\nwhy: [" + strings.Repeat("*a, ", 400) + "]\n",
		"deep list":            longest("["),
		"deep mapping":         longest("{a: "),
		"deep blocks":          longest("- "),
		"one line":             "name: " + longest("x"),
		"one comment":          "#" + longest("x"),
		"blank lines":          longest("\n"),
		"a long text":          "name: a\nwhy: |\n" + longest("  x\n"),
		"many documents":       longest("---\n"),
		"many keys":            longest("a: b\n"),
		"as long as can be":    longest("a"),
		"longer than it may":   longest("a") + "aa",
		"an endless number":    "name: a\nsettings: {epochs: " + strings.Repeat("9", 60_000) + "}\n",
		"a number of zeros":    "name: a\nsettings: {learning_rate: 0." + strings.Repeat("0", 60_000) + "1}\n",
		"an enormous exponent": "name: a\nsettings: {learning_rate: 1e" + strings.Repeat("9", 60_000) + "}\n",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := published.Parse("f", []byte(text))
		runtime.ReadMemStats(&after)
		if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 96<<20 {
			t.Errorf("%s: found %d bytes allocated for a file of %d", name, bytes, len(text))
		}
		var problem *published.Error
		if !errors.As(err, &problem) || len(err.Error()) > 4000 {
			t.Errorf("%s: found error %v, expected a short one that says what is wrong", name, err)
		}
	}
}
