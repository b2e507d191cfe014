package install

import (
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"

	"epochal/dataset/regular"
	"epochal/model/backend/internal/advice"

	"github.com/gomlx/go-xla/pjrt"
)

// wheel is a file on PyPI: where it is, and its hash.
type wheel struct{ sha256, path string }

// pin is a CPU plugin in a wheel, known by both hashes.
type pin struct {
	wheel
	version      string
	member       string // the plugin's path inside the wheel
	pluginSHA256 string
}

// pinnedPlatform is the only platform that the pins are for.
const pinnedPlatform = "linux_amd64"

// pins are the CPU plugins, in the order in which they are tried. Both are XLA's
// own plugin; the first was the fastest of three, at 0.64 s an epoch at 512,512
// where the second takes 0.74 s. Package backend keeps the flags for XLA that the
// first is known to accept.
var pins = []pin{
	{
		wheel: wheel{
			sha256: "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
			path: "e5/90/f04e5ea9e56f01965b4cd56bc3cf4801a563cd47b74d4ded5780f19c3a7c/" +
				"lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl",
		},
		version:      "0.11.2",
		member:       "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
		pluginSHA256: "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2",
	},
	{
		wheel: wheel{
			sha256: "88b1c430b341b4bea40a37420311c9c75db6e22b46d2ff95b6986577bee6afe9",
			path: "60/13/7898187ec6cc2b4ac8f50a57119902bf1c817fc86ea17ee76494d4277a76/" +
				"fastatomstruct_xla_cpu-2026.6.23-py3-none-manylinux_2_27_x86_64.whl",
		},
		version:      "2026.6.23",
		member:       "fastatomstruct_xla_cpu/libpjrt_cpu.so",
		pluginSHA256: "0a0fe56ca17be9efc7b942e89e534e5e0ad4a0f1e369b66d27b62184509015b9",
	},
}

// cudaPluginSHA256 is the hash of the plugin in the first of cudaWheels.
var cudaPluginSHA256 = "b6de513893c09af2c77e71afcef46d9706f8c259337cdef4cd5cae2353886f75"

// CUDASHA256 is the hash of the CUDA plugin that [Installer.CUDA] installs.
func CUDASHA256() string { return cudaPluginSHA256 }

// What that plugin needs: CUDA 13 runs with any driver from 580 on, says NVIDIA's table
// https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html.
// The driver's library states CUDA 13.0 as 13000.
const (
	CUDANeeded   = 13000
	DriverNeeded = "580"
	CUDASize     = "a download of 2.5 GB, 3.8 GB unpacked"
)

// cudaWheels are JAX's CUDA plugin and the NVIDIA libraries that
// jax-cuda13-plugin 0.12.0.1 requires. They were chosen to work together, so a new
// plugin needs a whole new table.
var cudaWheels = parseWheels(cudaSums)

//go:embed cuda.SHA256SUMS
var cudaSums string

// parseWheels reads what sha256sum prints in the folder that files names.
func parseWheels(sums string) (wheels []wheel) {
	fields := strings.Fields(sums)
	for i := 0; i < len(fields); i += 2 {
		wheels = append(wheels, wheel{fields[i], fields[i+1]})
	}
	return wheels
}

// file returns the name under which the plugin is installed. go-xla takes it
// for a versioned CPU plugin, and it cannot collide with the names of go-xla's
// own installer, which end in the version alone.
func (p pin) file() string {
	return "pjrt_c_api_cpu_v" + p.version + "-epochal_plugin.so"
}

// HashError reports a file whose SHA-256 is not the expected one.
type HashError struct{ What, Found, Expected string }

func (e *HashError) Error() string {
	return fmt.Sprintf("%s has the SHA-256 %s, expected %s", e.What, e.Found, e.Expected)
}

// Verify returns the SHA-256 of the plugin in file, in hexadecimal digits, and
// an error if the plugin is damaged and must not be loaded: loading a library
// that was cut short kills the process with SIGBUS. The error is a [*HashError] for a file
// that has the name of a pinned plugin but other content; any other file has to
// be complete.
func Verify(file string) (sha256 string, err error) {
	sha256, err = recordedHash(file)
	if errors.Is(err, fs.ErrPermission) {
		err = &advice.Error{Err: err, Advice: "make the file readable, or name a folder with another plugin with " + pjrt.PJRTPluginPathsEnv}
	}
	if err != nil {
		return "", fmt.Errorf("plugin: %w", err)
	}
	for _, pin := range pins {
		if filepath.Base(file) != pin.file() {
			continue
		}
		if sha256 != pin.pluginSHA256 {
			damaged := &HashError{"plugin " + file + " is damaged: it", sha256, pin.pluginSHA256}
			return sha256, &advice.Error{Err: damaged, Advice: advice.InstallCPU}
		}
		return sha256, nil
	}
	if err := checkWhole(file); err != nil {
		return sha256, fmt.Errorf("plugin %s: %w", file, err)
	}
	return sha256, nil
}

// machines are the processors of ELF files by Go's names.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkWhole returns an error if a plugin is not an ELF file for this processor or was
// cut short.
func checkWhole(file string) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	content, err := regular.Open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	info, err := content.Stat()
	if err != nil {
		return err
	}
	const again = "download or copy it again, or remove it"
	headers, err := elf.NewFile(content)
	if err != nil {
		return advice.Errorf(again, "not a complete ELF file: %w", err)
	}
	var size uint64
	for _, segment := range headers.Progs {
		size = max(size, segment.Off+segment.Filesz)
	}
	if size > uint64(info.Size()) {
		return advice.Errorf(again, "not a complete ELF file: found %d bytes, expected %d", info.Size(), size)
	}
	if expected, known := machines[runtime.GOARCH]; known && headers.Machine != expected {
		return advice.Errorf("replace it by a plugin for "+runtime.GOARCH+", or remove it",
			"found a library for another processor, %v, expected %v", headers.Machine, expected)
	}
	return nil
}
