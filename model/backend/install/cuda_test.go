package install

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newCUDAServer has JAX's plugin and two of NVIDIA's libraries as well.
func newCUDAServer(t *testing.T) *server {
	s := newServer(t)
	s.add("jax-cuda13-pjrt", "1.0", zipped("jax_plugins/xla_cuda13/xla_cuda_plugin.so", "plugin", "jax_plugins/__init__.py", ""))
	s.add("jax-cuda13-plugin", "1.0", nil,
		"jax-cuda13-pjrt==1.0", `nvidia-cublas<14,>=13.0; extra == "with-cuda"`, `nvidia-cuda-nvcc; extra == "with-cuda"`)
	s.add("nvidia-cublas", "13.10", zipped("nvidia/cu13/lib/libcublas.so.13", "cublas", "nvidia/cu13/lib/libcublasLt.so.13", "cublasLt",
		"other/file", ""))
	s.add("nvidia-cuda-nvcc", "13.1", zipped("nvidia/cu13/bin/ptxas", "ptxas"))
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
		// What the former installation had and the new one has not is gone.
		put(t, filepath.Join(folder, "nvidia/former"), "former")
	}

	before := tree(t, home)
	for _, c := range []struct {
		name, path string
		handle     http.HandlerFunc
		want       string
	}{
		{"changed file", "/wheels/nvidia-cublas", answer("x"), "nvidia-cublas 13.10: "},
		{"missing file", "/wheels/nvidia-cuda-nvcc", http.NotFound, "nvidia-cuda-nvcc 13.1: "},
		{"nothing fits", "/pypi/nvidia-cuda-nvcc/json", answer("{}"), "nvidia-cuda-nvcc: the index has no wheel for linux/amd64 that fits"},
		{"without ptxas", "/pypi/jax-cuda13-plugin/json", answer(`{"info":{"requires_dist":["nvidia-cublas"]}}`),
			"NVIDIA's packages have no cu13/bin/ptxas"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.replace(t, c.path, c.handle)
			if _, err := (Installer{}).CUDA(context.Background()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to contain %q", err, c.want)
			}
			if diff := cmp.Diff(before, tree(t, home)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
	set(t, &platform, "darwin_arm64")
	_, err := Installer{}.CUDA(context.Background())
	if want := "install the CUDA plugin: there is none for darwin_arm64, only for linux_amd64"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestNewest(t *testing.T) {
	s := newCUDAServer(t)
	s.handle("/pypi/nvidia-cublas/json", answer(`{"releases":{
		"13.9":      [{"filename":"x-manylinux_2_27_x86_64","digests":{"sha256":"a"}}],
		"13.10":     [{"filename":"x-manylinux_2_27_x86_64","digests":{"sha256":"b"}}],
		"13.11":     [{"filename":"x-manylinux_2_27_x86_64"}],
		"13.12":     [{"filename":"x-win","digests":{"sha256":"d"}}],
		"13.13.dev": [{"filename":"x-manylinux_2_27_x86_64","digests":{"sha256":"e"}}],
		"14.0":      [{"filename":"x-manylinux_2_27_x86_64","digests":{"sha256":"f"}}]}}`))
	wheels, err := Installer{}.cudaWheels(context.Background())
	if err != nil || len(wheels) != 3 || wheels[0] != (wheel{"nvidia-cublas", "13.10", "b"}) {
		t.Errorf("%v, %v, want nvidia-cublas 13.10 first", wheels, err)
	}
}

// After waiting for another installation, the CUDA plugin is installed unless
// that one did.
func TestCUDAWaits(t *testing.T) {
	for other, want := range map[string]int{"nvidia/" + cudaFile: 0, "pjrt_c_api_cpu_plugin.so": 1} {
		s := newCUDAServer(t)
		_, folder := newHome(t)
		put(t, filepath.Join(folder, "nvidia", cudaFile), "old")
		waits, done := make(chan struct{}), make(chan error)
		_, err := Installer{}.install(context.Background(), "x", func(ctx context.Context, _, staging string) (string, error) {
			go func() {
				_, err := Installer{Progress: func(p Progress) {
					if p.Stage == StageWait {
						close(waits)
					}
				}}.CUDA(ctx)
				done <- err
			}()
			<-waits
			put(t, filepath.Join(staging, "new"), "new")
			return "", os.Rename(filepath.Join(staging, "new"), filepath.Join(folder, other))
		})
		if err := errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
		if got := s.count("/wheels/jax-cuda13-pjrt"); got != want {
			t.Errorf("after an installation of %s: %d downloads, want %d", other, got, want)
		}
	}
}
