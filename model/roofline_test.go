package model

import (
	"context"
	"math"
	"slices"
	"testing"

	"epochal/model/backend"
	"epochal/model/backend/backendtest"

	"github.com/gomlx/gomlx/core/tensors"
)

// Products by hand, of matrices [rows, columns] in float64.
func product64(a, b [][]float64) [][]float64 {
	out := make([][]float64, len(a))
	for i := range out {
		out[i] = make([]float64, len(b[0]))
		for j := range out[i] {
			for k := range b {
				out[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	return out
}

func transposed(a [][]float64) [][]float64 {
	out := make([][]float64, len(a[0]))
	for i := range out {
		out[i] = make([]float64, len(a))
		for j := range a {
			out[i][j] = a[j][i]
		}
	}
	return out
}

// operands are those of a roofline, by name, in float64.
func operands(list ...ParameterSpec) map[string][][]float64 {
	all := map[string][][]float64{}
	for i, values := range Initialize(list, 0) {
		for row := range slices.Chunk(values, list[i].Dims[1]) {
			var converted []float64
			for _, value := range row {
				converted = append(converted, float64(value))
			}
			all[list[i].Name] = append(all[list[i].Name], converted)
		}
	}
	return all
}

// compare checks the outputs of a roofline after its fence.
func compare(t *testing.T, r *Roofline, repetitions int, want ...[][]float64) {
	t.Helper()
	outputs, err := r.run(context.Background(), repetitions)
	if err != nil {
		t.Fatal(err)
	}
	defer finalize(outputs...)
	if len(outputs) != 1+len(want) {
		t.Fatalf("found %d results, expected %d", len(outputs)-1, len(want))
	}
	fence := 0.0
	for i, rows := range want {
		fence += rows[0][0]
		compareValues(t, nameOf("result", i), outputs[i+1], slices.Concat(rows...))
	}
	compareValues(t, "fence", outputs[0], []float64{fence})
	if err := r.Run(context.Background(), repetitions); err != nil {
		t.Error(err)
	}
}

func compareValues(t *testing.T, name string, output *tensors.Tensor, want []float64) {
	t.Helper()
	found, err := tensors.CopyFlatData[float32](output)
	if err != nil || len(found) != len(want) {
		t.Fatalf("%s: found %d values and error %v, expected %d", name, len(found), err, len(want))
	}
	for i, value := range found {
		if math.Abs(float64(value)-want[i]) > 1e-5 {
			t.Fatalf("%s, value %d: found %v, expected %v", name, i, value, want[i])
		}
	}
}

// marked is an input in the last of that many repetitions.
func marked(b *backend.Backend, x [][]float64, repetitions int) [][]float64 {
	if b.StepLoops() {
		x[0][0] = float64(repetitions-1) / (1 << 20)
	}
	return x
}

func onBothBackends(t *testing.T, test func(*testing.T, *backend.Backend)) {
	t.Run("xla:cpu", func(t *testing.T) { test(t, backendtest.XLA(t)) })
	t.Run("go", func(t *testing.T) { test(t, backendtest.Go(t)) })
}

// apart is a network whose second product has an input of its own.
type apart struct{ FullyConnected }

func (apart) Products() []Product { return []Product{{2, 4, 6}, {1, 6, 5}} }

func TestTheRooflineIsTheStepsOwnProducts(t *testing.T) {
	const batch, repetitions = 3, 5
	onBothBackends(t, func(t *testing.T, b *backend.Backend) {
		r, err := CompileRoofline(b, FullyConnected{Rows: 2, Columns: 2, Hidden: []int{6, 2}, Classes: 5}, batch)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		// Forward 4*6 + 6*2 + 2*5 = 46, weights the same, inputs 6*2 + 2*5 = 22: 114 multiply-adds an image.
		if want := 2.0 * 114 * batch; r.FLOPs() != want {
			t.Errorf("found %v operations, expected %v", r.FLOPs(), want)
		}
		o := operands(matrix("weight", 0, 6, 4), matrix("input", 0, batch, 4), matrix("weight", 1, 2, 6), matrix("weight", 2, 5, 2))
		x0 := marked(b, o["input 0"], repetitions)
		x1 := product64(x0, transposed(o["weight 0"]))
		x2 := product64(x1, transposed(o["weight 1"]))
		d3 := product64(x2, transposed(o["weight 2"]))
		d2 := product64(d3, o["weight 2"])
		d1 := product64(d2, o["weight 1"])
		compare(t, r, repetitions, product64(transposed(d1), x0), product64(transposed(d2), x1), product64(transposed(d3), x2))
	})
	onBothBackends(t, func(t *testing.T, b *backend.Backend) {
		r, err := CompileRoofline(b, apart{}, batch)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if want := 2.0 * (2*2*4*6 + 3*6*5) * batch; r.FLOPs() != want {
			t.Errorf("found %v operations, expected %v", r.FLOPs(), want)
		}
		o := operands(matrix("weight", 0, 6, 4), matrix("input", 0, 2*batch, 4), matrix("weight", 1, 5, 6), matrix("input", 1, batch, 6))
		x0, x1 := marked(b, o["input 0"], repetitions), marked(b, o["input 1"], repetitions)
		d1, d2 := product64(x0, transposed(o["weight 0"])), product64(x1, transposed(o["weight 1"]))
		compare(t, r, repetitions, product64(transposed(d1), x0), product64(transposed(d2), x1), product64(d2, o["weight 1"]))
	})
}

func TestTheSquareRoofline(t *testing.T) {
	onBothBackends(t, func(t *testing.T, b *backend.Backend) {
		const size, repetitions = 5, 3
		r, err := CompileSquareRoofline(b, size)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if r.FLOPs() != 250 {
			t.Errorf("found %v operations, expected 250", r.FLOPs())
		}
		o := operands(matrix("weight", 0, size, size), matrix("input", 0, size, size))
		compare(t, r, repetitions, product64(marked(b, o["input 0"], repetitions), o["weight 0"]))
	})
}

func TestACancelledRooflineStops(t *testing.T) {
	r, err := CompileSquareRoofline(backendtest.Go(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Run(ctx, 1); err != context.Canceled {
		t.Errorf("found error %v, expected %v", err, context.Canceled)
	}
}
