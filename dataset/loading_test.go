package dataset_test

import (
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"epochal/dataset"
)

// gated is a file system whose files of images deliver their header at once,
// and their pixels when the gate opens. It counts the files that are open.
type gated struct {
	fs.FS
	gate chan struct{}
	open atomic.Int32
}

type gatedFile struct {
	fs.File
	fsys   *gated
	images bool
	read   int
}

func (g *gated) Open(name string) (fs.File, error) {
	file, err := g.FS.Open(name)
	if err != nil || name == "." {
		return file, err
	}
	g.open.Add(1)
	return &gatedFile{File: file, fsys: g, images: strings.Contains(name, "images")}, nil
}

func (f *gatedFile) Read(p []byte) (int, error) {
	const header = 16
	switch {
	case f.images && f.read < header:
		p = p[:min(len(p), header-f.read)]
	case f.images:
		<-f.fsys.gate
	}
	n, err := f.File.Read(p)
	f.read += n
	return n, err
}

func (f *gatedFile) Close() error {
	f.fsys.open.Add(-1)
	return f.File.Close()
}

func TestLoadReturnsBeforeThePixels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := &gated{FS: folder(small()), gate: make(chan struct{})}
		loading, err := dataset.Load(fsys, "small")
		if err != nil {
			t.Fatal(err)
		}
		var waiting sync.WaitGroup
		var finished atomic.Int32
		found := make([]*dataset.Dataset, 3)
		for i := range found {
			waiting.Go(func() {
				d, err := loading.Wait()
				if err != nil {
					t.Error(err)
				}
				found[i] = d
				finished.Add(1)
			})
		}
		synctest.Wait()
		if finished.Load() != 0 {
			t.Errorf("Wait returned before the pixels were there")
		}
		close(fsys.gate)
		waiting.Wait()
		if open := fsys.open.Load(); open != 0 {
			t.Errorf("found %d files open at the end", open)
		}
		if found[0] == found[1] || &found[0].Train.Pixels[0] != &found[1].Train.Pixels[0] {
			t.Errorf("expected a value of its own for each caller, and shared pixels")
		}
	})
}

// A bubble of synctest fails if a goroutine in it never ends.
func TestLoadEndsWithoutWait(t *testing.T) {
	for name, changes := range map[string]map[string][]byte{
		"sound":                nil,
		"bad pixels":           {trainImages: imagesFile(7, 3, 5, pattern(1))},
		"bad header":           {testImages: imagesFile(0, 3, 5, nil)},
		"bad labels":           {testLabels: labelsFile(9, 9)},
		"bad start of gz":      {trainImages: pack(nil)[:3]},
		"counts that disagree": {trainLabels: labelsFile(4)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys := &gated{FS: folder(with(small(), changes)), gate: make(chan struct{})}
				close(fsys.gate)
				if _, err := dataset.Load(fsys, "small"); (err != nil) != (changes != nil && name != "bad pixels") {
					t.Errorf("found error %v", err)
				}
				synctest.Wait()
				if open := fsys.open.Load(); open != 0 {
					t.Errorf("found %d files open at the end", open)
				}
			})
		})
	}
}
