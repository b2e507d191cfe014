package backend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/gomlx/go-xla/installer"
	"github.com/gomlx/go-xla/pjrt"
)

// InstallCPU installs XLA's CPU plugin and returns its path. On linux/amd64 it
// takes the first pinned plugin that can be had, and nothing else: a wheel or a
// plugin whose SHA-256 differs from the pin's ends the installation. Elsewhere
// none is pinned, and it takes the plugin of go-xla's own releases on GitHub,
// for which no hash is known; [Options.AutoInstall] never does that. A plugin
// that is already in p.Directory is kept. Whatever fails, the folder is left as
// it was. Only one process at a time installs into a folder; the others wait.
func (p Plugins) InstallCPU(ctx context.Context) (path string, err error) {
	return p.installCPU(ctx, true)
}

// installCPU is InstallCPU. Only if the user asked for the installation may the
// plugin be one without a known hash.
func (p Plugins) installCPU(ctx context.Context, asked bool) (path string, err error) {
	const what = "install the XLA CPU plugin"
	p = p.withDefaults()
	if p.Directory == "" {
		return "", noFolder(what)
	}
	if len(p.pinned) == 0 && !asked {
		return "", hintf(hintCPU, "%s: none for %s has a known SHA-256, so it is installed on request only", what, p.platform)
	}
	if len(p.pinned) > 0 {
		// Without the lock, so that a folder that cannot be written to will do.
		if path, ok := p.installed(ctx, p.pinned[0]); ok {
			return path, nil
		}
	}
	path, err = p.locked(ctx, func(bool) (string, error) {
		if len(p.pinned) > 0 {
			return p.installFirst(ctx)
		}
		path, err := p.installRelease(ctx)
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("go-xla's release %s: %w", pjrt.DefaultCPUVersion, err)
		}
		return path, err
	})
	if err != nil && ctx.Err() != nil {
		return "", fmt.Errorf("%s into %s: %w", what, p.Directory, err)
	}
	if err != nil {
		return "", hintf("check the network, or put a PJRT CPU plugin there as pjrt_c_api_cpu_plugin.so",
			"%s into %s: %w", what, p.Directory, err)
	}
	return path, nil
}

// noFolder is the error of an installation that has no folder to go to.
func noFolder(what string) error {
	return hintf("set HOME or "+pjrt.PJRTPluginPathsEnv, "%s: no install folder: the home folder is unknown", what)
}

// installFirst installs the first of the pinned plugins that can be had.
func (p Plugins) installFirst(ctx context.Context) (string, error) {
	var failed attempts
	for _, pin := range p.pinned {
		path, err := p.installPinned(ctx, pin)
		if err == nil || ctx.Err() != nil {
			return path, err
		}
		failed = append(failed, fmt.Errorf("%s %s: %w", pin.project, pin.version, err))
		if _, changed := errors.AsType[*hashError](err); changed {
			break
		}
	}
	return "", failed
}

// hashError tells that a file is not the one that was expected.
type hashError struct{ file, found, expected string }

func (e *hashError) Error() string {
	return fmt.Sprintf("%s has the SHA-256 %s, expected %s", e.file, e.found, e.expected)
}

// installed returns the file in the install folder that has a pin's hash.
func (p Plugins) installed(ctx context.Context, pin pin) (path string, found bool) {
	for _, file := range pluginsIn(p.Directory, "cpu") {
		info, err := os.Stat(file)
		if err != nil || info.Size() != pin.pluginSize {
			continue
		}
		if sha, err := hashRecord(p.HashRecord).of(ctx, file); err == nil && sha == pin.pluginSHA256 {
			return file, true
		}
	}
	return "", false
}

// installPinned installs a pinned plugin unless it is there.
func (p Plugins) installPinned(ctx context.Context, pin pin) (string, error) {
	if path, ok := p.installed(ctx, pin); ok {
		return path, nil
	}
	info, err := p.index(ctx, pin.project)
	if err != nil {
		return "", err
	}
	files, ok := info.Releases[pin.version]
	if !ok {
		return "", fmt.Errorf("the index has no version %s, only %s", pin.version,
			shownAll(slices.Sorted(maps.Keys(info.Releases))))
	}
	release, err := installer.PipSelectRelease(files, installer.PipPackageLinuxAMD64(), true)
	if err != nil {
		return "", err
	}
	wheel, err := p.downloadWheel(ctx, release.URL, pin.wheelSHA256, maxWheel)
	if err != nil {
		return "", err
	}
	defer os.Remove(wheel)

	unpacked, err := p.temporary(".so")
	if err != nil {
		return "", err
	}
	defer os.Remove(unpacked)
	p.Progress(Progress{StageUnpack, pin.file(), 0, pin.pluginSize})
	wanted := func(name string) bool { return name == pin.member }
	if err := unpackFile(ctx, wheel, wanted, unpacked, pin.pluginSize); err != nil {
		return "", fmt.Errorf("unpack %s from the wheel: %w", pin.member, err)
	}
	p.Progress(Progress{StageUnpack, pin.file(), pin.pluginSize, pin.pluginSize})
	return p.moveIn(ctx, unpacked, pin.file(), pin.pluginSHA256)
}

