package dataset_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"epochal/dataset"

	"github.com/google/go-cmp/cmp"
)

// encode writes an IDX file: the magic number, the dimensions, the values.
func encode(magic uint32, dimensions []uint32, values []byte) []byte {
	file := binary.BigEndian.AppendUint32(nil, magic)
	for _, dimension := range dimensions {
		file = binary.BigEndian.AppendUint32(file, dimension)
	}
	return append(file, values...)
}

func imagesFile(count, rows, columns int, pixels []byte) []byte {
	return encode(0x803, []uint32{uint32(count), uint32(rows), uint32(columns)}, pixels)
}

func labelsFile(labels ...byte) []byte {
	return encode(0x801, []uint32{uint32(len(labels))}, labels)
}

// pattern returns n bytes that do not repeat within a row or an image.
func pattern(n int) []byte {
	values := make([]byte, n)
	for i := range values {
		values[i] = byte(i*37 + i/251)
	}
	return values
}

func pack(file []byte) []byte { return packAt(gzip.DefaultCompression, file) }

// packStored packs without compressing, so that the place of each byte of file is known.
func packStored(file []byte) []byte { return packAt(gzip.NoCompression, file) }

func packAt(level int, file []byte) []byte {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, level)
	if err != nil {
		panic(err)
	}
	w.Write(file)
	w.Close()
	return packed.Bytes()
}

// flip returns file with one bit changed, counted from the end if at is negative.
func flip(file []byte, at int, bit byte) []byte {
	file = bytes.Clone(file)
	if at < 0 {
		at += len(file)
	}
	file[at] ^= bit
	return file
}

func join(files ...[]byte) []byte { return bytes.Join(files, nil) }

const page = "<!DOCTYPE html><html><body>Sign in to download</body></html>"

// shaped is a sound set with that many train images and one test image.
func shaped(count, rows, columns int) map[string][]byte {
	return map[string][]byte{
		trainImages: imagesFile(count, rows, columns, pattern(count*rows*columns)),
		trainLabels: labelsFile(pattern(count)...),
		testImages:  imagesFile(1, rows, columns, pattern(rows*columns)),
		testLabels:  labelsFile(0),
	}
}

// paced is a file system whose files are read through a reader of the test's. It
// counts those that are open.
type paced struct {
	fs.FS
	reader func(name string, file io.Reader) io.Reader
	open   atomic.Int32
}

type pacedFile struct {
	fs.File
	reader io.Reader
	fsys   *paced
}

func (p *paced) Open(name string) (fs.File, error) {
	file, err := p.FS.Open(name)
	if err != nil || name == "." {
		return file, err
	}
	p.open.Add(1)
	return pacedFile{file, p.reader(name, file), p}, nil
}

func (f pacedFile) Read(p []byte) (int, error) { return f.reader.Read(p) }

func (f pacedFile) Close() error {
	f.fsys.open.Add(-1)
	return f.File.Close()
}

func TestLoadRoundTrip(t *testing.T) {
	for _, shape := range [][3]int{{7, 3, 5}, {1, 1, 1}, {2, 28, 28}, {300, 31, 29}, {70_001, 1, 1}} {
		for kind, stored := range map[string]func([]byte) []byte{"plain": bytes.Clone, "gz": pack} {
			files := shaped(shape[0], shape[1], shape[2])
			for name, file := range files {
				files[name] = stored(file)
			}
			for pace, reader := range map[string]func(io.Reader) io.Reader{
				"at once":        func(r io.Reader) io.Reader { return r },
				"byte by byte":   iotest.OneByteReader,
				"end with bytes": iotest.DataErrReader,
			} {
				d, err := read(&paced{FS: folder(files), reader: func(_ string, r io.Reader) io.Reader { return reader(r) }}, "set")
				if err != nil {
					t.Fatalf("%v, %s, %s: %v", shape, kind, pace, err)
				}
				pixels, labels := pattern(shape[0]*shape[1]*shape[2]), pattern(shape[0])
				if [3]int{d.Train.Len(), d.Train.Rows, d.Train.Columns} != shape ||
					!bytes.Equal(d.Train.Pixels, pixels) || !bytes.Equal(d.Train.Labels, labels) {
					t.Errorf("%v, %s, %s: found %d labels and %d pixels", shape, kind, pace, d.Train.Len(), len(d.Train.Pixels))
				}
			}
		}
	}
}

