package report_test

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"epochal/dataset"
	"epochal/experiments/report"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// small is a set of 7 images of 3x5 pixels.
func small() dataset.Set {
	set := dataset.Set{Rows: 3, Columns: 5, Labels: []byte{0, 1, 2, 10, 99, 100, 255}}
	for i := range len(set.Labels) * set.Rows * set.Columns {
		set.Pixels = append(set.Pixels, byte(i*37))
	}
	return set
}

func draw(t *testing.T, format string, set dataset.Set, rows []int32, title string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := report.Batch(&out, format, set, rows, title); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBatchPNG(t *testing.T) {
	mnist, err := dataset.Read(dataset.MNIST)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		set           dataset.Set
		count         int
		title         string
		width, height int
	}{
		// margins + columns + gaps; margins + title + (label + image) + gaps
		{mnist.Test, 64, "64 images", 64 + 8*168 + 7*12, 64 + 48 + 8*(22+168) + 7*16},
		{mnist.Test, 10, "10 images", 64 + 4*224 + 3*12, 64 + 48 + 3*(22+224) + 2*16},
		{mnist.Test, 256, "256 images", 64 + 16*84 + 15*12, 64 + 48 + 16*(22+84) + 15*16},
		{mnist.Test, 1, "", 64 + 224, 64 + 22 + 224},
		{small(), 7, "7 images", 64 + 4*220 + 3*12, 64 + 48 + 2*(22+132) + 16},
	} {
		t.Run(fmt.Sprintf("%d of %dx%d", test.count, test.set.Rows, test.set.Columns), func(t *testing.T) {
			t.Parallel() // figures share their fonts
			figure, err := png.Decode(bytes.NewReader(draw(t, "png", test.set, dataset.FileOrder(test.count), test.title)))
			if err != nil {
				t.Fatal(err)
			}
			if found, expected := figure.Bounds(), image.Rect(0, 0, test.width, test.height); found != expected {
				t.Errorf("found a figure of %v, expected %v", found, expected)
			}
		})
	}
}

// Each pixel of an image is a square of dots of exactly its value: nothing is blurred.
func TestBatchKeepsPixels(t *testing.T) {
	set := small()
	rows := []int32{6, 0, 3, 3}
	figure, err := png.Decode(bytes.NewReader(draw(t, "png", set, rows, "")))
	if err != nil {
		t.Fatal(err)
	}
	const side = 44
	for i, row := range rows {
		left := 32 + i%2*(5*side+12)
		top := 32 + 22 + i/2*(22+3*side+16)
		for y := range 3 * side {
			for x := range 5 * side {
				expected := color.Gray{Y: set.Image(int(row))[y/side*5+x/side]}
				if found := color.GrayModel.Convert(figure.At(left+x, top+y)); found != expected {
					t.Fatalf("image %d at %d,%d: found %v, expected %v", i, x, y, found, expected)
				}
			}
		}
	}
}

func TestBatchIsStable(t *testing.T) {
	for _, format := range []string{"png", "svg"} {
		rows := []int32{3, 1, 6, 1}
		first := draw(t, format, small(), rows, "a title")
		if !bytes.Equal(first, draw(t, format, small(), rows, "a title")) {
			t.Errorf("%s: found other bytes the second time", format)
		}
		if bytes.Equal(first, draw(t, format, small(), rows, "another title")) {
			t.Errorf("%s: found equal bytes for another title", format)
		}
	}
}

