package dataset_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"epochal/dataset"

	"github.com/google/go-cmp/cmp"
)

const (
	trainImages = "train-images-idx3-ubyte"
	trainLabels = "train-labels-idx1-ubyte"
	testImages  = "t10k-images-idx3-ubyte"
	testLabels  = "t10k-labels-idx1-ubyte"
)

// small is a sound set: 7 train and 2 test images of 3x5 pixels, 5 classes.
func small() map[string][]byte {
	return map[string][]byte{
		trainImages: imagesFile(7, 3, 5, pattern(105)),
		trainLabels: labelsFile(0, 1, 2, 3, 4, 0, 1),
		testImages:  imagesFile(2, 3, 5, pattern(30)),
		testLabels:  labelsFile(4, 0),
	}
}

// with returns files with some replaced, or taken away where the content is nil.
func with(files map[string][]byte, changes map[string][]byte) map[string][]byte {
	files = maps.Clone(files)
	for name, content := range changes {
		files[name] = content
		if content == nil {
			delete(files, name)
		}
	}
	return files
}

// read loads a set with its pixels.
func read(fsys fs.FS, name string) (*dataset.Dataset, error) {
	loading, err := dataset.Load(fsys, name, dataset.Options{})
	if err != nil {
		return nil, err
	}
	return loading.Wait()
}

func folder(files map[string][]byte) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, content := range files {
		fsys[name] = &fstest.MapFile{Data: content}
	}
	return fsys
}

func TestLoad(t *testing.T) {
	// Train images, train labels, test images, test labels.
	for layout, names := range map[string][4]string{
		"MNIST": {trainImages, trainLabels, testImages, testLabels},
		"EMNIST": {"emnist-letters-train-images-idx3-ubyte.gz", "emnist-letters-train-labels-idx1-ubyte.gz",
			"emnist-letters-test-images-idx3-ubyte.gz", "emnist-letters-test-labels-idx1-ubyte.gz"},
		"dotted": {"train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte.gz", "t10k-labels.idx1-ubyte.gz"},
		"mixed":  {trainImages + ".gz", trainLabels, "test-images.idx3-ubyte", "digits-test-labels-idx1-ubyte"},
	} {
		t.Run(layout, func(t *testing.T) {
			fsys := folder(map[string][]byte{
				"README.md":                     []byte("about"),
				"._" + names[0]:                 []byte("metadata of macOS"),
				trainImages + ".txt":            []byte("not by its ending"),
				"inner-" + testImages + "/file": []byte("a folder"),
				"inner-train-labels.gz":         []byte("neither"),
			})
			var files []dataset.File
			for i, part := range []string{trainImages, trainLabels, testImages, testLabels} {
				content := small()[part]
				if strings.HasSuffix(names[i], ".gz") {
					content = pack(content)
				} else {
					// torchvision leaves the packed files beside the plain ones, which are read.
					fsys[names[i]+".gz"] = &fstest.MapFile{Data: pack(content)}
				}
				fsys[names[i]] = &fstest.MapFile{Data: content}
				files = append(files, dataset.File{Name: names[i], SHA256: fmt.Sprintf("%x", sha256.Sum256(small()[part]))})
			}
			mean, deviation := dataset.Statistics(pattern(105))
			want := &dataset.Dataset{
				Name:      "sets/small",
				Train:     dataset.Set{Pixels: pattern(105), Labels: []byte{0, 1, 2, 3, 4, 0, 1}, Rows: 3, Columns: 5},
				Test:      dataset.Set{Pixels: pattern(30), Labels: []byte{4, 0}, Rows: 3, Columns: 5},
				Classes:   5,
				Mean:      mean,
				Deviation: deviation,
				Files:     files,
			}
			if layout == "EMNIST" {
				want.ClassNames = []string{"N/A", "a", "b", "c", "d"}
			}

			loading, err := dataset.Load(fsys, "sets/small", dataset.Options{Transpose: "false"})
			if err != nil {
				t.Fatal(err)
			}
			shape := dataset.Loading{Name: "sets/small", Kind: "four IDX files", TrainCount: 7, TestCount: 2, Rows: 3, Columns: 5, Classes: 5}
			if diff := cmp.Diff(shape, *loading, exportedOnly); diff != "" {
				t.Errorf("Load (-expected +found):\n%s", diff)
			}
			got, err := loading.Wait()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, exportedOnly); diff != "" {
				t.Errorf("Wait (-expected +found):\n%s", diff)
			}
			if counts := got.Train.ClassCounts(6); !slices.Equal(counts, []int{2, 2, 1, 1, 1, 0}) {
				t.Errorf("found counts %v", counts)
			}
		})
	}
}

// exportedOnly leaves out what a caller cannot see.
var exportedOnly = cmp.FilterPath(func(p cmp.Path) bool {
	field, ok := p.Last().(cmp.StructField)
	return ok && strings.ToLower(field.Name()[:1]) == field.Name()[:1]
}, cmp.Ignore())

