package model

import (
	"context"
	"fmt"

	"epochal/dataset"

	"github.com/gomlx/gomlx/core/tensors"
)

// Epoch is one pass over the training images in a given order, with a position.
type Epoch struct {
	network *Network
	images  *Images
	count   int               // images in the epoch
	next    int               // the step that runs next, from 0
	order   *tensors.Tensor   // [steps, batch] int32 on the device, for programs with loops
	batches []*tensors.Tensor // [batch] int32 each, for programs without
}

// BeginEpoch prepares an epoch over images in the order given, a permutation of
// the rows of their first set. Close it when it is done.
func (n *Network) BeginEpoch(images *Images, order []int32) (*Epoch, error) {
	batch := n.program.BatchSize
	e := &Epoch{network: n, images: images, count: len(order)}
	padded := make([]int32, n.steps*batch) // padding rows repeat row 0 with weight 0
	copy(padded, order)
	var err error
	if n.program.loops(n.backend) {
		e.order, err = toDevice(n.backend, padded, n.steps, batch)
	} else {
		e.batches = make([]*tensors.Tensor, n.steps)
		for b := range dataset.Batches(padded, batch) {
			if e.batches[b.Step], err = toDevice(n.backend, b.Rows, batch); err != nil {
				break
			}
		}
	}
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("copying the order of the epoch to the device: %w", err)
	}
	return e, nil
}

// Step is the number of steps already run.
func (e *Epoch) Step() int { return e.next }

// Steps is the number of steps in the epoch.
func (e *Epoch) Steps() int { return e.network.steps }

// Seek makes step, 0 to Steps, the one that runs next: the weights must be
// those after the steps before it.
func (e *Epoch) Seek(step int) { e.next = step }

// Samples is the number of images seen so far.
func (e *Epoch) Samples() int { return min(e.next*e.network.program.BatchSize, e.count) }

// Train runs the next steps of the epoch, at most as many as are left, and
// returns the loss of each before its update. It returns when the device is
// done. A call that has begun cannot be interrupted; where every step is
// a call of its own, ctx ends the training between two of them, with its error
// and the losses so far.
func (e *Epoch) Train(ctx context.Context, steps int, learningRate float64) ([]float32, error) {
	var losses []float32
	for end := min(e.next+steps, e.Steps()); e.next < end; {
		if err := ctx.Err(); err != nil {
			return losses, err
		}
		inputs := e.images.inputs(map[string]any{
			"step": int32(e.next), "count": int32(e.count), "rate": float32(learningRate),
		})
		if e.order != nil {
			inputs["end"], inputs["order"] = int32(end), e.order
		} else {
			inputs["batch"] = e.batches[e.next]
		}
		found, err := e.network.train(inputs)
		if err != nil {
			return losses, fmt.Errorf("training from step %d: %w", e.next, err)
		}
		if e.order != nil {
			found = found[e.next:end] // of all steps of the epoch
		}
		losses = append(losses, found...)
		e.next += len(found)
	}
	return losses, nil
}

// Close frees the order on the device.
func (e *Epoch) Close() {
	finalize(e.order)
	finalize(e.batches...)
	e.order, e.batches = nil, nil
}
