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
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
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
	maxThriftElements  = 1 << 20   // of the lists in a footer or header; some hundred bytes each in memory
	maxThriftDepth     = 16
	maxSnappyInflation = 32 // times; it is at most 22
)

// openParquet reads the labels of Parquet files as Hugging Face keeps image datasets: the
// train set's files in order, and the test set's, of which there may be none. There is a
// column of images, which are PNG files or others that an image folder may hold, and one
// of labels, whole numbers from 0 to 255. The names of the classes are those that Hugging
// Face writes into the file.
//
// Columns may be plain or dictionary encoded, and not compressed or by Snappy, gzip or
// Zstandard, as pyarrow writes them. An error names the file and what is wrong with it.
func openParquet(train, test []string, _ Options) (form, error) {
	f := form{kind: "Parquet files"}
	var err error
	if f.train, f.classNames, err = parquetPart(train); err != nil {
		return f, err
	}
	if len(test) > 0 {
		if f.test, _, err = parquetPart(test); err != nil {
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
	starts := make([]int, len(names)+1) // the first image of each file, and the end
	for i, name := range names {
		file, err := openParquetFile(name)
		if err != nil {
			return p, nil, err
		}
		if i == 0 {
			classNames = file.classNames()
		}
		p.count += file.rows
		if p.count > MaxImages {
			err = fmt.Errorf("images: found %d with those of the files before, expected at most %d", p.count, MaxImages)
		} else {
			err = file.readLabels(&p)
		}
		if err == nil && i == 0 {
			err = file.values(file.images, func(_ int, first []byte) error {
				if p.rows, p.columns, err = imageSize(first); err != nil {
					return fmt.Errorf("image 0: %w", err)
				}
				return errEnough
			})
		}
		file.Close()
		if err != nil && !errors.Is(err, errEnough) {
			return p, nil, fmt.Errorf("%s: %w", name, err)
		}
		starts[i+1] = p.count
	}
	if err := p.fits(); err != nil {
		return p, nil, err
	}
	p.pixels = func(report func(done, total int)) ([]byte, error) { return parquetPixels(p, names, starts, report) }
	return p, classNames, nil
}

// errEnough ends the reading of a column whose other values are not wanted.
var errEnough = errors.New("enough")

// parquetPixels decodes the images of all files.
func parquetPixels(p part, names []string, starts []int, report func(done, total int)) ([]byte, error) {
	images := newGreyImages(p, func(i int) string {
		file, exact := slices.BinarySearch(starts, i)
		if !exact {
			file--
		}
		return fmt.Sprintf("%s: image %d", names[file], i-starts[file])
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
	read := func(name string, start, end int) error {
		file, err := openParquetFile(name)
		if err != nil {
			return err
		}
		defer file.Close()
		if file.rows != end-start {
			return fmt.Errorf("%s: rows: found %d, expected %d as before", name, file.rows, end-start)
		}
		err = file.values(file.images, func(row int, content []byte) error {
			values <- value{start + row, content}
			return nil
		})
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return err
	}
	var err error
	for i := 0; i < len(names) && err == nil; i++ {
		err = read(names[i], starts[i], starts[i+1])
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
	meta           format.FileMetaData
	rows           int
	images, labels parquetColumn
}

// parquetColumn is a column without lists.
type parquetColumn struct {
	name  string // with those of the structs around it, as in image.bytes
	index int    // among the columns that hold values
	kind  format.Type
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
		return nil, fmt.Errorf("%s: %w", name, err)
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
	if _, err := decodeThrift(footer, &f.meta); err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	rows := int64(0)
	for _, group := range f.meta.RowGroups {
		if group.NumRows < 0 || group.NumRows > MaxImages {
			return fmt.Errorf("rows of a group: found %d, expected 0 to %d", group.NumRows, MaxImages)
		}
		rows += group.NumRows
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
	const mostNames, longestName = 10, 1000
	var columns []parquetColumn
	var names []string // the first, for an error
	type group struct {
		prefix      string
		level, left int
		repeated    bool
	}
	index := 0
	var stack []group
	for i, element := range f.meta.Schema {
		for len(stack) > 0 && stack[len(stack)-1].left == 0 {
			stack = stack[:len(stack)-1]
		}
		this := group{left: int(element.NumChildren.V)}
		if i > 0 {
			if len(stack) == 0 {
				return errors.New("schema: found more columns than it says")
			}
			outer := &stack[len(stack)-1]
			outer.left--
			if len(outer.prefix)+len(element.Name) > longestName {
				return fmt.Errorf("schema: found a name of more than %d bytes", longestName)
			}
			this.prefix, this.level, this.repeated = outer.prefix+element.Name, outer.level, outer.repeated
			switch element.RepetitionType.V {
			case format.Optional:
				this.level++
			case format.Repeated:
				this.repeated = true
			}
			if !element.NumChildren.Valid {
				if !this.repeated && (slices.Contains(parquetImages, this.prefix) || slices.Contains(parquetLabels, this.prefix)) {
					columns = append(columns, parquetColumn{this.prefix, index, element.Type.V, this.level})
				}
				if len(names) <= mostNames {
					names = append(names, this.prefix)
				}
				index++
				continue
			}
			this.prefix += "."
		}
		stack = append(stack, this)
	}
	find := func(what string, wanted []string, kinds ...format.Type) (parquetColumn, error) {
		for _, name := range wanted {
			for _, column := range columns {
				if column.name != name {
					continue
				}
				if !slices.Contains(kinds, column.kind) {
					return column, fmt.Errorf("column %s: found %v values, expected %v", name, column.kind, kinds[0])
				}
				return column, nil
			}
		}
		if len(names) > mostNames {
			names[mostNames] = "..."
		}
		return parquetColumn{}, fmt.Errorf("column of %s: found %s, expected one of %s",
			what, strings.Join(names, ", "), strings.Join(wanted, ", "))
	}
	var imagesErr, labelsErr error
	f.images, imagesErr = find("images", parquetImages, format.ByteArray)
	f.labels, labelsErr = find("labels", parquetLabels, format.Int64, format.Int32)
	return cmp.Or(imagesErr, labelsErr)
}

// classNames are the names of the labels as Hugging Face's library writes them into the
// file; nil if there are none, or if they are the labels.
func (f *parquetFile) classNames() []string {
	for _, entry := range f.meta.KeyValueMetadata {
		var content struct {
			Info struct {
				Features map[string]json.RawMessage `json:"features"`
			} `json:"info"`
		}
		if entry.Key != "huggingface" || json.Unmarshal([]byte(entry.Value), &content) != nil {
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
	for _, group := range f.meta.RowGroups {
		if column.index >= len(group.Columns) {
			return fmt.Errorf("columns of a group: found %d, expected more than %d", len(group.Columns), column.index)
		}
		meta := group.Columns[column.index].MetaData
		start := meta.DataPageOffset
		if offset := meta.DictionaryPageOffset; offset > 0 && offset < start {
			start = offset
		}
		content, err := f.bytes(start, meta.TotalCompressedSize)
		if err != nil {
			return fmt.Errorf("column %s: %w", column.name, err)
		}
		pages := parquetPages{column: column, codec: meta.Codec, rest: content, left: int(group.NumRows)}
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
	codec      format.CompressionCodec
	rest       []byte // the pages that are not read
	left       int    // rows that are not read
	dictionary [][]byte
}

// next returns the values of the next page, none of a dictionary.
func (p *parquetPages) next() ([][]byte, error) {
	var header format.PageHeader
	size, err := decodeThrift(p.rest, &header)
	if err != nil {
		return nil, fmt.Errorf("header of a page: %w", err)
	}
	p.rest = p.rest[size:]
	stored, inflated := int(header.CompressedPageSize), int(header.UncompressedPageSize)
	if stored < 0 || stored > len(p.rest) || inflated < 0 || inflated > maxParquetPage {
		return nil, fmt.Errorf("page: found %d bytes that inflate to %d, expected at most %d and %d",
			stored, inflated, len(p.rest), maxParquetPage)
	}
	content := p.rest[:stored]
	p.rest = p.rest[stored:]
	if sum := crc32.ChecksumIEEE(content); header.CRC != 0 && sum != uint32(header.CRC) {
		return nil, fmt.Errorf("checksum of a page: found %#08x, expected %#08x", sum, uint32(header.CRC))
	}

	switch header.Type {
	case format.DictionaryPage:
		if content, err = inflate(p.codec, content, inflated); err != nil {
			return nil, err
		}
		p.dictionary, err = p.plain(content, int(header.DictionaryPageHeader.V.NumValues), MaxImages)
		return nil, err

	case format.DataPage:
		h := header.DataPageHeader.V
		if content, err = inflate(p.codec, content, inflated); err != nil {
			return nil, err
		}
		var levels []byte
		if p.column.level > 0 {
			if h.DefinitionLevelEncoding != format.RLE {
				return nil, fmt.Errorf("definition levels: found encoding %v, expected %v", h.DefinitionLevelEncoding, format.RLE)
			}
			if len(content) < 4 || uint64(binary.LittleEndian.Uint32(content)) > uint64(len(content)-4) {
				return nil, errors.New("definition levels: found more than the page has")
			}
			end := 4 + int(binary.LittleEndian.Uint32(content))
			levels, content = content[4:end], content[end:]
		}
		return p.data(levels, content, int(h.NumValues), h.Encoding)

	case format.DataPageV2:
		h := header.DataPageHeaderV2.V
		start, end := int(h.RepetitionLevelsByteLength), int(h.RepetitionLevelsByteLength)+int(h.DefinitionLevelsByteLength)
		if start < 0 || end < start || end > min(len(content), inflated) {
			return nil, errors.New("levels: found more than the page has")
		}
		levels, codec := content[start:end], p.codec
		if h.IsCompressed.Valid && !h.IsCompressed.V {
			codec = format.Uncompressed
		}
		if content, err = inflate(codec, content[end:], inflated-end); err != nil {
			return nil, err
		}
		return p.data(levels, content, int(h.NumValues), h.Encoding)

	default:
		return nil, nil // of indexes, which nothing needs
	}
}

// data returns the values of a page, each of which must be there.
func (p *parquetPages) data(levels, content []byte, count int, encoding format.Encoding) (values [][]byte, err error) {
	if count < 1 || count > p.left {
		return nil, fmt.Errorf("values of a page: found %d, expected 1 to %d", count, p.left)
	}
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
	case format.Plain:
		values, err = p.plain(content, count, p.left)
	//lint:ignore SA1019 files of older programs have the first
	case format.PlainDictionary, format.RLEDictionary:
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
		err = fmt.Errorf("found encoding %v, expected %v or %v", encoding, format.Plain, format.RLEDictionary)
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
		case format.Int32:
			size = 4
		case format.ByteArray:
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
func inflate(codec format.CompressionCodec, stored []byte, size int) (content []byte, err error) {
	var reader io.Reader
	switch codec {
	case format.Uncompressed:
		content = stored
	case format.Snappy:
		var declared int
		if declared, err = snappy.DecodedLen(stored); err == nil {
			if declared != size || declared/maxSnappyInflation > len(stored) {
				return nil, fmt.Errorf("page of Snappy data: found %d bytes that inflate to %d, expected %d", len(stored), declared, size)
			}
			content, err = snappy.Decode(nil, stored)
		}
	case format.Gzip:
		reader, err = gzip.NewReader(bytes.NewReader(stored))
	case format.Zstd:
		const window = 8 << 20 // the most that Zstandard recommends decoders to accept
		var decoder *zstd.Decoder
		decoder, err = zstd.NewReader(bytes.NewReader(stored),
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
		if err == nil {
			defer decoder.Close()
			reader = decoder
		}
	default:
		err = fmt.Errorf("found compression %v, expected none, %v, %v or %v", codec, format.Snappy, format.Gzip, format.Zstd)
	}
	if err == nil && reader != nil {
		content, err = io.ReadAll(io.LimitReader(reader, int64(size)+1))
	}
	if err == nil && len(content) != size {
		err = fmt.Errorf("page: found %d bytes or more, expected %d", len(content), size)
	}
	return content, err
}

// decodeThrift decodes the struct at the start of content, and returns its size.
func decodeThrift(content []byte, to any) (size int, err error) {
	// The library allocates what a list declares and follows structs to any depth.
	check := thriftCheck{rest: content, left: maxThriftElements}
	check.structure(0)
	if check.failed {
		return 0, errors.New("found no Thrift struct, or a damaged one")
	}
	size = len(content) - len(check.rest)
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("found a Thrift struct that cannot be decoded: %v", problem)
		}
	}()
	var protocol thrift.CompactProtocol
	return size, thrift.Unmarshal(&protocol, content[:size], to)
}

// thriftCheck walks through Thrift's compact encoding and fails where lists declare
// more than there is, or where it is nested too deep.
type thriftCheck struct {
	rest   []byte
	left   int // elements of lists that there may still be
	failed bool
}

// The types of the compact encoding.
const (
	thriftTrue = iota + 1
	thriftFalse
	thriftByte
	thriftInt16
	thriftInt32
	thriftInt64
	thriftDouble
	thriftBytes
	thriftList
	thriftSet
	thriftMap
	thriftStruct
)

func (c *thriftCheck) structure(depth int) {
	for !c.failed {
		header := c.skip(1)
		if header == 0 {
			return
		}
		if header>>4 == 0 { // the field's number is not a difference to the one before
			c.varint()
		}
		if kind := header & 15; kind > thriftFalse { // whose value is the type itself
			c.value(kind, depth+1)
		}
	}
}

func (c *thriftCheck) value(kind byte, depth int) {
	if depth > maxThriftDepth {
		c.failed = true
		return
	}
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		c.skip(1)
	case thriftInt16, thriftInt32, thriftInt64:
		c.varint()
	case thriftDouble:
		c.skip(8)
	case thriftBytes:
		c.skip(c.varint())
	case thriftList, thriftSet:
		header := c.skip(1)
		size := uint64(header >> 4)
		if size == 15 {
			size = c.varint()
		}
		if size > uint64(min(len(c.rest), c.left)) {
			c.failed = true
			return
		}
		c.left -= int(size)
		for i := uint64(0); i < size && !c.failed; i++ {
			c.value(header&15, depth+1)
		}
	case thriftStruct:
		c.structure(depth)
	default: // maps among them, which Parquet has none of
		c.failed = true
	}
}

// skip passes size bytes and returns the first of them.
func (c *thriftCheck) skip(size uint64) (first byte) {
	if size > uint64(len(c.rest)) {
		c.failed = true
		return 0
	}
	if size > 0 {
		first = c.rest[0]
	}
	c.rest = c.rest[size:]
	return first
}

func (c *thriftCheck) varint() uint64 {
	value, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.failed = true
		return 0
	}
	c.rest = c.rest[n:]
	return value
}
