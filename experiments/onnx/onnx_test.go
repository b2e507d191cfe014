package onnx_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/onnx"
	"epochal/experiments/train"
	"epochal/experiments/trained"
	"epochal/model"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"
)

// tolerance is how far two logits may be apart, relative to the largest of their image or
// to 1: sums of hundreds of float32 products in two orders. Found were up to 1e-6.
const tolerance = 1e-5

// logits are ours, in plain Go.
func logits(d model.Description, weights model.Weights, pixels []uint8) []float32 {
	scale, offset := d.Normalization.Affine()
	image := make([]float32, len(pixels))
	for i, pixel := range pixels {
		image[i] = float32(pixel)*scale + offset
	}
	outputs := d.Architecture.Forward(image, weights)
	return outputs[len(outputs)-1]
}

// apart is the largest difference, relative to the largest expected value or to 1.
func apart(found, expected []float32) float64 {
	most, difference := 1.0, 0.0
	for i := range expected {
		most = max(most, math.Abs(float64(expected[i])))
		difference = max(difference, math.Abs(float64(found[i]-expected[i])))
	}
	return difference / most
}

// Every kind of graph, evaluated as ONNX defines its operators, gives our logits.
func TestTheGraphIsTheNetwork(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pixels := make([]uint8, 5*7)
	for i, hidden := range [][]int{{}, {9}, {9, 6}, {}, {9}} {
		for _, activation := range model.Activations() {
			for _, n := range []model.Normalization{model.Unnormalized(), {Mean: 0.1307, Deviation: 0.3081}} {
				layers := model.FullyConnected{Rows: 5, Columns: 7, Hidden: hidden, Classes: 3, Activation: activation}
				var a model.Architecture = layers
				if i >= 3 {
					a = model.Convolutional{FullyConnected: layers, Channels: []int{4, 3}[:5-i], Kernel: i - 2}
				}
				d := model.Description{Architecture: a, Normalization: n, Data: "little", Epochs: 3, Version: "v1"}
				weights := model.Initialize(a.Parameters(), 5)
				for _, input := range onnx.Inputs() {
					file := encode(t, d, weights, onnx.Options{Input: input, Softmax: true, Version: "v2"})
					for i := range pixels {
						pixels[i] = uint8(random.UintN(256))
					}
					values := evaluate(t, file.Graph, pixels, input)
					if distance := apart(values[onnx.LogitsName], logits(d, weights, pixels)); distance > tolerance {
						t.Errorf("%v %s %v %s: found logits that are %g apart", hidden, activation, n, input, distance)
					}
					sum := 0.0
					for _, probability := range values[onnx.ProbabilitiesName] {
						sum += float64(probability)
					}
					if math.Abs(sum-1) > 1e-6 {
						t.Errorf("found probabilities with the sum %v", sum)
					}
				}
			}
		}
	}
}

// The file says what it is, and the same arguments give the same bytes.
func TestTheFileSaysWhatItIs(t *testing.T) {
	a := model.FullyConnected{Rows: 5, Columns: 7, Hidden: []int{4}, Classes: 2, Activation: model.ActivationReLU}
	d := model.Description{
		Architecture: a, Normalization: model.Unnormalized(), ClassNames: []string{"cat", "dog"}, Data: "pets", Version: "v1",
	}
	weights := model.Initialize(a.Parameters(), 5)
	file := encode(t, d, weights, onnx.Options{Input: onnx.Float, Version: "v2"})
	again, err := onnx.Encode(d, weights, onnx.Options{Input: onnx.Float, Version: "v2"})
	if err != nil || !proto.Equal(file, decode(t, again)) {
		t.Errorf("found another file the second time (%v)", err)
	}
	if file.IrVersion != 8 || file.OpsetImport[0].Version != 17 || file.ProducerName != "epochal" || file.ProducerVersion != "v2" {
		t.Errorf("found IR version %d, opset %v, producer %s %s", file.IrVersion, file.OpsetImport, file.ProducerName, file.ProducerVersion)
	}
	g := file.Graph
	shape := func(v *protos.ValueInfoProto) (dimensions []string) {
		for _, d := range v.Type.GetTensorType().Shape.Dim {
			dimensions = append(dimensions, cmp.Or(d.GetDimParam(), strconv.FormatInt(d.GetDimValue(), 10)))
		}
		return dimensions
	}
	if found := fmt.Sprint(shape(g.Input[0]), shape(g.Output[0])); found != "[batch 1 5 7] [batch 2]" || len(g.Output) != 1 {
		t.Errorf("found the shapes %s and %d outputs", found, len(g.Output))
	}
	if file.DocString == "" || g.DocString == "" || g.Input[0].DocString == "" || g.Output[0].DocString == "" {
		t.Error("found something without documentation")
	}
	metadata := map[string]string{}
	for _, entry := range file.MetadataProps {
		metadata[entry.Key] = entry.Value
	}
	if metadata["class_names"] != `["cat","dog"]` || metadata["data"] != "pets" || metadata["version"] != "v1" ||
		metadata["Image.NominalPixelRange"] != "Normalized_0_1" {
		t.Errorf("found the metadata %v", metadata)
	}
}

