package figures_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"epochal/dataset"
	"epochal/experiments/report/figures"
)

var update = flag.Bool("update", false, "write the golden files anew")

// run is a seed that ends at a train and a test accuracy.
func run(seed uint64, epochs int, train, test float64) figures.Run {
	r := figures.Run{Seed: seed}
	for i := range epochs {
		missing := 0.5 / float64(i+1) * (1 - float64(i+1)/float64(epochs))
		r.Epochs = append(r.Epochs, figures.Epoch{
			TrainAccuracy: train - missing, TestAccuracy: test - 0.9*missing, TrainLoss: 3*missing + 0.25, TestLoss: 2.9*missing + 0.375,
		})
	}
	return r
}

// diverged is a seed that came to its end after some epochs.
func diverged(seed uint64, epochs int) figures.Run {
	r := run(seed, epochs, 0.9, 0.9)
	r.Diverged = epochs + 1
	return r
}

// validated is a run with a validation set.
func validated(r figures.Run) figures.Run {
	for i := range r.Epochs {
		accuracy, loss := r.Epochs[i].TestAccuracy-0.005, 0.5
		r.Epochs[i].ValidationAccuracy, r.Epochs[i].ValidationLoss = &accuracy, &loss
	}
	return r
}

// named are runs with names.
func named(count int) []figures.Run {
	all := seeds(count)
	for i := range all {
		all[i].Name = fmt.Sprint("run ", i)
	}
	return all
}

// units are weights from 15 pixels, those of the last unit the largest.
func units(count int) [][]float32 {
	all := make([][]float32, count)
	for i := range all {
		for j := range 15 {
			all[i] = append(all[i], float32(7-j)/7*1.5*float32(i+1)/float32(count))
		}
	}
	return all
}

func seeds(count int) []figures.Run {
	var all []figures.Run
	for i := range count {
		all = append(all, run(uint64(i), 20, 0.97+float64(i%7)/1000, 0.965))
	}
	return all
}

func matrix(classes int) [][]int {
	all := make([][]int, classes)
	for label := range all {
		all[label] = make([]int, classes)
		all[label][(label+1)%classes] = 100 - label%9
		all[label][label] = 900 + label%9
	}
	return all
}

// digits are images of 3x5 pixels.
func digits(count int) dataset.Set {
	set := dataset.Set{Rows: 3, Columns: 5}
	for i := range count {
		set.Labels = append(set.Labels, byte(i))
		for j := range 15 {
			set.Pixels = append(set.Pixels, byte(37*(15*i+j)))
		}
	}
	return set
}

func compared(count int) []figures.Compared {
	all := []figures.Compared{
		{Name: "attempt-1", Kind: "inputs 0 to 1", Low: 0.892, Mean: 0.894, High: 0.896, Values: []float64{0.893, 0.894, 0.895}, Seconds: 17.25},
		{
			Name: "attempt-1-normalized", Kind: "normalized inputs", Low: 0.925, Mean: 0.929, High: 0.933,
			Values: []float64{0.927, 0.931, 0.929}, Seconds: 1234.5, Note: "1 of 4 diverged",
		},
		{Name: "<one> & alone", Kind: "inputs 0 to 1", Low: 0.974, Mean: 0.974, High: 0.974, Values: []float64{0.974}},
		{Name: "lost", Note: "3 of 3 diverged", Seconds: 2},
	}
	for i := len(all); i < count; i++ {
		all = append(all, figures.Compared{
			Name: fmt.Sprint("experiment-", i), Low: 0.9, Mean: 0.9, High: 0.9, Values: []float64{0.9}, Seconds: 1,
		})
	}
	return all[:count]
}

// settings are panels of backends, each half as fast as the one before.
func settings(panels, backends int, widths ...float64) []figures.Setting {
	all := make([]figures.Setting, panels)
	for i := range all {
		all[i].Name = fmt.Sprintf("batch %d, 2 hidden layers", 16<<i)
		for j := range backends {
			b := figures.Backend{Name: fmt.Sprint("backend-", j)}
			for _, width := range widths {
				images := 1e6 / width / float64(int(1)<<j)
				b.Points = append(b.Points, figures.Point{Width: width, Images: images, Low: images * 0.9, High: images * 1.1})
			}
			all[i].Backends = append(all[i].Backends, b)
		}
	}
	return all
}

