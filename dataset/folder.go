package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"epochal/dataset/regular"
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

// partEndings are how the name of each file ends, before what a packed file adds.
// MNIST's own names come first. Its test files are "t10k", EMNIST's are "test", and
// QMNIST's labels are tables.
var partEndings = [parts][]string{
	trainImages: {"train-images-idx3-ubyte", "train-images.idx3-ubyte"},
	trainLabels: {"train-labels-idx1-ubyte", "train-labels.idx1-ubyte", "train-labels-idx2-int"},
	testImages:  {"t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte", "test-images-idx3-ubyte", "test-images.idx3-ubyte"},
	testLabels: {"t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte", "test-labels-idx1-ubyte", "test-labels.idx1-ubyte",
		"test-labels-idx2-int"},
}

// Load reads the set in the IDX files directly in fsys: the label files and the
// headers of the image files, whose pixels Wait decodes.
//
// Each file is found by how its name ends: train-images-idx3-ubyte,
// train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte; also "test"
// for "t10k", ".idx" for "-idx" and QMNIST's "-idx2-int", with or without .gz, .xz or
// .zip at the end. So MNIST, Fashion-MNIST, KMNIST, QMNIST and EMNIST are found as they
// are published; of several splits of EMNIST, o names one. If a file is there both plain
// and packed, the plain one is read. Files whose names begin with a dot are ignored.
//
// name is the Dataset's Name and appears in errors. It is an error if a file is
// missing or found twice, if a file is not exactly what its header says (it has
// another magic number, a dimension that is 0 or above [MaxImages] or [MaxSide],
// more pixels than [MaxBytes], too few or too many bytes, or damaged or
// concatenated packed data), if a set does not have as many labels as images, or if the
// test images differ in size from the train images. An error names the file, the
// field, what was found and what was expected. All files at fault are reported, in the
// order train images, train labels, test images, test labels; but pixels are read, and
// what is wrong with them is reported by Wait, only if labels and headers are sound.
func Load(fsys fs.FS, name string, o Options) (*Loading, error) {
	f, err := openIDX(fsys, name, o)
	if err != nil {
		return nil, err
	}
	names, err := readClassNames(fsys, name)
	if err != nil {
		f.close()
		return nil, err
	}
	return f.start(name, names, o)
}

// openIDX opens the files of a set.
func openIDX(fsys fs.FS, name string, o Options) (form, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return form{}, unreadable(name, err)
	}
	found, err := findParts(entries, name, o.Split)
	if err != nil {
		return form{}, err
	}
	f := form{kind: "four IDX files"}
	if found[testImages].name == "" {
		f.kind = "two IDX files"
	}
	halves := [2]*part{&f.train, &f.test}
	var errs, differences [parts]error
	var group sync.WaitGroup
	for part, file := range found {
		if file.name == "" {
			continue
		}
		half := halves[part/2]
		group.Go(func() {
			if part%2 == 0 {
				errs[part] = half.openImages(fsys, name, file.name)
			} else {
				errs[part] = half.readLabels(fsys, name, file.name)
			}
		})
		if file.gzipped != "" {
			group.Go(func() { differences[part] = compare(fsys, file) })
		}
	}
	group.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		f.close()
		return form{}, err
	}
	for _, difference := range differences {
		if difference != nil {
			f.warnings = append(f.warnings, fmt.Sprintf("%s: %v", name, difference))
		}
	}
	return f, nil
}

