package report

import (
	"image"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/image/font"
)

// Text in the cells of a matrix fits, and the figure keeps to the page.
func TestConfusionKeepsToThePage(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, test := range []struct {
		classes, most int
		count, share  bool // are shown
	}{
		{2, 10, true, true},
		{2, MaxImages, true, true},
		{10, 1000, true, true},
		{10, 99_999, true, true},
		{15, 9999, true, true},
		{26, 9999, true, false},
		{26, 99_999, false, false},
		{40, 99, true, false},
		{60, 9, true, false},
		{256, 9, false, false},
	} {
		matrix := make([][]int, test.classes)
		for label := range matrix {
			matrix[label] = make([]int, test.classes)
			for predicted := range matrix[label] {
				matrix[label][predicted] = random.IntN(test.most/10 + 1)
			}
			matrix[label][label] = test.most
		}
		f := layOutConfusion("a title", matrix, 1)
		if found := f.countSize > 0; found != test.count {
			t.Errorf("%d classes, %d images: found numbers %v, expected %v", test.classes, test.most, found, test.count)
		}
		if found := f.shareSize > 0; found != test.share {
			t.Errorf("%d classes, %d images: found shares %v, expected %v", test.classes, test.most, found, test.share)
		}
		if f.width > margin+pageWidth+margin || f.left+f.side+classOffset+accuracyBar > f.width-margin || f.left < margin+classOffset {
			t.Errorf("%d classes: found a figure of %d dots with a matrix of %d from %d on", test.classes, f.width, f.side, f.left)
		}
		if f.countSize > 0 {
			text := width(sans(f.countSize, font.WeightBold), strconv.Itoa(test.most))
			if f.countSize < smallestText || text > f.cell-cellGap {
				t.Errorf("%d classes, %d images: found text of %d dots in size %d in a cell of %d", test.classes, test.most, text, f.countSize, f.cell)
			}
		}
		name := width(sans(labelSize, font.WeightNormal), strconv.Itoa(test.classes-1))
		if f.every*f.cell < name+12 {
			t.Errorf("%d classes: found names of %d dots every %d dots", test.classes, name, f.every*f.cell)
		}
	}
}

func TestConfusionColors(t *testing.T) {
	f := layOutConfusion("", [][]int{{900, 30, 0}, {70, 930, 0}, {0, 0, 0}}, 1)
	paper := white(blue, 1)
	for _, at := range []image.Point{{0, 2}, {2, 0}, {2, 2}} {
		if found := f.color(at.X, at.Y); found != paper {
			t.Errorf("found %v for a cell without images, expected %v", found, paper)
		}
	}
	if f.lowest != 0.9 || f.highest != 0.1 {
		t.Errorf("found scales from %v and to %v, expected 0.9 and 0.1", f.lowest, f.highest)
	}
	right, wrong := f.color(0, 0), f.color(0, 1)
	if right.B <= right.R || wrong.R <= wrong.B {
		t.Errorf("found %v and %v, expected blue and vermillion", right, wrong)
	}
	if more := f.color(1, 0); more.G >= wrong.G {
		t.Errorf("found %v for more mistakes than %v, expected a fuller colour", more, wrong)
	}
	if fewer := f.color(1, 1); fewer.R <= right.R {
		t.Errorf("found %v for fewer hits than %v, expected a paler colour", fewer, right)
	}
}

