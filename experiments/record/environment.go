package record

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/model/backend"
)

// version can be set at build time: -ldflags "-X epochal/experiments/record.version=v1.0.0".
var version = ""

// Environment is what a run ran on: the run folder's environment.json.
type Environment struct {
	Version         string         `json:"version"`            // of epochal
	Revision        string         `json:"revision,omitempty"` // of its source, where the build knows it
	Go              string         `json:"go"`
	GoMLX           string         `json:"gomlx"`
	GoXLA           string         `json:"go_xla"`
	OperatingSystem string         `json:"operating_system"`
	Architecture    string         `json:"architecture"`
	Cores           int            `json:"cores"` // that XLA may use on the processor, see backend.Cores
	Backend         backend.Info   `json:"backend"`
	Data            []dataset.File `json:"data"`                  // the files of the dataset
	Folder          string         `json:"folder"`                // that relative paths in config.json are relative to
	InitSHA256      string         `json:"init_sha256,omitempty"` // of the file with the initial weights
	Identity        string         `json:"identity,omitempty"`    // of the run, see [Identity]
	Started         time.Time      `json:"started"`
	Resumed         []Resumption   `json:"resumed,omitempty"` // in order; none of a run that was never resumed
}

// Resumption is where and on what a run was resumed.
type Resumption struct {
	Epoch   int          `json:"epoch"` // from 1
	Step    int          `json:"step"`  // that came next, from 0
	Version string       `json:"version"`
	Backend backend.Info `json:"backend"`
	Started time.Time    `json:"started"`
}

// LastBackend is the backend that the run used last.
func (e Environment) LastBackend() backend.Info {
	if n := len(e.Resumed); n > 0 {
		return e.Resumed[n-1].Backend
	}
	return e.Backend
}

// sameBackend reports whether two backends give the same bits, as far as a backend does.
func sameBackend(a, b backend.Info) bool {
	return a.Name == b.Name && a.Version == b.Version && a.PluginSHA256 == b.PluginSHA256 && a.Device == b.Device &&
		a.TF32 == b.TF32 && a.Nondeterministic == b.Nondeterministic
}

// BuildEnvironment is the part of the environment that the binary knows about itself.
func BuildEnvironment() Environment {
	e := Environment{
		Go:              runtime.Version(),
		OperatingSystem: runtime.GOOS,
		Architecture:    runtime.GOARCH,
		Cores:           backend.Cores(),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return e
	}
	e.Version = cmp.Or(version, info.Main.Version, "(devel)")
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			e.Revision = setting.Value
		case "vcs.modified":
			if setting.Value == "true" {
				e.Revision += " (modified)"
			}
		}
	}
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/gomlx/gomlx":
			e.GoMLX = module.Version
		case "github.com/gomlx/go-xla":
			e.GoXLA = module.Version
		}
	}
	return e
}

// arithmetic is the generation of what a config computes. It is part of the
// identity: raise it when the same config and seed give different numbers than before,
// so that old runs are not mistaken for new ones.
const arithmetic = 1

// Identity is a SHA-256, as 64 hex digits, of everything that decides the numbers
// of a run: two runs with one identity are the same run. data are the files of c's
// data, of which the contents count, not the names nor where they are; it may be nil for
// MNIST, which is built in. initSHA256 is the checksum of the initial weights, "" where
// they are drawn from the seed.
func Identity(c experiments.Config, data []dataset.File, initSHA256 string) string {
	c = c.Canonical()
	c.StepsPerCall = 0 // changes speed, never results
	// Left out where it is true, so that the runs that people have are known again.
	nondeterministic := !c.Deterministic
	c.Deterministic = false
	c.Split, c.Transpose, c.TestShare, c.TrainImages, c.PermutePixels = "", "", 0, 0, 0 // their effect is in the data
	if len(data) == 0 || dataset.KnownName(data) == dataset.MNIST {
		c.Data, data = dataset.MNIST, nil
	} else {
		c.Data = ""
		contents := make([]dataset.File, len(data))
		for i, file := range data {
			contents[i].SHA256 = file.SHA256
		}
		data = contents
	}
	return digest(struct {
		Arithmetic int
		Config     experiments.Config
		Data       []dataset.File
		InitSHA256 string

		Nondeterministic bool `json:",omitempty"`
	}{arithmetic, c, data, initSHA256, nondeterministic})
}

// ReadIdentity is the identity of the run in a folder, ended or not; "" if an older
// version recorded it. The error wraps [fs.ErrNotExist] where there is none.
func ReadIdentity(folder string) (string, error) {
	environment, err := readEnvironment(folder)
	return environment.Identity, err
}

// digest is the SHA-256 of a value's JSON.
func digest(value any) string {
	text, _ := json.Marshal(value) // a valid config has no number that JSON lacks
	return fmt.Sprintf("%x", sha256.Sum256(text))
}
