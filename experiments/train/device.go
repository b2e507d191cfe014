package train

import (
	"context"
	"fmt"
	"slices"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/install"
)

// Device is an open backend and what runs can take over from those before them: compiled
// networks and the resident images. It serves one run at a time, whose config names the
// backend, tf32 and deterministic that it was opened with.
type Device struct {
	backend  *backend.Backend
	networks map[string]*model.Network // compiled, by all that they depend on

	images        *model.Images // resident, nil before the first run
	imagesKey     string        // all that they depend on
	files         []dataset.File
	described     model.Description // what the data say for one
	normalization model.Normalization
}

// maxNetworks is how many compiled networks a device keeps. Compiling one again and
// again would not only take time: the C library does not give back all of its memory.
const maxNetworks = 16

// DeviceOptions say how a device is opened.
type DeviceOptions struct {
	TF32, Deterministic bool // as in experiments.Config

	Threads  int                            // of XLA on the processor, 0 for all
	Beside   bool                           // evaluate beside the next epoch's training where threads leave cores free
	GPU      int                            // on CUDA, its number
	Progress func(install.Progress)         // of an installation; may be nil
	WantCUDA func(ctx context.Context) bool // whether to install CUDA's plugin, asked where a GPU has none; nil for no
}

// OpenDevice opens the backend of that name, installing its plugin if need be.
// Warnings come with a device that works.
func OpenDevice(ctx context.Context, name string, o DeviceOptions) (*Device, []string, error) {
	var lacking []string // what the installation warned of
	installer := install.Installer{Progress: o.Progress, Warn: func(text string) { lacking = append(lacking, text) }}
	opened, warnings, err := backend.Open(ctx, name, backend.Options{
		TF32: o.TF32, Nondeterministic: !o.Deterministic, TryLoops: model.TryLoops,
		Threads: o.Threads, Beside: o.Beside, GPU: o.GPU, Install: installer.PinnedCPU,
		InstallCUDA: func(ctx context.Context) (file string, err error) {
			if o.WantCUDA == nil || !o.WantCUDA(ctx) {
				return "", context.Cause(ctx)
			}
			return installer.CUDA(ctx)
		},
	})
	warnings = append(slices.Compact(lacking), warnings...)
	if err != nil {
		return nil, warnings, err
	}
	return &Device{backend: opened, networks: map[string]*model.Network{}}, warnings, nil
}

// Info describes the backend.
func (d *Device) Info() backend.Info { return d.backend.Info }

// GPUs is how many GPUs there are of which this is one, 0 if it is none.
func (d *Device) GPUs() int { return d.backend.GPUs }

// Close frees everything on the device and closes it.
func (d *Device) Close() {
	d.forgetNetworks()
	if d.images != nil {
		d.images.Close()
	}
	d.backend.Close()
}

func (d *Device) forgetNetworks() {
	for _, network := range d.networks {
		network.Close()
	}
	clear(d.networks)
}

// compile returns a compiled network; the weights it has may be another run's.
func (d *Device) compile(p model.Program, counts []int) (*model.Network, error) {
	// The printed architecture says all but the size of an image.
	key := fmt.Sprint(p.Architecture, p.Architecture.Task(), p.BatchSize, p.SingleSteps, counts)
	if network, ok := d.networks[key]; ok {
		return network, nil
	}
	if len(d.networks) == maxNetworks {
		d.forgetNetworks()
	}
	network, err := model.Compile(d.backend, p, counts...)
	if err == nil {
		d.networks[key] = network
	}
	return network, err
}

// upload returns the sets of c's data on the device, split and normalized as c says, the
// files that they come from, and what a description of the network takes from them.
func (d *Device) upload(loading *dataset.Loading, c experiments.Config) (*model.Images, []dataset.File, model.Description, error) {
	var none model.Description
	key := fmt.Sprint("validation ", c.Validation)
	if c.Validation > 0 {
		key += fmt.Sprint(" seed ", c.Seed)
	}
	if c.DataOptions().Changes(c.Data) { // the files of a folder may have changed
		data, err := loading.Wait()
		if err != nil {
			return nil, nil, none, fmt.Errorf("data: %w", err)
		}
		key += fmt.Sprintf("%s%q", dataset.Digest(data.Files), data.ClassNames)
	}
	if d.images == nil || d.imagesKey != key {
		if d.images != nil {
			d.images.Close()
			d.images = nil
		}
		data, err := loading.Wait()
		if err != nil {
			return nil, nil, none, fmt.Errorf("data: %w", err)
		}
		d.described = model.Description{ClassNames: data.ClassNames, Whole: !data.Train.Centred()}
		data.Split(c.Validation, c.Seed)
		sets := []dataset.Set{trainSection: data.Train, testSection: data.Test}
		if c.Validation > 0 {
			sets = append(sets, data.Validation)
		}
		if d.images, err = model.Upload(d.backend, model.Unnormalized(), sets...); err != nil {
			return nil, nil, none, err
		}
		d.imagesKey, d.files = key, data.Files
		d.normalization = model.Normalization{Mean: data.Mean, Deviation: data.Deviation}
	}
	images := d.images
	if c.Normalize {
		images = images.Normalized(d.normalization)
	}
	described := d.described
	described.PermutePixels, described.TrainImages = c.PermutePixels, c.TrainImages
	described.Normalization = images.Normalization()
	return images, d.files, described, nil
}
