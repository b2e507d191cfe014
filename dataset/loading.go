package dataset

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Loading is a dataset whose labels and headers are read and checked, and whose
// pixels are not decoded yet: Wait does that, or Close lets them be.
type Loading struct {
	Name       string   // as given; the Dataset may be known by another
	Kind       string   // what it was taken for: "four IDX files"
	TrainCount int      // train images, 1 to MaxImages
	TestCount  int      // test images, 1 to MaxImages
	Rows       int      // height of an image, 1 to MaxSide pixels
	Columns    int      // width of an image, 1 to MaxSide pixels
	Classes    int      // as the Dataset's
	Warnings   []string // what is suspicious about the data, and how they were changed

	decoded func() (Dataset, error) // decodes the pixels when it is called first
	form    *form
}

// Read is [Open] and Wait in one.
func Read(name string, o Options) (*Dataset, error) {
	loading, err := Open(name, o)
	if err != nil {
		return nil, err
	}
	return loading.Wait()
}

// Close closes the files, whether or not the pixels were decoded. No call of Wait may
// be under way.
func (l *Loading) Close() { l.form.close() }

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

func (f *form) close() {
	if f.container != nil {
		defer f.container.Close()
	}
	for _, p := range []part{f.train, f.test} {
		if p.close != nil {
			p.close()
		}
	}
}

// start checks the labels and sizes of a form, which it closes if they are wrong.
// classNames are those of a file beside the data, nil without one.
func (f form) start(name string, classNames []string, o Options) (*Loading, error) {
	if err := f.agree(); err != nil {
		f.close()
		return nil, err
	}
	l := &Loading{Name: name, Kind: f.kind, Warnings: f.warnings, form: &f, Rows: f.train.rows, Columns: f.train.columns}
	transposed := o.Transpose == "true"
	if o.Transpose == "" && isEMNIST(f.train.imagesName) {
		transposed = true
		l.Warnings = append(l.Warnings, name+": EMNIST's images lie on their side: transposed; --transpose=false leaves them")
	}
	if transposed {
		l.Rows, l.Columns = l.Columns, l.Rows
	}
	train, test := f.train.labels, f.test.labels
	var held []bool // the images of the train part that are the test set
	if f.test.count == 0 {
		count := f.train.count
		if count < 2 {
			f.close()
			return nil, fmt.Errorf("%s: found one image and no test set, expected at least 2 images", name)
		}
		share := cmp.Or(o.TestShare, DefaultTestShare)
		most := min(max(1, int(math.Round(share*float64(count)))), count-1)
		held = draw(o.Seed, count, most)
		train, test = partition(train, held, 1, most)
		l.Warnings = append(l.Warnings, fmt.Sprintf(
			"%s: there is no test set: %d of the %d images, drawn by seed %d, are the test set (--test-share)", name, most, count, o.Seed))
	} else if o.TestShare != 0 {
		l.Warnings = append(l.Warnings, name+": --test-share has no effect: the data has a test set")
	}
	l.TrainCount, l.TestCount = len(train), len(test)
	if o.TrainImages > l.TrainCount {
		f.close()
		return nil, fmt.Errorf("%s: --train-images: found %d, expected at most %d, the training images that there are",
			name, o.TrainImages, l.TrainCount)
	}
	l.TrainCount = cmp.Or(o.TrainImages, l.TrainCount)

	chosen := classNames
	if class, problem := checkClassNames(f.classNames); chosen == nil && problem != "" {
		l.Warnings = append(l.Warnings, fmt.Sprintf("%s: name of class %d: %s: numbers name the classes", name, class, problem))
	} else if chosen == nil {
		chosen = f.classNames
	}
	l.Classes = max(2, int(slices.Max(train))+1, int(slices.Max(test))+1)
	if known := emnistNames(f.train.imagesName); chosen == nil && l.Classes <= len(known) {
		chosen = known[:l.Classes]
	}
	if classNames != nil && len(classNames) < l.Classes {
		f.close()
		return nil, fmt.Errorf("%s: found %d names, expected %d, one for each class",
			filepath.Join(name, classesFile), len(classNames), l.Classes)
	}
	l.Classes = max(l.Classes, len(chosen))
	l.Warnings = append(l.Warnings, suspicions(name, train, test, chosen, l.Classes)...)
	l.decoded = sync.OnceValues(func() (Dataset, error) {
		d := Dataset{Name: name, Classes: l.Classes}
		err := f.decode(&d, held, transposed, o)
		if err == nil {
			d.ClassNames = chosen
			d.recognize(classNames != nil)
			if o.alters() {
				d.alter(o)
			}
		}
		return d, err
	})
	return l, nil
}

