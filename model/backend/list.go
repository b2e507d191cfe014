package backend

import (
	"context"
	"errors"
	"os"
	"runtime"

	"epochal/model/backend/install"
	"epochal/model/backend/internal/advice"

	"github.com/gomlx/go-xla/pjrt"
)

// The states of a backend.
const (
	StateReady       = "ready"               // its plugin loads, and its device answers
	StateMissing     = "not installed"       // no plugin was found
	StateNoDevice    = "no NVIDIA GPU"       // or none that CUDA_VISIBLE_DEVICES allows
	StateNoDriver    = "no driver"           // there is an NVIDIA GPU, but its driver does not load or answer
	StateOldDriver   = "driver too old"      // for the CUDA plugin that is pinned
	StateNoLibraries = "no NVIDIA libraries" // those that the CUDA plugin needs
	StateBroken      = "does not load"       // a plugin was found that does not work
	StateDamaged     = "damaged"             // a pinned plugin was found whose SHA-256 is not its pin's
)

// Status says whether a backend can be used on this machine.
type Status struct {
	Name    string // xla:cuda, xla:cpu or go
	State   string // one of the State constants
	Version string // "" where no plugin was loaded
	Device  string // the processor and its threads, or the GPU; "" where it is not known
	File    string // the plugin, "" for none
	SHA256  string // of the plugin, hexadecimal
	Hint    string // a command that helps, or why it cannot be used
}

// List returns the state of each backend, best first. It loads the plugins that
// it finds, unless they are damaged, but opens no device.
func List() []Status {
	cpu := Status{Name: XLACPU, Device: processor(Cores()), State: StateMissing, Hint: install.Advice("cpu")}
	if file, found := install.Find("cpu"); found {
		cpu.File = file
		cpu.explain(cpu.load())
	}
	cuda := Status{Name: XLACUDA}
	cuda.File, _ = install.Find("cuda")
	if d, err := askDriver(); err == nil {
		cuda.Device = d.Describe(0)
	}
	_, err := Options{}.cudaPlugin(context.Background())
	if err == nil {
		err = cuda.load()
	}
	cuda.explain(err)
	return []Status{cuda, cpu, {Name: Go, State: StateReady, Version: goVersion(), Device: processor(runtime.GOMAXPROCS(0))}}
}

// explain fills in the state and the hint that follow from an error, or from nil.
func (s *Status) explain(err error) {
	problem, _ := errors.AsType[*unready](err)
	s.Hint = ""
	switch _, damaged := errors.AsType[*install.HashError](err); {
	case err == nil:
		s.State = StateReady
	case damaged:
		s.State, s.Hint = StateDamaged, advice.InstallCPU
	case problem == nil:
		s.State, s.Hint = StateBroken, advice.Text(err)
	case problem.state == StateNoDevice:
		s.State = StateNoDevice
	case problem.state == StateMissing:
		s.State, s.Hint = StateMissing, install.Advice("cuda")
	default:
		s.State, s.Hint = problem.state, advice.Text(err)
	}
}

// load verifies and loads the plugin, and fills in what that reveals.
func (s *Status) load() (err error) {
	defer recovered(&err)
	if s.SHA256, err = install.Verify(s.File); err != nil {
		return err
	}
	if kindOf(s.File) == "cuda" {
		if _, err := checkCUDA(s.File, s.SHA256); err != nil {
			return err
		}
	}
	opening.Lock()
	defer opening.Unlock()
	// Loading a CUDA plugin makes go-xla add a flag that other plugins may not know.
	defer setVariable(xlaFlags, os.Getenv(xlaFlags))()
	plugin, err := pjrt.GetPlugin(s.File)
	if err != nil {
		return adviseLoading(err)
	}
	s.Version = pluginVersion(plugin)
	return nil
}
