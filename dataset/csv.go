package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxLine is how long a line of a CSV file may be, in bytes.
const maxLine = 4 * MaxSide * MaxSide

// What columns without a pixel are called, whatever the case.
var (
	labelColumns = []string{"label", "labels", "class", "target", "digit", "letter", "y"}
	indexColumns = []string{"", "id", "index", "unnamed: 0"} // only the first column; pandas writes the empty name
)

// csvLayout says what the columns of a file are.
type csvLayout struct {
	delimiter byte
	header    bool // the first line names the columns
	width     int  // columns of the file
	label     int  // the column of the labels, or -1
	first     int  // the column of the first pixel
	side      int  // of an image
}

// openCSV reads files with an image on each line: the train set, and the test set, whose
// name may be "". One without labels, as a contest's test.csv, is no test set.
func openCSV(train, test string, o Options) (f form, err error) {
	f.kind = "a CSV file"
	if f.train, err = readCSV(train, 0, o.Progress); err == nil && f.train.labels == nil {
		err = fmt.Errorf("%s: columns: found no label, expected a column that is named label, or the label before the pixels", train)
	}
	if test == "" {
		return f, err
	}
	var testErr error
	if f.test, testErr = readCSV(test, f.train.count, o.Progress); f.test.labels != nil {
		f.kind = "two CSV files"
	} else if testErr == nil {
		f.warnings = []string{test + ": found no labels, so that its images are no test set"}
	}
	return f, errors.Join(err, testErr)
}

// readCSV reads a set from a file, plain or packed. A file without labels has no images.
// report is told of them besides the before images of another file; it may be nil.
func readCSV(name string, before int, report func(done, total int)) (p part, err error) {
	folder := filepath.Dir(name)
	s, err := openSource(os.DirFS(folder), folder, filepath.Base(name))
	if err != nil {
		return part{}, err
	}
	defer s.Close()
	defer func() { err = instead(name, err) }()
	lines := bufio.NewScanner(s.data)
	lines.Buffer(nil, maxLine)
	var layout csvLayout
	var labels, pixels []byte
	number := 0
	for lines.Scan() {
		line := lines.Bytes()
		if number++; number == 1 {
			if bytes.HasPrefix(line, []byte("\xff\xfe")) || bytes.HasPrefix(line, []byte("\xfe\xff")) {
				return part{}, fmt.Errorf("%s: found text in UTF-16, expected UTF-8: save it in that encoding", name)
			}
			line = bytes.TrimPrefix(line, []byte("\ufeff")) // a byte order mark
		}
		if len(line) == 0 {
			continue
		}
		if layout.width == 0 {
			if layout, err = readLayout(line); err != nil {
				return part{}, fmt.Errorf("%s: %w", name, err)
			}
			if layout.label < 0 {
				return part{}, nil
			}
			if layout.header {
				continue
			}
		}
		if labels, pixels, err = layout.parse(line, labels, pixels); err != nil && lines.Err() != nil {
			break // the line is cut
		} else if err != nil {
			return part{}, fmt.Errorf("%s: line %d%w", name, number, err)
		}
		if len(labels) > MaxImages {
			return part{}, fmt.Errorf("%s: images: found more than %d, expected 1 to %d", name, MaxImages, MaxImages)
		}
		if err := checkImages(name, len(labels), layout.side, layout.side); err != nil {
			return part{}, err
		}
		if report != nil && len(labels)%linesPerReport == 0 {
			report(before+len(labels), before+max(len(labels), s.estimate(len(labels))))
		}
	}
	err = lines.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		err = fmt.Errorf("%s: line %d: found more than %d bytes, expected at most that many", name, number+1, maxLine)
	case err != nil:
		err = fmt.Errorf("%s: line %d: %w", name, number, s.explain(err))
	case len(labels) == 0:
		err = fmt.Errorf("%s: images: found 0, expected 1 to %d", name, MaxImages)
	default:
		err = s.end("line")
	}
	if err != nil {
		return part{}, err
	}
	p = part{count: len(labels), rows: layout.side, columns: layout.side, labels: labels, imagesName: name, labelsName: name}
	p.pixels = func(report func(done, total int)) ([]byte, error) {
		report(p.count, p.count)
		return pixels, nil
	}
	return p, nil
}

