package dataset_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"epochal/dataset"
)

// After every image the folder is a dataset that can be read.
func TestAppend(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new", "folder")
	image := func(value byte) []byte { return bytes.Repeat([]byte{value}, 6) }
	for i, want := range []struct {
		label       byte
		train, test int
	}{
		{3, 1, 1}, // stands in both sets
		{4, 2, 1}, // above all train labels
		{4, 2, 1}, // takes the place of the borrowed image
		{0, 3, 1}, {1, 4, 1}, {2, 5, 1}, {3, 6, 1}, {4, 7, 1}, {5, 8, 1}, {1, 8, 2},
	} {
		train, test, err := dataset.Append(folder, image(byte(10+i)), 2, 3, want.label)
		if err != nil || train != want.train || test != want.test {
			t.Fatalf("image %d: found %d and %d images and the error %v, expected %d and %d", i, train, test, err, want.train, want.test)
		}
		d, err := dataset.Read(folder, dataset.Options{})
		if err != nil || d.Train.Len() != train || d.Test.Len() != test {
			t.Fatalf("image %d: found %v and the error %v", i, d, err)
		}
	}
	d, err := dataset.Read(folder, dataset.Options{})
	if err != nil || !bytes.Equal(d.Test.Labels, []byte{4, 1}) ||
		!bytes.Equal(d.Test.Image(0), image(12)) || !bytes.Equal(d.Train.Image(0), image(10)) {
		t.Errorf("found %+v and the error %v", d, err)
	}
}

// A process that was killed between two files leaves an image without a label.
func TestAppendAfterKill(t *testing.T) {
	folder := t.TempDir()
	labels := filepath.Join(folder, "train-labels-idx1-ubyte")
	for i := range 3 {
		before, _ := os.ReadFile(labels)
		if _, _, err := dataset.Append(folder, []byte{byte(i)}, 1, 1, byte(2+i)); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			if err := os.WriteFile(labels, before, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, _, err := dataset.Append(folder, []byte{9}, 1, 1, 4); err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Read(folder, dataset.Options{})
	if err != nil || !bytes.Equal(d.Train.Pixels, []byte{0, 1, 9}) || !bytes.Equal(d.Train.Labels, []byte{2, 3, 4}) {
		t.Errorf("found %+v and the error %v", d, err)
	}
}

// An image that is saved a second time is not lost with the borrowed one.
func TestAppendTwice(t *testing.T) {
	folder := t.TempDir()
	for _, pixel := range []byte{5, 5, 6} {
		if _, _, err := dataset.Append(folder, []byte{pixel}, 1, 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	d, err := dataset.Read(folder, dataset.Options{})
	if err != nil || !bytes.Equal(d.Train.Pixels, []byte{5, 5}) || !bytes.Equal(d.Test.Pixels, []byte{6}) {
		t.Errorf("found %+v and the error %v", d, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	for name, want := range map[string]string{
		"train-images-idx3-ubyte.gz": "expected train-images-idx3-ubyte or an empty folder",
		"t10k-labels-idx1-ubyte":     "header bytes: found 1, expected 8",
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, err := dataset.Append(folder, []byte{1}, 1, 1, 0)
		if err == nil || !strings.HasPrefix(err.Error(), folder) || !strings.Contains(err.Error(), want) {
			t.Errorf("found the error %v, expected %s", err, want)
		}
		if entries, _ := os.ReadDir(folder); len(entries) != 1 {
			t.Errorf("found %v, expected what was there", entries)
		}
	}
	folder := t.TempDir()
	if _, _, err := dataset.Append(folder, []byte{1}, 1, 1, 0); err != nil {
		t.Fatal(err)
	}
	_, _, err := dataset.Append(folder, []byte{1, 2}, 1, 2, 0)
	if err == nil || !strings.Contains(err.Error(), "image size: found 1x1, expected 1x2") {
		t.Errorf("found the error %v, expected that the size differs", err)
	}
}
