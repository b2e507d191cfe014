package record

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"epochal/dataset"
	"epochal/experiments"
)

// arithmetic is the generation of what a config computes. It is part of the
// identity: raise it when the same config and seed give other numbers than before,
// so that old runs are not mistaken for new ones.
const arithmetic = 1

// Identity is a SHA-256, as 64 hex digits, of everything that decides the numbers
// of a run: two runs with one identity are the same run. data are the files of c's
// data, which do not count for MNIST because that is built in; initSHA256 is the
// checksum of its initial weights, "" where they are drawn from the seed.
func Identity(c experiments.Config, data []dataset.File, initSHA256 string) string {
	c.StepsPerCall = 0 // changes speed, never results
	if c.Data == dataset.MNIST {
		data = nil
	}
	return digest(struct {
		Arithmetic int
		Config     experiments.Config
		Data       []dataset.File
		InitSHA256 string
	}{arithmetic, c, data, initSHA256})
}

// ReadIdentity is the identity of the run in a folder, ended or not; "" if an older
// version recorded it. The error wraps [fs.ErrNotExist] where there is none.
func ReadIdentity(folder string) (string, error) {
	environment, err := readEnvironment(folder)
	return environment.Identity, err
}

// digest is the SHA-256 of a value's JSON.
func digest(value any) string {
	text, _ := json.Marshal(value) // a valid config has no number that JSON has not
	hash := sha256.Sum256(text)
	return hex.EncodeToString(hash[:])
}
