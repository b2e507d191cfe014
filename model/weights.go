package model

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Weights are a network's parameters on the host, one element per linear layer.
type Weights []LayerWeights

// LayerWeights are the parameters of one linear layer, laid out as PyTorch's.
type LayerWeights struct {
	Weight []float32 // [out, in], row-major
	Bias   []float32 // [out]
}

// initialStream keeps the initial weights apart from the orders of package dataset,
// which draw from the streams 0, 1, 2... of the same seed.
const initialStream = math.MaxUint64

// Initialize draws the weights that PyTorch's nn.Linear starts from: weight and
// bias uniform in ±1/sqrt(in) (Linear.reset_parameters, kaiming_uniform with
// a = sqrt(5)). The distribution is PyTorch's, the numbers are not: the same
// seed always gives the same weights here.
func Initialize(t Topology, seed uint64) Weights {
	random := rand.New(rand.NewPCG(seed, initialStream))
	draw := func(count int, bound float64) []float32 {
		values := make([]float32, count)
		for i := range values {
			values[i] = float32((2*random.Float64() - 1) * bound)
		}
		return values
	}
	weights := make(Weights, 0, len(t.Hidden)+1)
	for _, layer := range t.Layers() {
		bound := 1 / math.Sqrt(float64(layer.In))
		weights = append(weights, LayerWeights{
			Weight: draw(layer.Out*layer.In, bound),
			Bias:   draw(layer.Out, bound),
		})
	}
	return weights
}

// check reports the first layer whose sizes are not those of t.
func (w Weights) check(t Topology) error {
	layers := t.Layers()
	if len(w) != len(layers) {
		return fmt.Errorf("weights: found %d layers, expected %d", len(w), len(layers))
	}
	for i, layer := range layers {
		if len(w[i].Weight) != layer.Out*layer.In || len(w[i].Bias) != layer.Out {
			return fmt.Errorf("weights of layer %d: found %d weights and %d biases, expected [%d, %d] and [%d]",
				i, len(w[i].Weight), len(w[i].Bias), layer.Out, layer.In, layer.Out)
		}
	}
	return nil
}
