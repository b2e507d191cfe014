package backend

import (
	"os"
	"strconv"
	"strings"
)

const xlaFlags = "XLA_FLAGS"

// flagsOf are the flags of XLA that are always set for a plugin, by the plugin's
// SHA-256: a plugin aborts the process if it does not know a flag.
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

// What CUDA's flags do, compiled for an H100 that is not there, from the programs of MNIST at
// batch 64; nothing of this was timed on a card. "Repeatable" has all the flags below, "any"
// only graphLoops, and is where autotuning starts: a card may choose other kernels.
//
//	layers        kernels a step       temporary, MB       compiled in, s    evaluation: kernels
//	              repeatable   any     repeatable   any    repeatable  any   a chunk, temporary MB
//	[32]          16           19      4.4          0.5    0.4         1.6   10, 7.5
//	[512 512]     22           26      5.2          2.9    0.4         2.3   12, 9.4
//	[1024 1024]   22           24      6.0          4.1    0.5         2.0   12, 12.4
//
// A call is one graph with graphLoops, else a host loop that waits after every step. No weight
// is copied in a step; TF32 changes the products and none of these numbers. The arguments take
// 55 to 63 MB, nearly all of it the images. An A100 and an RTX 4090 have the same kernels in
// training and 2 more in evaluation. With the rate after the gradient, as on the processor, a
// repeatable step at [512 512] has 26 kernels. Repeat it, without a GPU, with
//
//	EPOCHAL_LONG=1 go test ./model/backend -run CompiledForAGPU -v

// repeatable makes two runs on one GPU the same: XLA neither chooses kernels by timing
// them nor takes any whose sums depend on the order in which threads happen to end, and
// leaves matrix products to cuBLAS, which promises the same bits every time.
var repeatable = []string{
	"--xla_gpu_autotune_level=0", "--xla_gpu_enable_triton_gemm=false", "--xla_gpu_exclude_nondeterministic_ops=true",
}

// graphLoops makes a whole call, loop and all, one CUDA graph. Without it the host
// decides after every step whether there is another one, and waits for the device. XLA
// leaves it out because a second execution of such a graph once crashed, which was mended
// before the pinned plugin was built; see [Options.TryLoops].
const graphLoops = "--xla_gpu_enable_command_buffer=+WHILE"

// composeFlags returns what XLA_FLAGS must hold to have these flags, given the user's
// own value, whose flags win.
func composeFlags(user string, ours []string) string {
	flags := strings.TrimSpace(user)
	for _, flag := range ours {
		if !sets(user, flag) {
			flags = strings.TrimSpace(flags + " " + flag)
		}
	}
	return flags
}

// sets reports whether flags have a value for the flag of another one.
func sets(flags, flag string) bool {
	name, _, _ := strings.Cut(flag, "=")
	return strings.Contains(flags, name)
}

// withFlags calls open with these flags in XLA_FLAGS and returns those that the plugin
// obeys. Afterwards the variable is restored, so that neither another plugin nor a child
// process meets a flag that it may not know; with keep, what go-xla added for CUDA stays
// when open succeeds.
func withFlags(ours []string, keep bool, open func() error) (inForce string, err error) {
	restore := setVariable(xlaFlags, composeFlags(os.Getenv(xlaFlags), ours))
	err = open()
	inForce = os.Getenv(xlaFlags)
	if err != nil || !keep {
		restore()
	}
	return inForce, err
}

// The variables that give a CPU client its threads.
const newerThreads, olderThreads = "PJRT_NPROC", "NPROC"

// setThreads sets the number of threads of the CPU clients that are made until
// restore is called. XLA reads it from the variables for each client.
func setThreads(threads int) (restore func()) {
	older := setVariable(olderThreads, strconv.Itoa(threads))
	newer := setVariable(newerThreads, strconv.Itoa(threads))
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
