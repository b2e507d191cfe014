package bench_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"epochal/experiments/bench"

	"github.com/google/go-cmp/cmp"
)

func TestValidate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*bench.Options)
		want   string // the error, "" for none
	}{
		"defaults": {func(*bench.Options) {}, ""},
		"quick":    {func(o *bench.Options) { *o = bench.Quick() }, ""},
		"tf32 in the name": {func(o *bench.Options) { o.Backends = []string{"xla:cuda,tf32=true"} },
			"backend: found xla:cuda,tf32=true, expected one without tf32"},
		"a network without any": {func(o *bench.Options) { o.LayerSizes = [][]int{{}} }, ""},
		"parameters":            {func(o *bench.Options) { o.LayerSizes = [][]int{{65536, 65536}} }, "parameters, expected at most"},
		"large batch":           {func(o *bench.Options) { o.BatchSizes = []int{60001} }, "batch_size: found 60001"},
		"steps":                 {func(o *bench.Options) { o.StepsPerCall = []bench.StepsPerCall{0} }, "steps_per_call: found 0"},
		"no steps":              {func(o *bench.Options) { o.StepsPerCall = nil }, "steps_per_call: found none"},
		"no feed":               {func(o *bench.Options) { o.Feeds = []string{} }, "feed: found none"},
		"few rounds":            {func(o *bench.Options) { o.Rounds = 1 }, ""},
		"no number":             {func(o *bench.Options) { o.Seconds = math.NaN() }, "seconds: found NaN"},
		"python":                {func(o *bench.Options) { o.Peers, o.Python = []string{"jax"}, "" }, `python: found ""`},
		"host in pure Go": {func(o *bench.Options) {
			o.Feeds, o.StepsPerCall, o.Backends = []string{"host"}, []bench.StepsPerCall{bench.WholeEpoch}, []string{"go"}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := bench.Defaults()
			test.change(&o)
			err := o.Validate()
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("found %v, expected %q", err, test.want)
			}
		})
	}
}

func TestGrid(t *testing.T) {
	const epoch = bench.WholeEpoch
	steps := func(all ...bench.StepsPerCall) []bench.StepsPerCall { return all }
	for name, test := range map[string]struct {
		options  bench.Options
		backends []string
		want     []string
	}{
		"everything": {
			bench.Options{LayerSizes: [][]int{{8, 4}}, BatchSizes: []int{64}, StepsPerCall: steps(epoch, 100, 1)},
			[]string{"xla:cuda", "xla:cpu", "go"},
			[]string{
				"xla:cuda 8,4 batch 64, epoch per call",
				"xla:cuda 8,4 batch 64, epoch per call, tf32",
				"xla:cuda 8,4 batch 64, 100 steps per call",
				"xla:cuda 8,4 batch 64, 100 steps per call, tf32",
				"xla:cuda 8,4 batch 64, 1 step per call",
				"xla:cuda 8,4 batch 64, 1 step per call, tf32",
				"xla:cuda 8,4 batch 64, 1 step per call, fed by the host",
				"xla:cuda 8,4 batch 64, 1 step per call, fed by the host, tf32",
				"xla:cpu 8,4 batch 64, epoch per call",
				"xla:cpu 8,4 batch 64, 100 steps per call",
				"xla:cpu 8,4 batch 64, 1 step per call",
				"go 8,4 batch 64, epoch per call",
			},
		},
		"networks and batches": {
			bench.Options{LayerSizes: [][]int{{8}, {}}, BatchSizes: []int{1, 2}, StepsPerCall: steps(epoch), Feeds: []string{"resident"}},
			[]string{"xla:cpu"},
			[]string{
				"xla:cpu 8 batch 1, epoch per call", "xla:cpu 8 batch 2, epoch per call",
				"xla:cpu [] batch 1, epoch per call", "xla:cpu [] batch 2, epoch per call",
			},
		},
		"the same cell once": {
			bench.Options{
				LayerSizes: [][]int{{8}, {8}}, BatchSizes: []int{600, 600}, StepsPerCall: steps(epoch, 100, 1000, 1),
				Feeds: []string{"resident"}, Precisions: []string{"float32"},
			},
			[]string{"xla:cuda"},
			[]string{"xla:cuda 8 batch 600, epoch per call", "xla:cuda 8 batch 600, 1 step per call"},
		},
		"pure Go has one way to dispatch": {
			bench.Options{LayerSizes: [][]int{{8}}, BatchSizes: []int{64}, StepsPerCall: steps(epoch, 100), Feeds: []string{"resident", "host"}},
			[]string{"go"},
			[]string{"go 8 batch 64, epoch per call", "go 8 batch 64, 1 step per call, fed by the host"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var found []string
			for _, cell := range test.options.Grid(test.backends) {
				found = append(found, cell.String())
			}
			if difference := cmp.Diff(test.want, found); difference != "" {
				t.Errorf("expected -, found +:\n%s", difference)
			}
		})
	}
}

func TestSummarize(t *testing.T) {
	for _, test := range []struct {
		values            []float64
		median, low, high float64
	}{
		{[]float64{3}, 3, math.Inf(-1), math.Inf(1)},
		{[]float64{5, 4, 3, 2, 1}, 3, math.Inf(-1), 5}, // half an interval is none
		// The smallest of 6 is above the median with 1/64, the largest below it
		// with as much: 97% between them.
		{[]float64{6, 1, 5, 2, 4, 3}, 3.5, 1, 6},
	} {
		given := slices.Clone(test.values)
		expected := bench.Summary{N: len(test.values), Median: test.median, Low: test.low, High: test.high}
		if s := bench.Summarize(test.values); s != expected || s.Known() != !math.IsInf(test.low, 0) {
			t.Errorf("%v: found %+v, known: %t, expected %+v", test.values, s, s.Known(), expected)
		}
		if !slices.Equal(given, test.values) {
			t.Errorf("the values were changed to %v", test.values)
		}
	}
	if s := bench.Summarize(nil); s.Known() || !math.IsNaN(s.Median) {
		t.Errorf("nothing: found %+v", s)
	}
}

func TestDiffer(t *testing.T) {
	for _, test := range []struct {
		a, b   []float64
		differ bool
	}{
		{[]float64{1}, []float64{2}, false},
		// Complete separation of 3 and 3: 2 of the 20 arrangements are as extreme, p is 0.1.
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, false},
		// Of 4 and 4: 2 of 70, 0.03.
		{[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, true},
		{[]float64{1, 3, 5, 7, 9, 11}, []float64{2, 4, 6, 8, 10, 12}, false},
		{[]float64{1, 1, 1, 1, 1, 1}, []float64{1, 1, 1, 1, 1, 1}, false},
	} {
		if differ := bench.Differ(test.a, test.b); differ != test.differ {
			t.Errorf("%v and %v: found %t, expected %t", test.a, test.b, differ, test.differ)
		}
	}
}
