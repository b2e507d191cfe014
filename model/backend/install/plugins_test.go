package install

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFindInOneFolder(t *testing.T) {
	for _, c := range []struct {
		name, kind, want string
		files            []string
	}{
		{"plain", "cpu", "pjrt_c_api_cpu_plugin.so", []string{"pjrt_c_api_cpu_plugin.so", "pjrt_c_api_cpu_v0.98.0_plugin.so"}},
		{"versioned, the last", "cpu", "pjrt_c_api_cpu_v0.98.0_plugin.so",
			[]string{"pjrt_c_api_cpu_v0.97.0_plugin.so", "pjrt_c_api_cpu_v0.98.0_plugin.so"}},
		{"pinned before plain", "cpu", "pjrt_c_api_cpu_v2026.6.23-epochal_plugin.so",
			[]string{"pjrt_c_api_cpu_plugin.so", "pjrt_c_api_cpu_v2026.6.23-epochal_plugin.so"}},
		{"first pinned", "cpu", "pjrt_c_api_cpu_v0.11.2-epochal_plugin.so",
			[]string{"pjrt_c_api_cpu_v0.11.2-epochal_plugin.so", "pjrt_c_api_cpu_v2026.6.23-epochal_plugin.so"}},
		{"go-xla's order of patterns", "cpu", "pjrt-plugin-cpu.so",
			[]string{"pjrt_c_api_cpu_plugin.so", "pjrt_plugin_cpu.so", "pjrt-plugin-cpu.so"}},
		{"other systems", "cpu", "pjrt_c_api_cpu_plugin.dylib", []string{"pjrt_c_api_cpu_plugin.dylib"}},
		{"cuda", "cuda", "pjrt_c_api_cuda_plugin.so", []string{"pjrt_c_api_cpu_plugin.so", "pjrt_c_api_cuda_plugin.so"}},
		{"any name", "cpu_v0.97.0", "pjrt_c_api_cpu_v0.97.0_plugin.so",
			[]string{"pjrt_c_api_cpu_v0.97.0_plugin.so", "pjrt_c_api_cpu_v0.98.0_plugin.so"}},
		{"none", "cpu", "", []string{"pjrt_c_api_cuda_plugin.so", "pjrt_c_api_cpu2_plugin.so", "libcpu.so", ".partial-1/plugin",
			"pjrt_c_api_cpu_plugin.so.lock", "pjrt_c_api_cpu_plugin.so/x"}},
		{"link", "cpu", "pjrt_c_api_cpu_plugin.so", []string{"real", "pjrt_c_api_cpu_plugin.so->real"}},
		{"dangling link", "cpu", "", []string{"pjrt_c_api_cpu_plugin.so->gone"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			newHome(t)
			folder := filepath.Join(t.TempDir(), "[any] name")
			t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", folder)
			for _, file := range c.files {
				name, target, link := strings.Cut(filepath.Join(folder, file), "->")
				if !link {
					put(t, name, "")
				} else if err := errors.Join(os.MkdirAll(folder, 0o755), os.Symlink(target, name)); err != nil {
					t.Fatal(err)
				}
			}
			want := ""
			if c.want != "" {
				want = filepath.Join(folder, c.want)
			}
			if got, found := Find(c.kind); got != want || found != (want != "") {
				t.Errorf("Find(%q) = %q, %v, want %q", c.kind, got, found, want)
			}
		})
	}
}

