package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/report"

	"github.com/google/go-cmp/cmp"
)

// madeRun is a run that ends at a train and a test accuracy.
func madeRun(seed uint64, epochs int, train, test float64) record.Record {
	run := record.Record{Config: experiments.Config{Seed: seed, Epochs: epochs}}
	for i := range epochs {
		missing := 0.6 * math.Pow(0.5, float64(i)) * (1 - float64(i+1)/float64(epochs))
		run.Epochs = append(run.Epochs, experiments.EpochMetrics{
			Epoch:         i + 1,
			TrainAccuracy: train - missing,
			TestAccuracy:  test - 0.9*missing,
			TrainLoss:     3*missing + 0.25,
			TestLoss:      2.9*missing + 0.375,
		})
	}
	return run
}

// divergedRun is one that diverged after some epochs.
func divergedRun(seed uint64, epochs int) record.Record {
	run := madeRun(seed, epochs, 0.9, 0.9)
	run.Diverged = &experiments.Diverged{Epoch: epochs + 1, Step: 7, Loss: math.NaN()}
	return run
}

func madeRuns() []record.Record {
	return []record.Record{madeRun(0, 6, 0.975, 0.971), madeRun(1, 6, 0.985, 0.975), divergedRun(2, 3)}
}

func madeMatrix(classes int) [][]int {
	matrix := make([][]int, classes)
	for label := range matrix {
		matrix[label] = make([]int, classes)
		for predicted := range classes {
			matrix[label][predicted] = max(0, 9-(label+3*predicted)%13)
		}
		matrix[label][label] = 900 + label
	}
	return matrix
}

func madeMistakes() []record.Mistake {
	return []record.Mistake{
		{Image: 6, Label: 255, Predicted: 3, Confidence: 0.99999},
		{Image: 0, Label: 0, Predicted: 1, Confidence: 0.875},
		{Image: 3, Label: 10, Predicted: 9, Confidence: 0.5},
	}
}

func madeCompared() []report.Compared {
	none := math.NaN()
	return []report.Compared{
		{Name: "attempt-1", Low: 0.892, Mean: 0.894, High: 0.896, Values: []float64{0.893, 0.894, 0.895}, Seconds: 17.25},
		{Name: "attempt-1-normalized", Low: 0.925, Mean: 0.929, High: 0.933, Values: []float64{0.927, 0.931}, Seconds: 17.5, Note: "1 of 3 diverged"},
		{Name: "<one> & alone", Low: none, Mean: 0.974, High: none, Values: []float64{0.974}, Seconds: 4321},
		{Name: "lost", Low: none, Mean: none, High: none, Seconds: none, Note: "3 of 3 diverged"},
	}
}

// figure is one of the figures that [report.Batch] is not, with small arguments.
type figure struct {
	name          string
	width, height int // dots
	texts         []string
	draw          func(w io.Writer, format, title string) error
}

