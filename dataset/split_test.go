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
	for _, validation := range []int{1, 30, 99} {
		d := numbered(100)
		before := numbered(100)
		whole := d.Train
		if err := d.Split(validation, 5); err != nil {
			t.Fatal(err)
		}
		if d.Train.Len() != 100-validation || d.Validation.Len() != validation {
			t.Fatalf("found %d and %d images, expected %d and %d", d.Train.Len(), d.Validation.Len(), 100-validation, validation)
		}
		seen := make(map[byte]bool)
		for part, set := range map[string]dataset.Set{"train": d.Train, "validation": d.Validation} {
			if set.Rows != 1 || set.Columns != 2 || len(set.Pixels) != 2*set.Len() {
				t.Errorf("%s: found %dx%d and %d pixels", part, set.Rows, set.Columns, len(set.Pixels))
			}
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
		if d.Mean != mean || d.Deviation != deviation || d.Classes != 100 {
			t.Errorf("found mean %v, deviation %v, classes %d", d.Mean, d.Deviation, d.Classes)
		}
		if diff := cmp.Diff(before.Train, whole); diff != "" {
			t.Errorf("the arrays before the split changed:\n%s", diff)
		}
	}
}

func TestSplitDependsOnSeed(t *testing.T) {
	split := func(seed uint64) string {
		d := numbered(100)
		if err := d.Split(30, seed); err != nil {
			t.Fatal(err)
		}
		return string(d.Validation.Labels)
	}
	one, again, other := split(1), split(1), split(2)
	if one != again {
		t.Errorf("one seed gives two splits")
	}
	if one == other {
		t.Errorf("two seeds give one split")
	}
}

// As the order of an epoch, a split must stay what recorded runs were trained with.
func TestSplitNeverChanges(t *testing.T) {
	d := numbered(100)
	if err := d.Split(8, 42); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]byte{23, 28, 36, 52, 56, 67, 74, 79}, d.Validation.Labels); diff != "" {
		t.Errorf("validation images (-expected +found):\n%s", diff)
	}
}

func TestSplitOfNone(t *testing.T) {
	d := numbered(100)
	if err := d.Split(0, 5); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(numbered(100), d, exportedOnly); diff != "" {
		t.Errorf("0 changed the dataset:\n%s", diff)
	}
}

func TestSplitConstantRemains(t *testing.T) {
	d := &dataset.Dataset{Name: "grey", Train: dataset.Set{Pixels: []byte{51, 51, 51}, Labels: []byte{0, 1, 0}, Rows: 1, Columns: 1}}
	if err := d.Split(1, 0); err != nil {
		t.Fatal(err)
	}
	if d.Mean != 0.2 || d.Deviation != 1 {
		t.Errorf("found mean %v and deviation %v, expected 0.2 and 1", d.Mean, d.Deviation)
	}
}

func TestSplitRefuses(t *testing.T) {
	for validation, want := range map[int]string{
		-1:  "numbered: validation images: found -1, expected 0 to 99",
		100: "numbered: validation images: found 100, expected 0 to 99",
		101: "numbered: validation images: found 101, expected 0 to 99",
	} {
		d := numbered(100)
		checkError(t, d.Split(validation, 5), want)
		if diff := cmp.Diff(numbered(100), d, exportedOnly); diff != "" {
			t.Errorf("%d changed the dataset:\n%s", validation, diff)
		}
	}
	d := numbered(100)
	if err := d.Split(10, 5); err != nil {
		t.Fatal(err)
	}
	checkError(t, d.Split(10, 5), "numbered: validation images: found 10 of an earlier split, expected none")
}
