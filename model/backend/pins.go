package backend

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
