package main

import (
	"strings"
	"testing"
	"time"

	"epochal/experiments/bench"
)

// In a pipe a benchmark tells at every tick how far it is, and at none before it has begun.
func TestBenchTellsHowFarItIs(t *testing.T) {
	var printed strings.Builder
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := began.Add(20 * time.Second)
	p := &benchPrinter{terminal: &terminal{err: &printed}, now: func() time.Time { return at }, started: began}
	tick := func(after time.Duration) {
		ticks := make(chan time.Time, 1)
		ticks <- began.Add(after)
		close(ticks)
		p.tell(ticks)
	}
	tick(10 * time.Second)
	p.observe(bench.Measuring{Round: 1, Rounds: 6, Total: 24, What: "a cell"})
	tick(30 * time.Second)
	p.observe(bench.Measuring{Round: 2, Rounds: 6, Done: 7, Total: 24, What: "another", Left: 90 * time.Second})
	tick(60 * time.Second)
	tick(2 * time.Minute)
	const want = "epochal: round 1 of 6, 0 of 24 measurements done, 30s elapsed\n" +
		"epochal: round 2 of 6, 7 of 24 measurements done, 1m0s elapsed, about 50s left\n" +
		"epochal: round 2 of 6, 7 of 24 measurements done, 2m0s elapsed\n"
	if printed.String() != want {
		t.Errorf("found\n%sexpected\n%s", printed.String(), want)
	}
}