func (p *part) openImages(fsys fs.FS, folder, name string) error {
	s, err := openSource(fsys, folder, name)
	if err != nil {
		return err
	}
	p.imagesName, p.close = s.name, func() { s.Close() }
	if p.count, p.rows, p.columns, err = s.imagesHeader(); err != nil {
		return err
	}
	var sum hash.Hash
	p.hashing = func() func() string {
		sum = sha256.New()
		sum.Write(idxHeader(imagesMagic, p.count, p.rows, p.columns))
		return func() string { return hex.EncodeToString(sum.Sum(nil)) }
	}
	count, size := p.count, p.rows*p.columns
	p.pixels = func(report func(done, total int)) ([]byte, error) {
		chunks := make(chan []byte, 1)
		var hashed sync.WaitGroup
		hashed.Go(func() {
			for chunk := range chunks {
				sum.Write(chunk)
			}
		})
		s.report = func(bytes int, chunk []byte) {
			report(bytes/size, count)
			if sum != nil {
				chunks <- chunk // its bytes stay as they are, also where the buffer grows
			}
		}
		pixels, err := s.body("pixel", count*size)
		close(chunks)
		hashed.Wait()
		return pixels, err
	}
	return nil
}

func (p *part) readLabels(fsys fs.FS, folder, name string) error {
	s, err := openSource(fsys, folder, name)
	if err != nil {
		return err
	}
	defer s.Close()
	p.labelsName = s.name
	p.labels, err = s.labels()
	return err
}

// partFile is a file that was found for a part of a set.
type partFile struct {
	name    string
	split   string // "letters" of emnist-letters-train-images-idx3-ubyte, "" for MNIST's names
	gzipped string // the file with .gz beside a plain one
}

// findParts returns the files of a set. The test set may have none.
func findParts(entries []fs.DirEntry, name, split string) (found [parts]partFile, err error) {
	var matches [parts][]partFile
	total := 0
	for part := range parts {
		matches[part] = matchPart(entries, partEndings[part])
		total += len(matches[part])
	}
	if total == 0 {
		return found, unknownFolder(name, entries)
	}
	if matches, err = chooseSplit(matches, name, split); err != nil {
		return found, err
	}
	noTest := len(matches[trainImages]) > 0 && len(matches[trainLabels]) > 0 && len(matches[testImages])+len(matches[testLabels]) == 0
	var errs [parts]error
	for part, files := range matches {
		switch len(files) {
		case 0:
			if noTest {
				continue
			}
			errs[part] = fmt.Errorf(
				"%s: %s: found no such file among %s, expected one whose name ends in %s, or in one of these followed by .gz, .xz or .zip",
				name, partTitles[part], listed(entries), strings.Join(partEndings[part], ", "))
		case 1:
			found[part] = files[0]
		default:
			errs[part] = foundSeveral(name, part, files)
		}
	}
	return found, errors.Join(errs[:]...)
}

func foundSeveral(name string, part int, files []partFile) error {
	var names []string
	for _, file := range files {
		names = append(names, file.name)
	}
	return fmt.Errorf("%s: %s: found %d files, %s, expected one", name, partTitles[part], len(files), listedNames(names))
}

// matchPart returns the files whose names have one of the endings, of plain and packed
// ones with one name only that which is to be read.
func matchPart(entries []fs.DirEntry, endings []string) (files []partFile) {
	names := map[string]bool{}
	for _, entry := range entries {
		if !entry.IsDir() && isPart(entry.Name(), endings) {
			names[entry.Name()] = true
		}
	}
	for _, entry := range entries {
		file := entry.Name()
		short := withoutPacking(file)
		if !names[file] || file != short && names[short] {
			continue
		}
		i := slices.IndexFunc(packedEndings, func(ending string) bool { return names[short+ending] })
		if file != short && file != short+packedEndings[i] {
			continue
		}
		match := partFile{name: file}
		if file == short && names[short+".gz"] { // torchvision leaves it beside what it unpacked from it
			match.gzipped = short + ".gz"
		}
		for _, ending := range endings {
			if prefix, found := strings.CutSuffix(strings.ToLower(short), ending); found {
				match.split = splitOf(prefix)
				break
			}
		}
		files = append(files, match)
	}
	return files
}

// splitOf is the split that the beginning of a file's name tells.
func splitOf(prefix string) string {
	return strings.TrimPrefix(strings.Trim(prefix, "-_. "), "emnist-")
}

