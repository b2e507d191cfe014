package report_test

import (
	"bytes"
	"errors"
	"image/png"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"epochal/experiments/bench"
	"epochal/experiments/record"
	"epochal/experiments/report"
	"epochal/experiments/report/figures"
	"epochal/model"
	"epochal/model/backend"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchunit"
)

// machine is a made-up backend: what a step takes on it, in seconds.
type machine struct {
	info           backend.Info
	precision      string
	dispatch, copy float64 // of a step
	rest           float64 // of a step, beside its products
	peak           float64 // operations per second
	reach          float64 // of the peak by products of a network, at most
	half           float64 // operations of a step at which half of that is reached
	open           float64
	lossShift      float32
}

var machines = []machine{
	{
		backend.Info{
			Name: "xla:cpu", Version: "PJRT 0.112", Device: "Made-up 9000 CPU, 2 threads", PluginSHA256: strings.Repeat("ad13", 16),
			XLAFlags: "--xla_cpu_copy_insertion_use_region_analysis=true",
		},
		bench.Float32, 30e-6, 150e-6, 18e-6, 210e9, 0.9, 4e6, 0.08, 0,
	},
	{
		backend.Info{
			Name: "xla:cuda", Version: "PJRT 0.112", Device: "Made-up card, 80 GB", PluginSHA256: strings.Repeat("cda0", 16), TF32: true,
		},
		bench.TF32, 60e-6, 90e-6, 120e-6, 250e12, 0.4, 3e9, 1.9, 2e-4,
	},
	{
		backend.Info{Name: "go", Version: "GoMLX v0.28.8", Device: "Made-up 9000 CPU, 2 threads"},
		bench.Float32, 0, 0, 300e-6, 6e9, 0.8, 1e6, 0.001, 1e-6,
	},
}

// made are the rounds of a cell on a machine.
func (m machine) made(c bench.Cell, rounds int) bench.CellResult {
	result := bench.CellResult{Cell: c, Info: m.info}
	operations := model.TrainFLOPs(c.Architecture()) * float64(c.BatchSize)
	products := operations / (m.peak * m.reach * operations / (operations + m.half))
	step := products + m.rest
	if c.StepsPerCall == 1 {
		step += m.dispatch
	}
	if c.Feed == bench.FeedHost {
		step += m.copy
	}
	steps := (bench.TrainImages + c.BatchSize - 1) / c.BatchSize
	for i := range rounds {
		noise := 1 + 0.01*math.Sin(float64(7*i+len(c.LayerSizes)+c.BatchSize+int(c.StepsPerCall)%60000))
		evaluate := model.EvaluationFLOPs(c.Architecture())*70000/(m.peak*m.reach) + 0.02
		result.Rounds = append(result.Rounds, bench.Measurement{
			Open: m.open * noise, Upload: 0.012 * noise, Compile: 0.11 * noise, FirstCall: 0.003 * noise,
			Step: step * noise, StepCount: 2 * steps, Epoch: (step*float64(steps) + 0.001) * noise, EpochSteps: steps,
			Evaluate: evaluate * noise, EvaluatedImages: 70000,
			Products: products * (2 - noise), Peak: m.peak * (2 - noise),
			ProcessMemory: int64(390<<20 + i<<16), OtherLoad: 0.02,
		})
	}
	t := bench.Trajectory{Evaluated: 1000, Correct: 640}
	for i := range 100 {
		t.Losses = append(t.Losses, 2.3-0.01*float32(i)+m.lossShift*float32(i)/100)
	}
	result.Trajectory = &t
	return result
}

