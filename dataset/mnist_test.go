package dataset_test

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"epochal/dataset"

	"github.com/google/go-cmp/cmp"
)

func loadMNIST(t testing.TB) *dataset.Dataset {
	t.Helper()
	d, err := dataset.Read(dataset.MNIST)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checksums reads a list as sha256sum writes it: hex digits by file name.
func checksums(t *testing.T, name string) map[string]string {
	t.Helper()
	list, err := os.ReadFile("mnist/" + name)
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]string)
	for line := range strings.Lines(string(list)) {
		sum, file, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("%s: found line %q", name, line)
		}
		sums[file] = sum
	}
	return sums
}

func sha256Hex(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func TestMNISTFiles(t *testing.T) {
	want := checksums(t, "SHA256SUMS")
	got := make(map[string]string)
	for _, file := range loadMNIST(t).Files {
		got[file.Name] = file.SHA256
		stored, err := os.ReadFile("mnist/" + file.Name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256Hex(stored); sum != want[file.Name] {
			t.Errorf("%s: found checksum %s, expected %s", file.Name, sum, want[file.Name])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 4 {
		t.Errorf("Files (-expected +found):\n%s", diff)
	}
}

func TestMNISTContent(t *testing.T) {
	d := loadMNIST(t)
	for name, content := range map[string][]byte{
		"train-images-idx3-ubyte": imagesFile(60_000, 28, 28, d.Train.Pixels),
		"train-labels-idx1-ubyte": labelsFile(d.Train.Labels...),
		"t10k-images-idx3-ubyte":  imagesFile(10_000, 28, 28, d.Test.Pixels),
		"t10k-labels-idx1-ubyte":  labelsFile(d.Test.Labels...),
	} {
		want := checksums(t, "SHA256SUMS.raw")[name]
		if sum := sha256Hex(content); sum != want {
			t.Errorf("%s: found checksum %s, expected %s", name, sum, want)
		}
	}
}

func TestMNISTFacts(t *testing.T) {
	loading, err := dataset.Open(dataset.MNIST)
	if err != nil {
		t.Fatal(err)
	}
	shape := dataset.Loading{Name: "mnist", TrainCount: 60_000, TestCount: 10_000, Rows: 28, Columns: 28, Classes: 10}
	if diff := cmp.Diff(shape, *loading, exportedOnly); diff != "" {
		t.Errorf("Open (-expected +found):\n%s", diff)
	}

	d := loadMNIST(t)
	if d.Name != "mnist" || d.Classes != 10 || d.Mean != 0.1307 || d.Deviation != 0.3081 {
		t.Errorf("found %s, %d classes, mean %v, deviation %v", d.Name, d.Classes, d.Mean, d.Deviation)
	}
	if d.Train.Len() != 60_000 || d.Test.Len() != 10_000 || d.Validation.Len() != 0 {
		t.Errorf("found %d, %d and %d images, expected 60000, 10000 and 0", d.Train.Len(), d.Test.Len(), d.Validation.Len())
	}
	want := []int{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949}
	if counts := d.Train.ClassCounts(10); !slices.Equal(counts, want) {
		t.Errorf("found class counts %v, expected %v", counts, want)
	}
	mean, deviation := dataset.Statistics(d.Train.Pixels)
	if round4(mean) != 0.1307 || round4(deviation) != 0.3081 {
		t.Errorf("found mean %v and deviation %v, expected 0.1307 and 0.3081", mean, deviation)
	}
}

func round4(x float64) float64 { return math.Round(x*1e4) / 1e4 }

func TestMNISTValuesAreSeparate(t *testing.T) {
	one, other := loadMNIST(t), loadMNIST(t)
	if one == other || &one.Train.Pixels[0] != &other.Train.Pixels[0] {
		t.Fatal("expected two values with the same pixels")
	}
	if err := one.Split(1000, 1); err != nil {
		t.Fatal(err)
	}
	one.Name = "changed"
	if again := loadMNIST(t); again.Name != "mnist" || again.Train.Len() != 60_000 || again.Validation.Len() != 0 {
		t.Errorf("a split of one value changed another")
	}
	if one.Mean != 0.1307 || one.Deviation != 0.3081 {
		t.Errorf("found mean %v and deviation %v after a split, expected 0.1307 and 0.3081", one.Mean, one.Deviation)
	}
}