func figures() []figure {
	return []figure{
		{
			"curves", 1600, 64 + 48 + 40 + 520 + 44 + 36 + 40 + 400 + 44 + 34 + 40,
			[]string{"accuracy", "loss", "epoch", "train 98.0%", "test 97.3%", "train 0.250", "test 0.375", "train overtakes at epoch 4",
				"Bold: mean of 2 runs. Thin: each of them. Diverged (×), not in the mean: seed 2 in epoch 4."},
			func(w io.Writer, format, title string) error { return report.Curves(w, format, title, madeRuns()) },
		},
		{
			"confusion", 832, 64 + 48 + 56 + 3*148 + 60 + 70,
			[]string{"true", "predicted", "correct", "901", "99.0%", "8", "0.9%", "correct 90%", "100%", "wrong 0%", "1%",
				"2,703 of 2,733 images correct (98.90%), 5 runs together. Percentages", "are of the true class."},
			func(w io.Writer, format, title string) error {
				return report.Confusion(w, format, title, madeMatrix(3), 5)
			},
		},
		{
			"mistakes", 775, 64 + 48 + 2*(48+132) + 16 + 40,
			[]string{"255 → 3", ">99.9%", "0 → 1", "87.5%", "10 → 9", "50.0%", "True → predicted class, and the network's confidence in it."},
			func(w io.Writer, format, title string) error {
				return report.Mistakes(w, format, title, small(), madeMistakes())
			},
		},
		{
			"comparison", 1600, 64 + 48 + 40 + 3*16 + 2*56 + 2*66 + 64 + 10 + 16,
			[]string{"attempt-1", "attempt-1-normalized", "1 of 3 diverged", "<one> & alone", "lost", "3 of 3 diverged",
				"89.40 ± 0.20%", "92.90 ± 0.40%", "97.40%", "–", "17", "18", "4,321",
				"mean with its 95% interval", "the same, inputs normalized", "one run"},
			func(w io.Writer, format, title string) error {
				return report.Comparison(w, format, title, madeCompared())
			},
		},
	}
}

func drawFigure(t *testing.T, draw func(w io.Writer, format, title string) error, format, title string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := draw(&out, format, title); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFigureSVG(t *testing.T) {
	for _, f := range figures() {
		golden := "testdata/" + f.name + ".svg"
		title := `a figure: <title> & "quoted"`
		found := drawFigure(t, f.draw, "svg", title)
		if *update {
			if err := os.WriteFile(golden, found, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		expected, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(readableImages(t, expected), readableImages(t, found)); diff != "" {
			t.Errorf("%s: differs from %s; go test -update writes it anew (-expected +found):\n%s", f.name, golden, diff)
		}
		texts := map[string]bool{}
		for _, text := range textsOf(t, found) {
			texts[text] = true
		}
		for _, expected := range append(f.texts, title) {
			if !texts[expected] {
				t.Errorf("%s: found no text %q, expected it", f.name, expected)
			}
		}
	}
}

func TestFigurePNG(t *testing.T) {
	for _, f := range figures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // figures share their fonts
			picture, err := png.Decode(bytes.NewReader(drawFigure(t, f.draw, "png", "a title")))
			if err != nil {
				t.Fatal(err)
			}
			if found, expected := picture.Bounds(), image.Rect(0, 0, f.width, f.height); found != expected {
				t.Errorf("found a figure of %v, expected %v", found, expected)
			}
		})
	}
}

func TestFiguresAreStable(t *testing.T) {
	for _, f := range figures() {
		for _, format := range []string{"png", "svg"} {
			first := drawFigure(t, f.draw, format, "a title")
			if !bytes.Equal(first, drawFigure(t, f.draw, format, "a title")) {
				t.Errorf("%s, %s: found other bytes the second time", f.name, format)
			}
		}
		if bytes.Equal(drawFigure(t, f.draw, "svg", "a title"), drawFigure(t, f.draw, "svg", "")) {
			t.Errorf("%s: found equal bytes for another title", f.name)
		}
	}
}

