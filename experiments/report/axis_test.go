package report

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func labels(ticks []tick) []string {
	all := []string{}
	for _, t := range ticks {
		all = append(all, t.label)
	}
	return all
}

func TestTicks(t *testing.T) {
	for _, test := range []struct {
		low, high float64
		most      int
		asPercent bool
		expected  []string
	}{
		{0.8, 1, 6, true, []string{"80%", "85%", "90%", "95%", "100%"}},
		{0.8, 0.9, 6, true, []string{"80%", "82%", "84%", "86%", "88%", "90%"}},
		{0.97, 0.98, 5, true, []string{"97.0%", "97.2%", "97.4%", "97.6%", "97.8%", "98.0%"}},
		{0, 2.5, 5, false, []string{"0.0", "0.5", "1.0", "1.5", "2.0", "2.5"}},
		{0, 4, 5, false, []string{"0", "1", "2", "3", "4"}},
		{0, 0.00003, 3, false, []string{"0.00000", "0.00001", "0.00002", "0.00003"}},
		{0, 3e99, 3, false, []string{"0", "1e+99", "2e+99", "3e+99"}},
		{0, 4e-9, 2, false, []string{"0", "2e-09", "4e-09"}},
		{0, 1, 0, false, []string{"0", "1"}},
	} {
		found := labels(ticks(test.low, test.high, stepFor(test.high-test.low, test.most), test.asPercent))
		if diff := cmp.Diff(test.expected, found); diff != "" {
			t.Errorf("%v to %v (-expected +found):\n%s", test.low, test.high, diff)
		}
	}
}

func TestEpochTicks(t *testing.T) {
	measure := func(label string) int { return 12 * len(label) }
	for _, test := range []struct {
		count, length int
		expected      []string
	}{
		{1, 1000, []string{"1"}},
		{3, 1000, []string{"1", "2", "3"}},
		{12, 1000, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}},
		{30, 1000, []string{"1", "2", "4", "6", "8", "10", "12", "14", "16", "18", "20", "22", "24", "26", "28", "30"}[1:]},
		{100, 600, []string{"1", "10", "20", "30", "40", "50", "60", "70", "80", "90", "100"}},
		{999_999, 600, []string{"1", "200000", "400000", "600000", "800000"}},
	} {
		if diff := cmp.Diff(test.expected, labels(epochTicks(test.count, test.length, measure))); diff != "" {
			t.Errorf("%d epochs in %d dots (-expected +found):\n%s", test.count, test.length, diff)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		name             string
		wanted, expected []float64
	}{
		{"none", nil, []float64{}},
		{"far apart", []float64{10, 90}, []float64{10, 90}},
		{"near", []float64{50, 54}, []float64{42, 62}},
		{"near, the other way round", []float64{54, 50}, []float64{62, 42}},
		{"equal", []float64{50, 50}, []float64{40, 60}},
		{"at the upper edge", []float64{0, 3}, []float64{0, 20}},
		{"at the lower edge", []float64{100, 99}, []float64{100, 80}},
		{"one pushes the next", []float64{50, 52, 69}, []float64{37, 57, 77}},
	} {
		if diff := cmp.Diff(test.expected, spread(test.wanted, 20, 0, 100)); diff != "" {
			t.Errorf("%s (-expected +found):\n%s", test.name, diff)
		}
	}
}

func TestSpreadKeepsApart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		wanted := make([]float64, random.IntN(6))
		for i := range wanted {
			wanted[i] = random.Float64() * 100
			if i > 0 && random.IntN(3) == 0 {
				wanted[i] = wanted[i-1]
			}
		}
		found := spread(wanted, 20, 0, 100)
		sorted := slices.Sorted(slices.Values(found))
		for i := 1; i < len(sorted); i++ {
			if sorted[i]-sorted[i-1] < 20-1e-9 {
				t.Fatalf("spread(%v) = %v: two are too near", wanted, found)
			}
		}
		for i := range found {
			if found[i] < -1e-9 || found[i] > 100+1e-9 {
				t.Fatalf("spread(%v) = %v: one is outside", wanted, found)
			}
			for j := range found {
				if wanted[i] < wanted[j] && found[i] > found[j] {
					t.Fatalf("spread(%v) = %v: two have changed places", wanted, found)
				}
			}
		}
	}
}

