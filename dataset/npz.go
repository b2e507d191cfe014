package dataset

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"epochal/dataset/regular"
)

// maxArrayHeader is the limit on the header of an array, in bytes. It is NumPy's own.
const maxArrayHeader = 10_000

// arrayNames are what people call the arrays of one file, whatever the case.
// There is no test set under the names that say neither train nor test.
var arrayNames = []struct{ trainImages, trainLabels, testImages, testLabels string }{
	{"x_train", "y_train", "x_test", "y_test"},                     // Keras
	{"train_images", "train_labels", "test_images", "test_labels"}, // MedMNIST
	{"training_images", "training_labels", "test_images", "test_labels"},
	{"train_x", "train_y", "test_x", "test_y"},
	{"images", "labels", "", ""},
	{"x", "y", "", ""},
	{"data", "target", "", ""}, // scikit-learn
}

// npz is an open .npz file: a zip archive of .npy files, each of which holds an array.
type npz struct {
	name   string
	size   int64
	arrays map[string]*zip.File // by their names in lower case, without .npy
	names  []string             // as stored, in their order
}

// openNPZ begins to read a file that numpy.savez wrote. It returns with the labels and
// with the headers of the images.
func openNPZ(file string, _ Options) (form, error) {
	opened, err := regular.Open(file)
	if err != nil {
		return form{}, err
	}
	var f form
	info, err := opened.Stat()
	if err == nil {
		f, err = readNPZ(opened, info.Size(), file)
	}
	if err != nil {
		opened.Close()
		return form{}, instead(file, err)
	}
	f.container = opened
	return f, nil
}

func readNPZ(file io.ReaderAt, size int64, name string) (form, error) {
	archive, err := readZIP(file, size)
	if err != nil {
		return form{}, fmt.Errorf("%s: %w", name, err)
	}
	z := npz{name: name, size: size, arrays: map[string]*zip.File{}}
	for _, member := range archive.File {
		array, ok := strings.CutSuffix(member.Name, ".npy")
		if !ok {
			continue
		}
		if z.has(array) {
			return form{}, fmt.Errorf("%s: %.40s: found two arrays of that name, expected one", name, array)
		}
		z.arrays[strings.ToLower(array)] = member
		z.names = append(z.names, array)
	}
	for _, names := range arrayNames {
		if z.has(names.trainImages) || z.has(names.trainLabels) {
			f := form{kind: "an npz file of NumPy arrays"}
			var trainErr, testErr error
			f.train, trainErr = z.part(names.trainImages, names.trainLabels)
			if z.has(names.testImages) || z.has(names.testLabels) {
				f.test, testErr = z.part(names.testImages, names.testLabels)
			}
			used := []string{names.trainImages, names.trainLabels, names.testImages, names.testLabels}
			unused := slices.DeleteFunc(z.names, func(name string) bool { return slices.Contains(used, strings.ToLower(name)) })
			if len(unused) > 0 {
				f.warnings = append(f.warnings, fmt.Sprintf("%s: the arrays that are not used: %s", name, listedNames(unused)))
			}
			return f, errors.Join(trainErr, testErr)
		}
	}
	return form{}, fmt.Errorf("%s: arrays: found %s, expected x_train and y_train, and x_test and y_test if there is a test set",
		name, listedNames(z.names))
}

func (z *npz) has(array string) bool { return z.arrays[strings.ToLower(array)] != nil }

// part reads the labels of one set and the header of its images.
func (z *npz) part(images, labels string) (part, error) {
	var p part
	labelled, err := z.open(labels)
	if err == nil {
		p.labels, err = labelled.labels()
		labelled.member.Close()
	}
	pictures, imagesErr := z.open(images)
	if imagesErr == nil {
		imagesErr = pictures.imageSize(&p)
	}
	if err := errors.Join(imagesErr, err); err != nil {
		return p, err
	}
	p.imagesName, p.labelsName = pictures.name, labelled.name
	p.pixels = func(report func(done, total int)) ([]byte, error) {
		return pictures.pixels(p.count, p.rows, p.columns, report)
	}
	return p, nil
}

// array is an array of a file, past its header.
type array struct {
	*stream
	member  io.Closer
	dtype   string
	fortran bool // the first index varies fastest
	shape   arrayShape
}

type arrayShape []int

// String writes a shape as Python does.
func (s arrayShape) String() string {
	text := strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(s)), " ", ", "), "[]")
	if len(s) == 1 {
		text += ","
	}
	return "(" + text + ")"
}

var (
	// arrayHeader is the Python dictionary before the values, as NumPy and others write it.
	arrayHeader = regexp.MustCompile(`^\{'descr': ?'([^'\\]*)', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\),? ?\}\s*$`)
	// integerType is the dtype of labels: the order of its bytes, whether it is signed, how many bytes.
	integerType = regexp.MustCompile(`^([|<>])([iu])([1248])$`)
)

