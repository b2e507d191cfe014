package study_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/study"
)

// For every number of shards and every set of runs, each run is in exactly one shard.
func TestShardsAreDisjointAndComplete(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		count := 1 + random.IntN(100)
		sizes := make([]int, count)
		for run := range 500 {
			identity := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, random.Uint64(), run)))
			owners := 0
			for i := range count {
				if (study.Shard{Index: i, Count: count}).Has(identity) {
					owners++
					sizes[i]++
				}
			}
			if owners != 1 {
				t.Fatalf("%d shards: found %s in %d of them, expected 1", count, identity, owners)
			}
		}
		if mean := 500 / count; slices.Max(sizes) > 3*mean+20 {
			t.Errorf("%d shards: found one of %d runs, expected about %d", count, slices.Max(sizes), mean)
		}
	}
	for text, want := range map[string]study.Shard{"0/1": {0, 1}, "3/4": {3, 4}} {
		if s, err := study.ParseShard(text); err != nil || s != want || s.String() != text {
			t.Errorf("%s: found %v and error %v", text, s, err)
		}
	}
	for _, text := range []string{"", "1", "4/4", "-1/4", "a/b", "0/0", "0/1000000", "1/2/3"} {
		if _, err := study.ParseShard(text); !errors.As(err, new(experiments.Problem)) {
			t.Errorf("%q: found error %v, expected a problem", text, err)
		}
	}
}

// Shards side by side in one folder make the same runs as one process.
func TestShardsMakeTheSameRuns(t *testing.T) {
	alone := t.TempDir()
	want, _ := do(t, runs(data, 3), options(alone))
	together := t.TempDir()
	var group sync.WaitGroup
	for i := range 3 {
		group.Go(func() {
			o := options(together)
			o.Jobs, o.Shard = 1, study.Shard{Index: i, Count: 3}
			results, err := study.Do(context.Background(), runs(data, 3), o)
			if err != nil {
				t.Errorf("shard %d: %v", i, err)
			}
			for j, r := range results {
				if r.Ours && r.Folder == "" {
					t.Errorf("shard %d: found no result of run %d, which is its own", i, j)
				}
			}
		})
	}
	group.Wait()
	o := options(together)
	o.ReadOnly = true
	got, planned := do(t, runs(data, 3), o)
	if planned != (study.Planned{Runs: 9, Done: 9}) {
		t.Fatalf("found the plan %+v, expected that all is done", planned)
	}
	if a, b := bits(t, together, got), bits(t, alone, want); a != b {
		t.Errorf("found other results:\n%s\nexpected\n%s", a, b)
	}
}

// Whoever has runs in common with a process that is at work is told so.
func TestShardsExcludeEachOther(t *testing.T) {
	o := options(t.TempDir())
	o.Shard = study.Shard{Index: 1, Count: 3}
	s, err := study.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		shard study.Shard
		busy  bool
	}{
		{study.Shard{}, true}, {study.Shard{Index: 1, Count: 3}, true},
		{study.Shard{Index: 0, Count: 2}, true}, {study.Shard{Index: 2, Count: 3}, false},
	} {
		o.Shard = c.shard
		other, err := study.Open(o)
		if errors.As(err, new(record.Busy)) != c.busy {
			t.Errorf("%v beside 1/3: found error %v, expected busy %t", c.shard, err, c.busy)
		}
		if c.busy && !strings.Contains(err.Error(), "shard 1/3 is being made: ") {
			t.Errorf("%v beside 1/3: found error %v, expected the shard in it", c.shard, err)
		}
		if err == nil {
			other.Close()
		}
	}
	s.Close()
	o.Shard = study.Shard{}
	whole, err := study.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	o.Shard = study.Shard{Index: 1, Count: 3}
	if _, err := study.Open(o); !errors.As(err, new(record.Busy)) {
		t.Errorf("found error %v, expected to be told who holds the folder", err)
	}
	o.ReadOnly = true
	if _, err := study.Open(o); err != nil {
		t.Errorf("found error %v, expected that reading is always possible", err)
	}
}

