package dataset

import (
	"embed"
	"io/fs"
	"path"
)

// MNIST is the name of the MNIST database, which the binary carries: 60,000 train
// and 10,000 test images of 28x28 pixels in 10 classes.
const MNIST = "mnist"

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

// openMNIST opens MNIST.
func openMNIST(o Options) (*Loading, error) {
	if err := checkSplit(MNIST, o.Split, nil, false); err != nil {
		return nil, err
	}
	f, err := openIDX(MNISTFiles(), MNIST, o)
	if err != nil {
		return nil, err
	}
	f.kind = "MNIST, which is built in"
	f.files = mnistKnown.named([parts]string{
		path.Base(f.train.imagesName), path.Base(f.train.labelsName), path.Base(f.test.imagesName), path.Base(f.test.labelsName),
	})
	return f.start(MNIST, nil, o)
}
