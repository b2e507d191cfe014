package model

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"epochal/dataset"
	"epochal/model/backend"
)

// MaxStages, MaxChannels and MaxKernel bound the convolutions of a network.
const (
	MaxStages   = 8
	MaxChannels = 1024
	MaxKernel   = 15
)

// pooling is the side of the square whose largest value a pooling keeps.
const pooling = 2

// Convolutional is the post's network behind convolutions. For each of Channels there
// is a convolution of stride 1 without padding, the activation, and a max pooling of
// 2x2 pixels, which drops an odd last row or column. What they leave is flattened, and the
// fully connected layers follow.
type Convolutional struct {
	FullyConnected       // of the images; its first layer gets what the last pooling leaves
	Channels       []int // of each convolution's output, 1 to MaxChannels each, 1 to MaxStages of them
	Kernel         int   // rows and columns of pixels that a convolution looks at, 1 to MaxKernel
}

// stage is a convolution with its activation and pooling.
type stage struct {
	in, out       int // channels
	rows, columns int // of the convolution's output; the pooling halves them
}

// fan is the number of inputs of each output.
func (s stage) fan(kernel int) int { return s.in * kernel * kernel }

func (n Convolutional) stages() []stage {
	s := stage{out: 1, rows: pooling * n.Rows, columns: pooling * n.Columns} // the image, as if pooled
	var all []stage
	for _, channels := range n.Channels {
		s = stage{s.out, channels, s.rows/pooling - n.Kernel + 1, s.columns/pooling - n.Kernel + 1}
		all = append(all, s)
	}
	return all
}

// dense is the network behind the convolutions.
func (n Convolutional) dense() FullyConnected {
	stages := n.stages()
	last := stages[len(stages)-1]
	dense := n.FullyConnected
	dense.Rows, dense.Columns = last.out, last.rows/pooling*(last.columns/pooling)
	return dense
}

// Validate reports the first thing that is impossible in the convolutions, for images
// of this size, or in the hidden layers. The images, the classes and the activation
// have been checked by whoever makes n.
func (n Convolutional) Validate() error {
	if len(n.Channels) < 1 || len(n.Channels) > MaxStages {
		return fmt.Errorf("convolutions: found %d, expected 1 to %d", len(n.Channels), MaxStages)
	}
	for i, channels := range n.Channels {
		if channels < 1 || channels > MaxChannels {
			return fmt.Errorf("convolutions: %d channels of number %d: expected 1 to %d", channels, i+1, MaxChannels)
		}
	}
	if n.Kernel < 1 || n.Kernel > MaxKernel {
		return fmt.Errorf("convolutions: kernel of %d pixels: expected 1 to %d", n.Kernel, MaxKernel)
	}
	rows, columns := n.Rows, n.Columns
	for i, s := range n.stages() {
		if least := n.Kernel + pooling - 1; min(s.rows, s.columns) < pooling {
			return fmt.Errorf("convolutions: number %d of %d gets %d by %d pixels of an image of %d by %d, expected at least %d by %d",
				i+1, len(n.Channels), rows, columns, n.Rows, n.Columns, least, least)
		}
		rows, columns = s.rows/pooling, s.columns/pooling
	}
	if err := n.dense().Validate(); err != nil {
		return err
	}
	if count := ParameterCount(n.Parameters()); count > MaxParameters {
		return fmt.Errorf("convolutions and layers: found %d parameters, expected at most %d", count, MaxParameters)
	}
	return nil
}

// Products are those of the convolutions, whose rows are the pixels of their outputs,
// and those of the linear layers. As is usual, pixels that a pooling drops are counted.
func (n Convolutional) Products() []Product {
	var products []Product
	for _, s := range n.stages() {
		products = append(products, Product{Rows: s.rows * s.columns, In: s.fan(n.Kernel), Out: s.out})
	}
	return append(products, n.dense().Products()...)
}

// Parameters are the weight [out, in, kernel, kernel] and the bias [out] of each
// convolution, under the names that they have in a PyTorch class with a conv_stack of
// convolutions, activations and poolings, and then those of the linear layers. All
// start from ±1/sqrt(inputs of an output), as in PyTorch's nn.Conv2d and nn.Linear.
func (n Convolutional) Parameters() []ParameterSpec {
	var parameters []ParameterSpec
	for i, s := range n.stages() {
		fan := s.fan(n.Kernel)
		parameters = append(parameters,
			ParameterSpec{Name: stageName(i) + "weight", Dims: []int{s.out, s.in, n.Kernel, n.Kernel}, FanIn: fan},
			ParameterSpec{Name: stageName(i) + "bias", Dims: []int{s.out}, FanIn: fan})
	}
	return append(parameters, n.dense().Parameters()...)
}

