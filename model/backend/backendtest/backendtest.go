// Package backendtest hands open backends to tests. Each is opened once per
// process, shared by its tests, and must not be closed by them. [CUDA] stands in for
// NVIDIA's driver and for a CUDA plugin.
package backendtest

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"epochal/model/backend"
	"epochal/model/backend/install"

	"github.com/gomlx/go-xla/pjrt"
)

// Require is the environment variable that, set to 1, makes [XLA] fail a test
// where it would skip it.
const Require = "EPOCHAL_REQUIRE_XLA"

func open(name string, o backend.Options) func() (*backend.Backend, error) {
	return sync.OnceValues(func() (*backend.Backend, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		o.Install = install.Installer{}.PinnedCPU
		b, _, err := backend.Open(ctx, name, o)
		return b, err
	})
}

var (
	xlaCPU = open(backend.XLACPU, backend.Options{})
	beside = open(backend.XLACPU, backend.Options{Threads: 1, Beside: true})
	pureGo = open(backend.Go, backend.Options{})
)

// XLA returns XLA on the processor, after installing its plugin if there is
// none. If it is not available the test is skipped, or fails if [Require] is set.
func XLA(t testing.TB) *backend.Backend {
	t.Helper()
	return available(t, xlaCPU)
}

// Beside is XLA with one thread and a second client. On a single core the test is skipped.
func Beside(t testing.TB) *backend.Backend {
	t.Helper()
	b := available(t, beside)
	if b.Beside == nil {
		t.Skip("needs more than one core")
	}
	return b
}

func available(t testing.TB, open func() (*backend.Backend, error)) *backend.Backend {
	t.Helper()
	b, err := open()
	if err != nil {
		if os.Getenv(Require) == "1" {
			t.Fatalf("XLA on the processor, which %s=1 requires: %v", Require, err)
		}
		t.Skipf("needs XLA on the processor: %v", err)
	}
	return b
}

// Go returns GoMLX in pure Go.
func Go(t testing.TB) *backend.Backend {
	t.Helper()
	b, err := pureGo()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// DeviceBuffers is how many buffers the process has on devices of XLA. One that
// nobody freed counts until the garbage collector finds it.
func DeviceBuffers() int64 { return pjrt.BuffersAlive() }
