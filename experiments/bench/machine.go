package bench

import (
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksPerSecond is the unit of /proc/stat's times: USER_HZ, 100 on every
// architecture that Go runs on.
const ticksPerSecond = 100

// busyTime is for how many seconds the processors, all together, have run any
// process since the machine started, or were taken by the host of a virtual machine.
func busyTime(machine fs.FS) (seconds float64, ok bool) {
	content, err := fs.ReadFile(machine, "proc/stat")
	if err != nil {
		return 0, false
	}
	// A guest's time is in user.
	var user, nice, system, idle, wait, irq, softirq, steal float64
	_, err = fmt.Sscanf(string(content), "cpu %g %g %g %g %g %g %g %g", &user, &nice, &system, &idle, &wait, &irq, &softirq, &steal)
	return (user + nice + system + irq + softirq + steal) / ticksPerSecond, err == nil
}

// watchLoad begins to watch the machine. The function that it returns tells how
// many processors other processes, or the host of a virtual machine, have taken since
// then, on average; 0 where that cannot be read.
func watchLoad(machine fs.FS) (end func() float64) {
	started, ownBefore := time.Now(), ownTime()
	before, ok := busyTime(machine)
	return func() float64 {
		after, _ := busyTime(machine)
		if !ok {
			return 0
		}
		return max(0, (after-before-(ownTime()-ownBefore))/time.Since(started).Seconds())
	}
}

// ownTime is the processor time of this process in seconds.
func ownTime() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

// peakMemory is the peak of this process's resident bytes, 0 if unknown. What
// getrusage reports starts with what the parent had, so that it is second choice.
func peakMemory(machine fs.FS) int64 {
	if content, err := fs.ReadFile(machine, "proc/self/status"); err == nil {
		for line := range strings.Lines(string(content)) {
			fields := strings.Fields(line)
			if len(fields) == 3 && fields[0] == "VmHWM:" {
				if kilobytes, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
					return kilobytes << 10
				}
			}
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return residentBytes(&usage)
}

// residentBytes is the peak memory of a process by its usage.
func residentBytes(usage *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return int64(usage.Maxrss)
	}
	return int64(usage.Maxrss) << 10
}

// quota is the number of processors that the control groups (version 2) of this
// process leave to it, 0 where there is no limit or none can be read.
func quota(machine fs.FS) float64 {
	content, _ := fs.ReadFile(machine, "proc/self/cgroup")
	least := 0.0
	// A group's limit binds those below it. Inside a container the root is the group.
	for group := path.Clean("/" + strings.TrimPrefix(strings.TrimSpace(string(content)), "0::")); ; group = path.Dir(group) {
		text, _ := fs.ReadFile(machine, path.Join("sys/fs/cgroup", group, "cpu.max"))
		var limit, period float64
		if n, _ := fmt.Sscan(string(text), &limit, &period); n == 2 && (least == 0 || limit/period < least) {
			least = limit / period
		}
		if group == "/" {
			return least
		}
	}
}

// governors are the frequency governors of the machine's processors, each once,
// sorted.
func governors(machine fs.FS) []string {
	files, _ := fs.Glob(machine, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
	var names []string
	for _, file := range files {
		if content, err := fs.ReadFile(machine, file); err == nil {
			names = append(names, strings.TrimSpace(string(content)))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// machineWarnings are about what may disturb measurements and is known before them.
func machineWarnings(machine fs.FS, cores int) []string {
	var warnings []string
	if processors := quota(machine); processors > 0 && processors < float64(cores) {
		warnings = append(warnings, fmt.Sprintf(
			"a control group limits this process to %.3g of %d processors: its threads are throttled while being measured", processors, cores))
	}
	for _, governor := range governors(machine) {
		if governor != "performance" {
			warnings = append(warnings, fmt.Sprintf(
				"the frequency governor is %q, expected \"performance\": the clock speed varies with the load", governor))
		}
	}
	return warnings
}