func TestBoxCut(t *testing.T) {
	b := box{0, 0, 10, 10}
	for _, test := range []struct {
		name     string
		line     []dot
		expected [][]dot
	}{
		{"none", nil, nil},
		{"a dot inside", []dot{{1, 1}}, [][]dot{{{1, 1}}}},
		{"a dot outside", []dot{{11, 1}}, nil},
		{"inside", []dot{{1, 1}, {2, 3}, {4, 9}}, [][]dot{{{1, 1}, {2, 3}, {4, 9}}}},
		{"leaves", []dot{{1, 5}, {2, 5}, {3, 15}}, [][]dot{{{1, 5}, {2, 5}, {2.5, 10}}}},
		{"leaves and comes back", []dot{{1, 5}, {2, 15}, {3, 5}}, [][]dot{{{1, 5}, {1.5, 10}}, {{2.5, 10}, {3, 5}}}},
		{"goes through", []dot{{5, -10}, {5, 30}}, [][]dot{{{5, 0}, {5, 10}}}},
		{"passes by", []dot{{-1, 8}, {1, 20}}, nil},
		{"beside it", []dot{{11, 0}, {11, 10}}, nil},
		{"far away", []dot{{5, 5}, {6, -1e100}}, [][]dot{{{5, 5}, {5, 0}}}},
	} {
		if diff := cmp.Diff(test.expected, b.cut(test.line), cmp.AllowUnexported(dot{})); diff != "" {
			t.Errorf("%s (-expected +found):\n%s", test.name, diff)
		}
	}
}

func TestThinned(t *testing.T) {
	line := []dot{{0, 5}, {0.1, 1}, {0.2, 7}, {0.3, 3}, {0.4, 9}, {0.5, 2}, {1.1, 4}, {1.2, 5}, {1.3, 6}}
	expected := []dot{{0, 5}, {0.1, 1}, {0.4, 9}, {0.5, 2}, {1.1, 4}, {1.3, 6}}
	if diff := cmp.Diff(expected, thinned(line), cmp.AllowUnexported(dot{})); diff != "" {
		t.Errorf("(-expected +found):\n%s", diff)
	}
	few := []dot{{0, 5}, {1, 1}, {2, 7}}
	if diff := cmp.Diff(few, thinned(few), cmp.AllowUnexported(dot{})); diff != "" {
		t.Errorf("few (-expected +found):\n%s", diff)
	}

	many := make([]dot, 100_000)
	for i := range many {
		many[i] = dot{float64(i) / 1000, math.Sin(float64(i))}
	}
	if found := len(thinned(many)); found > 4*101 {
		t.Errorf("found %d dots of 100,000 in 100 columns, expected at most 404", found)
	}
	if thinned(nil) != nil {
		t.Error("found dots of no line")
	}
}

func TestPercent(t *testing.T) {
	for _, test := range []struct {
		share    float64
		decimals int
		expected string
	}{
		{0, 1, "0.0%"},
		{0.00001, 1, "<0.1%"},
		{0.0005, 1, "0.1%"},
		{0.974, 1, "97.4%"},
		{0.99949, 1, "99.9%"},
		{0.99951, 1, ">99.9%"},
		{1, 1, "100.0%"},
		{0.001, 0, "<1%"},
		{0.999, 0, ">99%"},
		{0.99999, 2, ">99.99%"},
	} {
		if found := percent(test.share, test.decimals); found != test.expected {
			t.Errorf("percent(%v, %d) = %q, expected %q", test.share, test.decimals, found, test.expected)
		}
	}
}

func TestCounted(t *testing.T) {
	for count, expected := range map[int]string{0: "0 images", 1: "1 image", 999: "999 images", 1000: "1,000 images", 1234567: "1,234,567 images"} {
		if found := counted(count, "image"); found != expected {
			t.Errorf("found %q, expected %q", found, expected)
		}
	}
}
