package model_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"epochal/model"
)

var small = model.FullyConnected{Rows: 1, Columns: 3, Hidden: []int{2}, Classes: 2}.Parameters()

func smallFile(t testing.TB) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := model.WriteWeights(&file, small, model.Initialize(small, 1)); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// file builds a safetensors file from a header and a number of data bytes.
func file(header string, data int) []byte {
	text := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(text, header...), make([]byte, data)...)
}

func TestWeightsAreWrittenAsDocumented(t *testing.T) {
	text := string(smallFile(t))
	want := `{"linear_relu_stack.0.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},` +
		`"linear_relu_stack.0.bias":{"dtype":"F32","shape":[2],"data_offsets":[24,32]},` +
		`"linear_relu_stack.2.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[32,48]},` +
		`"linear_relu_stack.2.bias":{"dtype":"F32","shape":[2],"data_offsets":[48,56]}}`
	if !strings.HasPrefix(text[8:], want) {
		t.Errorf("found the header %q, expected %q", text[8:8+len(want)], want)
	}
}

func TestReadWeightsRefuses(t *testing.T) {
	good := smallFile(t)
	header := string(good[8 : len(good)-56])
	change := func(old, new string) []byte {
		if !strings.Contains(header, old) {
			t.Fatalf("%q is not in the header", old)
		}
		changed := strings.Replace(header, old, new, 1)
		return append(file(changed, 0), good[len(good)-56:]...)
	}
	notFinite := bytes.Clone(good)
	copy(notFinite[len(notFinite)-4:], []byte{0, 0, 0xc0, 0x7f})
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "w: header length: found 0 bytes, expected 8: the file is cut short"},
		{"cut in the length", good[:5], "w: header length: found 5 bytes, expected 8: the file is cut short"},
		{"cut in the header", good[:20], "w: header: found 12 bytes, expected 320: the file is cut short"},
		{"cut in the data", good[:len(good)-3], "w: tensor linear_relu_stack.2.bias: found 5 bytes, expected 8: the file is cut short"},
		{"one byte more", append(bytes.Clone(good), 0), "w: found data after the last tensor, expected the end at 56 bytes after the header"},
		{"a page", []byte("<!DOCTYPE html><html>"), "w: not safetensors: it looks like an HTML page"},
		{"something else", bytes.Repeat([]byte{0xff}, 64),
			"w: header length: found 18446744073709551615 bytes, expected at most 1048576; not a safetensors file?"},
		{"no object", file("[1]     ", 0), "w: header: found no JSON object"},
		{"cut JSON", file(`{"a":{"dtype":"F32"`, 0), "w: header: a: the file is cut short"},
		{"a name twice", change("linear_relu_stack.0.bias", "linear_relu_stack.0.weight"), "w: header: linear_relu_stack.0.weight: found twice"},
		{"a key twice", change(`"dtype":"F32",`, `"dtype":"F32","dtype":"F32",`), "w: header: linear_relu_stack.0.weight: dtype: found twice"},
		{"an unknown key", change(`"dtype"`, `"DTYPE"`), "w: header: linear_relu_stack.0.weight: DTYPE: expected dtype, shape or data_offsets"},
		{"three offsets", change("[48,56]", "[48,56,99]"), "w: header: linear_relu_stack.2.bias: data_offsets: found 3 numbers, expected 2"},
		{"text after the object", file("{} {}", 0), "w: header: found 2 bytes after the JSON object"},
		{"another shape", change("[2,3]", "[3,2]"), "w: tensor linear_relu_stack.0.weight: found F32 [3 2], expected F32 [2 3]"},
		{"another type", change(`"F32","shape":[2]`, `"I32","shape":[2]`),
			"w: tensor linear_relu_stack.0.bias: found I32 [2], expected F32 [2]"},
		{"another size", change(`"F32","shape":[2]`, `"BF16","shape":[2]`),
			"w: tensor linear_relu_stack.0.bias: found data_offsets [24 32], expected [24 28]"},
		{"a name twice but for a prefix", change("linear_relu_stack.0.bias", "module.linear_relu_stack.0.weight"),
			"w: header: module.linear_relu_stack.0.weight: found twice, with different prefixes"},
		{"another name", change("linear_relu_stack.2.bias", "linear_relu_stack.4.bias"),
			"w: tensor linear_relu_stack.2.bias: not found, expected F32 [2]; and 1 more"},
		{"a name too many", change(`{"linear`, `{"a":{"dtype":"F32","shape":[],"data_offsets":[0,0]},"linear`),
			"w: tensor a: found F32 [], expected no tensor of that name"},
		{"a gap", change("[48,56]", "[52,60]"), "w: tensor linear_relu_stack.2.bias: found data_offsets [52 60], expected [48 56]"},
		{"an overlap", change("[48,56]", "[44,52]"), "w: tensor linear_relu_stack.2.bias: found data_offsets [44 52], expected [48 56]"},
		{"a wrong end", change("[48,56]", "[48,60]"), "w: tensor linear_relu_stack.2.bias: found data_offsets [48 60], expected [48 56]"},
		{"not a number", notFinite, "w: tensor linear_relu_stack.2.bias: found NaN at position 1, expected finite numbers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := model.ReadWeights(bytes.NewReader(test.file), "w", small)
			if err == nil || err.Error() != test.want {
				t.Errorf("found error %q, expected %q", fmt.Sprint(err), test.want)
			}
		})
	}
}

