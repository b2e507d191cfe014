package backend_test

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"epochal/model/backend"
	"epochal/model/backend/backendtest"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

func add(x, y *graph.Node) *graph.Node { return graph.Add(x, y) }

func TestXLA(t *testing.T) {
	b := backendtest.XLA(t)
	if !b.StepLoops() || b.NumDevices() != 1 {
		t.Errorf("step loops %v on %d devices, want true on 1", b.StepLoops(), b.NumDevices())
	}
	info := b.Info
	if info.Name != "xla:cpu" || !strings.HasPrefix(info.Version, "PJRT 0.") || !strings.Contains(info.Device, "thread") ||
		!filepath.IsAbs(info.PluginFile) || len(info.PluginSHA256) != 64 || info.TF32 {
		t.Errorf("info %+v", info)
	}
	pinned := info.PluginSHA256 == "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2"
	if flags := strings.Count(info.XLAFlags, "--xla_cpu_copy_insertion_use_region_analysis"); pinned && flags != 1 {
		t.Errorf("XLA_FLAGS %q, want the extra flag once", info.XLAFlags)
	}
	if left := os.Getenv("XLA_FLAGS"); strings.Contains(left, "region_analysis") {
		t.Errorf("XLA_FLAGS is left at %q", left)
	}

	// What one call returns goes into the next.
	exec, err := graph.NewExec(b.Backend, add)
	if err != nil {
		t.Fatal(err)
	}
	sum := tensors.FromScalar(float32(1))
	for range 3 {
		sum = exec.MustCall1(sum, sum)
	}
	if got := sum.Value(); got != float32(8) {
		t.Errorf("1 doubled three times is %v", got)
	}
}

func TestOpenTwice(t *testing.T) {
	first := backendtest.XLA(t)
	second, warnings, err := backend.Open(context.Background(), "xla:"+first.Info.PluginFile, backend.Options{TF32: true})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, warnings %q", err, warnings)
	}
	defer second.Close()
	if second.Info.XLAFlags != first.Info.XLAFlags || second.Info.TF32 || second.Info.PluginSHA256 != first.Info.PluginSHA256 {
		t.Errorf("the second is %+v, the first %+v", second.Info, first.Info)
	}
	if got := graph.MustExecOnce(second.Backend, add, float32(1), float32(1)).Value(); got != float32(2) {
		t.Errorf("1+1 = %v", got)
	}
}

func TestListWithPlugin(t *testing.T) {
	first := backendtest.XLA(t)
	statuses := backend.List()
	i := slices.IndexFunc(statuses, func(s backend.Status) bool { return s.Name == backend.XLACPU })
	if cpu := statuses[i]; cpu.State != backend.StateReady || cpu.File != first.Info.PluginFile ||
		cpu.Version != first.Info.Version || cpu.SHA256 != first.Info.PluginSHA256 || cpu.Hint != "" {
		t.Errorf("status %+v, want what was opened: %+v", cpu, first.Info)
	}
}

// The plugin really reads the flag: XLA writes the options that it compiles with.
func TestXLAFlagsReachThePlugin(t *testing.T) {
	const variable = "EPOCHAL_XLA_FLAGS_TEST"
	b := backendtest.XLA(t)
	if os.Getenv(variable) != "" {
		graph.MustExecOnce(b.Backend, add, float32(1), float32(1))
		return
	}
	if !strings.Contains(b.Info.XLAFlags, "region_analysis") {
		t.Skip("the plugin that is installed is not the pinned one")
	}
	folder := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestXLAFlagsReachThePlugin$")
	child.Env = append(os.Environ(), variable+"=1", "XLA_FLAGS=--xla_dump_to="+folder)
	if output, err := child.CombinedOutput(); err != nil {
		t.Fatalf("child: %v\n%s", err, output)
	}
	dumps, err := filepath.Glob(filepath.Join(folder, "*.debug_options"))
	if err != nil || len(dumps) == 0 {
		t.Fatalf("XLA wrote no options: %v", err)
	}
	content, err := os.ReadFile(dumps[0])
	if err != nil || !strings.Contains(string(content), "xla_cpu_copy_insertion_use_region_analysis: true") {
		t.Errorf("options %s, %v, want the extra flag", content, err)
	}
}

// Two clients of one process with their own numbers of threads, and the same
// bits from both.
func TestThreadsAreTheClientsOwn(t *testing.T) {
	backendtest.XLA(t)
	product := func(threads int) []float32 {
		t.Helper()
		b, _, err := backend.Open(context.Background(), backend.XLACPU, backend.Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if expected := cmp.Or(threads, backend.Cores()); b.Info.Threads != expected {
			t.Errorf("found %d threads in Info, expected %d", b.Info.Threads, expected)
		}
		result, err := graph.CallOnce(b.Backend, func(g *graph.Graph) *graph.Node {
			x := graph.Sin(graph.IotaFull(g, shapes.Make(dtypes.Float32, 300, 300)))
			return graph.MatMul(x, graph.Cos(x))
		})
		if err != nil {
			t.Fatal(err)
		}
		return tensors.MustCopyFlatData[float32](result)
	}
	one, all := product(1), product(0)
	if !slices.Equal(one, all) {
		t.Error("found other bits with one thread than with all")
	}
	for _, name := range []string{"NPROC", "PJRT_NPROC"} {
		if value, set := os.LookupEnv(name); set {
			t.Errorf("found %s=%s after opening, expected it to be put back", name, value)
		}
	}
}
