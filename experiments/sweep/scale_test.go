package sweep_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/sweep"
)

// BenchmarkScale plans, finds again and ranks 100,000 runs of 20 epochs with made-up records.
// EPOCHAL_SCALE is another number.
//
//	go test -run '^$' -bench Scale -benchtime 1x ./experiments/sweep
func BenchmarkScale(b *testing.B) {
	runs := 100_000
	if text := os.Getenv("EPOCHAL_SCALE"); text != "" {
		runs, _ = strconv.Atoi(text)
	}
	p, err := sweep.Parse("scale.yaml", fmt.Appendf(nil, `
settings: {epochs: 20}
grid: {layer_sizes: [[64], [128], [256], [512], [1024]]}
random: {count: %d, parameters: {learning_rate: {log_uniform: [0.001, 1]}, batch_size: {choice: [16, 32, 64, 128]}}}
seeds: 5
`, runs/25))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		start := time.Now()
		settings, err := p.Check()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/plan")
		folder := b.TempDir()
		start = time.Now()
		madeUp(b, folder, p, settings)
		b.Logf("%d records written in %v", len(settings)*len(p.Seeds), time.Since(start).Round(time.Second))
		o := options(folder)
		o.ReadOnly = true
		start = time.Now()
		r, err := sweep.Run(context.Background(), p, o)
		if err != nil || r.Missing != 0 {
			b.Fatal(r.Missing, err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/resume+rank")
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		b.ReportMetric(float64(memory.Sys)/1e6, "MB")
		b.Logf("ranked %d settings, the best %v", len(r.Settings), r.Settings[0].Values)
		start = time.Now()
		text, err := json.Marshal(r)
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("results.json: %d MB in %v", len(text)>>20, time.Since(start))
	}
}

// madeUp writes the records of all runs of a plan, as far as a study reads them.
func madeUp(b *testing.B, folder string, p sweep.Plan, settings []sweep.Setting) {
	var metrics strings.Builder
	line := func(value any) {
		text, _ := json.Marshal(value)
		metrics.Write(append(text, '\n'))
	}
	one := 0
	write := func(path, name string, text []byte) {
		if err := os.WriteFile(filepath.Join(path, name), text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	evaluation, _ := json.Marshal(record.TestEvaluation{Confusion: [][]int{{900, 100}, {50, 950}}})
	shared := b.TempDir()
	write(shared, record.EvaluationFile, evaluation)
	write(shared, record.WeightsFile, nil)
	for _, s := range settings {
		for _, seed := range p.Seeds {
			c := s.Config
			c.Seed, c.Backend, c.TF32, c.Deterministic = seed, "go", false, true
			metrics.Reset()
			for epoch := 1; epoch <= c.Epochs; epoch++ {
				for step := 0; step < 900; step += 100 {
					line(experiments.StepMetrics{Event: "step", Epoch: epoch, Step: step, Samples: step * 64, Loss: 0.25})
				}
				accuracy := 0.9 + 0.001*float64(one%90)
				loss := 1 - accuracy
				line(experiments.EpochMetrics{Event: "epoch", Epoch: epoch,
					TrainLoss: loss, TrainAccuracy: accuracy, TestLoss: loss, TestAccuracy: accuracy,
					ValidationLoss: &loss, ValidationAccuracy: &accuracy, TrainSeconds: 1.5, EvalSeconds: 0.2})
			}
			one++
			path := filepath.Join(folder, "runs", fmt.Sprint("run-", one))
			if err := os.MkdirAll(path, 0o755); err != nil {
				b.Fatal(err)
			}
			config, _ := json.MarshalIndent(c, "", "  ")
			e := record.BuildEnvironment()
			e.Identity, e.Started = record.Identity(c, nil, ""), time.Unix(0, 0)
			environment, _ := json.MarshalIndent(e, "", "  ")
			write(path, record.ConfigFile, config)
			write(path, record.EnvironmentFile, environment)
			write(path, record.MetricsFile, []byte(metrics.String()))
			for _, name := range []string{record.EvaluationFile, record.WeightsFile} { // the same for all
				file := filepath.Join(path, name)
				if err := os.Symlink(filepath.Join(shared, name), file); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}
