package model

import (
	"context"
	"math"
	"testing"

	"epochal/model/backend"
	"epochal/model/backend/backendtest"

	"github.com/gomlx/gomlx/core/tensors"
)

// Products by hand, of matrices [rows, columns] in float64.
func product(a, b [][]float64) [][]float64 {
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

func (m matrix) float64s() [][]float64 {
	out := make([][]float64, m.rows)
	for i := range out {
		for _, value := range m.values[i*m.columns : (i+1)*m.columns] {
			out[i] = append(out[i], float64(value))
		}
	}
	return out
}

// compare checks the outputs of a limit after its fence.
func compare(t *testing.T, l *Limit, repetitions int, want [][][]float64) {
	t.Helper()
	outputs, err := l.run(context.Background(), repetitions)
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
		found, err := tensors.CopyFlatData[float32](outputs[i+1])
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != len(rows)*len(rows[0]) {
			t.Fatalf("result %d: found %d values, expected %dx%d", i, len(found), len(rows), len(rows[0]))
		}
		for j, value := range found {
			if expected := rows[j/len(rows[0])][j%len(rows[0])]; math.Abs(float64(value)-expected) > 1e-5 {
				t.Fatalf("result %d, value %d: found %v, expected %v", i, j, value, expected)
			}
		}
	}
	if found, err := tensors.CopyFlatData[float32](outputs[0]); err != nil || math.Abs(float64(found[0])-fence) > 1e-5 {
		t.Errorf("fence: found %v (%v), expected %v", found, err, fence)
	}
	if err := l.Run(context.Background(), repetitions); err != nil {
		t.Error(err)
	}
}

// marked are the images of the last of that many repetitions.
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

func TestTheLimitIsTheStepsOwnProducts(t *testing.T) {
	onBothBackends(t, func(t *testing.T, b *backend.Backend) {
		const batch, repetitions = 3, 5
		topology := Topology{Inputs: 4, Hidden: []int{6, 2}, Classes: 5, Activation: ActivationReLU}
		l, err := CompileProducts(b, topology, batch)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		// Forward 4*6 + 6*2 + 2*5 = 46, weights the same, inputs 6*2 + 2*5 = 22: 114 multiply-adds an image.
		if want := 2.0 * 114 * batch; l.FLOPs() != want {
			t.Errorf("found %v operations, expected %v", l.FLOPs(), want)
		}
		x0 := marked(b, randomMatrix(batch, 4, 1).float64s(), repetitions)
		w1 := randomMatrix(6, 4, 1/math.Sqrt(4)).float64s()
		w2 := randomMatrix(2, 6, 1/math.Sqrt(6)).float64s()
		w3 := randomMatrix(5, 2, 1/math.Sqrt(2)).float64s()
		x1 := product(x0, transposed(w1))
		x2 := product(x1, transposed(w2))
		d3 := product(x2, transposed(w3))
		d2 := product(d3, w3)
		d1 := product(d2, w2)
		compare(t, l, repetitions, [][][]float64{
			product(transposed(d1), x0), product(transposed(d2), x1), product(transposed(d3), x2),
		})
	})
}

func TestTheSquareProduct(t *testing.T) {
	onBothBackends(t, func(t *testing.T, b *backend.Backend) {
		const size, repetitions = 5, 3
		l, err := CompileSquareProduct(b, size)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if l.FLOPs() != 250 {
			t.Errorf("found %v operations, expected 250", l.FLOPs())
		}
		x := marked(b, randomMatrix(size, size, 1).float64s(), repetitions)
		compare(t, l, repetitions, [][][]float64{product(x, randomMatrix(size, size, 1/math.Sqrt(size)).float64s())})
	})
}

func TestALimitRefusesWhatItCannotRun(t *testing.T) {
	b := backendtest.Go(t)
	if _, err := CompileSquareProduct(b, 0); err == nil {
		t.Error("size 0 was accepted")
	}
	if _, err := CompileProducts(b, Topology{Inputs: 4, Hidden: []int{0}, Classes: 5, Activation: ActivationReLU}, 1); err == nil {
		t.Error("a layer of width 0 was accepted")
	}
	l, err := CompileSquareProduct(b, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Run(context.Background(), 0); err == nil {
		t.Error("0 repetitions were accepted")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Run(ctx, 1); err != context.Canceled {
		t.Errorf("cancelled: found %v", err)
	}
}
