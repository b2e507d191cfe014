package backend

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	xlaFlags = "XLA_FLAGS"

	// regionFlag removes two copies of weight matrices from each training step:
	// 6% of an epoch at 512,512.
	regionFlag  = "xla_cpu_copy_insertion_use_region_analysis"
	regionValue = "--" + regionFlag + "=true"
)

// composeFlags returns what XLA_FLAGS must hold for the plugin with this
// SHA-256, given the user's own value. Only the plugin that is known to have it
// gets the extra flag: a plugin aborts the process at a flag that it does not know.
func composeFlags(user, sha256 string) string {
	switch trimmed := strings.TrimSpace(user); {
	case sha256 != pins[0].pluginSHA256:
		return user
	case trimmed == "":
		return regionValue
	case trimmed[0] != '-':
		// XLA reads a value without a leading dash as the name of a file of flags.
		return user
	case strings.Contains(user, regionFlag):
		return user
	default:
		return user + " " + regionValue
	}
}

// flagsRead maps the files of loaded plugins to the XLA_FLAGS that they read.
// Guarded by opening.
var flagsRead = map[string]string{}

// withFlags calls open with XLA_FLAGS set to flags and returns the flags that
// the plugin goes by. A plugin reads them once per process, when its first
// client is made. Afterwards the variable is put back, so that neither another
// plugin nor a child process meets a flag that it may not know; with keep, what
// go-xla added for CUDA stays when open succeeds.
func withFlags(plugin, flags string, keep bool, open func() error) (inForce string, err error) {
	if file, err := filepath.EvalSymlinks(plugin); err == nil {
		plugin = file
	}
	before, wasSet := os.LookupEnv(xlaFlags)
	if flags != before {
		if err := os.Setenv(xlaFlags, flags); err != nil {
			return "", err
		}
	}
	err = open()
	after := os.Getenv(xlaFlags)
	if err != nil || !keep {
		if wasSet {
			os.Setenv(xlaFlags, before)
		} else {
			os.Unsetenv(xlaFlags)
		}
	}
	if err != nil {
		return "", err
	}
	if _, known := flagsRead[plugin]; !known {
		flagsRead[plugin] = after
	}
	return flagsRead[plugin], nil
}

// threadVariables are where XLA's CPU client reads the number of its threads,
// each time that one is made; the older name first.
var threadVariables = []string{"NPROC", "PJRT_NPROC"}

// withThreads sets the number of threads of the next CPU client, and returns
// the function that puts the variables back.
func withThreads(threads int) (restore func()) {
	var undo []func()
	for _, name := range threadVariables {
		before, wasSet := os.LookupEnv(name)
		os.Setenv(name, strconv.Itoa(threads))
		undo = append(undo, func() {
			if wasSet {
				os.Setenv(name, before)
			} else {
				os.Unsetenv(name)
			}
		})
	}
	return func() {
		for _, put := range undo {
			put()
		}
	}
}
