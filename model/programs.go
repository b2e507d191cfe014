package model

import (
	"fmt"

	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// chunkImages and chunkInputs bound how many images are evaluated at once,
// whatever the batch size of training: enough that the matrix products dominate,
// and not so many that the inputs of large images, as float32, fill the memory.
const (
	chunkImages = 1000
	chunkInputs = 1 << 24
)

// evaluationChunk is the number of images of that many inputs that are
// evaluated at once.
func evaluationChunk(inputs int) int { return max(1, min(chunkImages, chunkInputs/inputs)) }

// build builds and compiles a graph.
func build(backend compute.Backend, name string, body func(g *Graph) []*Node) (compiled *Graph, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("compiling the %s program: %w", name, err)
		}
	}()
	defer recovered(&err)
	g := NewGraph(backend, name)
	if err := g.Compile(body(g)...); err != nil {
		g.Finalize()
		return nil, err
	}
	return g, nil
}

// recovered turns a panic of GoMLX or below into an error: the border at which
// the package's promise of errors begins.
func recovered(err *error) {
	switch thrown := recover().(type) {
	case nil:
	case error:
		*err = thrown
	default:
		*err = fmt.Errorf("%v", thrown)
	}
}

// parameterNodes declares the network's parameters as inputs of the current
// function of g. StableHLO wants every name only once in a program, closures
// included: function tells them apart.
func parameterNodes(g *Graph, function string, t Topology) parameters {
	var nodes parameters
	for i, layer := range t.Layers() {
		nodes = append(nodes,
			Parameter(g, fmt.Sprintf("%s_weight%d", function, i), shapes.Make(dtypes.Float32, layer.Out, layer.In)),
			Parameter(g, fmt.Sprintf("%s_bias%d", function, i), shapes.Make(dtypes.Float32, layer.Out)))
	}
	return nodes
}

// batchWeights is 1 for each row of a batch that exists and 0 for the padding
// of the last, partial one: [batch] float32. step is the batch's number from 0
// and count the number of images in the epoch, both scalars.
func batchWeights(step, count *Node, batch int) *Node {
	g := step.Graph()
	first := Mul(step, Const(g, int32(batch)))
	position := Add(Iota(g, shapes.Make(dtypes.Int32, batch), 0), first)
	return ConvertDType(LessThan(position, count), dtypes.Float32)
}

// buildTrainingLoop compiles the program that runs the steps start to end-1 of an epoch:
//
//	start, end, count, rate, scale, offset, order [steps, batch], pixels [rows, inputs], labels [rows], parameters...
//	-> losses [steps], parameters...
//
// Only the losses of the steps that ran are set. start and end are inputs, so
// one step and a whole epoch are the same program.
func buildTrainingLoop(backend compute.Backend, p Program, rows, steps int) (*Graph, error) {
	return build(backend, "training", func(g *Graph) []*Node {
		state := func(g *Graph, function string) []*Node {
			nodes := []*Node{
				Parameter(g, function+"_step", shapes.Make(dtypes.Int32)),
				Parameter(g, function+"_end", shapes.Make(dtypes.Int32)),
				Parameter(g, function+"_count", shapes.Make(dtypes.Int32)),
				Parameter(g, function+"_rate", shapes.Make(dtypes.Float32)),
				Parameter(g, function+"_scale", shapes.Make(dtypes.Float32)),
				Parameter(g, function+"_offset", shapes.Make(dtypes.Float32)),
				Parameter(g, function+"_order", shapes.Make(dtypes.Int32, steps, p.BatchSize)),
				Parameter(g, function+"_pixels", shapes.Make(dtypes.Uint8, rows, p.Topology.Inputs)),
				Parameter(g, function+"_labels", shapes.Make(dtypes.Uint8, rows)),
			}
			return append(nodes, parameterNodes(g, function, p.Topology)...)
		}
		const parametersAt = 9 // in the loop's state
		main := state(g, "main")
		// The body goes first and every constant outside it is a plain Const:
		// GoMLX caches scalars per graph, not per function, and one made in
		// another closure cannot be used here.
		body := NewClosure(g, func(g *Graph) []*Node {
			nodes := state(g, "body")
			losses := Parameter(g, "body_losses", shapes.Make(dtypes.Float32, steps))
			step, end, count, rate, scale, offset := nodes[0], nodes[1], nodes[2], nodes[3], nodes[4], nodes[5]
			order, pixels, labels := nodes[6], nodes[7], nodes[8]
			zero := Const(g, int32(0))
			batch := Reshape(DynamicSlice(order, []*Node{step, zero}, []int{1, p.BatchSize}), p.BatchSize)
			weights := batchWeights(step, count, p.BatchSize)
			loss, updated := sgdStep(pixels, labels, batch, weights, rate, scale, offset, parameters(nodes[parametersAt:]), p.Topology)
			losses = DynamicUpdateSlice(losses, Reshape(loss, 1), []*Node{step})
			next := Add(step, Const(g, int32(1)))
			out := []*Node{next, end, count, rate, scale, offset, order, pixels, labels}
			return append(append(out, updated...), losses)
		})
		condition := NewClosure(g, func(g *Graph) []*Node {
			nodes := state(g, "condition")
			Parameter(g, "condition_losses", shapes.Make(dtypes.Float32, steps))
			return []*Node{LessThan(nodes[0], nodes[1])}
		})
		losses := Const(g, make([]float32, steps))
		results := While(condition, body, append(main, losses)...)
		return append([]*Node{results[len(results)-1]}, results[parametersAt:len(results)-1]...)
	})
}

