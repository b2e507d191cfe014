package experiments

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"epochal/dataset/regular"
	"epochal/model"
)

// The checkpoints of a run folder: epoch-00003-step-00000.safetensors is where
// step 0 of epoch 3 comes next. The two newest are kept while the run goes on,
// the last one after its end.
const (
	CheckpointsFolder = "checkpoints"
	BestFile          = "best.safetensors" // the best epoch's, with KeepBest
)

// What Options.Keep keeps besides the last checkpoint.
const (
	KeepLast = "last" // nothing
	KeepBest = "best" // the best epoch: by validation loss if there is a split, else by train loss; never by the test set
)

// checkpointVersion is the version of the metadata. A newer one is refused.
const checkpointVersion = 1

// damaged is the end of the name of a checkpoint that a resumed run refused.
const damaged = ".damaged"

// Position is where a run stands.
type Position struct {
	Epoch int // from 1; the last one plus 1 when all are done
	Step  int // that comes next, from 0; the number of steps when the epoch's evaluation is what comes next
}

// Checkpoint is what a checkpoint holds besides the weights.
type Checkpoint struct {
	Position
	MetricsBytes int64   // of metrics.jsonl that belong to it, 0 or more
	EpochSeconds float64 // that the steps of the epoch took so far
	Keep         string  // KeepLast or KeepBest
	BestEpoch    int     // with KeepBest the best epoch so far, else 0
	BestLoss     float64 // its loss, 0 without one
	ConfigSHA256 string  // of those fields of the config that may not change
}

// name is the file of a checkpoint, below the run folder.
func (p Position) name() string {
	return path.Join(CheckpointsFolder, fmt.Sprintf("epoch-%05d-step-%05d.safetensors", p.Epoch, p.Step))
}

var checkpointName = regexp.MustCompile(`^epoch-([0-9]{5,9})-step-([0-9]{5,10})\.safetensors$`)

// metadata is c as the metadata of a safetensors file.
func (c Checkpoint) metadata() map[string]string {
	float := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	return map[string]string{
		"format":             "pt", // what libraries look for that read PyTorch's files
		"checkpoint_version": strconv.Itoa(checkpointVersion),
		"epoch":              strconv.Itoa(c.Epoch),
		"step":               strconv.Itoa(c.Step),
		"metrics_bytes":      strconv.FormatInt(c.MetricsBytes, 10),
		"epoch_seconds":      float(c.EpochSeconds),
		"keep":               c.Keep,
		"best_epoch":         strconv.Itoa(c.BestEpoch),
		"best_loss":          float(c.BestLoss),
		"config_sha256":      c.ConfigSHA256,
	}
}

// parseCheckpoint reads the metadata again.
func parseCheckpoint(metadata map[string]string) (c Checkpoint, err error) {
	if version, err := strconv.Atoi(metadata["checkpoint_version"]); err != nil || version < 1 {
		return c, fmt.Errorf("metadata: checkpoint_version: found %q, expected %d; not a checkpoint of a run", metadata["checkpoint_version"], checkpointVersion)
	} else if version > checkpointVersion {
		return c, fmt.Errorf("metadata: checkpoint_version: found %d, expected at most %d; a newer epochal wrote it", version, checkpointVersion)
	}
	integer := func(name string, least, most int64) int64 {
		value, failed := strconv.ParseInt(metadata[name], 10, 64)
		if failed != nil || value < least || value > most {
			err = errors.Join(err, fmt.Errorf("metadata: %s: found %q, expected %d to %d", name, metadata[name], least, most))
		}
		return value
	}
	float := func(name string) float64 {
		value, failed := strconv.ParseFloat(metadata[name], 64)
		if failed != nil || !isFinite(value) || value < 0 {
			err = errors.Join(err, fmt.Errorf("metadata: %s: found %q, expected a finite number from 0 on", name, metadata[name]))
		}
		return value
	}
	c = Checkpoint{
		Position:     Position{int(integer("epoch", 1, MaxEpochs+1)), int(integer("step", 0, math.MaxInt32))},
		MetricsBytes: integer("metrics_bytes", 0, math.MaxInt64),
		EpochSeconds: float("epoch_seconds"),
		Keep:         metadata["keep"],
		BestEpoch:    int(integer("best_epoch", 0, MaxEpochs)),
		BestLoss:     float("best_loss"),
		ConfigSHA256: metadata["config_sha256"],
	}
	if c.Keep != KeepLast && c.Keep != KeepBest {
		err = errors.Join(err, fmt.Errorf("metadata: keep: found %q, expected %s or %s", c.Keep, KeepLast, KeepBest))
	}
	return c, err
}

