package backend

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Cores is the number of threads that XLA has on the processor where nobody asks for
// another one, 1 or more: PJRT_NPROC or NPROC, which XLA reads, or GOMAXPROCS, else the
// processors that the affinity and the control groups of this process leave to it.
func Cores() int { return cores(os.DirFS("/"), os.Getenv, runtime.GOMAXPROCS(0)) }

// cores is Cores on a machine, with an environment, where Go runs so many threads at a time.
func cores(machine fs.FS, environment func(string) string, goThreads int) int {
	set := func(name string) int {
		value, err := strconv.Atoi(environment(name))
		if err != nil {
			return 0
		}
		return value
	}
	for _, name := range []string{newerThreads, olderThreads} {
		if threads := set(name); threads > 0 {
			return threads
		}
	}
	if quota := Quota(machine); quota > 0 && set("GOMAXPROCS") <= 0 {
		return min(goThreads, int(math.Ceil(quota))) // Go runs 2 where the quota is 1
	}
	return goThreads
}

// Quota is the number of processors that control groups leave to this process, 0
// where there is no limit or none can be read. machine is the root folder.
func Quota(machine fs.FS) float64 {
	folders := []string{"sys/fs/cgroup", "sys/fs/cgroup/cpu"}
	groups, _ := fs.ReadFile(machine, "proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path. Version 2 has no controllers.
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		root := "sys/fs/cgroup"
		if controllers != "" {
			if !slices.Contains(strings.Split(controllers, ","), "cpu") {
				continue
			}
			root = "sys/fs/cgroup/cpu"
		}
		// A group's limit binds those below it.
		for group = path.Clean("/" + group); group != "/"; group = path.Dir(group) {
			folders = append(folders, root+group)
		}
	}
	least := 0.0
	for _, folder := range folders {
		read := func(file string) string {
			content, _ := fs.ReadFile(machine, path.Join(folder, file))
			return string(content)
		}
		// Version 2 has the limit and its period in one file, version 1 in two.
		for _, text := range []string{read("cpu.max"), read("cpu.cfs_quota_us") + " " + read("cpu.cfs_period_us")} {
			var limit, period float64
			if n, _ := fmt.Sscan(text, &limit, &period); n == 2 && limit > 0 && period > 0 && (least == 0 || limit/period < least) {
				least = limit / period
			}
		}
	}
	return least
}
