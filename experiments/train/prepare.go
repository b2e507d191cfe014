package train

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime/debug"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/install"
)

// The sets of a dataset as sections of the resident images.
const (
	trainSection = iota
	testSection
	validationSection // only with a validation split
)

// prepare makes everything ready for the first epoch. The pixels are decoded in the
// background while the programs compile.
func (r *run) prepare(ctx context.Context) error {
	weights, err := r.load()
	if err != nil {
		return err
	}
	weights, err = r.record.Restore(r.architecture.Parameters(), weights, dataset.BatchCount(r.trainCount, r.config.BatchSize))
	if err != nil {
		return err
	}
	r.count(r.record.Epochs)
	if err := r.open(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.compile(); err != nil {
		return err
	}
	if err := r.network.SetWeights(weights); err != nil {
		return err
	}
	return ctx.Err()
}

// load reads the headers and labels of the data, and the initial weights, so that
// what is wrong with them is reported before a device opens. What is wrong with the
// pixels, upload reports.
func (r *run) load() (weights model.Weights, err error) {
	c := r.config
	reading := c.DataOptions()
	reading.Progress = func(done, total int) {
		progress := experiments.DataProgress{Done: done, Total: total}
		if r.reading == nil {
			r.observe(progress)
			return
		}
		select { // the observer is told by compile, when it waits
		case r.reading <- progress:
		default:
		}
	}
	if r.loading, err = dataset.Open(r.record.Locate(c.Data), reading); err != nil {
		return nil, r.record.Missing("data", err)
	}
	if r.record.Moved() {
		data, err := r.loading.Wait() // what else is wrong with other data says less
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		if err := r.record.CheckData(data.Files); err != nil {
			return nil, err
		}
	}
	for _, warning := range r.loading.Warnings {
		r.observe(experiments.Warning{Text: warning})
	}
	r.trainCount, r.testCount = r.loading.TrainCount-c.Validation, r.loading.TestCount
	if r.trainCount < 1 {
		return nil, experiments.Problem{Field: "validation", Found: fmt.Sprint(c.Validation),
			Expected: fmt.Sprintf("fewer than the %d training images", r.loading.TrainCount)}
	}
	if r.architecture, err = c.Architecture(r.loading.Rows, r.loading.Columns, r.loading.Classes); err != nil {
		return nil, err
	}
	if c.Init == "" {
		return model.Initialize(r.architecture.Parameters(), c.Seed), nil
	}
	file, err := regular.Open(r.record.Locate(c.Init))
	if err != nil {
		return nil, r.record.Missing("init", err)
	}
	defer file.Close()
	hash := sha256.New()
	if weights, err = model.ReadWeights(io.TeeReader(file, hash), c.Init, r.architecture.Parameters()); err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	r.initSHA256 = fmt.Sprintf("%x", hash.Sum(nil))
	return weights, nil
}

// open takes the device of the options, or opens one for this run.
func (r *run) open(ctx context.Context) error {
	if r.device = r.options.Device; r.device == nil {
		start := r.options.Now()
		device, warnings, err := OpenDevice(ctx, r.config.Backend, DeviceOptions{
			TF32: r.config.TF32, Deterministic: r.config.Deterministic,
			Threads:  cmp.Or(r.options.Threads, model.Threads(r.architecture, r.config.BatchSize, backend.Cores())),
			Beside:   r.options.Threads == 0,
			GPU:      r.options.GPU,
			Progress: func(p install.Progress) { r.observe(experiments.PluginProgress{Progress: p}) },
			WantCUDA: r.options.WantCUDA,
		})
		for _, warning := range warnings {
			r.observe(experiments.Warning{Text: warning})
		}
		if err != nil {
			return err
		}
		r.device = device
		r.result.OpenSeconds = r.options.Now().Sub(start).Seconds()
	}
	r.result.Backend = r.device.Info()
	if r.config.TF32 && !r.result.Backend.TF32 {
		r.observe(experiments.Warning{Text: "tf32 has no effect on " + r.result.Backend.Name})
	}
	if r.config.Deterministic && r.result.Backend.Nondeterministic {
		r.observe(experiments.Warning{Text: "deterministic has no effect with this CUDA plugin or these XLA_FLAGS: two runs may differ"})
	}
	if r.options.GPU > 0 && r.device.GPUs() == 0 {
		r.observe(experiments.Warning{Text: "device has no effect on " + r.result.Backend.Name})
	}
	return nil
}

// compile compiles the programs, and meanwhile decodes the pixels and copies them to
// the device.
func (r *run) compile() (err error) {
	c := r.config
	start := r.options.Now()
	uploaded := make(chan error, 1)
	r.reading = make(chan experiments.DataProgress, 1)
	go func() { uploaded <- r.upload() }()
	counts := []int{trainSection: r.trainCount, testSection: r.testCount, validationSection: c.Validation}
	program := model.Program{Architecture: r.architecture, BatchSize: c.BatchSize, SingleSteps: c.StepsPerCall == 1}
	r.network, err = r.device.compile(program, counts)
	compiled := r.options.Now()
	uploadErr := r.waitFor(uploaded)
	if err != nil {
		return err
	}
	r.result.CompileSeconds = compiled.Sub(start).Seconds()
	r.result.WaitSeconds = r.options.Now().Sub(compiled).Seconds()
	if warning := dataset.Blank(c.Data, r.device.normalization.Mean, r.device.normalization.Deviation); uploadErr == nil && warning != "" {
		r.observe(experiments.Warning{Text: warning})
	}
	return uploadErr
}

// waitFor waits until the data are uploaded, and meanwhile tells how far they are read.
func (r *run) waitFor(uploaded <-chan error) error {
	for {
		select {
		case err := <-uploaded:
			return err
		case progress := <-r.reading:
			r.observe(progress)
		}
	}
}

// upload has the data on the device, and gives the memory back that the pixels took on
// the host, 47 MB for MNIST, before the programs need more.
func (r *run) upload() (err error) {
	loading := r.loading
	r.loading = nil
	r.images, r.files, r.described, err = r.device.upload(loading, r.config)
	loading.Close() // the last use of it, so that nothing holds the pixels any more
	debug.FreeOSMemory()
	return err
}
