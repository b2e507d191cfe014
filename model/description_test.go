package model_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"epochal/model"
)

// described is a model file of a small network.
func described(names ...string) model.Description {
	return model.Description{
		Architecture: model.FullyConnected{Rows: 1, Columns: 3, Hidden: []int{2}, Classes: 2, Activation: model.ActivationTanh},
		ClassNames:   names, Normalization: model.Normalization{Mean: 0.1307, Deviation: 0.3081},
		Data: "mnist", DataSHA256: "00ff", Seed: 1<<64 - 1, BatchSize: 64, Epochs: 3, TestAccuracy: 0.8922, Version: "v1.0.0",
	}
}

func modelFile(t testing.TB, d model.Description) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := model.WriteModel(&file, d, model.Initialize(d.Architecture.Parameters(), 1)); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestAModelFileSaysWhatItTakesToUseIt(t *testing.T) {
	for _, d := range []model.Description{described(), described("no", "\"yes\", or\n")} {
		file := modelFile(t, d)
		if !bytes.Equal(file, modelFile(t, d)) {
			t.Error("found other bytes the second time")
		}
		found, weights, err := model.ReadModel(bytes.NewReader(file), "m", model.Hints{})
		if want := model.Initialize(d.Architecture.Parameters(), 1); err != nil || !reflect.DeepEqual(weights, want) {
			t.Errorf("found weights %v and error %v, expected %v", weights, err, want)
		}
		if !reflect.DeepEqual(found, d) {
			t.Errorf("found %+v, expected %+v", found, d)
		}
		// Whoever reads weights alone reads it too.
		if _, err := model.ReadWeights(bytes.NewReader(file), "m", d.Architecture.Parameters()); err != nil {
			t.Error(err)
		}
	}
	whole := described()
	whole.Whole = true
	if found, _, err := model.ReadModel(bytes.NewReader(modelFile(t, whole)), "m", model.Hints{}); err != nil || !found.Whole {
		t.Errorf("found %+v and error %v, expected a network of whole pictures", found, err)
	}
	const want = `{"__metadata__":{"activation":"tanh","architecture":"fully_connected","batch_size":"64","classes":"2","columns":"3",` +
		`"data":"mnist","data_sha256":"00ff","deviation":"0.3081","epochs":"3","format":"pt","layer_sizes":"[2]","mean":"0.1307","rows":"1",` +
		`"scale":"0.00392156862745098","seed":"18446744073709551615","test_accuracy":"0.8922","version":"v1.0.0"},"linear_relu_stack.0.weight":`
	if text := string(modelFile(t, described())[8:]); !strings.HasPrefix(text, want) {
		t.Errorf("found the header %q, expected %q", text[:len(want)], want)
	}
	if d := described("no", "yes"); d.ClassName(1) != "yes" || described().ClassName(1) != "1" {
		t.Errorf("found the names %s and %s, expected yes and 1", d.ClassName(1), described().ClassName(1))
	}
}

