package report_test

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/bench"
	"epochal/experiments/report"
	"epochal/model"
	"epochal/model/backend"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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
	deviceMemory   int64
	lossShift      float32
}

var machines = []machine{
	{
		backend.Info{Name: "xla:cpu", Version: "PJRT 0.112", Device: "Made-up 9000 CPU, 2 threads", PluginSHA256: strings.Repeat("ad13", 16), XLAFlags: "--xla_cpu_copy_insertion_use_region_analysis=true"},
		bench.Float32, 30e-6, 150e-6, 18e-6, 210e9, 0.9, 4e6, 0.08, 0, 0,
	},
	{
		backend.Info{Name: "xla:cuda", Version: "PJRT 0.112", Device: "Made-up card, 80 GB", PluginSHA256: strings.Repeat("cda0", 16), TF32: true},
		bench.TF32, 60e-6, 90e-6, 120e-6, 250e12, 0.4, 3e9, 1.9, 900 << 20, 2e-4,
	},
	{
		backend.Info{Name: "go", Version: "GoMLX v0.28.8", Device: "Made-up 9000 CPU, 2 threads"},
		bench.Float32, 0, 0, 300e-6, 6e9, 0.8, 1e6, 0.001, 0, 1e-6,
	},
}

// made are the rounds of a cell on a machine.
func (m machine) made(c bench.Cell, rounds int) bench.CellResult {
	result := bench.CellResult{Cell: c, Info: m.info}
	operations := model.TrainFLOPs(c.Topology()) * float64(c.BatchSize)
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
		noise := 1 + 0.01*math.Sin(float64(7*i+len(c.LayerSizes)+c.BatchSize+c.StepsPerCall))
		evaluate := model.EvaluationFLOPs(c.Topology())*70000/(m.peak*m.reach) + 0.02
		result.Rounds = append(result.Rounds, bench.Measurement{
			Open: m.open * noise, Upload: 0.012 * noise, Compile: 0.11 * noise, FirstCall: 0.003 * noise,
			Step: step * noise, StepCount: 2 * steps, Epoch: (step*float64(steps) + 0.001) * noise, EpochSteps: steps,
			Evaluate: evaluate * noise, EvaluatedImages: 70000,
			Products: products * (2 - noise), Peak: m.peak * (2 - noise),
			ProcessMemory: int64(390<<20 + i<<16), DeviceMemory: m.deviceMemory, OtherLoad: 0.02,
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
		Environment: experiments.Environment{
			Version: "v1.2.0", Go: "go1.26.5", GoMLX: "v0.28.8", GoXLA: "v0.4.5", OperatingSystem: "linux", Architecture: "amd64", Cores: 2,
		},
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Seconds: 83.25, WantedRounds: rounds,
		Unavailable: []bench.Unavailable{{Backend: "xla:rocm", Reason: `no PJRT plugin "rocm" in the plugin folders`}},
		Warnings:    []string{"other processes took 0.3 of 2 processors during round 2: the times of that round may be too long"},
	}
	for _, m := range machines {
		for _, width := range []int{32, 128, 512, 1024} {
			for _, dispatch := range []struct {
				steps int
				feed  string
			}{{0, bench.FeedResident}, {1, bench.FeedResident}, {1, bench.FeedHost}} {
				if dispatch.steps > 0 && (width == 128 || width == 1024 || m.info.Name == "go") {
					continue
				}
				r.Cells = append(r.Cells, m.made(bench.Cell{
					Backend: m.info.Name, Precision: m.precision, LayerSizes: []int{width, width}, BatchSize: 64, StepsPerCall: dispatch.steps, Feed: dispatch.feed,
				}, rounds))
			}
		}
	}
	last := &r.Cells[len(r.Cells)-1]
	*last = bench.CellResult{Cell: last.Cell, Failure: "no answer within --timeout 1m0s: the process was killed in round 1, while it trained"}
	r.Cells[len(r.Cells)-2].Rounds = r.Cells[len(r.Cells)-2].Rounds[:rounds-1]
	r.Cells[len(r.Cells)-2].Failure = "exit status 2: out of memory"

	jax := bench.PeerResult{Peer: bench.PeerJAX, LayerSizes: []int{512, 512}, BatchSize: 64, Versions: "Python 3.12.3, jax 0.7.2"}
	for i := range rounds {
		noise := 1 + 0.02*math.Sin(float64(5*i))
		jax.Rounds = append(jax.Rounds, bench.PeerRound{
			Ours:  bench.ProcessTimes{Train: 0.63, Evaluate: 0.22, Process: 1.5, Memory: 390 << 20},
			Peers: bench.ProcessTimes{Train: 0.65 * noise, Evaluate: 0.23 * noise, Process: 2.75 * noise, Memory: 375 << 20},
		})
	}
	r.Peers = []bench.PeerResult{jax, {
		Peer: bench.PeerTorchLoader, LayerSizes: []int{512, 512}, BatchSize: 64,
		Failure: "no module named torch: python3 -m pip install -r peers/requirements.txt gets it",
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
	r.Cells[1].Rounds[0].Products = 0 // not measured
	r.Peers[0].Rounds = r.Peers[0].Rounds[:2]
	return r
}

func TestBenchOutput(t *testing.T) {
	for _, test := range []struct {
		name    string
		results bench.Results
		write   func(io.Writer, bench.Results) error
	}{
		{"table", benchmark(6), report.BenchTable},
		{"table-few", few(benchmark(6)), report.BenchTable},
		{"csv", few(benchmark(6)), report.BenchCSV},
		{"json", few(benchmark(6)), report.BenchJSON},
		{"gobench", few(benchmark(6)), report.BenchGo},
	} {
		checkGolden(t, "bench/"+test.name+".golden", benchText(t, test.results, test.write))
	}
}

// faster is a benchmark of another day.
func faster() bench.Results {
	r := benchmark(5)
	r.Started = r.Started.Add(24 * time.Hour)
	r.Environment.Version, r.Environment.Cores = "v1.3.0", 4
	r.Cells = r.Cells[1 : len(r.Cells)-4]
	for i := range r.Cells {
		c := &r.Cells[i]
		c.Info.Threads = 2
		if c.Cell.Backend != backend.XLACPU {
			c.Info.PluginSHA256 = strings.Repeat("beef", 16)
			continue
		}
		for j := range c.Rounds {
			c.Rounds[j].Epoch *= 0.9
			c.Rounds[j].ProcessMemory += 1 << 20
		}
	}
	r.Cells[2].Rounds, r.Cells[2].Failure = nil, "exit status 1"
	more := r.Cells[0]
	more.Cell.BatchSize = 32
	r.Cells = append(r.Cells, more)
	return r
}

func TestBenchCompare(t *testing.T) {
	found := benchText(t, benchmark(6), func(w io.Writer, old bench.Results) error { return report.BenchCompare(w, old, faster()) })
	checkGolden(t, "bench/compare.golden", found)
	same := benchText(t, benchmark(6), func(w io.Writer, r bench.Results) error { return report.BenchCompare(w, r, r) })
	for _, unexpected := range []string{"%  (p", "+", "only in", "differs"} {
		if strings.Contains(same, unexpected) {
			t.Errorf("found %q in the comparison of a benchmark with itself:\n%s", unexpected, same)
		}
	}
}

// The golden file of Go benchmarks is read by benchstat's own parser, with units
// that it knows how to scale and to judge.
func TestBenchGoIsRead(t *testing.T) {
	r := benchmark(6)
	r.Cells[0].Cell.Backend = "xla:a plugin/of%mine\n"
	r.Cells[1].Rounds[0] = bench.Measurement{} // nothing was measured
	reader := benchfmt.NewReader(strings.NewReader(benchText(t, r, report.BenchGo)), "found")
	lines := map[string]int{}
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Error(record)
		case *benchfmt.Result:
			lines[string(record.Name)]++
			for key, expected := range map[string]string{"goos": "linux", "goarch": "amd64", "cpu": "Made-up 9000 CPU, 2 threads", "epochal": "v1.2.0"} {
				if found := record.GetConfig(key); found != expected {
					t.Errorf("%s: found %q, expected %q", key, found, expected)
				}
			}
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
		"Train/backend=xla:cpu/layers=32,32/batch=64/steps=1/feed=resident":                           5,
		"Train/backend=xla:cpu/layers=512,512/batch=64/steps=1/feed=host":                             6,
		"Train/backend=xla:cuda/layers=512,512/batch=64/steps=epoch/feed=resident/precision=tf32":     6,
		"Peer/peer=jax/layers=512,512/batch=64/of=epochal":                                            6,
		"Peer/peer=jax/layers=512,512/batch=64/of=jax":                                                6,
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
	zeros := benchmark(6)
	for i := range zeros.Cells {
		for j := range zeros.Cells[i].Rounds {
			zeros.Cells[i].Rounds[j] = bench.Measurement{}
		}
		zeros.Cells[i].Trajectory = &bench.Trajectory{}
	}
	zeros.Peers[0].Rounds = make([]bench.PeerRound, 6)
	return map[string]bench.Results{
		"nothing": {Schema: bench.Schema},
		"failed":  failed,
		"zeros":   zeros,
	}
}

var benchWriters = map[string]func(io.Writer, bench.Results) error{
	"table": report.BenchTable, "csv": report.BenchCSV, "json": report.BenchJSON, "gobench": report.BenchGo,
	"compare": func(w io.Writer, r bench.Results) error { return report.BenchCompare(w, r, r) },
}

// notANumber finds what no output has.
var notANumber = regexp.MustCompile(`NaN|[^a-z]Inf|null`)

func TestBenchOfLittle(t *testing.T) {
	cases := emptyBenchmarks()
	cases["one round"] = benchmark(2) // of the last but one, one
	for name, r := range cases {
		for kind, write := range benchWriters {
			found := benchText(t, r, write)
			if kind == "json" { // data is the environment's own
				found = strings.ReplaceAll(found, `"data": null`, "")
				found = strings.ReplaceAll(found, `"trajectory": null`, "")
			}
			if notANumber.MatchString(found) {
				t.Errorf("%s, %s: found %q, expected none of NaN, Inf and null", name, kind, notANumber.FindString(found))
			}
		}
	}
	for name, expected := range map[string][]string{
		"nothing":   {"No cell was measured."},
		"failed":    {"failed: exit status 1", "xla:rocm: not available: no PJRT plugin", "torch-loader"},
		"zeros":     {"xla:cpu          32,32", "Nothing to tell"},
		"one round": {"need >= 6 rounds for a 95% interval", "need >= 4 rounds to tell a difference from noise"},
	} {
		found := benchText(t, cases[name], report.BenchTable)
		for _, text := range expected {
			if !strings.Contains(found, text) {
				t.Errorf("%s: found no %q in\n%s", name, text, found)
			}
		}
	}
}

func TestReadBench(t *testing.T) {
	written := benchText(t, benchmark(6), report.BenchJSON)
	r, err := report.ReadBench(strings.NewReader(written), "old.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(benchmark(6), r, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	if again := benchText(t, r, report.BenchJSON); again != written {
		t.Error("found other bytes when what was read is written")
	}
}

func TestReadBenchErrors(t *testing.T) {
	golden := benchText(t, few(benchmark(6)), report.BenchJSON)
	for _, test := range []struct{ old, new, expected string }{
		{golden, "", "found no results of epochal bench --format json: unexpected end of JSON input"},
		{golden, "{}", `found no key "schema", expected the results of epochal bench --format json`},
		{`"schema": 1`, `"schema": 2`, "schema: found 2, expected 1, the one that this version writes"},
		{`"quick": false`, `"quick": false, "slow": true`, `json: unknown field "slow"`},
		{`"quick": false`, `"quick": 1`, "json: cannot unmarshal number into Go struct field Results.quick of type bool"},
		{golden, golden + "{}", "found no results of epochal bench --format json: invalid character '{' after top-level value"},
		{`"seconds": 83.25`, `"seconds": -1`, "seconds: found -1, expected 0, for not measured, or 1e-12 to 1e+18"},
		{`"seconds": 83.25`, `"seconds": 1e999`, "json: cannot unmarshal number 1e999 into Go struct field Results.seconds of type float64"},
		{`"wanted_rounds": 6`, `"wanted_rounds": -6`, "wanted_rounds: found -6, expected 0 to 10000"},
		{`"backend": "xla:cpu"`, `"backend": "auto"`, `cells: position 0: backend: found "auto", expected a name such as xla:cpu`},
		{`"backend": "xla:rocm"`, `"backend": ""`, `unavailable: position 0: backend: found no name`},
		{`"precision": "tf32"`, `"precision": "float16"`, `cells: position 2: precision: found "float16", expected float32 or tf32`},
		{`"feed": "host"`, `"feed": "post"`, `cells: position 1: feed: found "post", expected resident or host`},
		{`"steps_per_call": 1,`, `"steps_per_call": 2,`, "cells: position 1: steps_per_call: found 2 with feed host, expected 1"},
		{`"steps_per_call": 1,`, `"steps_per_call": -1,`, "cells: position 1: steps_per_call: found -1, expected 0, for a whole epoch, to 60000"},
		{`"batch_size": 64`, `"batch_size": 0`, "cells: position 0: batch_size: found 0, expected 1 to 65536"},
		{"512,\n", "0,\n", "cells: position 0: layer_sizes: found 0 at position 0, expected 1 to 65536"},
		{`"other_load": 0.02`, `"other_load": -0.02`, "cells: position 0: round 1: other_load: found -0.02, expected 0, for not measured, or 1e-12 to 1e+18"},
		{`"evaluated_images": 70000`, `"evaluated_images": -7`, "cells: position 0: round 1: evaluated_images: found -7, expected 0, for not measured, or 1e-12 to 1e+18"},
		{`"correct": 640`, `"correct": 1001`, "cells: position 0: trajectory: correct: found 1001, expected 0 to the 1000 that were evaluated"},
		{`"evaluated": 1000`, `"evaluated": 10001`, "cells: position 0: trajectory: evaluated: found 10001, expected 0 to 10000"},
		{"2.3,\n", "-2.3,\n", "cells: position 0: trajectory: losses: found -2.3 at position 0, expected a finite number from 0"},
		{"\"steps_per_call\": 1,\n        \"feed\": \"host\"", "\"steps_per_call\": 0,\n        \"feed\": \"resident\"", "cells: position 1: found the same cell as at position 0"},
		{`"peer": "jax"`, `"peer": ""`, `peers: position 0: peer: found "", expected a name such as jax`},
		{`"train": 0.63`, `"train": -0.63`, "peers: position 0: round 1: ours: train: found -0.63, expected 0, for not measured, or 1e-12 to 1e+18"},
	} {
		if !strings.Contains(golden, test.old) {
			t.Errorf("the results have no %s", test.old)
		}
		_, err := report.ReadBench(strings.NewReader(strings.Replace(golden, test.old, test.new, 1)), "old.json")
		if expected := "old.json: " + test.expected; err == nil || err.Error() != expected {
			t.Errorf("found the error %v, expected %s", err, expected)
		}
	}
	_, err := report.ReadBench(strings.NewReader(strings.Repeat(" ", report.MaxBenchBytes+1)), "old.json")
	if expected := "old.json: found more than 67108864 bytes, expected the results of epochal bench --format json"; err == nil || err.Error() != expected {
		t.Errorf("found the error %v, expected %s", err, expected)
	}
	r := benchmark(6)
	r.Cells[3].Rounds[2].Step = math.NaN()
	expectError(t, "results: cells: position 3: round 3: step: found NaN, expected 0, for not measured, or 1e-12 to 1e+18",
		func(w io.Writer) error { return report.BenchJSON(w, r) })
}

// What is read is written again as it was, and everything else can be written of it.
func FuzzReadBench(f *testing.F) {
	var text bytes.Buffer
	r := few(benchmark(6))
	for _, cells := range [][]bench.CellResult{nil, r.Cells[:1], r.Cells[4:]} { // small ones find more
		r.Cells = cells
		if len(cells) > 0 {
			r.Peers = nil
		}
		text.Reset()
		if err := report.BenchJSON(&text, r); err != nil {
			f.Fatal(err)
		}
		f.Add(text.String())
	}
	f.Add(`{"schema":1}`)
	f.Add(`{"schema":1,"cells":[{"cell":{"backend":"a","precision":"float32","layer_sizes":[9],"batch_size":1,"steps_per_call":0,"feed":"resident"},"rounds":[{"epoch":1e-12,"step":1e18,"peak":1e-12}]}]}`)

	f.Fuzz(func(t *testing.T, text string) {
		r, err := report.ReadBench(strings.NewReader(text), "old.json")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "old.json: ") {
				t.Errorf("found the error %v, expected it to name the file", err)
			}
			return
		}
		var first, again bytes.Buffer
		if err := report.BenchJSON(&first, r); err != nil {
			t.Fatal(err)
		}
		r, err = report.ReadBench(bytes.NewReader(first.Bytes()), "again.json")
		if err != nil {
			t.Fatal(err)
		}
		if err := report.BenchJSON(&again, r); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), again.Bytes()) {
			t.Errorf("found other results when they were read again:\n%s\n%s", first.Bytes(), again.Bytes())
		}
		for kind, write := range benchWriters {
			var out strings.Builder
			if err := write(&out, r); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		var figure strings.Builder
		if err := report.BenchFigure(&figure, report.SVG, r); err != nil && !strings.HasPrefix(err.Error(), "results: found no cell") {
			t.Error(err)
		}
	})
}

