package main

import (
	"fmt"
	"strconv"
	"strings"

	"epochal/experiments/report/words"
)

// widestColumn is the width of the names that stand above the columns of a confusion
// matrix; longer ones have their numbers there.
const widestColumn = 4

// confusionRows is a confusion matrix [label][predicted] as rows of cells below a head. names
// are those of the classes, or nil.
func confusionRows(names []string, confusion [][]int) [][]string {
	widest := 0
	for class := range confusion {
		widest = max(widest, words.Columns(words.Class(names, class)))
	}
	head, rows := []string{`true\predicted`}, [][]string{nil}
	for class, counts := range confusion {
		name := words.Class(names, class)
		column := name
		if widest > widestColumn {
			column = strconv.Itoa(class)
			name += " " + column
		}
		head = append(head, column)
		row := []string{name}
		for _, count := range counts {
			row = append(row, strconv.Itoa(count))
		}
		rows = append(rows, row)
	}
	rows[0] = head
	return rows
}

// aligned is rows of cells below each other, each column aligned at its right. Cells are
// measured as terminals show them: names of classes can have wide characters.
func aligned(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], words.Columns(cell))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(&text, "  %s%s", strings.Repeat(" ", widths[i]-words.Columns(cell)), cell)
		}
		text.WriteByte('\n')
	}
	return text.String()
}