// Without metadata, the tensors and the user say what the network is.
func TestReadModelWithoutMetadata(t *testing.T) {
	read := func(a model.FullyConnected, h model.Hints) (model.Description, error) {
		var file bytes.Buffer
		if err := model.WriteWeights(&file, a.Parameters(), model.Initialize(a.Parameters(), 1)); err != nil {
			t.Fatal(err)
		}
		d, _, err := model.ReadModel(&file, "m", h)
		return d, err
	}
	network := func(rows, columns int, activation model.Activation, hidden ...int) model.FullyConnected {
		return model.FullyConnected{Rows: rows, Columns: columns, Hidden: hidden, Classes: 3, Activation: activation}
	}
	relu, none := model.ActivationReLU, model.Unnormalized()
	some := model.Normalization{Mean: 0.5, Deviation: 0.25}
	for _, c := range []struct {
		written model.FullyConnected
		hints   model.Hints
		want    model.Description
	}{
		{network(4, 4, relu, 6, 5), model.Hints{}, model.Description{Architecture: network(4, 4, relu, 6, 5), Normalization: none}},
		{network(3, 4, relu), model.Hints{}, model.Description{Architecture: network(1, 12, relu, []int{}...), Normalization: none}},
		{network(3, 4, relu, 6), model.Hints{Rows: 3, Columns: 4, Activation: model.ActivationTanh, Normalization: &some, LayerSizes: []int{6}},
			model.Description{Architecture: network(3, 4, model.ActivationTanh, 6), Normalization: some}},
	} {
		found, err := read(c.written, c.hints)
		if err != nil || fmt.Sprintf("%+v", found) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%+v: found %+v and error %v, expected %+v", c.hints, found, err, c.want)
		}
	}
	_, err := read(network(4, 4, relu, 6), model.Hints{LayerSizes: []int{7}})
	want := "m: tensor linear_relu_stack.0.weight: found F32 [6 16], expected F32 [7 16]; and 2 more"
	if err == nil || err.Error() != want {
		t.Errorf("found error %v, expected %s", err, want)
	}
	// What the file says goes before what the user says.
	file := modelFile(t, described())
	d, _, err := model.ReadModel(bytes.NewReader(file), "m", model.Hints{Activation: relu, Normalization: &some, Rows: 9, Columns: 9})
	if err != nil || !reflect.DeepEqual(d, described()) {
		t.Errorf("found %+v and error %v, expected %+v", d, err, described())
	}
}

func TestReadModelRefuses(t *testing.T) {
	good := modelFile(t, described("no", "yes"))
	start := string(good[8 : len(good)-56])
	for _, c := range []struct{ old, new, want string }{
		{`"tanh"`, `"gelu"`, `m: metadata: activation: found "gelu", expected one of [relu sigmoid tanh]`},
		{`"fully_connected"`, `"transformer"`, `m: metadata: architecture: found "transformer", expected fully_connected or convolutional`},
		{`"classes":"2"`, `"classes":"257"`, `m: metadata: classes: found "257", expected 2 to 256`},
		{`"classes":"2"`, `"classes":"3"`, `m: metadata: class_names: found "[\"no\",\"yes\"]", expected 3 names`},
		{`[\"no\",\"yes\"]`, `\"no\"`, `m: metadata: class_names: found "\"no\"", expected a list of texts as JSON`},
		{`"rows":"1"`, `"rows":"x"`, `m: metadata: rows: found "x", expected 1 to 4096`},
		{`"columns":"3"`, `"columns":"5000"`, `m: metadata: columns: found "5000", expected 1 to 4096`},
		{`"columns":"3"`, `"columns":"4"`, `m: tensor linear_relu_stack.0.weight: found F32 [2 3], expected F32 [2 4]`},
		{`"deviation":"0.3081"`, `"deviation":"0"`, `m: metadata: deviation: found "0", expected a number above 0`},
		{`"mean":"0.1307"`, `"mean":"NaN"`, `m: metadata: mean: found "NaN", expected a number`},
		{`"mean":"0.1307"`, `"mien":"0.1307"`, `m: metadata: mean: not found`},
		{`"scale":"0.00392156862745098"`, `"scale":"1"`, `m: metadata: scale: found "1", expected 0.00392156862745098`},
		{`"layer_sizes":"[2]"`, `"layer_sizes":"2"`, `m: metadata: layer_sizes: found "2", expected a list of widths as JSON`},
		{`"layer_sizes":"[2]"`, `"layer_sizes":"[0]"`, `m: layer sizes: width 0 of hidden layer 1: expected 1 to 65536`},
		{`"seed":"18446744073709551615"`, `"seed":"-1"`, `m: metadata: seed: found "-1", expected a whole number, 0 or more`},
		{`"test_accuracy":"0.8922"`, `"test_accuracy":"2"`, `m: metadata: test_accuracy: found "2", expected 0 to 1`},
		{`"epochs":"3"`, `"epochs":3`, `m: header: __metadata__: json: cannot unmarshal number into Go value of type string`},
		// Without metadata:
		{`"architecture":"fully_connected",`, ``, ``},
		{`__metadata__`, `linear_relu_stack.9`, `m: header: linear_relu_stack.9: activation: expected dtype, shape or data_offsets`},
	} {
		if !strings.Contains(start, c.old) {
			t.Fatalf("%s is not in the header %s", c.old, start)
		}
		changed := append(file(strings.Replace(start, c.old, c.new, 1), 0), good[len(good)-56:]...)
		_, _, err := model.ReadModel(bytes.NewReader(changed), "m", model.Hints{})
		first, _, _ := strings.Cut(fmt.Sprint(err), "\n")
		if c.want != "" && first != c.want || c.want == "" && err != nil {
			t.Errorf("%s: found error %v, expected %s", c.new, err, c.want)
		}
	}
	const first = `{"linear_relu_stack.0.weight":{"dtype":"F32","shape":[%s],"data_offsets":[0,36]}}`
	for header, want := range map[string]string{
		`{}`:                       "m: tensor linear_relu_stack.0.weight: not found, expected the weight of the first layer",
		fmt.Sprintf(first, "9"):    "m: tensor linear_relu_stack.0.weight: found F32 [9], expected 2 dimensions",
		fmt.Sprintf(first, "1,9"):  "m: found 1 classes, expected 2 to 256",
		fmt.Sprintf(first, "2,-9"): "m: found images of 1 by -9 pixels, expected 1 to 4096 each way",
	} {
		if _, _, err := model.ReadModel(bytes.NewReader(file(header, 36)), "m", model.Hints{}); err == nil || err.Error() != want {
			t.Errorf("%s: found error %v, expected %s", header, err, want)
		}
	}
}

