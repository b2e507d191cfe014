package dataset

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/bmp"
)

// greyPNG is a PNG file with these pixels.
func greyPNG(rows, columns int, pixels ...byte) []byte {
	return encodePNG(&image.Gray{Pix: pixels, Stride: columns, Rect: image.Rect(0, 0, columns, rows)})
}

func encodePNG(img image.Image) []byte {
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		panic(err)
	}
	return file.Bytes()
}

// dots are image files of one pixel, each with its own value, from 0 in the order of names.
func dots(names ...string) map[string][]byte {
	files := map[string][]byte{}
	for i, name := range names {
		files[name] = greyPNG(1, 1, byte(i))
	}
	return files
}

// tree writes files into a new folder; a name that ends in "/" is an empty folder.
func tree(t testing.TB, files map[string][]byte) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// read is what a form holds once its pixels are decoded. X in its warnings is the folder.
type read struct {
	Kind                                 string
	ClassNames, Warnings                 []string
	Rows, Columns                        int
	Train, TrainLabels, Test, TestLabels []byte // of images, the first pixel
}

func checkRead(t *testing.T, path string, want read) func(form, error) {
	t.Helper()
	return func(f form, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		found := read{
			Kind: f.kind, ClassNames: f.classNames, Rows: f.train.rows, Columns: f.train.columns,
			TrainLabels: f.train.labels, TestLabels: f.test.labels,
		}
		for _, warning := range f.warnings {
			found.Warnings = append(found.Warnings, strings.ReplaceAll(warning, path, "X"))
		}
		for half, firsts := range map[*part]*[]byte{&f.train: &found.Train, &f.test: &found.Test} {
			if half.count == 0 {
				continue
			}
			reported := 0
			pixels, err := half.pixels(func(done, total int) { reported = done * half.count / total })
			if err != nil {
				t.Fatal(err)
			}
			if reported != half.count || len(half.labels) != half.count {
				t.Errorf("found %d images reported and %d labels, expected %d", reported, len(half.labels), half.count)
			}
			for first := range slices.Chunk(pixels, half.rows*half.columns) {
				*firsts = append(*firsts, first[0])
			}
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("(-expected +found):\n%s", diff)
		}
	}
}

func checkMessage(t *testing.T, path string, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("found no error, expected %q", want)
	}
	if diff := cmp.Diff(want, strings.ReplaceAll(err.Error(), path, "X")); diff != "" {
		t.Errorf("error (-expected +found):\n%s", diff)
	}
}