// agree checks the labels and sizes of both parts against each other.
func (f *form) agree() error {
	var sizeErr error
	if f.test.count > 0 && (f.train.rows != f.test.rows || f.train.columns != f.test.columns) {
		sizeErr = fmt.Errorf("%s: image size: found %dx%d, and %dx%d in %s, expected one size for all images",
			f.test.imagesName, f.test.rows, f.test.columns, f.train.rows, f.train.columns, f.train.imagesName)
		if f.kind == imageFolder {
			sizeErr = scaleFirst(f.train.rows, f.train.columns, sizeErr)
		}
	}
	return errors.Join(f.train.matched(), f.test.matched(), sizeErr)
}

// matched checks that every image has a label.
func (p *part) matched() error {
	if p.count == len(p.labels) {
		return nil
	}
	return fmt.Errorf("%s: images: found %d, expected %d, the number of labels in %s", p.imagesName, p.count, len(p.labels), p.labelsName)
}

// decode reads the pixels of both parts, into d, and computes what follows from them.
func (f *form) decode(d *Dataset, held []bool, transposed bool, o Options) error {
	report := f.reporters(o.Progress)
	var trainErr, testErr error
	var group sync.WaitGroup
	var hashed [2]func() string
	if f.files == nil && held == nil && !transposed {
		for i, p := range []part{f.train, f.test} {
			if p.hashing != nil {
				hashed[i] = p.hashing()
			}
		}
	}
	group.Go(func() { d.Train, trainErr = f.train.set(report[0], transposed) })
	if f.test.count > 0 {
		group.Go(func() { d.Test, testErr = f.test.set(report[1], transposed) })
	}
	group.Wait()
	f.close()
	if err := errors.Join(trainErr, testErr); err != nil {
		return err
	}
	labelsNames := [2]string{f.train.labelsName, f.test.labelsName}
	imagesNames := [2]string{f.train.imagesName, f.test.imagesName}
	if held != nil {
		d.Train, d.Test = d.Train.partition(held)
		labelsNames[1], imagesNames[1] = labelsNames[0], imagesNames[0]
	}
	d.Files = slices.Clone(f.files)
	if d.Files == nil || transposed {
		d.Files = make([]File, parts)
		for i, set := range []Set{d.Train, d.Test} {
			images, labels := &d.Files[2*i], &d.Files[2*i+1]
			images.Name, labels.Name = path.Base(filepath.ToSlash(imagesNames[i])), path.Base(filepath.ToSlash(labelsNames[i]))
			if hashed[i] != nil {
				images.SHA256 = hashed[i]()
			} else {
				group.Go(func() { images.SHA256 = checksum(set.Pixels, imagesMagic, set.Len(), set.Rows, set.Columns) })
			}
			group.Go(func() { labels.SHA256 = checksum(set.Labels, labelsMagic, set.Len()) })
		}
	}
	if f.files == nil || transposed {
		group.Go(func() { d.Mean, d.Deviation = d.Train.normalization() })
	}
	group.Wait()
	return nil
}

// reporters are what the two parts report their images to: together they call progress.
func (f *form) reporters(progress func(done, total int)) (reporters [2]func(done, total int)) {
	var mutex sync.Mutex
	var both [2]int
	for i := range reporters {
		reporters[i] = func(done, _ int) {
			if progress == nil {
				return
			}
			mutex.Lock()
			defer mutex.Unlock()
			both[i] = done
			progress(both[0]+both[1], f.train.count+f.test.count)
		}
	}
	return reporters
}

// set reads the pixels.
func (p *part) set(report func(done, total int), transposed bool) (Set, error) {
	pixels, err := p.pixels(report)
	if err != nil {
		return Set{}, err
	}
	s := Set{Pixels: pixels, Labels: p.labels, Rows: p.rows, Columns: p.columns}
	if transposed {
		s = s.transposed()
	}
	return s, nil
}

// transposed exchanges the rows and columns of every image.
func (s Set) transposed() Set {
	pixels := make([]byte, len(s.Pixels))
	size := s.Rows * s.Columns
	for start := 0; start < len(pixels); start += size {
		from, to := s.Pixels[start:start+size], pixels[start:start+size]
		for row := range s.Rows {
			for column := range s.Columns {
				to[column*s.Rows+row] = from[row*s.Columns+column]
			}
		}
	}
	s.Pixels, s.Rows, s.Columns = pixels, s.Columns, s.Rows
	return s
}

// idxHeader is the header of an IDX file.
func idxHeader(magic int, dimensions ...int) []byte {
	header := binary.BigEndian.AppendUint32(nil, uint32(magic))
	for _, dimension := range dimensions {
		header = binary.BigEndian.AppendUint32(header, uint32(dimension))
	}
	return header
}

// isEMNIST reports whether a file has one of EMNIST's names. A folder of images has not:
// its images are upright.
func isEMNIST(file string) bool {
	base := strings.ToLower(filepath.Base(file))
	return strings.HasPrefix(base, "emnist-") && strings.Contains(base, "-train")
}

// ReadImages reads a file of images without labels: IDX of unsigned bytes, plain, gzipped
// or xz, as [Load] reads those of a set. name is for errors. accept may refuse the
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
