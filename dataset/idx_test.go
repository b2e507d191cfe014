package dataset_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime/metrics"
	"strings"
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

func TestReadImagesRoundTrip(t *testing.T) {
	for _, shape := range [][3]int{{7, 3, 5}, {1, 1, 1}, {2, 28, 28}, {300, 31, 29}} {
		count, rows, columns := shape[0], shape[1], shape[2]
		want := pattern(count * rows * columns)
		file := imagesFile(count, rows, columns, want)
		for kind, stored := range map[string][]byte{"plain": file, "gz": pack(file)} {
			for pace, r := range map[string]io.Reader{
				"at once":        bytes.NewReader(stored),
				"byte by byte":   iotest.OneByteReader(bytes.NewReader(stored)),
				"end with bytes": iotest.DataErrReader(bytes.NewReader(stored)),
			} {
				pixels, gotCount, gotRows, gotColumns, err := dataset.ReadImages(r, kind)
				if err != nil {
					t.Errorf("%v, %s, %s: %v", shape, kind, pace, err)
				}
				if got := [3]int{gotCount, gotRows, gotColumns}; got != shape || !bytes.Equal(pixels, want) {
					t.Errorf("%v, %s, %s: found %v and %d pixels", shape, kind, pace, got, len(pixels))
				}
			}
		}
	}
}

func TestReadLabelsRoundTrip(t *testing.T) {
	for _, count := range []int{1, 7, 70_001} {
		want := pattern(count)
		for kind, stored := range map[string][]byte{"plain": labelsFile(want...), "gz": pack(labelsFile(want...))} {
			labels, err := dataset.ReadLabels(bytes.NewReader(stored), kind)
			if err != nil || !bytes.Equal(labels, want) {
				t.Errorf("%d, %s: found %d labels, error %v", count, kind, len(labels), err)
			}
		}
	}
}

func TestReadImagesRefuses(t *testing.T) {
	good := imagesFile(7, 3, 5, pattern(105))
	dimensions := func(count, rows, columns uint32) []byte {
		return encode(0x803, []uint32{count, rows, columns}, []byte("body"))
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":                   {nil, "header bytes: found 0, expected 16"},
		"cut in the magic number": {good[:3], "header bytes: found 3, expected 16"},
		"cut after the header":    {good[:16], "pixel bytes: found 0, expected 105"},
		"cut in the body":         {good[:120], "pixel bytes: found 104, expected 105"},
		"one byte more":           {join(good, []byte{0}), "bytes after the pixels: found at least 1, expected 0"},

		"bit of the type":       {flip(good, 2, 0x01), "magic number: found 0x00000903, expected 0x00000803 (unsigned bytes, 3 dimensions)"},
		"bit of the dimensions": {flip(good, 3, 0x02), "magic number: found 0x00000801, expected 0x00000803 (unsigned bytes, 3 dimensions)"},
		"labels":                {labelsFile(1, 2, 3), "magic number: found 0x00000801, expected 0x00000803 (unsigned bytes, 3 dimensions)"},
		"HTML": {
			[]byte(page),
			"magic number: found 0x3c21444f, expected 0x00000803 (unsigned bytes, 3 dimensions): this looks like an HTML page, not IDX data",
		},
		"HTML after blanks": {
			[]byte("\ufeff\r\n <html>" + page),
			"magic number: found 0xefbbbf0d, expected 0x00000803 (unsigned bytes, 3 dimensions): this looks like an HTML page, not IDX data",
		},
		"HTML packed": {
			pack([]byte(page)),
			"magic number: found 0x3c21444f, expected 0x00000803 (unsigned bytes, 3 dimensions): this looks like an HTML page, not IDX data",
		},
		"HTML, a bit of it": {[]byte("<ht"), "header bytes: found 3, expected 16: this looks like an HTML page, not IDX data"},

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
		"the most, undelivered": {dimensions(256, 4096, 4096), "pixel bytes: found 4, expected 4294967296"},

		"gz, only its magic":    {pack(good)[:2], "decompress: unexpected EOF"},
		"gz, unknown method":    {flip(pack(good), 2, 0x01), "decompress: gzip: invalid header"},
		"gz, cut in the header": {pack(nil)[:12], "header bytes: found 0, expected 16: decompress: unexpected EOF"},
		"gz, cut in the body": {
			packStored(imagesFile(1, 300, 300, pattern(90_000)))[:80_000],
			"pixel bytes: found 79964, expected 90000: decompress: unexpected EOF",
		},
		"gz, cut in the checksum": {pack(good)[:len(pack(good))-5], "decompress: unexpected EOF"},
		"gz, bit of the checksum": {flip(pack(good), -8, 0x10), "decompress: gzip: invalid checksum"},
		"gz, bit of the data":     {flip(packStored(good), 40, 0x10), "decompress: gzip: invalid checksum"},
		"gz and a byte":           {join(pack(good), []byte{0}), "bytes after the gzip member: found at least 1, expected 0"},
		"gz and an empty gz":      {join(pack(good), pack(nil)), "bytes after the gzip member: found at least 1, expected 0"},
		"gz in two members":       {join(pack(good[:50]), pack(good[50:])), "pixel bytes: found 34, expected 105"},
		"gz of a gz":              {pack(pack(good)), "magic number: found 0x1f8b0800, expected 0x00000803 (unsigned bytes, 3 dimensions)"},
	} {
		t.Run(name, func(t *testing.T) {
			pixels, count, rows, columns, err := dataset.ReadImages(bytes.NewReader(c.file), "train-images-idx3-ubyte")
			if pixels != nil || count != 0 || rows != 0 || columns != 0 {
				t.Errorf("found %d pixels of %d images of %dx%d beside the error", len(pixels), count, rows, columns)
			}
			checkError(t, err, "train-images-idx3-ubyte: "+c.want)
		})
	}
}

