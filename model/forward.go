package model

import (
	"math"
	"slices"
)

// Forward classifies one image at a time in plain Go. It needs no backend, so that
// it starts at once: for a few images it is done before XLA is open. It is safe for
// concurrent use.
type Forward struct {
	architecture  Architecture
	weights       Weights
	scale, offset float32
}

// NewForward uses the weights, which must not change any more, as d says.
func NewForward(d Description, weights Weights) *Forward {
	f := &Forward{architecture: d.Architecture, weights: weights}
	f.scale, f.offset = d.Normalization.Affine()
	return f
}

// Run classifies an image: pixels [rows*columns], 0 to 255. It returns the softmax
// probabilities [classes], 0 to 1, and the output of every hidden layer after its activation.
func (f *Forward) Run(pixels []uint8) (probabilities []float32, activations [][]float32) {
	image := make([]float32, len(pixels))
	for i, pixel := range pixels {
		image[i] = float32(pixel)*f.scale + f.offset
	}
	outputs := f.architecture.Forward(image, f.weights)
	last := len(outputs) - 1
	return softmax(outputs[last]), outputs[:last]
}

// softmax turns logits into probabilities.
func softmax(logits []float32) []float32 {
	largest, sum := slices.Max(logits), 0.0
	probabilities := make([]float32, len(logits))
	for i, logit := range logits {
		probabilities[i] = float32(math.Exp(float64(logit - largest)))
		sum += float64(probabilities[i])
	}
	for i := range probabilities {
		probabilities[i] = float32(float64(probabilities[i]) / sum)
	}
	return probabilities
}
