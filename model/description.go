package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"strconv"

	"epochal/dataset"
)

// Description is what it takes to use weights, and where they come from: the
// metadata of a model file.
type Description struct {
	Architecture  Architecture
	ClassNames    []string      // one per class; nil where numbers name them
	Normalization Normalization // of the images in training

	// Whole says that the images in training showed whole pictures; else, as in a file that
	// does not say it, what they show is cut out and centred as MNIST's digits are.
	Whole bool

	// PermutePixels drew the order of the pixels of the images in training, see
	// [dataset.Options]; 0: they were as they are.
	PermutePixels uint64

	// TrainImages is the number of training images that Seed drew from the data; 0: all.
	TrainImages int

	// Where the weights come from; empty for a file without metadata, which is seen by its Version.
	Data         string  // the name under which the data is known, such as dataset.MNIST, or the base name of its folder
	DataSHA256   string  // of the data, see [dataset.Digest]
	Seed         uint64  // of the initial weights and the orders
	BatchSize    int     // images per step of training
	Epochs       int     // that were trained
	TestAccuracy float64 // after them, 0 to 1
	Version      string  // of epochal
}

// ClassName is the name of a class, 0 to the number of classes minus 1.
func (d Description) ClassName(class int) string {
	if d.ClassNames == nil {
		return strconv.Itoa(class)
	}
	return d.ClassNames[class]
}

// ClassNamesSetting is the name of the class names in a file's metadata: a list as JSON,
// only where there are any.
const ClassNamesSetting = "class_names"

// The setting of a Whole description in a file's metadata; others have none.
const (
	picturesSetting = "pictures"
	wholePictures   = "whole"
)

// The names of PermutePixels and TrainImages in a file's metadata, where they are not 0.
const (
	permutedSetting    = "permute_pixels"
	trainImagesSetting = "train_images"
)

// The names of what every description has in a file; those of the architecture's
// settings join them.
const (
	architectureSetting = "architecture"

	// pixelScale is what a pixel byte is multiplied with before normalization.
	pixelScale = "0.00392156862745098" // 1/255
)

// Metadata is d as a model file has it, by name.
func (d Description) Metadata() map[string]string {
	task := d.Architecture.Task()
	metadata := map[string]string{
		"format":        "pt", // what libraries that read PyTorch's files look for
		"rows":          strconv.Itoa(task.Rows),
		"columns":       strconv.Itoa(task.Columns),
		"classes":       strconv.Itoa(task.Classes),
		"scale":         pixelScale,
		"mean":          fmt.Sprint(d.Normalization.Mean),
		"deviation":     fmt.Sprint(d.Normalization.Deviation),
		"data":          d.Data,
		"data_sha256":   d.DataSHA256,
		"seed":          strconv.FormatUint(d.Seed, 10),
		"batch_size":    strconv.Itoa(d.BatchSize),
		"epochs":        strconv.Itoa(d.Epochs),
		"test_accuracy": fmt.Sprint(d.TestAccuracy),
		"version":       d.Version,
	}
	if d.ClassNames != nil {
		names, _ := json.Marshal(d.ClassNames) // strings always can be
		metadata[ClassNamesSetting] = string(names)
	}
	if d.Whole {
		metadata[picturesSetting] = wholePictures
	}
	if d.PermutePixels != 0 {
		metadata[permutedSetting] = strconv.FormatUint(d.PermutePixels, 10)
	}
	if d.TrainImages != 0 {
		metadata[trainImagesSetting] = strconv.Itoa(d.TrainImages)
	}
	maps.Copy(metadata, d.Architecture.Settings())
	return metadata
}

// WriteModel writes weights as [WriteWeights] does, and d as metadata. The same
// weights and description give the same bytes.
func WriteModel(w io.Writer, d Description, weights Weights) error {
	metadata, err := json.Marshal(d.Metadata()) // sorted by name
	if err != nil {
		return err
	}
	file, err := encodeWeights(d.Architecture.Parameters(), weights, fmt.Sprintf("%q:%s,", metadataName, metadata))
	if err == nil {
		_, err = w.Write(file)
	}
	return err
}

// Hints are what the user says about a file of weights without metadata. They change
// nothing about a file with it.
type Hints struct {
	LayerSizes    []int          // widths of the hidden layers, which the tensors must have; nil: any
	Activation    Activation     // one of [Activations]; "": ReLU
	Normalization *Normalization // nil: none

	// Of an image; 0: those of a square, or else of one row; before convolutions, those of MNIST, or else of a square.
	Rows, Columns int
}

// ReadModel reads weights, and what they are of: from the metadata that
// [WriteModel] writes, or, in a file without it, from the names and shapes of the
// tensors, which are then those of a [FullyConnected] or a [Convolutional] network. It accepts what
// [ReadWeights] accepts. name is the file's, for errors; an error says which
// tensor or which part of the metadata is wrong, what was found and what was expected.
func ReadModel(r io.Reader, name string, h Hints) (d Description, weights Weights, err error) {
	defer naming(name, &err)
	tensors, metadata, err := readHeader(r)
	if err != nil {
		return d, nil, err
	}
	if d, err = describe(metadata, tensors, h); err != nil {
		return Description{}, nil, err
	}
	weights, err = readTensors(r, tensors, d.Architecture.Parameters())
	return d, weights, err
}

