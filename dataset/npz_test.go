package dataset

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
)

// npyFile is an array as NumPy writes it.
func npyFile(version byte, header string, values ...byte) []byte {
	file := []byte{0x93, 'N', 'U', 'M', 'P', 'Y', version, 0}
	if version == 1 {
		file = binary.LittleEndian.AppendUint16(file, uint16(len(header)))
	} else {
		file = binary.LittleEndian.AppendUint32(file, uint32(len(header)))
	}
	return append(append(file, header...), values...)
}

// npyOf is an array of version 1 in C order.
func npyOf(dtype, shape string, values ...byte) []byte {
	return npyFile(1, fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }      \n", dtype, shape), values...)
}

type npzMember struct {
	name    string
	content []byte
}

func npzFile(method uint16, members ...npzMember) []byte {
	var file bytes.Buffer
	w := zip.NewWriter(&file)
	for _, m := range members {
		member, err := w.CreateHeader(&zip.FileHeader{Name: m.name, Method: method})
		if err != nil {
			panic(err)
		}
		member.Write(m.content)
	}
	w.Close()
	return file.Bytes()
}

// npzWith is a small sound file, some of whose members are replaced, added, or left out where nil.
func npzWith(changes ...npzMember) []byte {
	members := []npzMember{
		{"x_train.npy", npyOf("|u1", "(2, 1, 3)", 1, 2, 3, 4, 5, 6)},
		{"y_train.npy", npyOf("|u1", "(2,)", 1, 0)},
		{"x_test.npy", npyOf("|u1", "(1, 1, 3)", 7, 8, 9)},
		{"y_test.npy", npyOf("|u1", "(1,)", 1)},
	}
	for _, change := range changes {
		i := slices.IndexFunc(members, func(m npzMember) bool { return m.name == change.name })
		switch {
		case i < 0:
			members = append(members, change)
		case change.content == nil:
			members = slices.Delete(members, i, i+1)
		default:
			members[i] = change
		}
	}
	return npzFile(zip.Deflate, members...)
}

func npzRenamed(names ...string) []byte {
	var members []npzMember
	for i, m := range []npzMember{
		{"", npyOf("|u1", "(2, 1, 3)", 1, 2, 3, 4, 5, 6)}, {"", npyOf("|u1", "(2,)", 1, 0)},
		{"", npyOf("|u1", "(1, 1, 3)", 7, 8, 9)}, {"", npyOf("|u1", "(1,)", 1)},
	} {
		if i < len(names) {
			members = append(members, npzMember{names[i] + ".npy", m.content})
		}
	}
	return npzFile(zip.Store, members...)
}

// describeForm writes a form with all its values, or the error, in which folder is left out.
func describeForm(f form, err error, folder string) string {
	var text strings.Builder
	if err == nil {
		err = errors.Join(f.train.matched(), f.test.matched())
	}
	for i, p := range []part{f.train, f.test} {
		if p.count == 0 || err != nil {
			continue
		}
		var pixels []byte
		last := 0
		pixels, err = p.pixels(func(done, total int) {
			if total != p.count || done < last || done > total {
				fmt.Fprintf(&text, "reported %d of %d after %d; ", done, total, last)
			}
			last = done
		})
		if err == nil {
			fmt.Fprintf(&text, "%s %dx%d %v %v; ", []string{"train", "test"}[i], p.rows, p.columns, p.labels, pixels)
		}
	}
	for _, warning := range f.warnings {
		fmt.Fprintf(&text, "warning: %s; ", warning)
	}
	if err != nil {
		text.Reset()
		text.WriteString(err.Error())
	}
	return strings.TrimSuffix(strings.ReplaceAll(text.String(), folder+string(filepath.Separator), ""), "; ")
}

