package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"epochal/experiments"
	"epochal/experiments/bench"
	"epochal/model"
)

// Limits on the results of a benchmark that [ReadBench] reads. What a benchmark
// makes is far below.
const (
	MaxBenchBytes  = 64 << 20 // of the file
	maxBenchCells  = 2000     // so many of each list
	maxBenchRounds = 10_000   // of a cell or a peer
	maxBenchLosses = 1_000_000
	maxBenchText   = 64 << 10 // bytes of a text

	// Numbers above 0, in seconds, bytes and operations per second: between them
	// every ratio that is made of them stays finite.
	leastBench, mostBench = 1e-12, 1e18
)

// BenchJSON writes the results of a benchmark as JSON, indented, equal bytes for
// equal results. Its schema is [bench.Results], whose fields say what each key
// holds and in which unit. [ReadBench] reads it. Lists are never null.
//
// What [ReadBench] would refuse is an error, such as a number that is not finite.
func BenchJSON(w io.Writer, r bench.Results) error {
	if err := checkBench(r); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	r.Cells, r.Unavailable, r.Peers, r.Warnings = listed(r.Cells), listed(r.Unavailable), listed(r.Peers), listed(r.Warnings)
	for i := range r.Cells {
		c := &r.Cells[i]
		c.Cell.LayerSizes, c.Rounds = listed(c.Cell.LayerSizes), listed(c.Rounds)
		if c.Trajectory != nil {
			t := *c.Trajectory
			t.Losses = listed(t.Losses)
			c.Trajectory = &t
		}
	}
	for i := range r.Peers {
		r.Peers[i].LayerSizes, r.Peers[i].Rounds = listed(r.Peers[i].LayerSizes), listed(r.Peers[i].Rounds)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// listed is a copy of a list, which JSON writes as [] where it is empty.
func listed[T any](all []T) []T { return append(make([]T, 0, len(all)), all...) }

// ReadBench reads what [BenchJSON] wrote, of at most [MaxBenchBytes]. name is the
// file's, for errors.
//
// Nothing in the results needs a second look: the schema is [bench.Schema], no key
// is unknown, every number is finite and from 0, cells are of the grid and no two
// are the same.
func ReadBench(r io.Reader, name string) (bench.Results, error) {
	results, err := readBench(r)
	if err != nil {
		return bench.Results{}, fmt.Errorf("%s: %w", name, err)
	}
	return results, nil
}

func readBench(r io.Reader) (bench.Results, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxBenchBytes+1))
	if err != nil {
		return bench.Results{}, err
	}
	if len(text) > MaxBenchBytes {
		return bench.Results{}, fmt.Errorf("found more than %d bytes, expected the results of epochal bench --format json", MaxBenchBytes)
	}

	// The schema comes first: another one may well have other keys.
	var head struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return bench.Results{}, fmt.Errorf("found no results of epochal bench --format json: %w", err)
	}
	if head.Schema == nil {
		return bench.Results{}, errors.New(`found no key "schema", expected the results of epochal bench --format json`)
	}
	if *head.Schema != bench.Schema {
		return bench.Results{}, fmt.Errorf("schema: found %d, expected %d, the one that this version writes", *head.Schema, bench.Schema)
	}

	var results bench.Results
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&results); err != nil {
		return bench.Results{}, err
	}
	return results, checkBench(results)
}

// checkBench reports the first value of r that no benchmark makes.
func checkBench(r bench.Results) error {
	if r.Schema != bench.Schema {
		return fmt.Errorf("schema: found %d, expected %d", r.Schema, bench.Schema)
	}
	if err := checkNumber("seconds", r.Seconds); err != nil {
		return err
	}
	if r.WantedRounds < 0 || r.WantedRounds > maxBenchRounds {
		return fmt.Errorf("wanted_rounds: found %d, expected 0 to %d", r.WantedRounds, maxBenchRounds)
	}
	if year := r.Started.Year(); year < 0 || year > 9999 {
		return fmt.Errorf("started: found the year %d, expected 0 to 9999", year)
	}
	for _, list := range []struct {
		name  string
		count int
	}{
		{"cells", len(r.Cells)}, {"unavailable", len(r.Unavailable)}, {"peers", len(r.Peers)}, {"warnings", len(r.Warnings)},
	} {
		if list.count > maxBenchCells {
			return fmt.Errorf("%s: found %d of them, expected at most %d", list.name, list.count, maxBenchCells)
		}
	}
	if err := checkText("command", r.Command); err != nil {
		return err
	}
	for i, c := range r.Cells {
		if err := checkCell(c); err != nil {
			return fmt.Errorf("cells: position %d: %w", i, err)
		}
		for j, other := range r.Cells[:i] {
			if other.Cell.Equal(c.Cell) {
				return fmt.Errorf("cells: position %d: found the same cell as at position %d", i, j)
			}
		}
	}
	for i, u := range r.Unavailable {
		if u.Backend == "" {
			return fmt.Errorf("unavailable: position %d: backend: found no name", i)
		}
		if err := cmp.Or(checkText("backend", u.Backend), checkText("reason", u.Reason)); err != nil {
			return fmt.Errorf("unavailable: position %d: %w", i, err)
		}
	}
	for i, p := range r.Peers {
		if err := checkPeer(p); err != nil {
			return fmt.Errorf("peers: position %d: %w", i, err)
		}
	}
	for i, warning := range r.Warnings {
		if err := checkText(fmt.Sprintf("warnings: position %d", i), warning); err != nil {
			return err
		}
	}
	return nil
}