// garments are the classes of Fashion-MNIST.
var garments = []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}

// letters are as many names of one letter, as EMNIST has them.
func letters(count int) []string {
	return strings.Split("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt", "")[:count]
}

// folders are as many names as folders have them that nobody chose with care.
func folders(count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = []string{
			"n02085620-Chihuahua of whom nobody knows any more", "<b>&amp;", "\x1b[31mred\x00", "  ", "字", "ß→é",
			strings.Repeat("W", 300), "a\nb",
		}[i%8] + fmt.Sprint(i / 8)[:min(1, i/8)]
	}
	return all
}

// fashion are images of garments, as large as MNIST's, of all classes in turn.
func fashion(count, classes int) dataset.Set {
	set := dataset.Set{Rows: 28, Columns: 28, Pixels: make([]byte, 28*28*count)}
	for i := range count {
		set.Labels = append(set.Labels, byte(i%classes))
		for y := 6; y < 22; y++ {
			for x := range 16 {
				set.Pixels[i*28*28+y*28+x+6] = byte(15*x + i)
			}
		}
	}
	return set
}

// wrong are as many mistakes, each of the next classes.
func wrong(count, classes int) []figures.Mistake {
	all := make([]figures.Mistake, count)
	for i := range all {
		all[i] = figures.Mistake{Image: i, Label: i % classes, Predicted: (i + 3) % classes, Confidence: 1 - float64(i)/100}
	}
	return all
}

var title = `a <title> & "quoted"`

