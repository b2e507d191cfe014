package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"epochal/model/backend/internal/quiet"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
)

// Options say how a backend is opened. The zero value is ready to use.
type Options struct {
	TF32        bool                // CUDA: matrix products in TF32, faster and less exact; default false
	Plugins     Plugins             // where plugins are looked for and installed
	Environment func(string) string // default os.Getenv; GOMLX_BACKEND, XLA_FLAGS and what Plugins reads
	AutoInstall bool                // install the CPU plugin when auto or xla:cpu finds none, or a damaged one; only where its SHA-256 is known
	Threads     int                 // XLA on the processor: threads of the client; default 0 for one per core; ignored by CUDA and pure Go
}

// Backend is an open backend. Hand GoMLX the embedded field, b.Backend, and
// never b: tensors remember the backend that made them, and to GoMLX b and
// b.Backend are two.
type Backend struct {
	compute.Backend
	Info Info
}

// Info describes an open backend, for a run's environment.json.
type Info struct {
	Name         string `json:"name"`                    // xla:cpu, xla:cuda, go, or the GoMLX backend string used
	Version      string `json:"version"`                 // of the plugin's interface and what it tells of itself, or of GoMLX's pure-Go backend
	Device       string `json:"device"`                  // the processor and its threads, or the card
	PluginFile   string `json:"plugin_file,omitempty"`   // absolute path; XLA only
	PluginSHA256 string `json:"plugin_sha256,omitempty"` // hexadecimal; XLA only
	TF32         bool   `json:"tf32"`                    // matrix products in TF32
	Threads      int    `json:"threads,omitempty"`       // of XLA on the processor, where fewer than the device has were asked for
	XLAFlags     string `json:"xla_flags,omitempty"`     // the XLA_FLAGS that the plugin read
}

// Close frees the backend. Nothing that was made with it can be used afterwards.
func (b *Backend) Close() { b.Finalize() }

// StepLoops tells whether a program can run many steps per call: true for XLA,
// false for pure Go, where GoMLX has no DynamicSlice and its While fails.
func (b *Backend) StepLoops() bool {
	_, ok := b.Backend.(*xla.Backend)
	return ok
}

// IsXLACPU tells whether GoMLX's backend b is XLA on the processor, for the
// programs that are built differently there.
func IsXLACPU(b compute.Backend) bool {
	opened, ok := b.(*xla.Backend)
	return ok && opened.IsCPU()
}

// opening guards what opening a plugin touches in the process: XLA_FLAGS, the
// log, and go-xla's own tables.
var opening sync.Mutex

// Open opens a backend: auto, xla:cpu, xla:cuda, go, or any GoMLX backend
// string. Warnings come with a backend that works. [Check] says which names are
// possible; ctx stops an installation, not the opening itself. Errors may carry
// a hint, see [Error].
//
// With auto, GOMLX_BACKEND decides if it is set, and fails if it does not work.
// Else it is an NVIDIA card if there is one with a plugin, else XLA on the
// processor, else pure Go with a warning.
func Open(ctx context.Context, name string, options Options) (*Backend, []string, error) {
	c, err := parse(name)
	if err != nil {
		return nil, nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, nil, fmt.Errorf("open backend %q: %w", name, err)
	}
	if options.Threads < 0 {
		return nil, nil, fmt.Errorf("open backend %q: found %d threads, expected 0 or more", name, options.Threads)
	}
	if options.Environment == nil {
		options.Environment = os.Getenv
	}
	if options.Plugins.Environment == nil {
		options.Plugins.Environment = options.Environment
	}
	options.Plugins = options.Plugins.withDefaults()
	if name == Auto {
		return options.openAuto(ctx)
	}
	return options.open(ctx, c)
}

