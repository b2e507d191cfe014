package dataset

import (
	"embed"
	"io/fs"
)

// MNIST is the name of the MNIST database, which the binary carries: 60,000 train
// and 10,000 test images of 28x28 pixels in 10 classes.
const MNIST = "mnist"

// Mean and standard deviation of MNIST's train pixels as they are usually rounded,
// so that a normalized run can be compared with others.
const (
	mnistMean      = 0.1307
	mnistDeviation = 0.3081
)

//go:embed mnist/*-ubyte.gz
var mnistFiles embed.FS

// MNISTFiles returns the four files of MNIST as this package carries them, IDX
// in gzip, for programs that read them themselves.
func MNISTFiles() fs.FS {
	files, err := fs.Sub(mnistFiles, "mnist")
	if err != nil {
		panic(err) // the name is valid
	}
	return files
}
