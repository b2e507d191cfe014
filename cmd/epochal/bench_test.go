package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"epochal/experiments/bench"
)

// In a pipe a benchmark reports its progress at every tick, and at none before it has begun.
func TestBenchTellsHowFarItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var printed strings.Builder
		p := &benchPrinter{terminal: &terminal{err: &printed}, started: time.Now()}
		ticks := make(chan time.Time)
		defer close(ticks)
		go p.tell(ticks)
		tick := func(after time.Duration) {
			time.Sleep(after)
			ticks <- time.Now()
			synctest.Wait()
		}
		tick(10 * time.Second)
		p.observe(bench.Measuring{Round: 1, Rounds: 6, Total: 24, What: "a cell"})
		tick(20 * time.Second)
		p.observe(bench.Measuring{Round: 2, Rounds: 6, Done: 7, Total: 24, What: "another", Left: 70 * time.Second})
		tick(20 * time.Second)
		tick(time.Minute)
		const want = "epochal: round 1 of 6, 0 of 24 measurements done, 30s elapsed\n" +
			"epochal: round 2 of 6, 7 of 24 measurements done, 50s elapsed, about 50s left\n" +
			"epochal: round 2 of 6, 7 of 24 measurements done, 1m50s elapsed\n"
		if printed.String() != want {
			t.Errorf("found\n%sexpected\n%s", printed.String(), want)
		}
	})
}
