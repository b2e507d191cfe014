package backend

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// variables returns an environment with these variables only.
func variables(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// touch makes files with their own name as content.
func touch(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(filepath.Base(name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindInOneFolder(t *testing.T) {
	for _, c := range []struct {
		name, kind, want string
		files            []string
	}{
		{"plain", "cpu", "pjrt_c_api_cpu_plugin.so", []string{"pjrt_c_api_cpu_plugin.so", "pjrt_c_api_cpu_v0.98.0_plugin.so"}},
		{"versioned, the last", "cpu", "pjrt_c_api_cpu_v0.98.0_plugin.so", []string{"pjrt_c_api_cpu_v0.97.0_plugin.so", "pjrt_c_api_cpu_v0.98.0_plugin.so"}},
		{"pinned before plain", "cpu", "pjrt_c_api_cpu_v2026.6.23-epochal_plugin.so", []string{"pjrt_c_api_cpu_plugin.so", "pjrt_c_api_cpu_v2026.6.23-epochal_plugin.so"}},
		{"first pinned", "cpu", "pjrt_c_api_cpu_v0.11.2-epochal_plugin.so", []string{"pjrt_c_api_cpu_v0.11.2-epochal_plugin.so", "pjrt_c_api_cpu_v2026.6.23-epochal_plugin.so"}},
		{"go-xla's order of patterns", "cpu", "pjrt-plugin-cpu.so", []string{"pjrt_c_api_cpu_plugin.so", "pjrt_plugin_cpu.so", "pjrt-plugin-cpu.so"}},
		{"other systems", "cpu", "pjrt_c_api_cpu_plugin.dylib", []string{"pjrt_c_api_cpu_plugin.dylib"}},
		{"cuda", "cuda", "pjrt_c_api_cuda_plugin.so", []string{"pjrt_c_api_cpu_plugin.so", "pjrt_c_api_cuda_plugin.so"}},
		{"any name", "cpu_v0.97.0", "pjrt_c_api_cpu_v0.97.0_plugin.so", []string{"pjrt_c_api_cpu_v0.97.0_plugin.so", "pjrt_c_api_cpu_v0.98.0_plugin.so"}},
		{"none", "cpu", "", []string{"pjrt_c_api_cuda_plugin.so", "pjrt_c_api_cpu2_plugin.so", "libcpu.so", ".partial-1.so", "pjrt_c_api_cpu_plugin.so.lock", "pjrt_c_api_cpu_plugin.so/x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			for _, file := range c.files {
				touch(t, filepath.Join(folder, file))
			}
			want := ""
			if c.want != "" {
				want = filepath.Join(folder, c.want)
			}
			p := Plugins{Directory: t.TempDir(), Environment: variables("PJRT_PLUGIN_LIBRARY_PATH", folder), pinned: pins}
			if got, found := p.Find(c.kind); got != want || found != (want != "") {
				t.Errorf("Find(%q) = %q, %v, want %q", c.kind, got, found, want)
			}
		})
	}
}

func TestFindFollowsLinks(t *testing.T) {
	folder := t.TempDir()
	touch(t, filepath.Join(folder, "real"))
	for link, target := range map[string]string{"pjrt_c_api_cpu_plugin.so": "real", "pjrt_c_api_cuda_plugin.so": "gone"} {
		if err := os.Symlink(target, filepath.Join(folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	p := Plugins{Directory: folder, Environment: variables("PJRT_PLUGIN_LIBRARY_PATH", folder)}
	if got, found := p.Find("cpu"); !found {
		t.Errorf("Find(cpu) = %q, want the link to a file", got)
	}
	if got, found := p.Find("cuda"); found {
		t.Errorf("Find(cuda) = %q, want nothing for a dangling link", got)
	}
}

func TestFolders(t *testing.T) {
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	library := filepath.Join(home, ".local", "lib")
	standard := []string{
		library + "/go-xla", library + "/go-xla/nvidia", library + "/gomlx/pjrt",
		"/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia", "/usr/local/lib/gomlx/pjrt", "/opt/lib",
	}
	for _, c := range []struct {
		name string
		p    Plugins
		want []string // the first folders
	}{
		{"default", Plugins{Environment: variables("LD_LIBRARY_PATH", "relative::/opt/lib:/opt/lib")}, standard},
		{"directory first", Plugins{Directory: "/opt/xla", Environment: variables("LD_LIBRARY_PATH", "/opt/lib")},
			append([]string{"/opt/xla", "/opt/xla/nvidia"}, standard...)},
		{"variable", Plugins{Environment: variables("PJRT_PLUGIN_LIBRARY_PATH", "/a::/b", "LD_LIBRARY_PATH", "/opt/lib")},
			[]string{"/a", "/b", library + "/go-xla", library + "/go-xla/nvidia"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.p.withDefaults().folders()
			if len(got) > len(c.want) && c.name != "variable" {
				got = got[:len(c.want)]
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("folders (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLinkerFolders(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{
		"ld.so.conf":   "# comment\n/first # and more\ninclude " + folder + "/more/*.conf\ninclude ld.so.conf\nrelative\n\n/last\n",
		"more/a.conf":  "/a\n  /b  \n",
		"more/b.conf":  "include ../third.conf\n",
		"third.conf":   "/third",
		"more/c.other": "/never",
	} {
		touch(t, filepath.Join(folder, name))
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := linkerFolders(filepath.Join(folder, "ld.so.conf"))
	if want := []string{"/first", "/a", "/b", "/third"}; len(got) < 4 || !slices.Equal(got[:4], want) || got[len(got)-1] != "/last" {
		t.Errorf("folders %q, want %q first and /last at the end", got, want)
	}
	if slices.Contains(got, "/never") || slices.Contains(got, "relative") {
		t.Errorf("folders %q, want no relative one and none of other files", got)
	}
	if got := linkerFolders(filepath.Join(folder, "missing")); got != nil {
		t.Errorf("folders of a missing file: %q", got)
	}
}

// A library that was cut short would kill the process, so it is not loaded.
func TestCheckWhole(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("plugins are no ELF files here")
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
	for _, c := range []struct {
		name  string
		size  int
		whole bool
	}{
		{"whole", len(program), true},
		{"cut short", 1 << 20, false},
		{"header only", 64, false},
		{"empty", 0, false},
	} {
		if err := os.WriteFile(file, program[:c.size], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := checkWhole(file); (err == nil) != c.whole {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// The section headers, which stand last, are not needed for loading.
	clear(program[40:48])
	clear(program[58:64])
	for _, size := range []int{len(program), 1 << 20} {
		if err := os.WriteFile(file, program[:size], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := checkWhole(file); (err == nil) != (size == len(program)) {
			t.Errorf("%d of %d bytes without section headers: %v", size, len(program), err)
		}
	}
}

func TestList(t *testing.T) {
	folder, cache := t.TempDir(), t.TempDir()
	p := Plugins{
		Directory: folder, HashRecord: filepath.Join(cache, "plugins.json"),
		Environment: variables("PJRT_PLUGIN_LIBRARY_PATH", folder), nvidia: func() bool { return false },
	}
	type row struct{ Name, State, Hint string }
	check := func(want ...row) []Status {
		t.Helper()
		statuses := p.List(context.Background())
		var got []row
		for _, status := range statuses {
			got = append(got, row{status.Name, status.State, status.Hint})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("List (-want +got):\n%s", diff)
		}
		return statuses
	}
	pureGo := row{Go, StateReady, ""}

	statuses := check(row{XLACUDA, StateNoDevice, ""}, row{XLACPU, StateMissing, "epochal backends install cpu"}, pureGo)
	if goStatus := statuses[2]; goStatus.Version == "" || goStatus.Device == "" {
		t.Errorf("pure Go is %+v, want a version and a device", goStatus)
	}
	p.nvidia = func() bool { return true }
	check(row{XLACUDA, StateMissing, "epochal backends install cuda"}, row{XLACPU, StateMissing, "epochal backends install cpu"}, pureGo)

	touch(t, filepath.Join(folder, "pjrt_c_api_cpu_plugin.so"), filepath.Join(folder, "nvidia", cudaPlugin))
	for i, status := range p.List(context.Background())[:2] {
		if status.State != StateBroken || status.Hint == "" || status.File == "" {
			t.Errorf("status %d of a file that is no plugin: %+v, want %q with the reason", i, status, StateBroken)
		}
	}
	if left := files(t, cache); len(left) > 0 {
		t.Errorf("List left %q in the cache", left)
	}
}