// downloadWheel downloads a wheel into the install folder and checks its hash.
func (p Plugins) downloadWheel(ctx context.Context, address, want string, limit int64) (string, error) {
	wheel, sha, kind, err := p.download(ctx, address, ".whl", limit)
	if err != nil {
		return "", err
	}
	if sha != want {
		os.Remove(wheel)
		return "", &hashError{fmt.Sprintf("%s: what came (%s)", address, kind), sha, want}
	}
	return wheel, nil
}

// releasePlatforms are the systems that go-xla's releases have a plugin for,
// but for Windows, where epochal does not build.
var releasePlatforms = []string{"linux_amd64", "linux_arm64", "darwin_arm64"}

// installRelease installs the plugin of go-xla's own release unless it is there.
//
// go-xla's installer for it writes cursor codes to standard output, has no
// timeouts and cannot be cancelled, so only its constants are used. Nobody publishes a hash for these files; what
// vouches for them is the connection to GitHub.
func (p Plugins) installRelease(ctx context.Context) (string, error) {
	if !slices.Contains(releasePlatforms, p.platform) {
		return "", fmt.Errorf("there is none for %s, only for %s", p.platform, list(releasePlatforms))
	}
	const suffix = ".tar.gz"
	installed := filepath.Join(p.Directory, "pjrt_c_api_cpu_"+pjrt.DefaultCPUVersion+"_plugin.so")
	if info, err := os.Stat(installed); err == nil && info.Mode().IsRegular() {
		return installed, nil
	}
	address := fmt.Sprintf("%s/%s/pjrt_cpu_%s%s", p.releases, pjrt.DefaultCPUVersion, p.platform, suffix)
	archive, _, kind, err := p.download(ctx, address, suffix, maxWheel)
	if err != nil {
		return "", err
	}
	defer os.Remove(archive)

	unpacked, err := p.temporary(".so")
	if err != nil {
		return "", err
	}
	defer os.Remove(unpacked)
	p.Progress(Progress{StageUnpack, filepath.Base(installed), 0, 0})
	if err := unpackRelease(ctx, archive, unpacked, maxPlugin, maxArchive); errors.Is(err, errNoPlugin) {
		return "", fmt.Errorf("%s: %w", address, err)
	} else if err != nil {
		return "", fmt.Errorf("%s: what came is %s, expected an archive: %w", address, kind, err)
	}
	return p.moveIn(ctx, unpacked, filepath.Base(installed), "")
}

// temporary makes an empty file in the install folder.
func (p Plugins) temporary(suffix string) (string, error) {
	file, err := os.CreateTemp(p.Directory, partial+"*"+suffix)
	if err != nil {
		return "", err
	}
	return file.Name(), file.Close()
}

// moveIn gives an unpacked plugin its final name, if it has the wanted hash or
// none is known.
func (p Plugins) moveIn(ctx context.Context, file, name, want string) (string, error) {
	sha, err := hashFile(ctx, file)
	if err != nil {
		return "", err
	}
	if want != "" && sha != want {
		return "", &hashError{"the unpacked plugin", sha, want}
	}
	if err := os.Chmod(file, 0o755); err != nil {
		return "", err
	}
	if err := flush(file); err != nil {
		return "", err
	}
	final := filepath.Join(p.Directory, name)
	if err := os.Rename(file, final); err != nil {
		return "", err
	}
	hashRecord(p.HashRecord).remember(final, sha)
	// The plugin is in place; a folder that cannot be flushed is no failure.
	_ = flush(p.Directory)
	return final, nil
}

// flush has the file system write a file or folder to its medium.
func flush(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

// locked makes the install folder and calls install while no other process or
// goroutine does, with waited set if one did before. When install fails,
// folders that were made are removed.
func (p Plugins) locked(ctx context.Context, install func(waited bool) (string, error)) (path string, err error) {
	var made []string // deepest first
	for folder := p.Directory; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) || folder == filepath.Dir(folder) {
			break
		}
		made = append(made, folder)
	}
	defer func() {
		if err != nil {
			for _, folder := range made {
				os.Remove(folder)
			}
		}
	}()
	lock, waited, err := p.lock(ctx)
	if err != nil {
		return "", err
	}
	defer func() {
		// Removed while it is held, see lock.
		os.Remove(lock.Path())
		lock.Unlock()
	}()
	defer recovered(&err)
	p.sweep()
	return install(waited)
}

// lock makes the install folder and takes its lock. The holder removes the lock
// file before letting go, so a lock only counts if its file still is the one in
// the folder.
func (p Plugins) lock(ctx context.Context) (lock *flock.Flock, waited bool, err error) {
	name := filepath.Join(p.Directory, ".install.lock")
	for {
		if err := os.MkdirAll(p.Directory, 0o755); err != nil {
			return nil, waited, err
		}
		lock := flock.New(name)
		locked, err := lock.TryLock()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, waited, err
		}
		if locked {
			held, heldErr := lock.Stat()
			current, currentErr := os.Stat(name)
			if heldErr == nil && currentErr == nil && os.SameFile(held, current) {
				return lock, waited, nil
			}
			lock.Unlock()
		} else if err == nil && !waited {
			waited = true
			p.Progress(Progress{Stage: StageWait, File: filepath.Base(name)})
		}
		select {
		case <-ctx.Done():
			return nil, waited, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// sweep removes what an installer that was killed left behind. With the lock
// held nobody else can be using it.
func (p Plugins) sweep() {
	entries, _ := os.ReadDir(p.Directory)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), partial) {
			os.RemoveAll(filepath.Join(p.Directory, entry.Name()))
		}
	}
}
