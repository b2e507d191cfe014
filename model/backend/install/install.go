package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"time"

	"epochal/dataset/regular"
	"epochal/model/backend/internal/advice"

	"github.com/gofrs/flock"
	"github.com/gomlx/go-xla/installer"
	"github.com/gomlx/go-xla/pjrt"
)

// Installer installs plugins into [Directory]. The zero value is ready to use.
// Only one process at a time installs; the others wait. If anything fails, the
// plugins that were there stay.
type Installer struct {
	Progress func(Progress)    // may be nil; called often and from the installing goroutine
	Warn     func(text string) // may be nil; is told what the file system lacks to make an installation safe
}

// The stages of an installation.
const (
	StageDownload = "download"
	StageUnpack   = "unpack"
	StageWait     = "wait for another process"
)

// Progress says how far an installation has got.
type Progress struct {
	Stage       string // one of the Stage constants
	File        string // what is downloaded, unpacked or waited for
	Done, Total int64  // bytes; Total is 0 when unknown
}

func (i Installer) report(p Progress) {
	if i.Progress != nil {
		i.Progress(p)
	}
}

// Where wheels come from, and for what system. Tests replace these.
var (
	files    = "https://files.pythonhosted.org/packages/" // PyPI's, which never moves one
	platform = runtime.GOOS + "_" + runtime.GOARCH
)

// CPU installs XLA's CPU plugin and returns its path. On linux/amd64 that is
// [Installer.PinnedCPU]. On other platforms it is the plugin of go-xla's own
// releases on GitHub, which is trusted as it comes: nobody publishes its hash.
func (i Installer) CPU(ctx context.Context) (path string, err error) {
	if platform == pinnedPlatform {
		return i.PinnedCPU(ctx)
	}
	return i.install(ctx, cpuPlugin, i.release)
}

// PinnedCPU installs the first of the pinned CPU plugins that can be downloaded and
// returns its path. A wheel whose SHA-256 is not the pinned one ends the
// installation with a [*HashError]. On platforms without a pinned plugin it
// fails, so that unverified code is installed only when somebody asks for it.
func (i Installer) PinnedCPU(ctx context.Context) (path string, err error) {
	if platform != pinnedPlatform {
		return "", advice.Errorf(advice.InstallCPU,
			"install %s: no SHA-256 is known for %s, so it is installed only on request", cpuPlugin.name, platform)
	}
	if folder, err := Directory(); err == nil {
		// Without the lock, because the folder may be read-only.
		path := filepath.Join(folder, pins[0].file())
		if _, err := Verify(path); err == nil {
			return path, nil
		}
	}
	return i.install(ctx, cpuPlugin, i.firstPin)
}

// firstPin installs the first of the pinned plugins that is there or can be
// downloaded.
func (i Installer) firstPin(ctx context.Context, folder, staging string) (path string, err error) {
	for _, pin := range pins {
		path := filepath.Join(folder, pin.file())
		if _, err := Verify(path); err == nil {
			return path, nil
		}
		if err := checkSpace(folder, cpuPlugin); err != nil {
			return "", err
		}
		failed := i.pinned(ctx, pin, staging, path)
		if failed == nil {
			return path, nil
		}
		if ctx.Err() != nil {
			return "", failed
		}
		if err == nil {
			err = failed
		} else {
			err = fmt.Errorf("%w; %w", err, failed)
		}
		if _, changed := errors.AsType[*HashError](failed); changed || folderHint(failed) != "" {
			break
		}
	}
	return "", err
}

// pinned installs a pinned plugin as the file path.
func (i Installer) pinned(ctx context.Context, pin pin, staging, path string) error {
	const unpacked = "plugin"
	err := i.unpackFrom(ctx, pin.wheel, staging, staging, func(member string) string {
		if member == pin.member {
			return unpacked
		}
		return ""
	})
	if err != nil {
		return err
	}
	return regular.Move(filepath.Join(staging, unpacked), path)
}

