package backend_test

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
	"epochal/model/backend/install"
)

// gpu is what XLA must know of a card to compile for one that is not there.
type gpu struct {
	name                               string
	processors, units, threads         int // streaming multiprocessors, and of each: float32 units, threads
	sharedMemory, shared, cache, bytes int // per multiprocessor, per block; level 2; in all
	bandwidth, clock                   float64
	capability                         string
}

// From NVIDIA's data sheets and table of compute capabilities. XLA publishes descriptions
// with the same figures of the first two, in xla/backends/gpu/target_config/specs.
var (
	h100 = gpu{"NVIDIA H100 80GB HBM3", 132, 128, 2048, 233472, 232448, 50 << 20, 80 << 30, 3352e9, 1.98,
		"major: 9 feature_extension: ACCELERATED_FEATURES"}
	a100    = gpu{"NVIDIA A100-SXM4-80GB", 108, 64, 2048, 167936, 166912, 40 << 20, 80 << 30, 2039e9, 1.41, "major: 8"}
	rtx4090 = gpu{"NVIDIA GeForce RTX 4090", 128, 128, 1536, 102400, 101376, 72 << 20, 24 << 30, 1008e9, 2.52, "major: 8 minor: 9"}
)

// target writes g as XLA reads it, with a driver that knows CUDA graphs.
func (g gpu) target(t *testing.T) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "target.txtpb")
	text := fmt.Sprintf(`gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536 shared_memory_per_block: 49152 device_address_bits: 64
  core_count: %d fpus_per_core: %d threads_per_core_limit: %d shared_memory_per_core: %d shared_memory_per_block_optin: %d
  l2_cache_size: %d device_memory_size: %d memory_bandwidth: %.0f clock_rate_ghz: %g cuda_compute_capability { %s }
  driver_version: "13.0.0" runtime_version: "13.0.0" compile_time_toolkit_version: "13.0.0" dnn_version: "9.12.0"
  device_vendor: "NVIDIA Corporation" name: %[11]q
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 12 } device_description_str: %[11]q
`, g.processors, g.units, g.threads, g.sharedMemory, g.shared, g.cache, g.bytes, g.bandwidth, g.clock, g.capability, g.name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// compiled is what XLA made of a program.
type compiled struct {
	seconds                               float64
	arguments, outputs, temporary, shared int // bytes; shared: outputs in the place of arguments
	kernels, copies                       int // of a step
	oneGraph                              bool
	tf32                                  bool // the precision that is asked of the matrix products
	mma                                   bool // tensor cores multiply in TF32; only known of XLA's own kernels
}

// compiler compiles for a GPU that is not there.
type compiler struct {
	program, plugin string
	environment     []string // without the fake driver, which the real plugin would find
}

//go:embed testdata/aot.c
var aot []byte

// newCompiler has the CUDA plugin and NVIDIA's compiler, downloaded once. Where they cannot
// be had the test is skipped, or fails if EPOCHAL_REQUIRE_CUDA_COMPILER is 1.
func newCompiler(t *testing.T) compiler {
	t.Helper()
	if os.Getenv("EPOCHAL_LONG") != "1" {
		t.Skip("set EPOCHAL_LONG=1: it downloads 257 MB once and compiles for a minute or two")
	}
	cache, err := os.UserCacheDir()
	if err == nil {
		cache, err = install.Installer{}.CUDACompiler(context.Background(), filepath.Join(cache, "epochal", "cuda-compiler"))
	}
	if err != nil && os.Getenv("EPOCHAL_REQUIRE_CUDA_COMPILER") == "1" {
		t.Fatalf("the CUDA compiler, which EPOCHAL_REQUIRE_CUDA_COMPILER=1 requires: %v", err)
	} else if err != nil {
		t.Skipf("needs the CUDA plugin and NVIDIA's compiler: %v", err)
	}
	c := compiler{filepath.Join(t.TempDir(), "aot"), cache, os.Environ()}
	backendtest.Compile(t, c.program, aot)
	return c
}

// compile compiles a program, given without its extension.
func (c compiler) compile(t *testing.T, target, program, flags string) (made compiled) {
	t.Helper()
	folder := t.TempDir()
	command := exec.Command(c.program, c.plugin, target, program+".mlir", program+".options")
	command.Env = append(c.environment, "TF_CPP_MIN_LOG_LEVEL=3", "XLA_FLAGS="+flags+
		" --xla_dump_hlo_as_text --xla_dump_to="+folder+" --xla_gpu_cuda_data_dir="+filepath.Dir(c.plugin))
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, err.(*exec.ExitError).Stderr)
	}
	if _, err := fmt.Sscan(string(output), &made.seconds, &made.arguments, &made.outputs, &made.temporary, &made.shared); err != nil {
		t.Fatalf("%s: %v", output, err)
	}
	dump := func(pattern string) (content string) {
		files, _ := filepath.Glob(filepath.Join(folder, pattern))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			content += string(text)
		}
		return content
	}
	for line := range strings.Lines(regexp.MustCompile(`(?ms)^ *body:\n(.*)`).FindString(dump("*.thunk_sequence.txt"))) {
		if strings.Contains(strings.ToLower(line), "copy") {
			made.copies++
		} else if strings.Contains(line, ": k") {
			made.kernels++
		}
	}
	top := regexp.MustCompile(`(?m)^\d+: \S+`).FindAllString(dump("*after_thunk_passes.txt"), -1)
	made.oneGraph = len(top) == 1 && strings.HasSuffix(top[0], "kCommandBuffer")
	made.tf32 = !strings.Contains(strings.ToLower(dump("*gpu_after_optimizations.txt")), "highest")
	made.mma = regexp.MustCompile(`mma.*tf32`).MatchString(dump("*.ptx"))
	return made
}

