package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"epochal/dataset/regular"
)

// trainPerTest is how many train images there are for each test image in a folder that
// [Append] fills, as in MNIST.
const trainPerTest = 6

// Append adds an image, [rows*columns], with its label to the dataset in a folder, and
// returns the number of train and of test images after it. The folder is made if there is
// none, with four plain files under MNIST's names. One image in seven goes to the test
// set, provided that some train label is as high as its own. Until there is one, the first
// train image stands in the test set as well, because [Load] reads no set without one.
//
// Each file is replaced whole. A process that is killed between images and labels
// leaves images without labels, which the next call drops. Only one process may
// append to a folder at a time.
func Append(folder string, image []byte, rows, columns int, label byte) (trainCount, testCount int, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, 0, err
	}
	if err := onlyPlain(folder); err != nil {
		return 0, 0, err
	}
	train, trainErr := readHalf(folder, trainImages, rows, columns)
	test, testErr := readHalf(folder, testImages, rows, columns)
	if err := errors.Join(trainErr, testErr); err != nil {
		return 0, 0, err
	}
	if train.Len() >= MaxImages {
		return 0, 0, fmt.Errorf("%s: found %d train images, expected fewer than that", folder, train.Len())
	}
	borrowed := borrows(train, test)
	if borrowed {
		test.Pixels, test.Labels = nil, nil
	}
	if train.Len() > 0 && trainPerTest*test.Len() < train.Len() && label <= max(1, slices.Max(train.Labels)) {
		longer := test
		longer.Pixels, longer.Labels = append(test.Pixels, image...), append(test.Labels, label)
		if !borrows(train, longer) { // the next call would take it for a borrowed one, and drop it
			if borrowed { // its label must not be read as that of the new image
				err = os.Remove(filepath.Join(folder, partEndings[testLabels][0]))
			}
			if err == nil {
				err = writeHalf(folder, testImages, longer)
			}
			return train.Len(), longer.Len(), err
		}
	}
	train.Pixels, train.Labels = append(train.Pixels, image...), append(train.Labels, label)
	err = writeHalf(folder, trainImages, train)
	if err == nil && test.Len() == 0 {
		test.Pixels, test.Labels = train.Image(0), train.Labels[:1]
		err = writeHalf(folder, testImages, test)
	}
	return train.Len(), test.Len(), err
}

// borrows reports whether the test set is only the first train image.
func borrows(train, test Set) bool {
	return test.Len() == 1 && train.Len() > 0 && test.Labels[0] == train.Labels[0] && bytes.Equal(test.Pixels, train.Image(0))
}

// onlyPlain refuses a folder with the files of a set under other names, which those that
// Append writes would hide or contradict.
func onlyPlain(folder string) error {
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		for _, endings := range partEndings {
			if isPart(entry.Name(), endings) && entry.Name() != endings[0] {
				return fmt.Errorf("%s: found %s, expected %s or an empty folder", folder, entry.Name(), endings[0])
			}
		}
	}
	return err
}

// readHalf reads the images and labels of a set, none where there are no files.
func readHalf(folder string, images, rows, columns int) (Set, error) {
	set := Set{Rows: rows, Columns: columns}
	err := readPart(folder, images, func(s *stream) error {
		count, foundRows, foundColumns, err := s.imagesHeader()
		if err == nil && (foundRows != rows || foundColumns != columns) {
			err = fmt.Errorf("%s: image size: found %dx%d, expected %dx%d", s.name, foundRows, foundColumns, rows, columns)
		}
		if err == nil {
			set.Pixels, err = s.body("pixel", count*rows*columns)
		}
		return err
	})
	if err == nil {
		err = readPart(folder, images+1, func(s *stream) (err error) { set.Labels, err = s.labels(); return err })
	}
	if err != nil {
		return set, err
	}
	if found := len(set.Pixels) / (rows * columns); found != set.Len() && found != set.Len()+1 {
		return set, fmt.Errorf("%s: images: found %d, expected %d, the number of labels in %s",
			filepath.Join(folder, partEndings[images][0]), found, set.Len(), partEndings[images+1][0])
	}
	set.Pixels = set.Pixels[:set.Len()*rows*columns]
	return set, nil
}

// readPart reads a file of a set with read, if it is there.
func readPart(folder string, part int, read func(*stream) error) error {
	name := filepath.Join(folder, partEndings[part][0])
	file, err := regular.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer file.Close()
	s, err := newStream(file, name, 0)
	if err == nil {
		err = read(s)
	}
	return err
}

// writeFile replaces a file; tests stop it as a kill would.
var writeFile = regular.Write

// writeHalf writes the images of a set, and then their labels.
func writeHalf(folder string, images int, set Set) error {
	write := func(part int, data []byte, header ...int) error {
		return writeFile(filepath.Join(folder, partEndings[part][0]), append(idxHeader(header[0], header[1:]...), data...))
	}
	err := write(images, set.Pixels, imagesMagic, set.Len(), set.Rows, set.Columns)
	if err == nil {
		err = write(images+1, set.Labels, labelsMagic, set.Len())
	}
	return err
}