// describe is the description of a file with such a header.
func describe(metadata map[string]string, tensors map[string]tensorHeader, h Hints) (d Description, err error) {
	if metadata[architectureSetting] == "" {
		d.Normalization = Unnormalized()
		if h.Normalization != nil {
			d.Normalization = *h.Normalization
		}
		d.Architecture, err = guess(tensors, h)
	} else {
		d, err = parseDescription(metadata)
	}
	if err != nil {
		return d, err
	}
	task := d.Architecture.Task()
	if task.Classes < 2 || task.Classes > dataset.MaxClasses {
		return d, fmt.Errorf("found %d classes, expected 2 to %d", task.Classes, dataset.MaxClasses)
	}
	if task.Rows < 1 || task.Columns < 1 || task.Rows > dataset.MaxSide || task.Columns > dataset.MaxSide*dataset.MaxSide {
		return d, fmt.Errorf("found images of %d by %d pixels, expected 1 to %d each way", task.Rows, task.Columns, dataset.MaxSide)
	}
	return d, d.Architecture.Validate()
}

// parseDescription reads what Metadata wrote.
func parseDescription(metadata map[string]string) (Description, error) {
	f := &fields{metadata: metadata}
	d := Description{
		Normalization: Normalization{
			Mean:      f.number("mean", -math.MaxFloat32, math.MaxFloat32, "a number"),
			Deviation: f.number("deviation", math.SmallestNonzeroFloat32, math.MaxFloat32, "a number above 0"),
		},
		Data:         f.text("data"),
		DataSHA256:   dataset.CurrentDigest(f.text("data_sha256")),
		BatchSize:    f.integer("batch_size", 1, math.MaxInt32),
		Epochs:       f.integer("epochs", 0, math.MaxInt32),
		TestAccuracy: f.number("test_accuracy", 0, 1, "0 to 1"),
		Version:      f.text("version"),
	}
	var err error
	d.Seed, err = strconv.ParseUint(f.text("seed"), 10, 64)
	f.check(err == nil, "seed", "a whole number, 0 or more")
	f.check(f.text("scale") == pixelScale, "scale", pixelScale)
	task := Task{
		Rows:    f.integer("rows", 1, dataset.MaxSide),
		Columns: f.integer("columns", 1, dataset.MaxSide),
		Classes: f.integer("classes", 2, dataset.MaxClasses),
	}
	if metadata[ClassNamesSetting] != "" {
		f.json(ClassNamesSetting, &d.ClassNames, "a list of texts")
		f.check(len(d.ClassNames) == task.Classes, ClassNamesSetting, fmt.Sprintf("%d names", task.Classes))
	}
	if metadata[picturesSetting] != "" {
		d.Whole = true
		f.check(metadata[picturesSetting] == wholePictures, picturesSetting, wholePictures)
	}
	if metadata[permutedSetting] != "" {
		d.PermutePixels, err = strconv.ParseUint(metadata[permutedSetting], 10, 64)
		f.check(err == nil, permutedSetting, "a whole number, 0 or more")
	}
	if metadata[trainImagesSetting] != "" {
		d.TrainImages = f.integer(trainImagesSetting, 0, math.MaxInt32)
	}
	d.Architecture = readArchitecture(task, f)
	return d, f.err
}

// readArchitecture is the architecture with the settings among f. A new kind is a
// case here.
func readArchitecture(task Task, f *fields) Architecture {
	switch f.text(architectureSetting) {
	case fullyConnectedKind:
		return readFullyConnected(task, f)
	case convolutionalKind:
		return readConvolutional(task, f)
	default:
		f.check(false, architectureSetting, fullyConnectedKind+" or "+convolutionalKind)
		return nil
	}
}

// guess is the architecture that has tensors of such names and shapes.
func guess(tensors map[string]tensorHeader, h Hints) (Architecture, error) {
	if _, found := tensors[stageName(0)+"weight"]; found {
		return guessConvolutional(tensors, h)
	}
	return guessFullyConnected(tensors, h)
}

// fields reads metadata and keeps the first error.
type fields struct {
	metadata map[string]string
	err      error
}

// check notes what is wrong with the value of a name, unless ok.
func (f *fields) check(ok bool, name, expected string) {
	if !ok && f.err == nil {
		f.err = fmt.Errorf("metadata: %s: found %.100q, expected %s", name, f.metadata[name], expected)
	}
}

// text is the value of a name, which must be there.
func (f *fields) text(name string) string {
	value, ok := f.metadata[name]
	if !ok && f.err == nil {
		f.err = errors.New("metadata: " + name + ": not found")
	}
	return value
}

func (f *fields) integer(name string, least, most int) int {
	value, err := strconv.Atoi(f.text(name))
	f.check(err == nil && value >= least && value <= most, name, fmt.Sprintf("%d to %d", least, most))
	return value
}

func (f *fields) number(name string, least, most float64, expected string) float64 {
	value, err := strconv.ParseFloat(f.text(name), 64)
	f.check(err == nil && value >= least && value <= most, name, expected)
	return value
}

func (f *fields) json(name string, into any, expected string) {
	f.check(json.Unmarshal([]byte(f.text(name)), into) == nil, name, expected+" as JSON")
}