// What is at the limits is drawn too.
func TestFiguresAtTheirLimits(t *testing.T) {
	long := strings.Repeat("ä long title ", 30)
	run := func(epochs int, change func(*experiments.EpochMetrics)) record.Record {
		r := madeRun(math.MaxUint64, epochs, 0.7, 0.6)
		for i := range r.Epochs {
			change(&r.Epochs[i])
		}
		return r
	}
	none := func(*experiments.EpochMetrics) {}
	zero := func(e *experiments.EpochMetrics) { *e = experiments.EpochMetrics{Epoch: e.Epoch} }
	huge := func(e *experiments.EpochMetrics) { e.TrainLoss, e.TestLoss = 1e100, float64(e.Epoch) }
	tiny := func(e *experiments.EpochMetrics) { e.TrainLoss, e.TestLoss = 5e-324, 1e-99 }
	full := func(e *experiments.EpochMetrics) { e.TrainAccuracy, e.TestAccuracy = 1, 1 }
	lost := run(3, huge)
	lost.Diverged = &experiments.Diverged{Epoch: 4, Step: -1, Loss: math.Inf(1)}
	nothing := run(0, none)
	nothing.Config.Epochs = experiments.MaxEpochs
	nothing.Diverged = &experiments.Diverged{Epoch: 1, Loss: math.NaN()}
	most := make([]record.Record, report.MaxRuns)
	for i := range most {
		most[i] = run(2, none)
	}
	full1 := [][]int{{report.MaxImages, 0}, {0, 0}}
	empty := report.Compared{Name: strings.Repeat("x", 400), Note: strings.Repeat("n ", 200)}

	for name, draw := range map[string]func(io.Writer) error{
		"one epoch":          func(w io.Writer) error { return report.Curves(w, "svg", long, []record.Record{run(1, none)}) },
		"zeros":              func(w io.Writer) error { return report.Curves(w, "svg", "", []record.Record{run(2, zero)}) },
		"huge losses":        func(w io.Writer) error { return report.Curves(w, "svg", "", []record.Record{run(3, huge)}) },
		"tiny losses":        func(w io.Writer) error { return report.Curves(w, "svg", "", []record.Record{run(3, tiny)}) },
		"full accuracies":    func(w io.Writer) error { return report.Curves(w, "svg", "", []record.Record{run(3, full)}) },
		"all diverged":       func(w io.Writer) error { return report.Curves(w, "svg", "", []record.Record{lost, nothing}) },
		"nothing":            func(w io.Writer) error { return report.Curves(w, "svg", "", []record.Record{nothing}) },
		"many epochs":        func(w io.Writer) error { return report.Curves(w, "svg", "", []record.Record{run(50_000, none)}) },
		"most runs":          func(w io.Writer) error { return report.Curves(w, "svg", "", most) },
		"most classes":       func(w io.Writer) error { return report.Confusion(w, "svg", long, madeMatrix(256), 1) },
		"most images":        func(w io.Writer) error { return report.Confusion(w, "svg", "", full1, math.MaxInt) },
		"only wrong":         func(w io.Writer) error { return report.Confusion(w, "svg", "", [][]int{{0, 1}, {1, 0}}, 1) },
		"only one all wrong": func(w io.Writer) error { return report.Comparison(w, "svg", long, []report.Compared{empty}) },
		"wide interval": func(w io.Writer) error {
			return report.Comparison(w, "png", "", []report.Compared{{Name: "x", Low: -1e300, Mean: 1, High: 1e300, Values: []float64{1, 0}, Seconds: report.MaxSeconds}})
		},
		"one at 0": func(w io.Writer) error {
			return report.Comparison(w, "svg", "", []report.Compared{{Name: "x", Low: math.Inf(-1), Mean: 0, High: math.Inf(1), Values: []float64{0}}})
		},
		"most experiments": func(w io.Writer) error {
			return report.Comparison(w, "svg", "", slices.Repeat(madeCompared(), 25))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := draw(&out); err != nil {
				t.Fatal(err)
			}
			if found := out.String(); strings.Contains(found, "NaN") || strings.Contains(found, "Inf") {
				t.Error("found NaN or Inf in the file, expected numbers")
			}
		})
	}
}

