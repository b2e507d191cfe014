package dataset

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"epochal/dataset/regular"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// The names of the columns, in the order in which they are looked for: those of Hugging
// Face's image datasets. Their images are a struct of bytes and path.
var (
	parquetImages = []string{"image.bytes", "img.bytes", "image", "img"}
	parquetLabels = []string{"label", "labels", "fine_label", "class", "target"}
)

// Limits on a Parquet file.
const (
	maxParquetFooter   = 64 << 20  // bytes
	maxParquetPage     = 256 << 20 // bytes of a page, inflated
	maxThriftValues    = 1 << 22   // of a footer or a page's header; 64 bytes each in memory
	maxThriftDepth     = 16
	maxColumns         = 10_000
	maxColumnName      = 1000 // bytes, with those of the structs around it
	maxSnappyInflation = 32   // times; it is at most 22
)

// openParquet reads the labels of Parquet files as Hugging Face keeps image datasets: the train
// set's files in order, and the test set's, of which there may be none. Images are PNG files or
// others that an image folder may hold. Columns are plain or dictionary encoded, and not compressed
// or by Snappy, gzip or Zstandard, as pyarrow, Polars and DuckDB write them.
func openParquet(train, test []string, _ Options) (form, error) {
	f := form{kind: "Parquet files"}
	var err error
	if f.train, f.classNames, err = parquetPart(train); err != nil {
		return f, err
	}
	if len(test) > 0 {
		if f.test, _, err = parquetPart(test); err != nil {
			f.train.close()
			return f, err
		}
	}
	if highest := int(slices.Max(slices.Concat(f.train.labels, f.test.labels))); f.classNames != nil && highest >= len(f.classNames) {
		f.warnings = append(f.warnings, fmt.Sprintf("%s: names of classes: found %d, expected at least %d for the labels: left out",
			train[0], len(f.classNames), highest+1))
		f.classNames = nil
	}
	return f, nil
}

// parquetPart reads the labels of the files of a set, and the size of its first image.
func parquetPart(names []string) (p part, classNames []string, err error) {
	p.imagesName = names[0]
	if len(names) > 1 {
		p.imagesName = filepath.Dir(names[0])
	}
	p.labelsName = p.imagesName
	var files []*parquetFile
	p.close = func() {
		for _, file := range files {
			file.Close()
		}
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	for i, name := range names {
		file, err := openParquetFile(name)
		if err != nil {
			return p, nil, err
		}
		file.first = p.count
		files = append(files, file)
		if p.count += file.rows; p.count > MaxImages {
			err = fmt.Errorf("images: found %d with those of the files before, expected at most %d", p.count, MaxImages)
		} else {
			err = file.readLabels(&p)
		}
		if err == nil && i == 0 {
			classNames = file.classNames()
			err = file.values(file.images, func(_ int, first []byte) error {
				if p.rows, p.columns, err = imageSize(first); err != nil {
					return fmt.Errorf("image 0: %w", err)
				}
				return errEnough
			})
		}
		if err != nil && !errors.Is(err, errEnough) {
			return p, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	p.pixels = func(report func(done, total int)) ([]byte, error) { return parquetPixels(p, files, report) }
	return p, classNames, checkImages(p.imagesName, p.count, p.rows, p.columns)
}

// errEnough ends the reading of a column whose other values are not wanted.
var errEnough = errors.New("enough")

// parquetPixels decodes the images of all files.
func parquetPixels(p part, files []*parquetFile, report func(done, total int)) ([]byte, error) {
	images := newGreyImages(p, func(i int) string {
		file := files[0]
		for _, other := range files {
			if other.first <= i {
				file = other
			}
		}
		return fmt.Sprintf("%s: image %d", file.Name(), i-file.first)
	}, report)
	type value struct {
		image   int
		content []byte
	}
	values := make(chan value, 64)
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for v := range values {
				images.decode(v.image, v.content, nil)
			}
		})
	}
	var err error
	for _, file := range files {
		err = file.values(file.images, func(row int, content []byte) error {
			values <- value{file.first + row, content}
			return nil
		})
		if err != nil {
			err = fmt.Errorf("%s: %w", file.Name(), err)
			break
		}
	}
	close(values)
	group.Wait()
	if err != nil {
		return nil, err
	}
	return images.finish()
}

