package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"epochal/model/backend/install"
	"epochal/model/backend/internal/advice"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/go-xla/compute/xla"
)

// Options say how a backend is opened. The zero value is ready to use.
type Options struct {
	TF32    bool // CUDA: matrix products in TF32, faster and less exact; default false
	Threads int  // XLA on the processor: threads of the client; default 0 for [Cores]; ignored by CUDA and pure Go
	Beside  bool // XLA on the processor: open [Backend.Beside] with the cores that Threads leave, if any; default false
	GPU     int  // CUDA: the number of the GPU, of those that CUDA_VISIBLE_DEVICES allows; ignored elsewhere

	// Nondeterministic lets XLA choose CUDA kernels by timing them, which may be faster, but
	// the bits of two runs may differ; ignored by the others, which always repeat theirs.
	Nondeterministic bool

	// TryLoops reports whether a device works with flags that make loops CUDA graphs, which
	// only a process of its own can find out: name is the backend string that opens the
	// device, flags its XLA_FLAGS. It is called before the first use with a plugin, a driver
	// and a GPU, and the outcome is kept beside the plugin; nil for never to use the flags.
	// See [epochal/model.TryLoops].
	TryLoops func(ctx context.Context, name, flags string) error

	// Install installs the CPU plugin and returns its file. It is called when auto
	// or xla:cpu finds no plugin, or a damaged one that was installed by it before;
	// nil for never. See [install.Installer.PinnedCPU].
	Install func(ctx context.Context) (file string, err error)

	// InstallCUDA is the same for CUDA's plugin. It is called when auto or xla:cuda finds a
	// GPU whose driver is new enough but no plugin, and may decline with "". See
	// [install.Installer.CUDA].
	InstallCUDA func(ctx context.Context) (file string, err error)
}

// Backend is an open backend. Hand GoMLX the embedded field, b.Backend, and
// never b: tensors remember the backend that made them, and to GoMLX b and
// b.Backend are different backends.
type Backend struct {
	compute.Backend
	Info   Info
	Beside *Backend // a second client, for work beside the first one's; may be nil
	GPUs   int      // from which Options.GPU picks; 0 if this is none
}

// Info describes an open backend, for a run's environment.json.
type Info struct {
	Name         string `json:"name"`                    // xla:cpu, xla:cuda, go, or the GoMLX backend string used
	Version      string `json:"version"`                 // of the plugin's interface and attributes, or of GoMLX's pure-Go backend
	Device       string `json:"device"`                  // the processor and its threads, or the GPU
	PluginFile   string `json:"plugin_file,omitempty"`   // absolute path; XLA only
	PluginSHA256 string `json:"plugin_sha256,omitempty"` // hexadecimal; XLA only
	TF32         bool   `json:"tf32"`                    // matrix products in TF32
	Threads      int    `json:"threads,omitempty"`       // of XLA on the processor; in older records 0 if it chose them itself
	Beside       int    `json:"beside,omitempty"`        // threads of the second client, 0 without one
	XLAFlags     string `json:"xla_flags,omitempty"`     // the XLA_FLAGS that the plugin read

	// The bits of two runs may differ; CUDA only.
	Nondeterministic bool `json:"nondeterministic,omitempty"`
	// Who runs the loop over the steps of a call: LoopsOnGPU, or why it is the host; the pinned CUDA plugin only.
	Loops string `json:"loops,omitempty"`
}

// Close frees the backend. Nothing that was made with it can be used afterwards.
func (b *Backend) Close() {
	if b.Beside != nil {
		b.Beside.Close()
	}
	b.Finalize()
}

// StepLoops reports whether a program can run many steps per call: true for XLA,
// false for pure Go, where GoMLX has no DynamicSlice and its While fails.
func (b *Backend) StepLoops() bool {
	_, ok := b.Backend.(*xla.Backend)
	return ok
}

// IsXLACPU reports whether GoMLX's backend b is XLA on the processor, for the
// programs that are built differently there.
func IsXLACPU(b compute.Backend) bool {
	opened, ok := b.(*xla.Backend)
	return ok && opened.IsCPU()
}

// IsCUDA is IsXLACPU for XLA on an NVIDIA GPU.
func IsCUDA(b compute.Backend) bool {
	opened, ok := b.(*xla.Backend)
	return ok && opened.IsCUDA()
}

// Open opens a backend: auto, xla:cpu, xla:cuda, go, or any GoMLX backend
// string. Warnings come with a backend that works. [Check] says which names are
// possible; ctx stops an installation, not the opening itself. Errors may carry
// a hint, a method Hint() string in their chain.
//
// With auto, GOMLX_BACKEND decides if it is set, and Open fails if that does not
// work. Otherwise it is an NVIDIA GPU if there is one with a plugin, else XLA on the
// processor, else pure Go with a warning.
func Open(ctx context.Context, name string, options Options) (*Backend, []string, error) {
	c, err := parse(name)
	if err != nil {
		return nil, nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, nil, fmt.Errorf("open backend %q: %w", name, err)
	}
	if name == Auto {
		return options.openAuto(ctx)
	}
	return options.open(ctx, c)
}

