package dataset

import "io"

// Options say how to read a dataset. The zero value reads one that is whole and upright.
type Options struct {
	// Split is the part of a folder that holds several datasets, such as EMNIST's
	// "letters"; "" where there is only one.
	Split string

	// Transpose is whether rows and columns are swapped: "true", "false", or "" for files
	// that are known to lie on their side, as EMNIST's do.
	Transpose string

	// TestShare is the share of the images that become the test set where the data has
	// none, above 0 and below 1; 0 means [DefaultTestShare].
	TestShare float64
	Seed      uint64 // draws them, and TrainImages

	// TrainImages is how many of the training images are used, drawn by the seed, those of a
	// smaller number among those of a larger one; 0: all.
	TrainImages int

	// PermutePixels draws one permutation of the pixels, which is applied to every image; 0: none.
	PermutePixels uint64

	// Progress is called while images are read, from one goroutine at a time; may be nil.
	Progress func(done, total int)
}

// Changes reports whether what [Open] gives for a name has to be read to know its content:
// it is not MNIST, or not as it is built in.
func (o Options) Changes(name string) bool {
	return name != MNIST || o.Transpose == "true" || o.alters()
}

// alters reports whether the images that are read are not those that are used.
func (o Options) alters() bool { return o.TrainImages != 0 || o.PermutePixels != 0 }

// DefaultTestShare is the share of the images that become the test set where the data has none.
const DefaultTestShare = 0.1

// form is a dataset as one of the formats holds it: labels and sizes are read, pixels
// may not be decoded yet, and the halves are not compared with each other.
type form struct {
	kind        string    // what it was taken for: "four IDX files", "an image folder"
	classNames  []string  // by label; nil where the format has none
	train, test part      // test has no images where the format holds only one set
	warnings    []string  // about the files: what was left out, and why
	container   io.Closer // the archive that both parts are in; may be nil
	files       []File    // their contents where they are known without reading them, MNIST's; else nil
}

// part is the train set or the test set of a form.
type part struct {
	count, rows, columns int
	labels               []byte // [count]
	imagesName           string // the file of the images, or the folder, for errors and for [Dataset.Files]
	labelsName           string // the file of the labels, which may be the same

	// pixels decodes the images, [count, rows*columns], and is called at most once.
	// report says how many images are decoded; it is never nil.
	pixels func(report func(done, total int)) ([]byte, error)
	// hashing makes pixels compute the checksum of the images meanwhile, which saves time, and
	// returns what gives it afterwards; nil where that is not possible.
	hashing func() (checksum func() string)

	close func() // gives up what pixels would read; may be nil
}
