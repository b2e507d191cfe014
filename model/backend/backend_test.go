package backend

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/google/go-cmp/cmp"
)

// nothing returns options of a machine without plugins, network and card.
func nothing(t *testing.T, pairs ...string) Options {
	t.Helper()
	folder := t.TempDir()
	server := newIndex(t)
	server.Close()
	p := fakePlugins(filepath.Join(folder, "lib"), server.URL, fakePin("first"))
	p.Environment = nil
	return Options{Plugins: p, Environment: variables(append(pairs, "PJRT_PLUGIN_LIBRARY_PATH", folder)...)}
}

func TestOpenAutoWithoutPlugin(t *testing.T) {
	options := nothing(t)
	b, warnings, err := Open(context.Background(), Auto, options)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	want := "using pure Go, 10 to 50 times slower for training than XLA (33 s an epoch at 512,512 against 0.64 s; " +
		"6 s if built with GOEXPERIMENT=simd), because backend \"xla:cpu\": no PJRT plugin \"cpu\" in " + options.Plugins.Directory +
		" or the other plugin folders, expected a file such as pjrt_c_api_cpu_plugin.so; to install XLA: epochal backends install cpu"
	if diff := cmp.Diff([]string{want}, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if b.Info.Name != Go || b.StepLoops() || b.Info.Device != processor() || !strings.HasPrefix(b.Info.Version, "compute") {
		t.Errorf("opened %+v, step loops %v", b.Info, b.StepLoops())
	}
	sum := graph.MustExecOnce(b.Backend, func(x, y *graph.Node) *graph.Node { return graph.Add(x, y) }, float32(1), float32(1))
	if got := sum.Value(); got != float32(2) {
		t.Errorf("1+1 = %v", got)
	}
}

func TestOpenAutoUnreachableIndex(t *testing.T) {
	options := nothing(t)
	options.AutoInstall = true
	b, warnings, err := Open(context.Background(), Auto, options)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if len(warnings) != 1 || !strings.Contains(warnings[0], "connection refused") || !strings.HasSuffix(warnings[0], "; to install XLA: epochal backends install cpu") {
		t.Errorf("warnings %q, want one with the reason and the command", warnings)
	}
	if _, err := os.Stat(options.Plugins.Directory); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the install folder was made: %v", err)
	}
}

func TestOpenAutoWithCard(t *testing.T) {
	options := nothing(t)
	options.Plugins.nvidia = func() bool { return true }
	open := func() []string {
		t.Helper()
		b, warnings, err := Open(context.Background(), Auto, options)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if b.Info.Name != Go || len(warnings) != 2 {
			t.Fatalf("opened %s with %q, want pure Go with two warnings", b.Info.Name, warnings)
		}
		return warnings
	}
	if got, want := open()[0], "there is an NVIDIA device but no CUDA plugin; to use it: epochal backends install cuda"; got != want {
		t.Errorf("warning %q, want %q", got, want)
	}
	touch(t, filepath.Join(options.Plugins.Directory, "nvidia", cudaPlugin))
	if got := open()[0]; !strings.HasPrefix(got, "the NVIDIA device is not used: plugin "+options.Plugins.Directory) {
		t.Errorf("warning %q, want why the plugin does not load", got)
	}
}