func (z *npz) open(name string) (*array, error) {
	member := z.arrays[name]
	if member == nil {
		return nil, fmt.Errorf("%s: %s: found no such array, expected one: there are %s", z.name, name, listedNames(z.names))
	}
	name = z.name + ": " + strings.TrimSuffix(member.Name, ".npy")
	reader, err := member.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	// The archive claims the stored size; the file has no more bytes than it has.
	stored := min(member.CompressedSize64, uint64(z.size), byteLimit/inflation)
	a := &array{member: reader, stream: &stream{name: name, data: bufio.NewReader(reader), start: max(firstChunk, int(stored)*inflation)}}
	if err := a.header(); err != nil {
		reader.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return a, nil
}

// header reads what precedes the values, as the module numpy.lib.format describes it.
func (a *array) header() error {
	const magic = "\x93NUMPY"
	start := make([]byte, len(magic)+2)
	if n, err := a.fill(start); err != nil {
		return fmt.Errorf("header bytes: found %d, expected %d: %w", n, len(start), cutShort(err))
	}
	if !bytes.HasPrefix(start, []byte(magic)) {
		return fmt.Errorf("magic number: found %q, expected %q", start[:len(magic)], magic)
	}
	length := make([]byte, 4)
	switch version := start[len(magic)]; version {
	case 1:
		length = length[:2]
	case 2, 3:
	default:
		return fmt.Errorf("version of the npy format: found %d, expected 1 to 3", version)
	}
	if _, err := a.fill(length); err != nil {
		return fmt.Errorf("header length: %w", cutShort(err))
	}
	size := binary.LittleEndian.Uint32(append(length, 0, 0)[:4])
	if size > maxArrayHeader {
		return fmt.Errorf("header length: found %d, expected at most %d", size, maxArrayHeader)
	}
	text := make([]byte, size)
	if n, err := a.fill(text); err != nil {
		return fmt.Errorf("header bytes: found %d, expected %d: %w", n, size, cutShort(err))
	}
	found := arrayHeader.FindSubmatch(text)
	if found == nil {
		return fmt.Errorf("header: found %.60q, expected one such as {'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28), }", text)
	}
	a.dtype, a.fortran = string(found[1]), string(found[2]) == "True"
	for digits := range strings.FieldsFuncSeq(string(found[3]), func(r rune) bool { return r == ',' || r == ' ' }) {
		dimension, err := strconv.Atoi(digits)
		if err != nil {
			return fmt.Errorf("header: shape: found (%.60s), expected the sizes of an array", found[3])
		}
		a.shape = append(a.shape, dimension)
	}
	if strings.HasSuffix(a.dtype, "O") {
		return fmt.Errorf("dtype: found '%s', Python objects, which are stored as a pickle and not read: "+
			"expected '|u1' for images, an integer for labels", a.dtype)
	}
	return nil
}

// cutShort is the error of a file that ends where it should not.
func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// labels reads the whole array as labels.
func (a *array) labels() ([]byte, error) {
	if len(a.shape) != 1 && (len(a.shape) != 2 || a.shape[1] != 1) {
		return nil, fmt.Errorf("%s: shape: found %.60s, expected (n,) or (n, 1), one number for each image: "+
			"of one-hot labels save argmax(axis=1)", a.name, a.shape)
	}
	dtype := integerType.FindStringSubmatch(a.dtype)
	if dtype == nil || dtype[1] == "|" && dtype[3] != "1" {
		return nil, fmt.Errorf("%s: dtype: found '%.40s', expected an integer such as '|u1' or '<i8': save the labels as numpy.uint8",
			a.name, a.dtype)
	}
	order, signed, width := dtype[1], dtype[2] == "i", int(dtype[3][0]-'0')
	count := a.shape[0]
	if count < 1 || count > MaxImages {
		return nil, fmt.Errorf("%s: labels: found %d, expected 1 to %d", a.name, count, MaxImages)
	}
	values, err := a.body("label", count*width)
	if err != nil {
		return nil, err
	}
	labels := make([]byte, count)
	for i := range labels {
		value := values[i*width : (i+1)*width]
		if order == ">" {
			slices.Reverse(value)
		}
		var found uint64
		for j, b := range value {
			found |= uint64(b) << (8 * j)
		}
		text := strconv.FormatUint(found, 10)
		if unused := 64 - 8*width; signed {
			number := int64(found<<unused) >> unused
			found, text = uint64(number), strconv.FormatInt(number, 10)
		}
		if found > math.MaxUint8 {
			return nil, fmt.Errorf("%s: label of image %d: found %s, expected 0 to 255", a.name, i, text)
		}
		labels[i] = byte(found)
	}
	return labels, nil
}

// imageSize checks the header of an array of images.
func (a *array) imageSize(p *part) error {
	if strings.TrimLeft(a.dtype, "|<>") != "u1" {
		return fmt.Errorf("%s: dtype: found '%.40s', expected '|u1': save the images as numpy.uint8, 0 to 255", a.name, a.dtype)
	}
	switch n := a.shape; {
	case len(n) == 2:
		side := int(math.Sqrt(float64(n[1])))
		if side*side != n[1] {
			return fmt.Errorf("%s: shape: found %s, expected (n, rows, columns), or a square number of pixels", a.name, n)
		}
		p.rows, p.columns = side, side
	case len(n) == 3 || len(n) == 4 && n[3] == 1:
		p.rows, p.columns = n[1], n[2]
	default:
		return fmt.Errorf("%s: shape: found %.60s, expected (n, rows, columns): images of one channel", a.name, n)
	}
	p.count = a.shape[0]
	return checkImages(a.name, p.count, p.rows, p.columns)
}

// pixels reads the whole array as images, [count, rows*columns].
func (a *array) pixels(count, rows, columns int, report func(done, total int)) ([]byte, error) {
	defer a.member.Close()
	size := rows * columns
	a.report = func(bytes int, _ []byte) { report(min(bytes/size, count), count) }
	stored, err := a.body("pixel", count*size)
	if err != nil || !a.fortran {
		return stored, err
	}
	pixels := make([]byte, len(stored))
	for at := range size {
		// The place of the at-th value of each image, whose pixels may be one index or two.
		pixel := at
		if len(a.shape) > 2 {
			pixel = at%rows*columns + at/rows
		}
		for image, value := range stored[at*count : (at+1)*count] {
			pixels[image*size+pixel] = value
		}
	}
	return pixels, nil
}
