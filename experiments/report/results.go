package report

import (
	"fmt"
	"slices"

	"epochal/experiments/published"
	"epochal/experiments/report/words"
	"epochal/experiments/reproduce"
)

// What is reported: the results of a reproduction, and how this package understands
// them.
type (
	// Results are what is reported.
	Results = reproduce.Results

	experiment  = reproduce.Experiment
	runResult   = reproduce.RunResult
	claimResult = reproduce.ClaimResult
	interval    = published.Interval
)

// isOwn reports whether an experiment is a user's and not the post's.
func isOwn(e experiment) bool {
	all, err := published.All()
	return err != nil || !slices.ContainsFunc(all, func(p published.Experiment) bool { return p.Name == e.Name })
}

// newInterval returns the interval of the values of some seeds.
func newInterval(values []float64) interval { return published.NewInterval(values) }

// fewestSeeds is how many seeds an interval needs: that of two is so wide that it
// tells nothing.
const fewestSeeds = 3

// accuracyText is a mean of accuracies with half of its interval, "89.35% ± 0.12", or
// with its ends where those are cut at 0 or 100%.
func accuracyText(i interval) string {
	switch mean := words.Percent(i.Mean, 2); {
	case i.N == 0:
		return "none"
	case i.N < fewestSeeds:
		return mean
	case i.Low < 0 || i.High > 1:
		return fmt.Sprintf("%s (%.2f to %.2f)", mean, 100*max(i.Low, 0), 100*min(i.High, 1))
	default:
		return fmt.Sprintf("%s\u00a0±\u00a0%.2f", mean, 100*(i.High-i.Mean))
	}
}

// pointsText is a difference of accuracies in points: "+3.61 ± 0.10".
func pointsText(i interval) string {
	text := fmt.Sprintf("%+.2f", 100*i.Mean)
	switch {
	case i.N == 0:
		return "–"
	case i.N < fewestSeeds:
		return text
	default:
		return fmt.Sprintf("%s\u00a0±\u00a0%.2f", text, 100*(i.High-i.Mean))
	}
}

// publishedAccuracy is the final test accuracy that the post has for an experiment.
func publishedAccuracy(e experiment) (accuracy float64, found bool) {
	for _, c := range e.Claims {
		if c.Claim == finalTestAccuracy {
			_, err := fmt.Sscanf(c.Published, "%f%%", &accuracy)
			return accuracy / 100, err == nil
		}
	}
	return 0, false
}

// finalTestAccuracy is what a claim about it is called.
var finalTestAccuracy = published.Claim{Kind: published.FinalTestAccuracy}.String()
