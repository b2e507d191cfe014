package evaluate

import (
	"math"
	"testing"

	"epochal/model"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestResult(t *testing.T) {
	e := model.Evaluation{
		Loss: 0.5, Correct: 3, Count: 5,
		Confusion:   [][]int{{2, 1, 0}, {0, 1, 0}, {1, 0, 0}},
		Labels:      []uint8{0, 0, 0, 1, 2},
		Predictions: []uint8{0, 0, 1, 1, 0},
		Confidences: []float32{1, 0.9, 0.9, 0.4, 0.5},
	}
	number := func(x float64) *float64 { return &x }
	result := newResult(e, []string{"a", "b", "c"})
	want := []Class{
		{Class: 0, Name: "a", Images: 3, Precision: number(2.0 / 3), Recall: number(2.0 / 3), F1: number(2.0 / 3)},
		{Class: 1, Name: "b", Images: 1, Precision: number(0.5), Recall: number(1), F1: number(2.0 / 3)},
		{Class: 2, Name: "c", Images: 1, Precision: nil, Recall: number(0), F1: number(0)},
	}
	if diff := cmp.Diff(want, result.Classes, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("classes, -expected +found:\n%s", diff)
	}
	if result.Accuracy != 0.6 || result.Loss != 0.5 || result.Images != 5 || result.Correct != 3 {
		t.Errorf("found %+v", result)
	}
	// The bins: 0.4 is in number 6, 0.5 in 7, both 0.9 in 13, 1 in the last.
	bins := result.Calibration.Bins
	if len(bins) != Bins || bins[6].Images != 1 || bins[7].Images != 1 || bins[13].Images != 2 || bins[14].Images != 1 {
		t.Errorf("found the bins %+v", bins)
	}
	if b := bins[13]; b.Accuracy != 0.5 || math.Abs(b.Confidence-0.9) > 1e-6 || b.From != 13.0/15 || b.To != 14.0/15 {
		t.Errorf("found %+v", b)
	}
	if want := (0.6 + 0.5 + 0.8 + 0) / 5; math.Abs(result.Calibration.Error-want) > 1e-6 {
		t.Errorf("found the calibration error %v, expected %v", result.Calibration.Error, want)
	}
}
