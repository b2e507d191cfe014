package install

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newCUDAServer has fakes of JAX's plugin and two of NVIDIA's libraries as well,
// which are pinned for the time of the test.
func newCUDAServer(t *testing.T) *server {
	s := newServer(t)
	set(t, &cudaPluginSHA256, digest("plugin"))
	set(t, &cudaWheels, []wheel{
		s.add("jax.whl", zipped("jax_plugins/xla_cuda13/xla_cuda_plugin.so", "plugin", "jax_plugins/__init__.py", "")),
		s.add("cublas.whl", zipped("nvidia/cu13/lib/libcublas.so.13", "cublas", "nvidia/cu13/lib/libcublasLt.so.13", "cublasLt",
			"other/file", "")),
		s.add("nvcc.whl", zipped("nvidia/cu13/bin/ptxas", "ptxas")),
	})
	return s
}

func TestCUDA(t *testing.T) {
	s := newCUDAServer(t)
	home, folder := newHome(t)
	want := map[string]string{
		".local/lib/go-xla/nvidia/pjrt_c_api_cuda_plugin.so":  "plugin",
		".local/lib/go-xla/nvidia/bin/ptxas":                  "-> ../cu13/bin/ptxas",
		".local/lib/go-xla/nvidia/cu13/bin/ptxas":             "ptxas",
		".local/lib/go-xla/nvidia/cu13/lib/libcublas.so.13":   "cublas",
		".local/lib/go-xla/nvidia/cu13/lib/libcublasLt.so.13": "cublasLt",
		".local/lib/libcublas.so.13":                          "the user's own",
		".local/lib/libcublasLt.so.13":                        "-> go-xla/nvidia/cu13/lib/libcublasLt.so.13",
	}
	put(t, filepath.Join(home, ".local/lib/libcublas.so.13"), "the user's own")
	// An old installation is replaced as a whole, and a complete one is not touched.
	put(t, filepath.Join(folder, "nvidia", cudaFile), "old")
	put(t, filepath.Join(folder, "nvidia/old"), "old")
	for range 2 {
		plugin, err := Installer{}.CUDA(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, tree(t, home)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", "")
		if found, _ := Find("cuda"); found != plugin {
			t.Errorf("found %q, want %q", found, plugin)
		}
		if info, err := os.Stat(filepath.Join(folder, "nvidia/bin/ptxas")); err != nil || info.Mode().Perm()&0o100 == 0 {
			t.Errorf("ptxas cannot be executed: %v", err)
		}
	}
	if got := s.count("/jax.whl"); got != 1 {
		t.Errorf("%d downloads, want 1", got)
	}

	put(t, filepath.Join(folder, "nvidia", cudaFile), "an older version")
	before := tree(t, home)
	for _, bad := range []struct {
		wheel  string
		handle http.HandlerFunc
	}{{"/nvcc.whl", http.NotFound}, {"/cublas.whl", answer("x")}} { // the last wheel first: it comes no further than the first bad one
		s.handle(bad.wheel, bad.handle)
		if _, err := (Installer{}).CUDA(context.Background()); err == nil || !strings.Contains(err.Error(), s.URL+bad.wheel) {
			t.Errorf("error %v, want it to name %s", err, bad.wheel)
		}
		if diff := cmp.Diff(before, tree(t, home)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	}
	set(t, &platform, "darwin_arm64")
	_, err := Installer{}.CUDA(context.Background())
	if want := "install the CUDA plugin: it is not available for darwin_arm64, only for linux_amd64"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Of two installers one downloads.
func TestCUDAOnce(t *testing.T) {
	s := newCUDAServer(t)
	newHome(t)
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if _, err := (Installer{}).CUDA(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := s.count("/jax.whl"); got != 1 {
		t.Errorf("%d downloads, want 1", got)
	}
}