// Maps are the channels, rows and columns of the output of each convolution after its pooling,
// as Forward has it.
func (n Convolutional) Maps() (maps [][3]int) {
	for _, s := range n.stages() {
		maps = append(maps, [3]int{s.out, s.rows / pooling, s.columns / pooling})
	}
	return maps
}

// stageName is how the names of a convolution's parameters begin.
func stageName(stage int) string { return fmt.Sprintf("conv_stack.%d.", 3*stage) }

// Logits takes the images through the convolutions and the layers.
func (n Convolutional) Logits(images *Node, parameters []*Node) *Node {
	activation := activations[n.Activation.index()]
	x := ExpandAxes(images, -1) // [batch, rows, columns, channels]
	for range n.Channels {
		// The largest of several values stays the largest when a number is added to all and
		// when an activation, none of which ever falls, is applied to all. So both come after
		// the pooling, where there is a quarter of the work; the results are the same.
		x = maxPool(convolution(x, parameters[0]))
		x = activation.apply(Add(x, ExpandAxes(parameters[1], 0, 1, 2)))
		x = once(x, parameters[0])[0] // or XLA would compute it for each place of the next kernel
		parameters = parameters[2:]
	}
	return n.dense().Logits(TransposeAllAxes(x, 0, 3, 1, 2), parameters) // PyTorch flattens [channels, rows, columns]
}

// convolution is x [batch, rows, columns, in] convolved with the weight [out, in, k, k],
// without padding, [batch, rows-k+1, columns-k+1, out], less an odd last row or column,
// which the pooling drops: of 11 by 11 pixels, that is a sixth of the work.
//
// It is one matrix product, of the pixels that every output sees, because XLA
// computes a convolution inside a loop on the processor 10 to 15 times slower than
// outside (jax-ml/jax issue 12868).
func convolution(x, weight *Node) *Node {
	from, kernel := x.Shape().Dimensions, weight.Shape().Dimensions
	out, in, side := kernel[0], kernel[1], kernel[2]
	rows, columns := (from[1]-side+1)/pooling*pooling, (from[2]-side+1)/pooling*pooling
	pixels, fan := from[0]*rows*columns, side*side*in
	var seen []*Node // by each output, [batch, rows, columns, in] for each place of the kernel
	for i := range side {
		for j := range side {
			seen = append(seen, Slice(x, AxisRange(), AxisRange(i, i+rows), AxisRange(j, j+columns), AxisRange()))
		}
	}
	matrix := Reshape(TransposeAllAxes(weight, 0, 2, 3, 1), out, fan)
	if in == 1 && backend.IsXLACPU(x.Graph().Backend()) {
		for i, pixel := range seen {
			seen[i] = Reshape(pixel, 1, pixels)
		}
		return Reshape(productOfPlaces(Concatenate(seen, 0), matrix), from[0], rows, columns, out)
	}
	patches := Reshape(Concatenate(seen, 3), pixels, fan)
	return Reshape(productWith(patches, matrix, patchGradient), from[0], rows, columns, out)
}

// patchGradient is the gradient of the weight, [out, fan], by that of the output, [pixels, out],
// of a product with patches [pixels, fan]. XLA's CPU client would divide the many pixels
// among its threads, whose number would decide the bits. It does not when one operand has
// been transposed before.
func patchGradient(gradient, patches *Node) *Node {
	if !backend.IsXLACPU(patches.Graph().Backend()) {
		return DotGeneral(gradient, []int{0}, nil, patches, []int{0}, nil)
	}
	return transposedProduct(gradient, patches)
}

// productOfPlaces is that product, [pixels, out], by the transposed patches [fan, pixels]. With
// one channel they take less time to make, place by place, and both products take them as they are.
func productOfPlaces(places, weight *Node) *Node {
	places = once(places, weight)[0] // or XLA would transpose them first
	return productWith(Transpose(places, 0, 1), weight, func(gradient, _ *Node) *Node {
		product := DotGeneral(places, []int{1}, nil, gradient, []int{0}, nil) // [fan, out]
		return Transpose(once(product, weight)[0], 0, 1)                      // or XLA would swap the operands
	})
}

