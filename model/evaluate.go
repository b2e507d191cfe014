package model

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"epochal/dataset"

	"github.com/gomlx/gomlx/core/tensors"
)

// Evaluation is the result of running a set through the network without training.
type Evaluation struct {
	Loss      float64 // mean over batches of the mean loss of a batch, as the post's eval_loop
	Correct   int     // images whose largest logit is at their label
	Count     int     // images in the set
	Confusion [][]int // [classes][classes]: images of the label (row) predicted as (column)

	Labels      []uint8   // [count]: what each image is, not a copy
	Losses      []float32 // [count]: cross-entropy of each image
	Predictions []uint8   // [count]: class of the largest logit
	Confidences []float32 // [count]: softmax probability of that class, 0 to 1
}

// Accuracy is Correct over Count, 0 to 1.
func (e Evaluation) Accuracy() float64 { return float64(e.Correct) / float64(e.Count) }

// Evaluate runs the set number `section` of images through the network.
//
// Images go through in chunks of a fixed size; the loss is the post's all the
// same: batches of the program's batch size in file order, the last one short,
// each batch's mean counted once.
//
// ctx ends it between two calls of the device, with its error.
func (n *Network) Evaluate(ctx context.Context, images *Images, section int) (Evaluation, error) {
	if section < 0 || section >= len(images.sections) {
		return Evaluation{}, fmt.Errorf("evaluating set %d: found %d sets", section, len(images.sections))
	}
	where, labels := images.sections[section], images.sets[section].Labels
	if where.count == 0 || where.count > n.sizes.Largest {
		return Evaluation{}, fmt.Errorf("evaluating set %d: found %d images, expected 1 to the %d the network was compiled for", section, where.count, n.sizes.Largest)
	}
	if most := slices.Max(labels); int(most) >= n.program.Topology.Classes {
		return Evaluation{}, fmt.Errorf("evaluating set %d: found the label %d, expected below %d", section, most, n.program.Topology.Classes)
	}
	chunks := ceilDivide(where.count, evaluationChunk(n.program.Topology.Inputs))
	if err := ctx.Err(); err != nil {
		return Evaluation{}, err
	}
	var results perImage
	var err error
	if n.backend.StepLoops() {
		results, err = n.evaluateLoop(images, where, chunks)
	} else {
		results, err = n.evaluateChunks(ctx, images, where, chunks)
	}
	if err != nil && ctx.Err() != nil {
		return Evaluation{}, err
	}
	if err != nil {
		return Evaluation{}, fmt.Errorf("evaluating set %d: %w", section, err)
	}
	return summarize(results, labels, n.program), nil
}

// perImage are the outputs of an evaluation program, an element per image and
// whatever padding follows.
type perImage struct {
	losses, confidences []float32
	predictions         []uint8
}

// evaluateLoop evaluates all chunks in one call.
func (n *Network) evaluateLoop(images *Images, where section, chunks int) (perImage, error) {
	outputs, err := n.run(n.evaluation, false, int32(where.first), int32(chunks), images.scale, images.offset, images.pixels, images.labels)
	if err != nil {
		return perImage{}, err
	}
	return readEvaluation(outputs)
}

// evaluateChunks evaluates the same chunks one call at a time.
func (n *Network) evaluateChunks(ctx context.Context, images *Images, where section, chunks int) (all perImage, err error) {
	size := evaluationChunk(n.program.Topology.Inputs)
	rows := make([]int32, size)
	for chunk := range chunks {
		if err := ctx.Err(); err != nil {
			return perImage{}, err
		}
		for i := range rows {
			rows[i] = int32(where.first + chunk*size + i)
		}
		batch, err := toDevice(n.backend, rows, size)
		if err != nil {
			return perImage{}, err
		}
		outputs, err := n.run(n.evaluation, false, images.scale, images.offset, batch, images.pixels, images.labels)
		finalize(batch)
		if err != nil {
			return perImage{}, err
		}
		some, err := readEvaluation(outputs)
		if err != nil {
			return perImage{}, err
		}
		all.losses = append(all.losses, some.losses...)
		all.predictions = append(all.predictions, some.predictions...)
		all.confidences = append(all.confidences, some.confidences...)
	}
	return all, nil
}

// readEvaluation copies a program's outputs to the host, which waits for the
// device, and frees them there.
func readEvaluation(outputs []*tensors.Tensor) (results perImage, err error) {
	var errs [3]error
	results.losses, errs[0] = tensors.CopyFlatData[float32](outputs[0])
	results.predictions, errs[1] = tensors.CopyFlatData[uint8](outputs[1])
	results.confidences, errs[2] = tensors.CopyFlatData[float32](outputs[2])
	finalize(outputs...)
	return results, errors.Join(errs[:]...)
}

// summarize counts the per-image results of a set with the given labels.
func summarize(results perImage, labels []uint8, p Program) Evaluation {
	count := len(labels)
	losses, predictions := results.losses[:count], results.predictions[:count]
	e := Evaluation{Count: count, Labels: labels, Losses: losses, Predictions: predictions, Confidences: results.confidences[:count]}
	e.Confusion = make([][]int, p.Topology.Classes)
	for class := range e.Confusion {
		e.Confusion[class] = make([]int, p.Topology.Classes)
	}
	batches := dataset.BatchCount(len(losses), p.BatchSize)
	for batch := range batches {
		from, to := batch*p.BatchSize, min((batch+1)*p.BatchSize, len(losses))
		sum := 0.0
		for i := from; i < to; i++ {
			sum += float64(losses[i])
			e.Confusion[labels[i]][predictions[i]]++
			if labels[i] == predictions[i] {
				e.Correct++
			}
		}
		e.Loss += sum / float64(to-from)
	}
	e.Loss /= float64(batches)
	return e
}
