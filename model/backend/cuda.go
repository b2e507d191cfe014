package backend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gomlx/go-xla/installer"
)

// cudaRelease is the generation of JAX's CUDA packages that is installed; it is
// also the folder cu13 in NVIDIA's packages.
const cudaRelease = "13"

const cudaPlugin = "pjrt_c_api_cuda_plugin.so"

// maxDependencies is how many dependencies of a project are asked for, at most.
const maxDependencies = 100

// wheel is a file on the package index.
type wheel struct {
	project, version string
	address, sha256  string
}

// InstallCUDA installs JAX's CUDA plugin with NVIDIA's libraries, gigabytes,
// and returns the plugin's path. On linux/amd64 only; a device need not be
// present. It takes the newest versions: the hashes are those that the index
// gives, none is pinned. The former installation stays until all is there.
//
// It makes what go-xla's installer.CudaInstall makes, which cannot be used
// here: it removes the former installation first, prints on standard output,
// cannot be cancelled, and takes no index whose addresses are relative.
func (p Plugins) InstallCUDA(ctx context.Context) (plugin string, err error) {
	p = p.withDefaults()
	if p.platform != "linux_amd64" {
		return "", fmt.Errorf("install the CUDA plugin: there is none for %s, only for linux_amd64", p.platform)
	}
	if p.Directory == "" {
		return "", noFolder("install the CUDA plugin")
	}
	final := filepath.Join(p.Directory, "nvidia", cudaPlugin)
	before, beforeErr := os.Stat(final)
	plugin, err = p.locked(ctx, func(waited bool) (string, error) {
		// Another process may have installed this plugin while this one waited, or only the one for the CPU.
		if after, err := os.Stat(final); err == nil && waited {
			if beforeErr != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
				return final, nil
			}
		}
		return final, p.installCUDA(ctx)
	})
	if err != nil {
		return "", fmt.Errorf("install the CUDA plugin into %s: %w", p.Directory, err)
	}
	return plugin, nil
}

// installCUDA builds the folder nvidia beside the former one and swaps them.
func (p Plugins) installCUDA(ctx context.Context) error {
	plugin, libraries, err := p.cudaWheels(ctx)
	if err != nil {
		return err
	}
	staging, err := os.MkdirTemp(p.Directory, partial)
	if err != nil {
		return err
	}
	defer os.RemoveAll(staging)
	fresh := filepath.Join(staging, "fresh")
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}

	for _, library := range libraries {
		err := p.unpackWheel(ctx, library, func(file string) error {
			return unpackFolder(ctx, file, "nvidia", fresh, maxLibraries)
		})
		if err != nil {
			return err
		}
	}
	target := filepath.Join(fresh, cudaPlugin)
	err = p.unpackWheel(ctx, plugin, func(file string) error {
		wanted := func(name string) bool { return path.Base(name) == "xla_cuda_plugin.so" }
		if err := unpackFile(ctx, file, wanted, target, 0); err != nil {
			return err
		}
		return os.Chmod(target, 0o755)
	})
	if err != nil {
		return err
	}
	// XLA looks for ptxas in bin.
	ptxas := filepath.Join("cu"+cudaRelease, "bin", "ptxas")
	if _, err := os.Stat(filepath.Join(fresh, ptxas)); err != nil {
		return fmt.Errorf("NVIDIA's packages: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(fresh, "bin"), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join("..", ptxas), filepath.Join(fresh, "bin", "ptxas")); err != nil {
		return err
	}

	final := filepath.Join(p.Directory, "nvidia")
	former := filepath.Join(staging, "former")
	if err := os.Rename(final, former); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, final); err != nil {
		return errors.Join(err, os.Rename(former, final))
	}
	return p.linkCUBLAS(staging)
}

