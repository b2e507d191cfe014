package model

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/dtypes/float16"
)

// The safetensors format (huggingface/safetensors, README "Format"): eight bytes
// with the length of the header, little-endian; the header, a JSON object from
// tensor name to dtype, shape and offsets into the data; then the data.

// MaxHeader is the longest safetensors header that is read, in bytes. A
// network of MaxLayers layers needs some 20 kB.
const MaxHeader = 1 << 20

// metadataName is the header's member that describes no tensor.
const metadataName = "__metadata__"

// wrappers are what PyTorch puts before the names of a network's tensors:
// torch.compile and DataParallel.
var wrappers = []string{"_orig_mod.", "module."}

// valueType is a type of tensor that is read.
type valueType struct {
	size  int                      // of a value, in bytes
	value func(raw []byte) float64 // exactly
}

// valueTypes are the types of tensors by their names in files. Values become
// float32, which is exact for all but F64.
var valueTypes = map[string]valueType{
	"F32":  {4, func(raw []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))) }},
	"F64":  {8, func(raw []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(raw)) }},
	"F16":  {2, func(raw []byte) float64 { return float16.FromBits(binary.LittleEndian.Uint16(raw)).Float64() }},
	"BF16": {2, func(raw []byte) float64 { return bfloat16.FromBits(binary.LittleEndian.Uint16(raw)).Float64() }},
}

// tensorHeader describes one tensor of the file.
type tensorHeader struct {
	DType   string  `json:"dtype"`
	Shape   []int   `json:"shape"`
	Offsets []int64 `json:"data_offsets"` // first and end, from the end of the header, in bytes
}

// WriteWeights writes weights as safetensors, float32, under the names of their
// parameters. The same weights give the same bytes.
func WriteWeights(w io.Writer, parameters []ParameterSpec, weights Weights) error {
	file, err := encodeWeights(parameters, weights, "")
	if err == nil {
		_, err = w.Write(file)
	}
	return err
}

// ErrNotFinite is the error of weights that hold NaN or an infinity, which are
// never written to a file.
var ErrNotFinite = errors.New("expected finite numbers")

func finite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }

// encodeWeights is the file of WriteWeights. first is the text of the header's
// first members, with a comma at its end, or empty.
func encodeWeights(parameters []ParameterSpec, weights Weights, first string) ([]byte, error) {
	header := bytes.NewBufferString("{" + first)
	end := int64(0)
	for i, parameter := range parameters {
		if i > 0 {
			header.WriteByte(',')
		}
		start := end
		end += 4 * int64(parameter.Size())
		described, err := json.Marshal(tensorHeader{DType: "F32", Shape: parameter.Dims, Offsets: []int64{start, end}})
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(header, "%q:%s", parameter.Name, described)
	}
	header.WriteByte('}')
	header.WriteString(strings.Repeat(" ", -header.Len()&7)) // the data starts at a multiple of 8
	file := make([]byte, 8, 8+int64(header.Len())+end)
	binary.LittleEndian.PutUint64(file, uint64(header.Len()))
	file = append(file, header.Bytes()...)
	for i, parameter := range parameters {
		for j, x := range weights[i] {
			if !finite(x) {
				return nil, fmt.Errorf("tensor %s: found %v at position %d, %w", parameter.Name, x, j, ErrNotFinite)
			}
			file = binary.LittleEndian.AppendUint32(file, math.Float32bits(x))
		}
	}
	return file, nil
}

// ReadWeights reads the values of parameters from safetensors as [WriteWeights]
// or PyTorch writes them. name is the file's, for errors. It accepts exactly the
// tensors of parameters, whose names may have the prefixes _orig_mod. and module.:
// an error says which tensor, the first of them, is missing, unknown or of another
// shape or type, and what was expected. F16 and BF16 become float32 exactly, F64 the nearest one.
// Memory grows with the bytes that arrive, not with those that the header claims.
func ReadWeights(r io.Reader, name string, parameters []ParameterSpec) (weights Weights, err error) {
	defer naming(name, &err)
	tensors, _, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	return readTensors(r, tensors, parameters)
}

// naming puts the name of a file before an error, if there is one.
func naming(name string, err *error) {
	if *err != nil {
		*err = fmt.Errorf("%s: %w", name, *err)
	}
}