// programs are what training and evaluation on MNIST send to a CUDA plugin.
func programs(t *testing.T, tf32 bool, architecture model.Architecture) (training, evaluation string) {
	t.Helper()
	folder := t.TempDir()
	t.Setenv("FAKE_DUMP", folder)
	b, _, err := backend.Open(context.Background(), backend.XLACUDA, backend.Options{TF32: tf32})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	network, err := model.Compile(b, model.Program{Architecture: architecture, BatchSize: 64}, 60000, 10000)
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	files, _ := filepath.Glob(filepath.Join(folder, "*.mlir"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		program := strings.TrimSuffix(file, ".mlir")
		switch {
		case strings.HasPrefix(string(text), "module @training "):
			training = program
		case strings.HasPrefix(string(text), "module @evaluation "):
			evaluation = program
		}
	}
	if training == "" || evaluation == "" {
		t.Fatalf("found the programs %v, expected training and evaluation", files)
	}
	return training, evaluation
}

// layers is a fully connected network for MNIST.
func layers(hidden ...int) model.FullyConnected {
	return model.FullyConnected{Rows: 28, Columns: 28, Hidden: hidden, Classes: 10, Activation: model.ActivationReLU}
}

// What the real programs become on a GPU, without one.
func TestCompiledForAGPU(t *testing.T) {
	c := newCompiler(t)
	g := backendtest.CUDA(t, h100.name)
	g.Here(t)
	t.Setenv("XLA_FLAGS", "")
	t.Logf("| GPU | layers | precision | kernels | program | kernels a step | loop | arguments, MB | temporary, MB | compiled in, s |")
	check := func(card gpu, hidden []int, tf32, fast bool) {
		t.Helper()
		target := card.target(t)
		training, evaluation := programs(t, tf32, layers(hidden...))
		flags, most, kind, programs := repeatable+" "+graphs, 24, "repeatable", []string{training, evaluation}
		if fast { // without a GPU, what autotuning starts from: Triton's products, which do not add to a weight in place
			flags, most, kind, programs = graphs, 26, "any", []string{training}
		}
		for _, program := range programs {
			made := c.compile(t, target, program, flags)
			name, loop, precision := "evaluation", "host", "float32"
			if program == training {
				name = "training"
			}
			if made.oneGraph {
				loop = "one graph"
			}
			if tf32 {
				precision = "TF32"
			}
			what := fmt.Sprintf("| %s | %v | %s | %s | %s |", card.name, hidden, precision, kind, name)
			t.Logf("%s %d | %s | %.1f | %.1f | %.1f |", what, made.kernels, loop,
				float64(made.arguments)/1e6, float64(made.temporary)/1e6, made.seconds)
			if !made.oneGraph || made.kernels == 0 || made.kernels > most || made.copies > 0 || made.tf32 != tf32 ||
				made.temporary > 32e6 || made.arguments > 128e6 {
				t.Errorf("%s found %+v, expected one graph, 1 to %d kernels and no copies a step, TF32 %t, at most 128 MB and 32 MB",
					what, made, most, tf32)
			}
		}
	}
	for _, hidden := range [][]int{{32}, {512, 512}, {1024, 1024}} {
		for _, tf32 := range []bool{false, true} {
			for _, fast := range []bool{false, true} {
				check(h100, hidden, tf32, fast)
			}
		}
	}
	check(a100, []int{512, 512}, false, false)
	check(rtx4090, []int{512, 512}, true, false)

	// What tensor cores are given, where XLA writes the products itself; cuBLAS decides by the precision.
	for _, tf32 := range []bool{false, true} {
		training, _ := programs(t, tf32, layers(512, 512))
		if made := c.compile(t, h100.target(t), training, graphs+" --xla_dump_emitter_re=.*"); made.mma != tf32 {
			t.Errorf("found TF32 products %t, expected %t", made.mma, tf32)
		}
	}

	// Without the flag the loop is the host's: the test sees the difference.
	training, _ := programs(t, false, layers(32))
	if made := c.compile(t, h100.target(t), training, repeatable); made.oneGraph || made.kernels == 0 {
		t.Errorf("found %+v without %s, expected a loop on the host", made, graphs)
	}
}

// Convolutions as matrix products are part of the one graph as well, and need no cuDNN.
func TestConvolutionsCompiledForAGPU(t *testing.T) {
	c := newCompiler(t)
	g := backendtest.CUDA(t, h100.name)
	g.Here(t)
	t.Setenv("XLA_FLAGS", "")
	target := h100.target(t)
	for _, channels := range [][]int{{8, 16}, {32, 64}} {
		training, evaluation := programs(t, false, model.Convolutional{FullyConnected: layers(128), Channels: channels, Kernel: 3})
		for _, program := range []string{training, evaluation} {
			made := c.compile(t, target, program, repeatable+" "+graphs)
			t.Logf("%v: %+v", channels, made)
			if !made.oneGraph || made.kernels == 0 || made.kernels > 60 || made.tf32 {
				t.Errorf("%v: found %+v, expected one graph with at most 60 kernels a step in float32", channels, made)
			}
		}
	}
}
