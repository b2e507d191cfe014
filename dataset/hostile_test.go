package dataset_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"epochal/dataset"
)

// bomb is a gzip file of start and that many zeros: about a thousandth of them.
func bomb(start []byte, zeros int) []byte {
	return packAt(gzip.BestSpeed, join(start, make([]byte, zeros)))
}

// Of a bomb no more is inflated than its header declares, and of what it declares
// no more is allocated than a small multiple of what comes.
func TestBombs(t *testing.T) {
	const size = 16 << 20
	header := imagesFile(256, 4096, 4096, nil) // 4 GiB
	largest := func(file []byte) map[string][]byte {
		return map[string][]byte{
			trainImages: file, trainLabels: labelsFile(make([]byte, 256)...), testImages: imagesFile(1, 4096, 4096, nil), testLabels: labelsFile(0),
		}
	}
	const rest = "\nset/" + testImages + ": pixel bytes: found 0, expected 16777216"
	const nothing = "set/" + trainImages + ": pixel bytes: found 0, expected 4294967296" + rest
	labels := func(file []byte) map[string][]byte { return with(small(), map[string][]byte{trainLabels: file}) }
	for _, c := range []struct {
		name  string
		files map[string][]byte
		most  uint64 // bytes
		want  string
	}{
		{"after the labels", labels(bomb(labelsFile(1, 2, 3), size)), 1 << 20,
			"set/" + trainLabels + ": bytes after the labels: found at least 1, expected 0"},
		{"after the pixels", with(shaped(1, 1, 1), map[string][]byte{trainImages: bomb(imagesFile(1, 1, 1, []byte{7}), size)}), 1 << 20,
			"set/" + trainImages + ": bytes after the pixels: found at least 1, expected 0"},
		{"in place of the header", with(small(), map[string][]byte{trainImages: bomb(nil, size)}), 1 << 20,
			"set/" + trainImages + ": magic number: found 0x00000000, expected 0x00000803 (unsigned bytes, 3 dimensions)"},
		{"nothing of the largest", largest(header), 1 << 20, nothing},
		{"nothing of the largest, packed", largest(pack(header)), 1 << 20, nothing},
		{"fewer than the largest", largest(bomb(header, size)), 4*size + 1<<20,
			"set/" + trainImages + ": pixel bytes: found 16777216, expected 4294967296" + rest},
		{"as many labels as there may be", labels(bomb([]byte{0, 0, 8, 1, 0, 0x1e, 0x84, 0x80}, size)), 3*dataset.MaxImages + 1<<20,
			"set/" + trainLabels + ": bytes after the labels: found at least 1, expected 0"},
		{"a bomb of bombs", labels(pack(bomb(nil, size))), 1 << 20,
			"set/" + trainLabels + ": is gzip inside gzip: unpack it once"},
		// The name of the packed file, in its header, without end.
		{"an endless name", labels(append([]byte{0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0xff}, bytes.Repeat([]byte("x"), 8<<20)...)), 1 << 20,
			"set/" + trainLabels + ": decompress: gzip: invalid header"},
		// Empty members: a reader that continues with the next one does not end soon.
		{"empty members", labels(bytes.Repeat(pack(nil), 100_000)), 1 << 20, "set/" + trainLabels + ": is empty"},
		// Deflate's empty blocks, each of 5 bytes.
		{"empty blocks",
			labels(append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}, bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 1<<20)...)), 1 << 20,
			"set/" + trainLabels + ": header bytes: found 0, expected 8: decompress: unexpected EOF"},
	} {
		before := allocated()
		_, err := read(folder(c.files), "set")
		if found := allocated() - before; found > c.most {
			t.Errorf("%s: found %d bytes allocated, expected at most %d", c.name, found, c.most)
		}
		checkError(t, err, c.want)
	}
}

// Opening a pipe would wait for whoever writes to it.
func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	for want, make := range map[string]func(string) error{
		"found a pipe, expected a file":                     func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"found a device, expected a file":                   func(path string) error { return os.Symlink("/dev/zero", path) },
		"found a folder, expected a file":                   func(path string) error { return os.Symlink(".", path) },
		"found a symbolic link to none, which is not there": func(path string) error { return os.Symlink("none", path) },
	} {
		for _, part := range []string{trainImages, testLabels} {
			path := t.TempDir()
			if err := os.CopyFS(path, folder(with(small(), map[string][]byte{part: nil}))); err != nil {
				t.Fatal(err)
			}
			if err := make(filepath.Join(path, part)); err != nil {
				t.Skip(err)
			}
			_, err := read(os.DirFS(path), "small")
			checkError(t, err, "small/"+part+": "+want)
		}
	}
	_, err := read(os.DirFS("/none"), "small")
	checkError(t, err, "small: no such file or directory")
}
