package dataset_test

import (
	"bytes"
	"testing"

	"epochal/dataset"

	"github.com/google/go-cmp/cmp"
)

// numbered is a dataset of count images of 1x2 pixels; the label and the first
// pixel of an image are its row, the second pixel is 255 less.
func numbered(count int) *dataset.Dataset {
	d := &dataset.Dataset{Name: "numbered", Classes: count, Mean: -1, Deviation: -1}
	d.Train.Rows, d.Train.Columns = 1, 2
	for row := range count {
		d.Train.Pixels = append(d.Train.Pixels, byte(row), byte(255-row))
		d.Train.Labels = append(d.Train.Labels, byte(row))
	}
	return d
}

func TestSplit(t *testing.T) {
	for _, validation := range []int{0, 1, 30, 99} {
		d := numbered(100)
		whole := d.Train
		d.Split(validation, 5)
		if d.Train.Len() != 100-validation || d.Validation.Len() != validation {
			t.Fatalf("found %d and %d images, expected %d and %d", d.Train.Len(), d.Validation.Len(), 100-validation, validation)
		}
		seen := make(map[byte]bool)
		for part, set := range map[string]dataset.Set{"train": d.Train, "validation": d.Validation} {
			for i, label := range set.Labels {
				if i > 0 && label <= set.Labels[i-1] {
					t.Errorf("%s: not in the order of the file: %v", part, set.Labels)
				}
				if seen[label] {
					t.Errorf("%s: image %d is there twice", part, label)
				}
				seen[label] = true
				if !bytes.Equal(set.Image(i), []byte{label, 255 - label}) {
					t.Errorf("%s: found pixels %v at label %d", part, set.Image(i), label)
				}
			}
		}
		mean, deviation := dataset.Statistics(d.Train.Pixels)
		if validation > 0 && (d.Mean != mean || d.Deviation != deviation) || d.Classes != 100 {
			t.Errorf("found mean %v, deviation %v, classes %d", d.Mean, d.Deviation, d.Classes)
		}
		if diff := cmp.Diff(numbered(100).Train, whole); diff != "" {
			t.Errorf("the arrays before the split changed:\n%s", diff)
		}
	}
}

// As the order of an epoch, a split must stay what recorded runs were trained with.
func TestSplitNeverChanges(t *testing.T) {
	for seed, want := range map[uint64][]byte{
		42: {23, 28, 36, 52, 56, 67, 74, 79},
		43: {11, 28, 36, 46, 60, 67, 80, 88},
	} {
		d := numbered(100)
		d.Split(8, seed)
		if diff := cmp.Diff(want, d.Validation.Labels); diff != "" {
			t.Errorf("seed %d: validation images (-expected +found):\n%s", seed, diff)
		}
	}
}