// unpackFrom downloads a wheel into the folder staging and unpacks it into another
// folder, see unpackWheel. It is an error if what comes does not have the wheel's
// SHA-256.
func (i Installer) unpackFrom(ctx context.Context, w wheel, staging, folder string, rename func(member string) string) error {
	address, archive := files+w.path, filepath.Join(staging, "wheel")
	sha256, err := i.download(ctx, address, archive)
	if err != nil {
		return err
	}
	if sha256 != w.sha256 {
		return &HashError{address + ": the download", sha256, w.sha256}
	}
	i.report(Progress{Stage: StageUnpack, File: path.Base(address)})
	if err := i.unpackWheel(archive, folder, rename); err != nil {
		return fmt.Errorf("unpack %s: %w", path.Base(address), err)
	}
	return nil
}

// release installs the plugin of go-xla's own release unless it is already there.
//
// go-xla's installer.CPUInstall would do, but it writes cursor codes to standard
// output even when told to be quiet, and has no timeout and no cancellation. Its
// unpacking is used.
func (i Installer) release(ctx context.Context, folder, staging string) (path string, err error) {
	name := "pjrt_c_api_cpu_" + pjrt.DefaultCPUVersion + "_plugin.so"
	path = filepath.Join(folder, name)
	if _, err := Verify(path); err == nil {
		return path, nil
	}
	if err := checkSpace(folder, cpuPlugin); err != nil {
		return "", err
	}
	archive := filepath.Join(staging, "release.tar.gz")
	address := fmt.Sprintf("https://github.com/%s/releases/download/%s/pjrt_cpu_%s.tar.gz",
		installer.BinaryCPUReleasesRepo, pjrt.DefaultCPUVersion, platform)
	if _, err := i.download(ctx, address, archive); err != nil {
		return "", err
	}
	i.report(Progress{Stage: StageUnpack, File: name})
	if _, err := installer.Untar(archive, staging); err != nil {
		return "", fmt.Errorf("unpack %s: %w", address, err)
	}
	return path, regular.Move(filepath.Join(staging, name), path)
}

// work installs something into the install folder and returns its path.
// Unfinished files go to staging, an empty folder below it.
type work func(ctx context.Context, folder, staging string) (path string, err error)

// install does the work while no other process or goroutine installs. Errors say
// what was to be installed, and where that is known what to do.
func (i Installer) install(ctx context.Context, what product, do work) (path string, err error) {
	folder, err := Directory()
	if err != nil {
		return "", advice.Errorf(elsewhere, "install %s: found no home folder to install it into", what.name)
	}
	defer func() {
		if err == nil {
			return
		}
		if path = ""; ctx.Err() == nil {
			err = advise(err, what)
		}
		err = fmt.Errorf("install %s into %s: %w", what.name, folder, err)
	}()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	lock := flock.New(filepath.Join(folder, ".install.lock")) // never removed: another process may hold its lock
	locked, err := lock.TryLock()
	if err == nil && !locked {
		i.report(Progress{Stage: StageWait, File: filepath.Base(lock.Path())})
		_, err = lock.TryLockContext(ctx, 50*time.Millisecond)
	}
	var staging string
	switch {
	case regular.Lacks(err):
		i.warn("the file system has no locks: if several processes install " + what.name + " at the same time, each downloads it")
		staging, err = os.MkdirTemp(folder, ".partial-*")
	case err == nil:
		defer lock.Unlock()
		// With the lock held, what is there was left by an installer that was killed.
		staging = filepath.Join(folder, ".partial")
		if err = os.RemoveAll(staging); err == nil {
			err = os.Mkdir(staging, 0o755)
		}
	}
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(staging)
	return do(ctx, folder, staging)
}

func (i Installer) warn(text string) {
	if i.Warn != nil {
		i.Warn(text)
	}
}
