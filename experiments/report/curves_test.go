package report

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"epochal/experiments"
	"epochal/experiments/record"

	"golang.org/x/image/font"
)

// ending is a run that ends at some numbers, and had half of the accuracies before.
func ending(epochs int, train, test, trainLoss, testLoss float64) record.Record {
	run := record.Record{}
	for i := range epochs {
		share := 0.5 + 0.5*float64(i+1)/float64(epochs)
		run.Epochs = append(run.Epochs, experiments.EpochMetrics{
			Epoch: i + 1, TrainAccuracy: train * share, TestAccuracy: test * share, TrainLoss: trainLoss / share, TestLoss: testLoss / share,
		})
	}
	return run
}

// The labels at the ends of lines never overlap, and stay in the figure.
func TestEndLabelsDoNotOverlap(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	accuracy := func() float64 {
		return []float64{0, 1, 0.8, 0.9, 0.97, random.Float64(), 0.8 + 0.2*random.Float64()}[random.IntN(7)]
	}
	loss := func() float64 {
		return []float64{0, 1e-9, 1, 1e9, maxLoss, random.Float64(), 10 * random.Float64()}[random.IntN(7)]
	}
	face := sans(endSize, font.WeightBold)
	for range 300 {
		train, trainLoss := accuracy(), loss()
		test, testLoss := accuracy(), loss()
		if random.IntN(2) == 0 { // as they are, mostly
			test, testLoss = train*(1-0.01*random.Float64()), trainLoss*(1-0.01*random.Float64())
		}
		var runs []record.Record
		epochs := 1 + random.IntN(20)
		for range 1 + random.IntN(3) {
			runs = append(runs, ending(epochs, train, test, trainLoss, testLoss))
		}
		figure := layOutCurves("a title", runs)
		for _, p := range figure.panels {
			if len(p.labels) != 2 {
				t.Fatalf("found %d labels, expected 2", len(p.labels))
			}
			a, b := p.labels[0], p.labels[1]
			if distance := max(a.middle-b.middle, b.middle-a.middle); distance < endHeight-1e-9 {
				t.Errorf("%s: found %q and %q %v dots apart, expected at least %d", p.heading, a.text, b.text, distance, endHeight)
			}
			if (a.end.y < b.end.y) != (a.middle < b.middle) && a.end.y != b.end.y {
				t.Errorf("%s: found %q and %q in another order than their lines", p.heading, a.text, b.text)
			}
			for _, label := range p.labels {
				if label.middle < float64(p.top) || label.middle+endSize/2 > float64(p.bottom) {
					t.Errorf("%s: found %q at %v, expected it from %d to %d", p.heading, label.text, label.middle, p.top, p.bottom)
				}
				if right := int(label.end.x) + endOffset + width(face, label.text); right > figure.width-margin {
					t.Errorf("%s: found %q up to %d, expected at most %d", p.heading, label.text, right, figure.width-margin)
				}
			}
		}
	}
}

func TestOvertaking(t *testing.T) {
	for _, test := range []struct {
		train, test []float64
		expected    int
	}{
		{[]float64{1}, []float64{2}, 0},
		{[]float64{2}, []float64{1}, 1},
		{[]float64{1, 1}, []float64{1, 1}, 0},
		{[]float64{1, 2, 5, 6}, []float64{2, 3, 4, 5}, 3},
		{[]float64{1, 4, 3, 6}, []float64{2, 3, 4, 5}, 4},
		{[]float64{3, 4, 5, 5}, []float64{2, 3, 4, 5}, 0},
		{[]float64{3, 4, 5, 6}, []float64{2, 3, 4, 5}, 1},
	} {
		if found := overtaking(test.train, test.test); found != test.expected {
			t.Errorf("overtaking(%v, %v) = %d, expected %d", test.train, test.test, found, test.expected)
		}
	}
}

// The label of the crossing is in its panel, next to its line, and no curve runs through it.
func TestCrossingLabelIsFree(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		epochs := 2 + random.IntN(100)
		crossing := 1 + random.IntN(epochs)
		run := ending(epochs, 0.8+0.19*random.Float64(), 0.9, 1, 1)
		for i := range run.Epochs {
			e := &run.Epochs[i]
			e.TestAccuracy = e.TrainAccuracy - 0.001
			if e.Epoch < crossing {
				e.TestAccuracy = e.TrainAccuracy + 0.001
			}
		}
		figure := layOutCurves("", []record.Record{run})
		found := figure.crossing
		if found == nil || !strings.HasSuffix(strings.TrimSuffix(found.text, " on"), " epoch "+strconv.Itoa(crossing)) {
			t.Fatalf("found the crossing %+v, expected epoch %d", found, crossing)
		}
		p := figure.panels[0]
		if b := found.box; b.left < float64(figure.left) || b.right > float64(figure.right) || b.top < float64(p.top) || b.bottom > float64(p.bottom) {
			t.Errorf("found the label at %+v, outside its panel", b)
		}
		if b := found.box; p.touches(b) || b.left < found.epoch && b.right > found.epoch {
			t.Errorf("%d epochs, crossing at %d: found a line through the label at %+v", epochs, crossing, b)
		}
	}
}

