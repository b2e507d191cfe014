package model

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// The safetensors format (huggingface/safetensors, README "Format"): eight bytes
// with the length of the header, little-endian; the header, a JSON object from
// tensor name to dtype, shape and offsets into the data; then the data.

// MaxHeader is the longest safetensors header that is read, in bytes. A
// network of MaxLayers layers needs some 20 kB.
const MaxHeader = 1 << 20

// stack is the name of the post's nn.Sequential, which prefixes every parameter.
const stack = "linear_relu_stack"

// metadataName is the header's member that describes no tensor.
const metadataName = "__metadata__"

// tensorHeader describes one tensor of the file.
type tensorHeader struct {
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"` // first and end, from the end of the header, in bytes
}

// tensorNames are the names of layer i's parameters in PyTorch's state_dict of
// the post's class: the activations take the odd numbers.
func tensorNames(i int) (weight, bias string) {
	return fmt.Sprintf("%s.%d.weight", stack, 2*i), fmt.Sprintf("%s.%d.bias", stack, 2*i)
}

// WriteWeights writes weights as safetensors, float32, under the post's names:
// linear_relu_stack.0.weight [out, in], linear_relu_stack.0.bias [out],
// linear_relu_stack.2.weight... The same weights give the same bytes.
func WriteWeights(w io.Writer, t Topology, weights Weights) error {
	file, err := encodeWeights(t, weights, "")
	if err == nil {
		_, err = w.Write(file)
	}
	return err
}

// ErrNotFinite is the error of weights that hold NaN or an infinity, which no
// file gets.
var ErrNotFinite = errors.New("expected finite numbers")

// encodeWeights is the file of WriteWeights. first is the text of the header's
// first members, with a comma at its end, or empty.
func encodeWeights(t Topology, weights Weights, first string) ([]byte, error) {
	if err := weights.check(t); err != nil {
		return nil, err
	}
	header := bytes.NewBufferString("{" + first)
	var parts []part
	end := int64(0)
	add := func(name string, values *[]float32, shape ...int64) error {
		p := part{name: name, offsets: [2]int64{end, end + 4*elements(shape)}, values: values}
		end = p.offsets[1]
		if len(parts) > 0 {
			header.WriteByte(',')
		}
		parts = append(parts, p)
		described, err := json.Marshal(tensorHeader{DType: "F32", Shape: shape, Offsets: p.offsets[:]})
		fmt.Fprintf(header, "%q:%s", name, described)
		return err
	}
	for i, layer := range t.Layers() {
		weight, bias := tensorNames(i)
		if err := errors.Join(
			add(weight, &weights[i].Weight, int64(layer.Out), int64(layer.In)),
			add(bias, &weights[i].Bias, int64(layer.Out)),
		); err != nil {
			return nil, err
		}
	}
	header.WriteByte('}')
	header.WriteString(strings.Repeat(" ", -header.Len()&7)) // the data starts at a multiple of 8
	file := make([]byte, 8, 8+int64(header.Len())+end)
	binary.LittleEndian.PutUint64(file, uint64(header.Len()))
	file = append(file, header.Bytes()...)
	for _, p := range parts {
		for i, x := range *p.values {
			if !finite(x) {
				return nil, fmt.Errorf("tensor %s: found %v at position %d, %w", p.name, x, i, ErrNotFinite)
			}
			file = binary.LittleEndian.AppendUint32(file, math.Float32bits(x))
		}
	}
	return file, nil
}

