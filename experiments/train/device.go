package train

import (
	"context"
	"fmt"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/install"
)

// Device is an open backend and what one run after another can share on it:
// compiled networks and resident images. It serves one run at a time, whose config
// names the backend and the tf32 that it was opened with.
type Device struct {
	backend  *backend.Backend
	networks map[networkKey]*model.Network

	images        *model.Images // resident, nil before the first run
	key           imagesKey     // of what they are
	normalization model.Normalization
}

// maxNetworks is how many compiled networks a device keeps.
const maxNetworks = 16

// DeviceOptions say how a device is opened.
type DeviceOptions struct {
	TF32     bool
	Threads  int                    // of XLA on the processor, 0 for all
	Progress func(install.Progress) // of an installation; may be nil
}

// networkKey is what a compiled network depends on.
type networkKey struct {
	architecture string // as printed, which says all of it
	batch        int
	single       bool   // steps
	counts       string // of the images in each set
}

// imagesKey is what the resident images depend on.
type imagesKey struct {
	files      string // their names and hashes
	validation int
	seed       uint64 // that decides the validation split, 0 without one
}

// OpenDevice opens the backend of that name, installing its plugin if need be.
// Warnings come with a device that works.
func OpenDevice(ctx context.Context, name string, o DeviceOptions) (*Device, []string, error) {
	opened, warnings, err := backend.Open(ctx, name, backend.Options{
		TF32: o.TF32, Threads: o.Threads, Install: install.Installer{Progress: o.Progress}.PinnedCPU,
	})
	if err != nil {
		return nil, warnings, err
	}
	return &Device{backend: opened, networks: map[networkKey]*model.Network{}}, warnings, nil
}

// Info describes the backend.
func (d *Device) Info() backend.Info { return d.backend.Info }

// Close frees everything on the device and closes it.
func (d *Device) Close() {
	for _, network := range d.networks {
		network.Close()
	}
	d.evict()
	d.backend.Close()
}

// network returns a compiled network; the weights it has are another run's.
func (d *Device) network(p model.Program, counts []int) (*model.Network, error) {
	key := networkKey{p.Architecture.String(), p.BatchSize, p.SingleSteps, fmt.Sprint(counts)}
	if network, ok := d.networks[key]; ok {
		return network, nil
	}
	if len(d.networks) == maxNetworks {
		for key, network := range d.networks {
			network.Close()
			delete(d.networks, key)
		}
	}
	network, err := model.Compile(d.backend, p, counts...)
	if err == nil {
		d.networks[key] = network
	}
	return network, err
}

// evict frees the resident images.
func (d *Device) evict() {
	if d.images != nil {
		d.images.Close()
	}
	d.images = nil
}

// upload returns data's sets on the device, split and normalized as c says.
func (d *Device) upload(data *dataset.Dataset, c experiments.Config) (*model.Images, error) {
	key := imagesKey{files: fmt.Sprint(data.Files), validation: c.Validation}
	if c.Validation > 0 {
		key.seed = c.Seed
	}
	if d.images == nil || d.key != key {
		d.evict()
		data.Split(c.Validation, c.Seed)
		sets := []dataset.Set{trainSection: data.Train, testSection: data.Test}
		if c.Validation > 0 {
			sets = append(sets, data.Validation)
		}
		images, err := model.Upload(d.backend, model.Unnormalized(), sets...)
		if err != nil {
			return nil, err
		}
		d.images, d.key = images, key
		d.normalization = model.Normalization{Mean: data.Mean, Deviation: data.Deviation}
	}
	if c.Normalize {
		return d.images.Normalized(d.normalization), nil
	}
	return d.images, nil
}
