package record

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"epochal/dataset"
	"epochal/model"
)

// TestEvaluation is the test set after the last epoch: the run folder's
// evaluation.json.
type TestEvaluation struct {
	ClassNames []string `json:"class_names,omitempty"` // by label; nil where numbers name the classes

	Confusion [][]int   `json:"confusion"` // [label][predicted], in images
	Mistakes  []Mistake `json:"mistakes"`  // the MaxMistakes most confident ones, the most confident first
}

// MaxMistakes is how many wrong test images a run records.
const MaxMistakes = 64

// Mistake is a test image that the network got wrong.
type Mistake struct {
	Image      int     `json:"image"`      // its number in the test set, from 0
	Label      int     `json:"label"`      // what it is
	Predicted  int     `json:"predicted"`  // the class of the largest logit
	Confidence float64 `json:"confidence"` // softmax probability of the predicted class, 0 to 1
}

// NewTestEvaluation picks from an evaluation of the test set what is recorded.
func NewTestEvaluation(e model.Evaluation) TestEvaluation {
	test := TestEvaluation{Confusion: e.Confusion, Mistakes: []Mistake{}}
	for i, predicted := range e.Predictions {
		if predicted != e.Labels[i] {
			test.Mistakes = append(test.Mistakes, Mistake{i, int(e.Labels[i]), int(predicted), float64(e.Confidences[i])})
		}
	}
	slices.SortStableFunc(test.Mistakes, func(a, b Mistake) int { return cmp.Compare(b.Confidence, a.Confidence) })
	test.Mistakes = test.Mistakes[:min(len(test.Mistakes), MaxMistakes)]
	return test
}

// check reports a matrix or mistakes that no test set gives.
func (e TestEvaluation) check() error {
	classes, images := len(e.Confusion), 0
	if classes < 2 || classes > dataset.MaxClasses {
		return fmt.Errorf("confusion: found %d classes, expected 2 to %d", classes, dataset.MaxClasses)
	}
	for label, row := range e.Confusion {
		if len(row) != classes {
			return fmt.Errorf("confusion: found %d columns in row %d, expected %d", len(row), label, classes)
		}
		for _, count := range row {
			if count < 0 || count > dataset.MaxImages {
				return fmt.Errorf("confusion: found %d images of class %d in one cell, expected 0 to %d", count, label, dataset.MaxImages)
			}
			images += count
		}
	}
	if names := len(e.ClassNames); names != 0 && names != classes {
		return fmt.Errorf("class_names: found %d, expected %d, one for each class", names, classes)
	}
	if images == 0 {
		return errors.New("confusion: found no images, expected at least 1")
	}
	class := func(found int) bool { return found >= 0 && found < classes }
	for i, m := range e.Mistakes {
		if m.Image < 0 || m.Image >= images || !class(m.Label) || !class(m.Predicted) || m.Confidence < 0 || m.Confidence > 1 {
			return fmt.Errorf("mistakes: found %+v at position %d, expected one of %d images, two of %d classes and a confidence from 0 to 1",
				m, i, images, classes)
		}
	}
	return nil
}
