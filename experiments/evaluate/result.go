package evaluate

import "epochal/model"

// Bins is how many bins of equal width the calibration has.
const Bins = 15

// Result is how a network does on a test set.
type Result struct {
	File        string      `json:"file"` // of the weights
	Data        string      `json:"data"`
	Backend     string      `json:"backend"`
	Images      int         `json:"images"`
	Correct     int         `json:"correct"`  // images whose largest logit is at their label
	Loss        float64     `json:"loss"`     // mean over batches of batch means, as in training
	Accuracy    float64     `json:"accuracy"` // Correct over Images, 0 to 1
	Classes     []Class     `json:"classes"`
	Confusion   [][]int     `json:"confusion"` // [label][predicted], in images
	Calibration Calibration `json:"calibration"`

	Distorted []Distorted `json:"distorted,omitempty"` // if they were asked for
}

// Class is how a network does on one class. A share of nothing is nil.
type Class struct {
	Class     int      `json:"class"` // from 0
	Name      string   `json:"name"`
	Images    int      `json:"images"`    // with this label
	Precision *float64 `json:"precision"` // share of the images predicted as this class that are of it
	Recall    *float64 `json:"recall"`    // share of its images that are predicted as such
	F1        *float64 `json:"f1"`        // harmonic mean of the two
}

// Calibration compares the confidence of a network, the probability of the class that
// it predicts, with how often it is right.
type Calibration struct {
	Error float64 `json:"expected_calibration_error"` // mean over images of the difference in their bin, 0 to 1
	Bins  []Bin   `json:"bins"`                       // by confidence, Bins of them
}

// Bin is the images whose confidence is at least From and below To, which the last includes.
type Bin struct {
	From       float64 `json:"from"`
	To         float64 `json:"to"`
	Images     int     `json:"images"`
	Confidence float64 `json:"confidence"` // mean, 0 without images
	Accuracy   float64 `json:"accuracy"`   // share of right predictions, 0 without images
}

func newResult(e model.Evaluation, names []string) Result {
	return Result{
		Images: e.Count, Correct: e.Correct, Loss: e.Loss, Accuracy: e.Accuracy(),
		Classes: classes(e.Confusion, names), Confusion: e.Confusion, Calibration: calibration(e),
	}
}

func classes(confusion [][]int, names []string) (all []Class) {
	d := model.Description{ClassNames: names}
	for class, row := range confusion {
		right, labelled, predicted := row[class], 0, 0
		for other := range confusion {
			labelled += row[other]
			predicted += confusion[other][class]
		}
		all = append(all, Class{Class: class, Name: d.ClassName(class), Images: labelled,
			Precision: share(right, predicted), Recall: share(right, labelled), F1: share(2*right, predicted+labelled)})
	}
	return all
}

// share is part over all, nil of nothing.
func share(part, all int) *float64 {
	if all == 0 {
		return nil
	}
	value := float64(part) / float64(all)
	return &value
}

func calibration(e model.Evaluation) Calibration {
	c := Calibration{Bins: make([]Bin, Bins)}
	for i, confidence := range e.Confidences {
		bin := &c.Bins[max(0, min(Bins-1, int(float64(confidence)*Bins)))]
		bin.Images++
		bin.Confidence += float64(confidence)
		if e.Predictions[i] == e.Labels[i] {
			bin.Accuracy++
		}
	}
	for i := range c.Bins {
		bin := &c.Bins[i]
		bin.From, bin.To = float64(i)/Bins, float64(i+1)/Bins
		if bin.Images > 0 {
			c.Error += max(bin.Confidence-bin.Accuracy, bin.Accuracy-bin.Confidence) / float64(e.Count)
			bin.Confidence /= float64(bin.Images)
			bin.Accuracy /= float64(bin.Images)
		}
	}
	return c
}
