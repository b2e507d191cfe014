package dataset

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"epochal/dataset/regular"
)

// Open begins to read the dataset of that name: MNIST, which is built in, or else what
// is at a path. It returns as soon as labels and sizes are known, for IDX files within
// milliseconds. In a folder it takes what it finds first of
//
//   - IDX files, as [Load] says, also those in one .zip;
//   - one .npz of Keras;
//   - CSV files: mnist_train.csv and mnist_test.csv, train.csv and test.csv, or a single one,
//     plain or packed, as train.csv.gz;
//   - parquet files: train-*.parquet and test-*.parquet, also in one folder below, as data;
//   - torchvision's folders: IDX files in raw, or in the raw of one folder below;
//   - images, in a folder for each class, perhaps below train and test;
//   - any of these in the only folder that is there, as unpacking an archive leaves it.
//
// A single .npz, .csv, .parquet or .zip is taken by its own name, and then without a test
// set that is another file beside it, which a warning says. A file classes.txt
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
	return openFolder(name, entries, 2, o)
}

// openFolder opens what is in a folder, or so many folders deeper.
func openFolder(name string, entries []fs.DirEntry, deeper int, o Options) (*Loading, error) {
	files, folders := visible(entries)
	if hasIDX(entries) {
		return Load(os.DirFS(name), name, o)
	}
	if archives := ending(files, ".npz"); len(archives) == 1 {
		path := filepath.Join(name, archives[0])
		return openWhole(path, name, o, func() (form, error) { return openNPZ(path, o) })
	} else if len(archives) > 1 {
		return nil, severalFiles(name, ".npz files", archives)
	}
	images := hasImages(name)
	if tables := matchPart(entries, []string{".csv"}); len(matchPart(entries, trainTable)) > 0 || len(tables) > 0 && !images {
		return openTables(name, entries, tables, o)
	}
	place, err := oneWith(name, []string{"."}, hasParquet)
	if place == "" {
		place, err = oneWith(name, folders, hasParquet)
	}
	if err != nil {
		return nil, err
	} else if place != "" {
		return openWhole(name, name, o, func() (form, error) { return openShards(place, o) })
	}
	raw := []string{"raw"}
	for _, folder := range folders {
		raw = append(raw, filepath.Join(folder, "raw"))
	}
	if place, err = oneWith(name, raw, hasIDX); err != nil {
		return nil, err
	} else if place != "" {
		return Load(os.DirFS(place), place, o)
	}
	if archives := ending(files, ".zip"); len(archives) == 1 {
		return openArchive(filepath.Join(name, archives[0]), o)
	} else if len(archives) > 1 {
		return nil, severalFiles(name, ".zip files", archives)
	}
	if images {
		return openWhole(name, name, o, func() (form, error) { return openImageFolder(name, o) })
	}
	// Unpacking an archive often makes a folder around the one in it.
	if len(folders) == 1 && deeper > 0 {
		place := filepath.Join(name, folders[0])
		if inner, err := os.ReadDir(place); err == nil {
			l, err := openFolder(place, inner, deeper-1, o)
			if _, other := errors.AsType[unknown](err); !other || len(files) == 0 {
				return l, err
			}
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
	if isIDX(file) {
		return nil, fmt.Errorf("%s: found one file of a dataset, expected the folder that has all of them, %s", name, folder)
	}
	switch lower := strings.ToLower(file); {
	case filepath.Ext(withoutPacking(lower)) == ".csv":
		return openWhole(name, folder, o, func() (form, error) { return alone(name)(openCSV(name, "", o)) })
	case filepath.Ext(lower) == ".npz":
		return openWhole(name, folder, o, func() (form, error) { return openNPZ(name, o) })
	case filepath.Ext(lower) == ".parquet":
		return openWhole(name, folder, o, func() (form, error) { return alone(name)(openParquet([]string{name}, nil, o)) })
	case filepath.Ext(lower) == ".zip":
		return openArchive(name, o)
	}
	if kind := recognizeFile(name); kind != "" {
		return nil, fmt.Errorf("%s: is %s", name, strings.Replace(kind, "expected IDX data", "expected "+whole, 1))
	}
	return nil, fmt.Errorf("%s: found a file, expected %s", name, whole)
}

// alone adds a warning if there is a test set beside a file that was named, which is not read.
func alone(name string) func(form, error) (form, error) {
	folder, file := filepath.Split(name)
	return func(f form, err error) (form, error) {
		beside := strings.Replace(file, "train", "test", 1)
		if _, statErr := os.Stat(folder + beside); err == nil && statErr == nil && beside != file {
			f.warnings = append(f.warnings, fmt.Sprintf("%s: %s beside it is not read: give the folder to read both", name, beside))
		}
		return f, err
	}
}

// openWhole opens what has no splits, with the class names in a folder.
func openWhole(name, folder string, o Options, open func() (form, error)) (*Loading, error) {
	if err := checkSplit(name, o.Split, nil, false); err != nil {
		return nil, err
	}
	f, err := open()
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
		return nil, instead(name, fmt.Errorf("%s: %w", name, err))
	}
	entries, _ := fsys.ReadDir(".") // has no errors
	if !hasIDX(entries) {
		file.Close()
		for _, entry := range entries {
			if kind := recognizeMember("/" + entry.Name()); kind != "" {
				return nil, fmt.Errorf("%s: is %s", name, kind)
			}
		}
		return nil, fmt.Errorf("%s: found %s in the archive, expected IDX files: unpack it, and give the folder", name, listed(entries))
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

// How the names of tables end that are a pair.
var trainTable, testTable = []string{"train.csv"}, []string{"test.csv"}

// openTables opens the CSV files of a folder: a train and a test table, or a single one.
func openTables(name string, entries []fs.DirEntry, tables []partFile, o Options) (*Loading, error) {
	train, test := matchPart(entries, trainTable), matchPart(entries, testTable)
	if len(train) == 0 {
		if len(tables) > 1 {
			var names []string
			for _, table := range tables {
				names = append(names, table.name)
			}
			return nil, severalFiles(name, "CSV files", names)
		}
		tables[0].split = ""
		train, test = tables, nil
	}
	test = slices.DeleteFunc(test, func(file partFile) bool {
		return !slices.ContainsFunc(train, func(other partFile) bool { return other.split == file.split })
	})
	matches, err := chooseSplit([parts][]partFile{trainImages: train, testImages: test}, name, o.Split)
	if err != nil {
		return nil, err
	}
	train, test = matches[trainImages], matches[testImages]
	if len(train) > 1 {
		return nil, foundSeveral(name, trainImages, train)
	}
	testName := ""
	if len(test) > 0 {
		testName = filepath.Join(name, test[0].name)
	}
	f, err := openCSV(filepath.Join(name, train[0].name), testName, o)
	for _, file := range slices.Concat(train, test) {
		if file.gzipped != "" && err == nil {
			if difference := compare(os.DirFS(name), file); difference != nil {
				f.warnings = append(f.warnings, fmt.Sprintf("%s: %v", name, difference))
			}
		}
	}
	return finish(f, err, name, name, o)
}

func hasParquet(entries []fs.DirEntry) bool {
	files, _ := visible(entries)
	return len(ending(files, ".parquet")) > 0
}

// openShards opens the parquet files of a folder.
func openShards(folder string, o Options) (form, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return form{}, unreadable(folder, err)
	}
	var train, test, others []string
	files, _ := visible(entries)
	all := ending(files, ".parquet")
	for _, file := range all {
		path, lower := filepath.Join(folder, file), strings.ToLower(file)
		switch {
		case strings.Contains(lower, "train") || len(all) == 1:
			train = append(train, path)
		case strings.Contains(lower, "test"):
			test = append(test, path)
		default:
			others = append(others, file)
		}
	}
	if len(train) == 0 {
		return form{}, fmt.Errorf("%s: found the parquet files %s, expected names that begin with train- and test-", folder, listedNames(all))
	}
	for _, shards := range [][]string{train, test} {
		if len(shards) == 0 {
			continue
		}
		if of := shardCount.FindStringSubmatch(shards[0]); of != nil {
			if count, err := strconv.Atoi(of[1]); err == nil && count != len(shards) {
				return form{}, fmt.Errorf("%s: found %d files beside it, expected all %d of them", shards[0], len(shards)-1, count)
			}
		}
	}
	f, err := openParquet(train, test, o)
	if len(others) > 0 {
		f.warnings = append(f.warnings, fmt.Sprintf("%s: left out: %s", folder, listedNames(others)))
	}
	return f, err
}

// shardCount is how many files there are, as the name of each says.
var shardCount = regexp.MustCompile(`-of-(\d+)\D*$`)

// oneWith returns the one of some folders below name whose entries are wanted, "" if none are.
func oneWith(name string, folders []string, wanted func([]fs.DirEntry) bool) (string, error) {
	var found []string
	for _, folder := range folders {
		if entries, err := os.ReadDir(filepath.Join(name, folder)); err == nil && wanted(entries) { // others may be anything
			found = append(found, folder)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return filepath.Join(name, found[0]), nil
	default:
		return "", fmt.Errorf("%s: found a dataset in each of %s, expected the name of one of these folders", name, listedNames(found))
	}
}

// fewEntries is how many entries of a folder are looked at to see what it is.
const fewEntries = 50

// hasImages reports whether there are folders of images, as [openImageFolder] looks for them.
func hasImages(name string) bool {
	outer, names, err := innermost(name)
	for _, folder := range names[:min(len(names), fewEntries)] {
		inner, classes, _ := innermost(filepath.Join(outer, folder))
		for _, class := range append([]string{"."}, classes[:min(len(classes), fewEntries)]...) {
			if files := fewOf(filepath.Join(inner, class)); slices.ContainsFunc(files, isImage) {
				return true
			}
		}
	}
	return err != nil // which opening says
}

// fewOf lists the first files of a folder.
func fewOf(path string) []string {
	folder, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer folder.Close()
	entries, _ := folder.ReadDir(fewEntries) // those before an error count
	files, _ := visible(entries)
	return files
}

// visible are the names of the files and of the folders among entries. A symbolic link
// counts as both, since only following it would tell.
func visible(entries []fs.DirEntry) (files, folders []string) {
	for _, entry := range entries {
		if hidden(entry.Name()) {
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
		return !entry.IsDir() && isIDX(entry.Name())
	})
}

// isIDX reports whether a file's name is that of a part of a set.
func isIDX(name string) bool {
	return slices.ContainsFunc(partEndings[:], func(endings []string) bool { return isPart(name, endings) })
}

// ending are the files whose names end so, in upper or lower case.
func ending(files []string, end string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool { return !strings.HasSuffix(strings.ToLower(file), end) })
}

func severalFiles(folder, kind string, files []string) error {
	return fmt.Errorf("%s: found %d %s, %s, expected one, or the name of one of them",
		folder, len(files), kind, listedNames(files))
}

// recognizeFile is [recognize] of a file; "" if it cannot be read.
func recognizeFile(name string) string {
	file, err := regular.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	start := make([]byte, sniffed)
	n, err := file.ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return ""
	}
	kind, lower := recognize(start[:n]), strings.ToLower(name)
	if (kind == gzipFile || strings.HasPrefix(kind, "an xz file")) && (strings.Contains(lower, ".tar.") || strings.HasSuffix(lower, ".tgz")) {
		return "a tar archive: unpack it"
	}
	return kind
}

// instead is err, or what a file is that came in place of the one that was wanted.
func instead(name string, err error) error {
	kind := recognizeFile(name)
	if err != nil && slices.ContainsFunc(failedDownloads, func(is string) bool { return strings.HasPrefix(kind, is) }) {
		return fmt.Errorf("%s: is %s", name, strings.TrimSuffix(kind, ": expected IDX data"))
	}
	return err
}

// notThere is the error of a dataset that is not at a path.
func notThere(name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return unreadable(name, err)
	}
	if target, linkErr := os.Readlink(name); linkErr == nil {
		return unreadable(name, danglingLink(target))
	}
	if strings.Contains(name, "://") {
		return hinted{unreadable(name, err), "download it first, and give the file or folder"}
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
	"kmnist": fourFiles + "https://github.com/rois-codh/kmnist into a folder, and give that: --data FOLDER",
	"qmnist": fourFiles + "https://github.com/facebookresearch/qmnist into a folder, and give that: --data FOLDER",
	"emnist": "only mnist is built in; download gzip.zip from https://www.nist.gov/itl/products-and-services/emnist-dataset, " +
		"and choose a part of it: --data gzip.zip --split letters",
	"notmnist": "only mnist is built in; unpack its archive, and give the folder that has a folder for each letter: --data FOLDER",
	"cifar":    colours,
	"cifar10":  colours,
	"cifar100": colours,
	"svhn":     colours,
	"mnist784": "mnist is built in: --data mnist; OpenML's table can be read as CSV: --data mnist_784.csv",
	"mnist":    "mnist is built in, in lower case: --data mnist",
}