// another is an architecture that nobody wrote an export for.
type another struct{ model.FullyConnected }

func TestAnotherArchitectureIsRefused(t *testing.T) {
	a := another{model.FullyConnected{Rows: 1, Columns: 2, Classes: 2}}
	_, err := onnx.Encode(model.Description{Architecture: a, Normalization: model.Unnormalized()}, nil, onnx.Options{Input: onnx.Uint8})
	want := "found the architecture onnx_test.another, expected a fully connected or a convolutional network"
	if err == nil || err.Error() != want {
		t.Errorf("found error %v, expected %s", err, want)
	}
}

func encode(t *testing.T, d model.Description, weights model.Weights, o onnx.Options) *protos.ModelProto {
	t.Helper()
	content, err := onnx.Encode(d, weights, o)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, content)
}

func decode(t *testing.T, content []byte) *protos.ModelProto {
	t.Helper()
	var file protos.ModelProto
	if err := proto.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	return &file
}

// evaluate runs a graph on one image, node by node, in float64.
func evaluate(t *testing.T, g *protos.GraphProto, pixels []uint8, input onnx.Input) map[string][]float32 {
	t.Helper()
	values := map[string][]float32{}
	for _, tensor := range g.Initializer {
		values[tensor.Name] = make([]float32, len(tensor.RawData)/4)
		binary.Decode(tensor.RawData, binary.LittleEndian, values[tensor.Name])
	}
	image := make([]float32, len(pixels))
	for i, pixel := range pixels {
		if image[i] = float32(pixel); input == onnx.Float {
			image[i] /= 255
		}
	}
	values[onnx.ImageName] = image
	shape := []int{1} // channels, rows, columns of x, while it is an image
	for _, d := range g.Input[0].Type.GetTensorType().Shape.Dim[2:] {
		shape = append(shape, int(d.GetDimValue()))
	}
	for _, node := range g.Node {
		x := values[node.Input[0]]
		each := func(f func(x float64) float64) []float32 {
			y := make([]float32, len(x))
			for i := range x {
				y[i] = float32(f(float64(x[i])))
			}
			return y
		}
		second := func() float64 { return float64(values[node.Input[1]][0]) }
		var y []float32
		switch node.OpType {
		case "Cast", "Flatten":
			y = x
		case "Mul":
			y = each(func(x float64) float64 { return x * second() })
		case "Add":
			y = each(func(x float64) float64 { return x + second() })
		case "Relu":
			y = each(func(x float64) float64 { return max(x, 0) })
		case "Sigmoid":
			y = each(func(x float64) float64 { return 1 / (1 + math.Exp(-x)) })
		case "Tanh":
			y = each(math.Tanh)
		case "Conv":
			weight, bias := values[node.Input[1]], values[node.Input[2]]
			side := 1
			for side*side*shape[0]*len(bias) < len(weight) {
				side++
			}
			rows, columns := shape[1]-side+1, shape[2]-side+1
			for i := range len(bias) * rows * columns {
				out, row, column, sum := i/(rows*columns), i/columns%rows, i%columns, float64(bias[i/(rows*columns)])
				for j := range shape[0] * side * side {
					in, down, right := j/(side*side), j/side%side, j%side
					sum += float64(weight[out*shape[0]*side*side+j]) * float64(x[(in*shape[1]+row+down)*shape[2]+column+right])
				}
				y = append(y, float32(sum))
			}
			shape = []int{len(bias), rows, columns}
		case "MaxPool":
			if found := fmt.Sprint(node.Attribute[0].Ints, node.Attribute[1].Ints); found != "[2 2] [2 2]" {
				t.Fatalf("found the attributes %s", found)
			}
			for i := range shape[0] * (shape[1] / 2) * (shape[2] / 2) {
				channel, row, column := i/(shape[1]/2*(shape[2]/2)), i/(shape[2]/2)%(shape[1]/2), i%(shape[2]/2)
				at := (channel*shape[1]+2*row)*shape[2] + 2*column
				y = append(y, max(x[at], x[at+1], x[at+shape[2]], x[at+shape[2]+1]))
			}
			shape = []int{shape[0], shape[1] / 2, shape[2] / 2}
		case "Softmax":
			sum := 0.0
			for _, x := range x {
				sum += math.Exp(float64(x))
			}
			y = each(func(x float64) float64 { return math.Exp(x) / sum })
		case "Gemm":
			if a := node.Attribute[0]; a.Name != "transB" || a.I != 1 {
				t.Fatalf("found the attribute %v", a)
			}
			weight := values[node.Input[1]]
			for i, bias := range values[node.Input[2]] {
				sum := float64(bias)
				for j := range x {
					sum += float64(x[j]) * float64(weight[i*len(x)+j])
				}
				y = append(y, float32(sum))
			}
		default:
			t.Fatalf("found the operator %s", node.OpType)
		}
		values[node.Output[0]] = y
	}
	return values
}

