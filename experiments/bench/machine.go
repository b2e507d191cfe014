package bench

import (
	"bytes"
	"fmt"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"epochal/model/backend"
)

// ticksPerSecond is the unit of /proc/stat's times: USER_HZ, 100 on every
// architecture that Go runs on.
const ticksPerSecond = 100

// processorTimes are seconds since the machine started, of all processors.
type processorTimes struct {
	busy   float64 // running any process
	stolen float64 // given to others by a virtual machine's host
}

// readProcessorTimes reads proc/stat.
func readProcessorTimes(machine fs.FS) (t processorTimes, ok bool) {
	content, err := fs.ReadFile(machine, "proc/stat")
	if err != nil {
		return t, false
	}
	line, _, _ := bytes.Cut(content, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 8 || fields[0] != "cpu" {
		return t, false
	}
	// cpu user nice system idle iowait irq softirq steal; a guest's time is in user.
	for i, field := range fields[1:min(len(fields), 9)] {
		ticks, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return t, false
		}
		switch seconds := float64(ticks) / ticksPerSecond; i {
		case 0, 1, 2, 5, 6:
			t.busy += seconds
		case 7:
			t.stolen += seconds
		}
	}
	return t, true
}

// watchLoad begins to watch the machine. The function that it returns reports how
// many processors other processes have kept busy since, on average; 0 where that
// cannot be read.
func watchLoad(machine fs.FS) (end func() float64) {
	started, ownBefore := time.Now(), ownTime()
	before, ok := readProcessorTimes(machine)
	return func() float64 {
		after, still := readProcessorTimes(machine)
		elapsed := time.Since(started).Seconds()
		if !ok || !still || elapsed <= 0 {
			return 0
		}
		return max(0, (after.busy-before.busy-(ownTime()-ownBefore))/elapsed)
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
// getrusage reports starts with what the parent had, so it is the second choice.
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

// machineWarnings are about what may disturb measurements and is known before them.
func machineWarnings(machine fs.FS, cores int) []string {
	var warnings []string
	if processors := backend.Quota(machine); processors > 0 && processors < float64(cores) {
		warnings = append(warnings, fmt.Sprintf(
			"a control group limits this process to %.3g of %d processors: its threads are throttled while being measured", processors, cores))
	}
	files, _ := fs.Glob(machine, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
	for _, file := range files {
		content, err := fs.ReadFile(machine, file)
		if governor := strings.TrimSpace(string(content)); err == nil && governor != "performance" {
			warnings = append(warnings, fmt.Sprintf(
				"the frequency governor is %q, expected \"performance\": the clock speed varies with the load", governor))
		}
	}
	return warnings
}