func TestLoadRefusesAFile(t *testing.T) {
	good, labels := imagesFile(7, 3, 5, pattern(105)), small()[trainLabels]
	dimensions := func(count, rows, columns uint32) []byte {
		return encode(0x803, []uint32{count, rows, columns}, []byte("body"))
	}
	magic := func(found string) string {
		return "magic number: found " + found + ", expected 0x00000803 (unsigned bytes, 3 dimensions)"
	}
	const html = "is an HTML page: download it again, from the link to the file itself"
	type file struct {
		content []byte
		want    string
	}
	for part, files := range map[string]map[string]file{trainImages: {
		"empty":                   {[]byte{}, "is empty"},
		"cut in the magic number": {good[:3], "header bytes: found 3, expected 16"},
		"cut after the header":    {good[:16], "pixel bytes: found 0, expected 105"},
		"cut in the body":         {good[:120], "pixel bytes: found 104, expected 105"},
		"one byte more":           {join(good, []byte{0}), "bytes after the pixels: found at least 1, expected 0"},

		"bit of the type":   {flip(good, 2, 0x01), magic("0x00000903")},
		"HTML":              {[]byte(page), html},
		"HTML after blanks": {[]byte("\ufeff\r\n <html>" + page), html},
		"HTML packed":       {pack([]byte(page)), html},
		"HTML, a bit of it": {[]byte("<ht"), html},

		"no images":       {dimensions(0, 3, 5), "images: found 0, expected 1 to 2000000"},
		"too many images": {dimensions(2_000_001, 3, 5), "images: found 2000001, expected 1 to 2000000"},
		"too many rows":   {dimensions(7, 4097, 5), "rows: found 4097, expected 1 to 4096"},
		"no columns":      {dimensions(7, 3, 0), "columns: found 0, expected 1 to 4096"},
		"too many pixels": {
			dimensions(2_000_000, 4096, 4096),
			"pixels: found 2000000 images of 4096x4096, 33554432000000 bytes, expected at most 4294967296",
		},
		"one image too many": {
			dimensions(257, 4096, 4096),
			"pixels: found 257 images of 4096x4096, 4311744512 bytes, expected at most 4294967296",
		},

		"gz, only its magic":      {pack(good)[:2], "decompress: unexpected EOF"},
		"gz, unknown method":      {flip(pack(good), 2, 0x01), "decompress: gzip: invalid header"},
		"gz, cut in the header":   {pack(nil)[:12], "header bytes: found 0, expected 16: decompress: unexpected EOF"},
		"gz, cut in the body":     {packStored(good)[:100], "pixel bytes: found 69, expected 105: decompress: unexpected EOF"},
		"gz, cut in the checksum": {pack(good)[:len(pack(good))-5], "decompress: unexpected EOF"},
		"gz, bit of the checksum": {flip(pack(good), -8, 0x10), "decompress: gzip: invalid checksum"},
		"gz, bit of the data":     {flip(packStored(good), 40, 0x10), "decompress: gzip: invalid checksum"},
		"gz and a byte":           {join(pack(good), []byte{0}), "bytes after the gzip member: found at least 1, expected 0"},
		"gz and an empty gz":      {join(pack(good), pack(nil)), "bytes after the gzip member: found at least 1, expected 0"},
		"gz in two members":       {join(pack(good[:50]), pack(good[50:])), "pixel bytes: found 34, expected 105"},
		"gz of a gz":              {pack(pack(good)), "is gzip inside gzip: unpack it once"},
	}, trainLabels: {
		"cut in the header":   {labels[:7], "header bytes: found 7, expected 8"},
		"cut in the body":     {labels[:14], "label bytes: found 6, expected 7"},
		"one byte more":       {join(labels, []byte{0}), "bytes after the labels: found at least 1, expected 0"},
		"no labels":           {labelsFile(), "labels: found 0, expected 1 to 2000000"},
		"too many labels":     {encode(0x801, []uint32{2_000_001}, nil), "labels: found 2000001, expected 1 to 2000000"},
		"bit of the checksum": {flip(pack(labels), -8, 0x01), "decompress: gzip: invalid checksum"},
	}} {
		for name, c := range files {
			t.Run(part+" "+name, func(t *testing.T) {
				d, err := read(folder(with(small(), map[string][]byte{part: c.content})), "small")
				if d != nil {
					t.Errorf("found a dataset beside the error")
				}
				checkError(t, err, "small/"+part+": "+c.want)
			})
		}
	}
}