func TestLoadCountsClasses(t *testing.T) {
	for name, c := range map[string]struct {
		labels []byte
		want   int
	}{
		"one label only":   {[]byte{0, 0, 0, 0, 0, 0, 0}, 2},
		"two":              {[]byte{0, 1, 0, 1, 0, 1, 0}, 2},
		"class 0 is empty": {[]byte{1, 2, 26, 3, 4, 5, 6}, 27},
		"the most":         {[]byte{0, 255, 1, 2, 3, 4, 5}, dataset.MaxClasses},
	} {
		files := with(small(), map[string][]byte{trainLabels: labelsFile(c.labels...), testLabels: labelsFile(c.labels[0], c.labels[1])})
		d, err := read(folder(files), "small")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d.Classes != c.want {
			t.Errorf("%s: found %d classes, expected %d", name, d.Classes, c.want)
		}
	}
}

func TestLoadConstantImages(t *testing.T) {
	files := with(small(), map[string][]byte{trainImages: imagesFile(7, 3, 5, bytes.Repeat([]byte{51}, 105))})
	d, err := read(folder(files), "small")
	if err != nil {
		t.Fatal(err)
	}
	for _, validation := range []int{0, 1} {
		d.Split(validation, 0)
		if d.Mean != 0.2 || d.Deviation != 1 {
			t.Errorf("%d held out: found mean %v and deviation %v, expected 0.2 and 1", validation, d.Mean, d.Deviation)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		changes map[string][]byte
		want    string
	}{
		"nothing there": {
			map[string][]byte{trainImages: nil, trainLabels: nil, testImages: nil, testLabels: nil},
			"small: found no files, expected a dataset: IDX files, an .npz, CSV or parquet files, or a folder of images for each class",
		},
		"two splits of EMNIST": {
			map[string][]byte{
				testLabels:                              nil,
				"emnist-digits-test-labels-idx1-ubyte":  labelsFile(0),
				"emnist-letters-test-labels-idx1-ubyte": labelsFile(0),
			},
			"small: found the splits digits, letters, expected one of them to be chosen",
		},
		"one missing, one twice": {
			map[string][]byte{trainLabels: nil, "test-images-idx3-ubyte": small()[testImages]},
			"small: train labels: found no such file among t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, test-images-idx3-ubyte, " +
				"train-images-idx3-ubyte, expected one whose name ends in train-labels-idx1-ubyte, train-labels.idx1-ubyte, " +
				"train-labels-idx2-int, or in one of these followed by .gz, .xz or .zip\n" +
				"small: test images: found 2 files, t10k-images-idx3-ubyte, test-images-idx3-ubyte, expected one",
		},
		"parts that disagree in every way": {
			map[string][]byte{
				trainLabels: labelsFile(0, 1),
				testImages:  imagesFile(1, 1, 1, []byte{0}),
				testLabels:  labelsFile(2, 0),
			},
			"small/train-images-idx3-ubyte: images: found 7, expected 2, the number of labels in small/train-labels-idx1-ubyte\n" +
				"small/t10k-images-idx3-ubyte: images: found 1, expected 2, the number of labels in small/t10k-labels-idx1-ubyte\n" +
				"small/t10k-images-idx3-ubyte: image size: found 1x1, and 3x5 in small/train-images-idx3-ubyte, expected one size for all images",
		},
		"four bad headers": {
			map[string][]byte{
				trainImages: {},
				trainLabels: labelsFile(),
				testImages:  nil, testImages + ".gz": pack(small()[testImages])[:2],
				testLabels: {},
			},
			"small/train-images-idx3-ubyte: is empty\n" +
				"small/train-labels-idx1-ubyte: labels: found 0, expected 1 to 2000000\n" +
				"small/t10k-images-idx3-ubyte.gz: decompress: unexpected EOF\n" +
				"small/t10k-labels-idx1-ubyte: is empty",
		},
		"images and labels exchanged": {
			map[string][]byte{testImages: small()[testLabels], testLabels: small()[testImages]},
			"small/t10k-images-idx3-ubyte: magic number: found 0x00000801, expected 0x00000803 (unsigned bytes, 3 dimensions)\n" +
				"small/t10k-labels-idx1-ubyte: magic number: found 0x00000803, expected 0x00000801 (unsigned bytes, 1 dimension)",
		},
		"both pixels bad": {
			map[string][]byte{
				trainImages: imagesFile(7, 3, 5, pattern(106)),
				testImages:  nil, testImages + ".gz": flip(pack(small()[testImages]), -8, 1),
			},
			"small/train-images-idx3-ubyte: bytes after the pixels: found at least 1, expected 0\n" +
				"small/t10k-images-idx3-ubyte.gz: decompress: gzip: invalid checksum",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := read(folder(with(small(), c.changes)), "small")
			if d != nil {
				t.Errorf("found a dataset beside the error")
			}
			checkError(t, err, c.want)
		})
	}
}

// A dataset is opened by the path of its folder.
func TestOpenAFolder(t *testing.T) {
	path := t.TempDir()
	if err := os.CopyFS(path, folder(small())); err != nil {
		t.Fatal(err)
	}
	if d, err := dataset.Read(path, dataset.Options{}); err != nil || d.Name != path || d.Train.Len() != 7 {
		t.Errorf("found %v and error %v", d, err)
	}
	file, none := filepath.Join(path, trainLabels), filepath.Join(path, "none")
	_, err := dataset.Read(file, dataset.Options{})
	checkError(t, err, file+": found one file of a dataset, expected the folder that has all of them, "+path)
	if _, err := dataset.Read(none, dataset.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found error %v, expected that there is no such folder", err)
	}
}
