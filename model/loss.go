package model

import (
	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// shiftedLogits subtracts from the logits [batch, classes] the largest of each
// image, so that logits of any finite size give a finite loss, and returns the
// sum of their exponentials [batch] as well: the softmax is exp(shifted) / sum.
func shiftedLogits(logits *Node) (shifted, sum *Node) {
	shifted = Sub(logits, StopGradient(ReduceAndKeep(logits, ReduceMax, 1)))
	return shifted, ReduceSum(Exp(shifted), 1)
}

// negativeLogLikelihood is the cross-entropy of each image: the results of
// shiftedLogits and labels [batch] uint8 to [batch] float32.
func negativeLogLikelihood(shifted, sum, labels *Node) *Node {
	classes := shifted.Shape().Dim(1)
	hot := OneHot(ConvertDType(labels, dtypes.Int32), classes, dtypes.Float32) // [batch, classes]
	return Sub(Log(sum), ReduceSum(Mul(hot, shifted), 1))
}

// batchLoss is the mean of the losses [batch] of a batch's images. In the last,
// partial batch of an epoch the rows after them are padding, which counts nothing.
// step is the batch's number from 0 and count the number of images in the epoch,
// both scalars.
func batchLoss(losses, step, count *Node) *Node {
	g, batch := step.Graph(), losses.Shape().Dim(0)
	left := Sub(count, Mul(step, Const(g, int32(batch))))
	exists := ConvertDType(LessThan(Iota(g, shapes.Make(dtypes.Int32, batch), 0), left), dtypes.Float32)
	images := ConvertDType(Min(left, Const(g, int32(batch))), dtypes.Float32)
	return Div(ReduceAllSum(Mul(losses, exists)), images)
}
