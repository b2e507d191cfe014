package model

import (
	"fmt"
	"math"
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

// affine is n as one multiplication and one addition, byte*scale + offset: the
// same as two divisions up to rounding, and far cheaper.
func (n Normalization) affine() (scale, offset float32) {
	return float32(1 / (255 * n.Deviation)), float32(-n.Mean / n.Deviation)
}

// Validate reports numbers that cannot normalize anything.
func (n Normalization) Validate() error {
	if scale, offset := n.affine(); n.Deviation <= 0 || !finite(scale) || !finite(offset) {
		return fmt.Errorf("normalization: found mean %v and deviation %v, expected finite numbers and a deviation above 0", n.Mean, n.Deviation)
	}
	return nil
}

func finite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }

// Unnormalized leaves pixels on the 0 to 1 scale of PyTorch's ToTensor.
func Unnormalized() Normalization { return Normalization{Mean: 0, Deviation: 1} }

// Images are all the sets of a dataset, resident on a device as bytes: one
// tensor [rows, inputs] and the labels [rows], with the sets one after another.
type Images struct {
	pixels, labels *tensors.Tensor
	scale, offset  float32 // from byte to input, see Normalization
	rows           int
	sections       []section
	sets           []dataset.Set
}

// section is where one set lies among the resident rows.
type section struct{ first, count int }

// ResidentRows is the number of rows that sets of the given sizes take on the
// device: their sum, and padding so that the last chunk of each can be read
// whole. inputs is the number of pixels of an image.
func ResidentRows(inputs int, counts ...int) int {
	first, rows, chunk := 0, 0, evaluationChunk(inputs)
	for _, count := range counts {
		rows = max(rows, first+ceilDivide(count, chunk)*chunk)
		first += count
	}
	return rows
}

// Upload copies sets to the device, in the order given. They must have images
// of one size. Whoever reads them there reads them normalized by n.
func Upload(b *backend.Backend, n Normalization, sets ...dataset.Set) (*Images, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	counts := make([]int, len(sets))
	inputs := 0
	for i, set := range sets {
		if len(set.Pixels) != set.Len()*set.Rows*set.Columns {
			return nil, fmt.Errorf("set %d: found %d pixels, expected %d images of %dx%d", i, len(set.Pixels), set.Len(), set.Rows, set.Columns)
		}
		counts[i] = set.Len()
		size := set.Rows * set.Columns
		if i > 0 && size != inputs {
			return nil, fmt.Errorf("set %d: found images of %d pixels, expected %d as in the first set", i, size, inputs)
		}
		inputs = size
	}
	images := &Images{rows: ResidentRows(inputs, counts...), sets: sets}
	images.scale, images.offset = n.affine()
	labels := make([]uint8, images.rows)
	first := 0
	for _, set := range sets {
		copy(labels[first:], set.Labels)
		images.sections = append(images.sections, section{first: first, count: set.Len()})
		first += set.Len()
	}
	var err error
	if images.pixels, err = uploadPixels(b, images.rows, inputs, sets); err == nil {
		images.labels, err = toDevice(b, labels, images.rows)
	}
	if err != nil {
		images.Close()
		return nil, fmt.Errorf("copying the images to the device: %w", err)
	}
	return images, nil
}

// uploadPixels copies the pixels of all sets to one device tensor [rows, inputs].
func uploadPixels(b *backend.Backend, rows, inputs int, sets []dataset.Set) (*tensors.Tensor, error) {
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
		return toDevice(b, pixels, rows, inputs)
	}
	// Where device memory is host memory, the sets are copied once instead of twice.
	return newTensor(func() (compute.Buffer, error) {
		buffer, flat, err := b.NewSharedBuffer(device, shapes.Make(dtypes.Uint8, rows, inputs))
		if err == nil {
			fill(flat.([]uint8))
		}
		return buffer, err
	})
}

// Normalized is a view of the same images on the device that whoever reads it
// reads normalized by n. Only the images themselves are to be closed.
func (i *Images) Normalized(n Normalization) (*Images, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	view := *i
	view.scale, view.offset = n.affine()
	return &view, nil
}

// First is a view of the same images on the device in which set number section
// ends after its first count images, 1 to all of them. Only the images
// themselves are to be closed.
func (i *Images) First(section, count int) (*Images, error) {
	if section < 0 || section >= len(i.sections) {
		return nil, fmt.Errorf("set %d: found %d sets", section, len(i.sections))
	}
	if most := i.sections[section].count; count < 1 || count > most {
		return nil, fmt.Errorf("set %d: found %d images wanted, expected 1 to %d", section, count, most)
	}
	view := *i
	view.sections, view.sets = slices.Clone(i.sections), slices.Clone(i.sets)
	view.sections[section].count = count
	set := &view.sets[section]
	set.Pixels, set.Labels = set.Pixels[:count*set.Rows*set.Columns], set.Labels[:count]
	return &view, nil
}

// Close frees the device memory.
func (i *Images) Close() {
	finalize(i.pixels, i.labels)
}
