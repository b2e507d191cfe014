package bench_test

import (
	"fmt"
	"math"
	"testing"

	"epochal/experiments/bench"

	"github.com/google/go-cmp/cmp"
)

// rounds are some that measure one number of which the median is given, a percent
// apart from each other.
func rounds(count int, set func(*bench.Measurement, float64), median float64) []bench.Measurement {
	all := make([]bench.Measurement, count)
	for i := range all {
		set(&all[i], median*(1+0.01*float64(2*i-count+1)/2))
	}
	return all
}

// cell is one of a square network, an epoch a call.
func cell(backend string, width, batch int) bench.Cell {
	return bench.Cell{
		Backend: backend, Precision: bench.Float32, LayerSizes: []int{width, width}, BatchSize: batch,
		StepsPerCall: bench.WholeEpoch, Feed: bench.FeedResident,
	}
}

// training is a cell of some images per second, measured five times.
func training(c bench.Cell, images float64) bench.CellResult {
	return bench.CellResult{Cell: c, Rounds: rounds(5, func(m *bench.Measurement, x float64) { m.Epoch = x }, bench.TrainImages/images)}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b)) }

func TestCrossoverAlongWidth(t *testing.T) {
	cpu, gpu := cell("xla:cpu", 1, 1).Runner(), cell("xla:cuda", 1, 1).Runner()
	for _, test := range []struct {
		name     string
		cpu, gpu map[int]float64 // images/s by width
		expected []bench.Crossing
	}{
		// At 100 the ratio is 4, at 1,600 a quarter: on logarithmic axes the lines meet
		// half way, at 400.
		{"half way", map[int]float64{100: 8000, 1600: 500}, map[int]float64{100: 2000, 1600: 2000}, []bench.Crossing{
			{At: 400, Low: 100, High: 1600, Faster: gpu},
		}},
		// 9 to 1/3: two thirds of the way from 10 to 10,000.
		{"two thirds", map[int]float64{10: 9000, 10_000: 1000}, map[int]float64{10: 1000, 10_000: 3000}, []bench.Crossing{
			{At: 1000, Low: 10, High: 10_000, Faster: gpu},
		}},
		{"never", map[int]float64{100: 8000, 1600: 3000}, map[int]float64{100: 2000, 1600: 2000}, nil},
		{"there and back", map[int]float64{1: 4000, 4: 1000, 16: 4000}, map[int]float64{1: 1000, 4: 4000, 16: 1000}, []bench.Crossing{
			{At: 2, Low: 1, High: 4, Faster: gpu},
			{At: 8, Low: 4, High: 16, Faster: cpu},
		}},
		// A change within noise is none: the medians are a thousandth apart, the rounds a percent.
		{"noise at the end", map[int]float64{100: 8000, 1600: 2000}, map[int]float64{100: 2000, 1600: 2002}, nil},
		{"noise between", map[int]float64{1: 4000, 4: 2000, 16: 4000}, map[int]float64{1: 1000, 4: 2002, 16: 1000}, nil},
		{"noise everywhere", map[int]float64{1: 1000, 4: 1000}, map[int]float64{1: 1001, 4: 999}, nil},
		// Noise between two that differ either way tells where the lines meet: from 4, where
		// they are equal, on.
		{"through noise", map[int]float64{1: 4000, 4: 2000, 16: 1000}, map[int]float64{1: 1000, 4: 2000, 16: 4000}, []bench.Crossing{
			{At: 4, Low: 1, High: 16, Faster: gpu},
		}},
	} {
		var r bench.Results
		for width, images := range test.cpu { // in any order
			r.Cells = append(r.Cells, training(cell("xla:cpu", width, 64), images))
		}
		for width, images := range test.gpu {
			r.Cells = append(r.Cells, training(cell("xla:cuda", width, 64), images))
		}
		all := bench.Crossovers(r)
		if len(all) != 1 {
			t.Errorf("%s: found %d crossovers, expected 1", test.name, len(all))
			continue
		}
		c := all[0]
		if c.Along != bench.AlongWidth || len(c.Line.LayerSizes) != 2 || c.Line.BatchSize != 64 ||
			len(c.Points) != len(test.cpu) || c.Points[0].At > c.Points[1].At {
			t.Errorf("%s: found %+v", test.name, c)
		}
		if diff := cmp.Diff(test.expected, all[0].Crossings, cmp.Comparer(near)); diff != "" {
			t.Errorf("%s (-expected +found):\n%s", test.name, diff)
		}
	}
}