func (o Options) openAuto(ctx context.Context) (*Backend, []string, error) {
	if name := o.Environment(compute.ConfigEnvVar); name != "" && name != Auto {
		c, err := parse(name)
		if err == nil {
			var b *Backend
			var warnings []string
			if b, warnings, err = o.open(ctx, c); err == nil {
				return b, warnings, nil
			}
		}
		return nil, nil, fmt.Errorf("%s: %w", compute.ConfigEnvVar, err)
	}

	var warnings []string
	if o.Plugins.nvidia() {
		if file, found := o.Plugins.Find("cuda"); !found {
			warnings = append(warnings, "there is an NVIDIA device but no CUDA plugin; to use it: "+hintCUDA)
		} else if b, more, err := o.openXLA(ctx, choice{name: XLACUDA}, file); err == nil {
			return b, more, nil
		} else {
			warnings = append(warnings, fmt.Sprintf("the NVIDIA device is not used: %v", err))
		}
	}
	b, more, err := o.open(ctx, choice{name: XLACPU, plugin: "cpu"})
	if err == nil {
		return b, append(warnings, more...), nil
	}
	if ctx.Err() != nil {
		return nil, nil, err
	}
	warnings = append(warnings, slowWarning(err))
	b, more, err = o.open(ctx, choice{name: Go, pureGo: true})
	return b, append(warnings, more...), err
}

// slowWarning tells why pure Go is used and what that costs. The seconds were
// measured on 2 cores with 512,512 and batch 64; see `epochal bench`.
func slowWarning(why error) string {
	return fmt.Sprintf("using pure Go, 10 to 50 times slower for training than XLA "+
		"(33 s an epoch at 512,512 against 0.64 s; 6 s if built with GOEXPERIMENT=simd), because %v; "+
		"to install XLA: %s", why, hintCPU)
}

// open opens what was asked for by name.
func (o Options) open(ctx context.Context, c choice) (*Backend, []string, error) {
	if c.pureGo {
		return openGo(c)
	}
	file, err := o.plugin(ctx, c.plugin)
	if err == nil {
		var b *Backend
		var warnings []string
		if b, warnings, err = o.openXLA(ctx, c, file); err == nil {
			return b, warnings, nil
		}
	}
	return nil, nil, fmt.Errorf("backend %q: %w", c.name, err)
}

// plugin returns the file of the plugin that was asked for; "" asks for CUDA if
// that can be used, else for the processor.
func (o Options) plugin(ctx context.Context, name string) (file string, err error) {
	switch name {
	case "":
		if o.Plugins.nvidia() {
			if file, found := o.Plugins.Find("cuda"); found {
				return file, nil
			}
		}
	case "cuda":
		if !o.Plugins.nvidia() {
			return "", errors.New("no NVIDIA device: no /dev/nvidia* and no nvidia-smi")
		}
	}
	if filepath.IsAbs(name) {
		return name, nil
	}
	kind := name
	if kind == "" {
		kind = "cpu"
	}
	if file, found := o.Plugins.Find(kind); found {
		return file, nil
	}
	if name == "cpu" && o.AutoInstall {
		return o.Plugins.installCPU(ctx, false)
	}
	folders := "the plugin folders"
	if o.Plugins.Directory != "" {
		folders = o.Plugins.Directory + " or the other plugin folders"
	}
	missing := fmt.Errorf("no PJRT plugin %q in %s, expected a file such as pjrt_c_api_%s_plugin.so", kind, folders, kind)
	switch kind {
	case "cpu":
		return "", &Error{missing, hintCPU}
	case "cuda":
		return "", &Error{missing, hintCUDA}
	}
	return "", missing
}

// checked returns the plugin's file with its SHA-256. A pinned plugin whose hash
// is wrong is installed again where that is wanted; the file may then be another.
func (o Options) checked(ctx context.Context, c choice, file string) (checked, sha string, err error) {
	sha, err = hashRecord(o.Plugins.HashRecord).of(ctx, file)
	if err != nil {
		return "", "", fmt.Errorf("plugin: %w", err)
	}
	damaged := o.Plugins.checkPinned(file, sha)
	if damaged == nil || !o.AutoInstall || c.plugin != "cpu" {
		return file, sha, damaged
	}
	if file, err = o.Plugins.installCPU(ctx, false); err != nil {
		if ctx.Err() != nil {
			return "", "", err
		}
		return "", "", fmt.Errorf("%v; %w", damaged, err)
	}
	if sha, err = hashRecord(o.Plugins.HashRecord).of(ctx, file); err != nil {
		return "", "", fmt.Errorf("plugin: %w", err)
	}
	return file, sha, nil
}

