package model

import (
	"context"
	"errors"
	"fmt"

	"epochal/dataset"

	"github.com/gomlx/gomlx/core/tensors"
)

// Evaluation is the result of running a set through the network without training.
type Evaluation struct {
	Loss      float64 // mean over batches of the mean loss of a batch, as in the post's eval_loop
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

// Evaluate runs the set number `section` of images, 0 for the first, through the
// network.
//
// Images go through in chunks of a fixed size, but the loss is still the post's:
// batches of the program's batch size in file order, the last one short,
// each batch's mean counted once.
//
// ctx can end it between two device calls, with ctx's error.
func (n *Network) Evaluate(ctx context.Context, images *Images, section int) (Evaluation, error) {
	now, err := n.Snapshot()
	if err != nil {
		return Evaluation{}, err
	}
	if now != nil {
		defer now.Close()
		return now.Evaluate(ctx, images, section)
	}
	return n.evaluateWith(ctx, n.parameters, images, section)
}

// evaluateWith is Evaluate with parameters that are where the evaluation program runs.
func (n *Network) evaluateWith(ctx context.Context, parameters []*tensors.Tensor, images *Images, section int) (Evaluation, error) {
	if err := ctx.Err(); err != nil {
		return Evaluation{}, err
	}
	where := images.sections[section]
	results, err := n.evaluate(ctx, parameters, images, where)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("evaluating set %d: %w", section, err)
	}
	if err != nil {
		return Evaluation{}, err
	}
	return summarize(results, where.labels, n.program), nil
}

// perImage are the outputs of an evaluation program, one element per image,
// and padding after them.
type perImage struct {
	losses, confidences []float32
	predictions         []uint8
}

// evaluate evaluates a section, all of its chunks in one call where the device
// has loops, else in a call each.
func (n *Network) evaluate(ctx context.Context, parameters []*tensors.Tensor, images *Images, where section) (all perImage, err error) {
	chunk := n.program.chunk(n.backend.Backend)
	chunks := dataset.BatchCount(len(where.labels), chunk)
	if n.backend.StepLoops() && n.backend.Beside == nil {
		return n.evaluateCall(parameters, images, map[string]any{"first": int32(where.first), "chunks": int32(chunks)})
	}
	for number := range chunks {
		if err := ctx.Err(); err != nil {
			return perImage{}, err
		}
		evaluateChunk := n.evaluateChunk
		if n.backend.Beside != nil {
			evaluateChunk = n.evaluateChunkBeside
		}
		some, err := evaluateChunk(parameters, images, where, number*chunk)
		if err != nil {
			return perImage{}, err
		}
		all.losses = append(all.losses, some.losses...)
		all.predictions = append(all.predictions, some.predictions...)
		all.confidences = append(all.confidences, some.confidences...)
	}
	return all, nil
}

// evaluateChunk evaluates the chunk that begins at a row of the section.
func (n *Network) evaluateChunk(parameters []*tensors.Tensor, images *Images, where section, row int) (perImage, error) {
	rows := make([]int32, n.program.chunk(n.backend.Backend))
	for i := range rows {
		rows[i] = int32(where.first + row + i)
	}
	batch, err := toDevice(n.backend, rows, len(rows))
	if err != nil {
		return perImage{}, err
	}
	defer finalize(batch)
	return n.evaluateCall(parameters, images, map[string]any{"batch": batch})
}

// evaluateCall calls the evaluation program. It copies the outputs to the host,
// which waits for the device, and frees them there.
func (n *Network) evaluateCall(parameters []*tensors.Tensor, images *Images, inputs map[string]any) (results perImage, err error) {
	for i, parameter := range n.program.parameters() {
		inputs[parameter.Name] = parameters[i]
	}
	outputs, err := n.evaluation.run(images.inputs(inputs))
	if err != nil {
		return perImage{}, err
	}
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
	e.Confusion = make([][]int, p.Architecture.Task().Classes)
	for class := range e.Confusion {
		e.Confusion[class] = make([]int, len(e.Confusion))
	}
	batches := dataset.BatchCount(count, p.BatchSize)
	for batch := range batches {
		from, to := batch*p.BatchSize, min((batch+1)*p.BatchSize, count)
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