// A run that stops for now is a record with its reason, and continues to the same bits.
func TestRunsStopForNow(t *testing.T) {
	alone, o := t.TempDir(), options(t.TempDir())
	want, _ := do(t, runs(data, 1), options(alone))
	until := func(epochs int) []study.Run {
		all := runs(data, 1)
		for i := range all {
			all[i].Until = epochs
		}
		return all
	}
	for _, c := range []struct{ until, done, epochs int }{{1, 0, 1}, {1, 3, 1}, {3, 1, 3}, {2, 3, 3}} { // the wild one diverges at once
		results, planned := do(t, until(c.until), o)
		if r := results[0].Record; planned.Done != c.done || len(r.Epochs) != c.epochs || r.Stopped != experiments.StoppedByRung {
			t.Errorf("until %d: found %d done, %d epochs and reason %q, expected %+v", c.until, planned.Done, len(r.Epochs), r.Stopped, c)
		}
		r, err := record.ReadSoFar(filepath.Join(o.Folder, results[1].Folder))
		if !errors.Is(err, record.ErrUnfinished) || r.Stopped != experiments.StoppedByRung {
			t.Errorf("found the reason %q and error %v", r.Stopped, err)
		}
	}
	got, planned := do(t, runs(data, 1), o)
	if a, b := bits(t, o.Folder, got), bits(t, alone, want); a != b || planned.Done != 1 {
		t.Errorf("found %d done and other results:\n%s\nexpected\n%s", planned.Done, a, b)
	}
	if _, err := os.Stat(filepath.Join(o.Folder, got[0].Folder, record.CheckpointsFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found checkpoints of a complete run (%v)", err)
	}
	if _, planned := do(t, until(2), o); planned.Done != 3 {
		t.Errorf("found the plan %+v, expected that complete runs have all epochs", planned)
	}
}

// A watch counts runs rung by rung, and reads those that were there once only.
func TestWatch(t *testing.T) {
	o := options(t.TempDir())
	first, all := runs(data, 2), runs(data, 2)
	for i := range first {
		first[i].Until = 2
	}
	w, err := study.NewWatch(o, func(s *study.Study) error {
		results, err := s.Do(t.Context(), first)
		if err == nil && !slices.ContainsFunc(results, func(r study.Result) bool { return r.Folder == "" }) {
			_, err = s.Do(t.Context(), all)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func(done, missing, round int) {
		t.Helper()
		l, err := w.Look()
		if err != nil || l.Done() != done || len(l.Missing) != missing || l.Round != round {
			t.Errorf("found %d runs done, %+v and error %v, expected %d done, %d missing in round %d", l.Done(), l, err, done, missing, round)
		}
	}
	look(0, 6, 0)
	results, _ := do(t, first[:2], o)
	look(2, 4, 0)
	metrics := filepath.Join(o.Folder, results[0].Folder, record.MetricsFile)
	text := read(t, metrics)
	write(t, metrics, []byte("{"))
	look(2, 4, 0)
	write(t, metrics, text)
	do(t, first, o)
	look(2, 4, 1) // two ended before
	do(t, all[3:], o)
	look(4, 2, 1)
	do(t, all, o)
	look(6, 0, 1)
}

// Records of other folders are copied whole, and only if no two disagree.
func TestMerge(t *testing.T) {
	a, b := options(t.TempDir()), options(t.TempDir())
	want, _ := do(t, runs(data, 2), a)
	some := runs(data, 2)[:2]
	some[0].Until, some[1].Until = 2, 2
	do(t, some, b) // not as far as in a
	target := options(t.TempDir())
	merge := func(from ...string) (int, error) {
		copied, err := study.Merge(target.Folder, from, time.Now)
		return len(copied), err
	}
	for _, c := range []struct {
		from []string
		want int
	}{{[]string{b.Folder}, 2}, {[]string{b.Folder}, 0}, {[]string{a.Folder, b.Folder}, 6}, {[]string{b.Folder, a.Folder}, 0}} {
		if copied, err := merge(c.from...); copied != c.want || err != nil {
			t.Fatalf("found %d copied and error %v, expected %d", copied, err, c.want)
		}
	}
	got, planned := do(t, runs(data, 2), target)
	if planned.Done != 6 || bits(t, target.Folder, got) != bits(t, a.Folder, want) {
		t.Errorf("found the plan %+v and other results, expected those of the first folder", planned)
	}

	// A process was killed when it had put a run aside for a copy, and after the copy had come.
	run := filepath.Join(target.Folder, got[0].Folder)
	aside := filepath.Join(filepath.Dir(run), ".replaced-"+filepath.Base(run))
	for _, make := range []func() error{func() error { return os.Rename(run, aside) }, func() error { return os.Mkdir(aside, 0o755) }} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if _, planned := do(t, runs(data, 2), target); planned.Done != 6 {
			t.Errorf("found %d runs, expected 6", planned.Done)
		}
		if _, err := os.Lstat(aside); err == nil {
			t.Error("found the run that was put aside")
		}
	}

	// Another number in one record: nothing is copied.
	target = options(t.TempDir())
	do(t, runs(data, 1)[:1], target)
	file := filepath.Join(a.Folder, want[0].Folder, record.MetricsFile)
	text := string(read(t, file))
	i := strings.Index(text, `"train_accuracy":0.`) + len(`"train_accuracy":0.`)
	changed := []byte(text)
	changed[i] = '0' + (changed[i]-'0'+1)%10
	write(t, file, changed)
	copied, err := merge(a.Folder)
	if conflict := (study.Conflict{}); !errors.As(err, &conflict) || conflict.What != "other metrics of epoch 1" || copied != 0 {
		t.Errorf("found %d copied and error %v, expected a conflict", copied, err)
	}
	if left, _ := filepath.Glob(filepath.Join(target.Folder, "runs", "*")); len(left) != 1 {
		t.Errorf("found %v, expected that nothing was copied", left)
	}

	// What is no regular file is not followed, and nothing of it stays.
	write(t, file, []byte(text))
	link := filepath.Join(a.Folder, want[1].Folder, "link")
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	if _, err := merge(a.Folder); err == nil || !strings.Contains(err.Error(), "link: found a device, expected a file") {
		t.Errorf("found error %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(target.Folder, "runs", ".*")); len(left) != 0 {
		t.Errorf("found %v left behind", left)
	}
	const expected = "expected the folder of a sweep or of reproduce's results"
	if _, err := merge(t.TempDir()); err == nil || !strings.HasSuffix(err.Error(), expected) {
		t.Errorf("found error %v", err)
	}
	if !bytes.Contains(read(t, filepath.Join(target.Folder, record.LockFile)), []byte("pid")) {
		t.Error("found no lock file, expected that the folder was held")
	}
}