// buildTrainingStep compiles one step, for backends without loops on the device
// and for a [Program] of single steps:
//
//	step, count, rate, scale, offset, batch [batch], pixels [rows, inputs], labels [rows], parameters...
//	-> loss, parameters...
func buildTrainingStep(backend compute.Backend, p Program, rows int) (*Graph, error) {
	return build(backend, "training step", func(g *Graph) []*Node {
		step := Parameter(g, "step", shapes.Make(dtypes.Int32))
		count := Parameter(g, "count", shapes.Make(dtypes.Int32))
		rate := Parameter(g, "rate", shapes.Make(dtypes.Float32))
		scale := Parameter(g, "scale", shapes.Make(dtypes.Float32))
		offset := Parameter(g, "offset", shapes.Make(dtypes.Float32))
		batch := Parameter(g, "batch", shapes.Make(dtypes.Int32, p.BatchSize))
		pixels := Parameter(g, "pixels", shapes.Make(dtypes.Uint8, rows, p.Topology.Inputs))
		labels := Parameter(g, "labels", shapes.Make(dtypes.Uint8, rows))
		weights := batchWeights(step, count, p.BatchSize)
		loss, updated := sgdStep(pixels, labels, batch, weights, rate, scale, offset, parameterNodes(g, "main", p.Topology), p.Topology)
		return append([]*Node{loss}, updated...)
	})
}

// evaluate is what is to be known of each image of a chunk: pixels
// [chunk, inputs] uint8, labels [chunk] uint8 to losses [chunk] float32,
// predictions [chunk] uint8 and confidences [chunk] float32, the softmax
// probability of the prediction. A tie goes to the lower class, as in PyTorch.
func evaluate(pixels, labels, scale, offset *Node, values parameters, t Topology) (losses, predictions, confidences *Node) {
	scores := logits(normalize(pixels, scale, offset), values, t) // [chunk, classes]
	shifted, sum := shiftedLogits(scores)
	losses = negativeLogLikelihood(shifted, sum, ConvertDType(labels, dtypes.Int32))
	predictions = ConvertDType(ArgMax(scores, 1), dtypes.Uint8)
	confidences = Reciprocal(sum) // the largest shifted logit is 0
	return losses, predictions, confidences
}

