package dataset

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Limits on what an IDX file may declare. They are checked before anything is
// allocated; each is far above the sets that this program trains on.
const (
	MaxImages  = 2_000_000 // images, or labels, of one file
	MaxSide    = 4096      // rows, or columns, of one image, in pixels
	MaxBytes   = 4 << 30   // pixels of one file, one byte each
	MaxClasses = 256       // classes of a set: a label is one byte
)

const (
	imagesMagic = 0x00000803
	labelsMagic = 0x00000801
	tableMagic  = 0x00000c02 // QMNIST's labels: a row of 32-bit integers for each image, the class first

	imagesHeader = 16 // bytes: magic, images, rows, columns
	labelsHeader = 8  // bytes: magic, labels

	maxTable = 16 // integers of an image in a table of labels; QMNIST has 8

	byteLimit = min(MaxBytes, math.MaxInt)

	// firstChunk is the least that is allocated for a body at once.
	firstChunk = 64 << 10

	// inflation is how many bytes are allocated at once for each stored byte.
	// MNIST inflates to 4.8 times its size, so it is allocated in one piece.
	inflation = 8

	// progressStep is how many bytes of a body are read between two reports.
	progressStep = 4 << 20
)

// stream is an IDX file, plain or packed, while it is read from front to back. Memory
// grows with the bytes that arrive, not with those that the header claims.
type stream struct {
	name   string
	stored *bufio.Reader // the file as stored
	data   *bufio.Reader // stored, or what it unpacks to
	packed packing
	start  int                          // bytes to allocate before any of a body is read
	report func(done int, chunk []byte) // is told the bytes of a body that are read, and given the last of them; may be nil
}

// newStream begins to read r, which is packed if its first bytes say so. size is
// the number of stored bytes, 0 if unknown.
func newStream(r io.Reader, name string, size int64) (s *stream, err error) {
	stored := bufio.NewReaderSize(r, 64<<10)
	start := max(firstChunk, int(min(size, byteLimit/inflation))*inflation)
	s = &stream{name: name, stored: stored, start: start}
	s.data, s.packed, err = unpack(stored)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, s.explain(err))
	}
	return s, nil
}

// imagesHeader reads and checks the magic number and the three dimensions.
func (s *stream) imagesHeader() (count, rows, columns int, err error) {
	var header [imagesHeader]byte
	if err := s.header(header[:], imagesMagic, "unsigned bytes, 3 dimensions"); err != nil {
		return 0, 0, 0, err
	}
	field := func(at int) int { return int(binary.BigEndian.Uint32(header[at:])) }
	count, rows, columns = field(4), field(8), field(12)
	return count, rows, columns, checkImages(s.name, count, rows, columns)
}

// checkImages checks sizes, of which a format may have checked some, against the limits.
func checkImages(name string, count, rows, columns int) error {
	for _, dimension := range []struct {
		name         string
		found, limit int
	}{{"images", count, MaxImages}, {"rows", rows, MaxSide}, {"columns", columns, MaxSide}} {
		if dimension.found < 1 || dimension.found > dimension.limit {
			return fmt.Errorf("%s: %s: found %d, expected 1 to %d", name, dimension.name, dimension.found, dimension.limit)
		}
	}
	if total := int64(count) * int64(rows) * int64(columns); total > byteLimit {
		return fmt.Errorf("%s: pixels: found %d images of %dx%d, %d bytes, expected at most %d",
			name, count, rows, columns, total, int64(byteLimit))
	}
	return nil
}

// labels reads and checks the header, and then every label: a byte, or the first
// integer of a row of QMNIST's tables.
func (s *stream) labels() ([]byte, error) {
	var header [labelsHeader]byte
	if err := s.header(header[:], labelsMagic, "unsigned bytes, 1 dimension"); err != nil {
		return nil, err
	}
	count, err := s.dimension("labels", header[4:8], MaxImages)
	if err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(header[:]) == tableMagic {
		return s.table(count)
	}
	return s.body("label", count)
}