func TestCrossoverAlongBatch(t *testing.T) {
	r := bench.Results{Cells: []bench.CellResult{
		training(cell("xla:cpu", 32, 16), 4000), training(cell("xla:cpu", 32, 256), 4000),
		training(cell("xla:cuda", 32, 256), 16_000), training(cell("xla:cuda", 32, 16), 1000),
		training(cell("go", 32, 16), 10), // at one place only
		{Cell: cell("go", 32, 256), Failure: "too slow"},
	}}
	all := bench.Crossovers(r)
	if len(all) != 1 || all[0].Along != bench.AlongBatch || all[0].A.Backend != "xla:cpu" || all[0].B.Backend != "xla:cuda" ||
		len(all[0].Crossings) != 1 {
		t.Fatalf("found %+v, expected one along the batch size", all)
	}
	if found := all[0].Crossings[0]; !near(found.At, 64) || found.Faster.Backend != "xla:cuda" {
		t.Errorf("found %+v, expected xla:cuda from 64 on", found)
	}
	// Other dispatch, another depth, layers of several widths: nothing to compare.
	r.Cells[2].Cell.StepsPerCall = 1
	r.Cells[3].Cell.LayerSizes = []int{32}
	if all := bench.Crossovers(r); len(all) != 0 {
		t.Errorf("found %+v, expected none", all)
	}
}

func TestStepTimes(t *testing.T) {
	step := func(stepsPerCall bench.StepsPerCall, feed string, seconds float64) bench.CellResult {
		c := cell("xla:cpu", 32, 64)
		c.StepsPerCall, c.Feed = stepsPerCall, feed
		result := bench.CellResult{Cell: c, Rounds: rounds(5, func(m *bench.Measurement, x float64) { m.Step = x }, seconds)}
		for i, m := range rounds(5, func(m *bench.Measurement, x float64) { m.Products = x }, 2) {
			result.Rounds[i].Products = m.Products
		}
		return result
	}
	found := func(seconds, share float64) bench.Part {
		return bench.Part{State: bench.Found, Seconds: seconds, Share: share}
	}
	noise, reversed, none := bench.Part{State: bench.WithinNoise}, bench.Part{State: bench.Reversed}, bench.Part{}
	epoch, resident, host := step(bench.WholeEpoch, bench.FeedResident, 3), step(1, bench.FeedResident, 4), step(1, bench.FeedHost, 8)

	for _, test := range []struct {
		name                           string
		cells                          []bench.CellResult
		products, rest, dispatch, copy bench.Part
	}{
		{"all", []bench.CellResult{epoch, resident, host}, found(2, 0.25), found(1, 0.125), found(1, 0.125), found(4, 0.5)},
		{"nothing from the host", []bench.CellResult{resident, epoch}, found(2, 0.5), found(1, 0.25), found(1, 0.25), none},
		{"no epoch", []bench.CellResult{resident, host}, found(2, 0.25), none, none, found(4, 0.5)},
		{"only from the host", []bench.CellResult{epoch, host}, found(2, 0.25), found(1, 0.125), none, none},
		{"noise", []bench.CellResult{epoch, step(1, bench.FeedResident, 2.999), step(1, bench.FeedHost, 4)},
			found(2, 0.5), found(1, 0.25), noise, found(4-2.999, (4-2.999)/4)},
		{"reversed", []bench.CellResult{epoch, step(1, bench.FeedResident, 2.5), step(1, bench.FeedHost, 4)},
			found(2, 0.5), found(1, 0.25), reversed, found(1.5, 0.375)},
	} {
		all := bench.AllStepTimes(bench.Results{Cells: test.cells})
		if len(all) != 1 {
			t.Errorf("%s: found %+v, expected one", test.name, all)
			continue
		}
		if diff := cmp.Diff([]bench.Part{test.products, test.rest, test.dispatch, test.copy},
			[]bench.Part{all[0].Products, all[0].Rest, all[0].Dispatch, all[0].Copy}, cmp.Comparer(near)); diff != "" {
			t.Errorf("%s (-expected +found):\n%s", test.name, diff)
		}
	}
	for name, cells := range map[string][]bench.CellResult{"nothing": nil, "epochs only": {epoch}, "a failure": {{Cell: host.Cell}}} {
		if all := bench.AllStepTimes(bench.Results{Cells: cells}); len(all) != 0 {
			t.Errorf("%s: found %+v, expected none", name, all)
		}
	}
}

