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
	steps   int               // steps in the epoch
	order   *tensors.Tensor   // [steps, batch] int32 on the device, for programs with loops
	batches []*tensors.Tensor // [batch] int32 each, for programs without
}

// BeginEpoch prepares an epoch over images in the order given, a permutation of
// the rows 0 to Sizes.Epoch-1. Close it when it is done.
func (n *Network) BeginEpoch(images *Images, order []int32) (*Epoch, error) {
	if len(order) != n.sizes.Epoch {
		return nil, fmt.Errorf("order: found %d images, expected the %d the network was compiled for", len(order), n.sizes.Epoch)
	}
	for i, row := range order {
		if row < 0 || int(row) >= images.sections[0].count {
			return nil, fmt.Errorf("order: found image %d at place %d, expected 0 to %d", row, i, images.sections[0].count-1)
		}
	}
	if images.rows != n.sizes.Rows {
		return nil, fmt.Errorf("images: found %d resident rows, expected the %d the network was compiled for", images.rows, n.sizes.Rows)
	}
	batch := n.program.BatchSize
	e := &Epoch{network: n, images: images, count: len(order), steps: n.steps()}
	padded := make([]int32, e.steps*batch) // padding rows repeat row 0 with weight 0
	for b := range dataset.Batches(order, batch) {
		copy(padded[b.Step*batch:], b.Rows)
	}
	var err error
	if n.program.loops(n.backend) {
		e.order, err = toDevice(n.backend, padded, e.steps, batch)
	} else {
		for step := range e.steps {
			var tensor *tensors.Tensor
			if tensor, err = toDevice(n.backend, padded[step*batch:(step+1)*batch], batch); err != nil {
				break
			}
			e.batches = append(e.batches, tensor)
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
func (e *Epoch) Steps() int { return e.steps }

// Samples is the number of images seen so far.
func (e *Epoch) Samples() int { return min(e.next*e.network.program.BatchSize, e.count) }

// Train runs the next steps of the epoch, at most as many as are left, and
// returns the loss of each before its update. It returns when the device is
// done. A call that is on the device cannot be interrupted; where every step is
// a call of its own, ctx ends the training between two of them, with its error
// and the losses so far.
func (e *Epoch) Train(ctx context.Context, steps int, learningRate float64) ([]float32, error) {
	start, end := e.next, min(e.next+steps, e.steps)
	if start >= end {
		return nil, nil
	}
	var losses []float32
	var err error
	if e.network.program.loops(e.network.backend) {
		losses, err = e.network.trainLoop(e, start, end, float32(learningRate))
	} else {
		losses, err = e.network.trainSteps(ctx, e, start, end, float32(learningRate))
	}
	e.next += len(losses)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("training steps %d to %d: %w", start, end-1, err)
	}
	return losses, err
}

// Close frees the order on the device.
func (e *Epoch) Close() {
	finalize(e.order)
	finalize(e.batches...)
	e.order, e.batches = nil, nil
}

// trainLoop runs steps start to end-1 in one call.
func (n *Network) trainLoop(e *Epoch, start, end int, rate float32) ([]float32, error) {
	losses, err := n.trainCall(int32(start), int32(end), int32(e.count), rate, e.images.scale, e.images.offset, e.order, e.images.pixels, e.images.labels)
	if err != nil {
		return nil, err
	}
	return losses[start:end], nil
}

// trainSteps runs the same steps one call at a time.
func (n *Network) trainSteps(ctx context.Context, e *Epoch, start, end int, rate float32) ([]float32, error) {
	losses := make([]float32, 0, end-start)
	for step := start; step < end; step++ {
		if err := ctx.Err(); err != nil {
			return losses, err
		}
		loss, err := n.trainCall(int32(step), int32(e.count), rate, e.images.scale, e.images.offset, e.batches[step], e.images.pixels, e.images.labels)
		if err != nil {
			return losses, err
		}
		losses = append(losses, loss...)
	}
	return losses, nil
}

// trainCall calls the training program, keeps the new parameters and returns
// the losses. Reading them waits for the device: the whole call is done then.
func (n *Network) trainCall(inputs ...any) ([]float32, error) {
	outputs, err := n.run(n.training, true, inputs...)
	if err != nil {
		return nil, err
	}
	n.parameters = outputs[1:]
	defer finalize(outputs[0])
	return tensors.CopyFlatData[float32](outputs[0])
}
