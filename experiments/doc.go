// Package experiments runs the post's experiment: a [Config] goes in, epochs are
// trained and evaluated, [Event]s come out, and a run folder keeps the record.
//
//   - [Config] is everything that decides a run, validated in one place;
//   - [Run] is the epoch loop, which reads like the post's;
//   - an observer is told what happens while it happens;
//   - the run folder holds config.json, environment.json, metrics.jsonl,
//     evaluation.json and model.safetensors, so that a run can be repeated from
//     it alone, and record.Read reads it back;
//   - a [Device] is what several runs share.
//
// The package knows no flags and no terminals (cmd/epochal does), and no graphs
// (package model does).
package experiments
