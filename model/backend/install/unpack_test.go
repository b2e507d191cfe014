package install

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// linked is an archive with a link and a file through it.
func linked(target string) []byte {
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	header := &zip.FileHeader{Name: "nvidia/a"}
	header.SetMode(fs.ModeSymlink | 0o777)
	file, _ := archive.CreateHeader(header)
	file.Write([]byte(target))
	file, _ = archive.Create("nvidia/a/b")
	file.Write([]byte("12345"))
	archive.Close()
	return buffer.Bytes()
}

func belowNVIDIA(member string) string {
	if name, found := strings.CutPrefix(member, "nvidia/"); found {
		return name
	}
	return ""
}

func TestUnpackWheel(t *testing.T) {
	good := zipped("nvidia/a", "12345", "nvidia/b/c", "1")
	damaged := bytes.Replace(zipped("nvidia/a", "12345"), []byte("12345"), []byte("12346"), 1)
	damaged[bytes.Index(damaged, []byte("nvidia/a"))+len("nvidia/a")+1] ^= 1
	for _, c := range []struct {
		name  string
		wheel []byte
		files string // that are unpacked
		want  string // part of the error, "" for success
	}{
		{"good", good, "a b/c", ""},
		{"cut short", good[:len(good)/2], "", "zip: not a valid zip file"},
		{"other files only", zipped("other", ""), "", "file does not exist"},
		{"damaged", damaged, "a", `"nvidia/a": `},
		{"path upwards", zipped("nvidia/../../a", "1"), "", "path escapes from parent"},
		{"path from the top", zipped("nvidia//etc/a", "1"), "", "path escapes from parent"},
		{"file as a folder", zipped("nvidia/a", "1", "nvidia/a/b", "1"), "a", `"nvidia/a/b": `},
		{"link out and a file through it", linked("../outside"), "a/b", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			above := t.TempDir()
			archive, target := filepath.Join(above, "wheel"), filepath.Join(above, "target")
			put(t, archive, string(c.wheel))
			if err := os.Mkdir(target, 0o755); err != nil {
				t.Fatal(err)
			}
			err := Installer{}.unpackWheel(archive, target, belowNVIDIA)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			names := slices.Sorted(maps.Keys(tree(t, target)))
			if diff := cmp.Diff(strings.Fields(c.files), append([]string{}, names...)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if all := tree(t, above); len(all) != 1+len(names) {
				t.Errorf("files outside of the target: %q", slices.Sorted(maps.Keys(all)))
			}
		})
	}
}

// Whatever an archive has, only regular files are written, and only below the
// target.
func FuzzUnpack(f *testing.F) {
	f.Add(zipped("nvidia/a", "12345", "nvidia/bin/b", "1"))
	f.Add(zipped("nvidia/../a", "12345", "/a", "1"))
	f.Add(linked("/etc"))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, content []byte) {
		above := t.TempDir()
		archive, target := filepath.Join(above, "archive"), filepath.Join(above, "target")
		put(t, archive, string(content))
		if err := os.Mkdir(target, 0o755); err != nil {
			t.Fatal(err)
		}
		Installer{}.unpackWheel(archive, target, belowNVIDIA)
		err := filepath.WalkDir(above, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && path != archive && !entry.IsDir() && (!entry.Type().IsRegular() || !strings.HasPrefix(path, target+"/")) {
				t.Errorf("found %s, %v", path, entry.Type())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
