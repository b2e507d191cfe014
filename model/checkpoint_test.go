package model_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"epochal/model"
)

var someMetadata = map[string]string{"b": "2", "a": `quoted "1"`, "comma": ","}

func smallCheckpoint(t testing.TB) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := model.WriteCheckpoint(&file, small, model.Initialize(small, 1), someMetadata); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// readCheckpoint reads a checkpoint of small and its metadata.
func readCheckpoint(file []byte) (weights model.Weights, metadata map[string]string, err error) {
	weights, err = model.ReadCheckpoint(bytes.NewReader(file), "c", small, func(m map[string]string) error {
		metadata = m
		return nil
	})
	return weights, metadata, err
}

// sealed is file with the checksum that its bytes need.
func sealed(file []byte) []byte {
	const at = 8 + len(`{"__metadata__":{"sha256":"`)
	if len(file) < at+64 {
		return file
	}
	file = bytes.Clone(file)
	copy(file[at:], strings.Repeat("0", 64))
	sum := sha256.Sum256(file)
	hex.Encode(file[at:], sum[:])
	return file
}

func TestCheckpointSurvivesTheRoundTrip(t *testing.T) {
	file := smallCheckpoint(t)
	if !bytes.Equal(file, smallCheckpoint(t)) {
		t.Error("found other bytes the second time")
	}
	text, start := string(file[8:]), `{"__metadata__":{"sha256":"`
	const rest = `","a":"quoted \"1\"","b":"2","comma":","},"linear_relu_stack.0.weight":{`
	if !strings.HasPrefix(text, start) || !strings.Contains(text, rest) {
		t.Errorf("found the header %q", text)
	}
	if length := binary.LittleEndian.Uint64(file); length%8 != 0 {
		t.Errorf("found a header of %d bytes, expected a multiple of 8", length)
	}
	weights, metadata, err := readCheckpoint(file)
	if err != nil || !reflect.DeepEqual(weights, model.Initialize(small, 1)) || !reflect.DeepEqual(metadata, someMetadata) {
		t.Errorf("found %v, %v and error %v", weights, metadata, err)
	}
	// Whoever reads weights reads a checkpoint too.
	if plain, err := model.ReadWeights(bytes.NewReader(file), "c", small); err != nil || !reflect.DeepEqual(plain, weights) {
		t.Errorf("found %v and error %v", plain, err)
	}
}

// No single bit can change, and no byte be missing, without being noticed.
func TestCheckpointRefusesEveryChange(t *testing.T) {
	good := smallCheckpoint(t)
	for i := range good {
		for bit := range 8 {
			changed := bytes.Clone(good)
			changed[i] ^= 1 << bit
			if _, _, err := readCheckpoint(changed); err == nil || !strings.HasPrefix(err.Error(), "c: ") {
				t.Fatalf("bit %d of byte %d: found error %v", bit, i, err)
			}
		}
		if _, _, err := readCheckpoint(good[:i]); err == nil || !strings.HasPrefix(err.Error(), "c: ") {
			t.Fatalf("cut after %d bytes: found error %v", i, err)
		}
	}
	if _, _, err := readCheckpoint(append(bytes.Clone(good), 0)); err == nil {
		t.Error("one byte more: found no error")
	}
}

func TestReadCheckpointRefuses(t *testing.T) {
	good := smallCheckpoint(t)
	resized := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("%q is not in the file", old)
		}
		changed := bytes.Replace(good, []byte(old), []byte(new), 1)
		binary.LittleEndian.PutUint64(changed, binary.LittleEndian.Uint64(changed)+uint64(len(new)-len(old)))
		return sealed(changed)
	}
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "c: checksum: found 0 bytes, expected at least 99: the file is cut short"},
		{"plain weights", smallFile(t), "c: checksum: found none at the start of the header, expected one; not a checkpoint, or a damaged one"},
		{"another shape", resized("[2,3]", "[3,2]"), "c: tensor linear_relu_stack.0.weight: found F32 [3 2], expected F32 [2 3]"},
		{"a length beyond the limit", sealed(append([]byte{0, 0, 0, 1, 0, 0, 0, 0}, good[8:]...)),
			"c: header length: found 16777216 bytes, expected at most 1048576; not a safetensors file?"},
	} {
		if _, _, err := readCheckpoint(test.file); err == nil || err.Error() != test.want {
			t.Errorf("%s: found error %q, expected %q", test.name, fmt.Sprint(err), test.want)
		}
	}
	refused := errors.New("refused")
	_, err := model.ReadCheckpoint(bytes.NewReader(resized("[2,3]", "[3,2]")), "c", small, func(map[string]string) error { return refused })
	if !errors.Is(err, refused) {
		t.Errorf("found error %v, expected that of accept, before a tensor is looked at", err)
	}
}

func FuzzReadCheckpoint(f *testing.F) {
	good := smallCheckpoint(f)
	f.Add(good, true)
	f.Add(good[:len(good)-1], true)
	f.Add(bytes.Replace(good, []byte(`"b":"2"`), []byte(`"b":[2]`), 1), true)
	f.Add(smallFile(f), false)
	f.Add([]byte("<html>"), false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal { // get past the checksum
			data = sealed(data)
		}
		var weights model.Weights
		var metadata map[string]string
		var err error
		if found := allocated(func() { weights, metadata, err = readCheckpoint(data) }); found > 64*uint64(len(data))+4*model.MaxHeader {
			t.Errorf("allocated %d bytes for a file of %d", found, len(data))
		}
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := model.WriteCheckpoint(&again, small, weights, metadata); err != nil {
			t.Fatal(err)
		}
		reread, remetadata, err := readCheckpoint(again.Bytes())
		if err != nil || !reflect.DeepEqual(reread, weights) || len(remetadata) != len(metadata) {
			t.Errorf("found %v, %v and error %v after writing, expected %v, %v", reread, remetadata, err, weights, metadata)
		}
	})
}