func TestFolders(t *testing.T) {
	home, folder := newHome(t)
	t.Setenv("LD_LIBRARY_PATH", "relative::/opt/lib")
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", "")
	library := filepath.Join(home, ".local", "lib")
	want := []string{folder, folder + "/nvidia", library + "/gomlx/pjrt",
		"/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia", "/usr/local/lib/gomlx/pjrt", "/opt/lib"}
	got := slices.DeleteFunc(folders(), func(folder string) bool { return !slices.Contains(want, folder) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", "/a:/b")
	if diff := cmp.Diff([]string{"/a", "/b", folder, folder + "/nvidia"}, folders()); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
	// A relative folder is found, by an absolute path, and an empty one is none.
	t.Chdir(t.TempDir())
	put(t, "pjrt_c_api_cpu_plugin.so", "")
	put(t, "sub/pjrt_c_api_cpu_plugin.so", "")
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", ":sub")
	if got, _ := Find("cpu"); !filepath.IsAbs(got) || !strings.HasSuffix(got, "/sub/pjrt_c_api_cpu_plugin.so") {
		t.Errorf("found %q", got)
	}
}

func TestVerify(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("plugins are no ELF files here")
	}
	newServer(t) // for its pins
	newHome(t)
	whole, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := string(whole)
	// The section headers, which stand last, are not needed for loading.
	clear(whole[40:48])
	clear(whole[58:64])
	without := string(whole)
	for _, c := range []struct {
		name, file, content string
		want                string // part of the error, "" for none
	}{
		{"whole", "pjrt_c_api_cpu_plugin.so", program, ""},
		{"cut short", "pjrt_c_api_cpu_plugin.so", program[:1<<20], ": not a complete ELF file: "},
		{"whole without sections", "pjrt_c_api_cpu_plugin.so", without, ""},
		{"cut short without sections", "pjrt_c_api_cpu_plugin.so", without[:1<<20], ": not a complete ELF file: found 1048576 bytes, expected "},
		{"header only", "pjrt_c_api_cpu_plugin.so", program[:64], ": not a complete ELF file: "},
		{"page", "pjrt_c_api_cpu_plugin.so", "<html>", ": not a complete ELF file: "},
		{"empty", "pjrt_c_api_cpu_plugin.so", "", ": not a complete ELF file: "},
		{"pinned", pins[1].file(), fakePlugin("second"), ""},
		{"pinned, other content", pins[1].file(), program,
			" is damaged: it has the SHA-256 " + digest(program) + ", expected " + digest(fakePlugin("second"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), c.file)
			put(t, file, c.content)
			sha256, err := Verify(file)
			if sha256 != digest(c.content) {
				t.Errorf("SHA-256 %q, want %s", sha256, digest(c.content))
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), "plugin "+file+c.want) {
				t.Errorf("error:\n got %v\nwant %q", err, "plugin "+file+c.want)
			}
			if _, pinned := errors.AsType[*HashError](err); pinned && hintOf(err) != "epochal backends install cpu" {
				t.Errorf("hint %q", hintOf(err))
			}
		})
	}
	if _, err := Verify("/no/plugin.so"); err == nil || err.Error() != "plugin: stat /no/plugin.so: no such file or directory" {
		t.Errorf("error %v", err)
	}
	if _, err := Verify("/dev/zero"); err == nil || err.Error() != "plugin: /dev/zero: found a device, expected a file" {
		t.Errorf("error %v", err)
	}
}

func TestRecordedHash(t *testing.T) {
	newHome(t)
	file := filepath.Join(t.TempDir(), "plugin.so")
	start := time.Unix(1_700_000_000, 123)
	expect := func(written string, modified time.Time, want string) {
		t.Helper()
		put(t, file, written)
		if err := os.Chtimes(file, modified, modified); err != nil {
			t.Fatal(err)
		}
		if got, err := recordedHash(file); got != digest(want) || err != nil {
			t.Errorf("hash %s, %v, want that of %q", got, err, want)
		}
	}
	expect("one", start, "one")
	expect("two", start, "one") // the content is not looked at again under the same size and time
	expect("two", start.Add(1), "two")
	expect("three", start.Add(1), "three")

	// A record that is damaged, or that cannot be written, does not matter.
	cache, _ := os.UserCacheDir()
	records, err := filepath.Glob(filepath.Join(cache, "epochal", "plugins", "*"))
	if err != nil || len(records) != 3 {
		t.Fatalf("found the records %q, %v, want 3", records, err)
	}
	for _, record := range records {
		put(t, record, "{")
	}
	expect("one", start, "one")
	t.Setenv("XDG_CACHE_HOME", file)
	expect("two", start, "two")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	expect("one", start, "one")
}