// Every figure is drawn for usual and unusual inputs, says in its text what it must,
// and is a valid file of at most 720 points.
func TestFigures(t *testing.T) {
	large := dataset.Set{Rows: 900, Columns: 4000, Labels: []byte{0, 1}, Pixels: make([]byte, 2*900*4000)}
	exploded := named(3)
	for i := range exploded {
		exploded[i] = validated(exploded[i])
		exploded[i].Name = fmt.Sprintf("%d: learning rate 0.1, batch 16", i+1)
	}
	*exploded[2].Epochs[3].ValidationLoss = 1e6
	for _, test := range []struct {
		name   string
		figure figures.Figure
		texts  string // separated by |
	}{
		{
			"one seed", figures.Curves("784-512-512-10", seeds(1)),
			"784-512-512-10, test 96.5%|accuracy|loss|epoch|80%|train 97.0%|test 96.5%|train 0.25|test 0.375",
		},
		{
			"seeds", figures.Curves("net", append(seeds(3), diverged(7, 4))),
			"Bold: mean of 3 seeds. Thin: each of them. Train accuracy stays above test accuracy from epoch|" +
				"Accuracies below 80% are off|Diverged (×) and not in the mean: seed 7.",
		},
		{"1,000 seeds", figures.Curves("net", seeds(1000)), "Bold: mean of 1,000 seeds. Thin: each of them."},
		{"one epoch", figures.Curves("net", []figures.Run{run(0, 1, 0.9, 0.8)}), "net, test 80.0%|0%"},
		{"1,000 epochs", figures.Curves("net", []figures.Run{run(0, 1000, 0.99, 0.98)}), "net, test 98.0%|1000"},
		{"all diverged", figures.Curves("net", []figures.Run{diverged(3, 2), diverged(4, 0)}), "net, all diverged|seed 3, 4.|train|test"},
		{
			"a validation set", figures.Curves("net", []figures.Run{validated(run(0, 5, 0.97, 0.96))}),
			"train 97.0%|validation 95.5%|validation 0.5",
		},
		{
			"half a validation set", figures.Curves("net", []figures.Run{
				{Epochs: append(validated(run(0, 1, 0.9, 0.9)).Epochs, run(0, 1, 0.9, 0.9).Epochs...)},
			}), "train 90.0%",
		},
		{
			"runs together", figures.Together(title, append(named(3), diverged(7, 4), diverged(8, 0), figures.Run{Name: "new"})),
			title + "|run 0 96.5%|run 2 96.5%|diverged|new|test accuracy|test loss|epoch|are off the axis.",
		},
		{"20 runs together", figures.Together("", named(figures.MostTogether)), "run 19 96.5%"},
		{
			"a long name", figures.Together("", []figures.Run{{Name: "a very long name of a run, with its end"}}),
			"…e of a run, with its end|100%",
		},
		{"units", figures.Weights(title, 3, 5, units(10)), title + "|0|9|Positive weights are blue|±1.5."},
		{"100 units", figures.Weights("", 3, 5, units(100)), "99|36|The 64 of 100 units whose weights are largest"},
		{"weights of 0", figures.Weights("", 1, 1, [][]float32{{0}, {0}}), "0|1"},
		{
			"2 classes", figures.Confusion("net", matrix(2), nil, 1),
			"net, test 90.0%|901|90.1%|1,801 of 2,000 images correct (90.05%). Percentages",
		},
		{
			"10 classes", figures.Confusion("net", matrix(10), nil, 5),
			"5 seeds together. Percentages are of the true class.|908|90.8%|correct 100%|wrong 10%|predicted class|true class",
		},
		{"26 classes", figures.Confusion("net", matrix(26), nil, 1), "25|Cells are too small for numbers"},
		{"256 classes", figures.Confusion("net", matrix(256), nil, 1), "240|Cells are too small for numbers"},
		{
			"garments", figures.Confusion("net", matrix(10), garments, 1),
			"T-shirt/top|Ankle boot|908|90.8%|Percentages are of the true class.",
		},
		{"26 letters", figures.Confusion("net", matrix(26), letters(26), 1), "A|P|Cells are too small for numbers"},
		{"47 letters", figures.Confusion("net", matrix(47), letters(47), 1), "0|1|A|B|a|b|t|Cells are too small"},
		{"2 long names", figures.Confusion("net", matrix(2), folders(2), 1), "n02085620-…more|<b>&amp;|901|90.1%"},
		{
			"names of folders", figures.Confusion("net", matrix(32), folders(32), 1),
			"n02085620-…more <b>&amp; 2 3 4 ß→é WWWWWW…WW a b n02085620-…ore1|Cells are too small for numbers; " +
				"their colour shows the share of the true class.",
		},
		{"100 names", figures.Confusion("net", matrix(100), folders(100), 1), "One class in 3 is named."},
		{"batch of garments", figures.Batch("", fashion(64, 10), garments, dataset.FileOrder(64)), "T-shirt/top|Ankle boot"},
		{"large batch of garments", figures.Batch("", fashion(65, 10), garments, dataset.FileOrder(65)), "T-shirt/top|Ankle boot"},
		{"batch of letters", figures.Batch("", fashion(65, 47), letters(47), dataset.FileOrder(65)), "A|t"},
		{
			"batch of folders", figures.Batch("", fashion(32, 8), folders(8), dataset.FileOrder(32)),
			"n0208…re <b>&amp; 2 3 4 ß→é WWW…W a b|Numbers stand for 2 class names that the font cannot write.",
		},
		{
			"mistakes with garments", figures.Mistakes("", fashion(64, 10), garments, wrong(64, 10)),
			"T-shirt/top → Dress >99.9%|Sneaker → T-shirt/top 93.0%",
		},
		{"mistakes with letters", figures.Mistakes("", fashion(16, 47), letters(47), wrong(16, 47)), "A → D 90.0%"},
		{
			"mistakes with folders", figures.Mistakes("", fashion(8, 8), folders(8), wrong(8, 8)),
			"<b>&amp; → 4 99.0%|confidence in it. Numbers stand for 2 class names that the font cannot write.",
		},
		{"no images", figures.Confusion("net", [][]int{{0, 0}, {0, 0}}, nil, 1), "0 of 0 images correct"},
		{"batch", figures.Batch(title, digits(3), nil, []int32{2, 0, 1}), title + "|2|0|1"},
		{"256 images", figures.Batch("", digits(256), nil, dataset.FileOrder(256)), "255"},
		{"large images", figures.Batch("", large, nil, []int32{1, 0}), "1|0"},
		{
			"mistakes", figures.Mistakes(title, digits(9), nil, []figures.Mistake{{Image: 8, Label: 8, Predicted: 3, Confidence: 0.99999}}),
			"8 → 3|>99.9%|True → predicted class",
		},
		{
			"comparison", figures.Comparison(title, compared(4)),
			"attempt-1|1 of 4 diverged|<one> & alone|89.40 ± 0.20%|97.40%|none|17.2|" +
				"1234.5|normalized inputs: mean with its 95% interval (from 3 seeds on)",
		},
		{"150 experiments", figures.Comparison(title, compared(150)), "experiment-149|experiment-4"},
		{
			"throughput", figures.Throughput(title, "a note", settings(2, 3, 32, 128, 1024)),
			"batch 16, 2 hidden layers|batch 32, 2 hidden layers|images/s|width of the hidden layers|32|1024|backend-2|10k|a note",
		},
		{
			"reliability", figures.Reliability(title, []figures.Confidence{
				{From: 0, To: 0.5}, {From: 0.5, To: 0.75, Images: 1234, Mean: 0.7, Accuracy: 0.6},
				{From: 0.75, To: 1, Images: 66, Mean: 1, Accuracy: 1},
			}, 0.0949),
			title + "|confidence of the network|accuracy|1,234|66|confidence = accuracy|Expected calibration error 9.49%, of 1,300 images.|0%|100%",
		},
		{
			"validated", figures.Validated(title, []figures.Run{validated(named(1)[0])}),
			"validation accuracy|validation loss|run 0, 96.0%",
		},
		{
			"an exploded run", figures.Validated("", exploded),
			"1: learning rate 0.1,|batch 16, 96.0%|Losses above 2 are off the axis.",
		},
		{
			"swept", figures.Sweep(title, []figures.Swept{
				{Name: "layer sizes", Categories: []string{"[]", "[512, 512]"},
					Settings: []figures.SweptSetting{{0, 0.97, false}, {1, 0.98, false}, {1, 0.1, true}, {1, 0.975, false}}},
				{Name: "learning rate", Log: true, Settings: []figures.SweptSetting{
					{0.001, 0.97, false}, {0.01, 0.98, false}, {0.3, 0.1, true}, {1, 0.975, false}}},
				{Name: "batch size", Settings: []figures.SweptSetting{
					{16, 0.97, false}, {32, 0.98, false}, {33, 0.1, true}, {64, 0.975, false}}},
			}),
			"layer sizes|[512, 512]|learning rate|0.01|batch size|validation accuracy|98%|" +
				"with that value that did not stop early. Grey: stopped early|1 setting below 90.0%: off the axis.",
		},
		{
			"one setting",
			figures.Sweep("", []figures.Swept{{Name: "rate", Log: true, Settings: []figures.SweptSetting{{0.1, 1, false}}}}), "rate|100",
		},
		{
			"importance", figures.Importance(title, []figures.Influence{{"learning_rate", 0.75, 0.1}, {"batch_size", 0.01, 0.2}}),
			"learning rate 75%|batch size 1%|by chance|100%",
		},
		{"one width", figures.Throughput("", "", settings(1, 1, 64)), "64|backend-0"},
		{"21 backends", figures.Throughput("", "", settings(7, 21, 33, 34, 4096)), "batch 1024, 2 hidden layers|backend-20|4096"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			all := strings.Join(textsOf(t, draw(t, test.figure, figures.SVG)), " ")
			for expected := range strings.SplitSeq(test.texts, "|") {
				if !strings.Contains(" "+all+" ", expected) {
					t.Errorf("found no text %q in %q", expected, all)
				}
			}
			if strings.Contains(all, "NaN") || strings.Contains(all, "Inf") {
				t.Errorf("found NaN or Inf in %q", all)
			}
			picture, err := png.Decode(bytes.NewReader(draw(t, test.figure, figures.PNG)))
			if err != nil {
				t.Fatal(err)
			}
			size := picture.Bounds().Size()
			if size.X != 2*int(test.figure.Width) || size.Y != 2*int(test.figure.Height) || test.figure.Width > 720 {
				t.Errorf("found %v dots for %v x %v points, expected 2 dots for each of at most 720", size, test.figure.Width, test.figure.Height)
			}
		})
	}
}

