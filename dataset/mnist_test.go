package dataset_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"

	"epochal/dataset"

	"github.com/google/go-cmp/cmp"
)

func loadMNIST(t testing.TB) *dataset.Dataset {
	t.Helper()
	d, err := dataset.Read(dataset.MNIST, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The embedded files, and what they decode to, have the checksums of MNIST.
func TestMNISTChecksums(t *testing.T) {
	d := loadMNIST(t)
	found := map[string]string{}
	recorded := map[string]string{}
	for _, file := range d.Files {
		content, err := fs.ReadFile(dataset.MNISTFiles(), file.Name)
		if err != nil {
			t.Fatal(err)
		}
		found[file.Name] = fmt.Sprintf("%x", sha256.Sum256(content))
		recorded[strings.TrimSuffix(file.Name, ".gz")] = file.SHA256
	}
	checkSums(t, "SHA256SUMS", found)
	checkSums(t, "SHA256SUMS.raw", recorded) // they are constants
	decoded := map[string]string{}
	for name, content := range map[string][]byte{
		trainImages: imagesFile(60_000, 28, 28, d.Train.Pixels),
		trainLabels: labelsFile(d.Train.Labels...),
		testImages:  imagesFile(10_000, 28, 28, d.Test.Pixels),
		testLabels:  labelsFile(d.Test.Labels...),
	} {
		decoded[name] = fmt.Sprintf("%x", sha256.Sum256(content))
	}
	checkSums(t, "SHA256SUMS.raw", decoded)
}

// checkSums compares checksums by name with a list as sha256sum writes it.
func checkSums(t *testing.T, list string, found map[string]string) {
	t.Helper()
	content, err := os.ReadFile("mnist/" + list)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for line := range strings.Lines(string(content)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		want[name] = sum
	}
	if diff := cmp.Diff(want, found); diff != "" || len(found) != 4 {
		t.Errorf("%s (-expected +found):\n%s", list, diff)
	}
}

func TestMNISTFacts(t *testing.T) {
	loading, err := dataset.Open(dataset.MNIST, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	shape := dataset.Loading{Name: "mnist", Kind: "MNIST, which is built in",
		TrainCount: 60_000, TestCount: 10_000, Rows: 28, Columns: 28, Classes: 10}
	if diff := cmp.Diff(shape, *loading, exportedOnly); diff != "" {
		t.Errorf("Open (-expected +found):\n%s", diff)
	}

	d := loadMNIST(t)
	if d.Name != "mnist" || d.Classes != 10 || d.Mean != 0.1307 || d.Deviation != 0.3081 {
		t.Errorf("found %s, %d classes, mean %v, deviation %v", d.Name, d.Classes, d.Mean, d.Deviation)
	}
	mean, deviation := dataset.Statistics(d.Train.Pixels)
	if round4(mean) != 0.1307 || round4(deviation) != 0.3081 {
		t.Errorf("found mean %v and deviation %v, expected 0.1307 and 0.3081", mean, deviation)
	}

	// A split changes neither the published values nor what the next one gets.
	d.Split(1000, 1)
	if d.Mean != 0.1307 || d.Deviation != 0.3081 {
		t.Errorf("found mean %v and deviation %v after a split, expected 0.1307 and 0.3081", d.Mean, d.Deviation)
	}
	if again := loadMNIST(t); again.Train.Len() != 60_000 || again.Validation.Len() != 0 {
		t.Errorf("a split of one value changed another")
	}
}

// What earlier versions recorded, the checksums of packed files, is known again.
func TestRecordedPackedFilesAreKnown(t *testing.T) {
	var recorded []dataset.File
	for _, file := range loadMNIST(t).Files {
		content, err := fs.ReadFile(dataset.MNISTFiles(), file.Name)
		if err != nil {
			t.Fatal(err)
		}
		recorded = append(recorded, dataset.File{Name: file.Name, SHA256: fmt.Sprintf("%x", sha256.Sum256(content))})
	}
	want := loadMNIST(t).Files
	if diff := cmp.Diff(want, dataset.CurrentFiles(recorded)); diff != "" {
		t.Errorf("files (-expected +found):\n%s", diff)
	}
	if found := dataset.CurrentDigest(dataset.Digest(recorded)); found != dataset.Digest(want) || dataset.KnownName(want) != "mnist" {
		t.Errorf("found the digest %s of %q", found, dataset.KnownName(want))
	}
	if other := recorded[:3]; !cmp.Equal(dataset.CurrentFiles(other), other) || dataset.KnownName(other) != "" {
		t.Errorf("found other files to be MNIST")
	}
	var fashion []dataset.File
	for _, sum := range []string{
		"b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7", "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
		"cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa", "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
	} {
		fashion = append(fashion, dataset.File{SHA256: sum})
	}
	if found := dataset.KnownName(dataset.CurrentFiles(fashion)); found != "fashion-mnist" {
		t.Errorf("found %q, expected fashion-mnist", found)
	}
}

func round4(x float64) float64 { return math.Round(x*1e4) / 1e4 }
