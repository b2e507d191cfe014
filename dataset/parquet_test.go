package dataset

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
)

// parquetImage and parquetRow are a row as Hugging Face's library writes it.
type parquetImage struct {
	Bytes []byte  `parquet:"bytes,optional,plain"`
	Path  *string `parquet:"path,optional"`
}

type parquetRow struct {
	Image *parquetImage `parquet:"image,optional"`
	Label *int64        `parquet:"label,optional"`
}

// parquetRows are rows with these labels, and images of one pixel, whose value is their number.
func parquetRows(labels ...int64) (rows []parquetRow) {
	for i, label := range labels {
		rows = append(rows, parquetRow{&parquetImage{Bytes: greyPNG(1, 1, byte(i))}, &label})
	}
	return rows
}

// writeParquet writes rows as a file, in groups of at most two rows.
func writeParquet[Row any](t testing.TB, rows []Row, options ...parquet.WriterOption) []byte {
	t.Helper()
	var file bytes.Buffer
	w := parquet.NewGenericWriter[Row](&file, append(options, parquet.MaxRowsPerRowGroup(2))...)
	_, err := w.Write(rows)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// saveAs writes a file to a folder of its own.
func saveAs(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Python's own libraries wrote these files: see testdata/README.md.
func TestParquetOfPython(t *testing.T) {
	for name, want := range map[string]read{
		"testdata/huggingface.parquet": {ClassNames: []string{"cat", "dog", "owl"}, Train: []byte{0, 10, 20, 30, 40, 50}},
		"testdata/pyarrow.parquet":     {Train: []byte{0, 10, 20, 30, 40, 0}},
	} {
		want.Kind, want.Rows, want.Columns, want.TrainLabels = "Parquet files", 2, 3, []byte{2, 0, 1, 1, 0, 2}
		checkRead(t, name, want)(openParquet([]string{name}, nil, Options{}))
	}
}

func TestParquet(t *testing.T) {
	type flat struct {
		Image []byte `parquet:"image,plain"`
		Label int32  `parquet:"label"`
	}
	type dictionaries struct {
		Img       []byte `parquet:"img,dict"`
		FineLabel int64  `parquet:"fine_label,dict"`
		Coarse    int64  `parquet:"coarse_label"`
	}
	one, two, three := greyPNG(1, 1, 0), greyPNG(1, 1, 1), greyPNG(1, 1, 2)
	named := func(names string) parquet.WriterOption {
		return parquet.KeyValueMetadata("huggingface", `{"info":{"features":{"image":{"_type":"Image"},"label":{"names":`+names+`}}}}`)
	}
	rows := parquetRows(4, 0, 1)
	plain := read{Kind: "Parquet files", Rows: 1, Columns: 1, Train: []byte{0, 1, 2}, TrainLabels: []byte{4, 0, 1}}
	with := func(change func(*read)) read { r := plain; change(&r); return r }
	for name, c := range map[string]struct {
		file []byte
		want read
	}{
		"plain":          {writeParquet(t, rows), plain},
		"Snappy":         {writeParquet(t, rows, parquet.Compression(&parquet.Snappy)), plain},
		"gzip":           {writeParquet(t, rows, parquet.Compression(&parquet.Gzip)), plain},
		"Zstandard":      {writeParquet(t, rows, parquet.Compression(&parquet.Zstd)), plain},
		"version 1":      {writeParquet(t, rows, parquet.DataPageVersion(1), parquet.Compression(&parquet.Snappy)), plain},
		"pages of a row": {writeParquet(t, rows, parquet.PageBufferSize(1)), plain},
		"not optional":   {writeParquet(t, []flat{{one, 4}, {two, 0}, {three, 1}}), plain},
		"dictionaries":   {writeParquet(t, []dictionaries{{one, 4, 9}, {two, 0, 9}, {three, 1, 9}}), plain},
		"names": {writeParquet(t, rows, named(`["a","b","c","d","e"]`)), with(func(r *read) {
			r.ClassNames = []string{"a", "b", "c", "d", "e"}
		})},
		"digits as names":        {writeParquet(t, rows, named(`["0","1","2","3","4"]`)), plain},
		"names that are no list": {writeParquet(t, rows, named(`7`)), plain},
		"too few names": {writeParquet(t, rows, named(`["a","b","c","d"]`)), with(func(r *read) {
			r.Warnings = []string{"X: names of classes: found 4, expected at least 5 for the labels: left out"}
		})},
	} {
		t.Run(name, func(t *testing.T) {
			path := saveAs(t, "train.parquet", c.file)
			checkRead(t, path, c.want)(openParquet([]string{path}, nil, Options{}))
		})
	}
}

// Shards follow each other, and the test set has its own.
func TestParquetShards(t *testing.T) {
	folder := t.TempDir()
	var names []string
	for i, labels := range [][]int64{{3, 1, 2}, {0}, {5, 5}, {1}} {
		names = append(names, filepath.Join(folder, fmt.Sprintf("%d.parquet", i)))
		if err := os.WriteFile(names[i], writeParquet(t, parquetRows(labels...)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	checkRead(t, folder, read{
		Kind: "Parquet files", Rows: 1, Columns: 1,
		Train: []byte{0, 1, 2, 0, 0, 1}, TrainLabels: []byte{3, 1, 2, 0, 5, 5}, Test: []byte{0}, TestLabels: []byte{1},
	})(openParquet(names[:3], names[3:], Options{}))
}

func TestParquetRefuses(t *testing.T) {
	const none = "found no Parquet file, or not all of it: expected PAR1 at its end"
	type words struct {
		Image string `parquet:"image"`
		Label string `parquet:"label"`
	}
	type lists struct {
		Image [][]byte `parquet:"image"`
		Label int64    `parquet:"label"`
	}
	good := writeParquet(t, parquetRows(1, 2, 3))
	// A footer of nothing but truth values, each of which would take far more memory.
	truths := bytes.Repeat([]byte{0x11}, 5<<20)
	truths = append(fmt.Appendf(nil, "PAR1%s", truths), byte(len(truths)), byte(len(truths)>>8), byte(len(truths)>>16), 0, 'P', 'A', 'R', '1')
	flipped, err := os.ReadFile("testdata/pyarrow.parquet")
	if err != nil {
		t.Fatal(err)
	}
	flipped[60] ^= 1
	change := func(at int, value byte) []byte {
		changed := bytes.Clone(good)
		changed[(at+len(good))%len(good)] = value
		return changed
	}
	sized := parquetRows(1, 2, 3)
	sized[1].Image.Bytes = greyPNG(2, 1, 0, 0)
	text := parquetRows(1, 2, 3)
	text[2].Image.Bytes = []byte("no picture")
	missing := parquetRows(1, 2, 3)
	missing[1].Image = nil
	unlabelled := parquetRows(1, 2, 3)
	unlabelled[2].Label = nil
	type lengths struct {
		Image []byte `parquet:"image,delta"`
		Label int64  `parquet:"label"`
	}
	compressed := func(codec compress.Codec) []byte {
		return writeParquet(t, parquetRows(1, 2), parquet.Compression(codec))
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty": {nil, "X: is empty"},
		"cut":   {good[:len(good)-1], "X: " + none},
		"other": {[]byte("version https://git-lfs.github.com/spec/v1\n"), "X: is a Git LFS pointer: run git lfs pull"},
		"large footer": {change(-6, 0x7f),
			fmt.Sprintf("X: footer: found %d bytes, expected at most %d", footerSize(change(-6, 0x7f)), len(good)-8)},
		"damaged footer": {change(-int(footerSize(good))-8, 0xff), "X: footer: found no Thrift struct, or a damaged one"},
		"many truths":    {truths, "X: footer: found no Thrift struct, or a damaged one"},
		"no rows":        {writeParquet(t, []parquetRow{}), "X: rows: found 0, expected 1 to 2000000"},
		"other columns": {writeParquet(t, []struct{ Text, Sentiment string }{{"a", "b"}}),
			"X: column of images: found Text, Sentiment, expected one of image.bytes, img.bytes, image, img"},
		"no labels": {writeParquet(t, []struct {
			Image []byte `parquet:"image"`
			Text  string
		}{{}}), "X: column of labels: found image, Text, expected one of label, labels, fine_label, class, target"},
		"a bit of a page": {flipped, "X: column image.bytes, page from row 0: checksum of a page: found 0x8b60cfaa, expected 0x87de0f47"},
		"many columns": {writeParquet(t, []struct{ A, B, C, D, E, F, G, H, I, J, K, L int32 }{{}}),
			"X: column of images: found A, B, C, D, E, F and 6 more, expected one of image.bytes, img.bytes, image, img"},
		"lists of images": {writeParquet(t, []lists{{[][]byte{nil}, 1}}),
			"X: column of images: found image, label, expected one of image.bytes, img.bytes, image, img"},
		"labels in words": {writeParquet(t, []words{{"a", "b"}}), "X: column label: found BYTE_ARRAY values, expected INT64"},
		"label below 0":   {writeParquet(t, parquetRows(1, 2, -1)), "X: label -1 of image 2: expected 0 to 255"},
		"label above 255": {writeParquet(t, parquetRows(256)), "X: label 256 of image 0: expected 0 to 255"},
		"image missing": {writeParquet(t, missing),
			"X: column image.bytes, page from row 0: found no value in its row 1, expected one in every row"},
		"label missing": {writeParquet(t, unlabelled),
			"X: column label, page from row 2: found no value in its row 0, expected one in every row"},
		"no image":     {writeParquet(t, text), "X: image 2: found no image, expected PNG, JPEG, GIF, BMP or WebP"},
		"another size": {writeParquet(t, sized), "X: image 1: image size: found 2x1, expected 1x1 as in X: image 0"},
		"another encoding": {writeParquet(t, []lengths{{good, 1}}),
			"X: column image, page from row 0: found encoding DELTA_BYTE_ARRAY, expected PLAIN or RLE_DICTIONARY"},
		"another codec": {compressed(&parquet.Brotli),
			"X: column label, page from row 0: found compression BROTLI, expected none, SNAPPY, GZIP or ZSTD"},
	} {
		t.Run(name, func(t *testing.T) {
			path := saveAs(t, "train.parquet", c.file)
			f, err := openParquet([]string{path}, nil, Options{})
			if err == nil {
				_, err = f.train.pixels(func(int, int) {})
			}
			checkMessage(t, path, err, c.want)
		})
	}
}

func footerSize(file []byte) uint32 {
	end := file[len(file)-8:]
	return uint32(end[0]) | uint32(end[1])<<8 | uint32(end[2])<<16 | uint32(end[3])<<24
}

// A file of any content is read or refused with its name, and what it declares costs
// little memory.
func FuzzOpenParquet(f *testing.F) {
	for _, name := range []string{"testdata/huggingface.parquet", "testdata/pyarrow.parquet"} {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add(writeParquet(f, parquetRows(1, 2, 3), parquet.Compression(&parquet.Snappy), parquet.DataPageVersion(1)))
	f.Add(writeParquet(f, parquetRows(1, 2, 3), parquet.Compression(&parquet.Gzip)))
	// A list of as many row groups as there can be, and structs in structs.
	for _, footer := range []string{"\x15\x02\x49\xfc\xff\xff\xff\xff\x07", strings.Repeat("\x1c", 1<<16)} {
		f.Add(fmt.Appendf(nil, "PAR1%s%c%c%c%cPAR1", footer, len(footer), len(footer)>>8, len(footer)>>16, 0))
	}
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, file []byte) {
		path := filepath.Join(folder, fmt.Sprint("fuzz-", os.Getpid()))
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		before := allocatedBytes()
		form, err := openParquet([]string{path}, nil, Options{})
		if err == nil && form.train.count*form.train.rows*form.train.columns < 1<<20 {
			_, err = form.train.pixels(func(int, int) {})
		}
		// 600 bytes are those of a column chunk, of which a footer may declare one for each of its bytes.
		if found, most := allocatedBytes()-before, uint64(600*len(file)+2*maxParquetPage); found > most {
			t.Errorf("found %d bytes allocated, expected at most %d", found, most)
		}
		if err != nil && !strings.HasPrefix(err.Error(), path) {
			t.Errorf("found error %q, expected the name of the file first", err)
		}
	})
}

// MNIST whole, as Hugging Face has it.
func BenchmarkParquet(b *testing.B) {
	d, err := Read(MNIST, Options{})
	if err != nil {
		b.Fatal(err)
	}
	rows := make([]parquetRow, d.Train.Len())
	for i := range rows {
		label := int64(d.Train.Labels[i])
		rows[i] = parquetRow{&parquetImage{Bytes: greyPNG(28, 28, d.Train.Image(i)...)}, &label}
	}
	var file bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&file)
	w.Write(rows)
	w.Close()
	path := saveAs(b, "train.parquet", file.Bytes())
	for b.Loop() {
		f, err := openParquet([]string{path}, nil, Options{})
		if err != nil {
			b.Fatal(err)
		}
		pixels, err := f.train.pixels(func(int, int) {})
		if err != nil {
			b.Fatal(err)
		}
		if diff := cmp.Diff(d.Train.Labels, f.train.labels); diff != "" || !bytes.Equal(d.Train.Pixels, pixels) {
			b.Fatal("the images or labels differ from MNIST's")
		}
	}
}
