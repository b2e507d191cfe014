package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// The four files of a set, in the order in which errors and [Dataset.Files] list them.
const (
	trainImages = iota
	trainLabels
	testImages
	testLabels
	parts
)

var partTitles = [parts]string{"train images", "train labels", "test images", "test labels"}

// partEndings are how the name of each file ends, before a possible ".gz".
// MNIST's own names come first. Its test files are "t10k", EMNIST's are "test".
var partEndings = [parts][]string{
	trainImages: {"train-images-idx3-ubyte", "train-images.idx3-ubyte"},
	trainLabels: {"train-labels-idx1-ubyte", "train-labels.idx1-ubyte"},
	testImages:  {"t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte", "test-images-idx3-ubyte", "test-images.idx3-ubyte"},
	testLabels:  {"t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte", "test-labels-idx1-ubyte", "test-labels.idx1-ubyte"},
}

// Load reads the set in the four IDX files directly in fsys: the label files
// and the headers of the image files, whose pixels Wait decodes.
//
// Each file is found by how its name ends: train-images-idx3-ubyte,
// train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte;
// also "test" for "t10k" and ".idx" for "-idx", with or without a ".gz" at the
// end. So MNIST, Fashion-MNIST, KMNIST and a folder with one split of EMNIST
// are found as they are published. If a file is there both plain and with .gz,
// the plain one is read. Files whose names begin with a dot are ignored.
//
// name is the Dataset's Name and appears in errors. It is an error if a file is
// missing or found twice, if a file is not exactly what its header says (it has
// another magic number, a dimension that is 0 or above [MaxImages] or [MaxSide],
// more pixels than [MaxBytes], too few or too many bytes, or damaged or
// concatenated gzip data), if a set does not have as many labels as images, if the
// test images differ in size from the train images, or if a test label is above all
// train labels. An error names the file, the field, what was found and what was
// expected. All files at fault are reported, in the order train images, train
// labels, test images, test labels; but pixels are read, and what is wrong with
// them is reported by Wait, only if labels and headers are sound.
func Load(fsys fs.FS, name string, o Options) (*Loading, error) {
	return load(fsys, name, nil)
}

// findParts returns the names of the four files in the root of fsys.
func findParts(fsys fs.FS, name string) (found [parts]string, err error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return found, fmt.Errorf("%s: %w", name, err)
	}
	var errs [parts]error
	for part, endings := range partEndings {
		var matches []string
		for _, entry := range entries {
			if !entry.IsDir() && isPart(entry.Name(), endings) {
				matches = append(matches, entry.Name())
			}
		}
		// torchvision leaves the .gz beside what it unpacked from it.
		matches = slices.DeleteFunc(matches, func(name string) bool {
			plain, packed := strings.CutSuffix(name, ".gz")
			return packed && slices.Contains(matches, plain)
		})
		switch len(matches) {
		case 0:
			errs[part] = fmt.Errorf("%s: %s: found no file, expected one whose name ends in %s, or in one of these followed by .gz",
				name, partTitles[part], strings.Join(endings, ", "))
		case 1:
			found[part] = matches[0]
		default:
			errs[part] = fmt.Errorf("%s: %s: found %d files, %s, expected one",
				name, partTitles[part], len(matches), strings.Join(matches, ", "))
		}
	}
	return found, errors.Join(errs[:]...)
}

func isPart(name string, endings []string) bool {
	// macOS leaves "._" files of metadata beside the real ones.
	if strings.HasPrefix(name, ".") {
		return false
	}
	name = strings.TrimSuffix(name, ".gz")
	for _, ending := range endings {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return false
}
