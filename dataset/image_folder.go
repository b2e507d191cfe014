package dataset

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"epochal/dataset/regular"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"
)

// How the names of image files end, in small letters.
var imageEndings = []string{".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"}

// otherImages are those of images that cannot be read.
var otherImages = []string{".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".pgm", ".ppm", ".tga", ".psd"}

// The names of the folders of both sets, in small letters. Of several that are there,
// the first of the list is taken.
var (
	trainFolders = []string{"train", "training", "trainset", "trainingset"}
	testFolders  = []string{"test", "testing", "testset", "val", "valid", "validation"}
)

const (
	imageFolder = "an image folder" // the kind of a form

	maxImageFile   = 256 << 20 // bytes of one image file
	maxImageErrors = 3         // files at fault that an error names; the others are counted

	imagesPerReport = 64 // images that are decoded between two reports of progress
)

// openImageFolder lists a folder that holds a folder of images for each class: in train/ and
// test/, see trainFolders and testFolders, or directly, and then there is no test set.
//
// Classes are sorted by name as torchvision's ImageFolder sorts them. But where all names are
// different whole numbers from 0 to 255, they are the labels. A class that only the test set
// has comes last. Images are in the order of their classes and names. But where all names are
// different whole numbers, as in train/5/00000.png, that is their order over all classes.
//
// Images are decoded by pixels, and must then all have the size of the first.
func openImageFolder(folder string, _ Options) (form, error) {
	f := form{kind: imageFolder}
	folder, names, err := innermost(folder)
	if err != nil {
		return f, err
	}
	trainFolder, testFolder := firstFolder(names, trainFolders), firstFolder(names, testFolders)
	if trainFolder == "" {
		testFolder = ""
	}
	train, err := listImages(filepath.Join(folder, trainFolder))
	if err != nil {
		return f, err
	}
	if train.count == 0 {
		return f, fmt.Errorf("%s: found no images, expected a folder for each class, with files that end in %s",
			train.folder, strings.Join(imageEndings, ", "))
	}
	f.warnings = train.warnings

	var test imageSet
	if testFolder != "" {
		if test, err = listImages(filepath.Join(folder, testFolder)); err != nil {
			return f, err
		}
		if test.count == 0 { // as in Kaggle's testSet, whose images have no labels
			f.warnings = append(f.warnings, test.folder+": found no folders of images named by their class: left out")
		} else {
			f.warnings = append(f.warnings, test.warnings...)
		}
		if strings.HasPrefix(strings.ToLower(testFolder), "val") && test.count > 0 {
			f.warnings = append(f.warnings, fmt.Sprintf("%s: found no folder named test: the images in %s are the test set", folder, testFolder))
		}
		for _, name := range names {
			if name != testFolder && firstFolder([]string{name}, testFolders) != "" {
				f.warnings = append(f.warnings, fmt.Sprintf("%s: left out: the test set is %s", filepath.Join(folder, name), testFolder))
			}
		}
	}

	labels, classNames, err := classLabels(train, test)
	if err != nil {
		return f, err
	}
	f.classNames = classNames
	if f.train, err = train.part(labels); err == nil && test.count > 0 {
		f.test, err = test.part(labels)
	}
	return f, err
}

// imageSet is what a folder with a folder for each class holds.
type imageSet struct {
	folder   string
	classes  []imageClass // sorted by name
	count    int          // images of all classes
	warnings []string
}

type imageClass struct {
	name  string
	files []string // sorted
}

// hidden reports whether a file system or an archiver left a file beside the data.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__MACOSX" || strings.EqualFold(name, "Thumbs.db") || strings.EqualFold(name, "desktop.ini")
}

func isImage(name string) bool {
	return slices.Contains(imageEndings, strings.ToLower(filepath.Ext(name)))
}

// follow describes an entry of a folder, of a link what it leads to.
func follow(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		err = notThere(path, err)
	}
	return info, err
}

// innermost passes through folders that hold one folder and no images, as long as that
// one is not a class. It returns the last, and the sorted names of the folders in it.
func innermost(folder string) (inner string, names []string, err error) {
	const deepest = 4
	names, _, err = subfolders(folder)
	for range deepest {
		if err != nil || len(names) != 1 {
			break
		}
		next := filepath.Join(folder, names[0])
		nextNames, images, err := subfolders(next)
		if err != nil {
			return "", nil, err
		}
		if images || len(nextNames) == 0 {
			break
		}
		folder, names = next, nextNames
	}
	return folder, names, err
}

// subfolders returns the sorted names of the folders in a folder, and whether it holds images.
func subfolders(folder string) (names []string, images bool, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, false, err
	}
	for _, entry := range entries {
		if hidden(entry.Name()) {
			continue
		}
		images = images || isImage(entry.Name())
		isFolder := entry.IsDir()
		if entry.Type()&fs.ModeSymlink != 0 {
			info, err := follow(filepath.Join(folder, entry.Name()))
			if err != nil {
				return nil, false, err
			}
			isFolder = info.IsDir()
		}
		if isFolder {
			names = append(names, entry.Name())
		}
	}
	return names, images, nil
}

