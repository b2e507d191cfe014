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
		g.fullyConnected(a.Parameters(), a.Activation, weights, images, logits)
	case model.Convolutional:
		g.convolutional(a, weights, images, logits)
	default:
		return fmt.Errorf("found the architecture %T, expected a fully connected or a convolutional network", a)
	}
	return nil
}

// operators are ONNX's names of the activations.
var operators = map[model.Activation]string{
	model.ActivationReLU: "Relu", model.ActivationSigmoid: "Sigmoid", model.ActivationTanh: "Tanh",
}

// fullyConnected adds the layers with such parameters.
func (g *graph) fullyConnected(
	parameters []model.ParameterSpec, activation model.Activation, weights model.Weights, images, logits string,
) {
	x := g.node("Flatten", "flatten", "flattened", []string{images}, integer("axis", 1))
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
			x = g.node(operators[activation], layer+".activation", layer+".activated", []string{x})
		}
	}
}

func (g *graph) convolutional(n model.Convolutional, weights model.Weights, images, logits string) {
	parameters := n.Parameters()
	x := images // [batch, channels, rows, columns]
	for range n.Channels {
		weight := g.tensor(parameters[0].Name, weights[0], parameters[0].Dims...)
		bias := g.tensor(parameters[1].Name, weights[1], parameters[1].Dims...)
		name := strings.TrimSuffix(weight, ".weight")
		x = g.node("Conv", name, name+".output", []string{x, weight, bias})
		x = g.node(operators[n.Activation], name+".activation", name+".activated", []string{x})
		x = g.node("MaxPool", name+".pooling", name+".pooled", []string{x}, integers("kernel_shape", 2, 2), integers("strides", 2, 2))
		parameters, weights = parameters[2:], weights[2:]
	}
	g.fullyConnected(parameters, n.Activation, weights, x, logits)
}
