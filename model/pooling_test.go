package model

import (
	"reflect"
	"testing"

	"epochal/model/backend"
	"epochal/model/backend/backendtest"

	"github.com/gomlx/gomlx/core/graph"
)

// The gradient of a maximum goes to the first value that has it, row by row, as PyTorch's
// MaxPool2d does it: for all windows of three different values.
func TestMaxPoolGradient(t *testing.T) {
	const windows = 3 * 3 * 3 * 3
	var images, want [windows][][][]float32
	image := func() [][][]float32 { return [][][]float32{{{0}, {0}}, {{0}, {0}}} }
	for i := range windows {
		images[i], want[i] = image(), image()
		first := 0
		for place, rest := 0, i; place < 4; place, rest = place+1, rest/3 {
			images[i][place/2][place%2][0] = float32(rest % 3)
			if images[i][place/2][place%2][0] > images[i][first/2][first%2][0] {
				first = place
			}
		}
		want[i][first/2][first%2][0] = float32(i + 1)
	}
	test := func(t *testing.T, b *backend.Backend) {
		gradient := graph.MustNewExec(b.Backend, func(x *graph.Node) *graph.Node {
			weight := graph.Add(graph.IotaFull(x.Graph(), maxPool(x).Shape()), graph.ScalarOne(x.Graph(), x.DType()))
			return graph.Gradient(graph.ReduceAllSum(graph.Mul(maxPool(x), weight)), x)[0]
		})
		for i, found := range gradient.MustCall(images[:])[0].Value().([][][][]float32) {
			if !reflect.DeepEqual(found, want[i]) {
				t.Errorf("image %v: found the gradient %v, expected %v", images[i], found, want[i])
			}
		}
	}
	t.Run("xla:cpu", func(t *testing.T) { test(t, backendtest.XLA(t)) })
	t.Run("go", func(t *testing.T) { test(t, backendtest.Go(t)) })
}