func TestImageFolder(t *testing.T) {
	with := func(files map[string][]byte, more ...string) map[string][]byte {
		for _, name := range more {
			files[name] = []byte("no image")
		}
		return files
	}
	for name, c := range map[string]struct {
		files map[string][]byte
		want  read
	}{
		"ImageFolder": {
			dots("train/cat/a.png", "train/cat/b.PNG", "train/dog/c.jpg", "test/cat/d.png", "test/dog/e.png"),
			read{ClassNames: []string{"cat", "dog"}, Train: []byte{0, 1, 2}, TrainLabels: []byte{0, 0, 1},
				Test: []byte{3, 4}, TestLabels: []byte{0, 1}},
		},
		"mnist_png": {
			dots("mnist_png/training/0/x.png", "mnist_png/training/1/x.png", "mnist_png/testing/1/x.png"),
			read{Train: []byte{0, 1}, TrainLabels: []byte{0, 1}, Test: []byte{2}, TestLabels: []byte{1}},
		},
		"Kaggle's": {
			dots("trainingSet/trainingSet/0/x.png", "trainingSet/trainingSet/1/x.png", "testSet/testSet/x.png"),
			read{Train: []byte{0, 1}, TrainLabels: []byte{0, 1}, Warnings: []string{
				"X/testSet: found no folders of images named by their class: left out",
			}},
		},
		"val in place of test": {
			dots("Train/a/x.png", "Val/a/x.png"),
			read{ClassNames: []string{"a"}, Train: []byte{0}, TrainLabels: []byte{0}, Test: []byte{1}, TestLabels: []byte{0},
				Warnings: []string{"X: found no folder named test: the images in Val are the test set"}},
		},
		"val and test": {
			dots("train/a/x.png", "val/a/x.png", "test/a/x.png"),
			read{ClassNames: []string{"a"}, Train: []byte{0}, TrainLabels: []byte{0}, Test: []byte{2}, TestLabels: []byte{0},
				Warnings: []string{"X/val: left out: the test set is test"}},
		},
		"classes only": {
			dots("B/x.png", "a/x.png", "c/y.png", "c/z.png"),
			read{ClassNames: []string{"B", "a", "c"}, Train: []byte{0, 1, 2, 3}, TrainLabels: []byte{0, 1, 2, 2}},
		},
		"classes in two folders": {
			dots("my/own/a/x.png", "my/own/b/x.png"),
			read{ClassNames: []string{"a", "b"}, Train: []byte{0, 1}, TrainLabels: []byte{0, 1}},
		},
		"one class only": {dots("train/a/x.png"), read{ClassNames: []string{"a"}, Train: []byte{0}, TrainLabels: []byte{0}}},
		"an empty class": {with(dots("a/x.png", "c/x.png"), "b/"),
			read{ClassNames: []string{"a", "b", "c"}, Train: []byte{0, 1}, TrainLabels: []byte{0, 2}}},
		"numbers":        {dots("2/x.png", "10/x.png", "1/x.png"), read{Train: []byte{2, 0, 1}, TrainLabels: []byte{1, 2, 10}}},
		"padded numbers": {dots("00/x.png", "01/x.png", "10/x.png"), read{Train: []byte{0, 1, 2}, TrainLabels: []byte{0, 1, 10}}},
		"numbers twice":  {dots("1/x.png", "01/x.png"), read{ClassNames: []string{"01", "1"}, Train: []byte{1, 0}, TrainLabels: []byte{0, 1}}},
		"numbers too large": {dots("1/x.png", "256/x.png"),
			read{ClassNames: []string{"1", "256"}, Train: []byte{0, 1}, TrainLabels: []byte{0, 1}}},
		"numbers and words": {dots("2/x.png", "10/x.png", "none/x.png"),
			read{ClassNames: []string{"10", "2", "none"}, Train: []byte{1, 0, 2}, TrainLabels: []byte{0, 1, 2}}},
		"a test class of its own": {
			dots("train/b/x.png", "train/c/x.png", "test/a/x.png", "test/c/x.png"),
			read{ClassNames: []string{"b", "c", "a"}, Train: []byte{0, 1}, TrainLabels: []byte{0, 1}, Test: []byte{3, 2}, TestLabels: []byte{1, 2}},
		},
		"names without numbers": {dots("a/2.png", "a/10.png", "b/x.png"),
			read{ClassNames: []string{"a", "b"}, Train: []byte{1, 0, 2}, TrainLabels: []byte{0, 0, 1}}},
		"numbers as names": {
			dots("train/7/2.png", "train/7/10.png", "train/3/1.png", "train/3/4.png", "test/3/1.png", "test/7/0.png"),
			read{Train: []byte{2, 0, 3, 1}, TrainLabels: []byte{3, 7, 3, 7}, Test: []byte{5, 4}, TestLabels: []byte{7, 3}},
		},
		"a number twice": {dots("7/2.png", "7/10.png", "3/2.png"), read{Train: []byte{2, 1, 0}, TrainLabels: []byte{3, 7, 7}}},
		"what systems leave": {
			with(dots("train/a/x.png", "train/b/x.png"), "train/.DS_Store", "train/a/.hidden.png", "train/b/Thumbs.db",
				"__MACOSX/train/a/._x.png", ".git/a/x.png",
				"train/.ipynb_checkpoints/x.png", "train/a/desktop.ini"),
			read{ClassNames: []string{"a", "b"}, Train: []byte{0, 1}, TrainLabels: []byte{0, 1}},
		},
		"what is no image": {
			with(dots("train/a/x.png", "train/b/x.png", "test/a/x.png"), "train/labels.csv", "train/b/notes.txt", "train/b/x.npy", "test/a/x.txt"),
			read{ClassNames: []string{"a", "b"}, Train: []byte{0, 1}, TrainLabels: []byte{0, 1}, Test: []byte{2}, TestLabels: []byte{0},
				Warnings: []string{
					"X/train: 2 files and folders in those of the classes are no image files, such as b/notes.txt: left out",
					"X/test/a/x.txt: is no image file: left out",
				}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Kind, c.want.Rows, c.want.Columns = "an image folder", 1, 1
			folder := tree(t, c.files)
			checkRead(t, folder, c.want)(openImageFolder(folder, Options{}))
		})
	}
}

