package bench

import (
	"math"

	"golang.org/x/perf/benchmath"
)

// FewestRounds is how many rounds a 95% interval needs, with no assumption about the
// distribution.
const FewestRounds = 6

// Summary is the median of repeated measurements with its 95% interval, by
// golang.org/x/perf/benchmath with no assumption about the distribution.
type Summary struct {
	N         int
	Median    float64 // NaN without measurements
	Low, High float64 // of the interval; infinite with fewer than FewestRounds measurements
}

// Known reports whether there are enough measurements for an interval.
func (s Summary) Known() bool { return s.N > 0 && !math.IsInf(s.Low, 0) && !math.IsInf(s.High, 0) }

// Summarize returns the median and the interval of values.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{Median: math.NaN(), Low: math.Inf(-1), High: math.Inf(1)}
	}
	sample := benchmath.NewSample(append([]float64(nil), values...), &benchmath.DefaultThresholds)
	summary := benchmath.AssumeNothing.Summary(sample, 0.95)
	return Summary{N: len(values), Median: summary.Center, Low: summary.Lo, High: summary.Hi}
}

// Differ reports whether two sets of at least 1 measurement differ by more than noise: a
// Mann-Whitney U-test at benchmath's level of 0.05. Too few measurements never
// differ.
func Differ(a, b []float64) bool {
	c := benchmath.AssumeNothing.Compare(
		benchmath.NewSample(append([]float64(nil), a...), &benchmath.DefaultThresholds),
		benchmath.NewSample(append([]float64(nil), b...), &benchmath.DefaultThresholds))
	return c.P <= c.Alpha
}
