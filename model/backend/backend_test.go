package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"epochal/model/backend/internal/advice"
	"epochal/model/backend/internal/driver"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/google/go-cmp/cmp"
)

// put makes a file with the folders above it.
func put(t *testing.T, name, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestOpenAutoWithoutPlugin(t *testing.T) {
	folder := newMachine(t)
	b, warnings, err := Open(context.Background(), Auto, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	want := "using pure Go, 10 to 50 times slower than XLA, because backend \"xla:cpu\": no PJRT plugin \"cpu\" in " + folder +
		" or the other plugin folders, expected a file such as pjrt_c_api_cpu_plugin.so; to install XLA: epochal backends install cpu"
	if diff := cmp.Diff([]string{want}, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if b.Info.Name != Go || b.StepLoops() || b.Info.Device != processor(Cores()) || !strings.HasPrefix(b.Info.Version, "compute") {
		t.Errorf("opened %+v, step loops %v", b.Info, b.StepLoops())
	}
	t.Setenv("GOMLX_BACKEND", "go:ops_sequential")
	chosen, warnings, err := Open(context.Background(), Auto, Options{})
	if err != nil || len(warnings) > 0 || chosen.Info.Name != "go:ops_sequential" {
		t.Fatalf("opened %+v, %v, warnings %q, want what GOMLX_BACKEND says", chosen, err, warnings)
	}
	chosen.Close()
	sum := graph.MustExecOnce(b.Backend, func(x, y *graph.Node) *graph.Node { return graph.Add(x, y) }, float32(1), float32(1))
	if got := sum.Value(); got != float32(2) {
		t.Errorf("1+1 = %v", got)
	}
}

func TestOpenAutoWithNVIDIA(t *testing.T) {
	folder := newMachine(t)
	setNVIDIA(t, true)
	open := func() []string {
		t.Helper()
		b, warnings, err := Open(context.Background(), Auto, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if b.Info.Name != Go || len(warnings) != 2 {
			t.Fatalf("opened %s with %q, want pure Go with two warnings", b.Info.Name, warnings)
		}
		return warnings
	}
	const missing = "there is an NVIDIA GPU but no CUDA plugin; to use it: epochal backends install cuda " +
		"(a download of 2.5 GB, 3.8 GB unpacked)"
	if got, want := open()[0], missing; got != want {
		t.Errorf("warning %q, want %q", got, want)
	}
	set(t, &nvidia, func() (driver.Driver, error) {
		return driver.Driver{}, advice.Errorf("install it", "%w: libcuda.so.1 is missing", driver.ErrNoDriver)
	})
	if got, want := open()[0], "the NVIDIA GPU is not used: no NVIDIA driver: libcuda.so.1 is missing (install it)"; got != want {
		t.Errorf("warning %q, want %q", got, want)
	}
	if got := List()[0]; got.State != StateNoDriver || got.Hint != "no NVIDIA driver: libcuda.so.1 is missing (install it)" {
		t.Errorf("listed as %+v, want it without a driver", got)
	}
	setNVIDIA(t, true)
	put(t, filepath.Join(folder, "nvidia", "pjrt_c_api_cuda_plugin.so"), "no plugin")
	if got := open()[0]; !strings.HasPrefix(got, "the NVIDIA GPU is not used: plugin "+folder) {
		t.Errorf("warning %q, want why the plugin does not load", got)
	}
}

func TestOpenInstalls(t *testing.T) {
	newMachine(t)
	calls := 0
	failing := Options{Install: func(context.Context) (string, error) {
		calls++
		return "", errors.New("offline")
	}}
	b, warnings, err := Open(context.Background(), Auto, failing)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	want := `because backend "xla:cpu": offline; to install XLA: ` + installCPU
	if len(warnings) != 1 || !strings.HasSuffix(warnings[0], want) {
		t.Errorf("warnings %q, want one that ends in %q", warnings, want)
	}
	if _, _, err := Open(context.Background(), XLACPU, failing); err == nil || err.Error() != `backend "xla:cpu": offline` {
		t.Errorf("error %v", err)
	}
	// Nothing is installed for other names.
	for _, name := range []string{Go, "xla", "xla:rocm", XLACUDA} {
		if b, _, err := Open(context.Background(), name, failing); err == nil {
			b.Close()
		}
	}
	if calls != 2 {
		t.Errorf("%d installations, want 2", calls)
	}
	// Cancelled while installing, auto does not continue with pure Go.
	ctx, cancel := context.WithCancel(context.Background())
	b, _, err = Open(ctx, Auto, Options{Install: func(context.Context) (string, error) {
		cancel()
		return "", ctx.Err()
	}})
	if !errors.Is(err, context.Canceled) || b != nil {
		t.Errorf("error %v, want context canceled", err)
	}
	if _, _, err := Open(ctx, Go, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context canceled", err)
	}
}

func TestOpenErrors(t *testing.T) {
	missing := func(kind string) string {
		return "no PJRT plugin \"" + kind + "\" in DIR or the other plugin folders, expected a file such as pjrt_c_api_" + kind + "_plugin.so"
	}
	for _, c := range []struct {
		name, gomlx string
		nvidia      bool
		want, hint  string // DIR stands for the install folder
	}{
		{"xla:cpu", "", false, `backend "xla:cpu": ` + missing("cpu"), installCPU},
		{"xla", "", false, `backend "xla": ` + missing("cpu"), installCPU},
		{"xla:cuda", "", false, `backend "xla:cuda": no NVIDIA GPU`, ""},
		{"xla:cuda", "", true, `backend "xla:cuda": ` + missing("cuda"), installCUDA},
		{"xla:rocm", "", false, `backend "xla:rocm": ` + missing("rocm"), ""},
		{"xla:/no/cpu.so", "", false, `backend "xla:/no/cpu.so": plugin: stat /no/cpu.so: no such file or directory`, ""},
		{"xla:/dev/zero", "", false, `backend "xla:/dev/zero": plugin: /dev/zero: found a device, expected a file`, ""},
		{"auto", "xla:cpu", false, `GOMLX_BACKEND: backend "xla:cpu": ` + missing("cpu"), installCPU},
		{"auto", "cpu", false, `GOMLX_BACKEND: backend "cpu" is unknown, ` + expectedNames, "did you mean xla:cpu?"},
		{"gpu", "", false, `backend "gpu" is unknown, ` + expectedNames, "did you mean xla:cuda?"},
	} {
		t.Run(c.name+" "+c.gomlx, func(t *testing.T) {
			folder := newMachine(t)
			setNVIDIA(t, c.nvidia)
			t.Setenv("GOMLX_BACKEND", c.gomlx)
			b, _, err := Open(context.Background(), c.name, Options{})
			if b != nil {
				t.Fatalf("opened %+v", b.Info)
			}
			if want := strings.ReplaceAll(c.want, "DIR", folder); err == nil || err.Error() != want {
				t.Errorf("error:\n got %v\nwant %s", err, want)
			}
			if got := hintOf(err); got != c.hint {
				t.Errorf("hint %q, want %q", got, c.hint)
			}
		})
	}
	newMachine(t)
	t.Setenv("HOME", "")
	_, _, err := Open(context.Background(), XLACPU, Options{})
	want := `backend "xla:cpu": no PJRT plugin "cpu" in the plugin folders, expected a file such as pjrt_c_api_cpu_plugin.so`
	if err == nil || err.Error() != want {
		t.Errorf("error without a home folder:\n got %v\nwant %s", err, want)
	}
	const hint = "set HOME to a folder that you can write to, or PJRT_PLUGIN_LIBRARY_PATH to one that has a plugin"
	if found := List()[1].Hint; hintOf(err) != hint || found != hint {
		t.Errorf("hints %q and %q, want %q", hintOf(err), found, hint)
	}
}

// A file with a pin's name is not loaded unless it has the pin's hash.
func TestOpenDamaged(t *testing.T) {
	folder := newMachine(t)
	file := filepath.Join(folder, "pjrt_c_api_cpu_v0.11.2-epochal_plugin.so")
	put(t, file, "one")
	damaged := "plugin " + file + " is damaged: it has the SHA-256 7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed, " +
		"expected ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2"
	cpu := List()[1]
	if cpu.State != StateDamaged || cpu.Hint != installCPU || cpu.File != file || cpu.SHA256 == "" {
		t.Errorf("listed as %+v, want it damaged", cpu)
	}
	fresh := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
	put(t, fresh, "no plugin")
	installs := func(context.Context) (string, error) { return fresh, nil }
	fails := func(context.Context) (string, error) { return "", errors.New("offline") }
	for _, c := range []struct {
		name    string
		install func(context.Context) (string, error)
		want    string // beginning of the error
		hint    string
	}{
		{XLACPU, nil, `backend "xla:cpu": ` + damaged, installCPU},
		{XLACPU, fails, `backend "xla:cpu": ` + damaged + "; offline", ""},
		{XLACPU, installs, `backend "xla:cpu": plugin ` + fresh + ": not a complete ELF file", "download or copy it again, or remove it"},
		// Asked for by its path, it is not replaced.
		{"xla:" + file, installs, `backend "xla:` + file + `": ` + damaged, installCPU},
	} {
		_, _, err := Open(context.Background(), c.name, Options{Install: c.install})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || hintOf(err) != c.hint {
			t.Errorf("error with hint %q:\n got %v\nwant %s", hintOf(err), err, c.want)
		}
	}
}

// Where things are missing go-xla logs, at first when its package is initialized
// without a home folder. A program that opens a backend sees nothing of it.
func TestOpenPrintsNothing(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "HOME=") || strings.HasPrefix(pair, "GOMLX") || strings.HasPrefix(pair, "PJRT")
	}), ChildMode+"=auto")
	if output, err := child.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("%v, printed %q", err, output)
	}
}