func TestImageFolderOfLinks(t *testing.T) {
	store, folder := tree(t, dots("x.png", "y.png", "b/z.png")), tree(t, map[string][]byte{"train/a/": nil})
	for name, target := range map[string]string{"train/a/1.png": "x.png", "train/a/2.png": "y.png", "train/b": "b"} {
		if err := os.Symlink(filepath.Join(store, target), filepath.Join(folder, name)); err != nil {
			t.Skip(err)
		}
	}
	checkRead(t, folder, read{
		Kind: "an image folder", ClassNames: []string{"a", "b"}, Rows: 1, Columns: 1, Train: []byte{0, 1, 2}, TrainLabels: []byte{0, 0, 1},
	})(openImageFolder(folder, Options{}))
}

func TestImageFolderRefuses(t *testing.T) {
	const (
		none    = "found no images, expected a folder for each class, with files that end in .png, .jpg, .jpeg, .gif, .bmp, .webp"
		unknown = "found no image, expected PNG, JPEG, GIF, BMP or WebP"
	)
	good := greyPNG(2, 3, 0, 1, 2, 3, 4, 5)
	crowd := map[string][]byte{}
	for i := range MaxClasses + 1 {
		crowd[fmt.Sprintf("c%d/x.png", i)] = nil
	}
	half := maps.Clone(crowd)
	maps.DeleteFunc(half, func(name string, _ []byte) bool { return len(name) > len("c99/x.png") })
	for name := range maps.Clone(half) {
		half["train/"+name], half["test/x"+name], half["test/y"+name] = half[name], good, good
		delete(half, name)
	}
	for name, c := range map[string]struct {
		files map[string][]byte
		want  string
	}{
		"an empty folder":              {nil, "X: " + none},
		"images without folder":        {dots("a.png", "b.png"), "X: " + none},
		"empty classes":                {map[string][]byte{"train/a/": nil, "train/b/x.txt": nil, "test/a/x.png": good}, "X/train: " + none},
		"too many classes":             {crowd, "X: classes: found 257 folders, expected at most 256"},
		"too many with the test set's": {half, "X/test: classes: found 300 with those of X/train, expected at most 256"},
		"the first is none":            {map[string][]byte{"a/x.png": []byte("<html>"), "a/y.png": good}, "X/a/x.png: " + unknown},
		"the first is empty":           {map[string][]byte{"a/x.png": nil, "a/y.png": good}, "X/a/x.png: " + unknown},
		"the first is cut":             {map[string][]byte{"a/x.png": good[:20], "a/y.png": good}, "X/a/x.png: unexpected EOF"},
		"the first is too large": {map[string][]byte{"a/x.png": encodePNG(image.NewGray(image.Rect(0, 0, 4097, 1)))},
			"X/a/x.png: image size: found 1x4097, expected 1x1 to 4096x4096"},
		"images in train/train": {dots("train/train/cat.0.png", "train/train/dog.0.png"),
			"X/train/train: " + none},
		"another size": {map[string][]byte{"a/x.png": good, "b/y.png": greyPNG(3, 2, 0, 1, 2, 3, 4, 5)},
			"X/b/y.png: image size: found 3x2, expected 2x3 as in X/a/x.png"},
		"a later one is cut": {map[string][]byte{"a/x.png": good, "a/y.png": good[:len(good)-20]},
			"X/a/y.png: png: invalid format: unexpected EOF"},
		"many others": {
			map[string][]byte{"a/0.png": good, "a/1.png": nil, "a/2.png": good[:20], "a/3.png": greyPNG(1, 1, 0),
				"a/4.png": nil, "a/5.png": greyPNG(1, 1, 0)},
			"X/a/1.png: " + unknown + "\nX/a/2.png: unexpected EOF\n" +
				"X/a/3.png: image size: found 1x1, expected 2x3 as in X/a/0.png\nX: 2 more of the 6 images cannot be used",
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := tree(t, c.files)
			f, err := openImageFolder(folder, Options{})
			if err == nil {
				_, err = f.train.pixels(func(int, int) {})
			}
			checkMessage(t, folder, err, c.want)
			hint := "" // of ImageMagick, which writes columns before rows
			if hinted, ok := errors.AsType[hinted](err); ok {
				hint = hinted.hint
			}
			if wanted := strings.Contains(c.want, "expected 2x3 as in"); strings.Contains(hint, "mogrify -resize '3x2!'") != wanted {
				t.Errorf("found the hint %q", hint)
			}
		})
	}
}