// maxPool is the largest value of each 2x2 pixels of x [batch, rows, columns, channels],
// whose rows and columns are even: [batch, rows/2, columns/2, channels]. Its gradient goes
// to the first of them that is the largest, row by row, as in PyTorch; GoMLX would share it
// among all that are.
func maxPool(x *Node) *Node {
	from := x.Shape().Dimensions
	batch, rows, columns, channels := from[0], from[1]/pooling, from[2]/pooling, from[3]
	windows := Reshape(x, batch, rows, pooling, columns, pooling, channels)
	// As in product, the identity after the maximum records the gradient for the one before it.
	var gradient *Node // [batch, rows, columns, channels]
	windows = IdentityWithCustomGradient(windows, func(windows, _ *Node) *Node {
		first, value := firstLargest(windows), gradient
		if channels < 32 {
			// Measured: to store both is faster than to compute them for each of the four outputs
			// of a window. With more channels it is slower.
			stored := once(first, value)
			first, value = stored[0], stored[1]
		}
		all := windows.Shape().Dimensions
		spread := func(x *Node) *Node { return BroadcastToDims(ExpandAxes(x, 2, 4), all...) }
		// A constant, because XLA would compute an iota before the loop, at full size.
		place := Reshape(Const(windows.Graph(), []int32{0, 1, 2, 3}), 1, 1, pooling, 1, pooling, 1)
		return Where(Equal(BroadcastToDims(place, all...), spread(first)), spread(value), ZerosLike(windows))
	})
	a, b, c, d := corners(windows)
	return IdentityWithCustomGradient(Max(Max(a, b), Max(c, d)), func(_, v *Node) *Node { gradient = v; return v })
}

// corners are the values of windows [batch, rows, 2, columns, 2, channels], row by row,
// each [batch, rows, columns, channels].
func corners(windows *Node) (a, b, c, d *Node) {
	at := func(row, column int) *Node {
		return Squeeze(Slice(windows, AxisRange(), AxisRange(), AxisElem(row), AxisRange(), AxisElem(column), AxisRange()), 2, 4)
	}
	return at(0, 0), at(0, 1), at(1, 0), at(1, 1)
}

// firstLargest is the place, 0 to 3, of the first largest value of each of such windows,
// int32 [batch, rows, columns, channels].
func firstLargest(windows *Node) *Node {
	a, b, c, d := corners(windows)
	choose := func(condition *Node, yes, no int32) *Node {
		number := func(value int32) *Node {
			return BroadcastToDims(Const(windows.Graph(), value), a.Shape().Dimensions...)
		}
		return Where(condition, number(yes), number(no))
	}
	return Where(GreaterThan(Max(c, d), Max(a, b)), choose(GreaterThan(d, c), 3, 2), choose(GreaterThan(b, a), 1, 0))
}

// Forward takes an image through the convolutions and the layers. The outputs of a
// convolution are those after its pooling, [channels, rows, columns].
func (n Convolutional) Forward(image []float32, weights Weights) (outputs [][]float32) {
	activate := activations[n.Activation.index()].plain
	x := image // [in, rows, columns]
	for _, s := range n.stages() {
		weight, bias := weights[0], weights[1]
		weights = weights[2:]
		fan := s.fan(n.Kernel)
		patches := s.patches(x, n.Kernel)
		x = make([]float32, 0, s.out*(s.rows/pooling)*(s.columns/pooling))
		for channel := range s.out {
			kernel := weight[channel*fan : (channel+1)*fan]
			for row := 0; row+pooling <= s.rows; row += pooling {
				for column := 0; column+pooling <= s.columns; column += pooling {
					at := func(i, j int) float32 {
						from := ((row+i)*s.columns + column + j) * fan
						return dot(kernel, patches[from:from+fan])
					}
					x = append(x, activate(max(at(0, 0), at(0, 1), at(1, 0), at(1, 1))+bias[channel]))
				}
			}
		}
		outputs = append(outputs, x)
	}
	return append(outputs, n.dense().Forward(x, weights)...)
}

