package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"epochal/dataset/regular"
	"epochal/model"
)

// namedModel writes a network that takes the first three pixels for its classes, which
// makes no mistakes on a dataset of makeDataset.
func namedModel(t *testing.T, file string, names ...string) {
	t.Helper()
	a := model.FullyConnected{Rows: 3, Columns: 4, Classes: 3, Activation: model.ActivationReLU}
	weights := make(model.Weights, 2)
	weights[0], weights[1] = make([]float32, 3*12), make([]float32, 3)
	for class := range 3 {
		weights[0][class*12+class] = 50
	}
	d := model.Description{Architecture: a, ClassNames: names, Normalization: model.Unnormalized(), Data: "pets", BatchSize: 64, Version: "v1"}
	var text bytes.Buffer
	if err := model.WriteModel(&text, d, weights); err != nil {
		t.Fatal(err)
	}
	if err := regular.Write(file, text.Bytes()); err != nil {
		t.Fatal(err)
	}
}

// printed is what a command prints that succeeds.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out, err bytes.Buffer
	if code := run(args, &out, &err); code != exitDone {
		t.Fatalf("%v: found code %d and %s", args, code, err.String())
	}
	return out.String()
}

// Classes are printed by name, whatever the folders were called that the names come from.
func TestClassesHaveNames(t *testing.T) {
	folder := dataFolder(t)
	data, file := filepath.Join(folder, "d"), filepath.Join(folder, "m.safetensors")
	image := filepath.Join(data, "t10k-images-idx3-ubyte")
	for _, test := range []struct {
		names               []string
		table, matrix, line string
	}{
		{
			nil,
			"  class  images  precision   recall       F1\n" +
				"      0      30    100.00%  100.00%  100.00%\n" +
				"      1      30    100.00%  100.00%  100.00%\n" +
				"      2      30    100.00%  100.00%  100.00%\n",
			"  true\\predicted   0   1   2\n" +
				"               0  30   0   0\n" +
				"               1   0  30   0\n" +
				"               2   0   0  30\n",
			" image 1: 1 >99.99%, ",
		},
		{
			[]string{"A", "b", "字"},
			"  class  images  precision   recall       F1\n" +
				"      A      30    100.00%  100.00%  100.00%\n" +
				"      b      30    100.00%  100.00%  100.00%\n" +
				"     字      30    100.00%  100.00%  100.00%\n",
			"  true\\predicted   A   b  字\n" +
				"               A  30   0   0\n" +
				"               b   0  30   0\n" +
				"              字   0   0  30\n",
			" image 1: b >99.99%, ",
		},
		{
			[]string{"Ankle boot", "\x1b[2J\tred\n", strings.Repeat("T-shirt/top ", 20)},
			"                                     class  images  precision   recall       F1\n" +
				"                                Ankle boot      30    100.00%  100.00%  100.00%\n" +
				"                                  �[2J red      30    100.00%  100.00%  100.00%\n" +
				"  T-shirt/top T-shirt/top T-…p T-shirt/top      30    100.00%  100.00%  100.00%\n",
			"                              true\\predicted   0   1   2\n" +
				"                                Ankle boot 0  30   0   0\n" +
				"                                  �[2J red 1   0  30   0\n" +
				"  T-shirt/top T-shirt/top T-…p T-shirt/top 2   0   0  30\n",
			" image 1: �[2J red >99.99%, ",
		},
	} {
		namedModel(t, file, test.names...)
		found := printed(t, "evaluate", file, "--data", data, "--backend", "go")
		_, tables, _ := strings.Cut(found, "on go\n\n")
		if want := test.table + "\n" + test.matrix + "\n"; !strings.HasPrefix(tables, want) {
			t.Errorf("%q: found\n%s\nexpected\n%s", test.names, tables, want)
		}
		if found := printed(t, "predict", file, image); !strings.Contains(found, test.line) {
			t.Errorf("%q: found %.400s, expected %q in it", test.names, found, test.line)
		}
		if test.names == nil {
			continue
		}
		// Programs get the whole names.
		var evaluation struct{ Classes []struct{ Name string } }
		if err := json.Unmarshal([]byte(printed(t, "evaluate", file, "--data", data, "--backend", "go", "--json")), &evaluation); err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(printed(t, "predict", "--json", file, image), "\n")
		var prediction struct{ Name string }
		if err := json.Unmarshal([]byte(first), &prediction); err != nil {
			t.Fatal(err)
		}
		for class, name := range test.names {
			if evaluation.Classes[class].Name != name {
				t.Errorf("found %q as the name of class %d in JSON, expected %q", evaluation.Classes[class].Name, class, name)
			}
		}
		if prediction.Name != test.names[0] {
			t.Errorf("found the prediction %q in JSON, expected %q", prediction.Name, test.names[0])
		}
	}
}

// A dataset's class names are in whatever its runs leave behind.
func TestNamesOfADataset(t *testing.T) {
	folder := dataFolder(t)
	data := filepath.Join(folder, "d")
	if err := os.WriteFile(filepath.Join(data, "classes.txt"), []byte("Ankle boot\n<b>Bag\nCoat\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed(t, "data", "--data", data, "--image", filepath.Join(folder, "batch.svg")), "Ankle boot") {
		t.Error("found no name in what data prints")
	}
	r, page, figures := filepath.Join(folder, "r"), filepath.Join(folder, "page"), filepath.Join(folder, "page", "figures")
	// One step teaches nothing, so that there are mistakes.
	printed(t, "train", "--data", data, "--backend", "go", "--layer-sizes", "2", "--epochs", "1", "--batch-size", "470", "--out", r)
	printed(t, "show", r, "--out", page)
	printed(t, "export", r, filepath.Join(folder, "m.onnx"))
	for file, want := range map[string]string{
		filepath.Join(folder, "batch.svg"):           `>Ankle boot</text>`,
		filepath.Join(r, "evaluation.json"):          `"class_names": \[\s*"Ankle boot",\s*"\\u003cb\\u003eBag",\s*"Coat"\s*\]`,
		filepath.Join(r, "model.safetensors"):        `Ankle boot`,
		filepath.Join(folder, "m.onnx"):              `\["Ankle boot",`,
		filepath.Join(page, "index.html"):            `<th scope="row">&lt;b&gt;Bag</th>`,
		filepath.Join(figures, "run1-confusion.svg"): `&lt;b&gt;Bag`,
		filepath.Join(figures, "run1-mistakes.svg"):  `→ (Ankle boot|&lt;b&gt;Bag|Coat)`,
	} {
		if text, err := os.ReadFile(file); err != nil || !regexp.MustCompile(want).Match(text) {
			t.Errorf("%s: found no %s (%v)", file, want, err)
		}
	}
}
