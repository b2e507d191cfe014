package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/report/words"
	"epochal/model"
	"epochal/model/backend"
)

// Schema is the version of the JSON form of Results.
const Schema = 2

// TrainImages and TestImages are the sizes of MNIST's sets.
const (
	TrainImages = 60000
	TestImages  = 10000
)

// StepsPerCall is how many SGD steps one device call runs, at least 1. In
// JSON, names and tables it is a text: "1", "100" or "epoch".
type StepsPerCall int

// WholeEpoch runs a whole epoch in one call, whatever the batch size: no epoch has
// more steps than images.
const WholeEpoch StepsPerCall = TrainImages

// String is the number, or "epoch".
func (s StepsPerCall) String() string {
	if s >= WholeEpoch {
		return "epoch"
	}
	return strconv.Itoa(int(s))
}

// MarshalText is String.
func (s StepsPerCall) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole number above 0, or "epoch".
func (s *StepsPerCall) UnmarshalText(text []byte) error {
	if string(text) == "epoch" {
		*s = WholeEpoch
		return nil
	}
	steps, err := strconv.Atoi(string(text))
	if err != nil || steps < 1 {
		return fmt.Errorf("found %q, expected a whole number above 0, or epoch", text)
	}
	*s = StepsPerCall(steps)
	return nil
}

// How a step gets its batch.
const (
	FeedResident = "resident" // gathered inside the compiled step from data on the device
	FeedHost     = "host"     // copied from the host for every step
)

// The precisions of matrix products.
const (
	Float32 = "float32"
	TF32    = "tf32" // on CUDA only
)

// Cell is one place of the grid.
type Cell struct {
	Backend      string       `json:"backend"`                 // xla:cpu, xla:cuda, go or a GoMLX backend string, never auto
	Precision    string       `json:"precision"`               // Float32 or TF32
	LayerSizes   []int        `json:"layer_sizes"`             // width of each hidden layer
	ConvChannels []int        `json:"conv_channels,omitempty"` // of convolutions before them, with the default kernel
	BatchSize    int          `json:"batch_size"`              // images per step
	StepsPerCall StepsPerCall `json:"steps_per_call"`          // 1 with FeedHost
	Feed         string       `json:"feed"`                    // FeedResident or FeedHost
}

// String names a cell: "xla:cpu 512,512 batch 64, epoch per call".
func (c Cell) String() string {
	text := fmt.Sprintf("%s %s batch %d, ", c.Backend, network(c.ConvChannels, c.LayerSizes), c.BatchSize)
	switch {
	case c.StepsPerCall == 1:
		text += "1 step per call"
	case c.StepsPerCall < WholeEpoch:
		text += fmt.Sprintf("%d steps per call", c.StepsPerCall)
	default:
		text += "epoch per call"
	}
	if c.Feed == FeedHost {
		text += ", fed by the host"
	}
	if c.Precision == TF32 {
		text += ", " + TF32
	}
	return text
}

// widths writes layer sizes as --layer-sizes reads them, "[]" for none.
func widths(layers []int) string { return cmp.Or(words.Widths(layers, ","), "[]") }

// network writes the layers of a network: "conv 16,32 and 128", or "128" without convolutions.
func network(channels, layers []int) string {
	if len(channels) == 0 {
		return widths(layers)
	}
	return "conv " + widths(channels) + " and " + widths(layers)
}

// Architecture is the cell's network, on MNIST.
func (c Cell) Architecture() model.Architecture {
	layers := model.FullyConnected{Rows: 28, Columns: 28, Hidden: c.LayerSizes, Classes: 10, Activation: model.ActivationReLU}
	if len(c.ConvChannels) == 0 {
		return layers
	}
	return model.Convolutional{FullyConnected: layers, Channels: c.ConvChannels, Kernel: experiments.DefaultConvKernel}
}

// Runner is what computes: a backend, and the precision of its matrix products.
type Runner struct {
	Backend   string
	Precision string
}

// String is the backend, with its precision unless that is Float32.
func (r Runner) String() string {
	if r.Precision == Float32 {
		return r.Backend
	}
	return r.Backend + " (" + r.Precision + ")"
}

// Runner is what computes the cell.
func (c Cell) Runner() Runner { return Runner{c.Backend, c.Precision} }

// SameWork reports whether two cells train the same network with the same batch
// size, however and wherever.
func (c Cell) SameWork(other Cell) bool {
	return c.BatchSize == other.BatchSize && slices.Equal(c.LayerSizes, other.LayerSizes) && slices.Equal(c.ConvChannels, other.ConvChannels)
}

// Equal reports whether two cells are the same place of the grid.
func (c Cell) Equal(other Cell) bool {
	return c.Runner() == other.Runner() && c.SameWork(other) && c.StepsPerCall == other.StepsPerCall && c.Feed == other.Feed
}

// FastDispatch reports whether the cell runs as fast as its backend can: a whole
// epoch per call, its data on the device.
func (c Cell) FastDispatch() bool { return c.StepsPerCall == WholeEpoch && c.Feed == FeedResident }

// ImagesPerSecond is the training throughput of a round: of whole epochs, the
// order's upload included.
func (c Cell) ImagesPerSecond(m Measurement) float64 { return TrainImages / m.Epoch }

