package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"epochal/dataset/regular"
)

// cudaFile is the name of the CUDA plugin in the folder nvidia.
const cudaFile = "pjrt_c_api_cuda_plugin.so"

// CUDA installs JAX's CUDA plugin with NVIDIA's libraries, see [CUDASize], and
// returns the plugin's path. On linux/amd64 only; a GPU need not be present.
// If the pinned plugin is already installed, it does nothing. The old
// installation stays until the new one is complete.
//
// The layout is that of go-xla's installer.CudaInstall, which is not used because
// it takes the newest versions of everything, removes the old installation first,
// prints to standard output and cannot be cancelled.
func (i Installer) CUDA(ctx context.Context) (path string, err error) {
	if platform != pinnedPlatform {
		return "", fmt.Errorf("install %s: it is not available for %s, only for %s", cudaPlugin.name, platform, pinnedPlatform)
	}
	return i.install(ctx, cudaPlugin, i.cuda)
}

// CUDACompiler unpacks into a folder only what compiles programs for a GPU, which need not
// be there: the plugin, which it returns, and NVIDIA's compiler, a download of 257 MB. It
// does nothing if they are there. The tests use it.
func (i Installer) CUDACompiler(ctx context.Context, folder string) (plugin string, err error) {
	plugin = filepath.Join(folder, "nvidia", cudaFile)
	if sha256, err := recordedHash(plugin); err == nil && sha256 == cudaPluginSHA256 {
		return plugin, nil
	}
	staging := filepath.Join(folder, ".partial")
	if err := errors.Join(os.RemoveAll(staging), os.MkdirAll(staging, 0o755)); err != nil {
		return "", err
	}
	defer os.RemoveAll(staging)
	if err := i.unpackCUDA(ctx, staging, filepath.Join(staging, "nvidia"), func(w wheel) bool {
		name := path.Base(w.path)
		return strings.HasPrefix(name, "jax_") || strings.HasPrefix(name, "nvidia_cuda_nvcc") || strings.HasPrefix(name, "nvidia_nvvm")
	}); err != nil {
		return "", err
	}
	final := filepath.Join(folder, "nvidia")
	return plugin, errors.Join(os.RemoveAll(final), os.Rename(filepath.Join(staging, "nvidia"), final))
}

// cuda builds the folder nvidia beside the old one and swaps them.
func (i Installer) cuda(ctx context.Context, folder, staging string) (plugin string, err error) {
	final := filepath.Join(folder, "nvidia")
	plugin = filepath.Join(final, cudaFile)
	if sha256, err := recordedHash(plugin); err == nil && sha256 == cudaPluginSHA256 {
		return plugin, nil
	}
	if err := checkSpace(folder, cudaPlugin); err != nil {
		return "", err
	}
	fresh, old := filepath.Join(staging, "fresh"), filepath.Join(staging, "old")
	if err := i.unpackCUDA(ctx, staging, fresh, func(wheel) bool { return true }); err != nil {
		return "", err
	}
	if err := regular.Move(final, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := regular.Move(fresh, final); err != nil {
		return "", errors.Join(err, regular.Move(old, final))
	}
	// NVIDIA's code looks for these in the folder above the install folder. What is
	// there already is the user's, or a link of an earlier installation.
	above, name := filepath.Split(folder)
	for _, library := range []string{"libcublasLt.so.13", "libcublas.so.13"} {
		err := os.Symlink(filepath.Join(name, "nvidia", "cu13", "lib", library), filepath.Join(above, library))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return plugin, nil
}

// unpackCUDA builds the folder nvidia as fresh, from those of the wheels that are wanted.
func (i Installer) unpackCUDA(ctx context.Context, staging, fresh string, wanted func(wheel) bool) error {
	// XLA looks for ptxas in bin.
	if err := os.MkdirAll(filepath.Join(fresh, "bin"), 0o755); err != nil {
		return err
	}
	if err := os.Symlink("../cu13/bin/ptxas", filepath.Join(fresh, "bin", "ptxas")); err != nil {
		return err
	}
	for _, wheel := range cudaWheels {
		if !wanted(wheel) {
			continue
		}
		err := i.unpackFrom(ctx, wheel, staging, fresh, func(member string) string {
			if path.Base(member) == "xla_cuda_plugin.so" {
				return cudaFile
			}
			name, found := strings.CutPrefix(member, "nvidia/")
			if !found {
				return ""
			}
			return name
		})
		if err != nil {
			return err
		}
	}
	return nil
}
