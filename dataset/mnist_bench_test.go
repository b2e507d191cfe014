package dataset

import (
	"io/fs"
	"testing"
)

// BenchmarkMNIST decodes the embedded files, which MNIST does once per process.
func BenchmarkMNIST(b *testing.B) {
	files, err := fs.Sub(mnistFiles, "mnist")
	if err != nil {
		b.Fatal(err)
	}
	known := &published{checksums: parseChecksums(mnistChecksums), mean: mnistMean, deviation: mnistDeviation}
	b.SetBytes(70_000 * 28 * 28)
	for b.Loop() {
		loading, err := load(files, "mnist", known)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := loading.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}