// FLOPS is the floating point operations of the matrix products per second of
// steady training.
func (c Cell) FLOPS(m Measurement) float64 {
	return model.TrainFLOPs(c.Architecture()) * float64(c.BatchSize) / m.Step
}

// Extrapolated reports whether a round's Epoch was extrapolated from fewer steps.
func (c Cell) Extrapolated(m Measurement) bool {
	return m.EpochSteps < dataset.BatchCount(TrainImages, c.BatchSize)
}

// Measurement is what one round found of a cell. Times are in seconds.
type Measurement struct {
	Open      float64 `json:"open"`       // loading the plugin and opening the device
	Upload    float64 `json:"upload"`     // copying the images and labels of both sets to the device
	Compile   float64 `json:"compile"`    // the training and the evaluation program, side by side
	FirstCall float64 `json:"first_call"` // of the training program, one step

	Step       float64 `json:"step"`        // one steady SGD step: the measured window over its steps
	StepCount  int     `json:"step_count"`  // steps in the window
	Epoch      float64 `json:"epoch"`       // one training epoch, with making and uploading its order
	EpochSteps int     `json:"epoch_steps"` // steps run for Epoch; if an epoch has more, Epoch is extrapolated from them

	Evaluate        float64 `json:"evaluate"`         // evaluating EvaluatedImages
	EvaluatedImages int     `json:"evaluated_images"` // those of both sets, or fewer on a slow backend

	Products float64 `json:"products"` // the matrix products of one step alone, back to back: what the shapes of the network allow
	Peak     float64 `json:"peak"`     // floating point operations per second of one large matrix product

	ProcessMemory int64   `json:"process_memory"` // peak resident bytes of the process
	OtherLoad     float64 `json:"other_load"`     // how many processors other processes kept busy during the round, on average
}

// Trajectory is the start of a training that every cell makes alike, with the same
// seed and order. Agreement between backends is judged by it.
type Trajectory struct {
	Losses    []float32 `json:"losses"`    // of the first steps
	Correct   int       `json:"correct"`   // test images classified correctly right afterwards
	Evaluated int       `json:"evaluated"` // test images evaluated, the first of the set
}

// CellResult is what all rounds found of a cell.
type CellResult struct {
	Cell       Cell          `json:"cell"`
	Info       backend.Info  `json:"info"`                 // of the backend that ran
	Rounds     []Measurement `json:"rounds"`               // those that succeeded, in order
	Trajectory *Trajectory   `json:"trajectory,omitempty"` // of the first round
	Failure    string        `json:"failure,omitempty"`    // why rounds are missing
}

// Values are one number of every round.
func (c CellResult) Values(of func(Measurement) float64) []float64 {
	values := make([]float64, len(c.Rounds))
	for i, round := range c.Rounds {
		values[i] = of(round)
	}
	return values
}

// Throughput is the images per second of training, of every round.
func (c CellResult) Throughput() []float64 { return c.Values(c.Cell.ImagesPerSecond) }

// Unavailable is a backend that cannot be measured here.
type Unavailable struct {
	Backend string `json:"backend"`
	Reason  string `json:"reason"`
}

// PeerResult is a peer at one network and batch size.
type PeerResult struct {
	Peer         string      `json:"peer"`
	LayerSizes   []int       `json:"layer_sizes"`
	ConvChannels []int       `json:"conv_channels,omitempty"`
	BatchSize    int         `json:"batch_size"`
	Versions     string      `json:"versions,omitempty"` // of Python and its packages
	Rounds       []PeerRound `json:"rounds"`
	Failure      string      `json:"failure,omitempty"` // why rounds are missing, and how to get what is missing
}

// PeerRound is one pair of measurements, of epochal and of the peer, one after the
// other on the same work.
type PeerRound struct {
	Ours  ProcessTimes `json:"ours"`
	Peers ProcessTimes `json:"peers"`
}

// ProcessTimes are those of one side of a pair, in seconds. Train and Evaluate are
// the median of the epochs after the first, which includes compiling.
type ProcessTimes struct {
	Train    float64 `json:"train"`    // one epoch
	Evaluate float64 `json:"evaluate"` // both sets after an epoch
	Process  float64 `json:"process"`  // another process, of one epoch, from its start to its exit
	Memory   int64   `json:"memory"`   // peak resident bytes, the larger of the two processes
}

// Results are a whole benchmark, and in JSON what --format json prints.
type Results struct {
	Schema       int                `json:"schema"`
	Command      string             `json:"command"` // the command line that made them
	Environment  record.Environment `json:"environment"`
	Started      time.Time          `json:"started"`
	Seconds      float64            `json:"seconds"` // that the whole benchmark took
	WantedRounds int                `json:"wanted_rounds"`
	Quick        bool               `json:"quick"`
	Cells        []CellResult       `json:"cells"`
	Unavailable  []Unavailable      `json:"unavailable"`
	Peers        []PeerResult       `json:"peers"`
	Warnings     []string           `json:"warnings"`
}

// measured is what was measured at a place of the grid, nil if nothing was.
func (r Results) measured(c Cell) *CellResult {
	i := slices.IndexFunc(r.Cells, func(found CellResult) bool { return found.Cell.Equal(c) && len(found.Rounds) > 0 })
	if i < 0 {
		return nil
	}
	return &r.Cells[i]
}
