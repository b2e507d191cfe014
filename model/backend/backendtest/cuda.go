package backendtest

import (
	"embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

//go:embed fake/*.c
var fake embed.FS

// GPUs is a machine with NVIDIA GPUs that are not there.
type GPUs struct {
	// Environment makes the machine for a child process: name=value for each variable
	// that it needs. FAKE_CUDA=12080 is an older driver, and FAKE_STATUS an error of it.
	Environment []string
	Plugin      string // the CUDA plugin, which is XLA's for the processor
	Log         string // file with the options and the flags of each client of Plugin, a line for each
}

// header returns the folder with PJRT's header.
var header = sync.OnceValues(func() (string, error) {
	folder, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/gomlx/go-xla/pjrt").Output()
	return strings.TrimSpace(string(folder)), err
})

// CUDA makes a driver with GPUs of these names and a plugin for them. Like [XLA], it
// skips or fails the test where there is no plugin for the processor.
func CUDA(t testing.TB, names ...string) GPUs {
	t.Helper()
	folder := t.TempDir()
	g := GPUs{Plugin: filepath.Join(folder, "nvidia", "pjrt_c_api_cuda_plugin.so"), Log: filepath.Join(folder, "log")}
	g.Environment = []string{
		"LD_LIBRARY_PATH=" + folder + ":" + os.Getenv("LD_LIBRARY_PATH"),
		"PJRT_PLUGIN_LIBRARY_PATH=" + filepath.Dir(g.Plugin),
		"FAKE_GPUS=" + strings.Join(names, ","),
		"FAKE_TARGET=" + XLA(t).Info.PluginFile,
		"FAKE_LOG=" + g.Log,
	}
	if err := os.MkdirAll(filepath.Join(filepath.Dir(g.Plugin), "cu13", "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	headers, err := header()
	if err != nil {
		t.Fatalf("find PJRT's header: %v", err)
	}
	for source, library := range map[string]string{"libcuda.c": filepath.Join(folder, "libcuda.so.1"), "plugin.c": g.Plugin} {
		code, err := fake.ReadFile("fake/" + source)
		if err != nil {
			t.Fatal(err)
		}
		cc := exec.Command("cc", "-shared", "-fPIC", "-Wl,-rpath,$ORIGIN/../nvidia/cu13/lib",
			"-I", headers, "-o", library, "-x", "c", "-", "-ldl")
		cc.Stdin = strings.NewReader(string(code))
		if output, err := cc.CombinedOutput(); err != nil {
			t.Fatalf("cc %s: %v\n%s", source, err, output)
		}
	}
	return g
}
