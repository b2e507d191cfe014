package experiments

import (
	"context"
	"fmt"

	"epochal/dataset"
	"epochal/model"
	"epochal/model/backend"
)

// Device is an open backend and what one run after another can share on it:
// compiled networks and resident images. It serves one run at a time.
type Device struct {
	backend  *backend.Backend
	networks map[networkKey]*model.Network
	resident map[imagesKey]residentImages
}

// DeviceOptions say how a device is opened.
type DeviceOptions struct {
	TF32     bool
	Threads  int // of XLA on the processor, 0 for all
	Plugins  backend.Plugins
	Progress func(backend.Progress) // of an installation; may be nil
}

// networkKey is what a compiled network depends on.
type networkKey struct {
	topology string // as printed, which says all of it
	batch    int
	sizes    model.Sizes
}

// imagesKey is what the resident images depend on.
type imagesKey struct {
	data       string
	validation int
	seed       uint64 // that decides the validation split, 0 without one
}

// residentImages are images on the device and what normalizes them.
type residentImages struct {
	images        *model.Images
	normalization model.Normalization
}

// OpenDevice opens the backend of that name, installing its plugin if need be.
// Warnings come with a device that works.
func OpenDevice(ctx context.Context, name string, o DeviceOptions) (*Device, []string, error) {
	plugins := o.Plugins
	if o.Progress != nil {
		plugins.Progress = o.Progress
	}
	opened, warnings, err := backend.Open(ctx, name, backend.Options{
		TF32: o.TF32, Threads: o.Threads, Plugins: plugins, AutoInstall: true,
	})
	if err != nil {
		return nil, warnings, err
	}
	return &Device{backend: opened, networks: map[networkKey]*model.Network{}, resident: map[imagesKey]residentImages{}}, warnings, nil
}

// Info describes the backend.
func (d *Device) Info() backend.Info { return d.backend.Info }

// Close frees everything on the device and closes it.
func (d *Device) Close() {
	for _, network := range d.networks {
		network.Close()
	}
	for _, resident := range d.resident {
		resident.images.Close()
	}
	d.backend.Close()
}

// network returns a compiled network; the weights it has are another run's.
func (d *Device) network(p model.Program, sizes model.Sizes) (*model.Network, error) {
	key := networkKey{p.Topology.String(), p.BatchSize, sizes}
	if network, ok := d.networks[key]; ok {
		return network, nil
	}
	network, err := model.Compile(d.backend, p, sizes)
	if err == nil {
		d.networks[key] = network
	}
	return network, err
}

// images returns data's sets on the device, split and normalized as c says.
func (d *Device) images(data *dataset.Dataset, c Config) (*model.Images, error) {
	key := imagesKey{data: c.Data, validation: c.Validation}
	if c.Validation > 0 {
		key.seed = c.Seed
	}
	resident, ok := d.resident[key]
	if !ok {
		if err := data.Split(c.Validation, c.Seed); err != nil {
			return nil, fmt.Errorf("validation: %w", err)
		}
		sets := []dataset.Set{trainSection: data.Train, testSection: data.Test}
		if c.Validation > 0 {
			sets = append(sets, data.Validation)
		}
		var err error
		resident.normalization = model.Normalization{Mean: data.Mean, Deviation: data.Deviation}
		if resident.images, err = model.Upload(d.backend, model.Unnormalized, sets...); err != nil {
			return nil, err
		}
		d.resident[key] = resident
	}
	if c.Normalize {
		return resident.images.Normalized(resident.normalization)
	}
	return resident.images, nil
}