// Nothing is loaded: what go-xla would find is made up.
func TestGoxlaName(t *testing.T) {
	set(t, &availablePlugins, func() map[string]string {
		return map[string]string{"cpu_v1": "/nvidia/pjrt_c_api_cpu_v1_plugin.so"}
	})
	for file, want := range map[string]string{
		"/lib/pjrt_c_api_cpu_plugin.so":         "/lib/pjrt_c_api_cpu_plugin.so",
		"/lib/nvidia/pjrt_c_api_cuda_plugin.so": "/lib/nvidia/pjrt_c_api_cuda_plugin.so",
		"/nvidia/pjrt_c_api_cpu_v1_plugin.so":   "cpu_v1",
		"/nvidia/pjrt_c_api_cpu_plugin.so":      "",
		"/cpu/pjrt_c_api_cuda_plugin.so":        "",
		"/a,b/pjrt_c_api_cpu_plugin.so":         "",
		"/x/libpjrt_cpu.so":                     "/x/libpjrt_cpu.so",
		"/rocm/pjrt_c_api_rocm_plugin.so":       "/rocm/pjrt_c_api_rocm_plugin.so",
		"/cpu/pjrt_c_api_rocm_plugin.so":        "",
	} {
		message := "<nil>"
		if want == "" {
			message = "plugin " + file + ": its path has a comma, or a word (cpu, cuda, nvidia) that makes go-xla take it for another kind"
		}
		if got, err := goxlaName(file); got != want || fmt.Sprint(err) != message {
			t.Errorf("goxlaName(%q) = %q, %v, want %q, %s", file, got, err, want, message)
		}
	}
}

