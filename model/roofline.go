package model

import (
	"context"
	"fmt"
	"maps"
	"slices"

	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"epochal/model/backend"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// Roofline is a program of matrix products and nothing else, repeated back to
// back: the time that a training is compared with. It is not safe for concurrent use.
type Roofline struct {
	backend  *backend.Backend
	flops    float64 // of one repetition
	program  *program
	operands map[string]*tensors.Tensor
}

// CompileRoofline compiles the matrix products of a training step of that many
// images alone: x·Wᵀ for every product of a, the gradient dᵀ·x of every weight
// matrix, and the gradient d·W of every product's input but the first's. What the
// biases, activations, loss and update would do to the operands in between is
// left out.
//
// The input of a product is the result of the one before where that has its
// size, as in a fully connected network, and otherwise a matrix of its own.
func CompileRoofline(b *backend.Backend, a Architecture, batch int) (*Roofline, error) {
	products := a.Products()
	var operands, results []ParameterSpec
	for i, p := range products {
		operands = append(operands, matrix("weight", i, p.Out, p.In))
		results = append(results, matrix("gradient", i, p.Out, p.In))
		if i > 0 && products[i-1].Rows == p.Rows && products[i-1].Out == p.In {
			continue
		}
		operands = append(operands, matrix("input", i, batch*p.Rows, p.In))
		if i > 0 {
			results = append(results, matrix("input gradient", i, batch*p.Rows, p.In))
		}
	}
	return compileRoofline(b, "matrix products", TrainFLOPs(a)*float64(batch), operands, results, func(v values) {
		stepProducts(v, products)
	})
}

// CompileSquareRoofline compiles the product of two square matrices of that size,
// at least 1, alone.
func CompileSquareRoofline(b *backend.Backend, size int) (*Roofline, error) {
	n := float64(size)
	operands := []ParameterSpec{matrix("weight", 0, size, size), matrix("input", 0, size, size)}
	result := []ParameterSpec{matrix("product", 0, size, size)}
	return compileRoofline(b, "matrix product", 2*n*n*n, operands, result, func(v values) {
		v["product 0"] = DotGeneral(v["input 0"], []int{1}, nil, v["weight 0"], []int{0}, nil)
	})
}

// matrix describes an operand or a result of product number i. Values drawn as a
// weight's are so small that no number of products in a row overflows.
func matrix(kind string, i, rows, columns int) ParameterSpec {
	return ParameterSpec{Name: nameOf(kind, i), Dims: []int{rows, columns}, FanIn: columns}
}

func nameOf(kind string, i int) string { return fmt.Sprintf("%s %d", kind, i) }

// stepProducts builds the products of a training step and their gradients
// in v, from the operands there. It leaves there what no other product uses: the
// gradient of each weight and of each input that is a matrix of its own.
func stepProducts(v values, products []Product) {
	count := len(products)
	inputs, outputs := make([]*Node, count), make([]*Node, count)
	for i := range count {
		if inputs[i] = v[nameOf("input", i)]; inputs[i] == nil {
			inputs[i] = outputs[i-1]
		}
		outputs[i] = DotGeneral(inputs[i], []int{1}, nil, v[nameOf("weight", i)], []int{1}, nil)
	}
	gradient := outputs[count-1] // stands for the gradient of the loss
	for i := count - 1; i >= 0; i-- {
		gradientOf := weightGradient
		if products[i].Rows > 1 {
			gradientOf = patchGradient
		}
		v[nameOf("gradient", i)] = gradientOf(gradient, inputs[i])
		if i == 0 {
			break
		}
		gradient = DotGeneral(gradient, []int{1}, nil, v[nameOf("weight", i)], []int{0}, nil)
		if v[nameOf("input", i)] != nil {
			v[nameOf("input gradient", i)], gradient = gradient, outputs[i-1]
		}
	}
}

// compileRoofline compiles what compute makes of operands, all by name:
//
//	operands..., end  ->  fence, results...    with loops: repetitions 0 to end-1
//	operands...       ->  fence, results...    without: one repetition
//
// With loops, the first element of every input is the number of the repetition
// divided by 2^20: written in place, it costs nothing and makes each repetition's
// products its own. All results are kept. So a compiler can neither hoist nor
// drop any product. The fence is one number that depends on every result.
func compileRoofline(
	b *backend.Backend, name string, flops float64, operands, results []ParameterSpec, compute func(values),
) (*Roofline, error) {
	onDevice, err := parametersToDevice(b, operands, Initialize(operands, 0))
	if err != nil {
		return nil, err
	}
	r := &Roofline{backend: b, flops: flops, operands: map[string]*tensors.Tensor{}}
	for i, operand := range operands {
		r.operands[operand.Name] = onDevice[i]
	}
	r.program, err = build(b.Backend, name, func(s *state) []*Node {
		for _, operand := range operands {
			s.input(operand.Name, dtypes.Float32, operand.Dims...)
		}
		if b.StepLoops() {
			s.input("end", dtypes.Int32)
			s.add("repetition", Const(s.graph, int32(0)))
			for _, result := range results {
				s.add(result.Name, zeros[float32](s.graph, result.Dims...))
			}
			s.loop(func(v values) *Node { return LessThan(v["repetition"], v["end"]) }, func(v values) {
				g := v["repetition"].Graph()
				zero := Const(g, int32(0))
				mark := Mul(ConvertDType(v["repetition"], dtypes.Float32), Const(g, float32(1.0/(1<<20))))
				for i := range operands {
					if input := v[nameOf("input", i)]; input != nil {
						v[nameOf("input", i)] = DynamicUpdateSlice(input, Reshape(mark, 1, 1), []*Node{zero, zero})
					}
				}
				compute(v)
				v["repetition"] = Add(v["repetition"], Const(g, int32(1)))
			})
		} else {
			compute(s.values)
		}
		all := s.values.of(results)
		fence := Const(s.graph, float32(0))
		for _, result := range all {
			fence = Add(fence, Reshape(Slice(result, AxisElem(0), AxisElem(0))))
		}
		return append([]*Node{fence}, all...)
	})
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// FLOPs is the number of floating point operations of one repetition, a
// multiply-add as 2.
func (r *Roofline) FLOPs() float64 { return r.flops }

// Run runs the products that many times, at least once, and returns when the
// device is done: with loops on the device in one call, which ctx cannot
// interrupt, else in one call per repetition.
func (r *Roofline) Run(ctx context.Context, repetitions int) error {
	outputs, err := r.run(ctx, repetitions)
	finalize(outputs...)
	return err
}

// run returns the fence and the results of the last repetition.
func (r *Roofline) run(ctx context.Context, repetitions int) (outputs []*tensors.Tensor, err error) {
	inputs := map[string]any{"end": int32(repetitions)}
	for name, operand := range r.operands {
		inputs[name] = operand
	}
	calls := repetitions
	if r.backend.StepLoops() {
		calls = 1
	}
	for range calls {
		if err := ctx.Err(); err != nil {
			return outputs, err
		}
		finalize(outputs...)
		if outputs, err = r.program.run(inputs); err != nil {
			return nil, err
		}
		if _, err := tensors.CopyFlatData[float32](outputs[0]); err != nil {
			return outputs, err
		}
	}
	return outputs, nil
}

// Close frees the program and its operands. The backend stays open.
func (r *Roofline) Close() {
	finalize(slices.Collect(maps.Values(r.operands))...)
	r.program.close()
	r.operands, r.program = nil, nil
}