// A file may claim a network of a gigabyte.
func TestReadModelBoundsItsMemory(t *testing.T) {
	const claims = `{"linear_relu_stack.0.weight":{"dtype":"F64","shape":[16384,16000],"data_offsets":[0,2097152000]},` +
		`"linear_relu_stack.0.bias":{"dtype":"F32","shape":[16384],"data_offsets":[2097152000,2097217536]},` +
		`"linear_relu_stack.2.weight":{"dtype":"F32","shape":[2,16384],"data_offsets":[2097217536,2097348608]},` +
		`"linear_relu_stack.2.bias":{"dtype":"F32","shape":[2],"data_offsets":[2097348608,2097348616]}}`
	found := allocated(func() {
		_, _, err := model.ReadModel(bytes.NewReader(file(claims, 100)), "m", model.Hints{})
		if want := "m: tensor linear_relu_stack.0.weight: found 100 bytes, expected 2097152000: the file is cut short"; fmt.Sprint(err) != want {
			t.Errorf("found error %v, expected %s", err, want)
		}
	})
	if found > 1<<20 {
		t.Errorf("found %d bytes allocated", found)
	}
}

func FuzzReadModel(f *testing.F) {
	for _, good := range [][]byte{modelFile(f, described()), modelFile(f, described("no", "yes")), smallFile(f)} {
		f.Add(good)
		f.Add(bytes.ReplaceAll(good, []byte("linear_relu"), []byte("module.linear_relu")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d model.Description
		var weights model.Weights
		var err error
		found := allocated(func() { d, weights, err = model.ReadModel(bytes.NewReader(data), "m", model.Hints{}) })
		if found > 64*uint64(len(data))+4*model.MaxHeader {
			t.Errorf("allocated %d bytes for a file of %d", found, len(data))
		}
		if err != nil {
			return
		}
		// What is accepted can be used, and says the same when it is written and read again.
		task := d.Architecture.Task()
		if found, _ := model.NewForward(d, weights).Run(make([]uint8, task.Inputs())); len(found) != task.Classes {
			t.Errorf("found %d probabilities of %d classes", len(found), task.Classes)
		}
		if d.Version == "" {
			return
		}
		var again bytes.Buffer
		if err := model.WriteModel(&again, d, weights); err != nil {
			t.Fatal(err)
		}
		same, reread, err := model.ReadModel(&again, "again", model.Hints{})
		if err != nil || !reflect.DeepEqual(reread, weights) || !reflect.DeepEqual(same, d) {
			t.Errorf("found %+v and error %v after writing, expected %+v", same, err, d)
		}
	})
}
