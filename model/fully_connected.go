package model

import (
	"fmt"
	"slices"
	"strings"

	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"
)

// MaxWidth, MaxLayers and MaxParameters bound a network, so that a mistyped
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

// activations defines each activation, the default first.
var activations = []struct {
	name   Activation
	module string // PyTorch's, as its summary prints it
	apply  func(x *Node) *Node
}{
	{ActivationReLU, "ReLU", relu},
	{ActivationSigmoid, "Sigmoid", Logistic},
	{ActivationTanh, "Tanh", Tanh},
}

func relu(x *Node) *Node {
	// Where, not Max: the gradient at exactly 0 is then 0, as in PyTorch. And
	// less-or-equal, not greater: a NaN stays one, so that divergence shows.
	return Where(LessOrEqual(x, ZerosLike(x)), ZerosLike(x), x)
}

// Activations lists the valid values, the default first.
func Activations() []Activation {
	var names []Activation
	for _, activation := range activations {
		names = append(names, activation.name)
	}
	return names
}

// index is the place of a, one of Activations, among activations.
func (a Activation) index() int { return slices.Index(Activations(), a) }

// FullyConnected is the post's network: the image as a row of pixels, any number
// of hidden layers (none is allowed), one logit per class.
type FullyConnected struct {
	Rows       int        // height of an image in pixels, at least 1
	Columns    int        // width of an image in pixels, at least 1
	Hidden     []int      // width of each hidden layer, 1 to MaxWidth each, at most MaxLayers of them
	Classes    int        // logits, at least 2
	Activation Activation // after every hidden layer
}

// Task is images of Rows by Columns pixels in Classes classes.
func (n FullyConnected) Task() Task { return Task{n.Rows, n.Columns, n.Classes} }

// Validate reports the first thing that is impossible in the hidden layers, or
// that there are too many parameters. The images, the classes and the activation
// have been checked by whoever makes n.
func (n FullyConnected) Validate() error {
	if len(n.Hidden) > MaxLayers {
		return fmt.Errorf("layer sizes: found %d hidden layers, expected at most %d", len(n.Hidden), MaxLayers)
	}
	for i, width := range n.Hidden {
		if width < 1 || width > MaxWidth {
			return fmt.Errorf("layer sizes: width %d of hidden layer %d: expected 1 to %d", width, i+1, MaxWidth)
		}
	}
	if count := ParameterCount(n.Parameters()); count > MaxParameters {
		return fmt.Errorf("layer sizes: found %d parameters, expected at most %d", count, MaxParameters)
	}
	return nil
}

// Products are those of the linear layers, len(Hidden)+1 of them.
func (n FullyConnected) Products() []Product {
	in := n.Task().Inputs()
	var layers []Product
	for _, width := range append(n.Hidden[:len(n.Hidden):len(n.Hidden)], n.Classes) {
		layers = append(layers, Product{Rows: 1, In: in, Out: width})
		in = width
	}
	return layers
}

// Parameters are the weight [out, in] and the bias [out] of each linear layer,
// under the names that they have in the state_dict of the post's class: the
// activations take the odd numbers of linear_relu_stack. Both start from
// ±1/sqrt(in), as in PyTorch's nn.Linear.
func (n FullyConnected) Parameters() []ParameterSpec {
	var parameters []ParameterSpec
	for i, layer := range n.Products() {
		name := fmt.Sprintf("linear_relu_stack.%d.", 2*i)
		parameters = append(parameters,
			ParameterSpec{Name: name + "weight", Dims: []int{layer.Out, layer.In}, FanIn: layer.In},
			ParameterSpec{Name: name + "bias", Dims: []int{layer.Out}, FanIn: layer.In})
	}
	return parameters
}

// Logits flattens the images and takes them through the layers.
func (n FullyConnected) Logits(images *Node, parameters []*Node) *Node {
	x := Reshape(images, images.Shape().Dim(0), n.Task().Inputs())
	for len(parameters) > 0 {
		x = linear(x, parameters[0], parameters[1])
		if parameters = parameters[2:]; len(parameters) > 0 {
			x = activations[n.Activation.index()].apply(x)
		}
	}
	return x
}

// String prints the network as PyTorch prints the post's nn.Sequential.
func (n FullyConnected) String() string {
	var b strings.Builder
	b.WriteString("Sequential(\n")
	for i, layer := range n.Products() {
		if i > 0 {
			fmt.Fprintf(&b, "  (%d): %s()\n", 2*i-1, activations[n.Activation.index()].module)
		}
		fmt.Fprintf(&b, "  (%d): Linear(in_features=%d, out_features=%d, bias=True)\n", 2*i, layer.In, layer.Out)
	}
	b.WriteString(")")
	return b.String()
}
