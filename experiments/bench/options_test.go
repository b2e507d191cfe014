package bench_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

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
		"backend":  {func(o *bench.Options) { o.Backends = []string{"tpu"} }, `backend: backend "tpu" is unknown`},
		"auto": {func(o *bench.Options) { o.Backends = []string{"auto"} },
			"backend: found auto, expected a backend by name"},
		"tf32 in the name": {func(o *bench.Options) { o.Backends = []string{"xla:cuda,tf32=true"} },
			"backend: found xla:cuda,tf32=true, expected one without tf32"},
		"no backend":            {func(o *bench.Options) { o.Backends = []string{} }, "backend: found none"},
		"no network":            {func(o *bench.Options) { o.LayerSizes = nil }, "layer_sizes: found none"},
		"a network without any": {func(o *bench.Options) { o.LayerSizes = [][]int{{}} }, ""},
		"width": {func(o *bench.Options) { o.LayerSizes = [][]int{{8}, {0}} },
			"layer_sizes: layer sizes: width 0 of hidden layer 1"},
		"parameters":  {func(o *bench.Options) { o.LayerSizes = [][]int{{65536, 65536}} }, "parameters, expected at most"},
		"batch":       {func(o *bench.Options) { o.BatchSizes = []int{0} }, "batch_size: found 0, expected 1 to 60000"},
		"large batch": {func(o *bench.Options) { o.BatchSizes = []int{60001} }, "batch_size: found 60001"},
		"steps":       {func(o *bench.Options) { o.StepsPerCall = []bench.StepsPerCall{0} }, "steps_per_call: found 0"},
		"feed": {func(o *bench.Options) { o.Feeds = []string{"disk"} },
			`feed: found "disk", expected one of resident, host`},
		"no feed": {func(o *bench.Options) { o.Feeds = []string{} }, "feed: found none"},
		"precision": {func(o *bench.Options) { o.Precisions = []string{"half"} },
			`precision: found "half", expected one of float32, tf32`},
		"rounds":     {func(o *bench.Options) { o.Rounds = 0 }, "rounds: found 0, expected 1 to 1000"},
		"few rounds": {func(o *bench.Options) { o.Rounds = 1 }, ""},
		"seconds":    {func(o *bench.Options) { o.Seconds = 0 }, "seconds: found 0.0, expected above 0"},
		"no number":  {func(o *bench.Options) { o.Seconds = math.NaN() }, "seconds: found NaN"},
		"timeout":    {func(o *bench.Options) { o.Timeout = -time.Second }, "timeout: found -1s"},
		"peer": {func(o *bench.Options) { o.Peers = []string{"keras"} },
			`peer: found "keras", expected one of torch-loader, torch-memory, jax`},
		"python": {func(o *bench.Options) { o.Peers, o.Python = []string{"jax"}, "" }, `python: found ""`},
		"host without its calls": {func(o *bench.Options) {
			o.Feeds, o.StepsPerCall, o.Backends = []string{"host"}, []bench.StepsPerCall{bench.WholeEpoch, 100}, []string{"xla:cpu"}
		}, "feed: found host without --steps-per-call 1"},
		"host in pure Go": {func(o *bench.Options) {
			o.Feeds, o.StepsPerCall, o.Backends = []string{"host"}, []bench.StepsPerCall{bench.WholeEpoch}, []string{"go"}
		}, ""},
		"tf32 on a processor": {func(o *bench.Options) {
			o.Precisions, o.Backends = []string{"float32", "tf32"}, []string{"xla:cpu", "go"}
		}, "precision: found tf32 on xla:cpu, go, expected xla:cuda"},
		"all of it": {func(o *bench.Options) { o.Rounds, o.Seconds, o.BatchSizes = 0, -1, []int{0} },
			"batch_size: found 0, expected 1 to 60000\nrounds: found 0, expected 1 to 1000\nseconds: found -1.0"},
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
		"no backend": {bench.Defaults(), nil, nil},
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
		{nil, math.NaN(), math.Inf(-1), math.Inf(1)},
		{[]float64{3}, 3, math.Inf(-1), math.Inf(1)},
		{[]float64{5, 1, 3}, 3, math.Inf(-1), math.Inf(1)},
		{[]float64{5, 4, 3, 2, 1}, 3, math.Inf(-1), 5}, // half an interval is none
		// The smallest of 6 is above the median with 1/64, the largest below it
		// with as much: 97% between them.
		{[]float64{6, 1, 5, 2, 4, 3}, 3.5, 1, 6},
		{[]float64{9, 1, 8, 2, 7, 3, 6, 4, 5}, 5, 2, 8},
	} {
		given := slices.Clone(test.values)
		s := bench.Summarize(test.values)
		same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
		if s.N != len(test.values) || !same(s.Median, test.median) || s.Low != test.low || s.High != test.high {
			t.Errorf("%v: found %+v, expected %v with %v to %v", test.values, s, test.median, test.low, test.high)
		}
		if s.Known() != !math.IsInf(test.low, 0) {
			t.Errorf("%v: an interval is known: found %t", test.values, s.Known())
		}
		if !slices.Equal(given, test.values) {
			t.Errorf("the values were changed to %v", test.values)
		}
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

// The operations of the cells are those of the shapes, counted by hand.
func TestCellRates(t *testing.T) {
	m := bench.Measurement{Step: 0.5, Epoch: 2}
	for _, test := range []struct {
		layers     []int
		batch      int
		multiplies float64 // a training step's multiply-adds per image
	}{
		{nil, 1, 2 * 784 * 10},                                   // forward and the weights' gradient
		{[]int{32}, 4, 2*784*32 + 3*32*10},                       // and the gradient of the second layer's input
		{[]int{512, 512}, 64, 2*784*512 + 3*512*512 + 3*512*10},  // the post's
		{[]int{100, 50, 25}, 7, 2*78400 + 3*5000 + 3*1250 + 750}, // and a deeper one
	} {
		c := bench.Cell{LayerSizes: test.layers, BatchSize: test.batch}
		if found, want := c.FLOPS(m), 2*test.multiplies*float64(test.batch)/0.5; math.Abs(found-want) > 1 {
			t.Errorf("%v: found %v operations a second, expected %v", test.layers, found, want)
		}
	}
	if found := (bench.Cell{}).ImagesPerSecond(m); found != 30000 {
		t.Errorf("found %v images/s, expected 30000", found)
	}
	if text := fmt.Sprint(bench.PeerRequirements()); !strings.Contains(text, "jax==") || !strings.Contains(text, "torch==") {
		t.Errorf("found the requirements %q", text)
	}
}

// Steps per call are written and read alike wherever they appear.
func TestStepsPerCall(t *testing.T) {
	for text, want := range map[string]bench.StepsPerCall{"1": 1, "100": 100, "epoch": bench.WholeEpoch} {
		var found bench.StepsPerCall
		if err := found.UnmarshalText([]byte(text)); err != nil || found != want || found.String() != text {
			t.Errorf("%s: found %d, written %v, and the error %v", text, int(found), found, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5", "all"} {
		var found bench.StepsPerCall
		if err := found.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: found no error", text)
		}
	}
}
