package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"epochal/dataset/regular"
)

// Open begins to read the dataset of that name: MNIST, which is built in, or else what
// is at a path. It returns as soon as labels and sizes are known, for IDX files within
// milliseconds. In a folder it takes what it finds first of
//
//   - IDX files, as [Load] says, also those in one .zip;
//   - one .npz of Keras;
//   - CSV files: mnist_train.csv and mnist_test.csv, train.csv and test.csv, or a single one;
//   - parquet files: train-*.parquet and test-*.parquet, also in one folder below, as data;
//   - torchvision's folders: IDX files in raw, or in the raw of one folder below;
//   - images, in a folder for each class, perhaps below train and test.
//
// A single .npz, .csv, .parquet or .zip is taken by its own name. A file classes.txt
// beside the data names the classes, one a line.
//
// An error names the file or folder, what was found and what was expected. Where
// training is possible, what is suspicious becomes one of the Warnings.
func Open(name string, o Options) (*Loading, error) {
	if name == MNIST {
		return openMNIST(o)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, notThere(name, err)
	}
	if !info.IsDir() {
		if err := regular.Check(name, info); err != nil {
			return nil, err
		}
		return openFile(name, o)
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	return openFolder(name, entries, o)
}

// openFolder opens what is in a folder.
func openFolder(name string, entries []fs.DirEntry, o Options) (*Loading, error) {
	files, folders := visible(entries)
	if hasIDX(entries) {
		return Load(os.DirFS(name), name, o)
	}
	if archives := ending(files, ".npz"); len(archives) == 1 {
		return named(name, archives[0], o, openNPZ)
	} else if len(archives) > 1 {
		return nil, severalFiles(name, ".npz files", archives)
	}
	if tables := ending(files, ".csv"); len(tables) > 0 {
		return openTables(name, tables, o)
	}
	if found, err := findParquet(name, files, folders); err != nil {
		return nil, err
	} else if found != nil {
		if err := checkSplit(name, o.Split, nil, false); err != nil {
			return nil, err
		}
		f, err := openParquet(found.train, found.test, o)
		return finish(f, err, name, name, o)
	}
	if raw, err := findRaw(name, folders); err != nil {
		return nil, err
	} else if raw != "" {
		return Load(os.DirFS(raw), raw, o)
	}
	if archives := ending(files, ".zip"); len(archives) == 1 {
		return openArchive(filepath.Join(name, archives[0]), o)
	} else if len(archives) > 1 {
		return nil, severalFiles(name, ".zip files", archives)
	}
	if hasImages(name, folders) {
		if err := checkSplit(name, o.Split, nil, false); err != nil {
			return nil, err
		}
		f, err := openImageFolder(name, o)
		return finish(f, err, name, name, o)
	}
	for _, file := range files {
		if kind := recognizeFile(filepath.Join(name, file)); strings.Contains(kind, "a Git LFS pointer") {
			return nil, fmt.Errorf("%s: is %s", filepath.Join(name, file), kind)
		}
	}
	return nil, unknownFolder(name, entries)
}

// whole is what holds a dataset.
const whole = "a folder, or an .npz, .csv, .parquet or .zip file"

// openFile opens a single file.
func openFile(name string, o Options) (*Loading, error) {
	folder, file := filepath.Split(name)
	folder = filepath.Clean(folder)
	if kind := recognizeFile(name); strings.HasPrefix(kind, "a Git LFS pointer") {
		return nil, fmt.Errorf("%s: is %s", name, kind)
	}
	switch strings.ToLower(filepath.Ext(file)) {
	case ".npz":
		return named(folder, file, o, openNPZ)
	case ".csv":
		return named(folder, file, o, func(path string, o Options) (form, error) { return openCSV(path, "", o) })
	case ".parquet":
		return named(folder, file, o, func(path string, o Options) (form, error) { return openParquet([]string{path}, nil, o) })
	case ".zip":
		return openArchive(name, o)
	}
	for _, endings := range partEndings {
		if isPart(file, endings) {
			return nil, fmt.Errorf("%s: found one file of a dataset, expected the folder that has all of them, %s", name, folder)
		}
	}
	if kind := recognizeFile(name); kind != "" {
		return nil, fmt.Errorf("%s: is %s", name, strings.Replace(kind, "expected IDX data", "expected "+whole, 1))
	}
	return nil, fmt.Errorf("%s: found a file, expected %s", name, whole)
}

// named opens one file of a folder that holds a whole dataset.
func named(folder, file string, o Options, open func(string, Options) (form, error)) (*Loading, error) {
	name := filepath.Join(folder, file)
	if err := checkSplit(name, o.Split, nil, false); err != nil {
		return nil, err
	}
	f, err := open(name, o)
	return finish(f, err, name, folder, o)
}

// finish makes a Loading of a form that was opened without err, with the class names in
// a folder.
func finish(f form, err error, name, folder string, o Options) (*Loading, error) {
	if err != nil {
		return nil, err
	}
	names, err := readClassNames(os.DirFS(folder), folder)
	if err != nil {
		f.close()
		return nil, err
	}
	return f.start(name, names, o)
}

// openArchive opens IDX files in a .zip, such as EMNIST's gzip.zip.
func openArchive(name string, o Options) (*Loading, error) {
	file, err := regular.Open(name)
	if err != nil {
		return nil, notThere(name, err)
	}
	fsys, err := newArchiveFS(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	entries, _ := fsys.ReadDir(".") // has no errors
	if !hasIDX(entries) {
		file.Close()
		for _, entry := range entries {
			if kind := recognizeMember("/" + entry.Name()); kind != "" {
				return nil, fmt.Errorf("%s: is %s", name, kind)
			}
		}
		return nil, fmt.Errorf("%s: found %s in the archive, expected IDX files; unpack others", name, listed(entries))
	}
	f, err := openIDX(fsys, name, o)
	if err != nil {
		file.Close()
		return nil, err
	}
	f.kind += " in a .zip"
	f.container = file
	return finish(f, nil, name, filepath.Dir(name), o)
}

// openTables opens the CSV files of a folder: a train and a test table, or a single one.
func openTables(name string, tables []string, o Options) (*Loading, error) {
	type pair struct{ train, test string }
	pairs := map[string]pair{}
	for _, table := range tables {
		short := strings.ToLower(table[:len(table)-len(".csv")])
		if prefix, found := strings.CutSuffix(short, "train"); found {
			p := pairs[splitOf(prefix)]
			p.train = table
			pairs[splitOf(prefix)] = p
		} else if prefix, found := strings.CutSuffix(short, "test"); found {
			p := pairs[splitOf(prefix)]
			p.test = table
			pairs[splitOf(prefix)] = p
		}
	}
	var splits []string
	for split, p := range pairs {
		if p.train == "" {
			delete(pairs, split)
		} else if split != "" {
			splits = append(splits, split)
		}
	}
	slices.Sort(splits)
	if err := checkSplit(name, o.Split, splits, len(pairs) > 1); err != nil {
		return nil, err
	}
	chosen := pair{train: tables[0]}
	for split, p := range pairs {
		if o.Split == "" || split == strings.ToLower(o.Split) {
			chosen = p
		}
	}
	if len(pairs) == 0 && len(tables) > 1 {
		return nil, severalFiles(name, "CSV files", tables)
	}
	test := ""
	if chosen.test != "" {
		test = filepath.Join(name, chosen.test)
	}
	f, err := openCSV(filepath.Join(name, chosen.train), test, o)
	return finish(f, err, name, name, o)
}

// shards are the parquet files of a dataset, in order.
type shards struct{ train, test []string }

// findParquet finds parquet files in a folder or in one below it; nil if there are none.
func findParquet(name string, files, folders []string) (*shards, error) {
	if found, err := parquetIn(name, files); found != nil || err != nil {
		return found, err
	}
	var found *shards
	var places []string
	for _, folder := range folders {
		path := filepath.Join(name, folder)
		entries, err := os.ReadDir(path)
		if err != nil {
			continue // it may be anything
		}
		files, _ := visible(entries)
		one, err := parquetIn(path, files)
		if err != nil {
			return nil, err
		}
		if one != nil {
			found, places = one, append(places, folder)
		}
	}
	if len(places) > 1 {
		return nil, fmt.Errorf("%s: found parquet files in %s, expected the name of one of these folders", name, strings.Join(places, ", "))
	}
	return found, nil
}

func parquetIn(folder string, files []string) (*shards, error) {
	all := ending(files, ".parquet")
	if len(all) == 0 {
		return nil, nil
	}
	slices.Sort(all)
	found := shards{}
	for _, file := range all {
		path, lower := filepath.Join(folder, file), strings.ToLower(file)
		switch {
		case strings.Contains(lower, "train"):
			found.train = append(found.train, path)
		case strings.Contains(lower, "test"):
			found.test = append(found.test, path)
		case len(all) == 1:
			found.train = append(found.train, path)
		}
	}
	if len(found.train) == 0 {
		return nil, fmt.Errorf("%s: found the parquet files %s, expected names that begin with train- and test-",
			folder, strings.Join(firstOf(all), ", "))
	}
	return &found, nil
}

// findRaw finds the folder in which torchvision keeps IDX files; "" if there is none.
func findRaw(name string, folders []string) (string, error) {
	var found []string
	for _, folder := range append([]string{"."}, folders...) {
		if entries, err := os.ReadDir(filepath.Join(name, folder, "raw")); err == nil && hasIDX(entries) {
			found = append(found, folder)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return filepath.Join(name, found[0], "raw"), nil
	default:
		return "", fmt.Errorf("%s: found the datasets %s, expected one of them: %s",
			name, strings.Join(found, ", "), filepath.Join(name, found[0]))
	}
}

// fewEntries is how many entries of a folder are looked at to see what it is.
const fewEntries = 50

// hasImages reports whether folders below one have images, or folders with images.
func hasImages(name string, folders []string) bool {
	for _, folder := range folders[:min(len(folders), fewEntries)] {
		files, below := fewOf(filepath.Join(name, folder))
		if slices.ContainsFunc(files, isImage) {
			return true
		}
		for _, class := range below {
			if files, _ := fewOf(filepath.Join(name, folder, class)); slices.ContainsFunc(files, isImage) {
				return true
			}
		}
	}
	return false
}

// fewOf lists the first entries of a folder.
func fewOf(path string) (files, folders []string) {
	folder, err := os.Open(path)
	if err != nil {
		return nil, nil
	}
	defer folder.Close()
	entries, _ := folder.ReadDir(fewEntries) // those before an error count
	return visible(entries)
}

// visible are the names of the files and of the folders among entries. A symbolic link
// counts as both, since only following it would tell.
func visible(entries []fs.DirEntry) (files, folders []string) {
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if !entry.IsDir() {
			files = append(files, entry.Name())
		}
		if entry.IsDir() || entry.Type()&fs.ModeSymlink != 0 {
			folders = append(folders, entry.Name())
		}
	}
	return files, folders
}

func hasIDX(entries []fs.DirEntry) bool {
	return slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		return !entry.IsDir() && slices.ContainsFunc(partEndings[:], func(endings []string) bool { return isPart(entry.Name(), endings) })
	})
}