func TestOpenNPZ(t *testing.T) {
	const test = "; test 1x3 [1] [7 8 9]"
	const sound = "train 1x3 [1 0] [1 2 3 4 5 6]" + test
	train := func(labels ...byte) string { return fmt.Sprintf("train 1x3 %v [1 2 3 4 5 6]", labels) + test }
	images := func(dtype, shape string, values ...byte) []byte {
		return npzWith(npzMember{"x_train.npy", npyOf(dtype, shape, values...)})
	}
	labels := func(dtype, shape string, values ...byte) []byte {
		return npzWith(npzMember{"y_train.npy", npyOf(dtype, shape, values...)})
	}
	header := func(header string) []byte { return npzWith(npzMember{"y_train.npy", npyFile(1, header, 1, 0)}) }
	const integer = ", expected an integer such as '|u1' or '<i8': save the labels as numpy.uint8"
	damaged := npzFile(zip.Store, npzMember{"x.npy", npyOf("|u1", "(2, 1, 1)", 251, 252)}, npzMember{"y.npy", npyOf("|u1", "(2,)", 0, 1)})
	damaged[bytes.IndexByte(damaged, 251)]++

	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"sound":       {npzWith(), sound},
		"no test":     {npzRenamed("x_train", "y_train"), "train 1x3 [1 0] [1 2 3 4 5 6]"},
		"MedMNIST":    {npzRenamed("train_images", "train_labels", "test_images", "test_labels"), sound},
		"training":    {npzRenamed("training_images", "training_labels", "test_images", "test_labels"), sound},
		"capitals":    {npzRenamed("X_train", "Y_train", "X_test", "y_test"), sound},
		"train first": {npzRenamed("train_X", "train_y", "test_X", "test_y"), sound},
		"X and y":     {npzRenamed("X", "y"), "train 1x3 [1 0] [1 2 3 4 5 6]"},
		"images":      {npzRenamed("images", "labels"), "train 1x3 [1 0] [1 2 3 4 5 6]"},
		"others are named": {
			npzWith(npzMember{"val_images.npy", []byte("?")}, npzMember{"val_labels.npy", []byte("?")}, npzMember{"README", []byte("?")}),
			sound + "; warning: mnist.npz: the arrays that are not used: val_images, val_labels",
		},

		"one channel last": {images("|u1", "(2, 1, 3, 1)", 1, 2, 3, 4, 5, 6), sound},
		"flat": {
			images("|u1", "(2, 4)", 1, 2, 3, 4, 5, 6, 7, 8), "train 2x2 [1 0] [1 2 3 4 5 6 7 8]" + test,
		},
		"Fortran": {
			npzWith(npzMember{"x_train.npy", npyFile(2, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 3)}",
				1, 7, 4, 10, 2, 8, 5, 11, 3, 9, 6, 12)}),
			"train 2x3 [1 0] [1 2 3 4 5 6 7 8 9 10 11 12]" + test,
		},
		"Fortran, flat": {
			npzWith(npzMember{"x_train.npy", npyFile(3, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 4)}", 1, 5, 2, 6, 3, 7, 4, 8)}),
			"train 2x2 [1 0] [1 2 3 4 5 6 7 8]" + test,
		},

		"i1":         {labels("|i1", "(2,)", 127, 0), train(127, 0)},
		"u2, little": {labels("<u2", "(2, 1)", 3, 0, 255, 0), train(3, 255)},
		"i2, big":    {labels(">i2", "(2,)", 0, 3, 0, 255), train(3, 255)},
		"i4, little": {labels("<i4", "(2,)", 3, 0, 0, 0, 4, 0, 0, 0), train(3, 4)},
		"i8, big":    {labels(">i8", "(2,)", 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4), train(3, 4)},
		"below 0":    {labels("|i1", "(2,)", 0, 255), "mnist.npz: y_train: label of image 1: found -1, expected 0 to 255"},
		"above 255":  {labels(">u2", "(2,)", 1, 0, 0, 0), "mnist.npz: y_train: label of image 0: found 256, expected 0 to 255"},
		"far below": {
			labels("<i8", "(1,)", 0, 0, 0, 0, 0, 0, 0, 128), "mnist.npz: y_train: label of image 0: found -9223372036854775808, expected 0 to 255",
		},
		"far above": {
			labels("<u8", "(1,)", 1, 0, 0, 0, 0, 0, 0, 128), "mnist.npz: y_train: label of image 0: found 9223372036854775809, expected 0 to 255",
		},
		"labels in floats":        {labels("<f8", "(2,)"), "mnist.npz: y_train: dtype: found '<f8'" + integer},
		"labels without an order": {labels("|i4", "(2,)"), "mnist.npz: y_train: dtype: found '|i4'" + integer},
		"labels in text":          {labels("<U1", "(2,)"), "mnist.npz: y_train: dtype: found '<U1'" + integer},
		"labels true or false":    {labels("|b1", "(2,)"), "mnist.npz: y_train: dtype: found '|b1'" + integer},
		"no labels":               {labels("|u1", "(0,)"), "mnist.npz: y_train: labels: found 0, expected 1 to 2000000"},
		"too many labels":         {labels("|u1", "(2000001,)"), "mnist.npz: y_train: labels: found 2000001, expected 1 to 2000000"},
		"labels that are cut":     {labels("<u2", "(2,)", 1, 0, 1), "mnist.npz: y_train: label bytes: found 3, expected 4"},
		"a byte after the labels": {
			labels("|u1", "(2,)", 1, 0, 1), "mnist.npz: y_train: bytes after the labels: found at least 1, expected 0",
		},
		"as many as there may be": {labels("<u8", "(2000000,)", 1), "mnist.npz: y_train: label bytes: found 1, expected 16000000"},
		"more labels than images": {
			labels("|u1", "(3,)", 1, 0, 1), "mnist.npz: x_train: images: found 2, expected 3, the number of labels in mnist.npz: y_train",
		},
		"fewer labels than images": {
			labels("|u1", "(1,)", 1), "mnist.npz: x_train: images: found 2, expected 1, the number of labels in mnist.npz: y_train",
		},
		"one-hot": {
			labels("<f4", "(2, 10)"), "mnist.npz: y_train: shape: found (2, 10), expected (n,) or (n, 1), one number for each image: " +
				"of one-hot labels save argmax(axis=1)",
		},
		"one label": {
			labels("|u1", "()", 1), "mnist.npz: y_train: shape: found (), expected (n,) or (n, 1), one number for each image: " +
				"of one-hot labels save argmax(axis=1)",
		},

		"floats": {
			images("<f4", "(2, 1, 3)"), "mnist.npz: x_train: dtype: found '<f4', expected '|u1': save the images as numpy.uint8, 0 to 255",
		},
		"signed": {
			images("|i1", "(2, 1, 3)"), "mnist.npz: x_train: dtype: found '|i1', expected '|u1': save the images as numpy.uint8, 0 to 255",
		},
		"pickle": {
			images("|O", "(2,)", 0x80, 4), "mnist.npz: x_train: dtype: found '|O', Python objects, which are stored as a pickle and not read: " +
				"expected '|u1' for images, an integer for labels",
		},
		"three channels": {
			images("|u1", "(2, 2, 3, 3)"), "mnist.npz: x_train: shape: found (2, 2, 3, 3), expected (n, rows, columns): images of one channel",
		},
		"one dimension": {images("|u1", "(6,)"), "mnist.npz: x_train: shape: found (6,), expected (n, rows, columns): images of one channel"},
		"flat, not square": {
			images("|u1", "(2, 3)"), "mnist.npz: x_train: shape: found (2, 3), expected (n, rows, columns), or a square number of pixels",
		},
		"no images":       {images("|u1", "(0, 28, 28)"), "mnist.npz: x_train: images: found 0, expected 1 to 2000000"},
		"too many images": {images("|u1", "(2000001, 28, 28)"), "mnist.npz: x_train: images: found 2000001, expected 1 to 2000000"},
		"too many rows":   {images("|u1", "(2, 4097, 28)"), "mnist.npz: x_train: rows: found 4097, expected 1 to 4096"},
		"no columns":      {images("|u1", "(2, 28, 0)"), "mnist.npz: x_train: columns: found 0, expected 1 to 4096"},
		"no pixels, flat": {images("|u1", "(2, 0)"), "mnist.npz: x_train: rows: found 0, expected 1 to 4096"},
		"too many pixels": {
			images("|u1", "(257, 4096, 4096)"),
			"mnist.npz: x_train: pixels: found 257 images of 4096x4096, 4311744512 bytes, expected at most 4294967296",
		},
		"pixels that are cut": {images("|u1", "(2, 1, 3)", 1, 2, 3), "mnist.npz: x_train: pixel bytes: found 3, expected 6"},
		"a byte after the pixels": {
			images("|u1", "(2, 1, 1)", 1, 2, 3), "mnist.npz: x_train: bytes after the pixels: found at least 1, expected 0",
		},
		"checksum": {damaged, "mnist.npz: x: zip: checksum error"},

		"two faults": {
			npzWith(npzMember{"x_train.npy", nil}, npzMember{"y_test.npy", []byte("?")}),
			"mnist.npz: x_train: found no such array, expected one: there are y_train, x_test, y_test\n" +
				"mnist.npz: y_test: header bytes: found 1, expected 8: unexpected EOF",
		},
		"no test labels": {
			npzRenamed("x_train", "y_train", "x_test"),
			"mnist.npz: y_test: found no such array, expected one: there are x_train, y_train, x_test",
		},
		"KMNIST": {
			npzRenamed("arr_0"),
			"mnist.npz: arrays: found arr_0, expected x_train and y_train, and x_test and y_test if there is a test set",
		},
		"empty zip": {
			npzFile(zip.Store), "mnist.npz: arrays: found none, expected x_train and y_train, and x_test and y_test if there is a test set",
		},
		"a name twice": {npzRenamed("x_train", "y_train", "X_train"), "mnist.npz: X_train: found two arrays of that name, expected one"},
		"no zip":       {[]byte("\x93NUMPY"), "mnist.npz: found no zip archive, or not all of it"},
		"cut":          {npzWith()[:100], "mnist.npz: found no zip archive, or not all of it"},
		"empty":        {nil, "mnist.npz: is empty"},

		"no npy": {
			npzWith(npzMember{"y_train.npy", []byte("\x80\x04 a pickle")}),
			`mnist.npz: y_train: magic number: found "\x80\x04 a p", expected "\x93NUMPY"`,
		},
		"version 4": {
			npzWith(npzMember{"y_train.npy", npyFile(4, "{}")}), "mnist.npz: y_train: version of the npy format: found 4, expected 1 to 3",
		},
		"cut in the length": {
			npzWith(npzMember{"y_train.npy", npyFile(2, "{}")[:11]}), "mnist.npz: y_train: header length: unexpected EOF",
		},
		"long header": {
			npzWith(npzMember{"y_train.npy", npyFile(2, strings.Repeat(" ", 10_001))}),
			"mnist.npz: y_train: header length: found 10001, expected at most 10000",
		},
		"cut in the header": {
			npzWith(npzMember{"y_train.npy", npyOf("|u1", "(2,)")[:20]}),
			"mnist.npz: y_train: header bytes: found 10, expected 64: unexpected EOF",
		},
		"a dimension without end": {
			header("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,), }"),
			"mnist.npz: y_train: header: shape: found (99999999999999999999,), expected the sizes of an array",
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := tree(t, map[string][]byte{"mnist.npz": c.file})
			f, err := openNPZ(filepath.Join(folder, "mnist.npz"), Options{})
			if found := describeForm(f, err, folder); found != c.want {
				t.Errorf("\n   found %s\nexpected %s", found, c.want)
			}
		})
	}
	for _, header := range []string{
		"__import__('os')",                // a call
		"",                                // no header
		"{}",                              // no keys
		"{'type': 1}",                     // another key
		"{'descr': '|u1', 'descr': '|O'}", // a key twice
		"{'descr': [('a', '|u1')]}",       // a structure
		`{'descr': '\'}`,                  // an escape
		"{'fortran_order': 0}",            // no boolean
		"{'shape': (-2,)}",                // a dimension below 0
		"{'shape': (2,) 'descr': '|u1'}",  // no comma
		"{'shape': (2,), 'descr': '|u1', 'fortran_order': False} + 1", // more
	} {
		folder := tree(t, map[string][]byte{"mnist.npz": npzWith(npzMember{"y_train.npy", npyFile(1, header, 1, 0)})})
		f, err := openNPZ(filepath.Join(folder, "mnist.npz"), Options{})
		want := fmt.Sprintf("mnist.npz: y_train: header: found %.60q, "+
			"expected one such as {'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28), }", header)
		if found := describeForm(f, err, folder); found != want {
			t.Errorf("\n   found %s\nexpected %s", found, want)
		}
	}
	if _, err := openNPZ("none/mnist.npz", Options{}); err == nil || err.Error() != "open none/mnist.npz: no such file or directory" {
		t.Errorf("found error %v for a file that is not there", err)
	}
}

