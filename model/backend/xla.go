package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"epochal/model/backend/install"
	"epochal/model/backend/internal/advice"
	"epochal/model/backend/internal/quiet"

	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
)

// opening guards what opening a plugin touches in the process: XLA_FLAGS, the
// log, and go-xla's own tables.
var opening sync.Mutex

// openXLA opens a client of the plugin in file.
func (o Options) openXLA(ctx context.Context, c choice, file string) (b *Backend, warnings []string, err error) {
	defer recovered(&err)
	file, sha256, err := o.verified(ctx, c, file)
	if err != nil {
		return nil, nil, err
	}
	kind := kindOf(file)
	opening.Lock()
	defer opening.Unlock()
	config, err := goxlaName(file)
	if err != nil {
		return nil, nil, err
	}
	settings := pjrt.NamedValuesMap{}
	cores := Cores()
	device, gpus, threads := processor(cores), 0, cmp.Or(o.Threads, cores)
	switch kind {
	case "cpu":
		// The plugin makes 4 devices unless told otherwise, with a thread each: on 2 cores that costs 12%.
		settings["cpu_device_count"] = int64(1)
	case "cuda":
		d, err := checkCUDA(file, sha256)
		if err != nil {
			return nil, nil, err
		}
		var option string
		if option, device, gpus, err = o.pickGPU(c, d); err != nil {
			return nil, nil, err
		}
		config += option
		if !strings.Contains(","+c.options, ",tf32") {
			config += fmt.Sprintf(",tf32=%t", o.TF32)
		}
	}
	if c.options != "" {
		config += "," + c.options
	}

	if err := tryUserFlags(ctx, config); err != nil {
		return nil, nil, err
	}
	ours, loops, warning, err := flagsOf[sha256], "", "", nil
	if kind == "cuda" && sha256 == install.CUDASHA256() {
		ours, loops, warning, err = o.cudaFlags(ctx, config, device, file)
	}
	if err != nil {
		return nil, nil, err
	}
	logged := quiet.Collect()
	var opened, beside *xla.Backend
	var plugin *pjrt.Plugin
	flags, err := withFlags(ours, kind == "cuda", func() (err error) {
		defer recovered(&err)
		client := func(threads int) (*xla.Backend, error) {
			if kind == "cpu" {
				defer setThreads(threads)()
			}
			return xla.NewWithOptions(config, settings)
		}
		if opened, err = client(threads); err != nil {
			return err
		}
		if kind == "cpu" && o.Beside && threads < cores && opened.HasSharedBuffers() {
			if beside, err = client(cores - threads); err != nil {
				opened.Finalize()
				return err
			}
		}
		plugin, err = pjrt.GetPlugin(opened.PluginName())
		return err
	})
	warnings = slices.DeleteFunc(logged(), func(text string) bool {
		return strings.HasPrefix(text, "Can't find nvidia/ subdirectory") // checkLibraries knows better
	})
	if warning != "" {
		warnings = append(warnings, warning)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("plugin %s: %w", file, adviseLoading(err))
	}
	if kind == "cuda" {
		leftFlags, leftLoops = flags, loops
	}
	b = &Backend{Backend: opened, GPUs: gpus, Info: Info{
		Name:         c.name,
		Version:      pluginVersion(plugin),
		Device:       device,
		PluginFile:   file,
		PluginSHA256: sha256,
		TF32:         opened.DotGeneralUseTF32 && opened.IsCUDA(),
		XLAFlags:     flags,
		Loops:        loops,
	}}
	switch kind {
	case "cpu":
		b.Info.Threads = threads
		if beside != nil {
			b.Beside, b.Info.Beside = &Backend{Backend: beside}, cores-threads
		}
	case "cuda":
		b.Info.Nondeterministic = !isRepeatable(flags)
	case "":
		b.Info.Device = opened.DeviceDescription(0)
	}
	return b, warnings, nil
}

// verified returns the plugin's file with its SHA-256. A damaged pinned plugin is
// installed again where that is wanted; the file may then be a different one.
func (o Options) verified(ctx context.Context, c choice, file string) (verified, sha256 string, err error) {
	sha256, damage := install.Verify(file)
	if _, pinned := errors.AsType[*install.HashError](damage); !pinned || o.Install == nil || c.plugin != "cpu" {
		return file, sha256, damage
	}
	file, err = o.Install(ctx)
	if err != nil {
		return "", "", fmt.Errorf("%v; %w", damage, err)
	}
	sha256, err = install.Verify(file)
	return file, sha256, err
}

// kindOf returns "cpu" or "cuda" if a plugin's file name says that it is for that,
// and "" otherwise.
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

// availablePlugins returns the files of plugins by go-xla's names. Tests replace it.
var availablePlugins = pjrt.AvailablePlugins

// goxlaName returns what go-xla is to be given for the plugin in file: its
// path, because with a name go-xla loads and unloads every plugin that it
// finds, twice. It is the name only where go-xla would misread the path, because it
// guesses a plugin's kind from the whole path and cuts it at commas.
func goxlaName(file string) (string, error) {
	kind := kindOf(file)
	if pjrt.IsCUDAName(file) == (kind == "cuda") && isCPUName(file) == (kind == "cpu") && !strings.Contains(file, ",") {
		return file, nil
	}
	for name, found := range availablePlugins() {
		if found == file {
			return name, nil
		}
	}
	return "", advice.Errorf("move the plugin to another folder",
		"plugin %s: its path has a comma, or a word (cpu, cuda, nvidia) that makes go-xla take it for another kind", file)
}

// pluginVersion returns a plugin's interface version and its attributes, such as
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