// ReadCheckpoint reads a checkpoint of a network and verifies its checksum. name
// is the file's, for errors.
func ReadCheckpoint(r io.ReadSeeker, name string, t model.FullyConnected) (c Checkpoint, weights model.Weights, err error) {
	weights, err = model.ReadCheckpoint(r, name, t.Parameters(), func(metadata map[string]string) (err error) {
		c, err = parseCheckpoint(metadata)
		return err
	})
	return c, weights, err
}

// fixedSHA256 is the checksum of those fields of c that may not change when a
// run is resumed.
func (c Config) fixedSHA256() (string, error) {
	defaults := Defaults()
	c.Epochs, c.Backend, c.TF32, c.StepsPerCall = defaults.Epochs, defaults.Backend, defaults.TF32, defaults.StepsPerCall
	text, err := json.Marshal(c)
	hash := sha256.Sum256(text)
	return hex.EncodeToString(hash[:]), err
}

// writeCheckpoint writes a checkpoint under the given name below the run folder.
// What metrics.jsonl holds by then is on the disk before.
func (f *folder) writeCheckpoint(name string, c Checkpoint, t model.FullyConnected, weights model.Weights) error {
	var file bytes.Buffer
	if err := model.WriteCheckpoint(&file, t.Parameters(), weights, c.metadata()); err != nil {
		return err
	}
	if err := f.metrics.Sync(); err != nil {
		return err
	}
	if err := f.root.Mkdir(CheckpointsFolder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.write(name, file.Bytes())
}

// checkpoints are the positions that the names of the folder's checkpoints tell,
// the newest first.
func (f *folder) checkpoints() ([]Position, error) {
	entries, err := fs.ReadDir(f.root.FS(), CheckpointsFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var found []Position
	for _, entry := range entries {
		if match := checkpointName.FindStringSubmatch(entry.Name()); match != nil {
			epoch, _ := strconv.Atoi(match[1])
			step, _ := strconv.Atoi(match[2])
			if p := (Position{epoch, step}); path.Base(p.name()) == entry.Name() {
				found = append(found, p)
			}
		}
	}
	slices.SortFunc(found, func(a, b Position) int {
		return cmp.Or(cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(b.Step, a.Step))
	})
	return found, nil
}

// prune removes all checkpoints but the newest ones.
func (f *folder) prune(keep int) error {
	found, err := f.checkpoints()
	for _, p := range found[min(keep, len(found)):] {
		err = errors.Join(err, f.root.Remove(p.name()))
	}
	return err
}

// readCheckpoint reads one checkpoint of the folder, which must be the position
// that its name tells, if it is not the best.
func (f *folder) readCheckpoint(name string, t model.FullyConnected, configSHA256 string) (Checkpoint, model.Weights, error) {
	// What is no file could keep the reader waiting for ever, see regular.Open.
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil {
		err = regular.Check(name, info)
	}
	if err != nil {
		return Checkpoint{}, nil, err
	}
	c, weights, err := ReadCheckpoint(file, name, t)
	if err == nil && c.ConfigSHA256 != configSHA256 {
		err = fmt.Errorf("%s: found the checkpoint of another config, expected that of %s", name, ConfigFile)
	}
	return c, weights, err
}
