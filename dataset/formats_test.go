package dataset

import (
	"archive/zip"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// formatsOf are the same sets in every format, by the name of the form: files by their paths.
func formatsOf(t *testing.T, train, test Set) map[string]map[string][]byte {
	array := func(values []byte, shape ...int) []byte { return npyOf("|u1", arrayShape(shape).String(), values...) }
	images := func(s Set) []byte { return array(s.Pixels, s.Len(), s.Rows, s.Columns) }
	pictures := func(prefix string, s Set, class func(label byte) string) map[string][]byte {
		files := map[string][]byte{}
		for i, label := range s.Labels {
			files[fmt.Sprintf("%s%s/%05d.png", prefix, class(label), i)] = greyPNG(s.Rows, s.Columns, s.Image(i)...)
		}
		return files
	}
	number := func(label byte) string { return fmt.Sprint(label) }
	both := func(trainFolder, testFolder string) map[string][]byte {
		files := pictures(trainFolder, train, number)
		for name, content := range pictures(testFolder, test, number) {
			files[name] = content
		}
		return files
	}
	rows := func(s Set) []byte {
		var rows []parquetRow
		for i := range s.Len() {
			label := int64(s.Labels[i])
			rows = append(rows, parquetRow{&parquetImage{Bytes: greyPNG(s.Rows, s.Columns, s.Image(i)...)}, &label})
		}
		return writeParquet(t, rows)
	}
	trainCSV, testCSV := csvOf(train, train.Len()), csvOf(test, test.Len())
	packed := func(text []byte) []byte { return []byte(packedText(string(text))) }
	idx := func(s Set, name string) map[string][]byte {
		return map[string][]byte{
			name + "-images-idx3-ubyte": append(idxHeader(imagesMagic, s.Len(), s.Rows, s.Columns), s.Pixels...),
			name + "-labels-idx1-ubyte": append(idxHeader(labelsMagic, s.Len()), s.Labels...),
		}
	}
	four := idx(train, "train")
	for name, content := range idx(test, "t10k") {
		four[name] = content
	}
	var members []npzMember
	for name, content := range four {
		members = append(members, npzMember{name, content})
	}
	forms := map[string]map[string][]byte{
		"four IDX files":           four,
		"four IDX files in a .zip": {"all.zip": npzFile(zip.Deflate, members...)},
		"an npz file of NumPy arrays": {"mnist.npz": npzFile(zip.Deflate,
			npzMember{"x_train.npy", images(train)}, npzMember{"y_train.npy", array(train.Labels, train.Len())},
			npzMember{"x_test.npy", images(test)}, npzMember{"y_test.npy", array(test.Labels, test.Len(), 1)})},
		"two CSV files":                  {"mnist_train.csv": trainCSV, "mnist_test.csv": testCSV},
		"two CSV files, capitals":        {"Train.CSV": trainCSV, "Test.CSV": testCSV},
		"two CSV files, gzip":            {"train.csv.gz": packed(trainCSV), "test.csv.gz": packed(testCSV)},
		"two CSV files, zip":             {"train.csv.zip": npzFile(zip.Deflate, npzMember{"train.csv", trainCSV}), "test.csv": testCSV},
		"an image folder":                both("train/", "test/"),
		"an image folder, mnist_png":     both("mnist_png/mnist_png/training/", "mnist_png/mnist_png/testing/"),
		"an image folder, Kaggle's":      both("trainingSet/trainingSet/", "testSet/testSet/"),
		"an image folder and a table":    both("train/", "test/"),
		"Parquet files":                  {"data/train-00000-of-00001.parquet": rows(train), "data/test-00000-of-00001.parquet": rows(test)},
		"Parquet files beside a README":  {"train.parquet": rows(train), "test.parquet": rows(test), "README.md": nil},
		"Parquet files in mnist, ylecun": {"mnist/train-00000-of-00001.parquet": rows(train), "mnist/test-00000-of-00001.parquet": rows(test)},
	}
	forms["an image folder and a table"]["labels.csv"] = []byte("class,count\n1,2\n")
	return forms
}

func formatSets() (train, test Set) {
	train = Set{Labels: []byte{2, 0, 1, 1, 0, 2, 1}, Rows: 3, Columns: 3, Pixels: make([]byte, 63)}
	test = Set{Labels: []byte{1, 2}, Rows: 3, Columns: 3, Pixels: make([]byte, 18)}
	for i := range train.Pixels {
		train.Pixels[i] = byte(i * 3)
	}
	for i := range test.Pixels {
		test.Pixels[i] = byte(255 - i)
	}
	return train, test
}

// The same images are the same dataset in every format, in the same order, also transposed
// and with a test set drawn from them.
func TestOpenEveryFormat(t *testing.T) {
	train, test := formatSets()
	for _, o := range []Options{{}, {Transpose: "true"}} {
		digests := map[string]string{}
		for name, files := range formatsOf(t, train, test) {
			l, err := Open(tree(t, files), o)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			d, err := l.Wait()
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			kind, _, _ := strings.Cut(name, ", ")
			if !strings.HasPrefix(kind, l.Kind) || d.Classes != 3 || d.ClassNames != nil || len(l.Warnings) > 0 {
				t.Errorf("%s: found %s, %d classes, names %q, warnings %q", name, l.Kind, d.Classes, d.ClassNames, l.Warnings)
			}
			want := [2]Set{train, test}
			if o.Transpose != "" {
				want = [2]Set{train.transposed(), test.transposed()}
			}
			if diff := cmp.Diff(want, [2]Set{d.Train, d.Test}); diff != "" {
				t.Errorf("%s (-expected +found):\n%s", name, diff)
			}
			digests[Digest(d.Files)] = name
		}
		if len(digests) != 1 {
			t.Errorf("found %d digests, expected one: %v", len(digests), digests)
		}
	}
}

// The test set that is drawn is the same in every format.
func TestOpenEveryFormatWithoutTest(t *testing.T) {
	train, test := formatSets()
	digests := map[string]string{}
	for name, files := range formatsOf(t, train, test) {
		for file := range files {
			if lower := strings.ToLower(file); strings.Contains(lower, "test") || strings.HasPrefix(lower, "t10k") {
				delete(files, file)
			}
		}
		if len(files) == 0 || strings.Contains(name, "zip") || strings.Contains(name, "npz") {
			continue
		}
		d, err := Read(tree(t, files), Options{TestShare: 0.3, Seed: 5})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.Train.Len() != 5 || d.Test.Len() != 2 {
			t.Errorf("%s: found %d and %d images, expected 5 and 2", name, d.Train.Len(), d.Test.Len())
		}
		digests[Digest(d.Files)] = name
	}
	if len(digests) != 1 {
		t.Errorf("found %d digests, expected one: %v", len(digests), digests)
	}
}

func TestOpenOneFile(t *testing.T) {
	train, test := formatSets()
	forms := formatsOf(t, train, test)
	const beside = "X/%s: %s beside it is not read: give the folder to read both"
	drawn := "there is no test set: 1 of the 7 images, drawn by seed 0, are the test set (--test-share)"
	for _, c := range []struct {
		form, file string
		counts     string
		warnings   []string
	}{
		{"an npz file of NumPy arrays", "mnist.npz", "7 and 2", nil},
		{"four IDX files in a .zip", "all.zip", "7 and 2", nil},
		{"two CSV files", "mnist_train.csv", "6 and 1", []string{
			fmt.Sprintf(beside, "mnist_train.csv", "mnist_test.csv"), "X/mnist_train.csv: " + drawn}},
		{"two CSV files, gzip", "train.csv.gz", "6 and 1", []string{
			fmt.Sprintf(beside, "train.csv.gz", "test.csv.gz"), "X/train.csv.gz: " + drawn}},
		{"two CSV files, zip", "train.csv.zip", "6 and 1", []string{"X/train.csv.zip: " + drawn}},
		{"Parquet files beside a README", "train.parquet", "6 and 1", []string{
			fmt.Sprintf(beside, "train.parquet", "test.parquet"), "X/train.parquet: " + drawn}},
	} {
		folder := tree(t, forms[c.form])
		l, err := Open(filepath.Join(folder, c.file), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if counts := fmt.Sprintf("%d and %d", l.TrainCount, l.TestCount); counts != c.counts {
			t.Errorf("%s: found %s images, expected %s", c.file, counts, c.counts)
		}
		for i := range l.Warnings {
			l.Warnings[i] = strings.ReplaceAll(l.Warnings[i], folder, "X")
		}
		ofFiles := slices.DeleteFunc(l.Warnings, func(warning string) bool { return strings.Contains(warning, "training image") })
		if diff := cmp.Diff(c.warnings, ofFiles); diff != "" {
			t.Errorf("%s (-expected +found):\n%s", c.file, diff)
		}
		l.Close()
	}
}

func TestOpenRefusesFormats(t *testing.T) {
	train, test := formatSets()
	forms := formatsOf(t, train, test)
	shard := forms["Parquet files"]["data/train-00000-of-00001.parquet"]
	one, other := greyPNG(1, 1, 0), greyPNG(2, 1, 0, 0)
	for name, c := range map[string]struct {
		files map[string][]byte
		at    string
		want  string
	}{
		"a shard that is missing": {map[string][]byte{"train-00000-of-00003.parquet": shard, "train-00002-of-00003.parquet": shard}, "",
			"X/train-00000-of-00003.parquet: found 1 files beside it, expected all 3 of them"},
		"two sets in one zip": {map[string][]byte{"raw.zip": npzFile(zip.Store, npzMember{"MNIST/" + "train-images-idx3-ubyte", nil},
			npzMember{"KMNIST/train-images-idx3-ubyte", nil})}, "",
			"X/raw.zip: found MNIST/train-images-idx3-ubyte and KMNIST/train-images-idx3-ubyte, expected one file of that name: " +
				"unpack the archive, and give one of its folders"},
		"another size in the test set": {map[string][]byte{"train/a/x.png": one, "train/a/y.png": other, "test/a/x.png": other}, "",
			"X/test: image size: found 2x1, and 1x1 in X/train, expected one size for all images"},
		"labels in a table of their own": {map[string][]byte{"train.csv": []byte("id,label\nx,1\n"), "train/x.png": one}, "",
			"X/train.csv: columns: found 2, expected a label and a square number of pixels, as 785 are"},
	} {
		folder := tree(t, c.files)
		_, err := Open(filepath.Join(folder, c.at), Options{})
		if err == nil {
			t.Errorf("%s: found no error", name)
			continue
		}
		checkMessage(t, folder, err, c.want)
	}
}

// Names that classes.txt cannot hold are not taken, and EMNIST's name of a folder of images
// does not turn them.
func TestOpenImageFolderNames(t *testing.T) {
	long := strings.Repeat("x", 101)
	folder := tree(t, dots("emnist-letters/"+long+"/a.png", "emnist-letters/b/a.png", "emnist-letters/b/b.png"))
	l, err := Open(filepath.Join(folder, "emnist-letters"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Wait()
	if err != nil {
		t.Fatal(err)
	}
	const want = "found a name of 101 bytes, expected at most 100: numbers name the classes"
	if d.ClassNames != nil || len(l.Warnings) < 2 || !strings.HasSuffix(l.Warnings[1], want) {
		t.Errorf("found names %q, warnings %q", d.ClassNames, l.Warnings)
	}
	if strings.Contains(strings.Join(l.Warnings, "\n"), "transposed") {
		t.Errorf("found warnings %q, expected no transposing", l.Warnings)
	}
}
