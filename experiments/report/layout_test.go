package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"epochal/dataset"

	"github.com/google/go-cmp/cmp"
)

func TestGrid(t *testing.T) {
	for _, test := range []struct{ count, columns, rows int }{
		{1, 1, 1},
		{2, 2, 1},
		{3, 2, 2},
		{4, 2, 2},
		{5, 3, 2},
		{6, 3, 2},
		{7, 4, 2},
		{8, 4, 2},
		{9, 3, 3},
		{10, 4, 3},
		{16, 4, 4},
		{17, 6, 3},
		{25, 5, 5},
		{32, 8, 4},
		{36, 6, 6},
		{50, 10, 5},
		{64, 8, 8},
		{100, 10, 10},
		{128, 16, 8},
		{200, 16, 13},
		{255, 16, 16},
		{256, 16, 16},
	} {
		if columns, rows := grid(test.count); columns != test.columns || rows != test.rows {
			t.Errorf("grid(%d) = %dx%d, expected %dx%d", test.count, columns, rows, test.columns, test.rows)
		}
	}
	for count := 1; count <= MaxBatch; count++ {
		columns, rows := grid(count)
		if columns > maxColumns || columns < rows || columns > 2*rows || columns*rows < count || columns*(rows-1) >= count {
			t.Errorf("grid(%d) = %dx%d", count, columns, rows)
		}
	}
}

// Every figure keeps to the page, whatever the images and their number.
func TestLayOutKeepsToThePage(t *testing.T) {
	const lines = 2
	const tallest = margin + titleCapitals + (lines-1)*titleLine + titleGap + pageHeight + margin
	sides := []int{1, 3, 28, 100, 1000, dataset.MaxSide}
	for _, count := range []int{1, 2, 3, 10, 32, 64, 200, MaxBatch} {
		captions := make([][]string, count)
		for i := range captions {
			captions[i] = []string{"255"}
		}
		for _, rows := range sides {
			for _, columns := range sides {
				set := dataset.Set{Rows: rows, Columns: columns}
				figure := layOut(set, captions, strings.Repeat("title ", 16), "")
				if figure.width > margin+pageWidth+margin || figure.height > tallest {
					t.Errorf("%d images of %dx%d: found a figure of %dx%d dots", count, rows, columns, figure.width, figure.height)
				}
				if figure.enlarge < 1 || figure.reduce < 1 || figure.enlarge > 1 && figure.reduce > 1 {
					t.Errorf("%d images of %dx%d: found enlarge %d, reduce %d", count, rows, columns, figure.enlarge, figure.reduce)
				}
				last := figure.cell(count - 1)
				if figure.left < margin || last.X+figure.cellWidth > figure.width-margin || last.Y+figure.cellHeight > figure.height-margin {
					t.Errorf("%d images of %dx%d: found the last cell at %v, outside the margins", count, rows, columns, last)
				}
			}
		}
	}
}

func TestTile(t *testing.T) {
	pixels := []byte{
		0, 10, 20,
		30, 41, 50,
	}
	for _, test := range []struct {
		name            string
		enlarge, reduce int
		width           int
		expected        []byte
	}{
		{"as it is", 1, 1, 3, pixels},
		{"enlarged", 2, 1, 6, []byte{
			0, 0, 10, 10, 20, 20,
			0, 0, 10, 10, 20, 20,
			30, 30, 41, 41, 50, 50,
			30, 30, 41, 41, 50, 50,
		}},
		// (0+10+30+41)/4 = 20.25; (20+50)/2 = 35
		{"reduced", 1, 2, 2, []byte{20, 35}},
	} {
		tile := batchFigure{enlarge: test.enlarge, reduce: test.reduce}.tile(pixels, 3)
		if tile.Stride != test.width {
			t.Errorf("%s: found %d columns, expected %d", test.name, tile.Stride, test.width)
		}
		if diff := cmp.Diff(test.expected, tile.Pix); diff != "" {
			t.Errorf("%s (-expected +found):\n%s", test.name, diff)
		}
	}
}

func TestWrap(t *testing.T) {
	measure := func(line string) int { return len([]rune(line)) }
	for _, test := range []struct {
		text     string
		expected []string
	}{
		{"", nil},
		{"short", []string{"short"}},
		{"ten  chars", []string{"ten  chars"}},
		{"eleven char", []string{"eleven", "char"}},
		{"0123456789 next", []string{"0123456789", "next"}},
		{"a/path/without/spaces", []string{"a/path/wit", "hout/space", "s"}},
		{"äöüäöüäöüäöü", []string{"äöüäöüäöüä", "öü"}},
	} {
		if diff := cmp.Diff(test.expected, wrap(test.text, 10, measure)); diff != "" {
			t.Errorf("wrap(%q) (-expected +found):\n%s", test.text, diff)
		}
	}
	if found := wrap("ab", 0, measure); len(found) != 2 {
		t.Errorf("found %q where nothing fits, expected a character a line", found)
	}
}

func TestPrintable(t *testing.T) {
	if found, expected := printable(" a\tb\n\x00\xff\u202ec é数 "), "a b ���c é数"; found != expected {
		t.Errorf("found %q, expected %q", found, expected)
	}
}

func TestWriteReturnsErrors(t *testing.T) {
	var out bytes.Buffer
	for expected, draw := range map[string]func() ([]byte, error){
		"drawing a figure: vgimg: no": func() ([]byte, error) { panic("vgimg: no") },
		"no":                          func() ([]byte, error) { return []byte("half"), errors.New("no") },
	} {
		err := write(&out, draw)
		if err == nil || err.Error() != expected {
			t.Errorf("found the error %v, expected %q", err, expected)
		}
		if out.Len() > 0 {
			t.Errorf("found %q written beside an error", out.String())
		}
	}
}
