package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
)

// Set is one labelled part of a dataset: train, validation or test.
// Its arrays may be shared with other datasets and must not be changed.
type Set struct {
	Pixels  []byte // [count, rows*columns], row-major, 0..255
	Labels  []byte // [count], each below the dataset's Classes
	Rows    int    // height of an image, pixels
	Columns int    // width of an image, pixels
}

// Len returns the number of images.
func (s Set) Len() int { return len(s.Labels) }

// Image returns the bytes of image i, [rows*columns], i from 0 to Len-1.
// It is a view of Pixels, not a copy.
func (s Set) Image(i int) []byte {
	size := s.Rows * s.Columns
	return s.Pixels[i*size : (i+1)*size : (i+1)*size]
}

// ClassCounts returns the number of images of each class, [classes].
func (s Set) ClassCounts(classes int) []int {
	counts := make([]int, classes)
	for _, label := range s.Labels {
		counts[label]++
	}
	return counts
}

// Dataset is a labelled set of images, split into its parts. All images have the same size.
type Dataset struct {
	Name       string // "mnist" or "fashion-mnist" for whatever has their content, else the name as given
	Train      Set    // at least 1 image
	Test       Set    // at least 1 image
	Validation Set    // empty unless Split was called

	// Classes is the highest label plus one, or the number of names: 10 for MNIST; 2 to MaxClasses.
	Classes int

	// ClassNames are the names of the classes by label, [Classes]; nil where there are
	// none, and numbers name them.
	ClassNames []string

	// Mean and Deviation of the train pixels on a 0..1 scale. For MNIST they
	// are the usual 0.1307 and 0.3081. Deviation is never 0: where all pixels are
	// equal it is 1, so that normalizing gives 0 and not a division by zero.
	Mean, Deviation float64

	Files []File // what the data is: train images and labels, test images and labels

	keepStatistics bool // Mean and Deviation are published values, which a split does not change
}

// Blank is a warning that all training pixels of the data of a name are equal, by the Dataset's
// Mean and Deviation; "" where they are not.
func Blank(name string, mean, deviation float64) string {
	if deviation < 1 {
		return ""
	}
	return fmt.Sprintf("%s: all training pixels are %.0f: there is nothing to tell the images apart", name, mean*255)
}

// ClassName is the name of a class, 0 to Classes-1: its number where it has no other.
func (d Dataset) ClassName(class int) string {
	if d.ClassNames == nil {
		return strconv.Itoa(class)
	}
	return d.ClassNames[class]
}

// File identifies a part of a dataset by its content, in whatever form that is stored.
type File struct {
	Name   string `json:"name"`   // base name of the file or folder that it was read from
	SHA256 string `json:"sha256"` // of what a plain IDX file of it holds, 64 hex digits
}

// checksum is the SHA-256 of an IDX file.
func checksum(data []byte, magic int, dimensions ...int) string {
	hash := sha256.New()
	hash.Write(idxHeader(magic, dimensions...))
	hash.Write(data)
	return hex.EncodeToString(hash.Sum(nil))
}

// Digest is a SHA-256, as 64 hex digits, over the contents of files in their order:
// over their checksums, so that it can be computed from a record of them.
func Digest(files []File) string {
	hash := sha256.New()
	for _, file := range files {
		hash.Write([]byte(file.SHA256))
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// SameContent reports whether two lists of files have the same contents in the same order,
// whatever their names.
func SameContent(a, b []File) bool {
	return slices.EqualFunc(a, b, func(a, b File) bool { return a.SHA256 == b.SHA256 })
}
