package model

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
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
	plain  func(x float32) float32
}{
	{ActivationReLU, "ReLU", relu, func(x float32) float32 { return max(x, 0) }},
	{ActivationSigmoid, "Sigmoid", Logistic, func(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }},
	{ActivationTanh, "Tanh", Tanh, func(x float32) float32 { return float32(math.Tanh(float64(x))) }},
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
		parameters = append(parameters,
			ParameterSpec{Name: layerName(i) + "weight", Dims: []int{layer.Out, layer.In}, FanIn: layer.In},
			ParameterSpec{Name: layerName(i) + "bias", Dims: []int{layer.Out}, FanIn: layer.In})
	}
	return parameters
}

// layerName is how the names of a linear layer's parameters begin.
func layerName(layer int) string { return fmt.Sprintf("linear_relu_stack.%d.", 2*layer) }

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

// Forward takes an image through the layers.
func (n FullyConnected) Forward(image []float32, weights Weights) (outputs [][]float32) {
	x, activate := image, activations[n.Activation.index()].plain
	for len(weights) > 0 {
		weight, bias := weights[0], weights[1]
		weights = weights[2:]
		output := make([]float32, len(bias))
		for i := range output {
			output[i] = dot(weight[i*len(x):(i+1)*len(x)], x) + bias[i]
			if len(weights) > 0 {
				output[i] = activate(output[i])
			}
		}
		outputs = append(outputs, output)
		x = output
	}
	return outputs
}

// dot is the inner product of two vectors of one length. Four sums keep a processor
// busy that one would let wait for each addition.
func dot(a, b []float32) float32 {
	var sums [4]float32
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		sums[0] += a[i] * b[i]
		sums[1] += a[i+1] * b[i+1]
		sums[2] += a[i+2] * b[i+2]
		sums[3] += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		sums[0] += a[i] * b[i]
	}
	return (sums[0] + sums[1]) + (sums[2] + sums[3])
}

// The settings of a fully connected network in a file.
const (
	fullyConnectedKind = "fully_connected"
	layerSizesSetting  = "layer_sizes" // JSON
	activationSetting  = "activation"
)

// Settings are the widths of the hidden layers, as JSON, and the activation.
func (n FullyConnected) Settings() map[string]string {
	widths, _ := json.Marshal(append([]int{}, n.Hidden...)) // never null
	return map[string]string{
		architectureSetting: fullyConnectedKind, layerSizesSetting: string(widths), activationSetting: string(n.Activation),
	}
}

// readFullyConnected is the network of such settings.
func readFullyConnected(task Task, f *fields) FullyConnected {
	n := FullyConnected{Rows: task.Rows, Columns: task.Columns, Classes: task.Classes, Hidden: []int{}}
	n.Activation = Activation(f.text(activationSetting))
	f.check(n.Activation.index() >= 0, activationSetting, fmt.Sprintf("one of %v", Activations()))
	f.json(layerSizesSetting, &n.Hidden, "a list of widths")
	return n
}

// guessFullyConnected is the network that has tensors of such shapes. Whether they
// fit together, [readTensors] reports.
func guessFullyConnected(tensors map[string]tensorHeader, h Hints) (n FullyConnected, err error) {
	inputs := 0
	for i := 0; ; i++ {
		name := layerName(i) + "weight"
		tensor, ok := tensors[name]
		if !ok && i > 0 {
			break
		} else if !ok {
			return n, fmt.Errorf("tensor %s: not found, expected the weight of the first layer", name)
		} else if len(tensor.Shape) != 2 {
			return n, fmt.Errorf("tensor %s: found %s %v, expected 2 dimensions", name, tensor.DType, tensor.Shape)
		}
		n.Hidden = append(n.Hidden, tensor.Shape[0])
		if i == 0 {
			inputs = tensor.Shape[1]
		}
	}
	last := len(n.Hidden) - 1
	n.Hidden, n.Classes = n.Hidden[:last], n.Hidden[last]
	if h.LayerSizes != nil {
		n.Hidden = h.LayerSizes
	}
	n.Activation = cmp.Or(h.Activation, ActivationReLU)
	n.Rows, n.Columns = h.Rows, h.Columns
	if n.Rows == 0 {
		n.Rows, n.Columns = 1, inputs
		if side := int(math.Sqrt(float64(inputs))); side*side == inputs {
			n.Rows, n.Columns = side, side
		}
	}
	return n, nil
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
