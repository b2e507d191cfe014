package model

import (
	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"epochal/model/backend"

	"github.com/gomlx/compute/dtypes"
)

// The functions of this file build the graph; every backend runs the same ones.
// They panic on misuse, as graph building does in GoMLX, and are only called
// below [build], which recovers.
//
// Letters in shapes: rows = images resident on the device, inputs = pixels of
// an image, out and in = widths of a layer.

// parameters are the graph's nodes for one network: weight, bias, weight, bias...
// in the order of Topology.Layers. Weights are [out, in], biases [out].
type parameters []*Node

// normalize turns bytes [batch, inputs] into float32 values [batch, inputs]:
// byte*scale + offset, with the two scalars of [Normalization.affine].
func normalize(pixels, scale, offset *Node) *Node {
	return Add(Mul(ConvertDType(pixels, dtypes.Float32), scale), offset)
}

// logits runs the network: images [batch, inputs] float32 to [batch, classes].
func logits(images *Node, weights parameters, t Topology) *Node {
	_, outputs := forward(images, weights, t)
	return outputs[len(outputs)-1]
}

// forward runs the network on images [batch, inputs] float32 and returns what
// goes into each linear layer, [batch, in], and what comes out of it before the
// activation, [batch, out]. The last output is the logits.
func forward(images *Node, weights parameters, t Topology) (inputs, outputs []*Node) {
	batch := images.Shape().Dimensions[0]
	x := images
	layers := t.Layers()
	for i, layer := range layers {
		weight, bias := weights[2*i], weights[2*i+1]
		weight.AssertDims(layer.Out, layer.In)
		bias.AssertDims(layer.Out)
		inputs = append(inputs, x)
		x = DotGeneral(x, []int{1}, nil, weight, []int{1}, nil) // [batch, out]
		x = Add(x, ExpandAxes(bias, 0))                         // bias as [1, out]
		x.AssertDims(batch, layer.Out)
		outputs = append(outputs, x)
		if i < len(layers)-1 {
			x = activate(x, t.Activation)
		}
	}
	return inputs, outputs
}

// weightGradient is the gradient of a layer's weight, [out, in]: gradient is
// that of its output, [batch, out], and input what went into it, [batch, in].
func weightGradient(gradient, input *Node) *Node {
	// XLA's CPU client computes a product over the first axes with another library
	// than one over the last and the first, which is the faster of the two for many
	// images and wide layers: 3% of a step at 512,512 and 1024,1024 with 256 images,
	// but -16% at 256,256 with 128.
	const images, width = 256, 512
	shape := gradient.Shape().Dimensions
	if shape[0] < images || shape[1] < width || !backend.IsXLACPU(gradient.Graph().Backend()) {
		return DotGeneral(gradient, []int{0}, nil, input, []int{0}, nil)
	}
	// The barrier keeps XLA from folding the transposition into the product. It
	// has two operands because go-xla ignores one of a single operand on the CPU.
	barred := OptimizationBarriers(Transpose(gradient, 0, 1), input)
	return DotGeneral(barred[0], []int{1}, nil, barred[1], []int{0}, nil)
}

// activate applies the function between two layers.
func activate(x *Node, a Activation) *Node {
	switch a {
	case ActivationSigmoid:
		return Logistic(x)
	case ActivationTanh:
		return Tanh(x)
	default:
		// Where, not Max: the gradient at exactly 0 is then 0, as in PyTorch. And
		// less-or-equal, not greater: a NaN stays one, so that divergence shows.
		return Where(LessOrEqual(x, ZerosLike(x)), ZerosLike(x), x)
	}
}

// shiftedLogits subtracts from the logits [batch, classes] the largest of each
// image, so that logits of any finite size give a finite loss, and returns the
// sum of their exponentials [batch] as well: the softmax is exp(shifted) / sum.
func shiftedLogits(logits *Node) (shifted, sum *Node) {
	shifted = Sub(logits, StopGradient(ReduceAndKeep(logits, ReduceMax, 1)))
	return shifted, ReduceSum(Exp(shifted), 1)
}

// negativeLogLikelihood is the cross-entropy of each image: the results of
// shiftedLogits and labels [batch] int32 to [batch] float32.
func negativeLogLikelihood(shifted, sum, labels *Node) *Node {
	labels.AssertDims(shifted.Shape().Dimensions[0])
	hot := OneHot(labels, shifted.Shape().Dimensions[1], dtypes.Float32) // [batch, classes]
	return Sub(Log(sum), ReduceSum(Mul(hot, shifted), 1))
}

// batchLoss is the mean of the losses [batch] whose weight is 1; those of
// padding rows have weight 0. weights is [batch] float32.
func batchLoss(losses, weights *Node) *Node {
	return Div(ReduceAllSum(Mul(losses, weights)), ReduceAllSum(weights))
}

// sgdStep is one step of plain SGD on one batch, without momentum or decay:
// parameter -= rate * gradient. It returns the loss before the update, a scalar,
// and the new parameters.
//
// pixels [rows, inputs] uint8 and labels [rows] uint8 are the resident data,
// batch [batch] int32 the rows to train on, weights [batch] float32 as in
// batchLoss; rate, scale and offset are scalars.
func sgdStep(pixels, labels, batch, weights, rate, scale, offset *Node, values parameters, t Topology) (loss *Node, updated parameters) {
	index := ExpandAxes(batch, 1) // [batch, 1]
	return sgdStepOn(Gather(pixels, index), Gather(labels, index), weights, rate, scale, offset, values, t)
}

// sgdStepOn is sgdStep on a batch that is there already: pixels [batch, inputs]
// uint8 and labels [batch] uint8.
func sgdStepOn(pixels, labels, weights, rate, scale, offset *Node, values parameters, t Topology) (loss *Node, updated parameters) {
	images := normalize(pixels, scale, offset)    // [batch, inputs]
	targets := ConvertDType(labels, dtypes.Int32) // [batch]
	inputs, outputs := forward(images, values, t)
	shifted, sum := shiftedLogits(outputs[len(outputs)-1])
	losses := negativeLogLikelihood(shifted, sum, targets) // [batch]
	loss = batchLoss(losses, weights)
	for i, gradient := range Gradient(loss, outputs...) { // [batch, out] each
		updated = append(updated,
			Sub(values[2*i], Mul(rate, weightGradient(gradient, inputs[i]))),
			Sub(values[2*i+1], Mul(rate, ReduceSum(gradient, 0))))
	}
	return loss, updated
}
