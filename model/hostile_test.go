package model_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"strings"
	"testing"

	"epochal/model"
)

// endless is a reader of zeros that counts what was read.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.read += int64(len(p))
	return len(p), nil
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
		{"length only", binary.LittleEndian.AppendUint64(nil, 1<<62)},
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
		var before, after runtime.MemStats
		rest := &endless{}
		runtime.ReadMemStats(&before)
		_, err := model.ReadWeights(io.MultiReader(bytes.NewReader(c.file), rest), "w", smallTopology)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: found no error", c.name)
		}
		if found := after.TotalAlloc - before.TotalAlloc; found > 48*model.MaxHeader {
			t.Errorf("%s: found %d bytes allocated for a file of %d", c.name, found, len(c.file))
		}
		if rest.read > 2*model.MaxHeader {
			t.Errorf("%s: found %d bytes read after the file", c.name, rest.read)
		}
	}

	// Data that never ends is read no further than the last tensor.
	rest := &endless{}
	_, err := model.ReadWeights(io.MultiReader(bytes.NewReader(good), rest), "w", smallTopology)
	if err == nil || !strings.Contains(err.Error(), "found data after the last tensor") || rest.read > 1<<16 {
		t.Errorf("found error %v after %d bytes more", err, rest.read)
	}
}
