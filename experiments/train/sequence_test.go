package train_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/train"
	"epochal/model"
	"epochal/model/backend"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write the golden sequences anew, which gives up that recorded runs can be repeated")

// sequence is what a seed decides, in testdata/sequences: what may not differ at
// all, and what another processor may round otherwise.
type sequence struct {
	Initial string       `json:"initial"` // SHA-256 of the initial weights as a file
	Orders  []string     `json:"orders"`  // SHA-256 of each epoch's order, little-endian int32
	Split   string       `json:"split"`   // SHA-256 of the training pixels that the validation split leaves
	Losses  [][]float32  `json:"losses"`  // of each step of each epoch
	Epochs  [][6]float64 `json:"epochs"`  // loss and accuracy of the train, test and validation set
}

// tolerance is how far a loss may be from the recorded one, relative to it. Two
// processors, or XLA and pure Go, differ by a fifth of that here at most.
const tolerance = 2e-6

// sequences are runs on sequenceData that together have every setting that
// decides a number. 203 images leave a partial last batch in each of them.
func sequences() map[string]experiments.Config {
	c := experiments.Defaults()
	c.LayerSizes, c.BatchSize, c.Epochs, c.LearningRate = []int{16, 9}, 10, 3, 0.05
	all := map[string]experiments.Config{}
	add := func(name string, change func(c *experiments.Config)) {
		one := c
		change(&one)
		all[name] = one
	}
	add("relu", func(c *experiments.Config) { c.Seed = 0 })
	add("sigmoid", func(c *experiments.Config) {
		c.Seed, c.Activation, c.Normalize, c.LearningRate = 1, "sigmoid", true, 0.5
	})
	add("tanh", func(c *experiments.Config) { c.Seed, c.Activation, c.BatchSize = 42, "tanh", 16 })
	add("file-order", func(c *experiments.Config) { c.Seed, c.Shuffle, c.LayerSizes = math.MaxUint64, false, []int{} })
	add("split", func(c *experiments.Config) { c.Seed, c.Validation, c.Normalize, c.LayerSizes = 7, 30, true, []int{12} })
	return all
}

// sequenceData is a folder with a dataset of 5x4 pixels and 4 classes, made of
// whole numbers alone so that it is the same everywhere and forever. With shift
// its training images are each one place further on.
func sequenceData(t *testing.T, shift int) string {
	t.Helper()
	const rows, columns, classes = 5, 4, 4
	folder := t.TempDir()
	writeSet := func(name string, count int, number func(i int) uint32) {
		var pixels, labels []byte
		for i := range count {
			n := number(i)
			label := (7*n + n/5) % classes
			labels = append(labels, byte(label))
			for place := range uint32(rows * columns) {
				value := (n*2654435761 + place*40503) >> 7 % 160
				if place%classes == label {
					value += 80
				}
				pixels = append(pixels, byte(value))
			}
		}
		writeIDX(t, filepath.Join(folder, name+"-images-idx3-ubyte"), 0x803, []int{count, rows, columns}, pixels)
		writeIDX(t, filepath.Join(folder, name+"-labels-idx1-ubyte"), 0x801, []int{count}, labels)
	}
	writeSet("train", 203, func(i int) uint32 { return uint32((i + shift) % 203) })
	writeSet("t10k", 41, func(i int) uint32 { return uint32(1000 + i) })
	return folder
}

// outcomeOf runs c and keeps what its seed decided.
func outcomeOf(t *testing.T, c experiments.Config) sequence {
	t.Helper()
	data, err := dataset.Read(c.Data, c.DataOptions())
	if err != nil {
		t.Fatal(err)
	}
	parameters := parametersOf(t, c, data.Train.Rows, data.Train.Columns, data.Classes)
	var weights bytes.Buffer
	if err := model.WriteWeights(&weights, parameters, model.Initialize(parameters, c.Seed)); err != nil {
		t.Fatal(err)
	}
	data.Split(c.Validation, c.Seed)
	s := sequence{Initial: digest(weights.Bytes()), Split: digest(append(bytes.Clone(data.Train.Pixels), data.Train.Labels...))}
	for epoch := 1; epoch <= c.Epochs; epoch++ {
		order, err := binary.Append(nil, binary.LittleEndian, dataset.Order(c.Seed, epoch, data.Train.Len()))
		if err != nil {
			t.Fatal(err)
		}
		s.Orders = append(s.Orders, digest(order))
	}
	s.Losses = make([][]float32, c.Epochs)
	run := mustTrain(t, c, train.Options{Now: time.Now, Observer: func(e experiments.Event) {
		if e, ok := e.(experiments.StepsDone); ok {
			s.Losses[e.Epoch-1] = append(s.Losses[e.Epoch-1], e.Losses...)
		}
	}})
	for _, m := range run.epochs {
		numbers := [6]float64{m.TrainLoss, m.TrainAccuracy, m.TestLoss, m.TestAccuracy}
		if m.ValidationLoss != nil {
			numbers[4], numbers[5] = *m.ValidationLoss, *m.ValidationAccuracy
		}
		s.Epochs = append(s.Epochs, numbers)
	}
	return s
}

func digest(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

// nearly takes numbers for equal that are within the tolerance.
var nearly = cmpopts.EquateApprox(tolerance, 0)

// If this test fails, the runs that people recorded cannot be repeated any more:
// change the program, not the files.
func TestSequencesNeverChange(t *testing.T) {
	data := sequenceData(t, 0)
	for name, c := range sequences() {
		c.Data = data
		path := filepath.Join("testdata", "sequences", name+".json")
		if *update {
			c.Backend = backend.Go
			text, err := json.MarshalIndent(outcomeOf(t, c), "", " ")
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, append(text, '\n'))
		}
		var want sequence
		readJSON(t, path, &want)
		t.Run(name, func(t *testing.T) {
			onEveryBackend(t, func(t *testing.T, backend string) {
				c := c
				c.Backend = backend
				if diff := cmp.Diff(want, outcomeOf(t, c), nearly); diff != "" {
					t.Errorf("-recorded +found:\n%s", diff)
				}
			})
		})
	}
}

// The tolerance is far below what the smallest mistake in an order would make.
func TestSequencesTellTheSmallestShift(t *testing.T) {
	shifted := sequenceData(t, 1)
	for name, c := range sequences() {
		var want sequence
		readJSON(t, filepath.Join("testdata", "sequences", name+".json"), &want)

		// By one step: the losses are those of the next one.
		first := want.Losses[0][0]
		if cmp.Equal(want.Losses[0][1], first, nearly) {
			t.Errorf("%s: found the first loss a step later", name)
		}

		// By one image: the same order of images that are one place further on.
		c.Data, c.Backend = shifted, backend.Go
		if cmp.Equal(outcomeOf(t, c).Losses[0][0], first, nearly) {
			t.Errorf("%s: found the first loss with images that are one place further on", name)
		}

		// By one seed. Without a shuffle that is the initial weights only.
		c.Data, c.Seed = sequenceData(t, 0), c.Seed+1
		if other := outcomeOf(t, c); cmp.Equal(other.Losses, want.Losses, nearly) && cmp.Equal(other.Epochs, want.Epochs, nearly) {
			t.Errorf("%s: found the same numbers with another seed", name)
		}
	}
}
