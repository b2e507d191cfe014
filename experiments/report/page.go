package report

import (
	"image/color"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/image/font"
)

// Measures of every figure, in dots.
const (
	margin    = 32   // on all four sides
	pageWidth = 1536 // at most, within the margins: with them, 800 points

	titleSize     = 28
	titleCapitals = 20 // height of capital letters
	titleLine     = 36 // from baseline to baseline
	titleGap      = 28 // from the last baseline to the figure

	labelSize     = 22
	labelCapitals = 16 // height of digits
	captionLine   = 26 // from baseline to baseline, of labels in several lines
	captionGap    = 6  // from the last baseline to what it belongs to

	noteLine = 30 // from baseline to baseline
	noteGap  = 24 // from the figure to the first capitals
)

// Colours that are told apart by colour-blind readers, by Okabe and Ito. In grey
// they are not, so a difference of colour is always one of form or label too.
var (
	blue       = color.NRGBA{R: 0x00, G: 0x72, B: 0xB2, A: 0xFF}
	vermillion = color.NRGBA{R: 0xD5, G: 0x5E, B: 0x00, A: 0xFF}

	gridColor = color.Gray{Y: 0xE4}
	axisColor = color.Gray{Y: 0x80}
	noteColor = color.Gray{Y: 0x50}
)

// white mixes paint with white: a share of 0 leaves it, one of 1 is white.
func white(paint color.NRGBA, share float64) color.NRGBA {
	mix := func(c uint8) uint8 { return uint8(float64(c) + (255-float64(c))*share + 0.5) }
	return color.NRGBA{R: mix(paint.R), G: mix(paint.G), B: mix(paint.B), A: 0xFF}
}

// titleWidth is how wide a figure is to be for its title. A fifth of it stays free,
// for the viewer of an SVG may know only wider fonts.
func titleWidth(title string) int {
	return min(width(sans(titleSize, font.WeightBold), title)*5/4, pageWidth)
}

// titleLines breaks a title into lines for a figure of some width within its margins.
func titleLines(title string, content int) []string {
	face := sans(titleSize, font.WeightBold)
	return wrap(title, content*4/5, func(line string) int { return width(face, line) })
}

// titleHeight is from the upper margin to the figure.
func titleHeight(lines []string) int {
	if len(lines) == 0 {
		return 0
	}
	return titleCapitals + (len(lines)-1)*titleLine + titleGap
}

// drawTitle writes a title over the middle of a figure of some width with its margins.
func drawTitle(s sheet, figureWidth int, lines []string) {
	face := sans(titleSize, font.WeightBold)
	for i, line := range lines {
		s.text(face, figureWidth/2, margin+titleCapitals+i*titleLine, line)
	}
}

// noteWidth is how wide a figure is to be for the note under it, at least: a
// sentence takes several lines rather than widening a small figure.
func noteWidth(note string) int {
	return min(width(sans(labelSize, font.WeightNormal), note)*5/4, pageWidth/2)
}

// noteLines breaks a note into lines for a figure of some width within its margins.
func noteLines(note string, content int) []string {
	face := sans(labelSize, font.WeightNormal)
	return wrap(note, content*9/10, func(line string) int { return width(face, line) })
}

// noteHeight is from the figure to the lower margin.
func noteHeight(lines []string) int {
	if len(lines) == 0 {
		return 0
	}
	return noteGap + labelCapitals + (len(lines)-1)*noteLine
}

// drawNote writes a note at the lower margin of a figure of some height with its margins.
func drawNote(s sheet, figureHeight int, lines []string) {
	face := sans(labelSize, font.WeightNormal)
	last := figureHeight - margin
	for i, line := range lines {
		s.textAt(face, noteColor, leftAligned, margin, last-(len(lines)-1-i)*noteLine, line)
	}
}

// capitals is about the height of capital letters and digits of a size.
func capitals(size int) int { return (size*72 + 50) / 100 }

// printable returns text on one line, with "�" for what no font can show.
func printable(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)), " ")
}

// wrap breaks text into lines that measure says are no wider than limit: at spaces,
// and within words that are wider by themselves, such as paths. A single character
// may still be wider. There are no lines of an empty text.
func wrap(text string, limit int, measure func(string) int) []string {
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

// counted writes a number of things, in thousands, with an s from 0 or 2 of them on.
func counted(count int, thing string) string {
	if count != 1 {
		thing += "s"
	}
	return thousands(count) + " " + thing
}

// thousands writes a number of at least 0 with a comma between thousands.
func thousands(number int) string {
	text := strconv.Itoa(number)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// percent writes a share with some decimals, and never as none or all where it is
// only nearly so: "<0.1%", ">99.9%".
func percent(share float64, decimals int) string {
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
