package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"epochal/dataset/regular"
)

const (
	maxLine     = 4 * MaxSide * MaxSide // bytes of a line of a CSV file
	linesAtOnce = 1 << 20               // bytes of lines that one goroutine parses, unless a line is longer
)

// What columns without a pixel are called, whatever the case.
var (
	labelColumns = []string{"label", "labels", "class", "target", "digit", "y"}
	indexColumns = []string{"", "id", "index", "unnamed: 0"} // only the first column; pandas writes the empty name
)

// csvLayout says what the columns of a file are.
type csvLayout struct {
	delimiter     byte
	header        bool // the first line names the columns
	width         int  // columns of the file
	label         int  // the column of the labels, or -1
	first         int  // the column of the first pixel
	rows, columns int  // of an image
}

// openCSV reads files with an image on each line: the train set, and the test set, whose
// name may be "". One without labels, as a contest's test.csv, is no test set.
func openCSV(train, test string, o Options) (form, error) {
	f := form{kind: "a CSV file"}
	progress := &csvProgress{report: o.Progress}
	trainFile, trainErr := progress.open(train)
	if trainErr == nil {
		defer trainFile.Close()
	}
	var testErr error
	if test != "" {
		f.kind = "two CSV files"
		f.test, testErr = readTestCSV(test, progress)
		if testErr == nil && f.test.labels == nil {
			f.test = part{}
			f.warnings = []string{test + ": found no labels, so that its images are no test set"}
		}
	}
	if trainErr == nil {
		f.train, trainErr = readCSV(trainFile, train, progress)
	}
	if trainErr == nil && f.train.labels == nil {
		trainErr = fmt.Errorf("%s: columns: found %d pixels and no label, "+
			"expected a column that is named label, or the label before the pixels", train, f.train.rows*f.train.columns)
	}
	return f, errors.Join(trainErr, testErr)
}

func readTestCSV(name string, progress *csvProgress) (part, error) {
	before := progress.stored
	file, err := progress.open(name)
	if err != nil {
		return part{}, err
	}
	defer file.Close()
	p, err := readCSV(file, name, progress)
	if p.labels == nil {
		progress.stored = before // the rest is not read
	}
	return p, err
}

// csvProgress estimates how many images there are from the bytes that were read.
type csvProgress struct {
	report       func(done, total int) // may be nil
	images       int
	stored, read int64 // bytes of all files
}

// open opens a file that will be read.
func (c *csvProgress) open(name string) (*os.File, error) {
	file, err := regular.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err == nil {
		c.stored += info.Size()
	}
	return file, nil
}

func (c *csvProgress) add(images int) {
	c.images += images
	if c.report != nil && c.images > 0 {
		total := float64(c.images) * float64(c.stored) / float64(c.read)
		c.report(c.images, max(c.images, int(total)))
	}
}

// readCSV reads a set from a file, plain or gzipped. Its labels are nil if it has none;
// then it ends after the first line.
func readCSV(file io.Reader, name string, progress *csvProgress) (part, error) {
	counted := &countingReader{Reader: file}
	before := progress.read
	stored, err := newStream(counted, name, 0)
	if err != nil {
		return part{}, err
	}
	var layout csvLayout
	var chunks []csvChunk
	p := part{imagesName: name, labelsName: name}
	source := &csvLines{stream: stored, line: 1}
	batch := make([]csvChunk, runtime.GOMAXPROCS(0))
	buffers := make([][]byte, len(batch))
	for !source.ended {
		var group sync.WaitGroup
		var readErr error
		used := 0
		for ; used < len(batch) && !source.ended; used++ {
			var lines []byte
			first := source.line
			lines, readErr = source.next(buffers[used])
			if readErr != nil {
				break
			}
			buffers[used] = lines
			if layout.width == 0 {
				var skip int
				layout, skip, err = startCSV(lines)
				if err != nil {
					return part{}, fmt.Errorf("%s: %w", name, err)
				}
				p.rows, p.columns = layout.rows, layout.columns
				if layout.label < 0 {
					return p, nil
				}
				first += bytes.Count(lines[:skip], []byte{'\n'})
				lines = lines[skip:]
			}
			into := &batch[used]
			group.Go(func() { *into = layout.parse(lines, first) })
		}
		group.Wait()
		images := 0
		for _, parsed := range batch[:used] {
			if parsed.err != nil {
				return part{}, fmt.Errorf("%s: %w", name, parsed.err)
			}
			images += len(parsed.labels)
			p.labels = append(p.labels, parsed.labels...)
			chunks = append(chunks, parsed)
		}
		if readErr != nil {
			return part{}, readErr
		}
		p.count += images
		if p.count > MaxImages {
			return part{}, fmt.Errorf("%s: images: found more than %d, expected 1 to %d", name, MaxImages, MaxImages)
		}
		if total := int64(p.count) * int64(p.rows*p.columns); total > byteLimit {
			return part{}, fmt.Errorf("%s: pixels: found at least %d images of %dx%d, %d bytes, expected at most %d",
				name, p.count, p.rows, p.columns, total, int64(byteLimit))
		}
		progress.read = before + int64(counted.delivered)
		progress.add(images)
	}
	if p.count == 0 {
		return part{}, fmt.Errorf("%s: images: found 0, expected 1 to %d", name, MaxImages)
	}
	p.pixels = func(report func(done, total int)) ([]byte, error) {
		pixels := make([]byte, 0, p.count*p.rows*p.columns)
		for i, parsed := range chunks {
			pixels = append(pixels, parsed.pixels...)
			chunks[i] = csvChunk{}
		}
		report(p.count, p.count)
		return pixels, nil
	}
	return p, nil
}

