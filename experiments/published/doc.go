// Package published holds the blog post's experiments as data: what each one
// changes against the first attempt and why, what the post claims about it, and
// whether runs bear a claim out.
//
//   - an [Experiment] is a small YAML file of deviations; [All] are the post's,
//     each as published and with normalized inputs, and [Load] reads a user's;
//   - [Add] and [Select] refuse whatever could not be run or compared;
//   - a [Claim] can be measured on one seed's run ([Claim.Measure]) and judged
//     over the seeds ([Claim.Judge]): holds, does not hold, undecided.
//
// A claim is judged by the 95% confidence interval of the seeds' mean, never by
// one run: a single seed decides only if it lies far off.
//
// The package trains nothing, reads no run folder and prints nothing. It imports
// experiments (what a run is) and is imported by experiments/reproduce (which runs
// them), experiments/report (which shows them) and cmd/epochal.
package published
