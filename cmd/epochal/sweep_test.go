package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"epochal/experiments/study"
	"epochal/experiments/sweep"
)

// In a pipe, a sweep says how far it is when it has printed nothing for a while.
func TestSweepIsNotSilent(t *testing.T) {
	var out, err bytes.Buffer
	p := &sweepPrinter{terminal: newTerminal(&out, &err, func(string) string { return "" }), plan: sweep.Defaults()}
	p.observe(study.Planned{Runs: 5, Done: 1})
	p.observe(study.Working{Jobs: 2})
	progress := func(seed uint64, epoch int) {
		r := study.Run{Name: "a", Config: p.plan.Base}
		r.Config.Seed = seed
		p.observe(study.Progress{Run: r, Epoch: epoch, Share: 0.25, Left: time.Minute})
	}
	progress(0, 3)
	p.said = p.said.Add(-quiet)
	progress(1, 7)
	progress(1, 8)
	const want = "epochal: 25%, 1m0s left; runs: 1 done, 2 running (epochs 3 to 7), 2 left\n"
	if text := err.String(); !strings.HasSuffix(text, " in parallel\n"+want) {
		t.Errorf("found %q, expected it to end with %q", text, want)
	}
}
