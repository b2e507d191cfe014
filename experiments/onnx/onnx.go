// Package onnx writes trained networks as ONNX, for programs that know nothing of this
// one: browsers, ONNX Runtime, other languages. Normalization is part of the graph, so
// that nobody has to know how the network was trained.
//
// It reads no ONNX, runs no graph and touches no file. Package trained opens the networks;
// a new architecture of package model is a new case in architecture.go.
package onnx

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"epochal/model"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"
)

// Versions that ONNX Runtime 1.15, of 2023, and everything since reads.
const (
	irVersion = 8
	opset     = 17
)

// Input is what the graph takes as pixels.
type Input string

// The inputs offered.
const (
	Uint8    Input = "uint8"    // bytes, 0 to 255
	Float    Input = "float"    // float32, 0 to 1
	Float255 Input = "float255" // float32, 0 to 255
)

// Inputs lists the valid values, the default first.
func Inputs() []Input { return []Input{Uint8, Float, Float255} }

// Options say what the graph takes and gives.
type Options struct {
	Input   Input
	Softmax bool   // also gives the probabilities
	Version string // of this program
}

// The names of the graph's input and outputs.
const (
	ImageName         = "image"         // [batch, 1, rows, columns]
	LogitsName        = "logits"        // [batch, classes] float32
	ProbabilitiesName = "probabilities" // likewise, each row's sum is 1
)

// batch names the dimension whose size is up to the caller.
const batch = "batch"

// Encode returns the network as an ONNX file. Equal arguments give equal bytes. It is an
// error if the architecture is one that cannot be written.
func Encode(d model.Description, weights model.Weights, o Options) ([]byte, error) {
	task := d.Architecture.Task()
	g := &graph{GraphProto: &protos.GraphProto{
		Name: "epochal", DocString: d.Architecture.String(),
		Input: []*protos.ValueInfoProto{value(ImageName, o.document(), o.elements(), batch, 1, task.Rows, task.Columns)},
		Output: []*protos.ValueInfoProto{
			value(LogitsName, "A number for each class; the largest is that of the predicted class.", float, batch, task.Classes),
		},
	}}
	if err := g.layers(d.Architecture, weights, g.normalized(d.Normalization, o), LogitsName); err != nil {
		return nil, err
	}
	if o.Softmax {
		g.node("Softmax", "softmax", ProbabilitiesName, []string{LogitsName}, integer("axis", 1))
		g.Output = append(g.Output, value(ProbabilitiesName, "The probability of each class.", float, batch, task.Classes))
	}
	file := &protos.ModelProto{
		IrVersion: irVersion, OpsetImport: []*protos.OperatorSetIdProto{{Version: opset}},
		ProducerName: "epochal", ProducerVersion: o.Version, Domain: "epochal", ModelVersion: 1,
		DocString: fmt.Sprintf("Classifies images of %d x %d pixels into %d classes. The normalization of the training is part of the graph.",
			task.Rows, task.Columns, task.Classes),
		Graph: g.GraphProto,
	}
	metadata := d.Metadata()
	delete(metadata, "format") // of the file that it was
	// As ONNX's specification of metadata calls it.
	metadata["Image.BitmapPixelFormat"], metadata["Image.NominalPixelRange"] = "Gray8", "NominalRange_0_255"
	if o.Input == Float {
		metadata["Image.NominalPixelRange"] = "Normalized_0_1"
	}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if metadata[name] != "" {
			file.MetadataProps = append(file.MetadataProps, &protos.StringStringEntryProto{Key: name, Value: metadata[name]})
		}
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(file)
}

func (o Options) elements() protos.TensorProto_DataType {
	if o.Input == Uint8 {
		return protos.TensorProto_UINT8
	}
	return float
}

// document says what the input is.
func (o Options) document() string {
	what := "Grey images, as bytes from 0 to 255"
	switch o.Input {
	case Float:
		what = "Grey images, from 0 to 1"
	case Float255:
		what = "Grey images, from 0 to 255"
	}
	return what + ", with the colours that the training images have: MNIST's digits are white on black."
}

const float = protos.TensorProto_FLOAT

// graph is a graph that grows.
type graph struct{ *protos.GraphProto }

// normalized adds the normalization of the input and returns the name of the result.
func (g *graph) normalized(n model.Normalization, o Options) string {
	scale, offset := n.Affine()
	if o.Input == Float {
		scale = float32(1 / n.Deviation)
	}
	name := ImageName
	if o.Input == Uint8 {
		name = g.node("Cast", "to_float", "pixels", []string{name}, integer("to", int64(float)))
	}
	if scale != 1 {
		name = g.node("Mul", "scale", "scaled", []string{name, g.tensor("normalization.scale", []float32{scale})})
	}
	if offset != 0 {
		name = g.node("Add", "shift", "normalized", []string{name, g.tensor("normalization.offset", []float32{offset})})
	}
	return name
}

// node adds a node with one output and returns the output's name.
func (g *graph) node(operator, name, output string, inputs []string, attributes ...*protos.AttributeProto) string {
	g.Node = append(g.Node, &protos.NodeProto{OpType: operator, Name: name, Input: inputs, Output: []string{output}, Attribute: attributes})
	return output
}

// tensor adds values, of no dimension where none is given, and returns their name.
func (g *graph) tensor(name string, values []float32, dimensions ...int) string {
	tensor := &protos.TensorProto{Name: name, DataType: int32(float), RawData: make([]byte, 0, 4*len(values))}
	for _, dimension := range dimensions {
		tensor.Dims = append(tensor.Dims, int64(dimension))
	}
	for _, value := range values {
		tensor.RawData = binary.LittleEndian.AppendUint32(tensor.RawData, math.Float32bits(value))
	}
	g.Initializer = append(g.Initializer, tensor)
	return name
}

func integer(name string, value int64) *protos.AttributeProto {
	return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_INT, I: value}
}

func integers(name string, values ...int64) *protos.AttributeProto {
	return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_INTS, Ints: values}
}

// value describes an input or output, whose dimensions are ints or names.
func value(name, document string, elements protos.TensorProto_DataType, dimensions ...any) *protos.ValueInfoProto {
	shape := &protos.TensorShapeProto{}
	for _, d := range dimensions {
		dimension := &protos.TensorShapeProto_Dimension{}
		switch d := d.(type) {
		case int:
			dimension.Value = &protos.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case string:
			dimension.Value = &protos.TensorShapeProto_Dimension_DimParam{DimParam: d}
		}
		shape.Dim = append(shape.Dim, dimension)
	}
	return &protos.ValueInfoProto{Name: name, DocString: document, Type: &protos.TypeProto{Value: &protos.TypeProto_TensorType{
		TensorType: &protos.TypeProto_Tensor{ElemType: int32(elements), Shape: shape},
	}}}
}
