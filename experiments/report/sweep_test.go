package report_test

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"epochal/experiments"
	"epochal/experiments/published"
	"epochal/experiments/record"
	"epochal/experiments/report"
	"epochal/experiments/sweep"
)

// swept are made-up results of settings, the last of which diverged.
func swept(rates ...float64) sweep.Results {
	r := sweep.Results{
		Schema: sweep.Schema, Name: "rates", Command: "epochal sweep <b>plan</b>.yaml", RankBy: sweep.ValidationAccuracy,
		Swept: []string{"layer_sizes", "learning_rate"}, Base: experiments.Defaults(),
		Seeds: sweep.FirstSeeds(3), Runs: 3 * len(rates), Diverged: 3,
	}
	for i, rate := range rates {
		s := sweep.SettingResult{
			Rank: i + 1, Number: i + 1, State: sweep.Ended, Epochs: 2, Parameters: 1234, Seconds: 1.5,
			Values: map[string]any{"layer_sizes": []int{8, i + 1}, "learning_rate": rate}, Runs: make([]sweep.RunResult, 3),
		}
		if i == len(rates)-1 {
			s.Diverged = 3
		} else {
			best := 0.98 - float64(i)/1000
			s.ValidationAccuracy = published.NewAccuracy([]float64{best, best - 0.001, best + 0.001})
			s.ValidationLoss = published.NewInterval([]float64{0.1, 0.2, 0.3}, 0, math.MaxFloat64)
			s.Difference = published.NewInterval([]float64{best - 0.98, best - 0.979, best - 0.981}, -1, 1)
		}
		r.Settings = append(r.Settings, s)
	}
	accuracy, loss := 0.97, 0.1
	epochs := []experiments.EpochMetrics{
		{Epoch: 1, ValidationAccuracy: &accuracy, ValidationLoss: &loss}, {Epoch: 2, ValidationAccuracy: &accuracy, ValidationLoss: &loss},
	}
	r.Best = [][]record.Record{{{Epochs: epochs}, {Epochs: epochs[:1], Diverged: &experiments.Diverged{Epoch: 2}}, {Epochs: epochs}}}
	r.Importance = []sweep.Importance{{Name: "learning_rate", EtaSquared: 0.75, Chance: 0.1, Groups: 3, Settings: 9, Epochs: 2}}
	r.Winner = &sweep.Winner{
		TestAccuracy: published.NewAccuracy([]float64{0.9771, 0.9772, 0.9773}),
		Optimism:     published.NewInterval([]float64{0.002, 0.003, 0.004}, -1, 1),
	}
	return r
}

