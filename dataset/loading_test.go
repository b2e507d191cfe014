package dataset_test

import (
	"io"
	"strings"
	"sync"
	"testing"

	"epochal/dataset"
)

// gate is a reader without bytes that ends when it is closed.
type gate chan struct{}

func (g gate) Read([]byte) (int, error) {
	<-g
	return 0, io.EOF
}

// gated is a file system whose image files deliver their header immediately, and
// their pixels when the gate opens.
func gated(files map[string][]byte, g gate) *paced {
	return &paced{FS: folder(files), reader: func(name string, file io.Reader) io.Reader {
		if strings.Contains(name, "images") {
			return io.MultiReader(io.LimitReader(file, 16), g, file)
		}
		return file
	}}
}

func TestLoadReturnsBeforeThePixels(t *testing.T) {
	opens := make(gate)
	fsys := gated(small(), opens)
	loading, err := dataset.Load(fsys, "small", dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	close(opens)
	var waiting sync.WaitGroup
	found := make([]*dataset.Dataset, 3)
	for i := range found {
		waiting.Go(func() {
			d, err := loading.Wait()
			if err != nil {
				t.Error(err)
			}
			found[i] = d
		})
	}
	waiting.Wait()
	if open := fsys.open.Load(); open != 0 {
		t.Errorf("found %d files open at the end", open)
	}
	if found[0] == found[1] || &found[0].Train.Pixels[0] != &found[1].Train.Pixels[0] {
		t.Errorf("expected a value of its own for each caller, and shared pixels")
	}
}

func TestNoFileStaysOpen(t *testing.T) {
	for name, changes := range map[string]map[string][]byte{
		"sound":                nil,
		"bad pixels":           {trainImages: imagesFile(7, 3, 5, pattern(1))},
		"bad header":           {testImages: imagesFile(0, 3, 5, nil)},
		"bad labels":           {testLabels: labelsFile()},
		"bad start of gz":      {trainImages: pack(nil)[:3]},
		"counts that disagree": {trainLabels: labelsFile(4)},
	} {
		t.Run(name, func(t *testing.T) {
			open := make(gate)
			close(open)
			fsys := gated(with(small(), changes), open)
			loading, err := dataset.Load(fsys, "small", dataset.Options{})
			if (err != nil) != (changes != nil && name != "bad pixels") {
				t.Errorf("found error %v", err)
			}
			if err == nil {
				loading.Close() // without having waited
			}
			if open := fsys.open.Load(); open != 0 {
				t.Errorf("found %d files open at the end", open)
			}
		})
	}
}
