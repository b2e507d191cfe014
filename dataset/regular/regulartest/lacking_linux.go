// Package regulartest takes services of the file system away from a process, for tests
// of what is done without them.
package regulartest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls are the system calls of each service. Those that an architecture lacks are -1.
var calls = map[string][]int{
	"flock":  {unix.SYS_FLOCK},
	"fsync":  {unix.SYS_FSYNC, unix.SYS_FDATASYNC},
	"statfs": {unix.SYS_STATFS, unix.SYS_FSTATFS},
	"rename": append(oldRename, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2),
	"chmod":  {unix.SYS_FCHMOD, unix.SYS_FCHMODAT},
}

// variable holds what a process that is started by [Command] lacks, as take reads it.
const variable = "EPOCHAL_TEST_LACKING"

// Lacking are the errors of services: flock, fsync, statfs, rename and chmod.
type Lacking map[string]syscall.Errno

// Command is a command that runs a program where services give these errors. The test
// binary becomes that program through [Run].
func Command(t testing.TB, lacking Lacking, program string, args ...string) *exec.Cmd {
	t.Helper()
	var numbers []string
	for service, number := range lacking {
		if calls[service] == nil {
			t.Fatalf("found the service %q, expected one of those that can be taken away", service)
		}
		numbers = append(numbers, fmt.Sprintf("%s=%d", service, number))
	}
	command := exec.Command(os.Args[0], append([]string{program}, args...)...)
	command.Env = append(os.Environ(), variable+"="+strings.Join(numbers, ","))
	return command
}

// Run becomes the program of [Command], without the services, in a process that was
// started by it; in others it does nothing. TestMain calls it first.
func Run() {
	lacking := os.Getenv(variable)
	if lacking == "" {
		return
	}
	os.Unsetenv(variable)
	runtime.LockOSThread()
	err := take(lacking)
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "no system call filter:", err)
	os.Exit(NoFilter)
}

// NoFilter is the exit code of a machine that does not let a process filter its calls.
const NoFilter = 77

// take installs a filter of system calls for this thread and what it executes.
func take(lacking string) error {
	statement := func(code uint16, value uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: value} }
	filter := []unix.SockFilter{statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0)} // the number of the call
	for service := range strings.SplitSeq(lacking, ",") {
		name, _, _ := strings.Cut(service, "=")
		var number uint32
		if _, err := fmt.Sscanf(service, name+"=%d", &number); err != nil {
			return err
		}
		for _, call := range calls[name] {
			filter = append(filter,
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(call)},
				statement(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ERRNO|number))
		}
	}
	filter = append(filter, statement(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, failed := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if failed != 0 {
		return failed
	}
	return nil
}