func drawBench(t *testing.T, format string, r bench.Results) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := report.BenchFigure(&out, format, r); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBenchFigure(t *testing.T) {
	found := drawBench(t, report.SVG, benchmark(6))
	checkGolden(t, "bench/throughput.svg", string(found))
	texts := textsOf(t, found)
	for _, expected := range []string{
		"batch 64, 2 hidden layers", "images/s", "xla:cpu", "xla:cuda (tf32)", "go", "32", "128", "512", "1024", "1k", "10k", "1M",
		"xla:cuda (tf32) overtakes xla:cpu at 81",
	} {
		if !slices.Contains(texts, expected) {
			t.Errorf("found no text %q in %q", expected, texts)
		}
	}
	for _, format := range []string{report.SVG, report.PNG} {
		if !bytes.Equal(drawBench(t, format, benchmark(6)), drawBench(t, format, benchmark(6))) {
			t.Errorf("%s: found other bytes the second time", format)
		}
	}
	picture, err := png.Decode(bytes.NewReader(drawBench(t, report.PNG, benchmark(6))))
	if err != nil {
		t.Fatal(err)
	}
	// margins + title + heading + panel + its labels and name + a note of two lines
	if found, expected := picture.Bounds(), image.Rect(0, 0, 1600, 64+48+40+460+44+34+24+16+30); found != expected {
		t.Errorf("found a figure of %v, expected %v", found, expected)
	}
}

func TestBenchFigureErrors(t *testing.T) {
	for _, r := range emptyBenchmarks() {
		expectError(t, "results: found no cell of hidden layers of one width, an epoch a call and resident data that was measured, expected at least 1 to draw images/s over width",
			func(w io.Writer) error { return report.BenchFigure(w, report.SVG, r) })
	}
	expectError(t, `found the format "pdf", expected png or svg`, func(w io.Writer) error { return report.BenchFigure(w, "pdf", benchmark(6)) })
	if err := report.BenchFigure(fullDisk{}, report.SVG, benchmark(6)); !errors.Is(err, errFullDisk) {
		t.Errorf("found the error %v, expected %v", err, errFullDisk)
	}
	for kind, write := range benchWriters {
		if err := write(fullDisk{}, benchmark(6)); !errors.Is(err, errFullDisk) {
			t.Errorf("%s: found the error %v, expected %v", kind, err, errFullDisk)
		}
	}
}