const linesPerReport = 1000 // between two reports of progress

// estimate is how many images a file has, of which some are read.
func (s *source) estimate(done int) int {
	seeker, ok := s.file.(io.Seeker)
	if !ok {
		return 0
	}
	read, err := seeker.Seek(0, io.SeekCurrent)
	info, infoErr := s.file.Stat()
	if err != nil || infoErr != nil || read == 0 {
		return 0
	}
	return int(float64(done) * float64(info.Size()) / float64(read))
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
	column, numbers := 0, 0
	for field := range bytes.SplitSeq(line, []byte{l.delimiter}) {
		name := bytes.Trim(field, "\"# \t\r") // numpy.savetxt writes # before the names
		if isNamed(name, labelColumns) && l.label < 0 {
			l.label = column
		}
		if column == 0 && isNamed(name, indexColumns) {
			l.first = 1
		}
		if _, ok := wholeNumber(field); ok {
			numbers++
		}
		column++
	}
	// One line of numbers with a damaged field is no header.
	if l.header = l.label >= 0 || numbers == 0; !l.header {
		l.first = 0
	}
	pixels := l.width - l.first
	if l.label < 0 {
		if l.side = squareSide(pixels); l.side > 0 {
			return l, nil
		}
		if l.header {
			return l, errors.New("columns: found none that is named label, expected one, the first or the last")
		}
		l.label = l.first
	}
	switch l.label {
	case l.first:
		l.first++
	case l.width - 1:
	default:
		return l, fmt.Errorf("line 1: label: found in column %d of %d, expected in the first or the last", l.label+1, l.width)
	}
	if l.side = squareSide(pixels - 1); l.side == 0 {
		return l, fmt.Errorf("columns: found %d, expected a label and a square number of pixels, as 785 are", l.width)
	}
	return l, nil
}

func isNamed(name []byte, names []string) bool {
	return len(name) < 16 && slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(other, string(name)) })
}

// squareSide is the side of a square image, 0 if the pixels make none.
func squareSide(pixels int) int {
	if side := int(math.Sqrt(float64(pixels))); side*side == pixels && side <= MaxSide {
		return side
	}
	return 0
}

// parse appends what a line holds. encoding/csv and strconv take ten times as long.
func (l csvLayout) parse(line, labels, pixels []byte) ([]byte, []byte, error) {
	at, size := 0, len(pixels)
	pixels = slices.Grow(pixels, l.side*l.side)[:size+l.side*l.side]
	row := pixels[size:]
	for column := range l.width {
		start, value := at, 0
		for at < len(line) {
			digit := line[at] - '0'
			if digit > 9 {
				break
			}
			value = value*10 + int(digit)
			at++
		}
		if length := at - start; length == 0 || length > 3 || value > math.MaxUint8 || at < len(line) && line[at] != l.delimiter {
			length = bytes.IndexByte(line[start:], l.delimiter)
			if at = start + length; length < 0 {
				at = len(line)
			}
			var ok bool
			value, ok = wholeNumber(line[start:at])
			if !ok && (column >= l.first || column == l.label) { // an index may be anything
				return nil, nil, fmt.Errorf(", column %d: found %s, expected a whole number, 0 to 255", column+1, shownField(line[start:at]))
			}
		}
		if last := column == l.width-1; last != (at == len(line)) {
			return nil, nil, fmt.Errorf(": columns: found %d, expected %d", 1+bytes.Count(line, []byte{l.delimiter}), l.width)
		}
		at++
		switch {
		case column == l.label:
			labels = append(labels, byte(value))
		case column >= l.first:
			row[column-l.first] = byte(value)
		}
	}
	return labels, pixels, nil
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
