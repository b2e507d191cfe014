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
	backend *backend.Backend
	name    string // that it was asked for by
	tf32    bool

	networks map[networkKey]*model.Network
	key      imagesKey // of what is resident
	resident residentImages
}

// maxNetworks is how many compiled networks a device keeps.
const maxNetworks = 16

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
	single   bool   // steps
	counts   string // of images, as printed
}

// imagesKey is what the resident images depend on.
type imagesKey struct {
	files      string // their names and hashes
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
	return &Device{backend: opened, name: name, tf32: o.TF32, networks: map[networkKey]*model.Network{}}, warnings, nil
}

// serves reports a config that asks for another device.
func (d *Device) serves(c Config) error {
	if c.Backend != d.name || c.TF32 != d.tf32 {
		return Problem{Field: "backend", Found: fmt.Sprintf("%s with tf32 %t", c.Backend, c.TF32),
			Expected: fmt.Sprintf("%s with tf32 %t, as the device was opened", d.name, d.tf32)}
	}
	return nil
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
	if d.resident.images != nil {
		d.resident.images.Close()
	}
	d.key, d.resident = imagesKey{}, residentImages{}
}

// images returns data's sets on the device, split and normalized as c says.
func (d *Device) images(data *dataset.Dataset, c Config) (*model.Images, error) {
	key := imagesKey{files: fmt.Sprint(data.Files), validation: c.Validation}
	if c.Validation > 0 {
		key.seed = c.Seed
	}
	if d.resident.images == nil || d.key != key {
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
		d.key = key
		d.resident = residentImages{images, model.Normalization{Mean: data.Mean, Deviation: data.Deviation}}
	}
	if c.Normalize {
		return d.resident.images.Normalized(d.resident.normalization), nil
	}
	return d.resident.images, nil
}