// benchmark is a made-up benchmark of every machine.
func benchmark(rounds int) bench.Results {
	r := bench.Results{
		Schema:  bench.Schema,
		Command: "epochal bench --layer-sizes 32,32 --layer-sizes 128,128 --layer-sizes 512,512 --layer-sizes 1024,1024",
		Environment: record.Environment{
			Version: "v1.2.0", Go: "go1.26.5", GoMLX: "v0.28.8", GoXLA: "v0.4.5", OperatingSystem: "linux", Architecture: "amd64", Cores: 2,
		},
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Seconds: 83.25, WantedRounds: rounds,
		Unavailable: []bench.Unavailable{{Backend: "xla:rocm", Reason: `no PJRT plugin "rocm" in the plugin folders`}},
		Warnings:    []string{"other processes kept up to 0.3 processors busy during 3 of 24 measurements"},
	}
	for _, m := range machines {
		for _, width := range []int{32, 128, 512, 1024} {
			for _, dispatch := range []struct {
				steps bench.StepsPerCall
				feed  string
			}{{bench.WholeEpoch, bench.FeedResident}, {1, bench.FeedResident}, {1, bench.FeedHost}} {
				if dispatch.steps == 1 && (width == 128 || width == 1024 || m.info.Name == "go") {
					continue
				}
				r.Cells = append(r.Cells, m.made(bench.Cell{
					Backend: m.info.Name, Precision: m.precision, LayerSizes: []int{width, width}, BatchSize: 64,
					StepsPerCall: dispatch.steps, Feed: dispatch.feed,
				}, rounds))
			}
		}
	}
	last := &r.Cells[len(r.Cells)-1]
	*last = bench.CellResult{Cell: last.Cell, Failure: "took longer than 1m0s and was killed"}
	r.Cells[len(r.Cells)-2].Rounds = r.Cells[len(r.Cells)-2].Rounds[:rounds-1]
	r.Cells[len(r.Cells)-2].Failure = "exit status 2: out of memory"

	jax := bench.PeerResult{Peer: "jax", LayerSizes: []int{512, 512}, BatchSize: 64, Versions: "Python 3.12.3, jax 0.7.2"}
	for i := range rounds {
		noise := 1 + 0.02*math.Sin(float64(5*i))
		jax.Rounds = append(jax.Rounds, bench.PeerRound{
			Ours:  bench.ProcessTimes{Train: 0.63, Evaluate: 0.22, Process: 1.5, Memory: 390 << 20},
			Peers: bench.ProcessTimes{Train: 0.65 * noise, Evaluate: 0.23 * noise, Process: 2.75 * noise, Memory: 375 << 20},
		})
	}
	r.Peers = []bench.PeerResult{jax, {
		Peer: "torch-loader", LayerSizes: []int{512, 512}, BatchSize: 64,
		Failure: "--python python3 has no torch; to install it: python3 -m venv peers && epochal bench --peer-requirements > requirements.txt",
	}}
	return r
}

