package dataset

import (
	"bytes"
	"strings"
)

// sniffed is how many bytes at the start of a file are looked at.
const sniffed = 560

// gzipFile is what [recognize] says of gzip data.
const gzipFile = "a gzip file: expected IDX data"

// failedDownloads are how it begins of what comes in place of any file.
var failedDownloads = []string{"empty", "a Git LFS pointer", "an HTML page", "an XML document", "JSON"}

// signatures are how files begin that people have instead of IDX data, and what they are.
var signatures = []struct {
	at     int
	start  string
	is     string
	advice string // "": IDX data were expected
}{
	{0, "version https://git-lfs.github.com/spec/", "a Git LFS pointer", "run git lfs pull"},
	{0, "\x89PNG\r\n\x1a\n", "a PNG image", ""},
	{0, "\xff\xd8\xff", "a JPEG image", ""},
	{0, "GIF8", "a GIF image", ""},
	{0, "BM", "a BMP image", ""},
	{0, "II*\x00", "a TIFF image", ""},
	{0, "MM\x00*", "a TIFF image", ""},
	{8, "WEBP", "a WebP image", ""},
	{0, "PAR1", "a parquet file", "expected IDX data; give it, or its folder, as the data"},
	{0, "\x93NUMPY", "a NumPy array (.npy)", "expected IDX data; save images and labels together with numpy.savez"},
	{0, "\x89HDF\r\n\x1a\n", "an HDF5 file", ""},
	{0, "MATLAB 5.0 MAT-file", "a MATLAB file", "expected IDX data; EMNIST is published in both forms"},
	{0, "SQLite format 3\x00", "an SQLite database", ""},
	{0, "ARROW1", "an Arrow file", "expected IDX data; parquet can be read"},
	{257, "ustar", "a tar archive", "unpack it"},
	{0, "BZh", "a bzip2 file", "unpack it"},
	{0, "\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it"},
	{0, "\x04\x22\x4d\x18", "an LZ4 file", "unpack it"},
	{0, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"},
	{0, "Rar!\x1a\x07", "a RAR archive", "unpack it"},
	{0, "\xfd7zXZ\x00", "an xz file", ""},
	{0, "\x1f\x9d", "a file of compress (.Z)", "unpack it"},
	{0, "%PDF-", "a PDF document", ""},
	{0, "\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a file of torch.save", "save the arrays with numpy.savez instead"},
	{0, "\x80\x02", "a Python pickle", "save the arrays with numpy.savez instead"},
	{0, "\x80\x03", "a Python pickle", "save the arrays with numpy.savez instead"},
	{0, "\x80\x04", "a Python pickle", "save the arrays with numpy.savez instead"},
	{0, "\x80\x05", "a Python pickle", "save the arrays with numpy.savez instead"},
}

// recognize says what a file is that begins like this, and what to do about it: "a PNG
// image: expected IDX data"; "" if that is not known.
func recognize(start []byte) string {
	if len(start) == 0 {
		return "empty"
	}
	if bytes.HasPrefix(start, gzipMagic) {
		return gzipFile
	}
	if bytes.HasPrefix(start, []byte("PK\x03\x04")) {
		return recognizeZIP(start)
	}
	for _, s := range signatures {
		if len(start) >= s.at && bytes.HasPrefix(start[s.at:], []byte(s.start)) {
			if s.advice == "" {
				return s.is + ": expected IDX data"
			}
			return s.is + ": " + s.advice
		}
	}
	text := bytes.TrimLeft(start, " \t\r\n\ufeff")
	lower := strings.ToLower(string(text))
	switch {
	case strings.HasPrefix(lower, "<?xml") && !strings.Contains(lower, "<html"):
		return "an XML document, perhaps the error of a server: download it again"
	case strings.HasPrefix(lower, "<"):
		return "an HTML page: download it again, from the link to the file itself"
	case strings.HasPrefix(lower, "{") && isText(text):
		return "JSON, perhaps the error of a server: expected IDX data"
	case bytes.Contains(start[:min(len(start), 80)], []byte(",")) && isText(text):
		return "text with commas: expected IDX data; a CSV file's name ends in .csv"
	case len(text) >= 16 && isText(text):
		return "text: expected IDX data"
	default:
		return ""
	}
}

// recognizeZIP tells archives by the name of the first file in them, which comes after 30 bytes.
func recognizeZIP(start []byte) string {
	length := 0
	if len(start) > 30 {
		length = int(start[26]) | int(start[27])<<8
	}
	first := string(start[min(30, len(start)):min(30+length, len(start))])
	if kind := recognizeMember(first); kind != "" {
		return kind
	}
	return "a zip archive: unpack it, or let its name end in .zip"
}

// recognizeMember says what a zip archive is that has such a file in it, "" if it can be any.
func recognizeMember(name string) string {
	switch {
	case strings.HasSuffix(name, "/data.pkl") || strings.HasSuffix(name, "/.data/serialization_id") || strings.HasSuffix(name, "/byteorder"):
		return "a file of torch.save: save the arrays with numpy.savez instead"
	case strings.HasSuffix(name, ".npy"):
		return "a NumPy archive (.npz): expected IDX data; its name has to end in .npz"
	default:
		return ""
	}
}

// isText reports whether a file begins with nothing but ASCII text.
func isText(start []byte) bool {
	for _, b := range start {
		if b >= 0x7f || b < ' ' && b != '\t' && b != '\r' && b != '\n' {
			return false
		}
	}
	return true
}
