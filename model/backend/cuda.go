package backend

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"epochal/model/backend/install"
	"epochal/model/backend/internal/advice"
	"epochal/model/backend/internal/driver"
)

// unready is why CUDA cannot be used on this machine.
type unready struct {
	state string // for List
	error        // for Open
}

func (u *unready) Unwrap() error { return u.error }

// nvidia asks NVIDIA's driver. Tests replace it.
var nvidia = driver.Ask

// askDriver returns what the driver says about this machine's GPUs.
func askDriver() (driver.Driver, error) {
	d, err := nvidia()
	switch {
	case errors.Is(err, driver.ErrNoGPU):
		return d, &unready{StateNoDevice, err}
	case err != nil:
		return d, &unready{StateNoDriver, err}
	}
	return d, nil
}

// checkDriver returns an error if the driver is older than the pinned plugin needs.
func checkDriver(d driver.Driver) error {
	if d.CUDA >= install.CUDANeeded {
		return nil
	}
	return &unready{StateOldDriver, advice.Errorf("update NVIDIA's driver to "+install.DriverNeeded+" or newer",
		"the driver is too old: found driver %s for CUDA %s, expected driver %s or newer, for CUDA %s",
		cmp.Or(d.Version, "of unknown version"), d.CUDA, install.DriverNeeded, driver.CUDA(install.CUDANeeded))}
}

// cudaPlugin returns the file of the CUDA plugin, after installing it if that is
// wanted.
func (o Options) cudaPlugin(ctx context.Context) (file string, err error) {
	d, err := askDriver()
	if err != nil {
		return "", err
	}
	if file, found := install.Find("cuda"); found {
		return file, nil
	}
	if err := checkDriver(d); err != nil {
		return "", err
	}
	if o.InstallCUDA != nil {
		if file, err = o.InstallCUDA(ctx); file != "" || err != nil {
			return file, err
		}
	}
	return "", &unready{StateMissing, noPlugin("cuda")}
}

// checkCUDA returns an error if a CUDA plugin cannot work here, before it is loaded:
// without a driver it would print on the terminal, and say less.
func checkCUDA(file, sha256 string) (driver.Driver, error) {
	d, err := askDriver()
	if err == nil && sha256 == install.CUDASHA256() {
		err = checkDriver(d) // what other plugins need is not known
	}
	return d, cmp.Or(err, checkLibraries(file))
}

// checkLibraries returns an error if none of the folders exist in which a CUDA plugin
// looks for NVIDIA's libraries, and the system has none either.
func checkLibraries(file string) error {
	plugin, err := elf.Open(file)
	if err != nil {
		return err
	}
	defer plugin.Close()
	var folders []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		paths, _ := plugin.DynString(tag)
		for _, path := range paths {
			folders = append(folders, strings.Split(strings.ReplaceAll(path, "$ORIGIN", filepath.Dir(file)), ":")...)
		}
	}
	exists := func(folder string) bool {
		_, err := os.Stat(folder)
		return err == nil
	}
	if len(folders) == 0 || slices.ContainsFunc(folders, exists) || driver.HasCUBLAS() {
		return nil
	}
	return &unready{StateNoLibraries, advice.Errorf(advice.InstallCUDA,
		"plugin %s: NVIDIA's libraries are missing, expected them in %s", file, filepath.Clean(folders[0]))}
}

// gpuError reports a number for which there is no GPU.
type gpuError struct{ error }

// pickGPU returns the client's option for one GPU, "" where the backend string has its
// own, the GPU's description, and how many there are to pick from.
func (o Options) pickGPU(c choice, d driver.Driver) (option, description string, gpus int, err error) {
	gpu, gpus := o.GPU, len(d.GPUs)
	if _, own, found := strings.Cut(","+c.options, ",visible_devices="); found && o.GPU > 0 {
		return "", "", 0, &gpuError{fmt.Errorf("GPU: found number %d beside the option visible_devices, expected one of them", gpu)}
	} else if found {
		own, _, _ = strings.Cut(own, ",")
		first, _, _ := strings.Cut(own, ";")
		if gpu, err = strconv.Atoi(first); err != nil {
			return "", "", 0, fmt.Errorf("option visible_devices: found %q, expected numbers of GPUs such as 0 or 0;1", own)
		}
		gpus = 1
	} else {
		option = fmt.Sprintf(",visible_devices=%d", gpu)
	}
	if gpu < 0 || gpu >= len(d.GPUs) {
		return "", "", 0, &gpuError{fmt.Errorf("GPU: found number %d, expected 0 to %d", gpu, len(d.GPUs)-1)}
	}
	return option, d.Describe(gpu), gpus, nil
}