// Labels are read as images are; this is what differs.
func TestReadLabelsRefuses(t *testing.T) {
	good := labelsFile(5, 0, 4, 1)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"cut in the header": {good[:7], "header bytes: found 7, expected 8"},
		"cut in the body":   {good[:11], "label bytes: found 3, expected 4"},
		"one byte more":     {join(good, []byte{0}), "bytes after the labels: found at least 1, expected 0"},
		"images": {
			imagesFile(1, 1, 1, []byte{0}),
			"magic number: found 0x00000803, expected 0x00000801 (unsigned bytes, 1 dimension)",
		},
		"no labels":               {labelsFile(), "labels: found 0, expected 1 to 2000000"},
		"too many labels":         {encode(0x801, []uint32{2_000_001}, nil), "labels: found 2000001, expected 1 to 2000000"},
		"gz, bit of the checksum": {flip(pack(good), -8, 0x01), "decompress: gzip: invalid checksum"},
	} {
		labels, err := dataset.ReadLabels(bytes.NewReader(c.file), name)
		if labels != nil {
			t.Errorf("%s: found labels %v beside the error", name, labels)
		}
		checkError(t, err, name+": "+c.want)
	}
}

func TestReadErrorOfTheDisk(t *testing.T) {
	broken := errors.New("read error")
	good := imagesFile(7, 3, 5, pattern(105))
	for name, c := range map[string]struct {
		delivered []byte
		want      string
	}{
		"at once":       {nil, "a: header bytes: found 0, expected 16: read error"},
		"in the header": {good[:9], "a: header bytes: found 9, expected 16: read error"},
		"in the body":   {good[:19], "a: pixel bytes: found 3, expected 105: read error"},
		"at the end":    {good, "a: read error"},
		"after the gz":  {pack(good), "a: read error"},
	} {
		t.Run(name, func(t *testing.T) {
			r := io.MultiReader(bytes.NewReader(c.delivered), iotest.ErrReader(broken))
			_, _, _, _, err := dataset.ReadImages(r, "a")
			checkError(t, err, c.want)
			if !errors.Is(err, broken) {
				t.Errorf("the error does not wrap its cause")
			}
		})
	}
}

