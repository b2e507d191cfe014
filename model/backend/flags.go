package backend

import (
	"os"
	"strconv"
	"strings"
)

const xlaFlags = "XLA_FLAGS"

// flagsOf are the flags of XLA that are set for a plugin, by the plugin's SHA-256:
// a plugin aborts the process if it does not know a flag.
var flagsOf = map[string][]string{
	// lammps-jax-pjrt-cpu 0.11.2, the first that package install pins.
	"ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2": {
		// Removes two copies of weight matrices from each training step: 6% of an epoch at 512,512.
		"--xla_cpu_copy_insertion_use_region_analysis=true",
		// Fused loops from XLA's older emitters have the same bits, and take LLVM a third less
		// time and 60 MB less memory to compile.
		"--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
	},
}

// composeFlags returns what XLA_FLAGS must hold for the plugin with this SHA-256,
// given the user's own value, whose flags win.
func composeFlags(user, sha256 string) string {
	flags := strings.TrimSpace(user)
	for _, flag := range flagsOf[sha256] {
		if name, _, _ := strings.Cut(flag, "="); !strings.Contains(user, name) {
			flags = strings.TrimSpace(flags + " " + flag)
		}
	}
	return flags
}

// withFlags calls open with XLA_FLAGS set for the plugin with this SHA-256 and
// returns the flags that the plugin obeys. Afterwards the variable is restored, so
// that neither another plugin nor a child process meets a flag that it may not know;
// with keep, what go-xla added for CUDA stays when open succeeds.
func withFlags(sha256 string, keep bool, open func() error) (inForce string, err error) {
	restore := setVariable(xlaFlags, composeFlags(os.Getenv(xlaFlags), sha256))
	err = open()
	inForce = os.Getenv(xlaFlags)
	if err != nil || !keep {
		restore()
	}
	return inForce, err
}

// setThreads sets the number of threads of the CPU clients that are made until
// restore is called. XLA reads it from these variables for each client; NPROC is
// the older name.
func setThreads(threads int) (restore func()) {
	older := setVariable("NPROC", strconv.Itoa(threads))
	newer := setVariable("PJRT_NPROC", strconv.Itoa(threads))
	return func() { older(); newer() }
}

// setVariable sets an environment variable and returns the function that
// restores it.
func setVariable(name, value string) (restore func()) {
	before, wasSet := os.LookupEnv(name)
	os.Setenv(name, value)
	return func() {
		if wasSet {
			os.Setenv(name, before)
		} else {
			os.Unsetenv(name)
		}
	}
}
