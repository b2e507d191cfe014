package dataset_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"epochal/dataset"
)

func TestTrainImages(t *testing.T) {
	read := func(o dataset.Options) *dataset.Dataset {
		t.Helper()
		d, err := dataset.Read(dataset.MNIST, o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	few, more := read(dataset.Options{Seed: 1, TrainImages: 10}), read(dataset.Options{Seed: 1, TrainImages: 100})
	other := read(dataset.Options{Seed: 2, TrainImages: 10})
	if few.Train.Len() != 10 || more.Train.Len() != 100 || few.Test.Len() != 10000 || few.Mean != 0.1307 || few.Name != dataset.MNIST {
		t.Errorf("found %d and %d training images, %d test images, mean %v of %s",
			few.Train.Len(), more.Train.Len(), few.Test.Len(), few.Mean, few.Name)
	}
	for i := range few.Train.Len() {
		if !bytes.Contains(more.Train.Pixels, few.Train.Image(i)) {
			t.Errorf("image %d of 10 is not among the 100", i)
		}
	}
	if dataset.KnownName(few.Files) != "" || dataset.SameContent(few.Files, other.Files) || few.Files[2] != other.Files[2] {
		t.Errorf("found the files %v and %v, expected others, and the same test set", few.Files, other.Files)
	}
	_, err := dataset.Open(dataset.MNIST, dataset.Options{TrainImages: 60001})
	if err == nil || err.Error() != "mnist: --train-images: found 60001, expected at most 60000, the training images that there are" {
		t.Errorf("found error %v", err)
	}
}

func TestPermutePixels(t *testing.T) {
	plain, err := dataset.Read(dataset.MNIST, dataset.Options{TrainImages: 20})
	if err != nil {
		t.Fatal(err)
	}
	permuted, err := dataset.Read(dataset.MNIST, dataset.Options{TrainImages: 20, PermutePixels: 3})
	if err != nil {
		t.Fatal(err)
	}
	order := dataset.PixelOrder(3, 28*28)
	for _, sets := range [][2]dataset.Set{{plain.Train, permuted.Train}, {plain.Test, permuted.Test}} {
		for _, i := range []int{0, 7, sets[0].Len() - 1} {
			for pixel, from := range order {
				if sets[1].Image(i)[pixel] != sets[0].Image(i)[from] {
					t.Fatalf("pixel %d of image %d is not pixel %d", pixel, i, from)
				}
			}
		}
	}
	if !slices.Equal(plain.Train.Labels, permuted.Train.Labels) || dataset.SameContent(plain.Files, permuted.Files) {
		t.Error("found other labels, or the same content")
	}
}

func TestShiftedAndRotated(t *testing.T) {
	draw := func(s dataset.Set) string {
		var rows []string
		for row := range s.Rows {
			rows = append(rows, string(s.Image(0)[row*s.Columns:(row+1)*s.Columns]))
		}
		return strings.NewReplacer("\x00", ".").Replace(strings.Join(rows, "|"))
	}
	image := dataset.Set{Pixels: []byte("abcdefghi"), Labels: []byte{0}, Rows: 3, Columns: 3}
	for _, c := range []struct {
		found dataset.Set
		want  string
	}{
		{image.Shifted(0, 0), "abc|def|ghi"},
		{image.Shifted(1, 0), "...|abc|def"},
		{image.Shifted(-1, 2), "..d|..g|..."},
		{image.Shifted(0, -3), "...|...|..."},
		{image.Rotated(0), "abc|def|ghi"},
		{image.Rotated(90), "gda|heb|ifc"},
		{image.Rotated(-90), "cfi|beh|adg"},
	} {
		if found := draw(c.found); found != c.want {
			t.Errorf("found %s, expected %s", found, c.want)
		}
	}
	if draw(image) != "abc|def|ghi" {
		t.Error("the image itself changed")
	}
	grey := dataset.Set{Pixels: bytes.Repeat([]byte{200}, 81), Labels: []byte{0}, Rows: 9, Columns: 9}
	if found := grey.Rotated(30).Image(0); found[40] != 200 || found[31] != 200 || found[0] != 0 {
		t.Errorf("found %v, expected 200 in the middle and 0 in the corner", found)
	}
}
