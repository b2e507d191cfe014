package backend

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"epochal/model/backend/internal/advice"

	"github.com/gomlx/compute"
)

// The names that [Open] knows besides GoMLX's own backend strings.
const (
	Auto    = "auto"     // the best backend that works
	XLACPU  = "xla:cpu"  // XLA on the processor
	XLACUDA = "xla:cuda" // XLA on an NVIDIA GPU
	Go      = "go"       // GoMLX in pure Go, on any machine
)

const expectedNames = "expected auto, xla:cpu, xla:cuda, go or a GoMLX backend string such as xla:cuda,tf32=true"

// meant maps likely mistakes to the name that was probably meant.
var meant = map[string]string{
	"cpu": XLACPU, "xla-cpu": XLACPU, "xla_cpu": XLACPU,
	"cuda": XLACUDA, "gpu": XLACUDA, "nvidia": XLACUDA, "xla-cuda": XLACUDA, "xla_cuda": XLACUDA, "xla:gpu": XLACUDA,
	"pure-go": Go, "simplego": Go,
}

// What the value of an option of go-xla's backend must be.
const (
	aText   = "text"
	aNumber = "a number"
	aSwitch = "true or false"
)

// xlaOptions are the options of go-xla's backend.
var xlaOptions = map[string]string{
	"allocator":           aText,
	"memory_fraction":     aNumber,
	"preallocate":         aSwitch,
	"shared_buffers":      aSwitch,
	"tf32":                aSwitch,
	"use_tfrt_gpu_client": aSwitch,
	"visible_devices":     aText,
}

// goOptions are the options of the pure-Go backend, which have no values.
var goOptions = map[string]string{"creation_order": "", "dependency_order": "", "ops_parallel": "", "ops_sequential": ""}

// choice is a backend's name taken apart.
type choice struct {
	name    string // as given
	pureGo  bool
	plugin  string // XLA: a plugin's name or absolute path, or "" for the first that is found
	options string // what follows the plugin, or the pure-Go backend's options
}

// Check returns an error when no backend can have this name, without opening
// anything. The error lists what is valid and, where a mistake is likely, carries
// a hint.
func Check(name string) error {
	_, err := parse(name)
	return err
}

// parse takes name apart. For auto, only the name is set.
func parse(name string) (choice, error) {
	c := choice{name: name}
	if name == Auto {
		return c, nil
	}
	if better, ok := meant[strings.ToLower(name)]; ok {
		return c, advice.Errorf("did you mean "+better+"?", "backend %q is unknown, %s", name, expectedNames)
	}
	family, rest, _ := strings.Cut(name, ":")
	if !slices.Contains(compute.List(), family) {
		return c, fmt.Errorf("backend %q is unknown, %s", name, expectedNames)
	}
	if family == Go {
		c.pureGo, c.options = true, rest
		return c, c.checkOptions()
	}
	c.plugin, c.options, _ = strings.Cut(rest, ",")
	if strings.ContainsAny(c.plugin, `/\`) && !filepath.IsAbs(c.plugin) {
		return c, fmt.Errorf("backend %q: plugin path %q is relative, expected an absolute path or a plugin's name", name, c.plugin)
	}
	return c, c.checkOptions()
}

// checkOptions returns an error when an option is unknown or has an impossible value.
func (c choice) checkOptions() error {
	all := xlaOptions
	if c.pureGo {
		all = goOptions
	}
	expected := "one of " + strings.Join(slices.Sorted(maps.Keys(all)), ", ")
	for option := range strings.SplitSeq(c.options, ",") {
		key, value, _ := strings.Cut(option, "=")
		if key == "" {
			continue
		}
		var err error
		wanted, known := all[key]
		switch {
		case c.pureGo && key == "parallelism":
			// GoMLX prints a line on standard output for this one, among the results.
			return advice.Errorf("set GOMAXPROCS to limit the threads", "backend %q: option %q is not supported, expected %s",
				c.name, key, expected)
		case !known:
			return fmt.Errorf("backend %q: option %q is unknown, expected %s", c.name, key, expected)
		case wanted == aSwitch && value != "":
			_, err = strconv.ParseBool(value)
		case wanted == aNumber:
			_, err = strconv.ParseFloat(value, 32)
		}
		if err != nil {
			return fmt.Errorf("backend %q: option %s is %q, expected %s", c.name, key, value, wanted)
		}
	}
	return nil
}