func TestList(t *testing.T) {
	folder := newMachine(t)
	type row struct{ Name, State, Hint string }
	check := func(want ...row) {
		t.Helper()
		var got []row
		for _, s := range List() {
			got = append(got, row{s.Name, s.State, s.Hint})
			if s.Name == Go && (s.Version == "" || s.Device == "") {
				t.Errorf("pure Go is %+v, want a version and a device", s)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("List (-want +got):\n%s", diff)
		}
	}
	cpu, pureGo := row{XLACPU, StateMissing, installCPU}, row{Go, StateReady, ""}
	check(row{XLACUDA, StateNoDevice, ""}, cpu, pureGo)
	setNVIDIA(t, true)
	check(row{XLACUDA, StateMissing, installCUDA}, cpu, pureGo)

	put(t, filepath.Join(folder, "pjrt_c_api_cpu_plugin.so"), "no plugin")
	put(t, filepath.Join(folder, "nvidia", "pjrt_c_api_cuda_plugin.so"), "no plugin")
	for i, s := range List()[:2] {
		if s.State != StateBroken || s.Hint == "" || s.File == "" {
			t.Errorf("status %d of a file that is no plugin: %+v, want %q with the reason", i, s, StateBroken)
		}
	}
}

func TestField(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cpuinfo")
	put(t, file, "processor\t: 0\nmodel name\t: AMD EPYC: Zen 5\nmodel name\t: other\n")
	for key, want := range map[string]string{"model name": "AMD EPYC: Zen 5", "model": ""} {
		if got := field(file, key); got != want {
			t.Errorf("field %q = %q, want %q", key, got, want)
		}
	}
}
