package model

import (
	"errors"
	"fmt"

	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"epochal/dataset"
	"epochal/model/backend"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// HostFed is a network whose training batches come from the host, copied to the
// device for every step: what a training does that keeps its data in ordinary
// memory. It exists to measure what that costs. Like [Network] it is not safe
// for concurrent use.
type HostFed struct {
	network        *Network
	pixels, labels []uint8 // of the batch under way: [batch, inputs] and [batch]
}

// CompileHostFed is [Compile] with such a training step instead of the training
// program. Evaluation is as ever, on resident images.
func CompileHostFed(b *backend.Backend, p Program, sizes Sizes) (*HostFed, error) {
	network, err := compile(b, p, sizes, func(int) (*Graph, error) { return buildHostFedStep(b.Backend, p) })
	if err != nil {
		return nil, err
	}
	return &HostFed{
		network: network,
		pixels:  make([]uint8, p.BatchSize*p.Topology.Inputs),
		labels:  make([]uint8, p.BatchSize),
	}, nil
}

// buildHostFedStep compiles one step on a batch from the host, of which the
// first count rows exist:
//
//	count, rate, scale, offset, pixels [batch, inputs], labels [batch], parameters...
//	-> loss, parameters...
func buildHostFedStep(backend compute.Backend, p Program) (*Graph, error) {
	return build(backend, "host-fed training step", func(g *Graph) []*Node {
		count := Parameter(g, "count", shapes.Make(dtypes.Int32))
		rate := Parameter(g, "rate", shapes.Make(dtypes.Float32))
		scale := Parameter(g, "scale", shapes.Make(dtypes.Float32))
		offset := Parameter(g, "offset", shapes.Make(dtypes.Float32))
		pixels := Parameter(g, "pixels", shapes.Make(dtypes.Uint8, p.BatchSize, p.Topology.Inputs))
		labels := Parameter(g, "labels", shapes.Make(dtypes.Uint8, p.BatchSize))
		weights := batchWeights(Const(g, int32(0)), count, p.BatchSize)
		loss, updated := sgdStepOn(pixels, labels, weights, rate, scale, offset, parameterNodes(g, "main", p.Topology), p.Topology)
		return append([]*Node{loss}, updated...)
	})
}

// Train runs one SGD step on the given rows of set, 1 to the program's batch
// size of them, normalized by n, and returns the loss before the update. It
// returns when the device is done.
func (h *HostFed) Train(set dataset.Set, n Normalization, rows []int32, learningRate float64) (float32, error) {
	p := h.network.program
	if err := n.Validate(); err != nil {
		return 0, err
	}
	if size := set.Rows * set.Columns; size != p.Topology.Inputs {
		return 0, fmt.Errorf("training step: found images of %d pixels, expected %d", size, p.Topology.Inputs)
	}
	if len(rows) < 1 || len(rows) > p.BatchSize {
		return 0, fmt.Errorf("training step: found %d rows, expected 1 to %d", len(rows), p.BatchSize)
	}
	for i, row := range rows {
		if row < 0 || int(row) >= set.Len() {
			return 0, fmt.Errorf("training step: found image %d, expected 0 to %d", row, set.Len()-1)
		}
		copy(h.pixels[i*p.Topology.Inputs:], set.Image(int(row)))
		h.labels[i] = set.Labels[row]
	}
	clear(h.pixels[len(rows)*p.Topology.Inputs:])
	clear(h.labels[len(rows):])
	pixels, pixelsErr := toDevice(h.network.backend, h.pixels, p.BatchSize, p.Topology.Inputs)
	labels, labelsErr := toDevice(h.network.backend, h.labels, p.BatchSize)
	defer finalize(pixels, labels)
	if err := errors.Join(pixelsErr, labelsErr); err != nil {
		return 0, fmt.Errorf("copying a batch to the device: %w", err)
	}
	scale, offset := n.affine()
	losses, err := h.network.trainCall(int32(len(rows)), float32(learningRate), scale, offset, pixels, labels)
	if err != nil {
		return 0, fmt.Errorf("training step: %w", err)
	}
	return losses[0], nil
}

// Network is the same network for everything but training: weights and evaluation.
func (h *HostFed) Network() *Network { return h.network }

// Close frees the parameters and programs. The backend stays open.
func (h *HostFed) Close() { h.network.Close() }
