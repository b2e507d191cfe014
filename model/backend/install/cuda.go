package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gomlx/go-xla/installer"
)

// cudaRelease is the generation of JAX's CUDA packages that is installed; it is
// also the folder cu13 in NVIDIA's packages.
const cudaRelease = "13"

// cudaFile is the name of the CUDA plugin in the folder nvidia.
const cudaFile = "pjrt_c_api_cuda_plugin.so"

// CUDA installs JAX's CUDA plugin with NVIDIA's libraries, gigabytes, and returns
// the plugin's path. On linux/amd64 only; a GPU need not be present. It takes the
// newest versions: the hashes are those that the index gives, none is pinned. The
// former installation stays until all is there.
//
// It makes what go-xla's installer.CudaInstall makes, which cannot be used here:
// it removes the former installation first, prints on standard output, cannot be
// cancelled, and takes no index whose addresses are relative.
func (i Installer) CUDA(ctx context.Context) (path string, err error) {
	if platform != "linux_amd64" {
		return "", fmt.Errorf("install %s: there is none for %s, only for linux_amd64", cudaPlugin, platform)
	}
	directory, _ := Directory() // install reports the error
	path = filepath.Join(directory, "nvidia", cudaFile)
	before, _ := os.Stat(path)
	return i.install(ctx, cudaPlugin, func(ctx context.Context, folder, staging string) (string, error) {
		if after, err := os.Stat(path); err == nil && !os.SameFile(before, after) {
			return path, nil // another process has installed it while this one waited
		}
		return path, i.cuda(ctx, folder, staging)
	})
}

// cuda builds the folder nvidia beside the former one and swaps them.
func (i Installer) cuda(ctx context.Context, folder, staging string) error {
	wheels, err := i.cudaWheels(ctx)
	if err != nil {
		return err
	}
	fresh := filepath.Join(staging, "fresh")
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	for _, wheel := range wheels {
		err := i.unpackFrom(ctx, wheel, staging, fresh, func(member string) string {
			if path.Base(member) == "xla_cuda_plugin.so" {
				return cudaFile
			}
			if name, found := strings.CutPrefix(member, "nvidia/"); found {
				return name
			}
			return ""
		})
		if err != nil {
			return err
		}
	}
	// XLA looks for ptxas in bin.
	ptxas := filepath.Join("cu"+cudaRelease, "bin", "ptxas")
	if _, err := os.Stat(filepath.Join(fresh, ptxas)); err != nil {
		return fmt.Errorf("NVIDIA's packages have no %s", ptxas)
	}
	if err := os.MkdirAll(filepath.Join(fresh, "bin"), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join("..", ptxas), filepath.Join(fresh, "bin", "ptxas")); err != nil {
		return err
	}

	final, former := filepath.Join(folder, "nvidia"), filepath.Join(staging, "former")
	if err := os.Rename(final, former); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, final); err != nil {
		return errors.Join(err, os.Rename(former, final))
	}
	// NVIDIA's code looks for these in the folder above the install folder. What is
	// there already is the user's, or a link of an earlier installation.
	above, name := filepath.Split(folder)
	for _, library := range []string{"libcublasLt.so." + cudaRelease, "libcublas.so." + cudaRelease} {
		target := filepath.Join(name, "nvidia", "cu"+cudaRelease, "lib", library)
		if err := os.Symlink(target, filepath.Join(above, library)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// cudaWheels asks the index for the newest CUDA plugin and for the newest of
// NVIDIA's libraries that it accepts.
func (i Installer) cudaWheels(ctx context.Context) ([]wheel, error) {
	plugin := installer.PipDependency{Package: "jax-cuda" + cudaRelease + "-pjrt"}
	project, _, err := i.project(ctx, plugin.Package)
	if err != nil {
		return nil, err
	}
	plugin.Exact = project.Info.Version
	name := "jax-cuda" + cudaRelease + "-plugin"
	if project, _, err = i.project(ctx, name); err != nil {
		return nil, err
	}
	dependencies, err := project.ParseDependencies()
	if err != nil {
		return nil, fmt.Errorf("%s: %.200q", name, err.Error())
	}
	libraries := slices.DeleteFunc(dependencies, func(d installer.PipDependency) bool {
		return !strings.HasPrefix(d.Package, "nvidia")
	})
	var wheels []wheel
	for _, dependency := range append(libraries, plugin) {
		project, _, err := i.project(ctx, dependency.Package)
		if err != nil {
			return nil, err
		}
		wheel, err := newest(project, dependency)
		if err != nil {
			return nil, err
		}
		wheels = append(wheels, wheel)
	}
	return wheels, nil
}

// finished matches the versions that are no previews, which have letters.
var finished = regexp.MustCompile(`^[0-9.]+$`)

// newest picks the newest wheel for linux/amd64 that a dependency accepts.
func newest(project *installer.PipPackageInfo, dependency installer.PipDependency) (wheel, error) {
	best := wheel{project: dependency.Package}
	for version, files := range project.Releases {
		if !finished.MatchString(version) || !dependency.IsValid(version) {
			continue
		}
		file, err := installer.PipSelectRelease(files, installer.PipPackageLinuxAMD64(), true)
		if err != nil || file.Digests["sha256"] == "" {
			continue
		}
		if best.version == "" || installer.PipCompareVersion(version, best.version) > 0 {
			best.version, best.sha256 = version, file.Digests["sha256"]
		}
	}
	if best.version == "" {
		return best, fmt.Errorf("%s: the index has no wheel for linux/amd64 that fits", dependency.Package)
	}
	return best, nil
}
