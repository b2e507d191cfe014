package regular_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"epochal/dataset/regular"
)

func TestWrite(t *testing.T) {
	folder := t.TempDir()
	file, link := filepath.Join(folder, "file"), filepath.Join(folder, "link")
	for _, text := range []string{"first", "second"} {
		if err := regular.Write(file, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if found, err := os.ReadFile(file); string(found) != text {
			t.Errorf("found %q and the error %v, expected %q", found, err, text)
		}
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for name, expected := range map[string]string{
		link: "found a symbolic link, expected a file", folder: "found a folder, expected a file", os.DevNull: "found a device, expected a file",
		filepath.Join(folder, "none", "file"): "no such file or directory",
	} {
		err := regular.Write(name, []byte("x"))
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") || !strings.HasSuffix(err.Error(), expected) {
			t.Errorf("%s: found the error %v, expected %q", name, err, expected)
		}
	}
	if found, _ := os.ReadDir(folder); len(found) != 2 {
		t.Errorf("found %v, expected the file and the link alone", found)
	}
}