// chooseSplit leaves the files of one split, where there are several.
func chooseSplit(matches [parts][]partFile, name, split string) ([parts][]partFile, error) {
	var splits []string
	several := false
	for _, files := range matches {
		several = several || len(files) > 1
		for _, file := range files {
			if file.split != "" && !slices.Contains(splits, file.split) {
				splits = append(splits, file.split)
			}
		}
	}
	slices.Sort(splits)
	if err := checkSplit(name, split, splits, several && len(splits) > 1); err != nil || split == "" {
		return matches, err
	}
	for part, files := range matches {
		matches[part] = slices.DeleteFunc(files, func(file partFile) bool { return file.split != strings.ToLower(split) })
	}
	return matches, nil
}

// checkSplit reports a split that is not among those that there are, or that none was
// chosen where that is needed.
func checkSplit(name, split string, splits []string, needed bool) error {
	switch {
	case split == "" && needed:
		return hinted{fmt.Errorf("%s: found the splits %s, expected one of them to be chosen", name, strings.Join(splits, ", ")),
			"choose one, for example --split " + splits[0]}
	case split == "" || slices.Contains(splits, strings.ToLower(split)):
		return nil
	case len(splits) == 0:
		return fmt.Errorf("%s: split: found %q, expected none: there is only one dataset", name, split)
	default:
		return fmt.Errorf("%s: split: found %q, expected one of %s", name, split, strings.Join(splits, ", "))
	}
}

func isPart(name string, endings []string) bool {
	// macOS leaves "._" files of metadata beside the real ones.
	if strings.HasPrefix(name, ".") {
		return false
	}
	name = strings.ToLower(withoutPacking(name))
	return slices.ContainsFunc(endings, func(ending string) bool { return strings.HasSuffix(name, ending) })
}

// compare returns how a plain file differs from the packed one beside it, by size and
// CRC-32, which gzip keeps at the end of the file.
func compare(fsys fs.FS, file partFile) error {
	different := fmt.Errorf("%s and %s differ, and the plain file is read", file.name, file.gzipped)
	packed, err := openRegular(fsys, file.gzipped)
	if err != nil {
		return nil // it is not what is read
	}
	defer packed.Close()
	at, ok := packed.(io.ReaderAt)
	info, err := packed.Stat()
	if !ok || err != nil {
		return nil
	}
	var first [2]byte
	var trailer [8]byte
	if _, err := at.ReadAt(first[:], 0); err != nil || !bytes.Equal(first[:], gzipMagic) {
		return different
	}
	if _, err := at.ReadAt(trailer[:], max(0, info.Size()-8)); err != nil {
		return different
	}
	plain, err := openRegular(fsys, file.name)
	if err != nil {
		return nil // reading it says why
	}
	defer plain.Close()
	if info, err = plain.Stat(); err != nil || uint32(info.Size()) != binary.LittleEndian.Uint32(trailer[4:]) {
		return different
	}
	sum := crc32.NewIEEE()
	if _, err := io.Copy(sum, plain); err == nil && sum.Sum32() != binary.LittleEndian.Uint32(trailer[:]) {
		return different
	}
	return nil
}

// source is a file of a set, open for reading.
type source struct {
	*stream
	file     fs.File
	unpacked io.Closer // what reads an archive; may be nil
}

// Close closes the file.
func (s *source) Close() error {
	if s.unpacked != nil {
		s.unpacked.Close()
	}
	return s.file.Close()
}

// openSource opens a file of the folder fsys, whose name is for errors.
func openSource(fsys fs.FS, folder, name string) (*source, error) {
	path := filepath.Join(folder, name)
	file, err := openRegular(fsys, name)
	if err != nil {
		return nil, unreadable(path, err)
	}
	s := &source{file: file}
	var size int64
	var reader io.Reader = file
	if _, packed := file.(archived); strings.HasSuffix(name, ".zip") {
		var unpacked io.ReadCloser
		if unpacked, err = openZIP(file, path); err == nil {
			reader, s.unpacked = unpacked, unpacked
		}
	} else if info, err := file.Stat(); err == nil && !packed {
		size = info.Size()
	}
	if err == nil {
		s.stream, err = newStream(reader, path, size)
	}
	if err != nil {
		s.Close()
		return nil, instead(path, err)
	}
	return s, nil
}

