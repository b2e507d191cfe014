package model

import (
	"errors"
	"fmt"

	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"epochal/dataset"
	"epochal/model/backend"

	"github.com/gomlx/compute"
)

// HostFed is a network whose training batches come from the host, copied to the
// device for every step, as in a training that keeps its data in ordinary
// memory. It exists to measure what that costs. Like [Network] it is not safe
// for concurrent use.
type HostFed struct {
	network        *Network
	pixels, labels []uint8 // of the batch under way: [batch, inputs] and [batch]
}

// CompileHostFed is [Compile] with such a training step instead of the training
// program. Evaluation is unchanged, on resident images.
func CompileHostFed(b *backend.Backend, p Program, counts ...int) (*HostFed, error) {
	network, err := compile(b, p, counts, func(*Network) (*program, error) { return buildHostFedStep(b.Backend, p) })
	if err != nil {
		return nil, err
	}
	return &HostFed{network, make([]uint8, p.BatchSize*p.inputs()), make([]uint8, p.BatchSize)}, nil
}

// buildHostFedStep compiles one step on a batch from the host, which takes the
// place of the resident data. It is the first and only batch of its epoch, so
// that the first count rows of it exist:
//
//	step, count, rate, scale, offset, pixels [batch, inputs], labels [batch], parameters...
//	-> loss, parameters...
func buildHostFedStep(backend compute.Backend, p Program) (*program, error) {
	return build(backend, "host-fed training step", func(s *state) []*Node {
		declareTraining(s)
		p.declareData(s, p.BatchSize)
		loss := p.step(s.values, s.values["pixels"], s.values["labels"])
		return append([]*Node{loss}, s.values.of(p.parameters())...)
	})
}

// Train runs one SGD step on the given rows of set, 1 to the program's batch
// size of them, normalized by n, and returns the loss before the update. It
// returns when the device is done.
func (h *HostFed) Train(set dataset.Set, n Normalization, rows []int32, learningRate float64) (float32, error) {
	b, inputs := h.network.backend, h.network.program.inputs()
	for i, row := range rows {
		copy(h.pixels[i*inputs:], set.Image(int(row)))
		h.labels[i] = set.Labels[row]
	}
	clear(h.pixels[len(rows)*inputs:])
	clear(h.labels[len(rows):])
	pixels, pixelsErr := toDevice(b, h.pixels, len(h.labels), inputs)
	labels, labelsErr := toDevice(b, h.labels, len(h.labels))
	batch := &Images{pixels: pixels, labels: labels, normalization: n}
	defer batch.Close()
	if err := errors.Join(pixelsErr, labelsErr); err != nil {
		return 0, fmt.Errorf("copying a batch to the device: %w", err)
	}
	losses, err := h.network.train(batch.inputs(map[string]any{
		"step": int32(0), "count": int32(len(rows)), "rate": float32(learningRate),
	}))
	if err != nil {
		return 0, fmt.Errorf("training step: %w", err)
	}
	return losses[0], nil
}

// Network is the same network for everything but training: weights and evaluation.
func (h *HostFed) Network() *Network { return h.network }

// Close frees the parameters and programs. The backend stays open.
func (h *HostFed) Close() { h.network.Close() }
