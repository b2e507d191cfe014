package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"epochal/model/backend"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
)

// Limit is a program of matrix products and nothing else, repeated back to back:
// what a training is held against. It is not safe for concurrent use.
type Limit struct {
	backend *backend.Backend
	flops   float64 // of one repetition
	program *Graph
	inputs  []*tensors.Tensor
}

// products builds the matrix products of one repetition. Its operands are
// matrices; the first one is another in every repetition, and all results are
// kept, so that a compiler can neither hoist nor drop any of them.
type products func(operands []*Node) (results []*Node)

// CompileProducts compiles the matrix products of a training step of that many
// images alone: x·Wᵀ of every layer, the gradient dᵀ·x of every weight matrix,
// and the gradient d·W of every layer's input but the first's. What the biases,
// activations, loss and update would do to the operands in between is left out.
func CompileProducts(b *backend.Backend, t Topology, batch int) (*Limit, error) {
	if err := (Program{Topology: t, BatchSize: batch}).Validate(); err != nil {
		return nil, err
	}
	operands := []matrix{randomMatrix(batch, t.Inputs, 1)}
	for _, layer := range t.Layers() {
		operands = append(operands, randomMatrix(layer.Out, layer.In, 1/math.Sqrt(float64(layer.In))))
	}
	return compileLimit(b, "matrix products", t.TrainFLOPs()*float64(batch), operands, stepProducts)
}

// CompileSquareProduct compiles the product of two square matrices of that size,
// 1 to MaxWidth, alone.
func CompileSquareProduct(b *backend.Backend, size int) (*Limit, error) {
	if size < 1 || size > MaxWidth {
		return nil, fmt.Errorf("matrix product: found the size %d, expected 1 to %d", size, MaxWidth)
	}
	n := float64(size)
	operands := []matrix{randomMatrix(size, size, 1), randomMatrix(size, size, 1/math.Sqrt(n))}
	return compileLimit(b, "matrix product", 2*n*n*n, operands, func(operands []*Node) []*Node {
		return []*Node{DotGeneral(operands[0], []int{1}, nil, operands[1], []int{0}, nil)}
	})
}

// stepProducts are the products of a training step: images [batch, inputs] and
// weights [out, in] of every layer to the gradients [out, in] of the weights.
func stepProducts(operands []*Node) []*Node {
	x, weights := operands[0], operands[1:]
	batch := x.Shape().Dimensions[0]
	inputs := make([]*Node, len(weights)) // of every layer
	for i, weight := range weights {
		inputs[i] = x
		x = DotGeneral(x, []int{1}, nil, weight, []int{1}, nil)
		x.AssertDims(batch, weight.Shape().Dimensions[0])
	}
	gradients := make([]*Node, len(weights))
	d := x // the logits stand for the gradient of the loss
	for i := len(weights) - 1; i >= 0; i-- {
		gradients[i] = weightGradient(d, inputs[i])
		gradients[i].AssertDims(weights[i].Shape().Dimensions...)
		if i > 0 {
			d = DotGeneral(d, []int{1}, nil, weights[i], []int{0}, nil)
			d.AssertDims(batch, weights[i].Shape().Dimensions[1])
		}
	}
	return gradients
}

// matrix is an operand on the host.
type matrix struct {
	rows, columns int
	values        []float32 // [rows, columns]
}

// randomMatrix is the same matrix at every call, uniform in ±bound.
func randomMatrix(rows, columns int, bound float64) matrix {
	m := matrix{rows, columns, make([]float32, rows*columns)}
	random := rand.New(rand.NewPCG(uint64(rows), uint64(columns)))
	for i := range m.values {
		m.values[i] = float32(bound * (2*random.Float64() - 1))
	}
	return m
}

// fenceOf is one number that depends on every result: reading it waits for all.
func fenceOf(results []*Node) *Node {
	var sum *Node
	for _, result := range results {
		corner := Reshape(Slice(result, AxisElem(0), AxisElem(0)))
		if sum == nil {
			sum = corner
		} else {
			sum = Add(sum, corner)
		}
	}
	return sum
}

