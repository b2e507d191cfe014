package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"epochal/dataset/regular"
)

// Loading is a dataset whose labels and headers are read and checked, and whose
// pixels are not decoded yet: Wait does that, or Close lets them be.
type Loading struct {
	Name       string // as the Dataset's
	TrainCount int    // train images, 1 to MaxImages
	TestCount  int    // test images, 1 to MaxImages
	Rows       int    // height of an image, 1 to MaxSide pixels
	Columns    int    // width of an image, 1 to MaxSide pixels
	Classes    int    // as the Dataset's

	decoded     func() (Dataset, error) // decodes the pixels when it is called first
	train, test *half
}

// published is what is known of a set before it is read.
type published struct{ mean, deviation float64 }

// Open begins to read the dataset of that name: MNIST, which is built in, or
// else a folder as described at [Load]. It returns within milliseconds.
func Open(name string, o Options) (*Loading, error) {
	if name == MNIST {
		return load(MNISTFiles(), MNIST, &published{mnistMean, mnistDeviation})
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: found a file, expected a folder with four IDX files", name)
	}
	return Load(os.DirFS(name), name, o)
}

// Close closes the files, whether or not the pixels were decoded. No call of Wait may
// be under way.
func (l *Loading) Close() {
	l.train.close()
	l.test.close()
}

// Read is [Open] and Wait in one.
func Read(name string, o Options) (*Dataset, error) {
	loading, err := Open(name, o)
	if err != nil {
		return nil, err
	}
	return loading.Wait()
}

// Wait decodes the pixels and returns the dataset, or the errors of the image
// files. It may be called any number of times, from any goroutine; each call
// returns a Dataset value of its own, with the same arrays. They are held only by
// whoever holds l or what Wait returned.
func (l *Loading) Wait() (*Dataset, error) {
	d, err := l.decoded()
	if err != nil {
		return nil, err
	}
	return &d, nil
}

func load(fsys fs.FS, name string, known *published) (*Loading, error) {
	names, err := findParts(fsys, name)
	if err != nil {
		return nil, err
	}

	var train, test half
	var errs [parts]error
	var group sync.WaitGroup
	group.Go(func() { errs[trainImages] = train.openImages(fsys, names[trainImages]) })
	group.Go(func() { errs[trainLabels] = train.readLabels(fsys, names[trainLabels]) })
	group.Go(func() { errs[testImages] = test.openImages(fsys, names[testImages]) })
	group.Go(func() { errs[testLabels] = test.readLabels(fsys, names[testLabels]) })
	group.Wait()

	err = errors.Join(errs[:]...)
	classes := 0
	if err == nil {
		classes, err = agree(&train, &test)
	}
	if err != nil {
		train.close()
		test.close()
		return nil, err
	}

	return &Loading{
		Name:       name,
		TrainCount: train.count,
		TestCount:  test.count,
		Rows:       train.rows,
		Columns:    train.columns,
		Classes:    classes,
		train:      &train,
		test:       &test,
		decoded: sync.OnceValues(func() (Dataset, error) {
			d, err := decode(&train, &test, known)
			d.Name, d.Classes = name, classes
			return d, err
		}),
	}, nil
}

// agree checks the labels and headers of both halves against each other and
// returns the number of classes.
func agree(train, test *half) (classes int, err error) {
	classes = max(2, int(slices.Max(train.labels))+1)
	var sizeErr, labelErr error
	if train.rows != test.rows || train.columns != test.columns {
		sizeErr = fmt.Errorf("%s: image size: found %dx%d, expected %dx%d as in %s",
			test.images.name, test.rows, test.columns, train.rows, train.columns, train.images.name)
	}
	above := func(label byte) bool { return int(label) >= classes }
	if i := slices.IndexFunc(test.labels, above); i >= 0 {
		labelErr = fmt.Errorf("%s: label %d of image %d: expected below %d (the highest train label plus one)",
			test.labelsFile.Name, test.labels[i], i, classes)
	}
	return classes, errors.Join(train.matched(), test.matched(), sizeErr, labelErr)
}

