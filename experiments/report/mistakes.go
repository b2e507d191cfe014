package report

import (
	"fmt"
	"io"

	"epochal/dataset"
	"epochal/experiments/record"
)

// Mistakes draws wrong test images, each below its true and its predicted class,
// "5 → 3", and the confidence of the prediction.
//
// The images stand in a grid as those of [Batch] do, in the order of mistakes: the
// most confident ones first, as a run records them.
//
// format is [PNG] or [SVG]. It is an error if it is another one, if there are not 1
// to [record.MaxMistakes] mistakes, if one is not in the set, has another label
// than there, is none, or has a confidence that is not from 0 to 1, or if the title has
// more than [MaxTitle] characters.
func Mistakes(w io.Writer, format, title string, set dataset.Set, mistakes []record.Mistake) error {
	if err := checkFormat(format); err != nil {
		return err
	}
	if err := checkMistakes(set, mistakes); err != nil {
		return err
	}
	if err := checkTitle(title); err != nil {
		return err
	}

	captions := make([][]string, len(mistakes))
	for i, mistake := range mistakes {
		captions[i] = []string{fmt.Sprintf("%d → %d", mistake.Label, mistake.Predicted), percent(mistake.Confidence, 1)}
	}
	return write(w, func() ([]byte, error) {
		figure := layOut(set, captions, printable(title), "True → predicted class, and the network's confidence in it.")
		return render(format, figure.width, figure.height, func(s sheet) {
			figure.draw(s, captions, func(i int) []byte { return set.Image(mistakes[i].Image) })
		})
	})
}

// checkMistakes reports mistakes that [Mistakes] cannot draw.
func checkMistakes(set dataset.Set, mistakes []record.Mistake) error {
	if err := checkSet(set); err != nil {
		return err
	}
	if len(mistakes) < 1 || len(mistakes) > record.MaxMistakes {
		return fmt.Errorf("mistakes: found %d of them, expected 1 to %d", len(mistakes), record.MaxMistakes)
	}
	for i, mistake := range mistakes {
		if mistake.Image < 0 || mistake.Image >= set.Len() {
			return fmt.Errorf("mistakes: found image %d at position %d, expected 0 to %d", mistake.Image, i, set.Len()-1)
		}
		if expected := int(set.Labels[mistake.Image]); mistake.Label != expected {
			return fmt.Errorf("mistakes: found the label %d at position %d, expected %d as image %d of the set has", mistake.Label, i, expected, mistake.Image)
		}
		if mistake.Predicted < 0 || mistake.Predicted >= dataset.MaxClasses {
			return fmt.Errorf("mistakes: found the prediction %d at position %d, expected 0 to %d", mistake.Predicted, i, dataset.MaxClasses-1)
		}
		if mistake.Predicted == mistake.Label {
			return fmt.Errorf("mistakes: found the prediction %d at position %d, expected another class than the label", mistake.Predicted, i)
		}
		if !(mistake.Confidence >= 0 && mistake.Confidence <= 1) { // nor NaN
			return fmt.Errorf("mistakes: found a confidence of %v at position %d, expected 0 to 1", mistake.Confidence, i)
		}
	}
	return nil
}
