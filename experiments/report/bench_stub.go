package report

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"epochal/experiments/bench"
)

// BenchTable writes a bare table, until the real one is merged.
func BenchTable(w io.Writer, r bench.Results) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CELL\tN\tOPEN\tUPLOAD\tCOMPILE\tFIRST\tSTEP us\t+-%\tEPOCH s\tSTEPS\tEVAL s\tIMAGES/S\tGFLOP/S\tPEAK\tLIMIT us\tMB\tLOAD\tCORRECT\tFAILURE")
	for _, c := range r.Cells {
		median := func(of func(bench.Measurement) float64) float64 { return bench.Summarize(c.Values(of)).Median }
		step := bench.Summarize(c.Values(func(m bench.Measurement) float64 { return m.Step }))
		correct := -1
		if c.Trajectory != nil {
			correct = c.Trajectory.Correct
		}
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t%.3f\t%.4f\t%.1f\t%.1f\t%.3f\t%.0f\t%.3f (%.0f)\t%.0f\t%.1f\t%.1f\t%.1f\t%.0f\t%.2f\t%d\t%s\n", c.Cell, len(c.Rounds),
			median(func(m bench.Measurement) float64 { return m.Open }), median(func(m bench.Measurement) float64 { return m.Upload }),
			median(func(m bench.Measurement) float64 { return m.Compile }), median(func(m bench.Measurement) float64 { return m.FirstCall }),
			1e6*step.Median, 50*(step.High-step.Low)/step.Median,
			median(func(m bench.Measurement) float64 { return m.Epoch }), median(func(m bench.Measurement) float64 { return float64(m.EpochSteps) }),
			median(func(m bench.Measurement) float64 { return m.Evaluate }), median(func(m bench.Measurement) float64 { return float64(m.EvaluatedImages) }),
			median(c.Cell.ImagesPerSecond), median(c.Cell.FLOPS)/1e9, median(func(m bench.Measurement) float64 { return m.Peak })/1e9,
			1e6*median(func(m bench.Measurement) float64 { return m.Products }), median(func(m bench.Measurement) float64 { return float64(m.ProcessMemory) })/1e6,
			median(func(m bench.Measurement) float64 { return m.OtherLoad }), correct, c.Failure)
	}
	t.Flush()
	for _, u := range r.Unavailable {
		fmt.Fprintf(w, "%s: not available: %s\n", u.Backend, u.Reason)
	}
	for _, p := range r.Peers {
		fmt.Fprintf(w, "%s %v batch %d (%s): %+v %s\n", p.Peer, p.LayerSizes, p.BatchSize, p.Versions, p.Rounds, p.Failure)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	_, err := fmt.Fprintf(w, "%.1f s\n", r.Seconds)
	return err
}

// BenchJSON writes r as JSON.
func BenchJSON(w io.Writer, r bench.Results) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// BenchCSV stands for the real one.
func BenchCSV(w io.Writer, r bench.Results) error { return BenchTable(w, r) }

// BenchGo stands for the real one.
func BenchGo(w io.Writer, r bench.Results) error { return BenchTable(w, r) }

// BenchCompare stands for the real one.
func BenchCompare(w io.Writer, old, new bench.Results) error { return BenchTable(w, old) }

// BenchFigure stands for the real one.
func BenchFigure(w io.Writer, format string, r bench.Results) error { return BenchTable(w, r) }

// ReadBench reads what BenchJSON wrote.
func ReadBench(r io.Reader, name string) (results bench.Results, err error) {
	if err := json.NewDecoder(r).Decode(&results); err != nil {
		return results, fmt.Errorf("%s: %w", name, err)
	}
	return results, nil
}