// readTensors reads what follows a header: exactly the tensors of parameters.
func readTensors(r io.Reader, tensors map[string]tensorHeader, parameters []ParameterSpec) (Weights, error) {
	var problems []error
	for _, parameter := range parameters {
		found, ok := tensors[parameter.Name]
		if !ok {
			problems = append(problems, fmt.Errorf("tensor %s: not found, expected F32 %v", parameter.Name, parameter.Dims))
		} else if valueTypes[found.DType].size == 0 || !slices.Equal(found.Shape, parameter.Dims) {
			problems = append(problems, fmt.Errorf("tensor %s: found %s %v, expected F32 %v",
				parameter.Name, found.DType, found.Shape, parameter.Dims))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if !slices.ContainsFunc(parameters, func(p ParameterSpec) bool { return p.Name == name }) {
			problems = append(problems, fmt.Errorf("tensor %s: found %s %v, expected no tensor of that name",
				name, tensors[name].DType, tensors[name].Shape))
		}
	}
	if len(problems) > 1 {
		return nil, fmt.Errorf("%w; and %d more", problems[0], len(problems)-1)
	} else if len(problems) == 1 {
		return nil, problems[0]
	}
	return readData(r, tensors, parameters)
}

// readData reads the data section: the tensors one after another, in the order
// of their offsets, without gaps or overlaps, and nothing after the last.
func readData(r io.Reader, tensors map[string]tensorHeader, parameters []ParameterSpec) (Weights, error) {
	weights := make(Weights, len(parameters))
	order := make([]int, len(parameters))
	for i := range order {
		order[i] = i
	}
	offset := func(i int) int64 { return tensors[parameters[i].Name].Offsets[0] }
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(offset(a), offset(b)) })
	position := int64(0)
	for _, i := range order {
		name, size, kind := parameters[i].Name, parameters[i].Size(), valueTypes[tensors[parameters[i].Name].DType]
		end := position + int64(kind.size)*int64(size)
		if found, expected := tensors[name].Offsets, []int64{position, end}; !slices.Equal(found, expected) {
			return nil, fmt.Errorf("tensor %s: found data_offsets %v, expected %v", name, found, expected)
		}
		var err error
		if weights[i], err = readValues(r, size, kind); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		position = end
	}
	if n, _ := io.ReadFull(r, make([]byte, 1)); n > 0 {
		return nil, fmt.Errorf("found data after the last tensor, expected the end at %d bytes after the header", position)
	}
	return weights, nil
}

// readValues reads that many values of a type.
func readValues(r io.Reader, count int, t valueType) ([]float32, error) {
	const most = 1 << 14 // values read at once
	values := make([]float32, 0, min(count, most))
	raw := make([]byte, t.size*min(count, most))
	for len(values) < count {
		part := raw[:t.size*min(count-len(values), most)]
		if n, err := io.ReadFull(r, part); err != nil {
			return nil, fmt.Errorf("found %d bytes, expected %d: %w", t.size*len(values)+n, t.size*count, noEOF(err))
		}
		for ; len(part) > 0; part = part[t.size:] {
			exact := t.value(part)
			value := float32(exact)
			if !finite(value) && math.Abs(exact) > math.MaxFloat32 && !math.IsInf(exact, 0) {
				return nil, fmt.Errorf("found %v at position %d, expected at most %v, the largest float32", exact, len(values), math.MaxFloat32)
			} else if !finite(value) {
				return nil, fmt.Errorf("found %v at position %d, %w", exact, len(values), ErrNotFinite)
			}
			values = append(values, value)
		}
	}
	return values, nil
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
		name = unwrapped(name)
		if _, twice := tensors[name]; twice && err == nil {
			err = errors.New("found twice, with different prefixes")
		}
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

// unwrapped is the name of a tensor without the prefixes of wrappers.
func unwrapped(name string) string {
	for _, wrapper := range wrappers {
		if rest, ok := strings.CutPrefix(name, wrapper); ok {
			return unwrapped(rest)
		}
	}
	return name
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

// noEOF says what an end of file in the middle of something means.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file is cut short")
	}
	return err
}