// table reads labels that are the first of several integers, after their number.
func (s *stream) table(count int) ([]byte, error) {
	var field [4]byte
	n, err := s.fill(field[:])
	if err == io.EOF {
		return nil, fmt.Errorf("%s: header bytes: found %d, expected %d", s.name, labelsHeader+n, labelsHeader+len(field))
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, s.explain(err))
	}
	columns, err := s.dimension("columns", field[:], maxTable)
	if err != nil {
		return nil, err
	}
	rows, err := s.body("label", count*columns*4)
	if err != nil {
		return nil, err
	}
	labels := make([]byte, count)
	for i := range labels {
		class := binary.BigEndian.Uint32(rows[i*columns*4:])
		if class >= MaxClasses {
			return nil, fmt.Errorf("%s: label of image %d: found %d, expected 0 to %d", s.name, i, int32(class), MaxClasses-1)
		}
		labels[i] = byte(class)
	}
	return labels, nil
}

// header fills header and checks that it starts with magic.
func (s *stream) header(header []byte, magic uint32, meaning string) error {
	n, err := s.fill(header)
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s: header bytes: found %d, expected %d: %w", s.name, n, len(header), s.explain(err))
	}
	found := binary.BigEndian.Uint32(append(bytes.Clone(header[:min(n, 4)]), 0, 0, 0, 0))
	known := n >= 4 && (found == magic || found == tableMagic && magic == labelsMagic)
	if known && n == len(header) {
		return nil
	}
	if !known {
		more, _ := s.data.Peek(sniffed - len(header))
		if kind := recognize(append(bytes.Clone(header[:n]), more...)); kind == gzipFile && s.packed == gzipped {
			return fmt.Errorf("%s: is gzip inside gzip: unpack it once", s.name)
		} else if kind != "" {
			return fmt.Errorf("%s: is %s", s.name, kind)
		}
	}
	if n >= 4 && !known {
		return fmt.Errorf("%s: magic number: found %#08x, expected %#08x (%s)", s.name, found, magic, meaning)
	}
	return fmt.Errorf("%s: header bytes: found %d, expected %d", s.name, n, len(header))
}

// dimension decodes one big-endian dimension and checks it against its limit.
func (s *stream) dimension(field string, b []byte, limit uint32) (int, error) {
	found := binary.BigEndian.Uint32(b)
	if found < 1 || found > limit {
		return 0, fmt.Errorf("%s: %s: found %d, expected 1 to %d", s.name, field, found, limit)
	}
	return int(found), nil
}

// body reads the want bytes after the header and makes sure that none follow.
func (s *stream) body(field string, want int) ([]byte, error) {
	buffer := make([]byte, min(want, s.start))
	found := 0
	for {
		n, err := s.fill(buffer[found:min(len(buffer), found+progressStep)])
		found += n
		if s.report != nil {
			s.report(found, buffer[found-n:found])
		}
		if err == io.EOF {
			return nil, fmt.Errorf("%s: %s bytes: found %d, expected %d", s.name, field, found, want)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s bytes: found %d, expected %d: %w", s.name, field, found, want, s.explain(err))
		}
		if found == want {
			if err := s.end(field); err != nil {
				return nil, err
			}
			return buffer, nil
		}
		if found < len(buffer) {
			continue
		}
		// Doubling keeps the memory within a small multiple of what actually arrived.
		larger := make([]byte, found+min(found, want-found))
		copy(larger, buffer)
		buffer = larger
	}
}

// end makes sure that the file stops here. For packed data this is also where the
// checksum is compared.
func (s *stream) end(field string) error {
	switch n, err := s.fill(make([]byte, 1)); {
	case n > 0:
		return fmt.Errorf("%s: bytes after the %ss: found at least 1, expected 0", s.name, field)
	case err != io.EOF:
		return fmt.Errorf("%s: %w", s.name, s.explain(err))
	}
	if s.packed == plain {
		return nil
	}
	switch _, err := s.stored.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%s: bytes after the gzip member: found at least 1, expected 0", s.name)
	case err != io.EOF:
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// fill reads until p is full, whatever error comes with its last byte. Unlike
// [io.ReadFull] it leaves io.EOF as it is, because io.ErrUnexpectedEOF is what
// gzip reports when the compressed data is cut.
func (s *stream) fill(p []byte) (n int, err error) {
	for n < len(p) {
		var more int
		more, err = s.data.Read(p[n:])
		n += more
		if err != nil && n < len(p) {
			return n, err
		}
	}
	return n, nil
}

// explain says where an error of data comes from.
func (s *stream) explain(err error) error {
	if s.packed != plain {
		return fmt.Errorf("decompress: %w", err)
	}
	return err
}
