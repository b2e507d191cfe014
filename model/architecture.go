package model

import (
	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"epochal/model/backend"
)

// Architecture is a kind of network: its parameters, and how images become
// logits. Everything else in this package works on the list of parameters and
// knows no layers, so that a new architecture is a new file.
type Architecture interface {
	// Validate reports what is impossible in the sizes of the layers. Every other
	// method may assume that it reported nothing.
	Validate() error

	// String is the network as PyTorch prints it, which with the Task describes it completely.
	String() string

	// Task is what the network classifies.
	Task() Task

	// Parameters lists the parameters in the order in which they are
	// initialized, stored and passed to Logits.
	Parameters() []ParameterSpec

	// Logits builds the graph from images [batch, rows, columns], normalized
	// float32, to [batch, classes]. Like all graph building it panics on misuse;
	// this package recovers.
	Logits(images *Node, parameters []*Node) *Node

	// Forward is Logits in plain Go for one image [rows*columns], normalized: the
	// outputs of the hidden layers, after their activations, and then the logits [classes].
	Forward(image []float32, weights Weights) [][]float32

	// Settings is what, besides the task, makes the network, by name: what
	// [readArchitecture] needs. "architecture" is the kind.
	Settings() map[string]string

	// Products lists the matrix products of an image's forward pass, in order:
	// what its speed is compared with.
	Products() []Product
}

// Task is what a network does: it sorts images of one size into classes.
type Task struct {
	Rows    int // height of an image in pixels, at least 1
	Columns int // width of an image in pixels, at least 1
	Classes int // at least 2
}

// Inputs is the number of pixels of an image.
func (t Task) Inputs() int { return t.Rows * t.Columns }

// Product is one matrix product of an image's forward pass: its input [Rows, In]
// times a weight [Out, In] transposed.
type Product struct{ Rows, In, Out int }

func (p Product) flops() float64 { return 2 * float64(p.Rows) * float64(p.In) * float64(p.Out) }

// EvaluationFLOPs counts the floating point operations of one image's matrix
// products in the forward pass, a multiply-add as 2. Biases, activations and
// the loss are left out: they are linear in the widths.
func EvaluationFLOPs(a Architecture) float64 {
	flops := 0.0
	for _, product := range a.Products() {
		flops += product.flops()
	}
	return flops
}

// TrainFLOPs counts the same for one image of a training step: the forward
// pass, the gradient of each weight matrix, and the gradient of each product's
// input except the first's, which is not needed.
func TrainFLOPs(a Architecture) float64 {
	return 3*EvaluationFLOPs(a) - a.Products()[0].flops()
}

// Threads is how many threads of a processor suit the training of a network, 1 to cores:
// one for every 8 MFLOP of a step. With less work, dividing a step costs more than it
// saves. On 2 cores of a Zen 4, one thread instead of two took 0.73 of the time of an
// epoch at 1.7 MFLOP, 0.84 at 6.9, 0.91 at 8.1, 1.10 at 16 and 1.16 at 33; an Intel breaks
// even at 30. On more cores the rule leaves each thread as much work as here, and never
// has more of them than XLA by itself, which takes all. The bits are the same.
func Threads(a Architecture, batch, cores int) int {
	const enough = 8e6 // FLOP
	return int(max(1, min(TrainFLOPs(a)*float64(batch)/enough, float64(cores))))
}

// linear is a fully connected layer: x [batch, in] times the transposed weight
// [out, in], plus bias [out], to [batch, out].
func linear(x, weight, bias *Node) *Node {
	return Add(product(x, weight), ExpandAxes(bias, 0)) // bias as [1, out]
}

// product is x [rows, in] times the transposed weight [out, in], [rows, out].
// An architecture makes its matrix products with it because the gradient of the
// weight is then the fastest there is for the backend.
func product(x, weight *Node) *Node {
	if !transposesGradient(x.Graph(), x.Shape().Dim(0), weight.Shape().Dim(0)) {
		return DotGeneral(x, []int{1}, nil, weight, []int{1}, nil)
	}
	return productWith(x, weight, weightGradient)
}

// productWith is that product with another gradient of its weight, [out, in], which is
// made of the gradient of the output, [rows, out], and x.
func productWith(x, weight *Node, weightGradient func(gradient, x *Node) *Node) *Node {
	// GoMLX accepts a custom gradient only on an identity. Automatic
	// differentiation works backwards, so it meets the identity after the product,
	// which records the gradient, before the one of the weight, which needs it.
	var gradient *Node // [rows, out]
	weight = IdentityWithCustomGradient(weight, func(_, _ *Node) *Node { return weightGradient(gradient, x) })
	output := DotGeneral(x, []int{1}, nil, weight, []int{1}, nil)
	return IdentityWithCustomGradient(output, func(_, v *Node) *Node { gradient = v; return v })
}

// weightGradient is the gradient of a product's weight, [out, in]: gradient is
// that of its output, [rows, out], and x what went into it, [rows, in].
func weightGradient(gradient, x *Node) *Node {
	if !transposesGradient(gradient.Graph(), gradient.Shape().Dim(0), gradient.Shape().Dim(1)) {
		return DotGeneral(gradient, []int{0}, nil, x, []int{0}, nil)
	}
	return transposedProduct(gradient, x)
}

// transposedProduct is a [rows, m], transposed, times b [rows, n], [m, n]. The barrier
// keeps XLA from folding the transposition into the product.
func transposedProduct(a, b *Node) *Node {
	barred := OptimizationBarriers(Transpose(a, 0, 1), b)
	return DotGeneral(barred[0], []int{1}, nil, barred[1], []int{0}, nil)
}

// once keeps XLA's CPU client from computing a and b again in each operation that takes
// them. There are two because go-xla ignores a barrier with a single operand there.
func once(a, b *Node) []*Node {
	if !backend.IsXLACPU(a.Graph().Backend()) {
		return []*Node{a, b}
	}
	return OptimizationBarriers(a, b)
}

// transposesGradient reports whether the product for a weight's gradient is faster
// when the gradient of the output is transposed first. XLA's CPU client computes
// a product over the first axes with a different library than one over the last
// and the first, which is the faster of the two for many images and wide layers: 3%
// of a step at 512,512 and 1024,1024 with 256 images, but -16% at 256,256 with 128.
func transposesGradient(g *Graph, rows, out int) bool {
	return rows >= 256 && out >= 512 && backend.IsXLACPU(g.Backend())
}
