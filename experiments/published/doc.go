// Package published holds the blog post's experiments as data: what each one
// changes from the first attempt and why, what the post claims about it; and it
// runs them, measures, and says whether the runs bear a claim out.
//
//   - an [Experiment] is a small YAML file of deviations; [Known] are the post's,
//     each as published and with normalized inputs, and those of users' files;
//     [Choose] picks what a command asks for;
//   - a [Claim] is measured on one seed's run ([Claim.Measure]) and judged over the
//     seeds ([Claim.Judge]): holds, does not hold, undecided. A kind of claim is a
//     row of the table kinds: its fields, unit, words and measure;
//   - [Reproduce] runs what is missing and returns [Results], results.json, with
//     what earlier commands left in the folder; [ReproduceShard] only makes one part
//     of the runs, for machines side by side.
//
// A claim is judged by the 95% confidence interval of the seeds' mean, never by
// one run: fewer than [MinSeeds] decide only if they lie far off.
//
// results.json of another schema, and run folders of older versions, are neither
// read nor changed.
//
// The group [Convolution] compares convolutions with fully connected networks;
// [Results.Answer] says what it found.
//
// Runs are made by experiments/study, and networks are evaluated on distorted test
// images by experiments/evaluate. The package draws and prints nothing
// (experiments/report and cmd/epochal do) and opens no device.
package published