func TestLoadErrorOfTheDisk(t *testing.T) {
	broken := errors.New("read error")
	good := small()[trainImages]
	for name, c := range map[string]struct {
		delivered []byte
		want      string
	}{
		"at once":       {nil, "header bytes: found 0, expected 16: read error"},
		"in the header": {good[:9], "header bytes: found 9, expected 16: read error"},
		"in the body":   {good[:19], "pixel bytes: found 3, expected 105: read error"},
		"at the end":    {good, "read error"},
		"after the gz":  {pack(good), "read error"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(&paced{FS: folder(small()), reader: func(name string, r io.Reader) io.Reader {
				if name == trainImages {
					r = io.MultiReader(bytes.NewReader(c.delivered), iotest.ErrReader(broken))
				}
				return r
			}}, "small")
			checkError(t, err, "small/"+trainImages+": "+c.want)
			if !errors.Is(err, broken) {
				t.Errorf("the error does not wrap its cause")
			}
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("found no error, expected %q", want)
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("error (-expected +found):\n%s", diff)
	}
}

// allocated returns the bytes that this process allocated since it began.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func FuzzReadImages(f *testing.F) {
	seed(f, "t10k-images-idx3-ubyte.gz", imagesFile(7, 3, 5, pattern(105)), imagesFile(256, 4096, 4096, nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		content, damage := inflated(t, file)
		count, rows, columns := claim(content, 4, dataset.MaxImages), claim(content, 8, 1000), claim(content, 12, 1000)
		checkFuzzed(t, content, damage, map[string][]byte{
			trainImages: file,
			trainLabels: labelsFile(make([]byte, count)...),
			testImages:  imagesFile(1, rows, columns, make([]byte, rows*columns)),
			testLabels:  labelsFile(0),
		}, func(s dataset.Set) []byte { return imagesFile(s.Len(), s.Rows, s.Columns, s.Pixels) })
	})
}

func FuzzReadLabels(f *testing.F) {
	seed(f, "t10k-labels-idx1-ubyte.gz", labelsFile(5, 0, 4, 1), encode(0x801, []uint32{dataset.MaxImages}, nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		content, damage := inflated(t, file)
		count := claim(content, 4, dataset.MaxImages)
		checkFuzzed(t, content, damage, map[string][]byte{
			trainImages: imagesFile(count, 1, 1, make([]byte, count)),
			trainLabels: file,
			testImages:  imagesFile(1, 1, 1, []byte{0}),
			testLabels:  labelsFile(0),
		}, func(s dataset.Set) []byte { return labelsFile(s.Labels...) })
	})
}

// claim is the dimension that a file has at a place of its header, cut to 1 to most.
func claim(content []byte, at int, most uint32) int {
	if len(content) < at+4 {
		return 1
	}
	return int(min(max(1, binary.BigEndian.Uint32(content[at:])), most))
}

// seed adds the files and the start of an embedded one, all plain and packed,
// with damage of the kinds that downloads suffer.
func seed(f *testing.F, embedded string, files ...[]byte) {
	stored, err := os.ReadFile("mnist/" + embedded)
	if err != nil {
		f.Fatal(err)
	}
	content, err := inflated(f, stored)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored[:1000])
	f.Add([]byte(page))
	for _, file := range append(files, content[:1000]) {
		packed := pack(file)
		f.Add(file)
		f.Add(packed)
		f.Add(file[:len(file)-1])
		f.Add(packed[:len(packed)-1])
		f.Add(join(file, []byte{0}))
		f.Add(join(packed, packed))
		f.Add(flip(packed, -8, 1))
	}
}

// inflated is what a file holds, of gzip data as far as it is sound. The damage is
// that of gzip data, and more than one member is damage as well.
func inflated(t testing.TB, file []byte) (content []byte, damage error) {
	if !bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
		return file, nil
	}
	rest := bytes.NewReader(file)
	r, err := gzip.NewReader(rest)
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	const limit = 64 << 20
	content, err = io.ReadAll(io.LimitReader(r, limit))
	if len(content) == limit {
		t.Skip("inflates to more than is worth comparing")
	}
	if err == nil && rest.Len() > 0 {
		err = errors.New("more than one member")
	}
	return content, err
}

// checkFuzzed reads a set one file of which has the content, and whose others fit
// that one's header. It must take memory within a small multiple of them all, and
// give an error that names a file, or else exactly the bytes that the set was made of.
func checkFuzzed(t *testing.T, content []byte, damage error, files map[string][]byte, encode func(train dataset.Set) []byte) {
	most := uint64(2<<20 + 9*len(content)) // 2 MiB are for the buffers of the readers and for the fuzzer itself
	for _, file := range files {
		most += 9 * uint64(len(file))
	}
	before := allocated()
	d, err := read(folder(files), "fuzz")
	if found := allocated() - before; found > most {
		t.Errorf("found %d bytes allocated, expected at most %d", found, most)
	}
	if err != nil {
		if !strings.HasPrefix(err.Error(), "fuzz/train-") && !strings.HasPrefix(err.Error(), "fuzz/t10k-") {
			t.Errorf("found error %q, expected the name of the file first", err)
		}
		return
	}
	if damage != nil {
		t.Fatalf("accepted a file whose gzip data is damaged: %v", damage)
	}
	if encoded := encode(d.Train); !bytes.Equal(encoded, content) {
		t.Errorf("found %d bytes when encoded again, expected the same %d", len(encoded), len(content))
	}
}
