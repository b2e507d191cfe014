package record

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"

	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/model"
)

// The checkpoints of a run folder: epoch-00003-step-00000.safetensors is where
// step 0 of epoch 3 comes next. The two newest are kept while the run continues,
// the last one after its end.
const (
	CheckpointsFolder = "checkpoints"
	BestFile          = "best.safetensors" // the best epoch's, with KeepBest
)

// bestName is the best epoch's checkpoint, below the run folder.
const bestName = CheckpointsFolder + "/" + BestFile

// checkpointVersion is the version of the metadata. A newer one is refused.
const checkpointVersion = 1

// damaged is the end of the name of a checkpoint that a resumed run refused.
const damaged = ".damaged"

// checkpoint is what a checkpoint holds besides the weights.
type checkpoint struct {
	experiments.Position
	metricsBytes int     // of metrics.jsonl that belong to it, 0 or more
	epochSeconds float64 // that the steps of the epoch took so far
	keep         string  // KeepLast or KeepBest
	bestEpoch    int     // with KeepBest the best epoch so far, else 0
	bestLoss     float64 // its loss, 0 without one
	configSHA256 string  // of those fields of the config that may not change
	data         string  // the data's name, as in model.Description

	classNames []string // among the metadata of the model; nil where numbers name the classes
}

// checkpointFile is the file of a checkpoint, below the run folder.
func checkpointFile(p experiments.Position) string {
	return path.Join(CheckpointsFolder, fmt.Sprintf("epoch-%05d-step-%05d.safetensors", p.Epoch, p.Step))
}

// metadata is c as metadata of a safetensors file.
func (c checkpoint) metadata() map[string]string {
	return map[string]string{
		"checkpoint_version": strconv.Itoa(checkpointVersion),
		"epoch":              strconv.Itoa(c.Epoch),
		"step":               strconv.Itoa(c.Step),
		"metrics_bytes":      strconv.Itoa(c.metricsBytes),
		"epoch_seconds":      fmt.Sprint(c.epochSeconds),
		"keep":               c.keep,
		"best_epoch":         strconv.Itoa(c.bestEpoch),
		"best_loss":          fmt.Sprint(c.bestLoss),
		"config_sha256":      c.configSHA256,
	}
}

// parse reads the metadata back.
func (c *checkpoint) parse(metadata map[string]string) (err error) {
	check := func(ok bool, name, expected string) {
		if !ok {
			err = errors.Join(err, fmt.Errorf("metadata: %s: found %q, expected %s", name, metadata[name], expected))
		}
	}
	integer := func(name string, least, most int) int {
		value, failed := strconv.Atoi(metadata[name])
		check(failed == nil && value >= least && value <= most, name, fmt.Sprintf("%d to %d", least, most))
		return value
	}
	float := func(name string) float64 {
		value, failed := strconv.ParseFloat(metadata[name], 64)
		check(failed == nil && experiments.IsFinite(value) && value >= 0, name, "a finite number, 0 or more")
		return value
	}
	version, _ := strconv.Atoi(metadata["checkpoint_version"])
	check(version >= 1, "checkpoint_version", fmt.Sprintf("%d; not a checkpoint of a run", checkpointVersion))
	check(version <= checkpointVersion, "checkpoint_version", fmt.Sprintf("at most %d; it was written by a newer epochal", checkpointVersion))
	if err != nil {
		return err
	}
	*c = checkpoint{
		Position:     experiments.Position{Epoch: integer("epoch", 1, experiments.MaxEpochs+1), Step: integer("step", 0, math.MaxInt32)},
		metricsBytes: integer("metrics_bytes", 0, math.MaxInt),
		epochSeconds: float("epoch_seconds"),
		keep:         metadata["keep"],
		bestEpoch:    integer("best_epoch", 0, experiments.MaxEpochs),
		bestLoss:     float("best_loss"),
		configSHA256: metadata["config_sha256"],
		data:         metadata["data"],
	}
	if names := metadata[model.ClassNamesSetting]; names != "" {
		check(json.Unmarshal([]byte(names), &c.classNames) == nil, model.ClassNamesSetting, "a list of texts as JSON")
	}
	check(c.keep == KeepLast || c.keep == KeepBest, "keep", KeepLast+" or "+KeepBest)
	return err
}

// writeNext writes a checkpoint of what comes next and removes the one before the
// last.
func (r *Run) writeNext(weights model.Weights) error {
	if err := r.writeCheckpoint(checkpointFile(r.At), weights); err != nil {
		return err
	}
	return r.failed(r.prune(2))
}

// writeCheckpoint writes a checkpoint under the given name below the run folder.
// What metrics.jsonl holds by then is synced to disk first. Weights that are no
// longer finite while the loss still is do not stop a run: it ends as it would
// without checkpoints.
func (r *Run) writeCheckpoint(name string, weights model.Weights) error {
	var file bytes.Buffer
	metadata := checkpoint{
		Position: r.At, metricsBytes: r.size, epochSeconds: r.EpochSeconds,
		keep: cmp.Or(r.options.Keep, KeepLast), bestEpoch: r.BestEpoch, bestLoss: r.bestLoss, configSHA256: digest(fixed(r.config)),
	}.metadata()
	maps.Copy(metadata, r.described().Metadata()) // it can be used as model.safetensors can
	err := model.WriteCheckpoint(&file, r.parameters, weights, metadata)
	if errors.Is(err, model.ErrNotFinite) {
		r.options.Warn(fmt.Sprintf("%s is not written: %v", name, err))
		return nil
	}
	if err == nil {
		err = regular.Sync(r.metrics, r.lacks)
	}
	if err == nil {
		err = r.root.MkdirAll(CheckpointsFolder, 0o755)
	}
	if err == nil {
		err = r.write(name, file.Bytes())
	}
	if err == nil && name != bestName {
		r.Saved = r.At
	}
	return r.failed(err)
}

// checkpoints are the positions in the names of the folder's checkpoints, newest
// first.
func (r *Run) checkpoints() (found []experiments.Position, err error) {
	entries, err := fs.ReadDir(r.root.FS(), CheckpointsFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, entry := range entries {
		var at experiments.Position
		fmt.Sscanf(entry.Name(), "epoch-%d-step-%d.", &at.Epoch, &at.Step)
		if path.Base(checkpointFile(at)) == entry.Name() {
			found = append(found, at)
		}
	}
	slices.SortFunc(found, func(a, b experiments.Position) int {
		return cmp.Or(cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(b.Step, a.Step))
	})
	return found, err
}

// prune removes all checkpoints but the newest ones.
func (r *Run) prune(keep int) error {
	found, err := r.checkpoints()
	for _, at := range found[min(keep, len(found)):] {
		err = errors.Join(err, r.root.Remove(checkpointFile(at)))
	}
	return err
}

// readCheckpoint reads one checkpoint of the folder and verifies its checksum.
func (r *Run) readCheckpoint(name string) (c checkpoint, weights model.Weights, err error) {
	file, err := r.openFile(name)
	if err != nil {
		return c, nil, err
	}
	defer file.Close()
	weights, err = model.ReadCheckpoint(file, name, r.parameters, c.parse)
	own := []string{digest(fixed(r.config)), digest(fixedWithPlaces(r.config)), digest(fixedWithPlaces(r.recorded))}
	if err == nil && !slices.Contains(own, c.configSHA256) {
		err = fmt.Errorf("%s: found the checkpoint of another config, expected that of %s", name, ConfigFile)
	}
	return c, weights, err
}