// NumPy 2.4 wrote the same arrays in each version of its format: version 1 by savez, version 2
// with labels of >i2 in a column, version 3 deflated with images in Fortran's order.
func TestOpenNPZOfNumPy(t *testing.T) {
	const want = "train 2x3 [2 0 1] [0 7 14 21 28 35 42 49 56 63 70 77 84 91 98 105 112 119]; " +
		"test 2x3 [1 2] [5 12 19 26 33 40 47 54 61 68 75 82]"
	for version := 1; version <= 3; version++ {
		f, err := openNPZ(fmt.Sprintf("testdata/numpy-v%d.npz", version), Options{})
		if found := describeForm(f, err, ""); found != want {
			t.Errorf("version %d:\n   found %s\nexpected %s", version, found, want)
		}
	}
}

// mnistNPZ is MNIST as Keras publishes it.
func mnistNPZ(t testing.TB, d *Dataset) string {
	t.Helper()
	array := func(values []byte, shape ...int) []byte { return npyOf("|u1", arrayShape(shape).String(), values...) }
	images := func(s Set) []byte { return array(s.Pixels, s.Len(), s.Rows, s.Columns) }
	return filepath.Join(tree(t, map[string][]byte{"mnist.npz": npzFile(zip.Deflate,
		npzMember{"x_test.npy", images(d.Test)},
		npzMember{"x_train.npy", images(d.Train)},
		npzMember{"y_train.npy", array(d.Train.Labels, d.Train.Len())},
		npzMember{"y_test.npy", array(d.Test.Labels, d.Test.Len())},
	)}), "mnist.npz")
}