func TestBatchSVG(t *testing.T) {
	const golden = "testdata/batch.svg"
	title := `3 images of 3x5: <image> & "data:image/jpg;base64,"`
	found := draw(t, "svg", small(), []int32{6, 0, 3}, title)
	if *update {
		if err := os.WriteFile(golden, found, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expected, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(readableImages(t, expected), readableImages(t, found)); diff != "" {
		t.Errorf("differs from %s; go test -update writes it anew (-expected +found):\n%s", golden, diff)
	}

	if diff := cmp.Diff([]string{title, "255", "0", "10"}, textsOf(t, found)); diff != "" {
		t.Errorf("texts (-expected +found):\n%s", diff)
	}
}

// textsOf returns the texts of an SVG in their order.
func textsOf(t *testing.T, svg []byte) []string {
	t.Helper()
	var texts []string
	for decoder := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := decoder.Token()
		if err == io.EOF {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok && len(bytes.TrimSpace(text)) > 0 {
			texts = append(texts, string(text))
		}
	}
}

// readableImages replaces each PNG in an SVG by its pixels: how a PNG is compressed
// is up to the version of Go.
func readableImages(t *testing.T, svg []byte) string {
	t.Helper()
	return regexp.MustCompile(`"data:image/png;base64,[^"]*"`).ReplaceAllStringFunc(string(svg), func(data string) string {
		_, data, _ = strings.Cut(strings.Trim(data, `"`), ",")
		file, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			t.Fatal(err)
		}
		tile, err := png.Decode(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%v %x", tile.Bounds(), tile.(*image.Gray).Pix)
	})
}

func TestBatchErrors(t *testing.T) {
	with := func(change func(*dataset.Set)) dataset.Set {
		set := small()
		change(&set)
		return set
	}
	for _, test := range []struct {
		format   string
		set      dataset.Set
		rows     []int32
		title    string
		expected string
	}{
		{"jpg", small(), []int32{0}, "", `found the format "jpg", expected png or svg`},
		{"", small(), []int32{0}, "", `found the format "", expected png or svg`},
		{"png", small(), nil, "", "rows: found 0 of them, expected 1 to 256"},
		{"png", small(), make([]int32, 257), "", "rows: found 257 of them, expected 1 to 256"},
		{"png", small(), []int32{0, 7}, "", "rows: found 7 at position 1, expected 0 to 6"},
		{"svg", small(), []int32{-1}, "", "rows: found -1 at position 0, expected 0 to 6"},
		{"svg", small(), []int32{0}, strings.Repeat("ä", 401), "title: found 401 characters, expected at most 400"},
		{"png", dataset.Set{}, []int32{0}, "", "set: found images of 0x0 pixels, expected 1 to 4096 each way"},
		{"png", with(func(s *dataset.Set) { s.Columns = 4097 }), []int32{0}, "", "set: found images of 3x4097 pixels, expected 1 to 4096 each way"},
		{"png", dataset.Set{Rows: 3, Columns: 5}, []int32{0}, "", "set: found no images in it"},
		{"png", with(func(s *dataset.Set) { s.Labels = s.Labels[1:] }), []int32{0}, "", "set: found 105 pixels, expected 90 for 6 labels and images of 3x5"},
	} {
		var out bytes.Buffer
		err := report.Batch(&out, test.format, test.set, test.rows, test.title)
		if err == nil || err.Error() != test.expected {
			t.Errorf("found the error %v, expected %q", err, test.expected)
		}
		if out.Len() > 0 {
			t.Errorf("%s: found %d bytes written", test.expected, out.Len())
		}
	}
}

type fullDisk struct{}

var errFullDisk = errors.New("no space left")

func (fullDisk) Write([]byte) (int, error) { return 0, errFullDisk }

func TestBatchReturnsTheErrorOfTheWriter(t *testing.T) {
	if err := report.Batch(fullDisk{}, "png", small(), []int32{0}, ""); !errors.Is(err, errFullDisk) {
		t.Errorf("found the error %v, expected %v", err, errFullDisk)
	}
}

func TestFormatOf(t *testing.T) {
	for _, test := range []struct{ name, format, expected string }{
		{"batch.png", "png", ""},
		{"runs/a.b/batch.SVG", "svg", ""},
		{"batch.jpg", "", `batch.jpg: found the extension ".jpg", expected .png or .svg`},
		{"batch.png.gz", "", `batch.png.gz: found the extension ".gz", expected .png or .svg`},
		{"runs.png/batch", "", `runs.png/batch: found no extension, expected .png or .svg`},
	} {
		format, err := report.FormatOf(test.name)
		found := ""
		if err != nil {
			found = err.Error()
		}
		if format != test.format || found != test.expected {
			t.Errorf("FormatOf(%q) = %q and the error %q, expected %q and %q", test.name, format, found, test.format, test.expected)
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	mnist, err := dataset.Read(dataset.MNIST)
	if err != nil {
		b.Fatal(err)
	}
	for _, format := range []string{"png", "svg"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				if err := report.Batch(io.Discard, format, mnist.Train, dataset.FileOrder(64), "64 images"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