// ReadWeights reads weights for t from safetensors as [WriteWeights] or PyTorch
// writes them. name is the file's, for errors. It accepts exactly the tensors
// of t: an error says which tensor is missing, unknown or of another shape or
// type, and what was expected. What is allocated is bounded by twice what t needs.
func ReadWeights(r io.Reader, name string, t Topology) (Weights, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	tensors, _, err := readHeader(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	weights, err := readTensors(r, tensors, t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return weights, nil
}

// readTensors reads what follows a header: exactly the tensors of t.
func readTensors(r io.Reader, tensors map[string]tensorHeader, t Topology) (Weights, error) {
	weights := make(Weights, len(t.Hidden)+1)
	var parts []part
	var problems []error
	expect := func(name string, values *[]float32, shape ...int64) {
		found, ok := tensors[name]
		delete(tensors, name)
		switch {
		case !ok:
			problems = append(problems, fmt.Errorf("tensor %s: not found, expected F32 %v", name, shape))
		case found.DType != "F32" || !slices.Equal(found.Shape, shape):
			problems = append(problems, fmt.Errorf("tensor %s: found %s %v, expected F32 %v", name, found.DType, found.Shape, shape))
		default:
			parts = append(parts, part{name, [2]int64(found.Offsets), elements(shape), values})
		}
	}
	for i, layer := range t.Layers() {
		weight, bias := tensorNames(i)
		expect(weight, &weights[i].Weight, int64(layer.Out), int64(layer.In))
		expect(bias, &weights[i].Bias, int64(layer.Out))
	}
	unknown := make([]string, 0, len(tensors))
	for name := range tensors {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		problems = append(problems, fmt.Errorf("tensor %s: found %s %v, but a network with layer sizes %v has none of that name",
			name, tensors[name].DType, tensors[name].Shape, t.Hidden))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return weights, readParts(r, parts)
}

// part is one tensor of the data section and where its values go.
type part struct {
	name    string
	offsets [2]int64
	count   int64 // float32 values
	values  *[]float32
}

// elements is the number of values of a shape, each dimension of which the
// topology has already bounded.
func elements(shape []int64) int64 {
	count := int64(1)
	for _, dimension := range shape {
		count *= dimension
	}
	return count
}

// readHeader reads the length and the JSON of the header.
func readHeader(r io.Reader) (tensors map[string]tensorHeader, metadata map[string]string, err error) {
	var prefix [8]byte
	if n, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, nil, fmt.Errorf("header length: found %d bytes, expected 8: %w", n, noEOF(err))
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > MaxHeader {
		if prefix[0] == '<' {
			return nil, nil, errors.New("not safetensors: it looks like an HTML page")
		}
		return nil, nil, fmt.Errorf("header length: found %d bytes, expected at most %d; not a safetensors file?", length, MaxHeader)
	}
	text := make([]byte, length)
	if n, err := io.ReadFull(r, text); err != nil {
		return nil, nil, fmt.Errorf("header: found %d bytes, expected %d: %w", n, length, noEOF(err))
	}
	return parseHeader(text)
}

// parseHeader reads the JSON object and nothing else: the tensors, and the
// metadata if there is any.
func parseHeader(text []byte) (tensors map[string]tensorHeader, metadata map[string]string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	tensors = map[string]tensorHeader{}
	err = readObject(decoder, func(name string) error {
		if name == metadataName {
			return decoder.Decode(&metadata)
		}
		tensor, err := readTensor(decoder)
		tensors[name] = tensor
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if rest := bytes.TrimSpace(text[decoder.InputOffset():]); len(rest) > 0 {
		return nil, nil, fmt.Errorf("header: found %d bytes after the JSON object", len(rest))
	}
	return tensors, metadata, nil
}

// readTensor reads the object of one tensor: dtype, shape and data_offsets, each once.
func readTensor(decoder *json.Decoder) (t tensorHeader, err error) {
	err = readObject(decoder, func(key string) error {
		switch key {
		case "dtype":
			return decoder.Decode(&t.DType)
		case "shape":
			return decoder.Decode(&t.Shape)
		case "data_offsets":
			return decoder.Decode(&t.Offsets)
		default:
			return errors.New("expected dtype, shape or data_offsets")
		}
	})
	if err == nil && len(t.Offsets) != 2 {
		err = fmt.Errorf("data_offsets: found %d numbers, expected 2", len(t.Offsets))
	}
	return t, err
}

// readObject reads a JSON object, calling member to read the value of each
// name, and refuses a name that occurs twice. encoding/json alone would take
// the last one, and names that differ in case.
func readObject(decoder *json.Decoder, member func(name string) error) error {
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return errors.New("found no JSON object")
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if seen[name] {
			return fmt.Errorf("%s: found twice", name)
		}
		seen[name] = true
		if err := member(name); err != nil {
			return fmt.Errorf("%s: %w", name, noEOF(err))
		}
	}
	if _, err := decoder.Token(); err != nil {
		return noEOF(err)
	}
	return nil
}

// readParts reads the data section: the tensors one after another, in the order
// of their offsets, without gaps or overlaps, and nothing after the last.
func readParts(r io.Reader, parts []part) error {
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.offsets[0], b.offsets[0]) })
	position := int64(0)
	for _, p := range parts {
		if end := position + 4*p.count; p.offsets != [2]int64{position, end} {
			return fmt.Errorf("tensor %s: found data_offsets %v, expected %v", p.name, p.offsets, [2]int64{position, end})
		}
		raw := make([]byte, 4*p.count)
		if n, err := io.ReadFull(r, raw); err != nil {
			return fmt.Errorf("tensor %s: found %d bytes, expected %d: %w", p.name, n, len(raw), noEOF(err))
		}
		values := make([]float32, p.count)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
			if !finite(values[i]) {
				return fmt.Errorf("tensor %s: found %v at position %d, expected finite numbers", p.name, values[i], i)
			}
		}
		*p.values = values
		position += 4 * p.count
	}
	if n, _ := io.ReadFull(r, make([]byte, 1)); n > 0 {
		return fmt.Errorf("found data after the last tensor, expected the end at %d bytes after the header", position)
	}
	return nil
}

// noEOF says what an end of file in the middle of something means.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file is cut short")
	}
	return err
}
