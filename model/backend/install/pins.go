package install

import (
	"debug/elf"
	"fmt"
	"path/filepath"
	"runtime"

	"epochal/dataset/regular"
	"epochal/model/backend/internal/advice"
)

// wheel is a file on the package index, known by its hash.
type wheel struct{ project, version, sha256 string }

// pin is a CPU plugin in a wheel, known by both hashes.
type pin struct {
	wheel
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
			project: "lammps-jax-pjrt-cpu",
			version: "0.11.2",
			sha256:  "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
		},
		member:       "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
		pluginSHA256: "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2",
	},
	{
		wheel: wheel{
			project: "fastatomstruct-xla-cpu",
			version: "2026.6.23",
			sha256:  "88b1c430b341b4bea40a37420311c9c75db6e22b46d2ff95b6986577bee6afe9",
		},
		member:       "fastatomstruct_xla_cpu/libpjrt_cpu.so",
		pluginSHA256: "0a0fe56ca17be9efc7b942e89e534e5e0ad4a0f1e369b66d27b62184509015b9",
	},
}

// cudaPluginSHA256 is the hash of the plugin in the first of cudaWheels.
var cudaPluginSHA256 = "b6de513893c09af2c77e71afcef46d9706f8c259337cdef4cd5cae2353886f75"

// cudaWheels are JAX's CUDA plugin and the libraries of NVIDIA's that
// jax-cuda13-plugin 0.12.0.1 requires. They were chosen to work together, so a new
// plugin needs the whole table anew.
var cudaWheels = []wheel{
	{"jax-cuda13-pjrt", "0.12.0.1", "5899bb6177eda86ea532afb9a26794f2bdd04966f6a01f9028266b16c2b6cf90"},
	{"nvidia-cublas", "13.10.0.20", "dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84"},
	{"nvidia-cuda-cupti", "13.5.25", "9dcca41c12a734192b14e7128ae116bc9ce1b9da686e2ebf48ae7a4415f76650"},
	{"nvidia-cuda-nvcc", "13.5.37", "f5c4f7ead5d964fb4af42bbf1e6d3ec3c1e6e9d83b53749f691d387e7fcaa3a7"},
	{"nvidia-cuda-nvrtc", "13.5.37", "86b4d68058807988b7d9af5b44917a0601e9c337f35ccd657bfb3c759ff8d8bc"},
	{"nvidia-cuda-runtime", "13.5.37", "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d"},
	{"nvidia-cudnn-cu13", "9.28.1.4", "a54f205b1db1f2895d99f398754db1369816f0569dd459731f925635cf7b65ec"},
	{"nvidia-cufft", "12.5.0.14", "b8be26837a5abad2b5b74f3e92dd29f622a42934b355be0961a48712cbba23ad"},
	{"nvidia-cusolver", "12.4.1.2", "b3b8e02fd2f2df869369af075dc3a179d43f6f7b85e94632a7dce556697be044"},
	{"nvidia-cusparse", "12.9.4.2", "072667e58c851a318738f5527a12eb225cbf058803f2ea451c722d8cf8edddec"},
	{"nvidia-nccl-cu13", "2.32.3", "1459723080ac889d73a26edfa3e04383a7928ab31ac8f0ec43b3ea9548b04ff3"},
	{"nvidia-nvjitlink", "13.5.37", "280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb"},
	{"nvidia-nvshmem-cu13", "3.8.0", "81a4d1f666543e6d34df6d2ff940c7da1435e34e186aab6f3c2b48861b64ef38"},
	{"nvidia-nvvm", "13.5.37", "c41bfa362e407405163f103c2229f0765f8cc2ed7d148b754dc77f228bf7e070"},
}

// file returns the name under which the plugin is installed. go-xla takes it
// for a versioned CPU plugin, and it cannot meet the names of go-xla's own
// installer, which end in the version alone.
func (p pin) file() string {
	return "pjrt_c_api_cpu_v" + p.version + "-epochal_plugin.so"
}

// HashError reports a file whose SHA-256 is not the expected one.
type HashError struct{ What, Found, Expected string }

func (e *HashError) Error() string {
	return fmt.Sprintf("%s has the SHA-256 %s, expected %s", e.What, e.Found, e.Expected)
}

// Verify returns the SHA-256 of the plugin in file, in hexadecimal digits, and
// an error if the plugin is damaged and must not be loaded: where a library was
// cut short, the process dies of SIGBUS. The error is a [*HashError] for a file
// that has the name of a pinned plugin but other content; any other file has to
// be complete.
func Verify(file string) (sha256 string, err error) {
	sha256, err = recordedHash(file)
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

// checkWhole returns an error if a plugin is no ELF file or was cut short.
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
	headers, err := elf.NewFile(content)
	if err != nil {
		return fmt.Errorf("no complete ELF file: %w", err)
	}
	var size uint64
	for _, segment := range headers.Progs {
		size = max(size, segment.Off+segment.Filesz)
	}
	if size > uint64(info.Size()) {
		return fmt.Errorf("no complete ELF file: found %d bytes, expected %d", info.Size(), size)
	}
	return nil
}