func TestMemoryFollowsTheBytesDelivered(t *testing.T) {
	huge := imagesFile(256, 4096, 4096, nil) // 4 GiB in a header of 16 bytes
	for kind, stored := range map[string][]byte{"plain": huge, "gz": pack(huge)} {
		before := allocated()
		_, _, _, _, err := dataset.ReadImages(bytes.NewReader(stored), kind)
		checkError(t, err, kind+": pixel bytes: found 0, expected 4294967296")
		if bytes := allocated() - before; bytes > 1<<20 {
			t.Errorf("%s: found %d bytes allocated, expected at most 1 MiB", kind, bytes)
		}
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
		before := allocated()
		pixels, count, rows, columns, err := dataset.ReadImages(bytes.NewReader(file), "fuzz")
		checkFuzzed(t, file, allocated()-before, err, imagesFile(count, rows, columns, pixels))
		if err != nil {
			return
		}
		if len(pixels) != count*rows*columns || count < 1 || count > dataset.MaxImages ||
			min(rows, columns) < 1 || max(rows, columns) > dataset.MaxSide {
			t.Errorf("found %d pixels of %d images of %dx%d", len(pixels), count, rows, columns)
		}
	})
}

func FuzzReadLabels(f *testing.F) {
	seed(f, "t10k-labels-idx1-ubyte.gz", labelsFile(5, 0, 4, 1), encode(0x801, []uint32{dataset.MaxImages}, nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		before := allocated()
		labels, err := dataset.ReadLabels(bytes.NewReader(file), "fuzz")
		checkFuzzed(t, file, allocated()-before, err, labelsFile(labels...))
		if err == nil && (len(labels) < 1 || len(labels) > dataset.MaxImages) {
			t.Errorf("found %d labels", len(labels))
		}
	})
}

// seed adds the files and the start of an embedded one, all plain and packed,
// with damage of the kinds that downloads suffer.
func seed(f *testing.F, embedded string, files ...[]byte) {
	stored, err := os.ReadFile("mnist/" + embedded)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored[:1000])
	if unpacked, err := unpack(stored, 1000); err == nil {
		files = append(files, unpacked)
	}
	f.Add([]byte(page))
	for _, file := range files {
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

// unpack inflates the first gzip member of file, as far as it is sound and up
// to limit bytes. It reports an error if file is not gzip or has more members.
func unpack(file []byte, limit int64) ([]byte, error) {
	rest := bytes.NewReader(file)
	r, err := gzip.NewReader(rest)
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	data, err := io.ReadAll(io.LimitReader(r, limit))
	if err == nil && int64(len(data)) < limit && rest.Len() > 0 {
		err = errors.New("more than one member")
	}
	return data, err
}

// checkFuzzed holds the result of reading file against what any file must
// give: memory within a small multiple of its content, an error that names it,
// or else exactly the bytes that it was made of.
func checkFuzzed(t *testing.T, file []byte, allocated uint64, err error, encoded []byte) {
	content, unpackErr := file, error(nil)
	if bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
		const limit = 64 << 20
		content, unpackErr = unpack(file, limit)
		if len(content) == limit {
			t.Skip("inflates to more than is worth comparing")
		}
	}
	// 2 MiB are for the buffers and tables of both readers and for the fuzzer itself.
	if limit := uint64(2<<20 + 5*max(len(content), len(file))); allocated > limit {
		t.Errorf("found %d bytes allocated for a content of %d, expected at most %d", allocated, len(content), limit)
	}
	if err != nil {
		if !strings.HasPrefix(err.Error(), "fuzz: ") {
			t.Errorf("found error %q, expected the name of the file first", err)
		}
		return
	}
	if unpackErr != nil {
		t.Fatalf("accepted a file whose gzip data is damaged: %v", unpackErr)
	}
	if !bytes.Equal(encoded, content) {
		t.Errorf("found %d bytes when encoded again, expected the same %d", len(encoded), len(content))
	}
}