// csvLines cuts a file into whole lines.
type csvLines struct {
	stream *stream
	rest   []byte // the start of a line that is not whole yet
	line   int    // the number of the next line, from 1
	ended  bool
}

// next returns the next lines, in buffer or a larger one. Each ends with a line feed;
// at the end of the file there may be none.
func (c *csvLines) next(buffer []byte) ([]byte, error) {
	lines := append(buffer[:0], c.rest...)
	for {
		if len(lines) == cap(lines) {
			lines = slices.Grow(lines, max(len(lines), linesAtOnce))
		}
		n, err := c.stream.fill(lines[len(lines):cap(lines)])
		before := len(lines)
		lines = lines[:before+n]
		end := 1 + bytes.LastIndexByte(lines[before:], '\n')
		switch {
		case end == 0 && len(lines) > maxLine:
			return nil, fmt.Errorf("%s: line %d: found more than %d bytes, expected at most that many", c.stream.name, c.line, maxLine)
		case err == io.EOF:
			if err := c.stream.end("line"); err != nil {
				return nil, err
			}
			c.ended = true
			if len(lines) > 0 && lines[len(lines)-1] != '\n' {
				lines = append(lines, '\n')
			}
			c.line += bytes.Count(lines, []byte{'\n'})
			return lines, nil
		case err != nil:
			return nil, fmt.Errorf("%s: line %d: %w", c.stream.name, c.line, c.stream.explain(err))
		case end > 0:
			end += before
			c.rest = append(c.rest[:0], lines[end:]...)
			c.line += bytes.Count(lines[:end], []byte{'\n'})
			return lines[:end], nil
		}
	}
}

// startCSV reads the first line and returns how many bytes to skip before the images.
func startCSV(lines []byte) (layout csvLayout, skip int, err error) {
	if bytes.HasPrefix(lines, []byte("\xff\xfe")) || bytes.HasPrefix(lines, []byte("\xfe\xff")) {
		return layout, 0, errors.New("found text in UTF-16, expected UTF-8: save it in that encoding")
	}
	// Some editors begin UTF-8 with a byte order mark.
	mark := len(lines) - len(bytes.TrimPrefix(lines, []byte("\ufeff")))
	start := len(lines) - len(bytes.TrimLeft(lines[mark:], "\r\n"))
	line, _, _ := bytes.Cut(lines[start:], []byte{'\n'})
	if len(line) == 0 {
		return layout, 0, fmt.Errorf("images: found 0, expected 1 to %d", MaxImages)
	}
	layout, err = readLayout(line)
	if layout.header {
		start += len(line) + 1
	}
	return layout, start, err
}

// readLayout tells the columns by their names, or else by how many the first line has.
func readLayout(line []byte) (csvLayout, error) {
	l := csvLayout{label: -1}
	for _, delimiter := range []byte(",;\t") {
		if width := 1 + bytes.Count(line, []byte{delimiter}); width > l.width {
			l.delimiter, l.width = delimiter, width
		}
	}
	if l.width < 2 || l.width > MaxSide*MaxSide+2 {
		return l, fmt.Errorf("columns: found %d, expected a label and the pixels of an image, 2 to %d, between commas, semicolons or tabs",
			l.width, MaxSide*MaxSide+2)
	}
	column, numbers, named, label := 0, 0, false, -1
	var start, names [2][]byte // the names of the first two columns after an index, and of the last two
	for field := range bytes.SplitSeq(line, []byte{l.delimiter}) {
		name := bytes.Trim(field, "\"# \t\r") // numpy.savetxt writes # before the names
		if isNamed(name, labelColumns) && label < 0 {
			label = column
		}
		if column == 0 && isNamed(name, indexColumns) {
			l.first, named = 1, len(name) > 0
		}
		if _, ok := wholeNumber(field); ok {
			numbers++
		}
		if i := column - l.first; i >= 0 && i < len(start) {
			start[i] = name
		}
		names[0], names[1] = names[1], name
		column++
	}
	// One line of numbers with a damaged field is no header.
	l.header = label >= 0 || named || numbers == 0
	if !l.header {
		l.first = 0
	}
	pixels := l.width - l.first
	if label < 0 {
		if l.rows, l.columns = imageSides(pixels, names[1]); l.rows > 0 {
			return l, nil
		}
		// A label of another name is the column whose name is unlike its neighbour's.
		label = l.first
		if l.header && alike(start) && !alike(names) {
			label = l.width - 1
		}
	}
	switch label {
	case l.first:
		l.first++
		l.rows, l.columns = imageSides(pixels-1, names[1])
	case l.width - 1:
		l.rows, l.columns = imageSides(pixels-1, names[0])
	default:
		return l, fmt.Errorf("line 1: label: found in column %d of %d, expected in the first or the last", label+1, l.width)
	}
	if l.rows == 0 {
		return l, fmt.Errorf("columns: found %d, expected a label and a square number of pixels, as 785 are, "+
			"or pixels that are named from 1x1 to ROWSxCOLUMNS", l.width)
	}
	l.label = label
	return l, nil
}