// decode reads the pixels of both halves.
func decode(train, test *half, known *published) (Dataset, error) {
	d := Dataset{}
	var trainErr, testErr error
	var trainFile, testFile File
	var group sync.WaitGroup
	group.Go(func() { d.Test, testFile, testErr = test.finish() })
	group.Go(func() {
		d.Train, trainFile, trainErr = train.finish()
		if known != nil {
			d.Mean, d.Deviation, d.keepStatistics = known.mean, known.deviation, true
		} else if trainErr == nil {
			d.Mean, d.Deviation = d.Train.normalization()
		}
	})
	group.Wait()
	d.Files = []File{trainFile, train.labelsFile, testFile, test.labelsFile}
	return d, errors.Join(trainErr, testErr)
}

// half is the train set or the test set while it is read.
type half struct {
	images               *source // past its header
	count, rows, columns int     // of images
	labels               []byte
	labelsFile           File
}

func (h *half) openImages(fsys fs.FS, name string) error {
	images, err := openSource(fsys, name)
	if err != nil {
		return err
	}
	h.images = images
	h.count, h.rows, h.columns, err = images.imagesHeader()
	return err
}

func (h *half) readLabels(fsys fs.FS, name string) error {
	source, err := openSource(fsys, name)
	if err != nil {
		return err
	}
	defer source.file.Close()
	h.labels, err = source.labels()
	h.labelsFile = source.identity()
	return err
}

// matched checks that every image has a label.
func (h *half) matched() error {
	if h.count == len(h.labels) {
		return nil
	}
	return fmt.Errorf("%s: images: found %d, expected %d, the number of labels in %s",
		h.images.name, h.count, len(h.labels), h.labelsFile.Name)
}

// finish reads the pixels and closes the file.
func (h *half) finish() (Set, File, error) {
	defer h.close()
	pixels, err := h.images.body("pixel", h.count*h.rows*h.columns)
	if err != nil {
		return Set{}, File{}, err
	}
	return Set{Pixels: pixels, Labels: h.labels, Rows: h.rows, Columns: h.columns}, h.images.identity(), nil
}

func (h *half) close() {
	if h.images != nil {
		h.images.file.Close()
	}
}

// source is a file of a set, open for reading.
type source struct {
	*stream
	file   fs.File
	digest hash.Hash // of the bytes read so far
}

func openSource(fsys fs.FS, name string) (*source, error) {
	// Checked before it is opened, which for a pipe may wait forever. Other errors show then.
	if info, err := fs.Stat(fsys, name); err == nil {
		if err := regular.Check(name, info); err != nil {
			return nil, err
		}
	}
	file, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var size int64
	if info, err := file.Stat(); err == nil {
		size = info.Size()
	}
	s := &source{file: file, digest: sha256.New()}
	s.stream, err = newStream(io.TeeReader(file, s.digest), name, size)
	if err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

// identity returns the file's name and checksum, once it has been read to its end.
func (s *source) identity() File {
	return File{Name: s.name, SHA256: hex.EncodeToString(s.digest.Sum(nil))}
}

// ReadImages reads a file of images without labels: IDX of unsigned bytes, plain or
// gzipped, as [Load] reads those of a set. name is for errors. accept may refuse the
// size of the images before any of them is read. Every image is [rows*columns],
// row-major, 0..255.
func ReadImages(r io.Reader, name string, accept func(rows, columns int) error) ([][]byte, error) {
	s, err := newStream(r, name, 0)
	if err != nil {
		return nil, err
	}
	count, rows, columns, err := s.imagesHeader()
	if err == nil {
		err = accept(rows, columns)
	}
	if err != nil {
		return nil, err
	}
	pixels, err := s.body("pixel", count*rows*columns)
	if err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(pixels, rows*columns)), nil
}
