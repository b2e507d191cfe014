package backend

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

func TestCores(t *testing.T) {
	limited := func(quota string) fstest.MapFS {
		return fstest.MapFS{
			"proc/self/cgroup":          {Data: []byte("0::/job\n")},
			"sys/fs/cgroup/job/cpu.max": {Data: []byte(quota + " 100000\n")},
		}
	}
	for _, c := range []struct {
		name        string
		machine     fstest.MapFS
		environment map[string]string
		goThreads   int // where Go has 2 at least with a quota
		want        int
	}{
		{"all", limited("max"), nil, 8, 8},
		{"half a processor", limited("50000"), nil, 2, 1},
		{"one processor", limited("100000"), nil, 2, 1},
		{"one and a half", limited("150000"), nil, 2, 2},
		{"two and a bit", limited("200001"), nil, 3, 3},
		{"a quota above the affinity", limited("600000"), nil, 1, 1},
		{"GOMAXPROCS", limited("max"), map[string]string{"GOMAXPROCS": "3"}, 3, 3},
		{"GOMAXPROCS above the quota", limited("100000"), map[string]string{"GOMAXPROCS": "4"}, 4, 4},
		{"NPROC", limited("100000"), map[string]string{"NPROC": "3", "GOMAXPROCS": "1"}, 1, 3},
		{"PJRT_NPROC", limited("max"), map[string]string{"NPROC": "3", "PJRT_NPROC": "2"}, 8, 2},
		{"no numbers", limited("max"), map[string]string{"NPROC": "all", "PJRT_NPROC": "0"}, 8, 8},
	} {
		if found := cores(c.machine, func(name string) string { return c.environment[name] }, c.goThreads); found != c.want {
			t.Errorf("%s: found %d, expected %d", c.name, found, c.want)
		}
	}
}

// In a process that is restricted from outside.
func TestCoresOfAProcess(t *testing.T) {
	if os.Getenv("EPOCHAL_TEST_CORES") != "" {
		t.Logf("cores=%d", Cores())
		return
	}
	quota := cores(os.DirFS("/"), func(string) string { return "" }, runtime.NumCPU())
	for _, c := range []struct {
		command, variable string
		want              int
	}{
		{"", "", quota}, {"taskset -c " + firstProcessor(t), "", 1}, {"", "GOMAXPROCS=1", 1}, {"", "NPROC=1", 1}, {"", "PJRT_NPROC=3", 3},
	} {
		args := append(strings.Fields(c.command), os.Args[0], "-test.run=^TestCoresOfAProcess$", "-test.v")
		command := exec.Command(args[0], args[1:]...)
		command.Env = []string{"EPOCHAL_TEST_CORES=1", c.variable}
		output, err := command.CombinedOutput()
		if _, missing := exec.LookPath("taskset"); missing != nil && c.command != "" {
			continue
		}
		if err != nil || !strings.Contains(string(output), "cores="+strconv.Itoa(c.want)+"\n") {
			t.Errorf("%s %s: found %v and %s, expected %d", c.command, c.variable, err, output, c.want)
		}
	}
}

// firstProcessor is one on which this process may run.
func firstProcessor(t *testing.T) string {
	t.Helper()
	allowed := strings.FieldsFunc(field("/proc/self/status", "Cpus_allowed_list"), func(r rune) bool { return r < '0' || r > '9' })
	if len(allowed) == 0 {
		return "0"
	}
	return allowed[0]
}
