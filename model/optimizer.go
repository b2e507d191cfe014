package model

import (
	//lint:ignore ST1001 with a prefix on every operation the arithmetic is hard to read
	. "github.com/gomlx/gomlx/core/graph"
)

// sgd is plain stochastic gradient descent, without momentum or decay: it
// returns each parameter less its gradient times rate, a scalar.
//
// An optimizer that remembers something between steps has parameters of its own.
// They go after the architecture's in [Program.parameters]: everything that
// carries, copies or stores parameters works on that list.
func sgd(parameters, gradients []*Node, rate *Node) (updated []*Node) {
	for i, parameter := range parameters {
		updated = append(updated, Sub(parameter, Mul(rate, gradients[i])))
	}
	return updated
}