func TestFigureErrors(t *testing.T) {
	curves := func(change func([]record.Record) []record.Record) func(w io.Writer, format, title string) error {
		return func(w io.Writer, format, title string) error {
			return report.Curves(w, format, title, change(madeRuns()))
		}
	}
	confusion := func(runs int, matrix ...[]int) func(w io.Writer, format, title string) error {
		return func(w io.Writer, format, title string) error {
			return report.Confusion(w, format, title, matrix, runs)
		}
	}
	mistakes := func(set dataset.Set, all ...record.Mistake) func(w io.Writer, format, title string) error {
		return func(w io.Writer, format, title string) error {
			return report.Mistakes(w, format, title, set, all)
		}
	}
	comparison := func(change func(*report.Compared)) func(w io.Writer, format, title string) error {
		return func(w io.Writer, format, title string) error {
			all := madeCompared()
			change(&all[1])
			return report.Comparison(w, format, title, all)
		}
	}
	type records = []record.Record
	nan := math.NaN()

	for _, test := range []struct {
		expected string
		draw     func(w io.Writer, format, title string) error
	}{
		{"runs: found 0 of them, expected 1 to 256", curves(func(records) records { return nil })},
		{"runs: found 257 of them, expected 1 to 256", curves(func(records) records { return make(records, 257) })},
		{"runs: found no epochs in run 1, which did not diverge, expected at least 1", curves(func(r records) records { r[1].Epochs = nil; return r })},
		{"runs: found 5 epochs in run 1, expected 6 as in run 0", curves(func(r records) records { r[1].Epochs = r[1].Epochs[:5]; return r })},
		{"runs: found 7 epochs in run 2, which diverged, expected at most 6 as in run 0", curves(func(r records) records { r[2] = divergedRun(2, 7); return r })},
		{"runs: found epoch 2 at position 0 of run 0, expected 1", curves(func(r records) records { r[0].Epochs[0].Epoch = 2; return r })},
		{"runs: found a train accuracy of NaN in epoch 2 of run 0, expected 0 to 1", curves(func(r records) records { r[0].Epochs[1].TrainAccuracy = nan; return r })},
		{"runs: found a test accuracy of 1.5 in epoch 6 of run 1, expected 0 to 1", curves(func(r records) records { r[1].Epochs[5].TestAccuracy = 1.5; return r })},
		{"runs: found a train loss of -0.5 in epoch 1 of run 0, expected 0 to 1e+100", curves(func(r records) records { r[0].Epochs[0].TrainLoss = -0.5; return r })},
		{"runs: found a test loss of +Inf in epoch 3 of run 2, expected 0 to 1e+100", curves(func(r records) records { r[2].Epochs[2].TestLoss = math.Inf(1); return r })},

		{"confusion: found 0 rows, expected 2 to 256", confusion(1)},
		{"confusion: found 1 rows, expected 2 to 256", confusion(1, []int{1})},
		{"confusion: found 257 rows, expected 2 to 256", confusion(1, madeMatrix(257)...)},
		{"confusion: found 3 columns in row 1, expected 2 as there are rows", confusion(1, []int{1, 2}, []int{1, 2, 3})},
		{"confusion: found -1 in row 1, column 0, expected 0 to 1000000000000", confusion(1, []int{1, 2}, []int{-1, 2})},
		{"confusion: found 1000000000001 in row 0, column 1, expected 0 to 1000000000000", confusion(1, []int{1, report.MaxImages + 1}, []int{1, 2})},
		{"confusion: found no images in it", confusion(1, []int{0, 0}, []int{0, 0})},
		{"runs: found 0 of them, expected at least 1", confusion(0, []int{1, 2}, []int{1, 2})},

		{"set: found images of 0x0 pixels, expected 1 to 4096 each way", mistakes(dataset.Set{}, madeMistakes()...)},
		{"mistakes: found 0 of them, expected 1 to 64", mistakes(small())},
		{"mistakes: found 65 of them, expected 1 to 64", mistakes(small(), make([]record.Mistake, 65)...)},
		{"mistakes: found image 7 at position 0, expected 0 to 6", mistakes(small(), record.Mistake{Image: 7})},
		{"mistakes: found image -1 at position 0, expected 0 to 6", mistakes(small(), record.Mistake{Image: -1})},
		{"mistakes: found the label 11 at position 0, expected 10 as image 3 of the set has", mistakes(small(), record.Mistake{Image: 3, Label: 11})},
		{"mistakes: found the prediction 256 at position 0, expected 0 to 255", mistakes(small(), record.Mistake{Predicted: 256})},
		{"mistakes: found the prediction -1 at position 0, expected 0 to 255", mistakes(small(), record.Mistake{Predicted: -1})},
		{"mistakes: found the prediction 0 at position 0, expected another class than the label", mistakes(small(), record.Mistake{})},
		{"mistakes: found a confidence of NaN at position 0, expected 0 to 1", mistakes(small(), record.Mistake{Predicted: 1, Confidence: nan})},
		{"mistakes: found a confidence of 1.25 at position 0, expected 0 to 1", mistakes(small(), record.Mistake{Predicted: 1, Confidence: 1.25})},

		{"experiments: found 0 of them, expected 1 to 100", func(w io.Writer, format, title string) error { return report.Comparison(w, format, title, nil) }},
		{"experiments: found 101 of them, expected 1 to 100", func(w io.Writer, format, title string) error {
			return report.Comparison(w, format, title, make([]report.Compared, 101))
		}},
		{"experiments: position 1: found no name", comparison(func(c *report.Compared) { c.Name = "" })},
		{"experiments: position 1: found a name of 401 characters, expected at most 400", comparison(func(c *report.Compared) { c.Name = strings.Repeat("ä", 401) })},
		{"experiments: position 1: found a note of 401 characters, expected at most 400", comparison(func(c *report.Compared) { c.Note = strings.Repeat("ä", 401) })},
		{"experiments: position 1: found -1 seconds, expected 0 to 1000000000", comparison(func(c *report.Compared) { c.Seconds = -1 })},
		{"experiments: position 1: found +Inf seconds, expected 0 to 1000000000", comparison(func(c *report.Compared) { c.Seconds = math.Inf(1) })},
		{"experiments: position 1: found an accuracy of NaN in run 1, expected 0 to 1", comparison(func(c *report.Compared) { c.Values[1] = nan })},
		{"experiments: position 1: found an accuracy of 97.5 in run 0, expected 0 to 1", comparison(func(c *report.Compared) { c.Values[0] = 97.5 })},
		{"experiments: position 1: found a mean of NaN, expected 0 to 1", comparison(func(c *report.Compared) { c.Mean = nan })},
		{"experiments: position 1: found a mean of 0.9 outside its interval from 0.925 to 0.933", comparison(func(c *report.Compared) { c.Mean = 0.9 })},
		{"experiments: position 1: found a mean of 0.95 outside its interval from 0.925 to 0.933", comparison(func(c *report.Compared) { c.Mean = 0.95 })},
	} {
		expectError(t, test.expected, func(w io.Writer) error { return test.draw(w, "svg", "") })
	}
	for _, f := range figures() {
		expectError(t, `found the format "pdf", expected png or svg`, func(w io.Writer) error { return f.draw(w, "pdf", "") })
		expectError(t, "title: found 401 characters, expected at most 400", func(w io.Writer) error { return f.draw(w, "png", strings.Repeat("ä", 401)) })
		if err := f.draw(fullDisk{}, "svg", ""); !errors.Is(err, errFullDisk) {
			t.Errorf("%s: found the error %v, expected %v", f.name, err, errFullDisk)
		}
	}
}

func expectError(t *testing.T, expected string, draw func(io.Writer) error) {
	t.Helper()
	var out bytes.Buffer
	if err := draw(&out); err == nil || err.Error() != expected {
		t.Errorf("found the error %v, expected %q", err, expected)
	}
	if out.Len() > 0 {
		t.Errorf("%s: found %d bytes written", expected, out.Len())
	}
}

func BenchmarkFigures(b *testing.B) {
	for _, f := range figures() {
		for _, format := range []string{"png", "svg"} {
			b.Run(fmt.Sprintf("%s/%s", f.name, format), func(b *testing.B) {
				for b.Loop() {
					if err := f.draw(io.Discard, format, "a title"); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