func (o Options) openAuto(ctx context.Context) (*Backend, []string, error) {
	if name := os.Getenv(compute.ConfigEnvVar); name != "" && name != Auto {
		b, warnings, err := Open(ctx, name, o)
		if err != nil {
			err = fmt.Errorf("%s: %w", compute.ConfigEnvVar, err)
		}
		return b, warnings, err
	}

	var warnings []string
	file, err := o.cudaPlugin(ctx)
	if err == nil {
		var b *Backend
		if b, warnings, err = o.openXLA(ctx, choice{name: XLACUDA, plugin: "cuda"}, file); err == nil {
			return b, warnings, nil
		}
	}
	problem, _ := errors.AsType[*unready](err)
	switch {
	case ctx.Err() != nil || errors.As(err, new(*flagsError)) || errors.As(err, new(*gpuError)):
		return nil, nil, err
	case problem == nil || problem.state != StateNoDevice && problem.state != StateMissing:
		warnings = append(warnings, fmt.Sprintf("the NVIDIA GPU is not used: %v", advice.Text(err)))
	case problem.state == StateMissing:
		warnings = append(warnings, "there is an NVIDIA GPU but no CUDA plugin; to use it: "+install.Advice("cuda")+" ("+install.CUDASize+")")
	}
	b, more, err := o.open(ctx, choice{name: XLACPU, plugin: "cpu"})
	if err == nil {
		return b, append(warnings, more...), nil
	}
	if ctx.Err() != nil || errors.As(err, new(*flagsError)) {
		return nil, nil, err
	}
	warnings = append(warnings, slowWarning(err))
	b, more, err = o.open(ctx, choice{name: Go, pureGo: true})
	return b, append(warnings, more...), err
}

// slowWarning says why pure Go is used and what that costs, as measured on 2 cores
// with 512,512 and batch 64; see `epochal bench`.
func slowWarning(why error) string {
	remedy := "to install XLA: " + advice.InstallCPU
	if advised, ok := errors.AsType[*advice.Error](why); ok && advised.Advice != advice.InstallCPU {
		remedy = "to use XLA: " + advised.Advice
	}
	return fmt.Sprintf("using pure Go, 10 to 50 times slower than XLA, because %v; %s", why, remedy)
}

// open opens what was asked for by name.
func (o Options) open(ctx context.Context, c choice) (b *Backend, warnings []string, err error) {
	if c.pureGo {
		b, err = openGo(c)
	} else {
		var file string
		if file, err = o.plugin(ctx, c.plugin); err == nil {
			b, warnings, err = o.openXLA(ctx, c, file)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("backend %q: %w", c.name, err)
	}
	return b, warnings, nil
}

// plugin returns the file of the plugin that was asked for: a name, an absolute
// path, or "" for CUDA's if that can be used and the processor's otherwise.
func (o Options) plugin(ctx context.Context, name string) (file string, err error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	if name == "cuda" {
		return o.cudaPlugin(ctx)
	}
	kind := cmp.Or(name, "cpu")
	if name == "" {
		_, err := askDriver()
		if file, found := install.Find("cuda"); found && err == nil {
			return file, nil
		}
	}
	if file, found := install.Find(kind); found {
		return file, nil
	}
	if name == "cpu" && o.Install != nil {
		return o.Install(ctx)
	}
	return "", noPlugin(kind)
}

// noPlugin is the error of a plugin that is not there.
func noPlugin(kind string) error {
	folders := "the plugin folders"
	if folder, err := install.Directory(); err == nil {
		folders = folder + " or the other plugin folders"
	}
	missing := fmt.Errorf("no PJRT plugin %q in %s, expected a file such as pjrt_c_api_%s_plugin.so", kind, folders, kind)
	if kind == "cpu" || kind == "cuda" {
		return &advice.Error{Err: missing, Advice: install.Advice(kind)}
	}
	return missing
}

func openGo(c choice) (b *Backend, err error) {
	defer recovered(&err)
	opened, err := gobackend.New(c.options)
	if err != nil {
		return nil, err
	}
	return &Backend{Backend: opened, Info: Info{Name: c.name, Version: goVersion(), Device: processor(runtime.GOMAXPROCS(0))}}, nil
}

// goVersion returns the version of the module with the pure-Go backend.
func goVersion() string {
	const module = "github.com/gomlx/compute"
	version := "compute, version unknown"
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	for _, dependency := range build.Deps {
		if dependency.Path == module {
			version = "compute " + dependency.Version
		}
	}
	for _, setting := range build.Settings {
		if setting.Key == "GOEXPERIMENT" && setting.Value != "" {
			version += ", GOEXPERIMENT=" + setting.Value
		}
	}
	return version
}

// recovered turns a panic of GoMLX, compute or go-xla into *err. It is deferred at
// each boundary with them.
func recovered(err *error) {
	if problem := recover(); problem != nil {
		*err = fmt.Errorf("panic in the backend's library: %v", problem)
	}
}