// python is a Python that has onnx and ONNX Runtime. Without one the test is skipped, or
// fails if EPOCHAL_REQUIRE_PYTHON is 1.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("EPOCHAL_PYTHON")
	if path == "" {
		path = "python3"
	}
	if output, err := exec.Command(path, "-c", "import numpy, onnx, onnxruntime").CombinedOutput(); err != nil {
		text := fmt.Sprintf("EPOCHAL_PYTHON (%s) cannot import numpy, onnx and onnxruntime: %v\n%s", path, err, output)
		if os.Getenv("EPOCHAL_REQUIRE_PYTHON") == "1" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	return path
}

// ONNX's own checker accepts every graph, and ONNX Runtime gives for all test images the
// same classes as we do, and the same logits.
func TestONNXRuntimeAgrees(t *testing.T) {
	interpreter := python(t)
	folder := t.TempDir()
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := experiments.Defaults()
	c.LayerSizes, c.LearningRate, c.Epochs, c.Normalize = []int{128, 64}, 0.1, 1, true
	result, err := train.Run(t.Context(), c, train.Options{Folder: filepath.Join(folder, "run")})
	if err != nil {
		t.Fatal(err)
	}
	data, err := dataset.Read(c.Data, c.DataOptions())
	if err != nil {
		t.Fatal(err)
	}
	write("images.u8", data.Test.Pixels)
	write("shape", fmt.Append(nil, data.Test.Rows, " ", data.Test.Columns))
	networks := map[string]trained.Network{}
	for _, activation := range model.Activations() {
		a := model.FullyConnected{Rows: data.Test.Rows, Columns: data.Test.Columns, Hidden: []int{16}, Classes: 10, Activation: activation}
		networks[string(activation)] = trained.Network{
			Description: model.Description{Architecture: a, Normalization: model.Unnormalized()},
			Weights:     model.Initialize(a.Parameters(), 1),
		}
	}
	a := model.Convolutional{FullyConnected: model.FullyConnected{
		Rows: data.Test.Rows, Columns: data.Test.Columns, Hidden: []int{16}, Classes: 10, Activation: model.ActivationReLU,
	}, Channels: []int{4, 8}, Kernel: 3}
	networks["convolutional"] = trained.Network{
		Description: model.Description{Architecture: a, Normalization: model.Unnormalized()}, Weights: model.Initialize(a.Parameters(), 1),
	}
	if networks["relu"], err = trained.Open(result.Folder, model.Hints{}); err != nil {
		t.Fatal(err)
	}
	for name, n := range networks {
		for _, input := range onnx.Inputs() {
			content, err := onnx.Encode(n.Description, n.Weights, onnx.Options{Input: input, Softmax: true})
			if err != nil {
				t.Fatal(err)
			}
			write(string(input)+"-"+name+".onnx", content)
		}
	}
	if output, err := exec.Command(interpreter, "testdata/run.py", folder).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for name, n := range networks {
		for _, input := range onnx.Inputs() {
			file := string(input) + "-" + name + ".f32"
			content, err := os.ReadFile(filepath.Join(folder, file))
			if err != nil || len(content) != 4*data.Test.Len()*data.Classes {
				t.Fatalf("%s: found %d bytes of logits and the error %v", file, len(content), err)
			}
			all := make([]float32, len(content)/4)
			binary.Decode(content, binary.LittleEndian, all)
			right, farthest := 0, 0.0
			for i := range data.Test.Len() {
				found, expected := all[i*data.Classes:][:data.Classes], logits(n.Description, n.Weights, data.Test.Image(i))
				if tie := expected[largest(expected)]-expected[largest(found)] <= tolerance; largest(found) != largest(expected) && !tie {
					t.Errorf("%s: image %d: found class %d, expected %d", file, i, largest(found), largest(expected))
				}
				if largest(found) == int(data.Test.Labels[i]) {
					right++
				}
				farthest = max(farthest, apart(found, expected))
			}
			t.Logf("%s: logits at most %.2g apart", file, farthest)
			if farthest > tolerance {
				t.Errorf("%s: found logits that are %g apart, expected at most %g", file, farthest, tolerance)
			}
			if accuracy := float64(right) / float64(data.Test.Len()); name == "relu" && accuracy != result.Final.TestAccuracy {
				t.Errorf("%s: found the accuracy %v, expected %v as after the training", file, accuracy, result.Final.TestAccuracy)
			}
		}
	}
}

func largest(values []float32) int {
	best := 0
	for i, value := range values {
		if value > values[best] {
			best = i
		}
	}
	return best
}
