package model

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A checkpoint is a safetensors file of weights with metadata, the first of
// which is a SHA-256 over the whole file, taken while its own digits are zeros:
// so every byte is covered, and the checksum has the same place whatever else the
// metadata says.

// checksumName is the name of the checksum in the metadata.
const checksumName = "sha256"

// checkpointStart is how the header of a checkpoint begins; the checksum's 64
// digits follow.
const checkpointStart = `{"` + metadataName + `":{"` + checksumName + `":"`

const checksumDigits = 2 * sha256.Size

// maxCheckpoint is the largest checkpoint that is read, in bytes.
const maxCheckpoint = 8 + MaxHeader + 4*MaxParameters

// WriteCheckpoint writes weights and metadata as one safetensors file that
// PyTorch opens like any other. The same weights and metadata give the same
// bytes. The name sha256 in the metadata is the checksum's own.
func WriteCheckpoint(w io.Writer, parameters []ParameterSpec, weights Weights, metadata map[string]string) error {
	first := checkpointStart[1:] + strings.Repeat("0", checksumDigits) + `"`
	if len(metadata) > 0 {
		text, err := json.Marshal(metadata) // sorted by name
		if err != nil {
			return fmt.Errorf("metadata: %w", err)
		}
		first += "," + string(text[1:len(text)-1])
	}
	file, err := encodeWeights(parameters, weights, first+"},")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(file)
	hex.Encode(file[8+len(checkpointStart):], sum[:])
	_, err = w.Write(file)
	return err
}

// ReadCheckpoint reads a file that [WriteCheckpoint] wrote for the same parameters.
// name is the file's, for errors. The checksum is verified first; then accept is
// given the metadata, before any weight is read, and its error, if any, is returned.
// Like [ReadWeights] it allocates no more than twice what the parameters need.
func ReadCheckpoint(
	r io.ReadSeeker, name string, parameters []ParameterSpec, accept func(metadata map[string]string) error,
) (weights Weights, err error) {
	defer naming(name, &err)
	if err := verifyChecksum(r); err != nil {
		return nil, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	tensors, metadata, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	delete(metadata, checksumName)
	if err := accept(metadata); err != nil {
		return nil, err
	}
	return readTensors(r, tensors, parameters)
}

// verifyChecksum reads r to its end and compares.
func verifyChecksum(r io.Reader) error {
	start := make([]byte, 8+len(checkpointStart)+checksumDigits)
	if n, err := io.ReadFull(r, start); err != nil {
		return fmt.Errorf("checksum: found %d bytes, expected at least %d: %w", n, len(start), noEOF(err))
	}
	digits := start[len(start)-checksumDigits:]
	if string(start[8:len(start)-checksumDigits]) != checkpointStart {
		return errors.New("checksum: found none at the start of the header, expected one; not a checkpoint, or a damaged one")
	}
	stated := string(digits)
	copy(digits, strings.Repeat("0", checksumDigits))
	hash := sha256.New()
	hash.Write(start)
	rest, err := io.Copy(hash, io.LimitReader(r, maxCheckpoint))
	if err != nil {
		return err
	}
	if rest == maxCheckpoint {
		return fmt.Errorf("found more than %d bytes, expected no more than that", int64(maxCheckpoint))
	}
	if found := hex.EncodeToString(hash.Sum(nil)); found != stated {
		return fmt.Errorf("checksum: found SHA-256 %s, expected %s as the file says; it is damaged or cut short", found, stated)
	}
	return nil
}