func draw(t *testing.T, f figures.Figure, format string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := f.Write(&out, format); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// textsOf returns the texts of an SVG, with the lines of wrapped ones joined.
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

// Equal input gives equal bytes, those of the golden file.
func TestFigureIsStable(t *testing.T) {
	f := figures.Curves(title, append(seeds(3), diverged(7, 4)))
	checkGolden(t, "curves.svg", draw(t, f, figures.SVG))
	for _, format := range []string{figures.SVG, figures.PNG} {
		again := figures.Curves(title, append(seeds(3), diverged(7, 4)))
		if first := draw(t, f, format); !bytes.Equal(first, draw(t, f, format)) || !bytes.Equal(first, draw(t, again, format)) {
			t.Errorf("%s: found other bytes the second time", format)
		}
	}
}

// The figure of the README is what five seeds of the post's first attempt gave.
func TestREADMEFigure(t *testing.T) {
	text, err := os.ReadFile("testdata/attempt-1.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Command, Environment, Network string
		Runs                          []figures.Run
		Confusion                     [][]int
	}
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	curves := figures.Curves(recorded.Network, recorded.Runs)
	confusion := figures.Confusion(recorded.Network, recorded.Confusion, nil, len(recorded.Runs))
	checkGolden(t, "attempt-1.svg", draw(t, figures.Stack(curves, confusion), figures.SVG))
}

func checkGolden(t *testing.T, name string, found []byte) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, found, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expected, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(expected, found) {
		t.Errorf("found another figure than %s; go test -update writes it anew", path)
	}
}