func benchText(t *testing.T, r bench.Results, write func(io.Writer, bench.Results) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out, r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// few is a part of a benchmark, for outputs of every number.
func few(r bench.Results) bench.Results {
	last := len(r.Cells) - 1
	r.Cells = []bench.CellResult{r.Cells[4], r.Cells[6], r.Cells[12], r.Cells[last-1], r.Cells[last]}
	for i := range r.Cells {
		c := &r.Cells[i]
		c.Rounds = c.Rounds[:min(2, len(c.Rounds))]
		if c.Trajectory != nil {
			c.Trajectory.Losses = c.Trajectory.Losses[:4]
		}
	}
	r.Peers[0].Rounds = r.Peers[0].Rounds[:2]
	return r
}

// table writes the table for lines of that width.
func table(width int) func(io.Writer, bench.Results) error {
	return func(w io.Writer, r bench.Results) error {
		return report.BenchTable(w, r, report.BenchLayout{Width: width})
	}
}

func TestBenchOutput(t *testing.T) {
	for _, test := range []struct {
		name    string
		results bench.Results
		write   func(io.Writer, bench.Results) error
	}{
		{"table", benchmark(6), table(0)},
		{"table-80", benchmark(6), table(80)},
		{"table-few", few(benchmark(6)), table(100)},
		{"json", few(benchmark(6)), report.BenchJSON},
		{"gobench", few(benchmark(6)), report.BenchGo},
	} {
		checkGolden(t, "bench/"+test.name+".golden", benchText(t, test.results, test.write))
	}
}

// The golden file of Go benchmarks is read by benchstat's own parser, with units
// that it knows how to scale and to judge.
func TestBenchGoIsRead(t *testing.T) {
	r := benchmark(6)
	r.Cells[0].Cell.Backend = "xla:a plugin/of%mine\n"
	reader := benchfmt.NewReader(strings.NewReader(benchText(t, r, report.BenchGo)), "found")
	lines := map[string]int{}
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Error(record)
		case *benchfmt.Result:
			lines[string(record.Name)]++
			for _, value := range record.Values {
				if strings.Contains(value.Unit, "ns") || !(value.Value > 0) {
					t.Errorf("%s: found %v %s, expected a number in base units", record.Name, value.Value, value.Unit)
				}
				if found, expected := benchunit.ClassOf(value.Unit) == benchunit.Binary, strings.HasSuffix(value.Unit, "-B"); found != expected {
					t.Errorf("%s: found binary prefixes: %v, expected %v", value.Unit, found, expected)
				}
			}
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	for name, expected := range map[string]int{
		"Train/backend=xla:a%20plugin%2Fof%25mine%0A/layers=32,32/batch=64/steps=epoch/feed=resident": 6,
		"Train/backend=xla:cuda/layers=512,512/batch=64/steps=epoch/feed=resident/precision=tf32":     6,
	} {
		if lines[name] != expected {
			t.Errorf("%s: found %d lines, expected %d", name, lines[name], expected)
		}
	}
	if better := reader.Units().GetBetter("images/s"); better != 1 {
		t.Errorf("images/s: found %d, expected that more is better", better)
	}
}

// What a benchmark may be without anything to say.
func emptyBenchmarks() map[string]bench.Results {
	failed := benchmark(6)
	for i := range failed.Cells {
		failed.Cells[i].Rounds, failed.Cells[i].Trajectory, failed.Cells[i].Failure = nil, nil, "exit status 1"
	}
	failed.Peers = failed.Peers[1:]
	return map[string]bench.Results{
		"nothing": {Schema: bench.Schema},
		"failed":  failed,
	}
}

var benchWriters = map[string]func(io.Writer, bench.Results) error{
	"table": table(80), "json": report.BenchJSON, "gobench": report.BenchGo,
}

// notANumber finds what no output has.
var notANumber = regexp.MustCompile(`NaN|[^a-z]Inf|null`)

func TestBenchOfLittle(t *testing.T) {
	cases := emptyBenchmarks()
	cases["one round"] = benchmark(2) // of the last but one, one
	for name, r := range cases {
		for kind, write := range benchWriters {
			found := benchText(t, r, write)
			if kind == "json" { // data is the environment's own, and lists are null in an empty benchmark alone
				found = strings.ReplaceAll(found, ": null", "")
			}
			if notANumber.MatchString(found) {
				t.Errorf("%s, %s: found %q, expected none of NaN, Inf and null", name, kind, notANumber.FindString(found))
			}
		}
	}
	for name, expected := range map[string][]string{
		"nothing":   {"No cell was measured."},
		"failed":    {"failed: exit status 1", "xla:rocm: not available: no PJRT plugin", "torch-loader"},
		"one round": {"confidence intervals, which need 6 rounds", "telling a difference from noise needs 4"},
	} {
		found := benchText(t, cases[name], table(0))
		for _, text := range expected {
			if !strings.Contains(found, text) {
				t.Errorf("%s: found no %q in\n%s", name, text, found)
			}
		}
	}
}

func TestBenchFigure(t *testing.T) {
	for format, check := range map[string]func(drawn string){
		figures.SVG: func(drawn string) { checkGolden(t, "bench/throughput.svg", drawn) },
		figures.PNG: func(drawn string) {
			if picture, err := png.Decode(strings.NewReader(drawn)); err != nil || picture.Bounds().Dx() != 1440 {
				t.Errorf("found the error %v, expected a figure of 1440 dots", err)
			}
		},
	} {
		check(benchText(t, benchmark(6), func(w io.Writer, r bench.Results) error { return report.BenchFigure(w, format, r) }))
	}
}

func TestBenchErrors(t *testing.T) {
	for _, r := range emptyBenchmarks() {
		const expected = "results: found no measured cell with hidden layers of one width, an epoch per call and resident data, " +
			"expected at least 1 to plot images/s against width"
		var out bytes.Buffer
		if err := report.BenchFigure(&out, figures.SVG, r); err == nil || err.Error() != expected || out.Len() > 0 {
			t.Errorf("found the error %v and %d bytes, expected %q", err, out.Len(), expected)
		}
	}
	reader, broken := io.Pipe()
	reader.Close()
	for kind, write := range benchWriters {
		if err := write(broken, benchmark(6)); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: found the error %v, expected %v", kind, err, io.ErrClosedPipe)
		}
	}
}
