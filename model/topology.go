package model

import (
	"errors"
	"fmt"
	"strings"
)

// MaxWidth, MaxLayers and MaxParameters bound a topology, so that a mistyped
// width is refused before anything is allocated for it.
const (
	MaxWidth      = 65536
	MaxLayers     = 64
	MaxParameters = 1 << 28 // 1 GiB of float32
)

// Activation is the function between two layers. The zero value is not valid.
type Activation string

// The activations offered. The post uses ReLU; its predecessor used the sigmoid.
const (
	ActivationReLU    Activation = "relu"
	ActivationSigmoid Activation = "sigmoid"
	ActivationTanh    Activation = "tanh"
)

// Activations lists the valid values, the default first.
func Activations() []Activation {
	return []Activation{ActivationReLU, ActivationSigmoid, ActivationTanh}
}

// module is the name of PyTorch's module for a, as its summary prints it.
func (a Activation) module() string {
	switch a {
	case ActivationSigmoid:
		return "Sigmoid"
	case ActivationTanh:
		return "Tanh"
	default:
		return "ReLU"
	}
}

// Topology is the shape of a fully connected network: Inputs values, any number
// of hidden layers (none is allowed), one logit per class.
type Topology struct {
	Inputs     int        // pixels of an image, at least 1
	Hidden     []int      // width of each hidden layer, 1 to MaxWidth each, at most MaxLayers of them
	Classes    int        // logits, at least 2
	Activation Activation // after every hidden layer
}

// Validate reports every problem of t, joined into one error.
func (t Topology) Validate() error {
	var problems []error
	if t.Inputs < 1 {
		problems = append(problems, fmt.Errorf("inputs: found %d, expected at least 1", t.Inputs))
	}
	if t.Classes < 2 {
		problems = append(problems, fmt.Errorf("classes: found %d, expected at least 2", t.Classes))
	}
	if err := validateHidden(t.Hidden); err != nil {
		problems = append(problems, err)
	}
	if err := t.Activation.Validate(); err != nil {
		problems = append(problems, err)
	}
	if len(problems) == 0 {
		if count := t.ParameterCount(); count > MaxParameters {
			problems = append(problems, fmt.Errorf("layer sizes: found %d parameters, expected at most %d", count, MaxParameters))
		}
	}
	return errors.Join(problems...)
}

// validateHidden reports the first impossible width in a list of hidden layers.
func validateHidden(widths []int) error {
	if len(widths) > MaxLayers {
		return fmt.Errorf("layer sizes: found %d hidden layers, expected at most %d", len(widths), MaxLayers)
	}
	for i, width := range widths {
		if width < 1 || width > MaxWidth {
			return fmt.Errorf("layer sizes: width %d of hidden layer %d: expected 1 to %d", width, i+1, MaxWidth)
		}
	}
	return nil
}

// Validate reports an unknown activation with the valid ones.
func (a Activation) Validate() error {
	var names []string
	for _, known := range Activations() {
		if a == known {
			return nil
		}
		names = append(names, string(known))
	}
	return fmt.Errorf("activation: found %q, expected one of %s", string(a), strings.Join(names, ", "))
}

// Linear is the shape of one layer: weight [Out, In], bias [Out].
type Linear struct{ In, Out int }

// Layers lists the linear layers in order: len(Hidden)+1 of them.
func (t Topology) Layers() []Linear {
	layers := make([]Linear, 0, len(t.Hidden)+1)
	in := t.Inputs
	for _, width := range t.Hidden {
		layers = append(layers, Linear{In: in, Out: width})
		in = width
	}
	return append(layers, Linear{In: in, Out: t.Classes})
}

// ParameterCount is the number of weights and biases.
func (t Topology) ParameterCount() int {
	count := 0
	for _, layer := range t.Layers() {
		count += layer.Out*layer.In + layer.Out
	}
	return count
}

// EvaluationFLOPs counts the floating point operations of one image's matrix
// products in the forward pass, a multiply-add as 2. Biases, activations and
// the loss are left out: they are linear in the widths.
func (t Topology) EvaluationFLOPs() float64 {
	flops := 0.0
	for _, layer := range t.Layers() {
		flops += 2 * float64(layer.In) * float64(layer.Out)
	}
	return flops
}

// TrainFLOPs counts the same for one image of a training step: the forward
// pass, the gradient of each weight matrix, and the gradient of each layer's
// input except the first's, which nobody needs.
func (t Topology) TrainFLOPs() float64 {
	first := t.Layers()[0]
	return 3*t.EvaluationFLOPs() - 2*float64(first.In)*float64(first.Out)
}

// String prints the network as PyTorch prints the post's nn.Sequential.
func (t Topology) String() string {
	var b strings.Builder
	b.WriteString("Sequential(\n")
	layers := t.Layers()
	for i, layer := range layers {
		fmt.Fprintf(&b, "  (%d): Linear(in_features=%d, out_features=%d, bias=True)\n", 2*i, layer.In, layer.Out)
		if i < len(layers)-1 {
			fmt.Fprintf(&b, "  (%d): %s()\n", 2*i+1, t.Activation.module())
		}
	}
	b.WriteString(")")
	return b.String()
}
