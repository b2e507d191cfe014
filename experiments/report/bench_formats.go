package report

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"epochal/experiments/bench"
	"epochal/experiments/report/words"
	"epochal/model/backend"
)

// BenchJSON writes the results of a benchmark as indented JSON. Its schema is
// [bench.Results], whose fields say what each key holds and in which unit.
func BenchJSON(w io.Writer, r bench.Results) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// BenchGo writes a benchmark in Go's format, which benchstat reads: one line for
// each cell and round,
//
//	BenchmarkTrain/backend=xla:cpu/layers=512,512/batch=64/steps=epoch/feed=resident 938 676000 ns/op 94000 images/s ...
//
// where an operation is one SGD step, and two lines for each pair of measurements
// with a peer, whose names end in /of=epochal and /of= with the peer's name. A cell
// in TF32 has /precision=tf32 as well. Cells that failed are left out; their reasons
// are comments, which benchstat skips.
//
// So benchstat -col /backend compares backends, and benchstat old.txt new.txt two
// benchmarks.
func BenchGo(w io.Writer, r bench.Results) error {
	var text strings.Builder
	e := r.Environment
	fmt.Fprintf(&text, "goos: %s\ngoarch: %s\ncpu: %s\nepochal: %s\n",
		e.OperatingSystem, e.Architecture, words.Printable(processorOf(r)), e.Version)
	text.WriteString("Unit images/s better=higher\nUnit evaluate-images/s better=higher\nUnit FLOP/s better=higher\n\n")

	for _, c := range r.Cells {
		// Spaces end the name of a benchmark and slashes separate its parts.
		name := fmt.Sprintf("BenchmarkTrain/backend=%s/layers=%s/batch=%d/steps=%s/feed=%s",
			url.PathEscape(c.Cell.Backend), layersText(c.Cell.ConvChannels, c.Cell.LayerSizes), c.Cell.BatchSize, c.Cell.StepsPerCall, c.Cell.Feed)
		if c.Cell.Precision != bench.Float32 {
			name += "/precision=" + c.Cell.Precision
		}
		for _, m := range c.Rounds {
			goLine(&text, name, m.StepCount, []goValue{
				{m.Step * 1e9, "ns/op"},
				{c.Cell.ImagesPerSecond(m), "images/s"},
				{evaluateThroughput(m), "evaluate-images/s"},
				{c.Cell.FLOPS(m), "FLOP/s"},
				{m.Open * 1e9, "open-ns"},
				{m.Upload * 1e9, "upload-ns"},
				{m.Compile * 1e9, "compile-ns"},
				{m.FirstCall * 1e9, "first-call-ns"},
				{float64(m.ProcessMemory), "process-B"},
			})
		}
		goComment(&text, name, c.Failure)
	}
	for _, p := range r.Peers {
		name := fmt.Sprintf("BenchmarkPeer/peer=%s/layers=%s/batch=%d", p.Peer, layersText(p.ConvChannels, p.LayerSizes), p.BatchSize)
		side := func(of string, times bench.ProcessTimes) {
			goLine(&text, name+"/of="+of, 1, []goValue{
				{times.Train * 1e9, "train-ns"},
				{times.Evaluate * 1e9, "evaluate-ns"},
				{times.Process * 1e9, "process-ns"},
				{float64(times.Memory), "process-B"},
			})
		}
		for _, round := range p.Rounds {
			side("epochal", round.Ours)
			side(p.Peer, round.Peers)
		}
		goComment(&text, name, p.Failure)
	}
	for _, u := range r.Unavailable {
		goComment(&text, u.Backend, "not available: "+u.Reason)
	}
	for _, warning := range r.Warnings {
		goComment(&text, "warning", warning)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

type goValue struct {
	value float64
	unit  string
}

func goLine(text *strings.Builder, name string, count int, values []goValue) {
	fmt.Fprintf(text, "%s\t%d", name, count)
	for _, v := range values {
		fmt.Fprintf(text, "\t%s %s", strconv.FormatFloat(v.value, 'f', -1, 64), v.unit)
	}
	text.WriteString("\n")
}

// goComment writes why something is missing, if it is.
func goComment(text *strings.Builder, what, why string) {
	if why != "" {
		fmt.Fprintf(text, "# %s: %s\n", words.Printable(what), words.Printable(why))
	}
}

// processorOf is the processor of the machine, as the first backend on it reports it.
func processorOf(r bench.Results) string {
	for _, c := range r.Cells {
		if (c.Cell.Backend == backend.XLACPU || c.Cell.Backend == backend.Go) && c.Info.Device != "" {
			return c.Info.Device
		}
	}
	return "unknown"
}

// evaluateThroughput is the images per second of evaluation.
func evaluateThroughput(m bench.Measurement) float64 { return float64(m.EvaluatedImages) / m.Evaluate }