// parquetFile is a Parquet file whose footer is read and checked. The errors of its
// methods do not name it.
type parquetFile struct {
	*os.File
	size           int64
	meta           thriftValue // the struct FileMetaData
	rows           int
	first          int // image of the set
	images, labels parquetColumn
}

// parquetColumn is a column without lists.
type parquetColumn struct {
	name  string // with those of the structs around it, as in image.bytes
	index int    // among the columns that hold values
	kind  int64
	level int // of a value that is there: how many of the column and the structs around it may be missing
}

func openParquetFile(name string) (*parquetFile, error) {
	opened, err := regular.Open(name)
	if err != nil {
		return nil, err
	}
	file := &parquetFile{File: opened}
	if err = file.readFooter(); err == nil {
		err = file.findColumns()
	}
	if err != nil {
		opened.Close()
		return nil, instead(name, fmt.Errorf("%s: %w", name, err))
	}
	return file, nil
}

func (f *parquetFile) readFooter() error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	f.size = info.Size()
	const magic, ending = "PAR1", 8 // the footer's size and the magic number
	end, err := f.bytes(f.size-ending, ending)
	if err != nil || string(end[4:]) != magic {
		return fmt.Errorf("found no Parquet file, or not all of it: expected %s at its end", magic)
	}
	size := int64(binary.LittleEndian.Uint32(end))
	if size > min(maxParquetFooter, f.size-ending) {
		return fmt.Errorf("footer: found %d bytes, expected at most %d", size, min(maxParquetFooter, f.size-ending))
	}
	footer, err := f.bytes(f.size-ending-size, size)
	if err != nil {
		return err
	}
	if f.meta, _, err = decodeThrift(footer); err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	rows := int64(0)
	for _, group := range f.meta.at(4).children {
		count := group.at(3).number
		if count < 0 || count > MaxImages {
			return fmt.Errorf("rows of a group: found %d, expected 0 to %d", count, MaxImages)
		}
		rows += count
	}
	if rows < 1 || rows > MaxImages {
		return fmt.Errorf("rows: found %d, expected 1 to %d", rows, MaxImages)
	}
	f.rows = int(rows)
	return nil
}

// bytes reads a part of the file, which must be in it whole.
func (f *parquetFile) bytes(offset, size int64) ([]byte, error) {
	if offset < 0 || size < 0 || offset > f.size-size {
		return nil, fmt.Errorf("found %d bytes, expected %d from byte %d", f.size, size, offset)
	}
	content := make([]byte, size)
	_, err := f.ReadAt(content, offset)
	return content, err
}