// alike tells whether two names differ in their last digits only, as pixel0 and pixel1 do.
func alike(names [2][]byte) bool {
	const digits = "0123456789"
	return bytes.Equal(bytes.TrimRight(names[0], digits), bytes.TrimRight(names[1], digits))
}

func isNamed(name []byte, names []string) bool {
	return len(name) < 16 && slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(other, string(name)) })
}

// imageSides returns the rows and columns of an image whose last pixel has the name, or 0 and 0.
func imageSides(pixels int, last []byte) (rows, columns int) {
	if down, across, ok := bytes.Cut(last, []byte("x")); ok && len(last) < 12 {
		rows, rowsErr := strconv.Atoi(string(down))
		columns, columnsErr := strconv.Atoi(string(across))
		if rowsErr == nil && columnsErr == nil && rows > 0 && rows <= MaxSide && columns > 0 && columns <= MaxSide && rows*columns == pixels {
			return rows, columns
		}
	}
	if side := int(math.Sqrt(float64(pixels))); side*side == pixels && side <= MaxSide {
		return side, side
	}
	return 0, 0
}

// csvChunk is what some lines hold.
type csvChunk struct {
	labels []byte // [images]
	pixels []byte // [images, rows*columns]
	err    error  // of the first line that is wrong
}

// parse reads whole lines, the first of which has the number line. On two cores
// encoding/csv and strconv take ten times as long.
func (l csvLayout) parse(text []byte, line int) (c csvChunk) {
	size := l.rows * l.columns
	// A field takes two bytes or more.
	most := min(bytes.Count(text, []byte{'\n'}), len(text)/(2*l.width))
	c.labels = make([]byte, 0, most)
	c.pixels = make([]byte, 0, most*size)
	for at := 0; at < len(text); line++ {
		if blank := len(text[at:]) - len(bytes.TrimPrefix(text[at:], []byte{'\r'})); text[at+blank] == '\n' {
			at += blank + 1
			continue
		}
		for column := range l.width {
			start, value := at, 0
			for digit := text[at] - '0'; digit <= 9; digit = text[at] - '0' {
				value = value*10 + int(digit)
				at++
			}
			length := at - start
			if text[at] == '.' { // 255.0, as pandas writes floats
				for at++; text[at] == '0'; at++ {
				}
			}
			end := text[at]
			if length == 0 || length > 3 || value > math.MaxUint8 || end != l.delimiter && end != '\n' {
				for text[at] != l.delimiter && text[at] != '\n' {
					at++
				}
				end = text[at]
				var ok bool
				value, ok = wholeNumber(text[start:at])
				// An index may be anything.
				if !ok && (column >= l.first || column == l.label) {
					c.err = fmt.Errorf("line %d, column %d: found %s, expected a whole number, 0 to 255",
						line, column+1, shownField(text[start:at]))
					return c
				}
			}
			if last := column == l.width-1; last != (end == '\n') {
				found := column + 1
				if last {
					rest, _, _ := bytes.Cut(text[at:], []byte{'\n'})
					found += bytes.Count(rest, []byte{l.delimiter})
				}
				c.err = fmt.Errorf("line %d: columns: found %d, expected %d", line, found, l.width)
				return c
			}
			at++
			switch {
			case column == l.label:
				c.labels = append(c.labels, byte(value))
			case column >= l.first:
				c.pixels = append(c.pixels, byte(value))
			}
		}
	}
	return c
}

func shownField(field []byte) string {
	if field = bytes.TrimSpace(field); len(field) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%.40q", field)
}

// wholeNumber reads a number from 0 to 255, which may be between quotes, and written as
// 255.0 or 2.55e+02.
func wholeNumber(field []byte) (value int, ok bool) {
	field = bytes.TrimSpace(field)
	if inner := len(field) - 1; inner > 0 && field[0] == '"' && field[inner] == '"' {
		field = bytes.TrimSpace(field[1:inner])
	}
	// ParseFloat takes words and hexadecimal digits too.
	if len(field) > 32 || len(bytes.Trim(field, "+-.0123456789eE")) > 0 {
		return 0, false
	}
	number, err := strconv.ParseFloat(string(field), 64)
	if err != nil || number != math.Trunc(number) || number < 0 || number > math.MaxUint8 {
		return 0, false
	}
	return int(number), true
}

// countingReader counts the bytes that it has delivered.
type countingReader struct {
	io.Reader
	delivered int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.delivered += n
	return n, err
}
