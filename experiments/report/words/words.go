// Package words writes numbers and text for people: in tables, pages and figures.
// It measures, trains and draws nothing.
package words

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Printable returns text on one line, with "�" for what no font can show.
func Printable(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)), " ")
}

// mostOfName is how many characters of a class's name are shown.
const mostOfName = 40

// Class writes a class, from 0: its name on one line, shortened where it is longer than
// 40 characters, or its number where it has none that can be shown. names are those of all
// classes, or nil.
func Class(names []string, class int) string {
	name := ""
	if class < len(names) {
		name = Printable(names[class])
	}
	if name == "" {
		return strconv.Itoa(class)
	}
	return Shorten(name, mostOfName)
}

// Shorten cuts a text to that many characters, at least 1, in the middle: names that begin
// alike often differ at their ends.
func Shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	end := (most - 1) / 3
	return strings.TrimRight(string(runes[:most-1-end]), " ") + "…" + strings.TrimLeft(string(runes[len(runes)-end:]), " ")
}

// Columns is how many columns of a terminal a text takes: two for a wide character such
// as a Chinese one, none for an accent that joins the character before it.
func Columns(text string) (columns int) {
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			columns += 2
		default:
			columns++
		}
	}
	return columns
}

// Wrap breaks text into lines that measure says are no wider than limit: at spaces,
// and within words that are wider by themselves, such as paths. A single character
// may still be wider. An empty text has no lines.
func Wrap(text string, limit int, measure func(string) int) []string {
	var lines []string
	for text != "" {
		end, space := 0, 0 // of the longest line that fits, and of its last whole word
		for i, r := range text {
			next := i + utf8.RuneLen(r)
			if i > 0 && measure(text[:next]) > limit {
				break
			}
			end = next
			if end == len(text) || text[end] == ' ' {
				space = end
			}
		}
		if space > 0 {
			end = space
		}
		lines = append(lines, text[:end])
		text = strings.TrimPrefix(text[end:], " ")
	}
	return lines
}

// Counted writes a number of things: "1 seed", "1,000 seeds".
func Counted(count int, thing string) string {
	if count != 1 {
		thing += "s"
	}
	return Thousands(count) + " " + thing
}

// Thousands writes a number of at least 0 with a comma between thousands.
func Thousands(number int) string {
	text := strconv.Itoa(number)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Widths writes the sizes of layers with a separator: "512,512"; "" for none.
func Widths(widths []int, separator string) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(widths), "[]"), " ", separator)
}

// Percent writes a share with some decimals, and never as 0% or 100% where it is
// only nearly that: "<0.1%", ">99.9%".
func Percent(share float64, decimals int) string {
	write := func(x float64) string { return strconv.FormatFloat(x, 'f', decimals, 64) }
	least := math.Pow10(-decimals)
	switch text := write(share * 100); {
	case share > 0 && text == write(0):
		return "<" + write(least) + "%"
	case share < 1 && text == write(100):
		return ">" + write(100-least) + "%"
	default:
		return text + "%"
	}
}

// Probability writes a probability of a softmax as [Percent] does: it is never quite 0 or
// 1, even where float32 rounds it to that.
func Probability(p float64, decimals int) string {
	return Percent(max(math.SmallestNonzeroFloat64, min(p, math.Nextafter(1, 0))), decimals)
}

// plain are the characters that every shell leaves as they are.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%"

// Shell writes arguments as a POSIX shell reads them.
func Shell(arguments ...string) string {
	quoted := make([]string, len(arguments))
	for i, argument := range arguments {
		if argument == "" || strings.Trim(argument, plain) != "" {
			argument = "'" + strings.ReplaceAll(argument, "'", `'\''`) + "'"
		}
		quoted[i] = argument
	}
	return strings.Join(quoted, " ")
}