// linkCUBLAS links the libraries that NVIDIA's code looks for in the folder
// above the install folder and does not find by itself. Only links are replaced:
// a file that is there already is the user's, and serves as well.
func (p Plugins) linkCUBLAS(staging string) error {
	above, name := filepath.Split(p.Directory)
	for _, library := range []string{"libcublasLt.so." + cudaRelease, "libcublas.so." + cudaRelease} {
		final := filepath.Join(above, library)
		if info, err := os.Lstat(final); err == nil && info.Mode().Type() != fs.ModeSymlink {
			continue
		}
		link := filepath.Join(staging, library)
		if err := os.Symlink(filepath.Join(name, "nvidia", "cu"+cudaRelease, "lib", library), link); err != nil {
			return err
		}
		if err := os.Rename(link, final); err != nil {
			return err
		}
	}
	return nil
}

// unpackWheel downloads a wheel and hands it to unpack.
func (p Plugins) unpackWheel(ctx context.Context, w wheel, unpack func(file string) error) error {
	file, err := p.downloadWheel(ctx, w.address, w.sha256, maxNVIDIA)
	if err != nil {
		return fmt.Errorf("%s %s: %w", w.project, w.version, err)
	}
	defer os.Remove(file)
	p.Progress(Progress{Stage: StageUnpack, File: path.Base(w.address)})
	if err := unpack(file); err != nil {
		return fmt.Errorf("%s %s: unpack the wheel: %w", w.project, w.version, err)
	}
	return nil
}

// cudaWheels asks the index for the newest CUDA plugin and for the newest of
// NVIDIA's libraries that it accepts.
func (p Plugins) cudaWheels(ctx context.Context) (plugin wheel, libraries []wheel, err error) {
	project := "jax-cuda" + cudaRelease + "-pjrt"
	info, err := p.index(ctx, project)
	if err != nil {
		return plugin, nil, err
	}
	if author := shown(info.Info.AuthorEmail); author != "jax-dev@google.com" {
		return plugin, nil, fmt.Errorf("%s: the author is %q, expected \"jax-dev@google.com\"", project, author)
	}
	exact := installer.PipDependency{Package: project, Exact: info.Info.Version}
	if plugin, err = newest(info, exact); err != nil {
		return plugin, nil, err
	}

	project = "jax-cuda" + cudaRelease + "-plugin"
	if info, err = p.index(ctx, project); err != nil {
		return plugin, nil, err
	}
	dependencies, err := info.ParseDependencies()
	if err != nil {
		return plugin, nil, fmt.Errorf("%s: %s", project, shown(err.Error()))
	}
	if len(dependencies) > maxDependencies {
		return plugin, nil, fmt.Errorf("%s: found %d dependencies, expected at most %d", project, len(dependencies), maxDependencies)
	}
	for _, dependency := range dependencies {
		if !strings.HasPrefix(dependency.Package, "nvidia") {
			continue
		}
		info, err := p.index(ctx, dependency.Package)
		if err != nil {
			return plugin, nil, err
		}
		library, err := newest(info, dependency)
		if err != nil {
			return plugin, nil, err
		}
		libraries = append(libraries, library)
	}
	if len(libraries) == 0 {
		return plugin, nil, fmt.Errorf("%s: none of its dependencies is NVIDIA's", project)
	}
	return plugin, libraries, nil
}

// finished matches the versions that are no previews, which have letters.
var finished = regexp.MustCompile(`^[0-9.]+$`)

// newest picks the newest wheel for linux/amd64 that a dependency accepts.
func newest(info *installer.PipPackageInfo, dependency installer.PipDependency) (wheel, error) {
	best := wheel{project: dependency.Package}
	for version, files := range info.Releases {
		if !finished.MatchString(version) || !dependency.IsValid(version) {
			continue
		}
		file, err := installer.PipSelectRelease(files, installer.PipPackageLinuxAMD64(), true)
		if err != nil || file.Digests["sha256"] == "" {
			continue
		}
		if best.version == "" || installer.PipCompareVersion(version, best.version) > 0 {
			best.version, best.address, best.sha256 = version, file.URL, file.Digests["sha256"]
		}
	}
	if best.version == "" {
		return best, fmt.Errorf("%s: the index has no wheel for linux/amd64 that fits", dependency.Package)
	}
	return best, nil
}