// ending are the files whose names end so, in upper or lower case.
func ending(files []string, end string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool { return !strings.HasSuffix(strings.ToLower(file), end) })
}

func firstOf(names []string) []string { return names[:min(len(names), mostListed)] }

func severalFiles(folder, kind string, files []string) error {
	return fmt.Errorf("%s: found %d %s, %s, expected one, or the name of one of them",
		folder, len(files), kind, strings.Join(firstOf(files), ", "))
}

// recognizeFile is [recognize] of a file; "" if it cannot be read.
func recognizeFile(name string) string {
	file, err := regular.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	start := make([]byte, sniffed)
	n, _ := file.ReadAt(start, 0)
	return recognize(bytes.Clone(start[:n]))
}

// notThere is the error of a dataset that is not at a path.
func notThere(name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return unreadable(name, err)
	}
	if target, linkErr := os.Readlink(name); linkErr == nil {
		return unreadable(name, danglingLink(target))
	}
	if advice, found := published[nameKey(name)]; found {
		return hinted{fmt.Errorf("%s: no such file or folder%w", name, silent{err}), advice}
	}
	return unreadable(name, err)
}

// silent is an error that says nothing, but can be asked for.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// nameKey is a dataset's name without the differences between the ways to write it.
func nameKey(name string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "", ".", "").Replace(strings.ToLower(name))
}