// buildEvaluationLoop compiles the program that evaluates `chunks` chunks of
// the resident data from row `first` on, and leaves the rest of its outputs 0:
//
//	first, chunks, scale, offset, pixels [rows, inputs], labels [rows], parameters...
//	-> losses, predictions, confidences, each [most, chunk]
func buildEvaluationLoop(backend compute.Backend, p Program, rows, most int) (*Graph, error) {
	chunk := evaluationChunk(p.Topology.Inputs)
	return build(backend, "evaluation", func(g *Graph) []*Node {
		state := func(g *Graph, function string) []*Node {
			nodes := []*Node{
				Parameter(g, function+"_first", shapes.Make(dtypes.Int32)),
				Parameter(g, function+"_chunks", shapes.Make(dtypes.Int32)),
				Parameter(g, function+"_scale", shapes.Make(dtypes.Float32)),
				Parameter(g, function+"_offset", shapes.Make(dtypes.Float32)),
				Parameter(g, function+"_pixels", shapes.Make(dtypes.Uint8, rows, p.Topology.Inputs)),
				Parameter(g, function+"_labels", shapes.Make(dtypes.Uint8, rows)),
			}
			return append(nodes, parameterNodes(g, function, p.Topology)...)
		}
		results := func(g *Graph, function string) []*Node {
			return []*Node{
				Parameter(g, function+"_number", shapes.Make(dtypes.Int32)),
				Parameter(g, function+"_losses", shapes.Make(dtypes.Float32, most, chunk)),
				Parameter(g, function+"_predictions", shapes.Make(dtypes.Uint8, most, chunk)),
				Parameter(g, function+"_confidences", shapes.Make(dtypes.Float32, most, chunk)),
			}
		}
		main := state(g, "main")
		body := NewClosure(g, func(g *Graph) []*Node {
			nodes, outputs := state(g, "body"), results(g, "body")
			first, scale, offset, pixels, labels := nodes[0], nodes[2], nodes[3], nodes[4], nodes[5]
			number := outputs[0]
			zero := Const(g, int32(0))
			row := Add(first, Mul(number, Const(g, int32(chunk))))
			images := DynamicSlice(pixels, []*Node{row, zero}, []int{chunk, p.Topology.Inputs})
			targets := DynamicSlice(labels, []*Node{row}, []int{chunk})
			losses, predictions, confidences := evaluate(images, targets, scale, offset, parameters(nodes[6:]), p.Topology)
			for i, values := range []*Node{losses, predictions, confidences} {
				outputs[i+1] = DynamicUpdateSlice(outputs[i+1], ExpandAxes(values, 0), []*Node{number, zero})
			}
			outputs[0] = Add(number, Const(g, int32(1)))
			return append(nodes, outputs...)
		})
		condition := NewClosure(g, func(g *Graph) []*Node {
			nodes, outputs := state(g, "condition"), results(g, "condition")
			return []*Node{LessThan(outputs[0], nodes[1])}
		})
		initial := append(main,
			Const(g, int32(0)),
			BroadcastToDims(Const(g, float32(0)), most, chunk),
			BroadcastToDims(Const(g, uint8(0)), most, chunk),
			BroadcastToDims(Const(g, float32(0)), most, chunk))
		final := While(condition, body, initial...)
		return final[len(final)-3:]
	})
}

// buildEvaluationChunk compiles the evaluation of one chunk for backends
// without loops on the device:
//
//	scale, offset, batch [chunk], pixels [rows, inputs], labels [rows], parameters...
//	-> losses, predictions, confidences, each [chunk]
func buildEvaluationChunk(backend compute.Backend, p Program, rows int) (*Graph, error) {
	chunk := evaluationChunk(p.Topology.Inputs)
	return build(backend, "evaluation chunk", func(g *Graph) []*Node {
		scale := Parameter(g, "scale", shapes.Make(dtypes.Float32))
		offset := Parameter(g, "offset", shapes.Make(dtypes.Float32))
		batch := Parameter(g, "batch", shapes.Make(dtypes.Int32, chunk))
		pixels := Parameter(g, "pixels", shapes.Make(dtypes.Uint8, rows, p.Topology.Inputs))
		labels := Parameter(g, "labels", shapes.Make(dtypes.Uint8, rows))
		index := ExpandAxes(batch, 1)
		losses, predictions, confidences := evaluate(Gather(pixels, index), Gather(labels, index), scale, offset, parameterNodes(g, "main", p.Topology), p.Topology)
		return []*Node{losses, predictions, confidences}
	})
}