func TestOpenAutoInstalls(t *testing.T) {
	index := newIndex(t)
	options := nothing(t)
	options.AutoInstall, options.Plugins.Index = true, index.URL+"/pypi"
	b, warnings, err := Open(context.Background(), Auto, options)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	// The fake plugin is installed but cannot be loaded.
	if index.count("/wheels/first") != 1 || len(warnings) != 1 || !strings.Contains(warnings[0], "epochal_plugin.so") {
		t.Errorf("%d downloads, warnings %q", index.count("/wheels/first"), warnings)
	}
}

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct {
		name, gomlx string
		card        bool
		want, hint  string // DIR stands for the install folder
	}{
		{"xla:cpu", "", false, `backend "xla:cpu": no PJRT plugin "cpu" in DIR or the other plugin folders, expected a file such as pjrt_c_api_cpu_plugin.so`, "epochal backends install cpu"},
		{"xla", "", false, `backend "xla": no PJRT plugin "cpu" in DIR or the other plugin folders, expected a file such as pjrt_c_api_cpu_plugin.so`, "epochal backends install cpu"},
		{"xla:cuda", "", false, `backend "xla:cuda": no NVIDIA device: no /dev/nvidia* and no nvidia-smi`, ""},
		{"xla:cuda", "", true, `backend "xla:cuda": no PJRT plugin "cuda" in DIR or the other plugin folders, expected a file such as pjrt_c_api_cuda_plugin.so`, "epochal backends install cuda"},
		{"xla:rocm", "", false, `backend "xla:rocm": no PJRT plugin "rocm" in DIR or the other plugin folders, expected a file such as pjrt_c_api_rocm_plugin.so`, ""},
		{"xla:/no/cpu.so", "", false, `backend "xla:/no/cpu.so": plugin: stat /no/cpu.so: no such file or directory`, ""},
		{"auto", "xla:cpu", false, `GOMLX_BACKEND: backend "xla:cpu": no PJRT plugin "cpu" in DIR or the other plugin folders, expected a file such as pjrt_c_api_cpu_plugin.so`, "epochal backends install cpu"},
		{"auto", "cpu", false, `GOMLX_BACKEND: backend "cpu" is unknown, ` + expectedNames, "did you mean xla:cpu?"},
		{"gpu", "", false, `backend "gpu" is unknown, ` + expectedNames, "did you mean xla:cuda?"},
	} {
		t.Run(c.name+" "+c.gomlx, func(t *testing.T) {
			options := nothing(t, "GOMLX_BACKEND", c.gomlx)
			options.Plugins.nvidia = func() bool { return c.card }
			b, _, err := Open(context.Background(), c.name, options)
			if b != nil {
				t.Fatalf("opened %+v", b.Info)
			}
			if want := strings.ReplaceAll(c.want, "DIR", options.Plugins.Directory); err == nil || err.Error() != want {
				t.Errorf("error:\n got %v\nwant %s", err, want)
			}
			if got := hintOf(err); got != c.hint {
				t.Errorf("hint %q, want %q", got, c.hint)
			}
		})
	}
}

func TestOpenNoPlugin(t *testing.T) {
	options := nothing(t)
	file := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
	touch(t, file)
	_, _, err := Open(context.Background(), "xla:"+file, options)
	if want := `backend "xla:` + file + `": plugin ` + file + `: `; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want it to begin with %s", err, want)
	}
	// go-xla would take this one for CUDA and cannot find it by name.
	file = filepath.Join(t.TempDir(), "nvidia", "pjrt_c_api_cpu_plugin.so")
	touch(t, file)
	_, _, err = Open(context.Background(), "xla:"+file, options)
	want := `backend "xla:` + file + `": plugin ` + file + `: its path has a comma or a word (cpu, cuda, nvidia) from which go-xla mistakes its kind`
	if err == nil || err.Error() != want || hintOf(err) != "move the plugin to another folder" {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}

// A file with a pin's name is not loaded unless it has the pin's hash.
func TestOpenDamaged(t *testing.T) {
	for _, change := range []func(string) string{
		func(plugin string) string { return plugin[:len(plugin)/2] },
		func(plugin string) string { return plugin + "more" },
		func(plugin string) string { return strings.Repeat("x", len(plugin)) },
	} {
		index := newIndex(t)
		options := nothing(t)
		p := &options.Plugins
		p.Index = index.URL + "/pypi"
		file := filepath.Join(p.Directory, fakePin("first").file())
		touch(t, file)
		changed := change(fakePlugin("first"))
		if err := os.WriteFile(file, []byte(changed), 0o755); err != nil {
			t.Fatal(err)
		}
		damaged := "plugin " + file + " is damaged: it has the SHA-256 " + digest([]byte(changed)) + ", expected " + fakePin("first").pluginSHA256

		cpu := p.List(context.Background())[1]
		if cpu.State != StateDamaged || cpu.Hint != hintCPU || cpu.File != file || cpu.SHA256 != digest([]byte(changed)) {
			t.Errorf("listed as %+v, want it damaged", cpu)
		}
		_, _, err := Open(context.Background(), XLACPU, options)
		if want := `backend "xla:cpu": ` + damaged; err == nil || err.Error() != want || hintOf(err) != hintCPU {
			t.Errorf("error with hint %q:\n got %v\nwant %s", hintOf(err), err, want)
		}

		options.AutoInstall = true
		index.handle("/wheels/first", http.NotFound)
		_, _, err = Open(context.Background(), XLACPU, options)
		if want := `backend "xla:cpu": ` + damaged + "; install the XLA CPU plugin into "; err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasPrefix(hintOf(err), "check the network") {
			t.Errorf("error with hint %q:\n got %v\nwant %s", hintOf(err), err, want)
		}
		// Asked for by its path, it is not replaced.
		if _, _, err := Open(context.Background(), "xla:"+file, options); err == nil || !strings.HasSuffix(err.Error(), damaged) {
			t.Errorf("error %v, want %s", err, damaged)
		}
		index.handle("/wheels/first", nil)
		_, _, err = Open(context.Background(), XLACPU, options)
		if want := "plugin " + file + ": no complete ELF file"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
		if content, err := os.ReadFile(file); err != nil || string(content) != fakePlugin("first") {
			t.Errorf("the plugin was not installed again: %v", err)
		}
	}
}

