package backend

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cudaIndex has JAX's plugin and two of NVIDIA's libraries.
func cudaIndex(t *testing.T) *fakeIndex {
	index := newIndex(t)
	add := func(project, author string, requires []string, wheels map[string][]byte) {
		releases, newest := map[string]any{}, ""
		for version, content := range wheels {
			newest = max(newest, version)
			path := "/files/" + project + "-" + version + ".whl"
			index.handle(path, func(w http.ResponseWriter, r *http.Request) { w.Write(content) })
			releases[version] = []map[string]any{{
				"filename": project + "-" + version + "-py3-none-manylinux_2_27_x86_64.whl",
				"url":      "../.." + path,
				"digests":  map[string]string{"sha256": digest(content)},
			}}
		}
		info := map[string]any{"author_email": author, "version": newest, "requires_dist": requires}
		index.handle("/pypi/"+project+"/json", func(w http.ResponseWriter, r *http.Request) {
			json.NewEncoder(w).Encode(map[string]any{"info": info, "releases": releases})
		})
	}
	add("jax-cuda13-pjrt", "jax-dev@google.com", nil, map[string][]byte{
		"0.9": zipped("jax_plugins/xla_cuda13/xla_cuda_plugin.so", "old"),
		"1.0": zipped("jax_plugins/xla_cuda13/xla_cuda_plugin.so", "plugin"),
	})
	add("jax-cuda13-plugin", "", []string{"jax-cuda13-pjrt==1.0", `nvidia-cublas<14,>=13.0; extra == "with-cuda"`, `nvidia-cuda-nvcc; extra == "with-cuda"`},
		map[string][]byte{"1.0": nil})
	add("nvidia-cublas", "", nil, map[string][]byte{
		"13.9":      zipped("nvidia/cu13/lib/libcublas.so.13", "old"),
		"13.10":     zipped("nvidia/cu13/lib/libcublas.so.13", "cublas", "nvidia/cu13/lib/libcublasLt.so.13", "cublasLt", "other/file", ""),
		"13.11.dev": nil,
		"14.0":      nil,
	})
	add("nvidia-cuda-nvcc", "", nil, map[string][]byte{"13.1": zipped("nvidia/cu13/bin/ptxas", "ptxas")})
	return index
}

func TestInstallCUDA(t *testing.T) {
	index := cudaIndex(t)
	root := t.TempDir()
	folder := filepath.Join(root, "lib", "go-xla")
	p := fakePlugins(folder, index.URL)
	want := []string{
		"lib/", "lib/go-xla/", "lib/go-xla/nvidia/",
		"lib/go-xla/nvidia/bin/", "lib/go-xla/nvidia/bin/ptxas",
		"lib/go-xla/nvidia/cu13/", "lib/go-xla/nvidia/cu13/bin/", "lib/go-xla/nvidia/cu13/bin/ptxas",
		"lib/go-xla/nvidia/cu13/lib/", "lib/go-xla/nvidia/cu13/lib/libcublas.so.13", "lib/go-xla/nvidia/cu13/lib/libcublasLt.so.13",
		"lib/go-xla/nvidia/pjrt_c_api_cuda_plugin.so",
		"lib/libcublas.so.13", "lib/libcublasLt.so.13",
	}
	for range 2 {
		plugin, err := p.InstallCUDA(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, files(t, root)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		for file, want := range map[string]string{
			plugin: "plugin", folder + "/nvidia/bin/ptxas": "ptxas",
			root + "/lib/libcublas.so.13": "cublas", root + "/lib/libcublasLt.so.13": "cublasLt",
		} {
			if content, err := os.ReadFile(file); string(content) != want {
				t.Errorf("%s has %q, %v, want %q", file, content, err, want)
			}
		}
		if found, _ := p.Find("cuda"); found != plugin {
			t.Errorf("Find = %q, want %q", found, plugin)
		}
		// What the former installation had and the new one has not is gone.
		touch(t, folder+"/nvidia/former")
	}

	for _, c := range []struct {
		name, path string
		handle     http.HandlerFunc
		want       string
	}{
		{"changed file", "/files/nvidia-cublas-13.10.whl", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("x")) }, "nvidia-cublas 13.10: "},
		{"file without ptxas", "/files/nvidia-cuda-nvcc-13.1.whl", http.NotFound, "nvidia-cuda-nvcc 13.1: "},
		{"other author", "/pypi/jax-cuda13-pjrt/json", func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte(`{"info": {"author_email": "x"}}`))
		}, `jax-cuda13-pjrt: the author is "x", expected "jax-dev@google.com"`},
		{"nothing fits", "/pypi/nvidia-cuda-nvcc/json", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{}`)) },
			"nvidia-cuda-nvcc: the index has no wheel for linux/amd64 that fits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := index.handlers[c.path]
			defer index.handle(c.path, before)
			index.handle(c.path, c.handle)
			if _, err := p.InstallCUDA(context.Background()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to contain %q", err, c.want)
			}
			// The former installation is all there.
			if diff := cmp.Diff(append(want[:len(want)-3:len(want)-3], "lib/go-xla/nvidia/former", want[len(want)-3]), files(t, root)[:len(want)-1]); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}

	p.platform = "darwin_arm64"
	_, err := p.InstallCUDA(context.Background())
	if want := "install the CUDA plugin: there is none for darwin_arm64, only for linux_amd64"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Only links are replaced in the folder above.
func TestInstallCUDAKeepsLibraries(t *testing.T) {
	index := cudaIndex(t)
	root := t.TempDir()
	users, link := root+"/libcublas.so.13", root+"/libcublasLt.so.13"
	touch(t, users)
	if err := os.Symlink("gone", link); err != nil {
		t.Fatal(err)
	}
	p := fakePlugins(root+"/go-xla", index.URL)
	p.HashRecord = filepath.Join(t.TempDir(), "plugins.json")
	if _, err := p.InstallCUDA(context.Background()); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{users: "libcublas.so.13", link: "cublasLt"} {
		if content, err := os.ReadFile(file); string(content) != want {
			t.Errorf("%s has %q, %v, want %q", file, content, err, want)
		}
	}
}

// After waiting for another installation, the CUDA plugin is installed unless
// that one did.
func TestInstallCUDAWaits(t *testing.T) {
	for _, c := range []struct {
		name   string
		before bool // there is a CUDA plugin already
		other  bool // the other installation is of the CUDA plugin
		want   int  // downloads
	}{
		{"for the CPU plugin", true, false, 1},
		{"for the CPU plugin, no CUDA plugin", false, false, 1},
		{"for the CUDA plugin", false, true, 0},
		{"for a new CUDA plugin", true, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			index := cudaIndex(t)
			p := fakePlugins(t.TempDir()+"/lib/go-xla", index.URL).withDefaults()
			final := filepath.Join(p.Directory, "nvidia", cudaPlugin)
			if c.before {
				touch(t, final)
			}
			waits, done := make(chan struct{}), make(chan error)
			_, err := p.locked(context.Background(), func(bool) (string, error) {
				go func() {
					second := p
					second.Progress = func(progress Progress) {
						if progress.Stage == StageWait {
							close(waits)
						}
					}
					_, err := second.InstallCUDA(context.Background())
					done <- err
				}()
				<-waits
				if c.other {
					touch(t, final+".new")
					return "", os.Rename(final+".new", final)
				}
				return "", nil
			})
			if err := errors.Join(err, <-done); err != nil {
				t.Fatal(err)
			}
			if got := index.count("/files/jax-cuda13-pjrt-1.0.whl"); got != c.want {
				t.Errorf("%d downloads, want %d", got, c.want)
			}
		})
	}
}