func TestComparedAxis(t *testing.T) {
	none := math.NaN()
	values := func(mean, half float64, all ...float64) Compared {
		return Compared{Low: mean - half, Mean: mean, High: mean + half, Values: all}
	}
	for _, test := range []struct {
		name      string
		all       []Compared
		low, high float64
	}{
		{"none", []Compared{{Mean: none}}, 0, 1},
		{"one", []Compared{values(0.9, none, 0.9)}, 0.894, 0.906},
		{"one at the top", []Compared{values(1, none, 1)}, 0.995, 1},
		{"several", []Compared{values(0.89, 0.002, 0.889, 0.891), values(0.97, 0.001, 0.97)}, 0.88, 0.98},
		{"wide interval", []Compared{values(0.89, 0.5, 0.88, 0.9), values(0.97, 0.001, 0.97)}, 0.8, 1},
		{"all of it", []Compared{values(0.1, 0.5, 0, 0.2), values(1, 0.5, 1, 1)}, 0, 1},
	} {
		axis, ticks := comparedAxis(test.all, 6)
		if math.Abs(axis.low-test.low) > 1e-9 || math.Abs(axis.high-test.high) > 1e-9 {
			t.Errorf("%s: found %v to %v, expected %v to %v", test.name, axis.low, axis.high, test.low, test.high)
		}
		if len(ticks) < 3 || len(ticks) > 9 {
			t.Errorf("%s: found the ticks %v, expected 3 to 9", test.name, labels(ticks))
		}
	}
}

func TestLayOutComparison(t *testing.T) {
	long := strings.Repeat("a/long/name", 30)
	names := []string{"a", "a-normalized", "b-normalized", "b", "c", "a-normalized", long, long + normalizedSuffix}
	var all []Compared
	for _, name := range names {
		all = append(all, Compared{Name: name, Low: 0.8, Mean: 0.85, High: 0.9, Values: []float64{0.84, 0.86}, Seconds: MaxSeconds, Note: "1 of 3 diverged"})
	}
	f := layOutComparison("", all)

	// a and b with their twins, c alone, a's twin alone, the long one with its twin: every second is a band.
	if found := len(f.bands); found != 3 {
		t.Errorf("found %d bands, expected 3", found)
	}
	bottom := f.top
	for i, row := range f.rows {
		if row.top < bottom || row.bottom-row.top < row.texts+2*rowPadding {
			t.Errorf("found row %d from %d to %d with texts of %d dots, below one to %d", i, row.top, row.bottom, row.texts, bottom)
		}
		bottom = row.bottom
		paired := i == 1 || i == 3 || i == 7
		if i > 0 && (row.top == f.rows[i-1].bottom) != paired {
			t.Errorf("found row %d in one group with its predecessor: %v, expected %v", i, !paired, paired)
		}
	}
	for i, band := range f.bands {
		if band.Dy() < comparedRow || band.Max.Y > f.bottom {
			t.Errorf("found band %d at %v", i, band)
		}
	}
	left, right := f.accuracies.first, f.accuracies.last
	if left < margin || right-left < 300 || int(right) > f.meansRight || f.meansRight > f.timesLeft || f.timesLeft+barWidth > f.width-margin {
		t.Errorf("found accuracies from %v to %v, means to %d, seconds from %d on", left, right, f.meansRight, f.timesLeft)
	}
}

func TestComparedTexts(t *testing.T) {
	for _, test := range []struct {
		compared      Compared
		mean, seconds string
	}{
		{Compared{Seconds: math.NaN()}, "–", "–"},
		{Compared{Low: math.Inf(-1), Mean: 0.5, High: math.Inf(1), Values: []float64{0.4, 0.6}}, "50.00%", "0.0"},
		{Compared{Low: 0.5, Mean: 0.5, High: 0.5, Values: []float64{0.5}}, "50.00%", "0.0"},
		{Compared{Low: 0.4, Mean: 0.5, High: 0.6, Values: []float64{0.45, 0.55}, Seconds: 9.94}, "50.00 ± 10.00%", "9.9"},
		{Compared{Low: -4, Mean: 0.5, High: 5, Values: []float64{0, 1}, Seconds: 9.96}, "50.00 ± >100%", "10"},
		{Compared{Low: 0.5, Mean: 0.5, High: 0.5, Values: []float64{0.5, 0.5}, Seconds: 1234.5}, "50.00 ± 0.00%", "1,235"},
	} {
		if found := meanText(test.compared); found != test.mean {
			t.Errorf("found the mean %q, expected %q", found, test.mean)
		}
		if found := secondsText(test.compared.Seconds); found != test.seconds {
			t.Errorf("found the seconds %q, expected %q", found, test.seconds)
		}
	}
}