func TestOpenNegativeThreads(t *testing.T) {
	_, _, err := Open(context.Background(), Go, Options{Threads: -1})
	if want := `open backend "go": found -1 threads, expected 0 or more`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestOpenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Open(ctx, Go, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context canceled", err)
	}
	// Cancelled while installing, auto does not go on with pure Go.
	ctx, cancel = context.WithCancel(context.Background())
	options := nothing(t)
	options.AutoInstall = true
	options.Plugins.Client = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		cancel()
		return nil, ctx.Err()
	})}
	if b, _, err := Open(ctx, Auto, options); !errors.Is(err, context.Canceled) || b != nil {
		t.Errorf("error %v, want context canceled", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func TestOpenGoByGOMLXBackend(t *testing.T) {
	b, warnings, err := Open(context.Background(), Auto, nothing(t, "GOMLX_BACKEND", "go:ops_sequential"))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, warnings %q", err, warnings)
	}
	defer b.Close()
	if b.Info.Name != "go:ops_sequential" {
		t.Errorf("name %q, want GoMLX's string", b.Info.Name)
	}
}

// Where things are missing go-xla logs, at first when its package is initialized
// without a home folder. A program that opens a backend sees nothing of it.
func TestOpenPrintsNothing(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "HOME=") || strings.HasPrefix(pair, "GOMLX") || strings.HasPrefix(pair, "PJRT")
	}), childMode+"=auto")
	if output, err := child.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("%v, printed %q", err, output)
	}
}

func TestInfoJSON(t *testing.T) {
	content, err := json.Marshal(Info{Name: "xla:cuda", Version: "PJRT 0.115", Device: "NVIDIA H200", PluginFile: "/p.so", PluginSHA256: "ab", TF32: true, XLAFlags: "--a"})
	want := `{"name":"xla:cuda","version":"PJRT 0.115","device":"NVIDIA H200","plugin_file":"/p.so","plugin_sha256":"ab","tf32":true,"xla_flags":"--a"}`
	if err != nil || string(content) != want {
		t.Errorf("%s, %v, want %s", content, err, want)
	}
}

func TestKindOf(t *testing.T) {
	for file, want := range map[string]string{
		"/home/nvidia/pjrt_c_api_cpu_plugin.so": "cpu",
		"/cpu/pjrt_c_api_cuda_plugin.so":        "cuda",
		"/x/libpjrt_cpu.so":                     "cpu",
		"/nvidia/cpu/pjrt_c_api_rocm_plugin.so": "",
	} {
		if got := kindOf(file); got != want {
			t.Errorf("kindOf(%q) = %q, want %q", file, got, want)
		}
	}
	for file, want := range map[string]bool{
		"/lib/pjrt_c_api_cpu_plugin.so":         false,
		"/lib/nvidia/pjrt_c_api_cuda_plugin.so": false,
		"/nvidia/pjrt_c_api_cpu_plugin.so":      true,
		"/cpu/pjrt_c_api_cuda_plugin.so":        true,
		"/a,b/pjrt_c_api_cpu_plugin.so":         true,
	} {
		if got := mistaken(file); got != want {
			t.Errorf("mistaken(%q) = %v, want %v", file, got, want)
		}
	}
}

func TestField(t *testing.T) {
	text := "processor\t: 0\nmodel name\t: AMD EPYC: Zen 5\nmodel name\t: other\n"
	if got := field(strings.NewReader(text), "model name"); got != "AMD EPYC: Zen 5" {
		t.Errorf("field = %q", got)
	}
	if got := field(strings.NewReader(text), "model"); got != "" {
		t.Errorf("field = %q, want none", got)
	}
}
