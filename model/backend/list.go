package backend

import (
	"errors"
	"os"

	"epochal/model/backend/install"
	"epochal/model/backend/internal/advice"

	"github.com/gomlx/go-xla/pjrt"
)

// The states of a backend.
const (
	StateReady    = "ready"         // its plugin loads
	StateMissing  = "not installed" // no plugin was found
	StateNoDevice = "no NVIDIA GPU" // neither /dev/nvidia* nor a working nvidia-smi
	StateBroken   = "does not load" // a plugin was found that does not work
	StateDamaged  = "damaged"       // a pinned plugin was found whose SHA-256 is not its pin's
)

// Status says whether a backend can be used on this machine.
type Status struct {
	Name    string // xla:cuda, xla:cpu or go
	State   string // one of the State constants
	Version string // "" where no plugin was loaded
	Device  string // the processor and its threads, or the GPU; "" where it is not known
	File    string // the plugin, "" for none
	SHA256  string // of the plugin, hexadecimal
	Hint    string // a command that helps, or why the plugin does not load
}

// List returns the state of each backend, best first. It loads the plugins that
// it finds, unless they are damaged, but opens no device.
func List() []Status {
	cpu := statusOf(XLACPU, "cpu")
	cpu.Device = processor()
	cuda := Status{Name: XLACUDA, State: StateNoDevice}
	if hasNVIDIA() {
		cuda = statusOf(XLACUDA, "cuda")
		cuda.Device = card()
	} else {
		cuda.File, _ = install.Find("cuda")
	}
	return []Status{cuda, cpu, {Name: Go, State: StateReady, Version: goVersion(), Device: processor()}}
}

// statusOf returns the state of the backend of a plugin's kind.
func statusOf(name, kind string) Status {
	file, found := install.Find(kind)
	if !found {
		return Status{Name: name, State: StateMissing, Hint: advice.Install + kind}
	}
	s := Status{Name: name, File: file}
	err := s.load()
	if _, damaged := errors.AsType[*install.HashError](err); damaged {
		s.State, s.Hint = StateDamaged, advice.InstallCPU
	} else if err != nil {
		s.State, s.Hint = StateBroken, err.Error()
	} else {
		s.State = StateReady
	}
	return s
}

// load verifies and loads the plugin, and fills in what that reveals.
func (s *Status) load() (err error) {
	defer recovered(&err)
	if s.SHA256, err = install.Verify(s.File); err != nil {
		return err
	}
	opening.Lock()
	defer opening.Unlock()
	// Loading a CUDA plugin makes go-xla add a flag that other plugins may not know.
	defer setVariable(xlaFlags, os.Getenv(xlaFlags))()
	plugin, err := pjrt.GetPlugin(s.File)
	if err != nil {
		return err
	}
	s.Version = pluginVersion(plugin)
	return nil
}
