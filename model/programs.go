package model

import (
	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"epochal/model/backend"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
)

// The functions of this file build graphs; every backend runs the same ones.
// They panic on misuse, as graph building does in GoMLX, and are only called
// below [build], which recovers.
//
// Letters in shapes: rows = images resident on the device, inputs = pixels of
// an image.

// Program is everything that is compiled into a network's two programs. The
// learning rate and the normalization are not: they are inputs of every call.
type Program struct {
	Architecture Architecture // valid
	BatchSize    int          // images per SGD step, at least 1

	// SingleSteps makes every SGD step a device call, as it is anyway where
	// the device has no loops. A program of one step does not copy the parameters
	// into a loop and the losses of the whole epoch out of it, so that it is the
	// faster one where every step is a call.
	SingleSteps bool
}

// loops reports whether the training program runs many steps per call on b.
func (p Program) loops(b *backend.Backend) bool { return b.StepLoops() && !p.SingleSteps }

// parameters are the tensors that a step changes.
func (p Program) parameters() []ParameterSpec { return p.Architecture.Parameters() }

// inputs is the number of pixels of an image.
func (p Program) inputs() int { return p.Architecture.Task().Inputs() }

// chunkImages and chunkInputs bound how many images are evaluated at once,
// whatever the batch size of training: enough that the matrix products dominate,
// and not so many that the inputs of large images, as float32, fill the memory.
const (
	chunkImages = 1000
	chunkInputs = 1 << 24

	// chunkConvolved is what chunkInputs is for convolutions, which are faster in chunks
	// that stay in the caches of a processor; the other one, on a GPU, is 1 GB.
	chunkConvolved     = 1 << 20
	chunkConvolvedCUDA = 1 << 28
)

// evaluationChunk is the number of images of that many inputs that are
// evaluated at once, as a rule a multiple of 8, so that it has divisors.
func evaluationChunk(inputs int) int {
	images := max(1, min(chunkImages, chunkInputs/inputs))
	if images > 8 {
		images -= images % 8
	}
	return images
}

// chunk is the number of images that p evaluates at once on b. It divides evaluationChunk,
// which the resident rows are made for: convolutions, whose products have many rows for an
// image, take the largest divisor with which no product has more inputs than the bounds above.
func (p Program) chunk(b compute.Backend) int {
	most := evaluationChunk(p.inputs())
	chunk, inputs := most, chunkConvolved
	if backend.IsCUDA(b) {
		inputs = chunkConvolvedCUDA
	}
	for _, product := range p.Architecture.Products() {
		if product.Rows > 1 {
			chunk = max(1, min(chunk, inputs/(product.Rows*product.In)))
		}
	}
	for most%chunk != 0 {
		chunk--
	}
	return chunk
}

// declareData declares what every program reads images with: scale and offset as
// in [Normalization.affine], and the resident pixels [rows, inputs] and labels
// [rows]. The parameters follow.
func (p Program) declareData(s *state, rows int) {
	s.input("scale", dtypes.Float32)
	s.input("offset", dtypes.Float32)
	s.input("pixels", dtypes.Uint8, rows, p.inputs())
	s.input("labels", dtypes.Uint8, rows)
	for _, parameter := range p.parameters() {
		s.input(parameter.Name, dtypes.Float32, parameter.Dims...)
	}
}

// declareTraining declares the scalars of a step of training: its number from 0,
// the images in the epoch, and the learning rate.
func declareTraining(s *state) {
	s.input("step", dtypes.Int32)
	s.input("count", dtypes.Int32)
	s.input("rate", dtypes.Float32)
}

// logits runs the network on pixels [batch, inputs] uint8, to [batch, classes].
func (p Program) logits(v values, pixels *Node) *Node {
	task := p.Architecture.Task()
	normalized := Add(Mul(ConvertDType(pixels, dtypes.Float32), v["scale"]), v["offset"])
	images := Reshape(normalized, pixels.Shape().Dim(0), task.Rows, task.Columns)
	return p.Architecture.Logits(images, v.of(p.Architecture.Parameters()))
}

// step is one step of SGD on the batch of v's step: pixels [batch, inputs] uint8
// and labels [batch] uint8. It returns the loss before the update, a scalar, and
// leaves the new parameters in v.
func (p Program) step(v values, pixels, labels *Node) (loss *Node) {
	shifted, sum := shiftedLogits(p.logits(v, pixels))
	losses := negativeLogLikelihood(shifted, sum, labels) // [batch]
	loss = batchLoss(losses, v["step"], v["count"])
	parameters := p.Architecture.Parameters()
	before := v.of(parameters)
	for i, updated := range sgd(loss, before, v["rate"]) {
		v[parameters[i].Name] = updated
	}
	return loss
}

