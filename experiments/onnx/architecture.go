package onnx

import (
	"fmt"
	"strings"

	"epochal/model"
)

// layers adds an architecture, from the normalized images [batch, 1, rows, columns] to
// the logits, both by name. A new kind is a case here.
func (g *graph) layers(a model.Architecture, weights model.Weights, images, logits string) error {
	switch a := a.(type) {
	case model.FullyConnected:
		g.fullyConnected(a, weights, images, logits)
	default:
		return fmt.Errorf("found the architecture %T, expected a fully connected network", a)
	}
	return nil
}

// operators are ONNX's names of the activations.
var operators = map[model.Activation]string{
	model.ActivationReLU: "Relu", model.ActivationSigmoid: "Sigmoid", model.ActivationTanh: "Tanh",
}

func (g *graph) fullyConnected(n model.FullyConnected, weights model.Weights, images, logits string) {
	x := g.node("Flatten", "flatten", "flattened", []string{images}, integer("axis", 1))
	parameters := n.Parameters()
	for i := 0; i < len(parameters); i += 2 {
		weight := g.tensor(parameters[i].Name, weights[i], parameters[i].Dims...)
		bias := g.tensor(parameters[i+1].Name, weights[i+1], parameters[i+1].Dims...)
		layer, hidden := strings.TrimSuffix(weight, ".weight"), i+2 < len(parameters)
		output := logits
		if hidden {
			output = layer + ".output"
		}
		x = g.node("Gemm", layer, output, []string{x, weight, bias}, integer("transB", 1)) // weights are [out, in]
		if hidden {
			x = g.node(operators[n.Activation], layer+".activation", layer+".activated", []string{x})
		}
	}
}