const (
	fourFiles = "only mnist is built in; put the four files of "
	colours   = "its images have three colours, and epochal trains on grey ones; export it as image files, in a folder for each class, " +
		"and give that folder: they are read as grey"
)

// published says how to get a dataset that is asked for by its name, see nameKey.
var published = map[string]string{
	"fashionmnist": fourFiles + "https://github.com/zalandoresearch/fashion-mnist (Debian: apt install dataset-fashion-mnist, " +
		"/usr/share/datasets/fashion-mnist) into a folder, and give that: --data FOLDER",
	"fmnist":         fourFiles + "https://github.com/zalandoresearch/fashion-mnist into a folder, and give that: --data FOLDER",
	"kmnist":         fourFiles + "https://github.com/rois-codh/kmnist into a folder, and give that: --data FOLDER",
	"kuzushijimnist": fourFiles + "https://github.com/rois-codh/kmnist into a folder, and give that: --data FOLDER",
	"qmnist":         fourFiles + "https://github.com/facebookresearch/qmnist into a folder, and give that: --data FOLDER",
	"emnist": "only mnist is built in; download gzip.zip from https://www.nist.gov/itl/products-and-services/emnist-dataset, " +
		"and choose a part of it: --data gzip.zip --split letters",
	"notmnist":  "only mnist is built in; unpack its archive, and give the folder that has a folder for each letter: --data FOLDER",
	"medmnist":  "only mnist is built in; a set of it with grey images can be read from image folders: --data FOLDER",
	"usps":      "only mnist is built in; export it as image files, in a folder for each class, and give that folder: --data FOLDER",
	"digits":    "mnist is built in: --data mnist; others are folders: --data FOLDER",
	"omniglot":  "only mnist is built in; give its folder of images with a folder for each class: --data FOLDER",
	"cifar":     colours,
	"cifar10":   colours,
	"cifar100":  colours,
	"svhn":      colours,
	"imagenet":  colours,
	"stl10":     colours,
	"mnist784":  "mnist is built in: --data mnist; OpenML's table can be read as CSV: --data mnist_784.csv",
	"mnistdata": "mnist is built in: --data mnist",
	"mnist":     "mnist is built in, in lower case: --data mnist",
}
