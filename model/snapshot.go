package model

import (
	"context"

	"github.com/gomlx/gomlx/core/tensors"
)

// Snapshot is a network as it was at one moment, on the second client of its backend,
// where it is evaluated while the network trains on. Two calls of one client would wait
// for each other.
type Snapshot struct {
	Weights    Weights
	network    *Network
	parameters []*tensors.Tensor // of the second client
}

// Snapshot copies the parameters as they are now to the second client of the network's
// backend, or returns nil where the backend has none.
func (n *Network) Snapshot() (*Snapshot, error) {
	if n.backend.Beside == nil {
		return nil, nil
	}
	weights, err := n.Weights()
	if err != nil {
		return nil, err
	}
	parameters, err := parametersToDevice(n.backend.Beside, n.program.parameters(), weights)
	if err != nil {
		return nil, err
	}
	return &Snapshot{weights, n, parameters}, nil
}

// Evaluate is [Network.Evaluate] with the parameters of the snapshot, with the same bits.
// The network may train meanwhile, but not be closed.
func (s *Snapshot) Evaluate(ctx context.Context, images *Images, section int) (Evaluation, error) {
	return s.network.evaluateWith(ctx, s.parameters, images, section)
}

// Close frees the parameters on the second client.
func (s *Snapshot) Close() { finalize(s.parameters...) }

// evaluateChunkBeside evaluates the chunk that begins at a row of the section on the second
// client. Its pixels are copied, at most 1 MB at a time, so that there is no second copy of all.
func (n *Network) evaluateChunkBeside(parameters []*tensors.Tensor, images *Images, where section, row int) (results perImage, err error) {
	inputs := n.program.inputs()
	labels := make([]uint8, n.program.chunk(n.backend.Backend))
	copy(labels, where.labels[row:])
	pixels := images.bytes[(where.first+row)*inputs:][:len(labels)*inputs]
	chunk := &Images{normalization: images.normalization}
	defer chunk.Close()
	if chunk.pixels, err = toDevice(n.backend.Beside, pixels, len(labels), inputs); err != nil {
		return perImage{}, err
	}
	if chunk.labels, err = toDevice(n.backend.Beside, labels, len(labels)); err != nil {
		return perImage{}, err
	}
	return n.evaluateCall(parameters, chunk, map[string]any{"first": int32(0), "chunks": int32(1)})
}