func TestWriteSweep(t *testing.T) {
	folder := t.TempDir()
	text := func(name string) string {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	r := swept(0.1, 0.2, 1e20)
	if err := report.WriteSweep(folder, r); err != nil {
		t.Fatal(err)
	}
	page := text(report.PageFile)
	for _, want := range []string{
		"On the test set, which no choice was based on, the best setting reaches 97.72% ± 0.02, 0.30 points (± 0.25) less than " +
			"on the validation images. The interval excludes zero: choosing by validation accuracy made it look better than it is",
		"The setting in the middle of the ranking has a validation accuracy of 97.90%, 0.10 points less than the best.",
		"epochal sweep &lt;b&gt;plan&lt;/b&gt;.yaml", "3 of 3", "1,234", "75.0%",
		"Left out: 1 setting of which runs are missing or all runs diverged.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("found no %q in the page", want)
		}
	}
	if n := strings.Count(page, "<img "); n != 3 || strings.Contains(page, "<script") {
		t.Errorf("found %d figures, expected 3 and no script", n)
	}
	for _, name := range []string{"settings", "curves", "importance"} {
		text(filepath.Join(report.FiguresFolder, name+".svg"))
		text(filepath.Join(report.FiguresFolder, name+".png"))
	}
	if markdown := text(report.MarkdownFile); !strings.Contains(markdown, `| 2 | \[8, 2\] | 0.2 | 97.90% ± 0.25 | 0.2000 (0 to 0.4484) |`) {
		t.Errorf("found\n%s", markdown)
	}
	rows, err := csv.NewReader(strings.NewReader(text(report.TableFile))).ReadAll()
	if err != nil || len(rows) != 4 || rows[1][4] != "[8, 1]" || rows[3][slices.Index(rows[0], "validation_accuracy")] != "" {
		t.Errorf("found %v and error %v", rows, err)
	}
	var numbers sweep.Results
	if err := json.Unmarshal([]byte(text(report.ResultsFile)), &numbers); err != nil || len(numbers.Settings) != 3 {
		t.Errorf("found %+v and error %v", numbers, err)
	}

	// As long as runs are missing, nothing says how good the best is on the test set.
	r.Missing, r.Winner, r.Settings[2].Rank = 2, nil, 0
	if err := report.WriteSweep(folder, r); err != nil {
		t.Fatal(err)
	}
	if page := text(report.PageFile); strings.Contains(page, "On the test set") || !strings.Contains(page, "2 runs are missing") {
		t.Error("found the test set in the page of a sweep with missing runs")
	}

	// Runs of merged folders come from several backends.
	r = swept(0.1, 0.2, 1e20)
	r.Backends = []string{"go", "xla:cpu"}
	if err := report.WriteSweep(folder, r); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{report.PageFile, report.MarkdownFile} {
		if !strings.Contains(text(name), "different backends (go, xla:cpu), so their numbers may differ in the last digits.") {
			t.Errorf("found no warning of two backends in %s", name)
		}
	}
	if !strings.Contains(text(report.PageFile), "<dt>Backends of all runs</dt><dd>go, xla:cpu</dd>") {
		t.Error("found not all backends in the environment")
	}

	// Nothing is there yet; and there are more settings than a page shows.
	if err := report.WriteSweep(folder, sweep.Results{Settings: []sweep.SettingResult{{State: sweep.Incomplete}}, Missing: 1}); err != nil {
		t.Fatal(err)
	}
	many := swept(slices.Repeat([]float64{0.5}, 150)...)
	for i := range many.Settings {
		many.Settings[i].Values["learning_rate"] = math.Pow(10, float64(i)/50)
	}
	if err := report.WriteSweep(folder, many); err != nil {
		t.Fatal(err)
	}
	if page := text(report.PageFile); !strings.Contains(page, "50 settings more are in results.csv.") {
		t.Error("found no word on settings that the page leaves out")
	}
}

func TestSweepFindings(t *testing.T) {
	found := func(change func(*sweep.Results)) string {
		r := swept(0.1, 0.2, 1e20)
		change(&r)
		return strings.Join(report.SweepFindings(r), " ")
	}
	optimism := func(values ...float64) func(*sweep.Results) {
		return func(r *sweep.Results) { r.Winner.Optimism = published.NewInterval(values, -1, 1) }
	}
	for _, test := range []struct{ found, want string }{
		{found(optimism(-0.001, 0.0005, 0.002)), "0.05 points (± 0.37) less than on the validation images. " +
			"The interval includes zero, so these seeds do not show that choosing by validation accuracy made it look better than it is."},
		{found(optimism(-0.002, -0.003, -0.004)), "0.30 points (± 0.25) more than on the validation images. The interval excludes zero, so"},
		{found(optimism(-0.001, 0, 0.001)), "97.72% ± 0.02, as much as on the validation images (± 0.25). The interval includes zero"},
		{found(optimism(0.002)), "0.20 points less than on the validation images. Fewer than 3 seeds give no interval"},
		{found(func(r *sweep.Results) { // by its loss the best can have a worse accuracy than the middle
			r.RankBy, r.Settings[1].Difference = sweep.ValidationLoss, published.NewInterval([]float64{0.01, 0.02, 0.03}, -1, 1)
		}), "Best: layer_sizes [8, 1], learning_rate 0.1, with validation loss 0.2000 (0 to 0.4484), validation accuracy 98.00% ± 0.25 and"},
		{found(func(r *sweep.Results) {
			r.RankBy, r.Settings[1].Difference = sweep.ValidationLoss, published.NewInterval([]float64{0.01, 0.02, 0.03}, -1, 1)
		}), "The setting in the middle of the ranking has a validation loss of 0.2000, 0.0200 more than the best."},
		{found(func(r *sweep.Results) {
			r.Stop, r.Settings[1].State, r.Settings[1].Epochs = &sweep.Stop{Rule: sweep.Halving, At: []int{1}}, sweep.StoppedAt, 1
		}), "stopped after 1 epoch with a validation accuracy of 97.90%, 0.10 points less than the best had by then."},
		{found(func(r *sweep.Results) { r.Stop = &sweep.Stop{Rule: sweep.Halving, At: []int{1}} }),
			"(halving, after epoch 1), and their differences are to the best after the same epochs"},
	} {
		if !strings.Contains(test.found, test.want) {
			t.Errorf("found %q, expected %q", test.found, test.want)
		}
	}
}