// patches are the values of x [in, rows, columns] that each output of the convolution sees,
// [rows, columns, in, kernel, kernel] of its output.
func (s stage) patches(x []float32, kernel int) []float32 {
	patches := make([]float32, 0, s.rows*s.columns*s.fan(kernel))
	width := s.columns + kernel - 1
	height := s.rows + kernel - 1
	for row := range s.rows {
		for column := range s.columns {
			for in := range s.in {
				for i := range kernel {
					from := (in*height+row+i)*width + column
					patches = append(patches, x[from:from+kernel]...)
				}
			}
		}
	}
	return patches
}

// The settings of a convolutional network in a file, besides those of a fully connected one.
const (
	convolutionalKind   = "convolutional"
	convChannelsSetting = "conv_channels" // JSON
	convKernelSetting   = "conv_kernel"
)

// Settings are the channels, as JSON, the kernel, and those of the layers.
func (n Convolutional) Settings() map[string]string {
	channels, _ := json.Marshal(n.Channels)
	settings := map[string]string{convChannelsSetting: string(channels), convKernelSetting: fmt.Sprint(n.Kernel)}
	maps.Copy(settings, n.FullyConnected.Settings())
	settings[architectureSetting] = convolutionalKind
	return settings
}

// readConvolutional is the network of such settings.
func readConvolutional(task Task, f *fields) Convolutional {
	n := Convolutional{FullyConnected: readFullyConnected(task, f), Kernel: f.integer(convKernelSetting, 1, MaxKernel)}
	f.json(convChannelsSetting, &n.Channels, "a list of channels")
	return n
}

// guessConvolutional is the network that has tensors of such shapes, of images of h's size, or
// else of MNIST's, or else of a square; several may leave the same after the poolings, of which it
// is the smallest. Whether the tensors fit together, [readTensors] reports.
func guessConvolutional(tensors map[string]tensorHeader, h Hints) (n Convolutional, err error) {
	for i := 0; ; i++ {
		name := stageName(i) + "weight"
		tensor, ok := tensors[name]
		if !ok {
			break
		} else if len(tensor.Shape) != 4 || tensor.Shape[2] != tensor.Shape[3] {
			return n, fmt.Errorf("tensor %s: found %s %v, expected 4 dimensions, the last two of them equal", name, tensor.DType, tensor.Shape)
		}
		n.Channels, n.Kernel = append(n.Channels, tensor.Shape[0]), tensor.Shape[2]
	}
	square := h.Rows == 0
	rows, columns := cmp.Or(h.Rows, mnistSide), cmp.Or(h.Columns, mnistSide)
	h.Rows, h.Columns = rows, columns
	if n.FullyConnected, err = guessFullyConnected(tensors, h); err != nil {
		return n, err
	}
	fits := func() bool {
		first := n.dense().Parameters()[0]
		return n.Validate() == nil && tensors[first.Name].Shape[1] == first.FanIn
	}
	for side := 1; square && !fits() && side <= dataset.MaxSide; side++ {
		n.Rows, n.Columns = side, side
	}
	if square && !fits() {
		n.Rows, n.Columns = rows, columns
	}
	if err := n.Validate(); err != nil {
		return n, err
	}
	first := n.dense().Parameters()[0]
	if found := tensors[first.Name].Shape[1]; found != first.FanIn {
		return n, fmt.Errorf("tensor %s: found %d inputs, expected %d, which the convolutions leave of an image of %d by %d pixels",
			first.Name, found, first.FanIn, rows, columns)
	}
	return n, nil
}

// mnistSide is the height and width of MNIST's images.
const mnistSide = 28

// String prints the network as PyTorch prints a class with both stacks.
func (n Convolutional) String() string {
	var b strings.Builder
	b.WriteString("Network(\n  (conv_stack): Sequential(\n")
	for i, s := range n.stages() {
		fmt.Fprintf(&b, "    (%d): Conv2d(%d, %d, kernel_size=(%d, %d), stride=(1, 1))\n", 3*i, s.in, s.out, n.Kernel, n.Kernel)
		fmt.Fprintf(&b, "    (%d): %s()\n", 3*i+1, activations[n.Activation.index()].module)
		fmt.Fprintf(&b, "    (%d): MaxPool2d(kernel_size=%d, stride=%d, padding=0, dilation=1, ceil_mode=False)\n", 3*i+2, pooling, pooling)
	}
	b.WriteString("  )\n  (flatten): Flatten(start_dim=1, end_dim=-1)\n  (linear_relu_stack): ")
	b.WriteString(strings.ReplaceAll(n.dense().String(), "\n", "\n  "))
	b.WriteString("\n)")
	return b.String()
}
