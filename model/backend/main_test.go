package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"epochal/model/backend/install"
)

// childMode is a variable with which this test binary becomes a process that only
// opens auto.
const childMode = "EPOCHAL_BACKEND_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(childMode) == "" {
		os.Exit(m.Run())
	}
	if _, _, err := Open(context.Background(), Auto, Options{}); err != nil {
		fmt.Fprint(os.Stderr, err)
		os.Exit(1)
	}
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

func setNVIDIA(t *testing.T, there bool) { set(t, &hasNVIDIA, func() bool { return there }) }

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