func TestAccuracyAxis(t *testing.T) {
	for _, test := range []struct {
		name      string
		runs      []record.Record
		low, high float64
	}{
		{"as the post's first attempt", []record.Record{ending(20, 0.889, 0.893, 1, 1)}, 0.8, 0.9},
		{"as the post's best", []record.Record{ending(20, 0.979, 0.974, 1, 1)}, 0.8, 1},
		{"all just above", []record.Record{ending(20, 0.801, 0.801, 1, 1)}, 0.8, 0.9},
		{"one run not above", []record.Record{ending(20, 0.9, 0.9, 1, 1), ending(20, 0.9, 0.8, 1, 1)}, 0, 1},
		{"chance", []record.Record{ending(20, 0.11, 0.1, 1, 1)}, 0, 0.12},
		{"nothing right", []record.Record{ending(20, 0, 0, 1, 1)}, 0, 0.1},
		{"none finished", nil, 0, 1},
	} {
		if found, _ := accuracyAxis(test.runs); found.low != test.low || found.high != test.high {
			t.Errorf("%s: found %v to %v, expected %v to %v", test.name, found.low, found.high, test.low, test.high)
		}
	}
}

// A diverged run is drawn thin up to a cross, and changes neither mean nor axes.
func TestDivergedRunsAreNotInTheMean(t *testing.T) {
	finished := []record.Record{ending(10, 0.9, 0.89, 0.4, 0.5), ending(10, 0.91, 0.9, 0.4, 0.5)}
	lost := ending(5, 0.85, 0.85, 50, 0.3)
	lost.Config.Seed = 7
	lost.Diverged = &experiments.Diverged{Epoch: 6, Step: 3}
	without, with := layOutCurves("", finished), layOutCurves("", append(finished, lost))
	for i, p := range with.panels {
		if p.values != without.panels[i].values {
			t.Errorf("%s: found the axis %v, expected %v", p.heading, p.values, without.panels[i].values)
		}
		for j, label := range p.labels {
			if expected := without.panels[i].labels[j]; label != expected {
				t.Errorf("%s: found the label %v, expected %v", p.heading, label, expected)
			}
		}
		if found, expected := len(p.thin), len(without.panels[i].thin)+2; found != expected {
			t.Errorf("%s: found %d thin lines, expected %d", p.heading, found, expected)
		}
	}
	if found := len(with.panels[0].crosses); found != 2 {
		t.Errorf("accuracy: found %d crosses, expected 2", found)
	}
	if found := len(with.panels[1].crosses); found != 1 {
		t.Errorf("loss: found %d crosses, expected that of the loss which is in the panel", found)
	}
}

func TestCurvesNote(t *testing.T) {
	fine := record.Record{}
	lost := func(seed uint64, epoch int) record.Record {
		return record.Record{Config: experiments.Config{Seed: seed}, Diverged: &experiments.Diverged{Epoch: epoch}}
	}
	type records = []record.Record
	for _, test := range []struct {
		finished, diverged records
		expected           string
	}{
		{records{fine}, nil, ""},
		{records{fine, fine}, nil, "Bold: mean of 2 runs. Thin: each of them."},
		{records{fine}, records{lost(3, 1)}, "Bold: the one run that did not diverge. Diverged (×), not in the mean: seed 3 in epoch 1."},
		{records{fine, fine}, records{lost(3, 1), lost(4, 12)}, "Bold: mean of 2 runs. Thin: each of them. Diverged (×), not in the mean: seed 3 in epoch 1, seed 4 in epoch 12."},
		{nil, records{lost(3, 1)}, "Blue: train. Vermillion and dashed: test. All diverged (×), so there is no mean: seed 3 in epoch 1."},
	} {
		if found := curvesNote(test.finished, test.diverged); found != test.expected {
			t.Errorf("found %q, expected %q", found, test.expected)
		}
	}
}