// checkText reports a text that is too long to be read.
func checkText(name, text string) error {
	if len(text) > maxBenchText {
		return fmt.Errorf("%s: found %d bytes, expected at most %d", name, len(text), maxBenchText)
	}
	return nil
}

func checkCell(c bench.CellResult) error {
	cell := c.Cell
	const mostName = 1000
	if cell.Backend == "" || cell.Backend == "auto" || len(cell.Backend) > mostName || !utf8.ValidString(cell.Backend) {
		return fmt.Errorf("backend: found %.100q, expected a name such as xla:cpu", cell.Backend)
	}
	if cell.Precision != bench.Float32 && cell.Precision != bench.TF32 {
		return fmt.Errorf("precision: found %.100q, expected %s or %s", cell.Precision, bench.Float32, bench.TF32)
	}
	if err := checkWork(cell.LayerSizes, cell.BatchSize); err != nil {
		return err
	}
	if cell.StepsPerCall < 0 || cell.StepsPerCall > bench.TrainImages {
		return fmt.Errorf("steps_per_call: found %d, expected 0, for a whole epoch, to %d", cell.StepsPerCall, bench.TrainImages)
	}
	if cell.Feed != bench.FeedResident && cell.Feed != bench.FeedHost {
		return fmt.Errorf("feed: found %.100q, expected %s or %s", cell.Feed, bench.FeedResident, bench.FeedHost)
	}
	if cell.Feed == bench.FeedHost && cell.StepsPerCall != 1 {
		return fmt.Errorf("steps_per_call: found %d with feed %s, expected 1", cell.StepsPerCall, cell.Feed)
	}

	if err := checkText("failure", c.Failure); err != nil {
		return err
	}
	if len(c.Rounds) > maxBenchRounds {
		return fmt.Errorf("rounds: found %d of them, expected at most %d", len(c.Rounds), maxBenchRounds)
	}
	for i, m := range c.Rounds {
		for _, column := range benchColumns {
			value := column.of(m)
			if column.key == "other_load" && value >= 0 && value < leastBench {
				continue // a difference of clocks may be that small, and nothing is divided by it
			}
			if err := checkNumber(column.key, value); err != nil {
				return fmt.Errorf("round %d: %w", i+1, err)
			}
		}
	}
	t := c.Trajectory
	if t == nil {
		return nil
	}
	if len(t.Losses) > maxBenchLosses {
		return fmt.Errorf("trajectory: losses: found %d of them, expected at most %d", len(t.Losses), maxBenchLosses)
	}
	for i, loss := range t.Losses {
		if !(loss >= 0) || math.IsInf(float64(loss), 0) {
			return fmt.Errorf("trajectory: losses: found %v at position %d, expected a finite number from 0", loss, i)
		}
	}
	if t.Evaluated < 0 || t.Evaluated > bench.TestImages {
		return fmt.Errorf("trajectory: evaluated: found %d, expected 0 to %d", t.Evaluated, bench.TestImages)
	}
	if t.Correct < 0 || t.Correct > t.Evaluated {
		return fmt.Errorf("trajectory: correct: found %d, expected 0 to the %d that were evaluated", t.Correct, t.Evaluated)
	}
	return nil
}

func checkPeer(p bench.PeerResult) error {
	if p.Peer == "" || len(p.Peer) > 100 || !utf8.ValidString(p.Peer) {
		return fmt.Errorf("peer: found %.100q, expected a name such as %s", p.Peer, bench.PeerJAX)
	}
	if err := checkWork(p.LayerSizes, p.BatchSize); err != nil {
		return err
	}
	if err := cmp.Or(checkText("failure", p.Failure), checkText("versions", p.Versions)); err != nil {
		return err
	}
	if len(p.Rounds) > maxBenchRounds {
		return fmt.Errorf("rounds: found %d of them, expected at most %d", len(p.Rounds), maxBenchRounds)
	}
	for i, round := range p.Rounds {
		for _, side := range []struct {
			name  string
			times bench.ProcessTimes
		}{{"ours", round.Ours}, {"peers", round.Peers}} {
			for _, number := range []struct {
				name  string
				value float64
			}{
				{"train", side.times.Train}, {"evaluate", side.times.Evaluate}, {"process", side.times.Process}, {"memory", float64(side.times.Memory)},
			} {
				if err := checkNumber(number.name, number.value); err != nil {
					return fmt.Errorf("round %d: %s: %w", i+1, side.name, err)
				}
			}
		}
	}
	return nil
}

// checkWork reports a network or a batch size that cannot be trained.
func checkWork(layerSizes []int, batchSize int) error {
	if len(layerSizes) > model.MaxLayers {
		return fmt.Errorf("layer_sizes: found %d of them, expected at most %d", len(layerSizes), model.MaxLayers)
	}
	for i, width := range layerSizes {
		if width < 1 || width > model.MaxWidth {
			return fmt.Errorf("layer_sizes: found %d at position %d, expected 1 to %d", width, i, model.MaxWidth)
		}
	}
	if batchSize < 1 || batchSize > experiments.MaxBatchSize {
		return fmt.Errorf("batch_size: found %d, expected 1 to %d", batchSize, experiments.MaxBatchSize)
	}
	return nil
}

// checkNumber reports a number that was neither measured nor 0 for not measured.
func checkNumber(name string, x float64) error {
	if x == 0 || x >= leastBench && x <= mostBench {
		return nil
	}
	return fmt.Errorf("%s: found %v, expected 0, for not measured, or %v to %v", name, x, leastBench, float64(mostBench))
}
