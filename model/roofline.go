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
// back: the time that a training is held against. It is not safe for concurrent use.
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
// size, as in a fully connected network, and else a matrix of its own.
func CompileRoofline(b *backend.Backend, a Architecture, batch int) (*Roofline, error) {
	products := a.Products()
	var operands []ParameterSpec
	var results [][]int // in the order of stepProducts
	for i, p := range slices.Backward(products) {
		weight := []int{p.Out, p.In}
		operands = append(operands, ParameterSpec{Name: weightName(i), Dims: weight, FanIn: p.In})
		results = append(results, weight)
		if i > 0 && products[i-1].Rows == p.Rows && products[i-1].Out == p.In {
			continue
		}
		input := []int{batch * p.Rows, p.In}
		operands = append(operands, ParameterSpec{Name: inputName(i), Dims: input, FanIn: 1})
		if i > 0 {
			results = append(results, input)
		}
	}
	return compileRoofline(b, "matrix products", TrainFLOPs(a)*float64(batch), operands, results, func(v values) []*Node {
		return stepProducts(v, len(products))
	})
}

func inputName(i int) string  { return fmt.Sprintf("input%d", i) }
func weightName(i int) string { return fmt.Sprintf("weight%d", i) }

// CompileSquareRoofline compiles the product of two square matrices of that size,
// 1 to MaxWidth, alone.
func CompileSquareRoofline(b *backend.Backend, size int) (*Roofline, error) {
	n := float64(size)
	square := []int{size, size}
	operands := []ParameterSpec{{Name: inputName(0), Dims: square, FanIn: 1}, {Name: weightName(0), Dims: square, FanIn: size}}
	return compileRoofline(b, "matrix product", 2*n*n*n, operands, [][]int{square}, func(v values) []*Node {
		return []*Node{DotGeneral(v[inputName(0)], []int{1}, nil, v[weightName(0)], []int{0}, nil)}
	})
}

// stepProducts builds that many products of a training step and their
// gradients. It returns what no other product takes: from the last product to
// the first, the gradient of its weight and, where its input is a matrix of its
// own, that of the input.
func stepProducts(v values, count int) (results []*Node) {
	inputs, outputs := make([]*Node, count), make([]*Node, count)
	for i := range count {
		if inputs[i] = v[inputName(i)]; inputs[i] == nil {
			inputs[i] = outputs[i-1]
		}
		outputs[i] = DotGeneral(inputs[i], []int{1}, nil, v[weightName(i)], []int{1}, nil)
	}
	var gradient *Node // of the output
	for i := count - 1; i >= 0; i-- {
		if gradient == nil {
			gradient = outputs[i] // stands for it
		}
		results = append(results, weightGradient(gradient, inputs[i]))
		if i == 0 {
			break
		}
		gradient = DotGeneral(gradient, []int{1}, nil, v[weightName(i)], []int{0}, nil)
		if v[inputName(i)] != nil {
			results, gradient = append(results, gradient), nil
		}
	}
	return results
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

// compileRoofline compiles what compute makes of operands into results of the
// sizes given:
//
//	end, operands...  ->  fence, results...    with loops: repetitions 0 to end-1
//	operands...       ->  fence, results...    without: one repetition
//
// With loops, the first element of every input is the number of the repetition
// divided by 2^20: written in place, it costs nothing and makes each repetition's
// products its own. All results are kept. So a compiler can neither hoist nor
// drop any product.
func compileRoofline(b *backend.Backend, name string, flops float64, operands []ParameterSpec, results [][]int, compute func(values) []*Node) (*Roofline, error) {
	r := &Roofline{backend: b, flops: flops, operands: map[string]*tensors.Tensor{}}
	onDevice, err := parametersToDevice(b, operands, Initialize(operands, 0))
	if err != nil {
		return nil, err
	}
	for i, operand := range operands {
		r.operands[operand.Name] = onDevice[i]
	}
	r.program, err = build(b.Backend, name, func(s *state) []*Node {
		if b.StepLoops() {
			s.input("end", dtypes.Int32)
		}
		for _, operand := range operands {
			s.input(operand.Name, dtypes.Float32, operand.Dims...)
		}
		if !b.StepLoops() {
			found := compute(s.values)
			return append([]*Node{fenceOf(found)}, found...)
		}
		s.add("repetition", Const(s.graph, int32(0)))
		var found []*Node
		for i, dimensions := range results {
			s.add(fmt.Sprint("result", i), zeros[float32](s.graph, dimensions...))
		}
		s.loop(func(v values) *Node { return LessThan(v["repetition"], v["end"]) }, func(v values) {
			g := v["repetition"].Graph()
			zero := Const(g, int32(0))
			mark := Mul(ConvertDType(v["repetition"], dtypes.Float32), Const(g, float32(1.0/(1<<20))))
			for i := range operands {
				if input := v[inputName(i)]; input != nil {
					v[inputName(i)] = DynamicUpdateSlice(input, Reshape(mark, 1, 1), []*Node{zero, zero})
				}
			}
			for i, result := range compute(v) {
				v[fmt.Sprint("result", i)] = result
			}
			v["repetition"] = Add(v["repetition"], Const(g, int32(1)))
		})
		for i := range results {
			found = append(found, s.values[fmt.Sprint("result", i)])
		}
		return append([]*Node{fenceOf(found)}, found...)
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
// device is done: with loops on the device in one call, where ctx cannot
// interrupt, else in a call each.
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
