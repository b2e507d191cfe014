package backend

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write makes a file with a content in a new folder.
func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// member is a file of an archive, with what the archive says of it.
type member struct {
	name    string
	mode    fs.FileMode
	content []byte
	size    uint64 // that is claimed; 0 for the true one
	sum     uint32 // the same for the checksum
}

// zippedAs returns an archive whose list says what members says, true or not.
func zippedAs(members ...member) []byte {
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	for _, m := range members {
		var packed bytes.Buffer
		w, _ := flate.NewWriter(&packed, flate.BestSpeed)
		w.Write(m.content)
		w.Close()
		header := &zip.FileHeader{Name: m.name, Method: zip.Deflate, UncompressedSize64: m.size, CompressedSize64: uint64(packed.Len()), CRC32: m.sum}
		if m.size == 0 {
			header.UncompressedSize64 = uint64(len(m.content))
		}
		if m.sum == 0 {
			header.CRC32 = crc32.ChecksumIEEE(m.content)
		}
		header.SetMode(m.mode | 0o644)
		file, err := archive.CreateRaw(header)
		if err == nil {
			_, err = file.Write(packed.Bytes())
		}
		if err != nil {
			panic(err)
		}
	}
	if err := archive.Close(); err != nil {
		panic(err)
	}
	return buffer.Bytes()
}

// crowded is an archive of many empty files with names that long.
func crowded(count, length int) []byte {
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	for i := range count {
		if _, err := archive.CreateRaw(&zip.FileHeader{Name: fmt.Sprintf("nvidia/%0*d", length-7, i)}); err != nil {
			panic(err)
		}
	}
	archive.Close()
	return buffer.Bytes()
}

// claiming is an archive of one file whose list claims to be of count.
func claiming(count uint16) []byte {
	content := zippedAs(member{name: "nvidia/a", content: []byte("a")})
	end := bytes.LastIndex(content, []byte("PK\x05\x06"))
	binary.LittleEndian.PutUint16(content[end+8:], count)
	binary.LittleEndian.PutUint16(content[end+10:], count)
	return content
}

