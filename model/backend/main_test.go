package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"epochal/model/backend/install"
	"epochal/model/backend/internal/driver"
)

// Variables with which this test binary becomes a process that opens the backend that
// they name: one prints nothing, the other a [Report].
const (
	ChildMode  = "EPOCHAL_BACKEND_TEST"
	ReportMode = "EPOCHAL_BACKEND_REPORT"
)

// Report is what a process says of the backends. Its argument is Options.GPU.
type Report struct {
	CUDA     Status
	Info     Info
	GPUs     int
	Warnings []string
	Err      string
	Hint     string
}

func TestMain(m *testing.M) {
	name, quiet := os.LookupEnv(ChildMode)
	if !quiet {
		name = os.Getenv(ReportMode)
	}
	if name == "" {
		os.Exit(m.Run())
	}
	var o Options
	if len(os.Args) > 1 {
		o.GPU, _ = strconv.Atoi(os.Args[1])
	}
	b, warnings, err := Open(context.Background(), name, o)
	if quiet {
		if err != nil {
			fmt.Fprint(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	report := Report{CUDA: List()[0], Warnings: warnings, Hint: hintOf(err)}
	if err != nil {
		report.Err = err.Error()
	} else {
		report.Info, report.GPUs = b.Info, b.GPUs
	}
	json.NewEncoder(os.Stdout).Encode(report)
}

// The commands that hints name.
const installCPU, installCUDA = "epochal backends install cpu", "epochal backends install cuda"

// newMachine makes this a machine without plugins and NVIDIA GPU, and returns the
// install folder.
func newMachine(t *testing.T) (folder string) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("GOMLX_BACKEND", "")
	// If it is set, go-xla's other folders are not looked at.
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", t.TempDir())
	setNVIDIA(t, false)
	folder, err := install.Directory()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func setNVIDIA(t *testing.T, there bool) {
	set(t, &nvidia, func() (driver.Driver, error) {
		if !there {
			return driver.Driver{}, driver.ErrNoGPU
		}
		return driver.Driver{CUDA: 13000, Version: "580.65.06", GPUs: []string{"NVIDIA H100 80GB HBM3"}}, nil
	})
}

// set sets a variable for the time of a test.
func set[T any](t *testing.T, variable *T, value T) {
	before := *variable
	*variable = value
	t.Cleanup(func() { *variable = before })
}

// hintOf finds a hint as the command does, without knowing the type.
func hintOf(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return ""
}
