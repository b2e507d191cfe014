package report

import "epochal/experiments/report/words"

// How this package writes numbers and text.
var (
	counted   = words.Counted
	percent   = words.Percent
	printable = words.Printable
	thousands = words.Thousands
	wrap      = words.Wrap
)

// ceilDiv returns a/b rounded up, for a of at least 0 and b of at least 1.
func ceilDiv(a, b int) int { return (a + b - 1) / b }
