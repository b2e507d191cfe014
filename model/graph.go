package model

import (
	"fmt"

	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
)

// program is a compiled graph that takes its inputs by name.
type program struct {
	graph  *Graph
	inputs []string // in the graph's order
}

// build compiles the graph that body builds. The inputs of the program are those
// that body declares.
func build(backend compute.Backend, name string, body func(s *state) []*Node) (p *program, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("compiling the %s program: %w", name, err)
		}
	}()
	defer recovered(&err)
	s := &state{graph: NewGraph(backend, name), values: values{}}
	if err := s.graph.Compile(body(s)...); err != nil {
		s.graph.Finalize()
		return nil, err
	}
	return &program{s.graph, s.inputs}, nil
}

// run calls the program with its inputs by name. It may return before the device
// is done; reading an output waits.
func (p *program) run(inputs map[string]any) (outputs []*tensors.Tensor, err error) {
	defer recovered(&err)
	ordered := make([]any, len(p.inputs))
	for i, name := range p.inputs {
		ordered[i] = inputs[name]
	}
	return p.graph.Run(ordered...), nil
}

// close frees the program; nil is allowed.
func (p *program) close() {
	if p != nil {
		p.graph.Finalize()
	}
}

// recovered turns a panic of GoMLX or below into an error: this is the boundary
// from which the package returns errors.
func recovered(err *error) {
	switch thrown := recover().(type) {
	case nil:
	case error:
		*err = thrown
	default:
		*err = fmt.Errorf("%v", thrown)
	}
}

// values are nodes by name.
type values map[string]*Node

// of lists the values of parameters, in their order.
func (v values) of(parameters []ParameterSpec) []*Node {
	var nodes []*Node
	for _, parameter := range parameters {
		nodes = append(nodes, v[parameter.Name])
	}
	return nodes
}

// state is what a function of a graph is given, by name and in order: the inputs
// of a program, and whatever else a loop carries from one round to the next.
type state struct {
	graph  *Graph
	inputs []string // those of names that are inputs of the function
	names  []string
	values values
}

// input declares an input of the function.
func (s *state) input(name string, dtype dtypes.DType, dimensions ...int) {
	s.inputs = append(s.inputs, name)
	s.add(name, Parameter(s.graph, name, shapes.Make(dtype, dimensions...)))
}

// add adds a value that is no input.
func (s *state) add(name string, value *Node) {
	s.names = append(s.names, name)
	s.values[name] = value
}

// list is all values in order.
func (s *state) list() []*Node {
	var nodes []*Node
	for _, name := range s.names {
		nodes = append(nodes, s.values[name])
	}
	return nodes
}

// loop repeats body on the device while condition holds, and leaves in s what
// they left. Both see the values of s by name, and nothing else of the
// enclosing function; body replaces those that change. The compiler drops the
// copies of those that do not.
func (s *state) loop(condition func(v values) *Node, body func(v values)) {
	function := func(prefix string, results func(inside *state) []*Node) *Function {
		return NewClosure(s.graph, func(g *Graph) []*Node {
			inside := &state{graph: g, values: values{}}
			for _, name := range s.names {
				// StableHLO allows every name only once in a program, closures included.
				inside.add(name, Parameter(g, prefix+name, s.values[name].Shape()))
			}
			return results(inside)
		})
	}
	// The body goes first, and the condition and the function around both make
	// constants with Const alone: GoMLX caches the scalars of its operations per
	// graph, not per function, and one made in another function cannot be used.
	bodyFunction := function("body_", func(inside *state) []*Node {
		body(inside.values)
		return inside.list()
	})
	conditionFunction := function("condition_", func(inside *state) []*Node { return []*Node{condition(inside.values)} })
	for i, result := range While(conditionFunction, bodyFunction, s.list()...) {
		s.values[s.names[i]] = result
	}
}