// firstFolder returns which of the names comes first in wanted, "" if none is there.
func firstFolder(names, wanted []string) string {
	for _, want := range wanted {
		if i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, want) }); i >= 0 {
			return names[i]
		}
	}
	return ""
}

// listImages lists the images of each class in a folder.
func listImages(folder string) (imageSet, error) {
	folder, names, err := innermost(folder)
	s := imageSet{folder: folder}
	if err != nil {
		return s, err
	}
	// Kaggle's testSet/testSet and train/train are no class.
	if len(names) == 1 && strings.EqualFold(names[0], filepath.Base(folder)) {
		return s, nil
	}
	if len(names) > MaxClasses {
		return s, fmt.Errorf("%s: classes: found %d folders, expected at most %d", folder, len(names), MaxClasses)
	}
	var others []string
	for _, name := range names {
		class := imageClass{name: name}
		entries, err := os.ReadDir(filepath.Join(folder, name))
		if err != nil {
			return s, err
		}
		for _, entry := range entries {
			switch path := filepath.Join(name, entry.Name()); {
			case hidden(entry.Name()):
			case !isImage(entry.Name()):
				others = append(others, path)
			default:
				if !entry.Type().IsRegular() {
					info, err := follow(filepath.Join(folder, path))
					if err == nil {
						err = regular.Check(filepath.Join(folder, path), info)
					}
					if err != nil {
						return s, err
					}
				}
				class.files = append(class.files, entry.Name())
			}
		}
		s.classes = append(s.classes, class)
		s.count += len(class.files)
	}
	if s.count > MaxImages {
		return s, fmt.Errorf("%s: images: found %d, expected at most %d", folder, s.count, MaxImages)
	}
	switch len(others) {
	case 0:
	case 1:
		s.warnings = append(s.warnings, filepath.Join(folder, others[0])+": is no image file: left out")
	default:
		s.warnings = append(s.warnings, fmt.Sprintf("%s: %d files and folders in those of the classes are no image files, such as %s: left out",
			folder, len(others), others[0]))
	}
	return s, nil
}

// classLabels gives each class of both sets its label. The names are by label; nil
// where they are the labels.
func classLabels(train, test imageSet) (labels map[string]byte, names []string, err error) {
	labels = map[string]byte{}
	for _, class := range slices.Concat(train.classes, test.classes) {
		if label, err := strconv.ParseUint(class.name, 10, 8); err == nil {
			labels[class.name] = byte(label)
		}
		if !slices.Contains(names, class.name) {
			names = append(names, class.name)
		}
	}
	distinct := map[byte]bool{}
	for _, label := range labels {
		distinct[label] = true
	}
	if len(distinct) == len(names) {
		return labels, nil, nil
	}
	if len(names) > MaxClasses {
		return nil, nil, fmt.Errorf("%s: classes: found %d with those of %s, expected at most %d",
			test.folder, len(names), train.folder, MaxClasses)
	}
	clear(labels)
	for label, name := range names {
		labels[name] = byte(label)
	}
	return labels, names, nil
}

// imageFile is an image of a set.
type imageFile struct {
	path   string // from the folder of the set
	label  byte
	number uint64 // its name, if that is a whole number
}

// part puts the images in their order and reads the size of the first.
func (s imageSet) part(labels map[string]byte) (part, error) {
	files, numbers, numbered := make([]imageFile, 0, s.count), make(map[uint64]bool, s.count), true
	for _, class := range s.classes {
		for _, name := range class.files {
			stem := strings.TrimSuffix(name, filepath.Ext(name))
			number, err := strconv.ParseUint(stem, 10, 64)
			numbered = numbered && err == nil && !numbers[number]
			numbers[number] = true
			files = append(files, imageFile{filepath.Join(class.name, name), labels[class.name], number})
		}
	}
	// Where the labels are the names, the order of the names is not that of the classes.
	key := func(file imageFile) uint64 { return uint64(file.label) }
	if numbered {
		key = func(file imageFile) uint64 { return file.number }
	}
	slices.SortStableFunc(files, func(a, b imageFile) int { return cmp.Compare(key(a), key(b)) })

	p := part{count: s.count, labels: make([]byte, s.count), imagesName: s.folder, labelsName: s.folder}
	for i, file := range files {
		p.labels[i] = file.label
	}
	name := func(i int) string { return filepath.Join(s.folder, files[i].path) }
	first, err := regular.Read(name(0), maxImageFile)
	if err != nil {
		return p, err
	}
	if p.rows, p.columns, err = imageSize(first); err != nil {
		return p, fmt.Errorf("%s: %w", name(0), err)
	}
	p.pixels = func(report func(done, total int)) ([]byte, error) {
		images := newGreyImages(p, name, report)
		var next atomic.Int64
		var group sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			group.Go(func() {
				for i := int(next.Add(1)) - 1; i < p.count; i = int(next.Add(1)) - 1 {
					content, err := regular.Read(name(i), maxImageFile)
					images.decode(i, content, err)
				}
			})
		}
		group.Wait()
		return images.finish()
	}
	return p, checkImages(p.imagesName, p.count, p.rows, p.columns)
}