// checkPart compares what a format holds with the same images from elsewhere.
func checkPart(t testing.TB, p part, want Set) {
	t.Helper()
	pixels, err := p.pixels(func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	if p.count != want.Len() || p.rows != want.Rows || p.columns != want.Columns ||
		!bytes.Equal(p.labels, want.Labels) || !bytes.Equal(pixels, want.Pixels) {
		t.Errorf("found %d images of %dx%d, %d labels and %d pixels, expected the %d images of %dx%d that were written",
			p.count, p.rows, p.columns, len(p.labels), len(pixels), want.Len(), want.Rows, want.Columns)
	}
}

func TestOpenNPZOfMNIST(t *testing.T) {
	d, err := Read(MNIST, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const some = 6000 // to deflate all of them takes a second
	d.Train.Pixels, d.Train.Labels = d.Train.Pixels[:some*28*28], d.Train.Labels[:some]
	d.Test.Pixels, d.Test.Labels = d.Test.Pixels[:some*28*28], d.Test.Labels[:some]
	f, err := openNPZ(mnistNPZ(t, d), Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkPart(t, f.test, d.Test)
	checkPart(t, f.train, d.Train)
}

// A bomb takes no more memory than a small multiple of what its header declares or what comes.
func TestOpenNPZBombs(t *testing.T) {
	const size = 16 << 20
	zeros := make([]byte, size)
	for name, c := range map[string]struct {
		file []byte
		most uint64
		want string
	}{
		"after the labels": {npzWith(npzMember{"y_train.npy", npyOf("|u1", "(2,)", zeros...)}), 1 << 20,
			"mnist.npz: y_train: bytes after the labels: found at least 1, expected 0"},
		"in place of a header": {npzWith(npzMember{"y_train.npy", zeros}), 1 << 20,
			`mnist.npz: y_train: magic number: found "\x00\x00\x00\x00\x00\x00", expected "\x93NUMPY"`},
		"fewer than the largest": {npzWith(npzMember{"x_train.npy", npyOf("|u1", "(256, 4096, 4096)", zeros...)},
			npzMember{"y_train.npy", npyOf("|u1", "(256,)", zeros[:256]...)}), 4*size + 1<<20,
			"mnist.npz: x_train: pixel bytes: found 16777216, expected 4294967296"},
	} {
		folder := tree(t, map[string][]byte{"mnist.npz": c.file})
		before := allocatedBytes()
		f, err := openNPZ(filepath.Join(folder, "mnist.npz"), Options{})
		if err == nil {
			_, err = f.train.pixels(func(int, int) {})
		}
		if found := allocatedBytes() - before; found > c.most {
			t.Errorf("%s: found %d bytes allocated, expected at most %d", name, found, c.most)
		}
		if found := describeForm(form{}, err, folder); found != c.want {
			t.Errorf("%s:\n   found %s\nexpected %s", name, found, c.want)
		}
	}
}

// allocatedBytes is what this process allocated since it began.
func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func FuzzOpenNPZ(f *testing.F) {
	for version := 1; version <= 3; version++ {
		file, err := os.ReadFile(fmt.Sprintf("testdata/numpy-v%d.npz", version))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file, true)
		f.Add(file[:len(file)/2], true)
	}
	for _, labels := range [][]byte{
		npyOf("|u1", "(2,)", 1, 0), npyOf("|O", "(2,)", 1, 0), npyOf("<i8", "(2, 1)", make([]byte, 16)...), npyOf("<f4", "(2, 10)"),
		npyFile(1, "{'descr': '>u2', 'fortran_order': False, 'shape': (2,)}", 0, 1, 0, 2), npyFile(3, "{'descr': [('a', '<i4')]}"),
		npyFile(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 1, 1, 3), }   \n", 1, 2, 3, 4, 5, 6),
	} {
		f.Add(labels, false)
	}
	file := filepath.Join(f.TempDir(), "fuzz.npz")
	// Few changes of a zip file get past its checksums, so an array may be fuzzed alone.
	f.Fuzz(func(t *testing.T, content []byte, archive bool) {
		if !archive {
			one := npyOf("|u1", "(1,)", 0)
			content = npzFile(zip.Store, npzMember{"x_train.npy", content}, npzMember{"y_train.npy", one},
				npzMember{"x_test.npy", npyOf("|u1", "(1, 1, 1)", 0)}, npzMember{"y_test.npy", content})
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		before := allocatedBytes()
		opened, err := openNPZ(file, Options{})
		checkFuzzedForm(t, opened, err, file, before, 4<<20+3000*uint64(len(content)))
	})
}

// checkFuzzedForm checks that a file gave an error that names it, or else sound parts, and
// that it took no more memory than that since before.
func checkFuzzedForm(t *testing.T, f form, err error, file string, before, most uint64) {
	t.Helper()
	if err != nil {
		if !strings.HasPrefix(err.Error(), file+": ") {
			t.Errorf("found error %q, expected the name of the file first", err)
		}
	} else {
		for _, p := range []part{f.train, f.test} {
			if p.count == 0 {
				continue
			}
			pixels, err := p.pixels(func(int, int) {})
			switch {
			case err != nil && !strings.HasPrefix(err.Error(), file+": "):
				t.Errorf("found error %q, expected the name of the file first", err)
			case err == nil && (len(p.labels) != p.count || len(pixels) != p.count*p.rows*p.columns):
				t.Errorf("found %d labels and %d pixels, expected those of %d images of %dx%d",
					len(p.labels), len(pixels), p.count, p.rows, p.columns)
			}
		}
	}
	if found := allocatedBytes() - before; found > most {
		t.Errorf("found %d bytes allocated, expected at most %d", found, most)
	}
}

func BenchmarkOpenNPZ(b *testing.B) {
	d, err := Read(MNIST, Options{})
	if err != nil {
		b.Fatal(err)
	}
	file := mnistNPZ(b, d)
	b.Run("built-in", func(b *testing.B) {
		for b.Loop() {
			if _, err := Read(MNIST, Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("npz", func(b *testing.B) {
		for b.Loop() {
			f, err := openNPZ(file, Options{})
			if err != nil {
				b.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := f.test.pixels(func(int, int) {})
				done <- err
			}()
			if _, err := f.train.pixels(func(int, int) {}); err != nil {
				b.Fatal(err)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	})
}
