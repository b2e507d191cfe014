package report

import (
	"fmt"

	"epochal/experiments/published"
)

// What is reported: the results of a reproduction, and how this package understands
// them.
type (
	// Results are what is reported.
	Results = published.Results

	experiment  = published.ExperimentResult
	runResult   = published.RunResult
	claimResult = published.ClaimResult
	interval    = published.Interval
)

// pointsText is a difference of accuracies in points: "+3.61 ± 0.10".
func pointsText(i interval) string {
	text := fmt.Sprintf("%+.2f", 100*i.Mean)
	switch {
	case i.N == 0:
		return "–"
	case !i.Known():
		return text
	default:
		return fmt.Sprintf("%s\u00a0±\u00a0%.2f", text, 100*(i.High-i.Mean))
	}
}

// publishedAccuracy is the final test accuracy that the post has for an experiment.
func publishedAccuracy(e experiment) (accuracy float64, found bool) {
	for _, c := range e.Claims {
		if c.Kind == published.FinalTestAccuracy {
			return c.Value, true
		}
	}
	return 0, false
}