func TestWriteWeightsRefusesWhatIsNotFinite(t *testing.T) {
	weights := model.Initialize(small, 1)
	weights[2][2] = float32(math.NaN())
	err := model.WriteWeights(io.Discard, small, weights)
	want := "tensor linear_relu_stack.2.weight: found NaN at position 2, expected finite numbers"
	if err == nil || err.Error() != want {
		t.Errorf("found error %v, expected %q", err, want)
	}
}

// The order of tensors in PyTorch's files is not ours, and it adds metadata.
func TestReadWeightsInAnyOrder(t *testing.T) {
	parameters := model.FullyConnected{Rows: 1, Columns: 1, Classes: 2}.Parameters()
	header := `{"__metadata__":{"format":"pt"},"linear_relu_stack.0.bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},` +
		`"linear_relu_stack.0.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]}}  `
	data := file(header, 16)
	binary.Encode(data[len(data)-16:], binary.LittleEndian, []float32{1, 2, 3, 4})
	got, err := model.ReadWeights(bytes.NewReader(data), "w", parameters)
	want := model.Weights{{3, 4}, {1, 2}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("found %v and error %v, expected %v", got, err, want)
	}
}

// What torch.compile and DataParallel put before the names is left out, and other
// types become float32.
func TestReadWeightsOfOtherTypesAndNames(t *testing.T) {
	parameters := model.FullyConnected{Rows: 1, Columns: 1, Classes: 2}.Parameters()
	read := func(dtype string, size int, values ...any) (model.Weights, error) {
		header := fmt.Sprintf(`{"_orig_mod.module.linear_relu_stack.0.weight":{"dtype":%q,"shape":[2,1],"data_offsets":[0,%d]},`+
			`"module.linear_relu_stack.0.bias":{"dtype":"F32","shape":[2],"data_offsets":[%[2]d,%d]}}`, dtype, 2*size, 2*size+8)
		data := file(header, 2*size+8)
		for i, value := range values {
			binary.Encode(data[len(data)-8-2*size+i*size:], binary.LittleEndian, value)
		}
		return model.ReadWeights(bytes.NewReader(data), "w", parameters)
	}
	for _, c := range []struct {
		dtype  string
		size   int
		values []any
		want   []float32
	}{
		{"F16", 2, []any{uint16(0xc100), uint16(0x0001)}, []float32{-2.5, 0x1p-24}}, // the smallest subnormal
		{"BF16", 2, []any{uint16(0xc020), uint16(0x0001)}, []float32{-2.5, 0x1p-133}},
		{"F32", 4, []any{float32(0.1), float32(-3)}, []float32{0.1, -3}},
		{"F64", 8, []any{0.1, 1 + 0x1p-24 + 0x1p-50}, []float32{0.1, 1 + 0x1p-23}}, // the nearest
	} {
		weights, err := read(c.dtype, c.size, c.values...)
		if want := (model.Weights{c.want, {0, 0}}); err != nil || !reflect.DeepEqual(weights, want) {
			t.Errorf("%s: found %v and error %v, expected %v", c.dtype, weights, err, want)
		}
	}
	for _, c := range []struct {
		dtype string
		size  int
		value any
		want  string
	}{
		{"F16", 2, uint16(0x7c00), "found +Inf at position 1, expected finite numbers"},
		{"BF16", 2, uint16(0xffc0), "found NaN at position 1, expected finite numbers"},
		{"F64", 8, 1e39, "found 1e+39 at position 1, expected at most 3.4028234663852886e+38, the largest float32"},
	} {
		_, err := read(c.dtype, c.size, make([]byte, c.size), c.value)
		if want := "w: tensor linear_relu_stack.0.weight: " + c.want; err == nil || err.Error() != want {
			t.Errorf("%s: found error %v, expected %s", c.dtype, err, want)
		}
	}
}

