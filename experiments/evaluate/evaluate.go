package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/trained"
	"epochal/model"
	"epochal/model/backend"
	"epochal/model/backend/install"
)

// Options say on what and where a network is evaluated.
type Options struct {
	Data     string                 // dataset.MNIST, a folder or a file; "" for the data that the network was trained on
	Reading  dataset.Options        // how Data is read; without Data as the run did
	Backend  string                 // as in a Config
	Progress func(install.Progress) // of the installation of a plugin; may be nil
	Distort  bool                   // also evaluate on [Distortions] of the images
	Warn     func(text string)      // is told what the user should know and what does not stop the evaluation
}

// Run evaluates a network on a test set. On that of its run, on the same kind of
// backend, the loss and the accuracy are those of the run, bit for bit. An option that
// cannot be used is an [experiments.Problem].
func Run(ctx context.Context, n trained.Network, o Options) (Result, error) {
	if err := backend.Check(o.Backend); err != nil {
		return Result{}, experiments.Problem{Field: "backend", Reason: err}
	}
	name, options, err := dataName(n, o)
	if err != nil {
		return Result{}, err
	}
	if o.Distort && options.PermutePixels != 0 {
		return Result{}, experiments.Problem{Field: "distort", Found: "a network of permuted pixels",
			Expected: "one of images as they are, which a shift moves as it moves an image"}
	}
	loading, err := dataset.Open(name, options)
	if err != nil && o.Data == "" {
		return Result{}, record.Elsewhere("data", err)
	} else if err != nil {
		return Result{}, fmt.Errorf("data: %w", err)
	}
	defer loading.Close()
	for _, warning := range loading.Warnings {
		o.Warn(warning)
	}
	if err := fits(n, loading); err != nil {
		return Result{}, err
	}
	installer := install.Installer{Progress: o.Progress, Warn: o.Warn}
	device, warnings, err := backend.Open(ctx, o.Backend, backend.Options{Install: installer.PinnedCPU})
	for _, warning := range warnings {
		o.Warn(warning)
	}
	if err != nil {
		return Result{}, err
	}
	defer device.Close()
	data, err := loading.Wait()
	if err != nil {
		return Result{}, fmt.Errorf("data: %w", err)
	}
	if o.Data == "" && n.Described() && dataset.Digest(data.Files) != n.Description.DataSHA256 {
		o.Warn("data: these are not the images that the network was trained on")
	}
	evaluation, distorted, err := run(ctx, device, n, data.Test, o.Distort)
	if err == nil {
		err = n.CheckOutput(evaluation.Loss)
	}
	if err != nil {
		return Result{}, err
	}
	names := n.Description.ClassNames
	if len(names) == 0 && len(data.ClassNames) == len(evaluation.Confusion) {
		names = data.ClassNames // of weights that have none, such as PyTorch's
	}
	result := newResult(evaluation, names)
	result.File, result.Data, result.Backend, result.Distorted = n.File, name, device.Info.Name, distorted
	return result, nil
}

// run evaluates on an open device, also on distortions of the images if they are asked for.
func run(ctx context.Context, device *backend.Backend, n trained.Network, set dataset.Set, distort bool) (
	evaluation model.Evaluation, distorted []Distorted, err error,
) {
	// The loss is a mean over batches of batch means, so it depends on their size.
	batch := cmp.Or(n.Description.BatchSize, experiments.Defaults().BatchSize)
	network, err := model.CompileEvaluation(device, model.Program{Architecture: n.Description.Architecture, BatchSize: batch}, set.Len())
	if err != nil {
		return evaluation, nil, err
	}
	defer network.Close()
	if err := network.SetWeights(n.Weights); err != nil {
		return evaluation, nil, err
	}
	on := func(set dataset.Set) (model.Evaluation, error) {
		images, err := model.Upload(device, n.Description.Normalization, set)
		if err != nil {
			return model.Evaluation{}, err
		}
		defer images.Close()
		return network.Evaluate(ctx, images, 0)
	}
	if evaluation, err = on(set); err != nil || !distort {
		return evaluation, nil, err
	}
	for _, d := range Distortions() {
		sets := d.sets(set)
		for _, set := range sets {
			found, err := on(set)
			if err != nil {
				return evaluation, nil, err
			}
			d.Accuracy += found.Accuracy() / float64(len(sets))
		}
		distorted = append(distorted, d)
	}
	return evaluation, distorted, nil
}

// dataName is the data that was asked for, or else that of the network's run, and how it is read.
func dataName(n trained.Network, o Options) (name string, reading dataset.Options, err error) {
	o.Reading.PermutePixels = n.Description.PermutePixels
	_, noRecord := os.Stat(filepath.Join(n.Folder, record.ConfigFile)) // as in a folder with nothing but a copied file
	switch recorded := n.Description.Data; {
	case o.Data != "":
		return o.Data, o.Reading, nil
	case n.Folder != "" && noRecord == nil:
		run, err := record.Read(n.Folder)
		reading = run.Config.DataOptions()
		reading.Progress = o.Reading.Progress
		return run.Environment.Locate(run.Config.Data), reading, err
	case recorded == dataset.MNIST:
		o.Reading.TrainImages, o.Reading.Seed = n.Description.TrainImages, n.Description.Seed
		return recorded, o.Reading, nil
	case recorded != "":
		return "", reading, experiments.Problem{Field: "data", Found: "none",
			Expected: fmt.Sprintf("the folder of the dataset: the file only says that its name was %q", recorded)}
	default:
		return "", reading, experiments.Problem{Field: "data", Found: "none",
			Expected: "mnist, a folder or a file: the weights do not say what they were trained on"}
	}
}

// fits reports a dataset that is not made for the network. One that the file says
// nothing of takes images of any shape with the right number of pixels, unless it has convolutions.
func fits(n trained.Network, l *dataset.Loading) error {
	task := n.Description.Architecture.Task()
	same := task.Rows == l.Rows && task.Columns == l.Columns
	if _, flat := n.Description.Architecture.(model.FullyConnected); flat && !n.Described() {
		same = task.Inputs() == l.Rows*l.Columns
	}
	if !same {
		return fmt.Errorf("data: %s: found images of %dx%d pixels, expected %dx%d as the network of %s takes",
			l.Name, l.Rows, l.Columns, task.Rows, task.Columns, filepath.Base(n.File))
	}
	if l.Classes > task.Classes {
		return fmt.Errorf("data: %s: found %d classes, expected at most %d, those of the network of %s",
			l.Name, l.Classes, task.Classes, filepath.Base(n.File))
	}
	return nil
}