// buildTrainingLoop compiles the program that runs the steps from step to end-1
// of an epoch whose order is [steps, batch]:
//
//	step, count, rate, end, order, scale, offset, pixels, labels, parameters...
//	-> losses [steps], parameters...
//
// Only the losses of the steps that ran are set. step and end are inputs, so
// one step and a whole epoch are the same program.
func buildTrainingLoop(backend compute.Backend, p Program, rows, steps int) (*program, error) {
	return build(backend, "training", func(s *state) []*Node {
		declareTraining(s)
		s.input("end", dtypes.Int32)
		s.input("order", dtypes.Int32, steps, p.BatchSize)
		p.declareData(s, rows)
		s.add("losses", Const(s.graph, make([]float32, steps)))
		s.loop(func(v values) *Node { return LessThan(v["step"], v["end"]) }, func(v values) {
			step := v["step"]
			g := step.Graph()
			batch := DynamicSlice(v["order"], []*Node{step, Const(g, int32(0))}, []int{1, p.BatchSize})
			loss := p.step(v, gather(v["pixels"], batch), gather(v["labels"], batch))
			v["losses"] = DynamicUpdateSlice(v["losses"], Reshape(loss, 1), []*Node{step})
			v["step"] = Add(step, Const(g, int32(1)))
		})
		return append([]*Node{s.values["losses"]}, s.values.of(p.parameters())...)
	})
}

// gather takes the rows of a batch, an int32 each, out of the resident data.
func gather(data, batch *Node) *Node { return Gather(data, Reshape(batch, -1, 1)) }

// buildTrainingStep compiles one step, for backends without loops on the device
// and for a [Program] of single steps:
//
//	step, count, rate, batch [batch], scale, offset, pixels, labels, parameters...
//	-> loss, parameters...
func buildTrainingStep(backend compute.Backend, p Program, rows int) (*program, error) {
	return build(backend, "training step", func(s *state) []*Node {
		declareTraining(s)
		s.input("batch", dtypes.Int32, p.BatchSize)
		p.declareData(s, rows)
		batch := s.values["batch"]
		loss := p.step(s.values, gather(s.values["pixels"], batch), gather(s.values["labels"], batch))
		return append([]*Node{loss}, s.values.of(p.parameters())...)
	})
}

// evaluate computes what is recorded of each image of a chunk: from pixels
// [chunk, inputs] uint8 and labels [chunk] uint8 to losses [chunk] float32,
// predictions [chunk] uint8 and confidences [chunk] float32, the softmax
// probability of the prediction. A tie goes to the lower class, as in PyTorch.
func (p Program) evaluate(v values, pixels, labels *Node) (losses, predictions, confidences *Node) {
	logits := p.logits(v, pixels)
	shifted, sum := shiftedLogits(logits)
	losses = negativeLogLikelihood(shifted, sum, labels)
	predictions = ConvertDType(ArgMax(logits, 1), dtypes.Uint8)
	confidences = Reciprocal(sum) // the largest shifted logit is 0
	return losses, predictions, confidences
}

// buildEvaluationLoop compiles the program that evaluates a number of chunks of
// the resident data from the row `first` on, and leaves the rest of its outputs at 0:
//
//	first, chunks, scale, offset, pixels, labels, parameters...
//	-> losses, predictions, confidences, each [most, chunk]
func buildEvaluationLoop(backend compute.Backend, p Program, rows, most int) (*program, error) {
	chunk := p.chunk(backend)
	return build(backend, "evaluation", func(s *state) []*Node {
		s.input("first", dtypes.Int32)
		s.input("chunks", dtypes.Int32)
		p.declareData(s, rows)
		s.add("number", Const(s.graph, int32(0)))
		s.add("losses", zeros[float32](s.graph, most, chunk))
		s.add("predictions", zeros[uint8](s.graph, most, chunk))
		s.add("confidences", zeros[float32](s.graph, most, chunk))
		s.loop(func(v values) *Node { return LessThan(v["number"], v["chunks"]) }, func(v values) {
			number := v["number"]
			g := number.Graph()
			zero := Const(g, int32(0))
			row := Add(v["first"], Mul(number, Const(g, int32(chunk))))
			losses, predictions, confidences := p.evaluate(v,
				DynamicSlice(v["pixels"], []*Node{row, zero}, []int{chunk, p.inputs()}),
				DynamicSlice(v["labels"], []*Node{row}, []int{chunk}))
			keep := func(name string, found *Node) {
				v[name] = DynamicUpdateSlice(v[name], ExpandAxes(found, 0), []*Node{number, zero})
			}
			keep("losses", losses)
			keep("predictions", predictions)
			keep("confidences", confidences)
			v["number"] = Add(number, Const(g, int32(1)))
		})
		return []*Node{s.values["losses"], s.values["predictions"], s.values["confidences"]}
	})
}

// zeros is a tensor of zeros, made without a scalar that GoMLX would keep for
// the whole graph, see [state.loop].
func zeros[T float32 | uint8](g *Graph, dimensions ...int) *Node {
	return BroadcastToDims(Const(g, T(0)), dimensions...)
}

// buildEvaluationChunk compiles the evaluation of one chunk for backends
// without loops on the device:
//
//	batch [chunk], scale, offset, pixels, labels, parameters...
//	-> losses, predictions, confidences, each [chunk]
func buildEvaluationChunk(backend compute.Backend, p Program, rows int) (*program, error) {
	return build(backend, "evaluation chunk", func(s *state) []*Node {
		s.input("batch", dtypes.Int32, p.chunk(backend))
		p.declareData(s, rows)
		batch := s.values["batch"]
		losses, predictions, confidences := p.evaluate(s.values, gather(s.values["pixels"], batch), gather(s.values["labels"], batch))
		return []*Node{losses, predictions, confidences}
	})
}
