package backend

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"epochal/dataset/regular"
)

// pin is a CPU plugin in a wheel on the package index, known by its hashes.
type pin struct {
	project, version string // on the index
	member           string // the plugin's path inside the wheel
	wheelSHA256      string
	pluginSHA256     string
	pluginSize       int64 // bytes
}

// pins are the CPU plugins for linux/amd64 in the order in which they are
// tried. Both are XLA's own plugin; the first was the fastest of three, 0.64 s
// an epoch at 512,512 where the second takes 0.74 s.
var pins = []pin{
	{
		project:      "lammps-jax-pjrt-cpu",
		version:      "0.11.2",
		member:       "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
		wheelSHA256:  "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
		pluginSHA256: "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2",
		pluginSize:   201_600_336,
	},
	{
		project:      "fastatomstruct-xla-cpu",
		version:      "2026.6.23",
		member:       "fastatomstruct_xla_cpu/libpjrt_cpu.so",
		wheelSHA256:  "88b1c430b341b4bea40a37420311c9c75db6e22b46d2ff95b6986577bee6afe9",
		pluginSHA256: "0a0fe56ca17be9efc7b942e89e534e5e0ad4a0f1e369b66d27b62184509015b9",
		pluginSize:   273_768_800,
	},
}

// file returns the name under which the plugin is installed. go-xla takes it
// for a versioned CPU plugin, and it cannot meet the names of go-xla's own
// installer, which end in the version alone.
func (s pin) file() string {
	return "pjrt_c_api_cpu_v" + s.version + "-epochal_plugin.so"
}

// pinOf returns the place in p.pinned of the pin whose file name a file has, or -1.
func (p Plugins) pinOf(file string) int {
	return slices.IndexFunc(p.pinned, func(s pin) bool { return s.file() == filepath.Base(file) })
}

// checkPinned returns a *hashError, with a hint, if the file with this SHA-256
// has the name of a pin but not its hash. Such a file must not be loaded: where
// it was cut short, the process dies of SIGBUS.
func (p Plugins) checkPinned(file, sha string) error {
	i := p.pinOf(file)
	if i < 0 || sha == p.pinned[i].pluginSHA256 {
		return nil
	}
	return &Error{&hashError{"plugin " + file + " is damaged: it", sha, p.pinned[i].pluginSHA256}, hintCPU}
}

// checkWhole returns an error if a plugin without a pin is no ELF file or was
// cut short, for then loading it may kill the process.
func checkWhole(file string) (err error) {
	defer recovered(&err) // package debug/elf makes no promises for hostile files
	if runtime.GOOS != "linux" {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	content, err := regular.Open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	headers, err := elf.NewFile(content)
	if err != nil {
		return fmt.Errorf("no complete ELF file: %w", err)
	}
	var size uint64
	// Each of both, for their sum may wrap around.
	for _, segment := range headers.Progs {
		size = max(size, segment.Off, segment.Filesz, segment.Off+segment.Filesz)
	}
	for _, section := range headers.Sections {
		if section.Type != elf.SHT_NOBITS {
			size = max(size, section.Offset, section.FileSize, section.Offset+section.FileSize)
		}
	}
	if size > uint64(info.Size()) {
		return fmt.Errorf("no complete ELF file: found %d bytes, expected %d", info.Size(), size)
	}
	return nil
}