func TestUnpackWheelRefuses(t *testing.T) {
	const bomb = 16 << 20
	zeros := make([]byte, bomb)
	for _, c := range []struct {
		name  string
		wheel []byte
		want  string // of unpackFile for "nvidia/a" of 5 bytes, and of unpackFolder for at most 5; "" for success
		whole string // of unpackFolder, if that is another
	}{
		{"good", zippedAs(member{name: "nvidia/a", content: []byte("12345")}), "", ""},
		{"none", nil, "zip: not a valid zip file", ""},
		{"a page", []byte("<html>"), "zip: not a valid zip file", ""},
		{"cut short", zipped("nvidia/a", "12345")[:50], "zip: not a valid zip file", ""},
		{"another file", zippedAs(member{name: "nvidia/b", content: []byte("12345")}), "file does not exist", "-"},
		{"too long", zippedAs(member{name: "nvidia/a", content: []byte("123456")}), "found 6 bytes, expected 5", "nvidia/a: found more than 5 bytes, expected at most that"},
		{"a bomb", zippedAs(member{name: "nvidia/a", content: zeros}), "found 16777216 bytes, expected 5", "nvidia/a: found more than 5 bytes, expected at most that"},
		{"a bomb in disguise", zippedAs(member{name: "nvidia/a", content: zeros, size: 5}), "zip: ", "nvidia/a: "},
		{"shorter than it says", zippedAs(member{name: "nvidia/a", content: []byte("123"), size: 5}), "unexpected EOF", "nvidia/a: unexpected EOF"},
		{"a wrong checksum", zippedAs(member{name: "nvidia/a", content: []byte("12345"), sum: 1}), "zip: checksum error", "nvidia/a: zip: checksum error"},
		{"a link", zippedAs(member{name: "nvidia/a", content: []byte("/etc/"), mode: fs.ModeSymlink}), "file does not exist", `found "nvidia/a" in it, expected files below nvidia only`},
		{"a path upwards", zippedAs(member{name: "nvidia/../../a", content: []byte("12345")}), "file does not exist", `found "nvidia/../../a" in it, expected files below nvidia only`},
		{"a path from the top", zippedAs(member{name: "nvidia//etc/a", content: []byte("12345")}), "file does not exist", `found "nvidia//etc/a" in it, expected files below nvidia only`},
		{"a path of another system", zippedAs(member{name: `nvidia/..\a`, content: []byte("12345")}), "file does not exist", `found "nvidia/..\\a" in it, expected files below nvidia only`},
		{"a file as a folder", zippedAs(member{name: "nvidia/a", content: []byte("123")}, member{name: "nvidia/a/b", content: []byte("4")}), "found 3 bytes, expected 5", "not a directory"},
		{"too many files", crowded(maxMembers+1, 15), "found 131073 files, expected at most 131072", ""},
		{"a list of more files than it has", claiming(1000), "unexpected EOF", ""},
		{"a list that is too long", crowded(600, 60_000), "the list of files is longer than 33554432 bytes", ""},
	} {
		if c.whole == "" {
			c.whole = c.want
		}
		wheel := write(t, "wheel.whl", c.wheel)
		outside := t.TempDir()
		target := filepath.Join(outside, "target")
		for kind, unpack := range map[string]func() error{
			"file": func() error {
				return unpackFile(context.Background(), wheel, func(name string) bool { return name == "nvidia/a" }, filepath.Join(target, "a"), 5)
			},
			"folder": func() error { return unpackFolder(context.Background(), wheel, "nvidia", target, 5) },
		} {
			want := map[string]string{"file": c.want, "folder": c.whole}[kind]
			if want == "-" {
				continue
			}
			if err := os.MkdirAll(target, 0o755); err != nil {
				t.Fatal(err)
			}
			var err error
			bytes := totalAllocated(func() { err = unpack() })
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: found error %v, expected %q", c.name, kind, err, want)
			}
			// A list of maxDirectory bytes takes some ten times that; its length decides, not what is packed.
			if limit := uint64(4<<20 + 12*min(len(c.wheel), maxDirectory)); bytes > limit {
				t.Errorf("%s, %s: found %d bytes allocated for %d, expected at most %d", c.name, kind, bytes, len(c.wheel), limit)
			}
			checkBelow(t, outside, 5+1)
			if err := os.RemoveAll(target); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkBelow checks that a folder has nothing but regular files and folders, all
// below target, of at most that many bytes together.
func checkBelow(t *testing.T, outside string, most int64) {
	t.Helper()
	err := filepath.WalkDir(outside, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && (!info.Mode().IsRegular() || !strings.HasPrefix(path, filepath.Join(outside, "target")+"/")) {
			t.Errorf("found %s, %v", path, info.Mode())
		}
		most -= info.Size()
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if most < 0 {
		t.Errorf("found %d bytes too many", -most)
	}
}

// tarred returns a .tar.gz of headers, each with as many bytes as it says.
func tarred(headers ...tar.Header) []byte {
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	packed := tar.NewWriter(compressed)
	for _, header := range headers {
		if err := packed.WriteHeader(&header); err != nil {
			panic(err)
		}
		packed.Write(make([]byte, header.Size))
	}
	packed.Close()
	compressed.Close()
	return buffer.Bytes()
}

func TestUnpackReleaseRefuses(t *testing.T) {
	const plugin = "pjrt_c_api_cpu_v1_plugin.so"
	good := tarred(tar.Header{Typeflag: tar.TypeReg, Name: "a/" + plugin, Size: 5, Mode: 0o644})
	for _, c := range []struct {
		name    string
		archive []byte
		want    string // "" for success
	}{
		{"good", good, ""},
		{"none", nil, "EOF"},
		{"a page", []byte("<html>sign in</html>"), "gzip: invalid header"},
		{"cut short", good[:len(good)/2], "unexpected EOF"},
		{"no plugin", tarred(tar.Header{Typeflag: tar.TypeReg, Name: "other", Size: 5}), "no file pjrt_c_api_cpu_*_plugin.so in the archive"},
		{"too long", tarred(tar.Header{Typeflag: tar.TypeReg, Name: plugin, Size: 6}), "found more than 5 bytes, expected at most that"},
		{"a bomb", tarred(tar.Header{Typeflag: tar.TypeReg, Name: plugin, Size: 16 << 20}), "found more than 5 bytes, expected at most that"},
		{"a bomb before it", tarred(tar.Header{Typeflag: tar.TypeReg, Name: "other", Size: 16 << 20}), "found more than 1048576 bytes, expected at most that"},
		{"a link", tarred(tar.Header{Typeflag: tar.TypeSymlink, Name: plugin, Linkname: "/etc/passwd"}), "no file"},
		{"a hard link", tarred(tar.Header{Typeflag: tar.TypeLink, Name: plugin, Linkname: "../a"}), "no file"},
		{"a device", tarred(tar.Header{Typeflag: tar.TypeChar, Name: plugin}), "no file"},
		// go-xla's own unpacking follows this link and writes the second file outside.
		{"a link out and a file through it", tarred(
			tar.Header{Typeflag: tar.TypeSymlink, Name: "out", Linkname: "../outside"},
			tar.Header{Typeflag: tar.TypeReg, Name: "out", Size: 5},
			tar.Header{Typeflag: tar.TypeReg, Name: "../../" + plugin, Size: 5}), ""},
	} {
		archive := write(t, "release.tar.gz", c.archive)
		outside := t.TempDir()
		if err := os.Mkdir(filepath.Join(outside, "target"), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		bytes := totalAllocated(func() {
			err = unpackRelease(context.Background(), archive, filepath.Join(outside, "target", "plugin"), 5, 1<<20)
		})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, expected %q", c.name, err, c.want)
		}
		if bytes > 4<<20 {
			t.Errorf("%s: found %d bytes allocated for %d", c.name, bytes, len(c.archive))
		}
		checkBelow(t, outside, 5)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := unpackRelease(ctx, write(t, "a.tar.gz", good), filepath.Join(t.TempDir(), "a"), 5, 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("found error %v with a cancelled context", err)
	}
}

func TestHostileHashRecord(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "plugin.so")
	start := time.Unix(1_700_000_000, 0)
	if err := os.WriteFile(file, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, start, start); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(folder, "plugins.json")
	entry := func(sha string) string {
		text, _ := json.Marshal(map[string]hashEntry{file: {3, start.UnixNano(), sha}})
		return string(text)
	}
	for name, text := range map[string]string{
		"no hash":      entry(""),
		"half a hash":  entry(one[:32]),
		"capitals":     entry(strings.ToUpper(one)),
		"more":         entry(one + "00"),
		"words":        entry("\x1b[31m"),
		"deep":         strings.Repeat("[", 1<<19),
		"objects":      strings.Repeat(`{"a":`, 1<<17),
		"long":         entry(two) + strings.Repeat(" ", maxHashRecord),
		"many entries": "{" + strings.Repeat(`"":{},`, maxHashRecord/7) + `"":{}}`,
	} {
		if err := os.WriteFile(record, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var sha string
		var ok bool
		if bytes := totalAllocated(func() { sha, ok = hashRecord(record).known(file) }); bytes > 64<<20 {
			t.Errorf("%s: found %d bytes allocated", name, bytes)
		}
		if ok {
			t.Errorf("%s: found the hash %q", name, sha)
		}
		// It is computed again, and the record mended.
		if sha, err := hashRecord(record).of(context.Background(), file); sha != one || err != nil {
			t.Errorf("%s: found the hash %q and error %v", name, sha, err)
		}
		if sha, ok := hashRecord(record).known(file); sha != one || !ok {
			t.Errorf("%s: found the hash %q afterwards", name, sha)
		}
	}

	// What is no file is not waited for, neither as a record nor as a plugin.
	for kind, make := range map[string]func(string) error{
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"a device": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		odd := filepath.Join(t.TempDir(), "odd")
		if err := make(odd); err != nil {
			t.Skip(err)
		}
		if sha, err := hashRecord(odd).of(context.Background(), file); sha != one || err != nil {
			t.Errorf("%s as a record: found the hash %q and error %v", kind, sha, err)
		}
		// A record took its place, and that of the link, not of what it led to.
		if err := errors.Join(os.Remove(odd), make(odd)); err != nil {
			t.Fatal(err)
		}
		want := odd + ": found " + kind + ", expected a file"
		if _, err := hashFile(context.Background(), odd); err == nil || err.Error() != want {
			t.Errorf("found error %v, expected %s", err, want)
		}
		if err := checkWhole(odd); err == nil || err.Error() != want {
			t.Errorf("found error %v, expected %s", err, want)
		}
		if _, _, err := Open(context.Background(), "xla:"+odd, Options{Plugins: fakePlugins(t.TempDir(), "")}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found error %v, expected %s", err, want)
		}
	}
}

// Files that include each other end, however they do.
func TestLinkerFoldersEnd(t *testing.T) {
	folder := t.TempDir()
	for i := range 30 {
		text := fmt.Sprintf("/folder%d\ninclude *.conf\ninclude %s/*\n", i, folder)
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.conf", i)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe.conf"), 0o644); err != nil {
		t.Skip(err)
	}
	if got := linkerFolders(filepath.Join(folder, "0.conf")); len(got) != 30 || got[0] != "/folder0" {
		t.Errorf("found %q, expected 30 folders", got)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(zippedAs(member{name: "nvidia/a", content: []byte("12345")}, member{name: "nvidia/bin/b", content: []byte("1")}))
	f.Add(zippedAs(member{name: "nvidia/../a", content: []byte("12345")}))
	f.Add(zippedAs(member{name: "nvidia/a", content: make([]byte, 10_000), size: 5}))
	f.Add(zippedAs(member{name: "nvidia/a", content: []byte("/etc"), mode: fs.ModeSymlink}, member{name: "nvidia/a/b", content: []byte("1")}))
	f.Add(claiming(1000))
	f.Add(tarred(tar.Header{Typeflag: tar.TypeReg, Name: "pjrt_c_api_cpu_v1_plugin.so", Size: 5}))
	f.Add(tarred(tar.Header{Typeflag: tar.TypeSymlink, Name: "out", Linkname: "../outside"}, tar.Header{Typeflag: tar.TypeReg, Name: "out/a", Size: 5}))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, content []byte) {
		const most = 1 << 20
		archive := write(t, "archive.gz", content)
		for name, unpack := range map[string]func(target string) error{
			"file": func(target string) error {
				return unpackFile(context.Background(), archive, func(string) bool { return true }, filepath.Join(target, "a"), 5)
			},
			"folder": func(target string) error { return unpackFolder(context.Background(), archive, "nvidia", target, most) },
			"release": func(target string) error {
				return unpackRelease(context.Background(), archive, filepath.Join(target, "a"), 5, most)
			},
		} {
			outside := t.TempDir()
			target := filepath.Join(outside, "target")
			if err := os.Mkdir(target, 0o755); err != nil {
				t.Fatal(err)
			}
			if bytes := totalAllocated(func() { unpack(target) }); bytes > uint64(8<<20+20*len(content)) {
				t.Errorf("%s: found %d bytes allocated for %d", name, bytes, len(content))
			}
			checkBelow(t, outside, most)
		}
	})
}

func FuzzHashRecord(f *testing.F) {
	// Inputs name the plugin so; the folder is another each time.
	const placeholder = "/plugin.so"
	text, _ := json.Marshal(map[string]hashEntry{placeholder: {3, 1_700_000_000_000_000_000, one}})
	f.Add(text)
	for _, text := range []string{"", "null", "{", "[]", `{"/plugin.so":null}`, `{"/plugin.so":{"size":-1,"modified_ns":1e30,"sha256":3}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		folder := t.TempDir()
		file := filepath.Join(folder, "plugin.so")
		if err := os.WriteFile(file, []byte("one"), 0o644); err != nil {
			t.Fatal(err)
		}
		start := time.Unix(1_700_000_000, 0)
		if err := os.Chtimes(file, start, start); err != nil {
			t.Fatal(err)
		}
		record := hashRecord(filepath.Join(folder, "plugins.json"))
		quoted, _ := json.Marshal(file)
		content = bytes.ReplaceAll(content, []byte(`"`+placeholder+`"`), quoted)
		if err := os.WriteFile(string(record), content, 0o644); err != nil {
			t.Fatal(err)
		}
		var sha string
		var err error
		if bytes := totalAllocated(func() { sha, err = record.of(context.Background(), file) }); bytes > uint64(4<<20+60*len(content)) {
			t.Errorf("found %d bytes allocated for %d", bytes, len(content))
		}
		if err != nil || !isSHA256(sha) {
			t.Errorf("found the hash %q and error %v", sha, err)
		}
		if again, ok := record.known(file); !ok || again != sha {
			t.Errorf("found the hash %q afterwards, expected %q", again, sha)
		}
	})
}

func FuzzCheckWhole(f *testing.F) {
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(program[:1<<12])
	f.Add(program[:64])
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, content []byte) {
		file := write(t, "pjrt_c_api_cpu_plugin.so", content)
		var err error
		if bytes := totalAllocated(func() { err = checkWhole(file) }); bytes > uint64(16<<20+100*len(content)) {
			t.Errorf("found %d bytes allocated for %d", bytes, len(content))
		}
		if err != nil && !strings.Contains(err.Error(), "no complete ELF file") && !strings.Contains(err.Error(), "panic in the backend's library") {
			t.Errorf("found error %v", err)
		}
	})
}

func FuzzCheck(f *testing.F) {
	for _, name := range []string{"", "auto", "go", "go:ops_parallel", "xla", "xla:cpu", "xla:cuda,tf32=true,visible_devices=1", "xla:/lib/a.so,memory_fraction=x", "xla:../a", "gpu"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := Check(name); err != nil && err.Error() == "" {
			t.Error("found an error without words")
		}
	})
}