// compileLimit compiles products for operands:
//
//	end, operands...  ->  fence, results...    with loops: repetitions 0 to end-1
//	operands...       ->  fence, results...    without: one repetition
//
// With loops, the first element of the first operand is the number of the
// repetition divided by 2^20: written in place, it costs nothing and makes each
// repetition's products its own.
func compileLimit(b *backend.Backend, name string, flops float64, operands []matrix, compute products) (*Limit, error) {
	limit := &Limit{backend: b, flops: flops}
	for _, operand := range operands {
		tensor, err := toDevice(b, operand.values, operand.rows, operand.columns)
		if err != nil {
			limit.Close()
			return nil, fmt.Errorf("copying the operands of the %s to the device: %w", name, err)
		}
		limit.inputs = append(limit.inputs, tensor)
	}
	operandNodes := func(g *Graph, function string) []*Node {
		nodes := make([]*Node, len(operands))
		for i, operand := range operands {
			nodes[i] = Parameter(g, fmt.Sprintf("%s_operand%d", function, i), shapes.Make(dtypes.Float32, operand.rows, operand.columns))
		}
		return nodes
	}
	var err error
	limit.program, err = build(b.Backend, name, func(g *Graph) []*Node {
		if !b.StepLoops() {
			results := compute(operandNodes(g, "main"))
			return append([]*Node{fenceOf(results)}, results...)
		}
		end := Parameter(g, "main_end", shapes.Make(dtypes.Int32))
		main := operandNodes(g, "main")
		var shapesOfResults []shapes.Shape
		// The body goes before the condition, see buildTrainingLoop.
		body := NewClosure(g, func(g *Graph) []*Node {
			step := Parameter(g, "body_step", shapes.Make(dtypes.Int32))
			end := Parameter(g, "body_end", shapes.Make(dtypes.Int32))
			operands := operandNodes(g, "body")
			zero := Const(g, int32(0))
			mark := Mul(ConvertDType(step, dtypes.Float32), Const(g, float32(1.0/(1<<20))))
			operands[0] = DynamicUpdateSlice(operands[0], Reshape(mark, 1, 1), []*Node{zero, zero})
			results := compute(operands)
			for i, result := range results {
				shapesOfResults = append(shapesOfResults, result.Shape())
				Parameter(g, fmt.Sprintf("body_result%d", i), result.Shape())
			}
			next := Add(step, Const(g, int32(1)))
			return append(append([]*Node{next, end}, operands...), results...)
		})
		condition := NewClosure(g, func(g *Graph) []*Node {
			step := Parameter(g, "condition_step", shapes.Make(dtypes.Int32))
			end := Parameter(g, "condition_end", shapes.Make(dtypes.Int32))
			operandNodes(g, "condition")
			for i, shape := range shapesOfResults {
				Parameter(g, fmt.Sprintf("condition_result%d", i), shape)
			}
			return []*Node{LessThan(step, end)}
		})
		state := append([]*Node{Const(g, int32(0)), end}, main...)
		for _, shape := range shapesOfResults {
			state = append(state, BroadcastToDims(Const(g, float32(0)), shape.Dimensions...))
		}
		results := While(condition, body, state...)[2+len(operands):]
		return append([]*Node{fenceOf(results)}, results...)
	})
	if err != nil {
		limit.Close()
		return nil, err
	}
	return limit, nil
}

// FLOPs is the number of floating point operations of one repetition, a
// multiply-add as 2.
func (l *Limit) FLOPs() float64 { return l.flops }

// Run runs the products that many times, at least once, and returns when the
// device is done: with loops on the device in one call, where ctx cannot
// interrupt, else in a call each.
func (l *Limit) Run(ctx context.Context, repetitions int) error {
	outputs, err := l.run(ctx, repetitions)
	finalize(outputs...)
	return err
}

// run returns the fence and the results of the last repetition.
func (l *Limit) run(ctx context.Context, repetitions int) (outputs []*tensors.Tensor, err error) {
	defer recovered(&err)
	if repetitions < 1 || repetitions > math.MaxInt32 {
		return nil, fmt.Errorf("found %d repetitions, expected 1 to %d", repetitions, math.MaxInt32)
	}
	var inputs []any
	calls := repetitions
	if l.backend.StepLoops() {
		inputs, calls = append(inputs, int32(repetitions)), 1
	}
	for _, input := range l.inputs {
		inputs = append(inputs, input)
	}
	for range calls {
		if err := ctx.Err(); err != nil {
			return outputs, err
		}
		finalize(outputs...)
		outputs = nil // should the call panic
		outputs = l.program.Run(inputs...)
		fence, err := tensors.CopyFlatData[float32](outputs[0])
		if err != nil {
			return outputs, err
		}
		if !finite(fence[0]) {
			return outputs, errors.New("the matrix products gave a number that is not finite")
		}
	}
	return outputs, nil
}

// Close frees the program and its operands. The backend stays open.
func (l *Limit) Close() {
	finalize(l.inputs...)
	l.inputs = nil
	if l.program != nil {
		l.program.Finalize()
		l.program = nil
	}
}