func TestAgreements(t *testing.T) {
	made := func(c bench.Cell, correct, evaluated int, losses ...float32) bench.CellResult {
		return bench.CellResult{Cell: c, Trajectory: &bench.Trajectory{Losses: losses, Correct: correct, Evaluated: evaluated}}
	}
	cpu, cuda, goCell := cell("xla:cpu", 32, 64), cell("xla:cuda", 32, 64), cell("go", 32, 64)
	stepwise, cudaStepwise, other := cpu, cuda, cell("go", 32, 16)
	cuda.Precision = bench.TF32
	cudaStepwise.Precision, cudaStepwise.StepsPerCall, stepwise.StepsPerCall = bench.TF32, 1, 1

	r := bench.Results{Cells: []bench.CellResult{
		made(stepwise, 400, 1000, 2.25, 2.125), // a step less: other images are right
		made(cpu, 500, 1000, 2.25, 2.125, 2),
		made(cuda, 510, 1000, 2.25, 2.1171875, 2), // 2^-7 apart: within TF32
		made(cudaStepwise, 499, 1000, 2.25, 2.125, 2),
		made(goCell, 503, 1000, 2.25, 2.125, 2), // 3 images
		made(other, 1, 1000, 9),                 // nothing to compare with
		{Cell: cell("xla:rocm", 32, 64)},        // no trajectory
		made(cell("xla:tpu", 32, 64), 500, 2000, 2.25, 2.1171875),
	}}
	var found []string
	for _, a := range bench.Agreements(r) {
		found = append(found, fmt.Sprintf("%s/%s with %s/%s: %d steps, %g of %g; %d images, %d of %d: %v", a.Cell.Runner(), a.Cell.StepsPerCall,
			a.Reference.Runner(), a.Reference.StepsPerCall, a.Steps, a.LossDifference, a.LossTolerance,
			a.Images, a.CorrectDifference, a.CorrectTolerance, a.Within))
	}
	expected := []string{
		"xla:cpu/1 with xla:cpu/epoch: 2 steps, 0 of 0.0001; 0 images, 0 of 2: true",
		"xla:cuda (tf32)/epoch with xla:cpu/epoch: 3 steps, 0.0078125 of 0.01; 1000 images, 10 of 10: true",
		"xla:cuda (tf32)/1 with xla:cpu/epoch: 3 steps, 0 of 0.01; 1000 images, -1 of 10: true",
		"xla:cuda (tf32)/1 with xla:cuda (tf32)/epoch: 3 steps, 0.0078125 of 0.01; 1000 images, -11 of 10: false",
		"go/epoch with xla:cpu/epoch: 3 steps, 0 of 0.0001; 1000 images, 3 of 2: false",
		"xla:tpu/epoch with xla:cpu/epoch: 2 steps, 0.0078125 of 0.0001; 0 images, 0 of 2: false",
	}
	if diff := cmp.Diff(expected, found); diff != "" {
		t.Errorf("(-expected +found):\n%s", diff)
	}
}

func TestUtilize(t *testing.T) {
	// Forward 784*100 + 100*100 + 100*10 multiply-adds; backward twice that, without the
	// gradient of the images: 3*89,400 - 78,400 = 189,800 for an image, two operations each.
	const operations = 2 * 189_800 * 10
	u := bench.Utilize(bench.CellResult{Cell: cell("xla:cpu", 100, 10), Rounds: []bench.Measurement{
		{Step: 0.001, Products: 0.0004, Peak: operations * 4000},
		{Step: 0.002, Products: 0.0005, Peak: operations * 2000},
		{Step: 0.004, Products: 0.0004, Peak: operations * 500},
	}})
	for _, number := range []struct {
		name     string
		found    bench.Summary
		expected float64
	}{{"operations", u.FLOPS, operations * 500}, {"of the peak", u.OfPeak, 0.25}, {"of the limit", u.OfLimit, 0.25}} {
		if !near(number.found.Median, number.expected) || number.found.N != 3 {
			t.Errorf("%s: found %+v, expected a median of %v of 3", number.name, number.found, number.expected)
		}
	}
}

func TestPeerRatios(t *testing.T) {
	times := func(train, evaluate, process float64, memory int64) bench.ProcessTimes {
		return bench.ProcessTimes{Train: train, Evaluate: evaluate, Process: process, Memory: memory}
	}
	ratios := bench.PeerResult{Rounds: []bench.PeerRound{
		{Ours: times(1, 1, 4, 100), Peers: times(2, 4, 8, 100)},
		{Ours: times(2, 2, 4, 100), Peers: times(8, 4, 4, 90)},
		{Ours: times(2, 2, 4, 100), Peers: times(16, 4, 16, 110)},
	}}.Ratios()
	for _, number := range []struct {
		name   string
		found  bench.Summary
		median float64
	}{
		{"train", ratios.Train, 4}, {"train and evaluate", ratios.TrainEvaluate, 3}, {"process", ratios.Process, 2},
		{"memory", ratios.Memory, 1}, {"ours: train", ratios.OursTrain, 0.25},
	} {
		if number.found.N != 3 || !near(number.found.Median, number.median) {
			t.Errorf("%s: found %+v, expected a median of %v of 3", number.name, number.found, number.median)
		}
	}
}
