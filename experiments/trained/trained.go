// Package trained opens a trained network on disk, ready to use: a run folder, or one
// file of weights, wherever it was copied and whoever wrote it. The file says by its
// metadata what it takes to use it; what a file without metadata does not say, the user
// does, by [model.Hints].
//
// It trains and writes nothing (packages train and record do), and runs nothing: what is
// to be done with the network is up to its callers.
package trained

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/model"
)

// Network is a trained network.
type Network struct {
	Description model.Description
	Weights     model.Weights
	Folder      string // the run folder; "" if a file was opened
	File        string // of the weights
	Hash        string // SHA-256 of that file, 64 hex digits
}

// Described reports whether the file says what its weights are for; else that is
// from the hints and guesses of [model.ReadModel].
func (n Network) Described() bool { return n.Description.Version != "" }

// CheckOutput reports a number that came out of the network and is not finite: its
// weights are too large.
func (n Network) CheckOutput(x float64) error {
	if experiments.IsFinite(x) {
		return nil
	}
	return fmt.Errorf("%s: found the output %v, %w; are its weights damaged?", n.File, x, model.ErrNotFinite)
}

// Open opens the network in a run folder that is complete, or in a safetensors file,
// a checkpoint included. Errors name the file.
func Open(path string, h model.Hints) (Network, error) {
	n := Network{File: path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		n.Folder, n.File = path, filepath.Join(path, record.WeightsFile)
		if _, err := os.Stat(n.File); err != nil {
			return Network{}, incomplete(path)
		}
	}
	file, err := regular.Open(n.File)
	if err != nil {
		return Network{}, err
	}
	defer file.Close()
	hash := sha256.New()
	n.Description, n.Weights, err = model.ReadModel(io.TeeReader(file, hash), n.File, h)
	n.Hash = hex.EncodeToString(hash.Sum(nil))
	return n, err
}

// incomplete is the error of a folder without the weights of a run.
func incomplete(folder string) error {
	err := fmt.Errorf("%s: found no %s in it, expected the folder of a run that has ended", folder, record.WeightsFile)
	if _, running := os.Stat(filepath.Join(folder, record.ConfigFile)); running != nil {
		return err
	}
	return Unfinished{err}
}

// Unfinished is the error of the folder of a run that has not ended.
type Unfinished struct{ error }

// Hint says what can be done.
func (u Unfinished) Hint() string {
	return "train --resume continues the run; or name one of its " + record.CheckpointsFolder
}
