package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"

	"epochal/experiments/bench"
	"epochal/model/backend"
)

// measurable tells whether x is a number that was measured; 0 is none.
func measurable(x float64) bool { return x > 0 && !math.IsInf(x, 0) }

// BenchGo writes a benchmark in Go's format, which benchstat reads: one line for
// each cell and round,
//
//	BenchmarkTrain/backend=xla:cpu/layers=512,512/batch=64/steps=epoch/feed=resident 938 676000 ns/op 94000 images/s ...
//
// where an operation is one SGD step, and two lines for each pair of processes of a
// peer, named the same but for /of=epochal and the peer's name. A cell in TF32 has
// /precision=tf32 as well. What was not measured is left out, as are cells that
// failed: their reasons are comments that benchstat skips.
//
// So benchstat -col /backend compares backends, and benchstat old.txt new.txt two
// benchmarks.
func BenchGo(w io.Writer, r bench.Results) error {
	var text strings.Builder
	e := r.Environment
	config := func(key, value string) {
		if value = printable(value); value != "" {
			fmt.Fprintf(&text, "%s: %s\n", key, value)
		}
	}
	config("goos", e.OperatingSystem)
	config("goarch", e.Architecture)
	config("cpu", processorOf(r))
	config("epochal", e.Version)
	text.WriteString("Unit images/s better=higher\nUnit evaluate-images/s better=higher\nUnit FLOP/s better=higher\n\n")

	for _, c := range r.Cells {
		name := fmt.Sprintf("BenchmarkTrain/backend=%s/layers=%s/batch=%d/steps=%s/feed=%s",
			nameText(c.Cell.Backend), layersText(c.Cell.LayerSizes), c.Cell.BatchSize, stepsText(c.Cell.StepsPerCall), nameText(c.Cell.Feed))
		if c.Cell.Precision != bench.Float32 {
			name += "/precision=" + nameText(c.Cell.Precision)
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
				{float64(m.DeviceMemory), "device-B"},
			})
		}
		if c.Failure != "" {
			fmt.Fprintf(&text, "# %s: %s\n", name, printable(c.Failure))
		}
	}
	for _, p := range r.Peers {
		name := fmt.Sprintf("BenchmarkPeer/peer=%s/layers=%s/batch=%d", nameText(p.Peer), layersText(p.LayerSizes), p.BatchSize)
		for _, round := range p.Rounds {
			for _, side := range []struct {
				of    string
				times bench.ProcessTimes
			}{{"epochal", round.Ours}, {p.Peer, round.Peers}} {
				goLine(&text, name+"/of="+nameText(side.of), 1, []goValue{
					{side.times.Train * 1e9, "train-ns"},
					{side.times.Evaluate * 1e9, "evaluate-ns"},
					{side.times.Process * 1e9, "process-ns"},
					{float64(side.times.Memory), "process-B"},
				})
			}
		}
		if p.Failure != "" {
			fmt.Fprintf(&text, "# %s: %s\n", name, printable(p.Failure))
		}
	}
	for _, u := range r.Unavailable {
		fmt.Fprintf(&text, "# %s: not available: %s\n", printable(u.Backend), printable(u.Reason))
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&text, "# warning: %s\n", printable(warning))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

type goValue struct {
	value float64
	unit  string
}

// goLine writes a line of what was measured, and none if nothing was.
func goLine(text *strings.Builder, name string, count int, values []goValue) {
	line := fmt.Sprintf("%s\t%d", name, max(1, count))
	found := false
	for _, v := range values {
		if measurable(v.value) {
			found = true
			line += "\t" + exactText(v.value) + " " + v.unit
		}
	}
	if found {
		text.WriteString(line + "\n")
	}
}

// nameText writes a value for the name of a benchmark, in which spaces end it and
// slashes part its pairs. Letters and digits stay.
func nameText(value string) string {
	var text strings.Builder
	for _, b := range []byte(value) {
		if b == '/' || b == '%' || b >= 0x7f || unicode.IsSpace(rune(b)) || unicode.IsControl(rune(b)) {
			fmt.Fprintf(&text, "%%%02X", b)
		} else {
			text.WriteByte(b)
		}
	}
	return text.String()
}

// processorOf is the processor of the machine, as the first backend on it tells.
func processorOf(r bench.Results) string {
	for _, c := range r.Cells {
		if (c.Cell.Backend == backend.XLACPU || c.Cell.Backend == backend.Go) && c.Info.Device != "" {
			return c.Info.Device
		}
	}
	return r.Environment.Backend.Device
}

// evaluateThroughput is the images per second of evaluation.
func evaluateThroughput(m bench.Measurement) float64 { return float64(m.EvaluatedImages) / m.Evaluate }
