package model

import (
	"fmt"
	"slices"

	"epochal/dataset"
	"epochal/model/backend"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
)

// Normalization maps a pixel byte to the network's input: (byte/255 - Mean) / Deviation.
type Normalization struct {
	Mean      float64 // on a 0 to 1 scale; default 0
	Deviation float64 // more than 0; 1 leaves the 0 to 1 scale as it is
}

// Affine is n as one multiplication and one addition, byte*scale + offset: the
// same as two divisions up to rounding, and far cheaper.
func (n Normalization) Affine() (scale, offset float32) {
	return float32(1 / (255 * n.Deviation)), float32(-n.Mean / n.Deviation)
}

// Unnormalized leaves pixels on the 0 to 1 scale of PyTorch's ToTensor.
func Unnormalized() Normalization { return Normalization{Mean: 0, Deviation: 1} }

// Images are all the sets of a dataset, resident on a device as bytes: one
// tensor [rows, inputs] and the labels [rows], with the sets one after another.
type Images struct {
	pixels, labels *tensors.Tensor
	bytes          []uint8 // of pixels, where device memory is host memory
	normalization  Normalization
	sections       []section
}

// section is where one set lies among the resident rows.
type section struct {
	first  int
	labels []uint8 // of its images, on the host
}

// residentRows is the number of rows that sets of the given sizes take on the
// device: their sum, and padding so that the last chunk of each can be read
// whole. inputs is the number of pixels of an image.
func residentRows(inputs int, counts []int) int {
	first, rows, chunk := 0, 0, evaluationChunk(inputs)
	for _, count := range counts {
		rows = max(rows, first+dataset.BatchCount(count, chunk)*chunk)
		first += count
	}
	return rows
}

// Upload copies sets to the device, in the order given. They must have images
// of one size. Programs that read them there read them normalized by n.
func Upload(b *backend.Backend, n Normalization, sets ...dataset.Set) (*Images, error) {
	images := &Images{normalization: n}
	var counts []int
	var labels []uint8
	for _, set := range sets {
		images.sections = append(images.sections, section{len(labels), set.Labels})
		counts, labels = append(counts, set.Len()), append(labels, set.Labels...)
	}
	inputs := sets[0].Rows * sets[0].Columns
	rows := residentRows(inputs, counts)
	labels = append(labels, make([]uint8, rows-len(labels))...)
	var err error
	if err = images.uploadPixels(b, rows, inputs, sets); err == nil {
		images.labels, err = toDevice(b, labels, rows)
	}
	if err != nil {
		images.Close()
		return nil, fmt.Errorf("copying the images to the device: %w", err)
	}
	return images, nil
}

// uploadPixels copies the pixels of all sets to one device tensor [rows, inputs].
func (i *Images) uploadPixels(b *backend.Backend, rows, inputs int, sets []dataset.Set) (err error) {
	fill := func(pixels []uint8) {
		first := 0
		for _, set := range sets {
			first += copy(pixels[first:], set.Pixels)
		}
		clear(pixels[first:])
	}
	if !b.HasSharedBuffers() {
		pixels := make([]uint8, rows*inputs)
		fill(pixels)
		i.pixels, err = toDevice(b, pixels, rows, inputs)
		return err
	}
	// Where device memory is host memory, the sets are copied once instead of twice.
	i.pixels, err = newTensor(func() (compute.Buffer, error) {
		buffer, flat, err := b.NewSharedBuffer(device, shapes.Make(dtypes.Uint8, rows, inputs))
		if err == nil {
			i.bytes = flat.([]uint8)
			fill(i.bytes)
		}
		return buffer, err
	})
	return err
}

// inputs adds to the inputs of a program what it needs to read images.
func (i *Images) inputs(inputs map[string]any) map[string]any {
	inputs["scale"], inputs["offset"] = i.normalization.Affine()
	inputs["pixels"], inputs["labels"] = i.pixels, i.labels
	return inputs
}

// Normalized is a view of the same images on the device that programs read
// normalized by n. Only the images themselves are to be closed.
func (i *Images) Normalized(n Normalization) *Images {
	view := *i
	view.normalization = n
	return &view
}

// Normalization is how programs read the images.
func (i *Images) Normalization() Normalization { return i.normalization }

// First is a view of the same images on the device in which set number section
// ends after its first count images, 1 to all of them. Only the images
// themselves are to be closed.
func (i *Images) First(section, count int) *Images {
	view := *i
	view.sections = slices.Clone(i.sections)
	view.sections[section].labels = view.sections[section].labels[:count]
	return &view
}

// Close frees the device memory.
func (i *Images) Close() {
	finalize(i.pixels, i.labels)
}