// findColumns finds the columns of the images and of the labels by their names.
func (f *parquetFile) findColumns() error {
	schema := f.meta.at(2).children
	var columns []parquetColumn
	var read func(prefix string, level, depth int) error
	read = func(prefix string, level, depth int) error {
		if len(schema) == 0 || depth > maxThriftDepth || len(columns) > maxColumns {
			return fmt.Errorf("schema: found a damaged one, or more than %d columns", maxColumns)
		}
		element := schema[0]
		schema = schema[1:]
		if depth > 0 { // the first element is the whole
			prefix += string(element.at(4).bytes)
		}
		if len(prefix) > maxColumnName {
			return fmt.Errorf("schema: found a name of more than %d bytes", maxColumnName)
		}
		switch element.at(3).number {
		case optional:
			level++
		case repeated:
			level = -maxThriftDepth // no column with lists is one that is looked for
		}
		if element.at(5).number == 0 {
			columns = append(columns, parquetColumn{prefix, len(columns), element.at(1).number, level})
			return nil
		}
		if depth > 0 {
			prefix += "."
		}
		for range element.at(5).number {
			if err := read(prefix, level, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := read("", 0, 0); err != nil {
		return err
	}
	find := func(what string, wanted []string, kinds ...int64) (parquetColumn, error) {
		for _, name := range wanted {
			i := slices.IndexFunc(columns, func(c parquetColumn) bool { return c.name == name && c.level >= 0 })
			if i < 0 {
				continue
			}
			if !slices.Contains(kinds, columns[i].kind) {
				return columns[i], fmt.Errorf("column %s: found %s values, expected %s",
					name, called(parquetTypes, columns[i].kind), called(parquetTypes, kinds[0]))
			}
			return columns[i], nil
		}
		var names []string
		for _, column := range columns {
			names = append(names, column.name)
		}
		return parquetColumn{}, fmt.Errorf("column of %s: found %s, expected one of %s", what, listedNames(names), strings.Join(wanted, ", "))
	}
	var imagesErr, labelsErr error
	f.images, imagesErr = find("images", parquetImages, typeByteArray)
	f.labels, labelsErr = find("labels", parquetLabels, typeInt64, typeInt32)
	return cmp.Or(imagesErr, labelsErr)
}

// classNames are the names of the labels as Hugging Face's library writes them into the
// file; nil if there are none, or if they are the labels.
func (f *parquetFile) classNames() []string {
	for _, entry := range f.meta.at(5).children {
		var content struct {
			Info struct {
				Features map[string]json.RawMessage `json:"features"`
			} `json:"info"`
		}
		if string(entry.at(1).bytes) != "huggingface" || json.Unmarshal(entry.at(2).bytes, &content) != nil {
			continue
		}
		var label struct {
			Names []string `json:"names"`
		}
		if json.Unmarshal(content.Info.Features[f.labels.name], &label) != nil || len(label.Names) > MaxClasses {
			continue
		}
		for i, name := range label.Names {
			if name != strconv.Itoa(i) {
				return label.Names
			}
		}
	}
	return nil
}

// readLabels appends the labels of the file to those of p.
func (f *parquetFile) readLabels(p *part) error {
	return f.values(f.labels, func(row int, value []byte) error {
		label := int64(int32(binary.LittleEndian.Uint32(value)))
		if len(value) == 8 {
			label = int64(binary.LittleEndian.Uint64(value))
		}
		if label < 0 || label >= MaxClasses {
			return fmt.Errorf("label %d of image %d: expected 0 to %d", label, row, MaxClasses-1)
		}
		p.labels = append(p.labels, byte(label))
		return nil
	})
}

// values calls use for each value of a column, in order, until it returns an error. A
// value stays as it is afterwards.
func (f *parquetFile) values(column parquetColumn, use func(row int, value []byte) error) error {
	row := 0
	for _, group := range f.meta.at(4).children {
		columns := group.at(1).children
		if column.index >= len(columns) {
			return fmt.Errorf("columns of a group: found %d, expected more than %d", len(columns), column.index)
		}
		meta := columns[column.index].at(3)
		start := meta.at(9).number
		if dictionary := meta.at(11).number; dictionary > 0 && dictionary < start {
			start = dictionary
		}
		content, err := f.bytes(start, meta.at(7).number)
		if err != nil {
			return fmt.Errorf("column %s: %w", column.name, err)
		}
		pages := parquetPages{column: column, codec: meta.at(4).number, rest: content, left: int(group.at(3).number)}
		for pages.left > 0 {
			values, err := pages.next()
			if err != nil {
				return fmt.Errorf("column %s, page from row %d: %w", column.name, row, err)
			}
			for _, value := range values {
				if err := use(row, value); err != nil {
					return err
				}
				row++
			}
		}
	}
	return nil
}

// parquetPages are the pages of a column in a group of rows.
type parquetPages struct {
	column     parquetColumn
	codec      int64
	rest       []byte // the pages that are not read
	left       int    // rows that are not read
	dictionary [][]byte
}

// next returns the values of the next page, none of a dictionary.
func (p *parquetPages) next() ([][]byte, error) {
	header, size, err := decodeThrift(p.rest)
	if err != nil {
		return nil, fmt.Errorf("header of a page: %w", err)
	}
	p.rest = p.rest[size:]
	stored, inflated := int(header.at(3).number), int(header.at(2).number)
	if stored < 0 || stored > len(p.rest) || inflated < 0 || inflated > maxParquetPage {
		return nil, fmt.Errorf("page: found %d bytes that inflate to %d, expected at most %d and %d",
			stored, inflated, len(p.rest), maxParquetPage)
	}
	content := p.rest[:stored]
	p.rest = p.rest[stored:]
	if sum, want := crc32.ChecksumIEEE(content), header.at(4); want.id > 0 && sum != uint32(want.number) {
		return nil, fmt.Errorf("checksum of a page: found %#08x, expected %#08x", sum, uint32(want.number))
	}

	switch header.at(1).number {
	case pageDictionary:
		if content, err = inflate(p.codec, content, inflated); err != nil {
			return nil, err
		}
		p.dictionary, err = p.plain(content, int(header.at(7).at(1).number), MaxImages)
		return nil, err

	case pageData:
		h := header.at(5)
		if content, err = inflate(p.codec, content, inflated); err != nil {
			return nil, err
		}
		var levels []byte
		if p.column.level > 0 {
			if len(content) < 4 || uint64(binary.LittleEndian.Uint32(content)) > uint64(len(content)-4) {
				return nil, errors.New("definition levels: found more than the page has")
			}
			end := 4 + int(binary.LittleEndian.Uint32(content))
			levels, content = content[4:end], content[end:]
		}
		return p.data(levels, content, h.at(1).number, h.at(2).number)

	case pageDataV2:
		h := header.at(8)
		start := h.at(6).number // after the repetition levels
		end := start + h.at(5).number
		if start < 0 || end < start || end > int64(min(len(content), inflated)) {
			return nil, errors.New("levels: found more than the page has")
		}
		levels, codec := content[start:end], p.codec
		if compressed := h.at(7); compressed.id > 0 && compressed.number == 0 {
			codec = codecNone
		}
		if content, err = inflate(codec, content[end:], inflated-int(end)); err != nil {
			return nil, err
		}
		return p.data(levels, content, h.at(1).number, h.at(4).number)

	default:
		return nil, nil // of indexes, which nothing needs
	}
}

// data returns the values of a page, each of which must be there.
func (p *parquetPages) data(levels, content []byte, declared, encoding int64) (values [][]byte, err error) {
	if declared < 1 || declared > int64(p.left) {
		return nil, fmt.Errorf("values of a page: found %d, expected 1 to %d", declared, p.left)
	}
	count := int(declared)
	if p.column.level > 0 {
		found, err := hybrid(levels, bits.Len(uint(p.column.level)), count)
		if err != nil {
			return nil, fmt.Errorf("definition levels: %w", err)
		}
		for i, level := range found {
			if int(level) != p.column.level {
				return nil, fmt.Errorf("found no value in its row %d, expected one in every row", i)
			}
		}
	}
	switch encoding {
	case encodingPlain:
		values, err = p.plain(content, count, p.left)
	case encodingPlainDictionary, encodingDictionary: // files of older programs have the first
		if len(content) == 0 {
			return nil, errors.New("found no indexes into the dictionary")
		}
		var indexes []uint32
		if indexes, err = hybrid(content[1:], int(content[0]), count); err != nil {
			return nil, err
		}
		values = make([][]byte, count)
		for i, index := range indexes {
			if uint64(index) >= uint64(len(p.dictionary)) {
				return nil, fmt.Errorf("found index %d, expected one below %d, the size of the dictionary", index, len(p.dictionary))
			}
			values[i] = p.dictionary[index]
		}
	default:
		err = fmt.Errorf("found encoding %s, expected PLAIN or RLE_DICTIONARY", called(parquetEncodings, encoding))
	}
	p.left -= count
	return values, err
}

// plain cuts content into count values.
func (p *parquetPages) plain(content []byte, count, most int) ([][]byte, error) {
	if count < 0 || count > most {
		return nil, fmt.Errorf("values: found %d, expected 0 to %d", count, most)
	}
	values := make([][]byte, 0, min(count, len(content)))
	for range count {
		size := uint64(8)
		switch p.column.kind {
		case typeInt32:
			size = 4
		case typeByteArray:
			if len(content) < 4 {
				return nil, errCut
			}
			size = uint64(binary.LittleEndian.Uint32(content))
			content = content[4:]
		}
		if size > uint64(len(content)) {
			return nil, errCut
		}
		values = append(values, content[:size:size])
		content = content[size:]
	}
	return values, nil
}

var errCut = errors.New("found fewer bytes than its values have")

// hybrid decodes count numbers of a width in bits: runs of equal ones, and packed ones.
func hybrid(content []byte, width, count int) ([]uint32, error) {
	if width > 32 {
		return nil, fmt.Errorf("found numbers of %d bits, expected at most 32", width)
	}
	var values []uint32
	for len(values) < count {
		header, n := binary.Uvarint(content)
		if n <= 0 {
			return nil, errCut
		}
		content = content[n:]
		left := uint64(count - len(values))
		if header&1 == 0 {
			size := (width + 7) / 8
			if size > len(content) || header == 0 {
				return nil, errCut
			}
			var value [4]byte
			copy(value[:], content[:size])
			content = content[size:]
			values = append(values, slices.Repeat([]uint32{binary.LittleEndian.Uint32(value[:])}, int(min(header>>1, left)))...)
			continue
		}
		// In groups of eight, the last of which may be more than is left.
		groups := min(header>>1, (left+7)/8)
		size := groups * uint64(width)
		if groups == 0 || size > uint64(len(content)) {
			return nil, errCut
		}
		for i := range min(groups*8, left) {
			bit := i * uint64(width)
			var window [8]byte
			copy(window[:], content[bit/8:size])
			values = append(values, uint32(binary.LittleEndian.Uint64(window[:])>>(bit%8)&(1<<width-1)))
		}
		content = content[size:]
	}
	return values, nil
}

// inflate returns what a page holds. Memory grows with what comes, not with size.
func inflate(codec int64, stored []byte, size int) (content []byte, err error) {
	var reader io.Reader
	switch codec {
	case codecNone:
		content = stored
	case codecSnappy:
		var declared int
		if declared, err = snappy.DecodedLen(stored); err == nil {
			if declared != size || declared/maxSnappyInflation > len(stored) {
				return nil, fmt.Errorf("page of Snappy data: found %d bytes that inflate to %d, expected %d", len(stored), declared, size)
			}
			content, err = snappy.Decode(nil, stored)
		}
	case codecGzip:
		reader, err = gzip.NewReader(bytes.NewReader(stored))
	case codecZstd:
		const window = 8 << 20 // the most that Zstandard recommends decoders to accept
		var decoder *zstd.Decoder
		decoder, err = zstd.NewReader(bytes.NewReader(stored),
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
		if err == nil {
			defer decoder.Close()
			reader = decoder
		}
	default:
		err = fmt.Errorf("found compression %s, expected none, SNAPPY, GZIP or ZSTD", called(parquetCodecs, codec))
	}
	if err == nil && reader != nil {
		content, err = io.ReadAll(io.LimitReader(reader, int64(size)+1))
	}
	if err == nil && len(content) != size {
		err = fmt.Errorf("page: found %d bytes or more, expected %d", len(content), size)
	}
	return content, err
}

// The numbers of parquet.thrift, which names what has them.
const (
	typeInt32, typeInt64, typeByteArray                        = 1, 2, 6
	optional, repeated                                         = 1, 2
	codecNone, codecSnappy, codecGzip, codecZstd               = 0, 1, 2, 6
	pageData, pageDictionary, pageDataV2                       = 0, 2, 3
	encodingPlain, encodingPlainDictionary, encodingDictionary = 0, 2, 8
)

// Their names, for errors.
var (
	parquetTypes     = strings.Fields("BOOLEAN INT32 INT64 INT96 FLOAT DOUBLE BYTE_ARRAY FIXED_LEN_BYTE_ARRAY")
	parquetCodecs    = strings.Fields("UNCOMPRESSED SNAPPY GZIP LZO BROTLI LZ4 ZSTD LZ4_RAW")
	parquetEncodings = strings.Fields("PLAIN 1 PLAIN_DICTIONARY RLE BIT_PACKED DELTA_BINARY_PACKED DELTA_LENGTH_BYTE_ARRAY " +
		"DELTA_BYTE_ARRAY RLE_DICTIONARY BYTE_STREAM_SPLIT")
)

func called(names []string, number int64) string {
	if number < 0 || number >= int64(len(names)) {
		return strconv.FormatInt(number, 10)
	}
	return names[number]
}

// thriftValue is what Thrift's compact encoding holds: a number, bytes, a list, or a
// struct, whose fields have their numbers.
type thriftValue struct {
	id       int64 // in a struct, from 1
	number   int64
	bytes    []byte
	children []thriftValue
}

// at is a field of a struct; its id is 0 if it is not there.
func (v thriftValue) at(id int64) thriftValue {
	for _, field := range v.children {
		if field.id == id {
			return field
		}
	}
	return thriftValue{}
}

// decodeThrift decodes the struct at the start of content, and returns its size. The
// library that has the rest of the format would add 6 MB, and allocates what lists declare.
func decodeThrift(content []byte) (value thriftValue, size int, err error) {
	r := thriftReader{rest: content, left: maxThriftValues}
	value.children = r.structure(0)
	if r.failed {
		return value, 0, errors.New("found no Thrift struct, or a damaged one")
	}
	return value, len(content) - len(r.rest), nil
}

type thriftReader struct {
	rest   []byte
	left   int // values that there may still be
	failed bool
}

func (r *thriftReader) structure(depth int) (fields []thriftValue) {
	id := int64(0)
	for {
		header := r.byte()
		if r.left--; header == 0 || r.failed || r.left < 0 {
			r.failed = r.failed || r.left < 0
			return fields
		}
		if delta := int64(header >> 4); delta > 0 {
			id += delta
		} else {
			id = r.integer()
		}
		var field thriftValue
		switch kind := header & 15; kind {
		case 1, 2: // true and false
			field.number = int64(2 - kind)
		default:
			field = r.value(kind, depth+1)
		}
		field.id = id
		fields = append(fields, field)
	}
}

func (r *thriftReader) value(kind byte, depth int) (v thriftValue) {
	r.left--
	r.failed = r.failed || r.left < 0 || depth > maxThriftDepth
	switch {
	case r.failed:
	case kind <= 3: // one byte, also for a truth value in a list
		v.number = int64(int8(r.byte()))
	case kind <= 6:
		v.number = r.integer()
	case kind == 7: // a floating-point number
		r.take(8)
	case kind == 8:
		v.bytes = r.take(r.varint())
	case kind <= 10: // a list or a set
		header := r.byte()
		size := uint64(header >> 4)
		if size == 15 {
			size = r.varint()
		}
		for ; size > 0 && !r.failed; size-- {
			v.children = append(v.children, r.value(header&15, depth+1))
		}
	case kind == 12:
		v.children = r.structure(depth)
	default: // maps among them, which Parquet has none of
		r.failed = true
	}
	return v
}

// take passes size bytes.
func (r *thriftReader) take(size uint64) (taken []byte) {
	if size > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	taken, r.rest = r.rest[:size], r.rest[size:]
	return taken
}

func (r *thriftReader) byte() byte {
	if taken := r.take(1); taken != nil {
		return taken[0]
	}
	return 0
}

func (r *thriftReader) integer() int64 {
	value := r.varint()
	return int64(value>>1) ^ -int64(value&1)
}

func (r *thriftReader) varint() uint64 {
	value, n := binary.Uvarint(r.rest)
	r.failed = r.failed || n <= 0
	r.take(uint64(max(n, 0)))
	return value
}