// greyImages collects the decoded images of a part, or why they cannot be decoded.
// decode may be called from several goroutines.
type greyImages struct {
	part   part
	name   func(i int) string
	report func(done, total int)
	pixels []byte

	mutex    sync.Mutex
	done     int
	failures map[int]error // by image
}

func newGreyImages(p part, name func(i int) string, report func(done, total int)) *greyImages {
	return &greyImages{part: p, name: name, report: report, pixels: make([]byte, p.count*p.rows*p.columns), failures: map[int]error{}}
}

// decode decodes image i from the content of its file, or notes the error of reading it.
func (g *greyImages) decode(i int, content []byte, err error) {
	rows, columns := g.part.rows, g.part.columns
	if err == nil {
		size := rows * columns
		err = decodeGrey(g.pixels[i*size:(i+1)*size], content, rows, columns)
		if other, ok := errors.AsType[otherSize](err); ok {
			err = scaleFirst(rows, columns, fmt.Errorf("%s: image size: found %dx%d, expected %dx%d as in %s",
				g.name(i), other.rows, other.columns, rows, columns, g.name(0)))
		} else if err != nil {
			err = fmt.Errorf("%s: %w", g.name(i), err)
		}
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.done++; g.done%imagesPerReport == 0 || g.done == g.part.count {
		g.report(g.done, g.part.count)
	}
	if err != nil {
		g.failures[i] = err
	}
}

// finish returns the pixels of all images, or the first errors.
func (g *greyImages) finish() ([]byte, error) {
	if len(g.failures) == 0 {
		return g.pixels, nil
	}
	var errs []error
	for _, i := range slices.Sorted(maps.Keys(g.failures))[:min(len(g.failures), maxImageErrors)] {
		errs = append(errs, g.failures[i])
	}
	if more := len(g.failures) - len(errs); more > 0 {
		errs = append(errs, fmt.Errorf("%s: %d more of the %d images cannot be used", g.part.imagesName, more, g.part.count))
	}
	return nil, errors.Join(errs...)
}

// imageSize reads the size of an image from its header, 1 to [MaxSide].
func imageSize(content []byte) (rows, columns int, err error) {
	config, _, err := image.DecodeConfig(bytes.NewReader(content))
	if errors.Is(err, image.ErrFormat) {
		err = errors.New("found no image, expected PNG, JPEG, GIF, BMP or WebP")
	}
	rows, columns = config.Height, config.Width
	if err == nil && (min(rows, columns) < 1 || max(rows, columns) > MaxSide) {
		err = fmt.Errorf("image size: found %dx%d, expected 1x1 to %dx%d", rows, columns, MaxSide, MaxSide)
	}
	return rows, columns, err
}

// scaleFirst adds to an error how to bring image files to one size.
func scaleFirst(rows, columns int, err error) error {
	return hinted{err, fmt.Sprintf("all images must have one size: scale copies of them first, with ImageMagick for example: "+
		"mogrify -resize '%dx%d!' FOLDER/*/*.png", columns, rows)}
}

// otherSize is the size of an image that has not the one that is expected.
type otherSize struct{ rows, columns int }

func (o otherSize) Error() string { return fmt.Sprintf("image size: found %dx%d", o.rows, o.columns) }

// decodeGrey decodes a PNG, JPEG, GIF, BMP or WebP image of a known size to grey values,
// [rows*columns]: of a colour its luma, rounded as torchvision's Grayscale and Pillow's
// convert("L") round it, and of 16 bits the upper eight. As there, the later images of a GIF and
// a photograph's orientation make no difference. But what is transparent is drawn on white, since
// drawing programs export black ink on black that is transparent.
func decodeGrey(grey, content []byte, rows, columns int) error {
	foundRows, foundColumns, err := imageSize(content)
	if err != nil {
		return err
	}
	if foundRows != rows || foundColumns != columns {
		return otherSize{foundRows, foundColumns}
	}
	decoded, _, err := image.Decode(bytes.NewReader(content))
	if err != nil {
		return err
	}
	bounds := decoded.Bounds()
	if bounds.Dy() != rows || bounds.Dx() != columns { // of a GIF that fills only a part of its canvas
		return otherSize{bounds.Dy(), bounds.Dx()}
	}
	for y := range rows {
		if plain, ok := decoded.(*image.Gray); ok { // the most, and fast
			copy(grey[y*columns:(y+1)*columns], plain.Pix[y*plain.Stride:])
			continue
		}
		for x := range columns {
			grey[y*columns+x] = lumaOf(decoded.At(bounds.Min.X+x, bounds.Min.Y+y))
		}
	}
	return nil
}

// lumaOf is the luma of a colour, on white where it is transparent.
func lumaOf(c color.Color) byte {
	red, green, blue, alpha := c.RGBA()
	white := 0xffff - alpha
	return luma(byte((red+white)>>8), byte((green+white)>>8), byte((blue+white)>>8))
}

// luma is (299 red + 587 green + 114 blue) / 1000, rounded as Pillow rounds it.
func luma(red, green, blue byte) byte {
	return byte((uint32(red)*19595 + uint32(green)*38470 + uint32(blue)*7471 + 1<<15) >> 16)
}