// Each pixel of an image is a square of dots of exactly its value: nothing is blurred.
func TestBatchKeepsPixels(t *testing.T) {
	set := digits(3)
	picture, err := png.Decode(bytes.NewReader(draw(t, figures.Batch("", set, nil, []int32{2}), figures.PNG)))
	if err != nil {
		t.Fatal(err)
	}
	var found []byte
	const side, left, top = 44, 32, 32 + 2*17 // 224 dots / 5 pixels; a margin; and a caption
	for y := range 3 {
		for x := range 5 {
			at := func(dx, dy int) byte {
				return color.GrayModel.Convert(picture.At(left+x*side+dx, top+y*side+dy)).(color.Gray).Y
			}
			for _, corner := range []byte{at(side-1, 0), at(0, side-1), at(side-1, side-1)} {
				if corner != at(0, 0) {
					t.Fatalf("found %d and %d in the square of pixel %d,%d, expected one value", corner, at(0, 0), x, y)
				}
			}
			found = append(found, at(0, 0))
		}
	}
	if !slices.Equal(found, set.Image(2)) {
		t.Errorf("found %v, expected %v", found, set.Image(2))
	}
}

func TestWriteErrors(t *testing.T) {
	reader, broken := io.Pipe()
	reader.Close()
	f := figures.Batch("", digits(1), nil, []int32{0})
	for _, format := range []string{figures.SVG, figures.PNG} {
		if err := f.Write(broken, format); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: found the error %v, expected %v", format, err, io.ErrClosedPipe)
		}
	}
}

func TestFormatOf(t *testing.T) {
	if format, err := figures.FormatOf("runs/a.b/batch.SVG"); format != figures.SVG || err != nil {
		t.Errorf("found %q and the error %v, expected %q", format, err, figures.SVG)
	}
}
