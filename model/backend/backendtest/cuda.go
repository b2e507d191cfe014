package backendtest

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"epochal/model/backend"
	"epochal/model/backend/install"
)

//go:embed fake/*.c
var fake embed.FS

// GPUs is a machine with NVIDIA GPUs that are not there.
type GPUs struct {
	// Environment makes the machine for a child process: name=value for each variable
	// that it needs. FAKE_CUDA=12080 is an older driver, and FAKE_STATUS an error of it;
	// fake/plugin.c says what FAKE_DUMP and FAKE_WHILE do.
	Environment []string
	Plugin      string // the CUDA plugin, which is XLA's for the processor
	Log         string // file with the options and the flags of each client of Plugin, a line for each
}

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
	for source, library := range map[string]string{"libcuda.c": filepath.Join(folder, "libcuda.so.1"), "plugin.c": g.Plugin} {
		code, err := fake.ReadFile("fake/" + source)
		if err != nil {
			t.Fatal(err)
		}
		Compile(t, library, code, "-shared", "-fPIC", "-Wl,-soname,"+filepath.Base(library), "-Wl,-rpath,$ORIGIN/../nvidia/cu13/lib")
	}
	return g
}

// Here makes the machine for this process and its children, for the time of a test. The
// driver stays: without the variables it has no GPU.
func (g GPUs) Here(t testing.TB) {
	t.Helper()
	t.Setenv("XLA_FLAGS", os.Getenv("XLA_FLAGS")) // CUDA leaves flags in it
	for _, variable := range g.Environment {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	// One that is loaded already is found by its name, wherever it is.
	driver := C.CString(filepath.Join(filepath.Dir(g.Log), "libcuda.so.1"))
	defer C.free(unsafe.Pointer(driver))
	if C.dlopen(driver, C.RTLD_NOW) == nil {
		t.Fatal(C.GoString(C.dlerror()))
	}
}

// Open is [GPUs.Here] with the first GPU opened, for the time of a test.
func (g GPUs) Open(t testing.TB) *backend.Backend {
	t.Helper()
	g.Here(t)
	b, _, err := backend.Open(context.Background(), backend.XLACUDA, backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// Pin makes the plugin count as the one that package install pins, for this process and
// its children: it is in the record of hashes, which that package trusts.
func (g GPUs) Pin(t testing.TB) {
	t.Helper()
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	info, err := os.Stat(g.Plugin)
	if err != nil {
		t.Fatal(err)
	}
	state := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", g.Plugin, info.Size(), info.ModTime().UnixNano()))
	record := filepath.Join(cache, "epochal", "plugins", fmt.Sprintf("%x", state))
	if err := os.MkdirAll(filepath.Dir(record), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record, []byte(install.CUDASHA256()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// header returns the folder with PJRT's header.
var header = sync.OnceValues(func() (string, error) {
	folder, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/gomlx/go-xla/pjrt").Output()
	return strings.TrimSpace(string(folder)), err
})

// Compile compiles C code that may include PJRT's header. The test is skipped, or fails
// if [Require] is set, where there is no compiler.
func Compile(t testing.TB, output string, code []byte, flags ...string) {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		if os.Getenv(Require) == "1" {
			t.Fatalf("a C compiler, which %s=1 requires: %v", Require, err)
		}
		t.Skipf("needs a C compiler: %v", err)
	}
	headers, err := header()
	if err != nil {
		t.Fatalf("find PJRT's header: %v", err)
	}
	cc := exec.Command("cc", append(flags, "-I", headers, "-o", output, "-x", "c", "-", "-ldl")...)
	cc.Stdin = strings.NewReader(string(code))
	if printed, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc %s: %v\n%s", filepath.Base(output), err, printed)
	}
}