// openXLA opens a client of the plugin in file.
func (o Options) openXLA(ctx context.Context, c choice, file string) (b *Backend, warnings []string, err error) {
	file, sha, err := o.checked(ctx, c, file)
	if err != nil {
		return nil, nil, err
	}
	opening.Lock()
	defer opening.Unlock()
	defer recovered(&err)
	name, err := o.Plugins.goxlaName(file)
	if err != nil {
		return nil, nil, err
	}
	if err := checkWhole(file); err != nil {
		return nil, nil, fmt.Errorf("plugin %s: %w", file, err)
	}
	kind := kindOf(file)
	config, settings := name, pjrt.NamedValuesMap{}
	switch kind {
	case "cpu":
		// The plugin makes 4 devices unless told otherwise, with a thread each: on 2 cores that costs 12%.
		settings["cpu_device_count"] = int64(1)
	case "cuda":
		if !hasOption(c.options, "tf32") {
			config += fmt.Sprintf(",tf32=%t", o.TF32)
		}
	}
	if c.options != "" {
		config += "," + c.options
	}

	logged := quiet.Collect()
	var opened *xla.Backend
	flags, err := withFlags(file, composeFlags(o.Environment(xlaFlags), sha), kind == "cuda", func() (err error) {
		defer recovered(&err)
		if kind == "cpu" && o.Threads > 0 {
			defer withThreads(o.Threads)()
		}
		opened, err = xla.NewWithOptions(config, settings)
		return err
	})
	warnings = logged()
	if err != nil {
		return nil, nil, fmt.Errorf("plugin %s: %w", file, err)
	}
	b = &Backend{opened, Info{
		Name:         c.name,
		Device:       processor(),
		PluginFile:   file,
		PluginSHA256: sha,
		TF32:         opened.DotGeneralUseTF32 && opened.IsCUDA(),
		XLAFlags:     flags,
	}}
	if kind == "cpu" {
		b.Info.Threads = o.Threads
	} else {
		b.Info.Device = opened.DeviceDescription(0)
	}
	plugin, err := pjrt.GetPlugin(opened.PluginName())
	if err != nil {
		opened.Finalize()
		return nil, nil, err
	}
	b.Info.Version = pluginVersion(plugin)
	return b, warnings, nil
}

// kindOf tells from a plugin's file name whether it is for "cpu" or "cuda", or
// returns "".
func kindOf(file string) string {
	switch base := filepath.Base(file); {
	case pjrt.IsCUDAName(base):
		return "cuda"
	case isCPUName(base):
		return "cpu"
	}
	return ""
}

// isCPUName is go-xla's guess, which it does not export as a function.
func isCPUName(name string) bool { return strings.Contains(strings.ToUpper(name), "CPU") }

// goxlaName returns what go-xla is to be given for the plugin in file: its
// path, because with a name go-xla loads and unloads every plugin that it
// finds, twice. Only where it would mistake the path it is the name after all.
func (p Plugins) goxlaName(file string) (string, error) {
	if !mistaken(file) {
		return file, nil
	}
	name, _ := pluginName(file)
	if !slices.Contains(p.folders(), filepath.Dir(file)) || pjrt.AvailablePlugins()[name] != file {
		return "", hintf("move the plugin to another folder",
			"plugin %s: its path has a comma or a word (cpu, cuda, nvidia) from which go-xla mistakes its kind", file)
	}
	return name, nil
}

// mistaken tells whether go-xla, which guesses a plugin's kind from the whole
// path and cuts it at commas, goes wrong with this one.
func mistaken(file string) bool {
	kind := kindOf(file)
	return pjrt.IsCUDAName(file) != (kind == "cuda") || isCPUName(file) != (kind == "cpu") || strings.Contains(file, ",")
}

// pluginVersion tells a plugin's interface version and its attributes, such as
// "PJRT 0.115, stablehlo_current_version 1.20.0, xla_version 2".
func pluginVersion(plugin *pjrt.Plugin) string {
	major, minor := plugin.Version()
	version := fmt.Sprintf("PJRT %d.%d", major, minor)
	attributes := plugin.Attributes()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		value := fmt.Sprint(attributes[name])
		if numbers, ok := attributes[name].([]int64); ok {
			value = strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ".")
		}
		version += ", " + name + " " + value
	}
	return version
}

func openGo(c choice) (b *Backend, warnings []string, err error) {
	defer recovered(&err)
	opened, err := gobackend.New(c.options)
	if err != nil {
		return nil, nil, fmt.Errorf("backend %q: %w", c.name, err)
	}
	return &Backend{opened, Info{Name: c.name, Version: goVersion(), Device: processor()}}, nil, nil
}

// goVersion tells the version of the module with the pure-Go backend.
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