// openRegular opens a file, but no pipe, for which opening it may wait forever.
func openRegular(fsys fs.FS, name string) (fs.File, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		if target, linkErr := fs.ReadLink(fsys, name); linkErr == nil && errors.Is(err, fs.ErrNotExist) {
			return nil, danglingLink(target)
		}
		return nil, err
	}
	if err := regular.Check(name, info); err != nil {
		return nil, kindError{err}
	}
	return fsys.Open(name)
}

// danglingLink is the error of a symbolic link to what is not there.
type danglingLink string

func (d danglingLink) Error() string {
	return fmt.Sprintf("found a symbolic link to %s, which is not there", string(d))
}
func (danglingLink) Unwrap() error { return fs.ErrNotExist }

// kindError is an error that begins with the name in a file system.
type kindError struct{ error }

// unreadable is an error of the file or folder at path.
func unreadable(path string, err error) error {
	if kind, ok := errors.AsType[kindError](err); ok {
		_, reason, _ := strings.Cut(kind.Error(), ": ")
		return fmt.Errorf("%s: %s", path, reason)
	}
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		err = inner.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// mostListed is how many names an error lists.
const mostListed = 6

// listed names some of what is in a folder.
func listed(entries []fs.DirEntry) string {
	var names []string
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") {
			if entry.IsDir() {
				name += "/"
			}
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "no files"
	}
	slices.Sort(names)
	return listedNames(names)
}

// listedNames joins the first of names.
func listedNames(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	var first []string
	for _, name := range names[:min(len(names), mostListed)] {
		first = append(first, fmt.Sprintf("%.100s", name))
	}
	list := strings.Join(first, ", ")
	if more := len(names) - len(first); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

// Hint says what to do.
func (h hinted) Hint() string { return h.hint }

// Unwrap returns the error without the hint.
func (h hinted) Unwrap() error { return h.error }

// unknownFolder is the error of a folder in which no dataset was recognized.
func unknownFolder(name string, entries []fs.DirEntry) error {
	files, folders := visible(entries)
	err := fmt.Errorf("%s: found %s, expected a dataset: IDX files, an .npz, CSV or parquet files, or a folder of images for each class",
		name, listed(entries))
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "data_batch_1") || entry.Name() == "train.bin" && len(entries) < 10 {
			return unknown{hinted{err,
				"these are CIFAR's files, whose images have three colours; export them as image files, in a folder for each class"}}
		}
	}
	return unknown{hinted{err, adviceFor(name, files, folders)}}
}

// unknown is the error of a folder in which no dataset was recognized.
type unknown struct{ hinted }

// adviceFor says what to do with files and folders that are no dataset.
func adviceFor(name string, files, folders []string) string {
	if slices.ContainsFunc(files, isImage) {
		return "put the images into a folder for each class, which is named like it"
	}
	for _, folder := range append([]string{"."}, folders[:min(len(folders), fewEntries)]...) {
		for _, file := range fewOf(filepath.Join(name, folder)) {
			if slices.Contains(otherImages, strings.ToLower(filepath.Ext(file))) {
				return fmt.Sprintf("%s cannot be read: convert the images to PNG, JPEG, GIF, BMP or WebP", filepath.Join(folder, file))
			}
		}
	}
	for _, file := range files[:min(len(files), fewEntries)] {
		is, advice, _ := strings.Cut(recognizeFile(filepath.Join(name, file)), ": ")
		if advice = strings.TrimLeft(strings.TrimPrefix(advice, "expected IDX data"), "; "); advice != "" {
			return fmt.Sprintf("%s is %s: %s", file, is, advice)
		}
	}
	return "README.md says in its section Data which files are understood, and how they have to be named"
}
