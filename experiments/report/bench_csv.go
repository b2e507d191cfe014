package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"epochal/experiments/bench"
)

// benchColumn is a number of a round, as measured.
type benchColumn struct {
	key  string // in JSON
	name string // in CSV, with its unit
	of   func(bench.Measurement) float64
}

// benchColumns are all fields of a [bench.Measurement], in their order.
var benchColumns = []benchColumn{
	{"open", "open_seconds", func(m bench.Measurement) float64 { return m.Open }},
	{"upload", "upload_seconds", func(m bench.Measurement) float64 { return m.Upload }},
	{"compile", "compile_seconds", func(m bench.Measurement) float64 { return m.Compile }},
	{"first_call", "first_call_seconds", func(m bench.Measurement) float64 { return m.FirstCall }},
	{"step", "step_seconds", func(m bench.Measurement) float64 { return m.Step }},
	{"step_count", "step_count", func(m bench.Measurement) float64 { return float64(m.StepCount) }},
	{"epoch", "epoch_seconds", func(m bench.Measurement) float64 { return m.Epoch }},
	{"epoch_steps", "epoch_steps", func(m bench.Measurement) float64 { return float64(m.EpochSteps) }},
	{"evaluate", "evaluate_seconds", func(m bench.Measurement) float64 { return m.Evaluate }},
	{"evaluated_images", "evaluated_images", func(m bench.Measurement) float64 { return float64(m.EvaluatedImages) }},
	{"products", "products_seconds", func(m bench.Measurement) float64 { return m.Products }},
	{"peak", "peak_flops_per_second", func(m bench.Measurement) float64 { return m.Peak }},
	{"process_memory", "process_memory_bytes", func(m bench.Measurement) float64 { return float64(m.ProcessMemory) }},
	{"device_memory", "device_memory_bytes", func(m bench.Measurement) float64 { return float64(m.DeviceMemory) }},
	{"other_load", "other_load_processors", func(m bench.Measurement) float64 { return m.OtherLoad }},
}

// BenchCSV writes one row for each cell and round of a benchmark, with the digits
// that make the numbers exactly, under a header:
//
//	backend, precision  as [bench.Cell]; a backend that is not available has one row with its reason as failure and no cell
//	layer_sizes         "512,512"; "none" without hidden layers
//	batch_size          images
//	steps_per_call      a number or "epoch"
//	feed                "resident" or "host"
//	round               from 1; a cell without any has one row, with no round
//	open_seconds, ...   as [bench.Measurement], in seconds, bytes and operations per second; other_load in processors
//	images_per_second   of training, made from epoch_seconds
//	flops_per_second    of the matrix products of training, made from step_seconds
//	failure             why rounds of the cell are missing
//
// What was not measured is empty. Peers and trajectories are in [BenchJSON] only.
func BenchCSV(w io.Writer, r bench.Results) error {
	var text strings.Builder
	table := csv.NewWriter(&text) // whose writes do not fail
	header := []string{"backend", "precision", "layer_sizes", "batch_size", "steps_per_call", "feed", "round"}
	for _, column := range benchColumns {
		header = append(header, column.name)
	}
	header = append(header, "images_per_second", "flops_per_second", "failure")
	table.Write(header)

	for _, c := range r.Cells {
		place := []string{
			c.Cell.Backend, c.Cell.Precision, layersText(c.Cell.LayerSizes), strconv.Itoa(c.Cell.BatchSize), stepsText(c.Cell.StepsPerCall), c.Cell.Feed,
		}
		for i, m := range c.Rounds {
			row := append(append([]string{}, place...), strconv.Itoa(i+1))
			for _, column := range benchColumns {
				row = append(row, exactText(column.of(m)))
			}
			table.Write(append(row, exactText(c.Cell.ImagesPerSecond(m)), exactText(c.Cell.FLOPS(m)), c.Failure))
		}
		if len(c.Rounds) == 0 {
			row := append(place, make([]string, len(header)-len(place))...)
			row[len(row)-1] = c.Failure
			table.Write(row)
		}
	}
	for _, u := range r.Unavailable {
		row := make([]string, len(header))
		row[0], row[len(row)-1] = u.Backend, "not available: "+u.Reason
		table.Write(row)
	}
	table.Flush()
	_, err := io.WriteString(w, text.String())
	return err
}

// layersText is "512,512".
func layersText(widths []int) string {
	if len(widths) == 0 {
		return "none"
	}
	texts := make([]string, len(widths))
	for i, width := range widths {
		texts[i] = strconv.Itoa(width)
	}
	return strings.Join(texts, ",")
}

// stepsText is a number of steps per call, or "epoch".
func stepsText(stepsPerCall int) string {
	if stepsPerCall == 0 {
		return "epoch"
	}
	return strconv.Itoa(stepsPerCall)
}

// exactText writes a number with the digits that make it exactly, and nothing for
// what was not measured.
func exactText(x float64) string {
	if !measurable(x) {
		return ""
	}
	if x >= 1e-4 && x < 1e15 { // an exponent helps nobody
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}
