package model

import (
	"math"
	"math/rand/v2"
)

// ParameterSpec describes one tensor that training changes.
type ParameterSpec struct {
	Name  string // unique in its network, and the name in files
	Dims  []int  // at least 1 each
	FanIn int    // inputs of each unit, at least 1: bounds the initial values
}

// Size is the number of values.
func (p ParameterSpec) Size() int {
	size := 1
	for _, dimension := range p.Dims {
		size *= dimension
	}
	return size
}

// ParameterCount is the number of values in all parameters.
func ParameterCount(parameters []ParameterSpec) int {
	count := 0
	for _, parameter := range parameters {
		count += parameter.Size()
	}
	return count
}

// Weights are the values of a network's parameters on the host, row-major, in
// the order of the list that declares them.
type Weights [][]float32

// initialStream keeps the initial weights apart from the orders of package dataset,
// which draw from the streams 0, 1, 2... of the same seed.
const initialStream = math.MaxUint64

// Initialize draws each parameter uniformly from ±1/sqrt(FanIn), as PyTorch does
// for its layers (Linear.reset_parameters, kaiming_uniform with a = sqrt(5)). The
// distribution is PyTorch's, the numbers are not: the same seed always gives the
// same weights here.
func Initialize(parameters []ParameterSpec, seed uint64) Weights {
	random := rand.New(rand.NewPCG(seed, initialStream))
	weights := make(Weights, len(parameters))
	for i, parameter := range parameters {
		bound := 1 / math.Sqrt(float64(parameter.FanIn))
		weights[i] = make([]float32, parameter.Size())
		for j := range weights[i] {
			weights[i][j] = float32((2*random.Float64() - 1) * bound)
		}
	}
	return weights
}
