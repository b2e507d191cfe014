package model_test

import (
	"math"
	"math/rand/v2"
	"slices"

	"epochal/dataset"
	"epochal/model"
)

// The reference is the network and its training written out in float64, one
// number after another, with nothing of GoMLX in it.

// reference is a network in float64; weight is [out][in].
type reference struct {
	activation model.Activation
	weight     [][][]float64
	bias       [][]float64
}

func newReference(n model.FullyConnected, weights model.Weights) *reference {
	r := &reference{activation: n.Activation}
	for i, parameter := range n.Parameters() {
		rows := parameter.Dims[0]
		columns := len(weights[i]) / rows
		var matrix [][]float64
		for row := range rows {
			matrix = append(matrix, make([]float64, columns))
			for column := range columns {
				matrix[row][column] = float64(weights[i][row*columns+column])
			}
		}
		if len(parameter.Dims) == 2 {
			r.weight = append(r.weight, matrix)
		} else {
			r.bias = append(r.bias, slices.Concat(matrix...))
		}
	}
	return r
}

func (r *reference) activate(x float64) (value, slope float64) {
	switch r.activation {
	case model.ActivationSigmoid:
		value = 1 / (1 + math.Exp(-x))
		return value, value * (1 - value)
	case model.ActivationTanh:
		value = math.Tanh(x)
		return value, 1 - value*value
	default:
		if x > 0 {
			return x, 1
		}
		return 0, 0
	}
}

// forward returns the inputs of every layer, the slopes after it, and the logits.
func (r *reference) forward(pixels []byte, n model.Normalization) (inputs, slopes [][]float64, logits []float64) {
	x := make([]float64, len(pixels))
	for i, pixel := range pixels {
		x[i] = (float64(pixel)/255 - n.Mean) / n.Deviation
	}
	for i := range r.weight {
		inputs = append(inputs, x)
		out := make([]float64, len(r.weight[i]))
		slope := make([]float64, len(out))
		for o := range out {
			out[o] = r.bias[i][o]
			for in, value := range x {
				out[o] += r.weight[i][o][in] * value
			}
			if i < len(r.weight)-1 {
				out[o], slope[o] = r.activate(out[o])
			}
		}
		slopes = append(slopes, slope)
		x = out
	}
	return inputs, slopes, x
}

// softmax returns the loss for the label and the probabilities.
func softmax(logits []float64, label byte) (loss float64, probabilities []float64) {
	largest, sum := math.Inf(-1), 0.0
	for _, logit := range logits {
		largest = max(largest, logit)
	}
	probabilities = make([]float64, len(logits))
	for i, logit := range logits {
		probabilities[i] = math.Exp(logit - largest)
		sum += probabilities[i]
	}
	for i := range probabilities {
		probabilities[i] /= sum
	}
	return largest + math.Log(sum) - logits[label], probabilities
}

// step is one SGD step; it returns the loss before the update.
func (r *reference) step(set dataset.Set, rows []int32, n model.Normalization, rate float64) float64 {
	total := 0.0
	weightGradient := make([][][]float64, len(r.weight))
	biasGradient := make([][]float64, len(r.weight))
	for i := range r.weight {
		weightGradient[i] = make([][]float64, len(r.weight[i]))
		for o := range weightGradient[i] {
			weightGradient[i][o] = make([]float64, len(r.weight[i][o]))
		}
		biasGradient[i] = make([]float64, len(r.bias[i]))
	}
	for _, row := range rows {
		inputs, slopes, logits := r.forward(set.Image(int(row)), n)
		loss, delta := softmax(logits, set.Labels[row])
		total += loss
		delta[set.Labels[row]]--
		for i := len(r.weight) - 1; i >= 0; i-- {
			previous := make([]float64, len(inputs[i]))
			for o, d := range delta {
				biasGradient[i][o] += d
				for in, value := range inputs[i] {
					weightGradient[i][o][in] += d * value
					previous[in] += d * r.weight[i][o][in]
				}
			}
			if i > 0 {
				for in := range previous {
					previous[in] *= slopes[i-1][in]
				}
			}
			delta = previous
		}
	}
	scale := rate / float64(len(rows))
	for i := range r.weight {
		for o := range r.weight[i] {
			r.bias[i][o] -= scale * biasGradient[i][o]
			for in := range r.weight[i][o] {
				r.weight[i][o][in] -= scale * weightGradient[i][o][in]
			}
		}
	}
	return total / float64(len(rows))
}

// evaluate is the post's eval_loop.
func (r *reference) evaluate(set dataset.Set, n model.Normalization, batch int) (loss float64, predictions []int, confidences []float64) {
	batches := 0
	for from := 0; from < set.Len(); from += batch {
		to := min(from+batch, set.Len())
		sum := 0.0
		for i := from; i < to; i++ {
			_, _, logits := r.forward(set.Image(i), n)
			one, probabilities := softmax(logits, set.Labels[i])
			sum += one
			best := 0
			for class, logit := range logits {
				if logit > logits[best] {
					best = class
				}
			}
			predictions = append(predictions, best)
			confidences = append(confidences, probabilities[best])
		}
		loss += sum / float64(to-from)
		batches++
	}
	return loss / float64(batches), predictions, confidences
}

// randomSet is a made-up set of small images whose class can be learned.
func randomSet(seed uint64, count, rows, columns, classes int) dataset.Set {
	random := rand.New(rand.NewPCG(seed, 1))
	set := dataset.Set{Rows: rows, Columns: columns, Pixels: make([]byte, count*rows*columns), Labels: make([]byte, count)}
	for i := range set.Pixels {
		set.Pixels[i] = byte(random.UintN(256))
	}
	for i := range set.Labels {
		set.Labels[i] = byte(random.IntN(classes))
		set.Image(i)[set.Labels[i]] = 255
	}
	return set
}
