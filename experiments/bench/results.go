package bench

import (
	"time"

	"epochal/experiments"
	"epochal/model"
	"epochal/model/backend"
)

// Schema is the version of the JSON form of Results.
const Schema = 1

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
	Backend      string `json:"backend"`        // xla:cpu, xla:cuda, go or a GoMLX backend string, never auto
	Precision    string `json:"precision"`      // Float32 or TF32
	LayerSizes   []int  `json:"layer_sizes"`    // width of each hidden layer
	BatchSize    int    `json:"batch_size"`     // images per step
	StepsPerCall int    `json:"steps_per_call"` // SGD steps per call of the device, 0 for a whole epoch
	Feed         string `json:"feed"`           // FeedResident or FeedHost; FeedHost goes with StepsPerCall 1
}

// Topology is the cell's network, on MNIST.
func (c Cell) Topology() model.FullyConnected {
	return model.FullyConnected{Rows: 28, Columns: 28, Hidden: c.LayerSizes, Classes: 10, Activation: model.ActivationReLU}
}

// Measurement is what one round found of a cell. Times are in seconds; what was
// not measured is 0, or nil.
type Measurement struct {
	Open      float64 `json:"open"`       // loading the plugin and opening the device
	Upload    float64 `json:"upload"`     // the images and labels of both sets to the device
	Compile   float64 `json:"compile"`    // the training and the evaluation program, side by side
	FirstCall float64 `json:"first_call"` // of the training program

	Step       float64 `json:"step"`        // one steady SGD step: the measured window over its steps
	StepCount  int     `json:"step_count"`  // steps in the window
	Epoch      float64 `json:"epoch"`       // a training epoch, its order made and uploaded
	EpochSteps int     `json:"epoch_steps"` // steps run for Epoch; if fewer than the epoch has, Epoch is scaled up from them

	Evaluate        float64 `json:"evaluate"`         // of EvaluatedImages
	EvaluatedImages int     `json:"evaluated_images"` // those of both sets, or fewer on a slow backend

	Products float64 `json:"products"` // the matrix products of one step alone, back to back: the shape-aware limit
	Peak     float64 `json:"peak"`     // floating point operations per second of one large matrix product

	ProcessMemory int64   `json:"process_memory"` // peak resident bytes of the process
	DeviceMemory  int64   `json:"device_memory"`  // peak bytes in use on the device; 0, not measured, as long as go-xla has no call that tells
	OtherLoad     float64 `json:"other_load"`     // processor time of other processes during the round, in processors
}

// Trajectory is the start of a training that every cell makes alike, the same
// seed and order: what agreement between backends is judged by.
type Trajectory struct {
	Losses    []float32 `json:"losses"`    // of the first steps
	Correct   int       `json:"correct"`   // test images right afterwards
	Evaluated int       `json:"evaluated"` // test images evaluated, the first of the set
}

// CellResult is what all rounds found of a cell.
type CellResult struct {
	Cell       Cell          `json:"cell"`
	Info       backend.Info  `json:"info"`              // of the backend that ran
	Rounds     []Measurement `json:"rounds"`            // those that ended well, in order
	Trajectory *Trajectory   `json:"trajectory"`        // of the first round, nil if there is none
	Failure    string        `json:"failure,omitempty"` // why rounds are missing, "" if none are
}

// Values are one number of every round.
func (c CellResult) Values(of func(Measurement) float64) []float64 {
	values := make([]float64, len(c.Rounds))
	for i, round := range c.Rounds {
		values[i] = of(round)
	}
	return values
}

// ImagesPerSecond is the training throughput of a round: of whole epochs, the
// order's upload included.
func (c Cell) ImagesPerSecond(m Measurement) float64 { return TrainImages / m.Epoch }

// FLOPS is the floating point operations of the matrix products per second of
// steady training.
func (c Cell) FLOPS(m Measurement) float64 {
	return model.TrainFLOPs(c.Topology()) * float64(c.BatchSize) / m.Step
}

// TrainImages and TestImages are the sizes of MNIST's sets.
const (
	TrainImages = 60000
	TestImages  = 10000
)

// Unavailable is a backend that cannot be measured here.
type Unavailable struct {
	Backend string `json:"backend"`
	Reason  string `json:"reason"`
}

// The peers: the same work in Python.
const (
	PeerTorchLoader = "torch-loader" // PyTorch with torchvision's dataset and DataLoader, as the post does it
	PeerTorchMemory = "torch-memory" // PyTorch with the whole set as one tensor
	PeerJAX         = "jax"          // JAX, a whole epoch as one compiled scan
)

// PeerRound is one pair of processes, epochal's and the peer's, one after the
// other on the same work. Times are in seconds.
type PeerRound struct {
	Ours  ProcessTimes `json:"ours"`
	Peers ProcessTimes `json:"peers"`
}

// ProcessTimes are those of one training process. Train and Evaluate are the
// median epoch after the first, which has the compiling in it.
type ProcessTimes struct {
	Train    float64 `json:"train"`    // an epoch
	Evaluate float64 `json:"evaluate"` // both sets after an epoch
	Process  float64 `json:"process"`  // another process, of one epoch, from its start to its exit
	Memory   int64   `json:"memory"`   // peak resident bytes of the largest of both processes
}

// PeerResult is a peer at one network and batch size.
type PeerResult struct {
	Peer       string      `json:"peer"`
	LayerSizes []int       `json:"layer_sizes"`
	BatchSize  int         `json:"batch_size"`
	Versions   string      `json:"versions,omitempty"` // of Python and its packages
	Rounds     []PeerRound `json:"rounds"`
	Failure    string      `json:"failure,omitempty"` // why rounds are missing, with how to get what is missing
}

// Results are a whole benchmark. Its JSON form is what --format json prints and
// --compare reads.
type Results struct {
	Schema       int                     `json:"schema"`
	Command      string                  `json:"command"` // what made them
	Environment  experiments.Environment `json:"environment"`
	Started      time.Time               `json:"started"`
	Seconds      float64                 `json:"seconds"` // all of it
	WantedRounds int                     `json:"wanted_rounds"`
	Quick        bool                    `json:"quick"`
	Cells        []CellResult            `json:"cells"`
	Unavailable  []Unavailable           `json:"unavailable"`
	Peers        []PeerResult            `json:"peers"`
	Warnings     []string                `json:"warnings"`
}