// Opening a pipe would wait for whoever writes to it.
func TestImageFolderRefusesWhatIsNoFile(t *testing.T) {
	for want, make := range map[string]func(string) error{
		"found a pipe, expected a file":                         func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"found a folder, expected a file":                       func(path string) error { return os.Mkdir(path, 0o755) },
		"found a device, expected a file":                       func(path string) error { return os.Symlink("/dev/zero", path) },
		"found a symbolic link to none.png, which is not there": func(path string) error { return os.Symlink("none.png", path) },
	} {
		folder := tree(t, dots("train/a/1.png", "train/b/1.png"))
		if err := make(filepath.Join(folder, "train/a/2.png")); err != nil {
			t.Skip(err)
		}
		_, err := openImageFolder(folder, Options{})
		checkMessage(t, folder, err, "X/train/a/2.png: "+want)
	}
	_, err := openImageFolder("/none", Options{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found error %v, expected that there is no folder", err)
	}
}

// A lossless WebP image of one pixel, red 200, green 100, blue 50.
const webpDot = "UklGRh4AAABXRUJQVlA4TBEAAAAvAAAAAAdQsiJXpv+BiOh/AAA="

// Grey is what Pillow's convert("L") makes of the same files, on white where they are transparent.
func TestGrey(t *testing.T) {
	colours := []color.NRGBA{{0, 0, 0, 255}, {255, 255, 255, 255}, {255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255},
		{200, 100, 50, 255}, {1, 2, 3, 255}, {12, 200, 7, 255}}
	greys := []byte{0, 255, 76, 150, 29, 124, 2, 122}
	onWhite := make([]byte, len(greys))
	size := image.Rect(0, 0, len(colours), 1)
	rgb, clear, wide := image.NewRGBA(size), image.NewNRGBA(size), image.NewNRGBA64(size)
	grey, grey16 := image.NewGray(size), image.NewGray16(size)
	palette := make(color.Palette, len(colours))
	paletted := image.NewPaletted(size, palette)
	for x, c := range colours {
		rgb.Set(x, 0, c)
		grey.SetGray(x, 0, color.Gray{Y: greys[x]})
		grey16.SetGray16(x, 0, color.Gray16{Y: uint16(greys[x])<<8 | 0x7f})
		palette[x] = c
		paletted.Pix[x] = byte(x)
		transparent := c
		transparent.A = byte(x * 0x11)
		onWhite[x] = byte((int(greys[x])*x + 255*(15-x)) / 15)
		clear.SetNRGBA(x, 0, transparent)
		wide.SetNRGBA64(x, 0, color.NRGBA64{R: uint16(c.R)<<8 | 0x80, G: uint16(c.G) << 8, B: uint16(c.B)<<8 | 0xff, A: uint16(x) * 0x1111})
	}
	encoded := func(encode func(file *bytes.Buffer) error) []byte {
		var file bytes.Buffer
		if err := encode(&file); err != nil {
			t.Fatal(err)
		}
		return file.Bytes()
	}
	for name, file := range map[string][]byte{
		"PNG, RGB": encodePNG(rgb), "PNG, RGBA": encodePNG(clear), "PNG, RGBA of 16 bits": encodePNG(wide), "PNG, palette": encodePNG(paletted),
		"PNG, grey": encodePNG(grey), "PNG, grey of 16 bits": encodePNG(grey16),
		"GIF":          encoded(func(file *bytes.Buffer) error { return gif.Encode(file, paletted, nil) }),
		"BMP":          encoded(func(file *bytes.Buffer) error { return bmp.Encode(file, rgb) }),
		"BMP, palette": encoded(func(file *bytes.Buffer) error { return bmp.Encode(file, paletted) }),
		"BMP, RGBA":    encoded(func(file *bytes.Buffer) error { return bmp.Encode(file, clear) }),
	} {
		found := make([]byte, len(greys))
		expected, tolerance := greys, byte(0)
		if strings.HasPrefix(name, "PNG, RGBA") {
			expected, tolerance = onWhite, 1
		}
		err := decodeGrey(found, file, 1, len(greys))
		for x, grey := range found {
			if err != nil || max(grey, expected[x])-min(grey, expected[x]) > tolerance {
				t.Fatalf("%s: found %v, %v, expected %v", name, found, err, expected)
			}
		}
	}

	// JPEG is not exact.
	flat := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		flat.Set(i%8, i/8, colours[5])
	}
	webp, err := base64.StdEncoding.DecodeString(webpDot)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		side int
	}{
		"JPEG": {encoded(func(file *bytes.Buffer) error { return jpeg.Encode(file, flat, &jpeg.Options{Quality: 100}) }), 8},
		"WebP": {webp, 1},
	} {
		found := make([]byte, c.side*c.side)
		if err := decodeGrey(found, c.file, c.side, c.side); err != nil || max(found[0], 124)-min(found[0], 124) > 1 {
			t.Errorf("%s: found %v, %v, expected 124", name, found[0], err)
		}
	}
}

