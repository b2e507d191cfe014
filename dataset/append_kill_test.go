package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"epochal/dataset/regular"
)

// Wherever a process is killed, no image has the label of another after it, and the
// next call goes on.
func TestAppendKilledAnywhere(t *testing.T) {
	defer func() { writeFile = regular.Write }()
	images := []byte{1, 0, 1, 0, 0, 1, 1, 0, 1, 1, 0} // every label is its image's pixel
	for kill := range 20 {
		folder, writes := t.TempDir(), 0
		writeFile = func(name string, content []byte) error {
			if writes++; writes == kill+1 {
				return errors.New("killed")
			}
			return regular.Write(name, content)
		}
		for _, value := range images {
			_, _, err := Append(folder, []byte{value}, 1, 1, value)
			for _, images := range []int{trainImages, testImages} {
				pixels, _ := os.ReadFile(filepath.Join(folder, partEndings[images][0]))
				labels, _ := os.ReadFile(filepath.Join(folder, partEndings[images+1][0]))
				if len(labels) == 0 || len(pixels)-imagesHeader != len(labels)-labelsHeader {
					if err == nil {
						t.Fatalf("kill %d: found files that do not match: %v and %v", kill, pixels, labels)
					}
					continue // which Load refuses
				}
				if string(pixels[imagesHeader:]) != string(labels[labelsHeader:]) {
					t.Fatalf("kill %d: found the images %v with the labels %v", kill, pixels, labels)
				}
			}
		}
		if writes <= kill {
			t.Errorf("found %d writes, expected more than %d", writes, kill)
		}
	}
}
