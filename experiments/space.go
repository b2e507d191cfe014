package experiments

import (
	"fmt"

	"epochal/model"

	"golang.org/x/sys/unix"
)

// checkpointsAtOnce is how many files with weights a run folder holds at most
// at one time: two checkpoints and the one being written, the best, and
// model.safetensors.
const checkpointsAtOnce = 5

// recordBytes is what the other files of a run folder take about, in bytes.
const recordBytes = 1 << 20

// checkSpace reports a file system without room for the checkpoints of a network.
// folder exists.
func checkSpace(folder string, t model.FullyConnected) error {
	var system unix.Statfs_t
	if err := unix.Statfs(folder, &system); err != nil {
		return fmt.Errorf("out: %s: %w", folder, err)
	}
	if system.Blocks == 0 {
		return nil // a file system that does not say
	}
	free := uint64(system.Bavail) * uint64(system.Bsize)
	need := uint64(checkpointsAtOnce*4*model.ParameterCount(t.Parameters()) + recordBytes)
	if free < need {
		return full{fmt.Errorf("out: %s: found %d bytes free on its file system, expected at least %d for the checkpoints", folder, free, need)}
	}
	return nil
}

// full is the error of a file system without room.
type full struct{ error }

// Hint says what to do.
func (full) Hint() string { return "free some space, or choose a folder elsewhere" }