// Any bytes are decoded or refused, and memory follows the size that the header tells.
func FuzzDecodeImage(f *testing.F) {
	f.Add(greyPNG(2, 3, 0, 1, 2, 3, 4, 5))
	f.Add(encodePNG(image.NewNRGBA64(image.Rect(0, 0, 5, 4))))
	f.Add(encodePNG(image.NewPaletted(image.Rect(0, 0, 5, 4), color.Palette{color.Black, color.White, color.Transparent})))
	var jpegFile, gifFile, bmpFile bytes.Buffer
	jpeg.Encode(&jpegFile, image.NewRGBA(image.Rect(0, 0, 9, 7)), nil)
	gif.Encode(&gifFile, image.NewRGBA(image.Rect(0, 0, 9, 7)), nil)
	bmp.Encode(&bmpFile, image.NewNRGBA(image.Rect(0, 0, 9, 7)))
	webp, _ := base64.StdEncoding.DecodeString(webpDot)
	for _, file := range [][]byte{jpegFile.Bytes(), gifFile.Bytes(), bmpFile.Bytes(), webp} {
		f.Add(file)
		f.Add(file[:len(file)-2])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		rows, columns, err := imageSize(file)
		if err != nil || rows*columns > 1<<16 {
			return
		}
		before := allocatedBytes()
		decodeGrey(make([]byte, rows*columns), file, rows, columns)
		if found, most := allocatedBytes()-before, uint64(4<<20+64*(rows*columns+len(file))); found > most {
			t.Errorf("found %d bytes allocated, expected at most %d", found, most)
		}
	})
}

// MNIST's train set as 60,000 PNG files, named by their place in it.
func BenchmarkImageFolder(b *testing.B) {
	d, err := Read(MNIST, Options{})
	if err != nil {
		b.Fatal(err)
	}
	files := map[string][]byte{}
	for i, label := range d.Train.Labels {
		files[fmt.Sprintf("train/%d/%05d.png", label, i)] = greyPNG(28, 28, d.Train.Image(i)...)
	}
	folder := tree(b, files)
	for b.Loop() {
		f, err := openImageFolder(folder, Options{})
		if err != nil {
			b.Fatal(err)
		}
		pixels, err := f.train.pixels(func(int, int) {})
		if err != nil {
			b.Fatal(err)
		}
		if !bytes.Equal(d.Train.Labels, f.train.labels) || !bytes.Equal(d.Train.Pixels, pixels) {
			b.Fatal("the images or labels differ from MNIST's")
		}
	}
}