// endless is a reader of zeros that counts what was read.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.read += int64(len(p))
	return len(p), nil
}

// allocated returns the bytes that do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Headers of the largest size, filled with what takes the most memory for its
// length, and what they claim of data that never comes.
func TestReadWeightsBoundsItsMemory(t *testing.T) {
	fill := func(start, part, end string) []byte {
		return file(start+strings.Repeat(part, (model.MaxHeader-len(start)-len(end))/len(part))+end, 0)
	}
	good := smallFile(t)
	for _, c := range []struct {
		name string
		file []byte
	}{
		{"length above the limit", binary.LittleEndian.AppendUint64(nil, model.MaxHeader+1)},
		{"length without a header", binary.LittleEndian.AppendUint64(nil, model.MaxHeader)},
		{"shape", fill(`{"a":{"dtype":"F32","shape":[`, "0,", `0],"data_offsets":[0,0]}}`)},
		{"offsets", fill(`{"a":{"dtype":"F32","shape":[],"data_offsets":[`, "0,", `0]}}`)},
		{"depth", fill(`{"a":{"dtype":"F32","shape":`, "[", "")},
		{"objects", fill("", `{"a":`, "")},
		{"metadata", fill(`{"__metadata__":{`, `"a":"",`, `"b":""}}`)},
		{"one name twice", fill("{", `"a":{"dtype":"","shape":[],"data_offsets":[0,0]},`, `"b":{}}`)},
		{"a long name", fill(`{"`, "x", `":{"dtype":"F32","shape":[],"data_offsets":[0,0]}}`)},
		{"blanks", fill("{}", " ", "")},
		{"a large tensor", file(strings.Replace(string(good[8:len(good)-56]), "[2,3]", "[2000000000,2000000000]", 1), 0)},
	} {
		var err error
		rest := &endless{}
		found := allocated(func() { _, err = model.ReadWeights(io.MultiReader(bytes.NewReader(c.file), rest), "w", small) })
		if err == nil {
			t.Errorf("%s: found no error", c.name)
		}
		if found > 48*model.MaxHeader {
			t.Errorf("%s: found %d bytes allocated for a file of %d", c.name, found, len(c.file))
		}
		if rest.read > 2*model.MaxHeader {
			t.Errorf("%s: found %d bytes read after the file", c.name, rest.read)
		}
	}

	// Data that never ends is read no further than the last tensor.
	rest := &endless{}
	_, err := model.ReadWeights(io.MultiReader(bytes.NewReader(good), rest), "w", small)
	if err == nil || !strings.Contains(err.Error(), "found data after the last tensor") || rest.read > 1<<16 {
		t.Errorf("found error %v after %d bytes more", err, rest.read)
	}
}

func FuzzReadWeights(f *testing.F) {
	good := smallFile(f)
	f.Add(good)
	f.Add(good[:100])
	f.Add(file(`{"__metadata__":{"format":"pt"}}`, 8))
	f.Add(file(`{"linear_relu_stack.0.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,9223372036854775807]}}`, 8))
	f.Add(file(`{"linear_relu_stack.0.weight":{"dtype":"F32","shape":[-2,-3],"data_offsets":[-24,0]}}`, 8))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var weights model.Weights
		var err error
		found := allocated(func() { weights, err = model.ReadWeights(bytes.NewReader(data), "w", small) })
		if found > 32*uint64(len(data))+4*model.MaxHeader {
			t.Errorf("allocated %d bytes for a file of %d", found, len(data))
		}
		if err != nil {
			return
		}
		// What is accepted says the same when it is written and read again.
		var again bytes.Buffer
		if err := model.WriteWeights(&again, small, weights); err != nil {
			t.Fatal(err)
		}
		reread, err := model.ReadWeights(&again, "again", small)
		if err != nil || !reflect.DeepEqual(reread, weights) {
			t.Errorf("found %v and error %v after writing, expected %v", reread, err, weights)
		}
	})
}
