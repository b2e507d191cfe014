package experiments

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"epochal/dataset"
	"epochal/model"
	"epochal/model/backend"
)

// Limits of a Config. They keep a mistyped number from taking the machine down;
// none is anywhere near a useful value.
const (
	MaxEpochs    = 1_000_000
	MaxBatchSize = 65_536
)

// CallSeconds is about how long a device call takes unless StepsPerCall
// says otherwise: short enough for live progress and for Ctrl-C, long enough that
// the cost of a call (about a millisecond) does not show.
const CallSeconds = 0.25

// Config is everything that decides a run. The zero value is not valid; start
// from [Defaults]. Its JSON form is the run folder's config.json.
type Config struct {
	LayerSizes   []int   `json:"layer_sizes"`   // width of each hidden layer; empty is allowed
	Activation   string  `json:"activation"`    // relu, sigmoid or tanh
	Epochs       int     `json:"epochs"`        // passes over the training set, 1 to MaxEpochs
	LearningRate float64 `json:"learning_rate"` // of plain SGD, above 0
	BatchSize    int     `json:"batch_size"`    // images per step, 1 to MaxBatchSize; the last batch of an epoch may be smaller
	Normalize    bool    `json:"normalize"`     // inputs minus mean over deviation, instead of 0 to 1
	Shuffle      bool    `json:"shuffle"`       // a new order every epoch, instead of the file's
	Seed         uint64  `json:"seed"`          // of the initial weights and the orders
	Data         string  `json:"data"`          // dataset.MNIST, or what [dataset.Open] takes: a folder or a file
	// How Data is read; see [dataset.Options]. They are left out where they are zero, so that
	// the identity of runs from before them stays the same.
	Split     string  `json:"split,omitempty"`
	Transpose string  `json:"transpose,omitempty"`  // "true", "false", or "" for what the names of the files tell
	TestShare float64 `json:"test_share,omitempty"` // above 0 and below 1; 0: dataset.DefaultTestShare, where there is no test set

	// Which training images are used, and in which order all images have their pixels; left out where
	// they are zero, as above.
	TrainImages   int    `json:"train_images,omitempty"`   // drawn by the seed, those held out included; 0: all
	PermutePixels uint64 `json:"permute_pixels,omitempty"` // draws the order; 0: as they are

	Validation int `json:"validation"` // training images held out, 0 for none
	// Patience ends a run whose validation loss has not fallen for so many epochs; 0: never.
	// It is left out where it is 0, so that the identity of runs from before it stays the same.
	Patience     int    `json:"patience,omitempty"`
	Init         string `json:"init"`           // safetensors file with the initial weights, "" to draw them from Seed
	Backend      string `json:"backend"`        // auto, xla:cpu, xla:cuda, go or a GoMLX backend string
	TF32         bool   `json:"tf32"`           // matrix products in TF32 on CUDA
	StepsPerCall int    `json:"steps_per_call"` // SGD steps per call, 0 for as many as take CallSeconds; changes speed, never results

	// On CUDA, two runs on one GPU have the same bits, else kernels are chosen by timing them.
	// Missing is false: runs that were made before it was there did the latter.
	Deterministic bool `json:"deterministic,omitempty"`

	// Convolutions before the layers, as [model.Convolutional] has them. Both are left out
	// where there are none, so that other runs keep their identity.
	ConvChannels []int `json:"conv_channels,omitempty"` // of each convolution; none: the post's network
	ConvKernel   int   `json:"conv_kernel,omitempty"`   // rows and columns of each; 0: DefaultConvKernel
}

// DefaultConvKernel is the number of rows and columns of a convolution where a Config says none.
const DefaultConvKernel = 3

// Defaults is the post's first attempt, as published: inputs from 0 to 1.
func Defaults() Config {
	return Config{
		LayerSizes:   []int{512, 512}, // "both seemed like reasonable even numbers, close-ish to the size of our input layer"
		Activation:   string(model.ActivationReLU),
		Epochs:       20,
		LearningRate: 1e-3,
		BatchSize:    64,
		Shuffle:      true,
		Data:         dataset.MNIST,
		Backend:      backend.Auto,

		Deterministic: true,
	}
}

// Validate reports every impossible field, as [Problems], without touching a
// file or a device.
func (c Config) Validate() error {
	var problems Problems
	check := func(ok bool, field, found, expected string) {
		if !ok {
			problems = append(problems, Problem{Field: field, Found: found, Expected: expected})
		}
	}
	between := func(field string, value, least, most int) {
		check(value >= least && value <= most, field, strconv.Itoa(value), fmt.Sprintf("%d to %d", least, most))
	}
	check(len(c.LayerSizes) <= model.MaxLayers, "layer_sizes",
		fmt.Sprintf("%d layers", len(c.LayerSizes)), fmt.Sprintf("at most %d layers", model.MaxLayers))
	for i, width := range c.LayerSizes[:min(len(c.LayerSizes), model.MaxLayers)] {
		check(width >= 1 && width <= model.MaxWidth, "layer_sizes",
			fmt.Sprintf("%d neurons in layer %d", width, i+1), fmt.Sprintf("1 to %d neurons", model.MaxWidth))
	}
	known := slices.Contains(model.Activations(), model.Activation(c.Activation))
	check(known, "activation", strconv.Quote(c.Activation), activationNames())
	between("conv_channels", len(c.ConvChannels), 0, model.MaxStages)
	for _, channels := range c.ConvChannels {
		between("conv_channels", channels, 1, model.MaxChannels)
	}
	between("conv_kernel", c.ConvKernel, 0, model.MaxKernel)
	check(c.ConvKernel == 0 || len(c.ConvChannels) > 0, "conv_kernel", fmt.Sprintf("%d without convolutions", c.ConvKernel),
		"their channels as well (conv_channels)")
	between("epochs", c.Epochs, 1, MaxEpochs)
	rate := float64(float32(c.LearningRate)) // what the device gets
	check(rate > 0 && !math.IsInf(rate, 0), "learning_rate", FormatFloat(c.LearningRate), "a finite number above 0 in float32")
	between("batch_size", c.BatchSize, 1, MaxBatchSize)
	check(c.Data != "", "data", `""`, "mnist, a folder or a file")
	check(slices.Contains([]string{"", "true", "false"}, c.Transpose), "transpose", strconv.Quote(c.Transpose), "true or false")
	check(c.TestShare >= 0 && c.TestShare < 1, "test_share", FormatFloat(c.TestShare), "a fraction above 0 and below 1, such as 0.1")
	check(c.TrainImages >= 0, "train_images", strconv.Itoa(c.TrainImages), "0 (all) or more")
	check(c.TrainImages <= 0 || c.Validation < c.TrainImages, "train_images", strconv.Itoa(c.TrainImages),
		fmt.Sprintf("more than the %d that validation holds out of them", c.Validation))
	check(c.Validation >= 0, "validation", strconv.Itoa(c.Validation), "0 or more")
	between("patience", c.Patience, 0, MaxEpochs)
	check(c.Patience <= 0 || c.Validation > 0, "patience", fmt.Sprintf("%d with validation 0", c.Patience),
		"validation above 0: patience watches the loss on the images held out")
	check(c.StepsPerCall >= 0, "steps_per_call", strconv.Itoa(c.StepsPerCall), "0 (automatic) or more")
	if err := backend.Check(c.Backend); err != nil {
		problems = append(problems, Problem{Field: "backend", Reason: err})
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// Over reports whether a run of c is over after these epochs: it has all of them, or
// the validation loss has not fallen for Patience of them.
func (c Config) Over(epochs []EpochMetrics) bool {
	if len(epochs) >= c.Epochs || c.Patience == 0 {
		return len(epochs) >= c.Epochs
	}
	best := 0
	for i, epoch := range epochs {
		if epoch.SelectionLoss() < epochs[best].SelectionLoss() {
			best = i
		}
	}
	return len(epochs)-1-best >= c.Patience
}

// DataOptions say how [dataset.Open] reads the data of c.
func (c Config) DataOptions() dataset.Options {
	return dataset.Options{
		Split: c.Split, Transpose: c.Transpose, TestShare: c.TestShare, Seed: c.Seed,
		TrainImages: c.TrainImages, PermutePixels: c.PermutePixels,
	}
}

func activationNames() string {
	var names []string
	for _, activation := range model.Activations() {
		names = append(names, string(activation))
	}
	return strings.Join(names, ", ")
}

// Architecture is the network of c for images of rows times columns pixels in that
// many classes. It is the only place where a config becomes an architecture.
func (c Config) Architecture(rows, columns, classes int) (model.Architecture, error) {
	activation := model.Activation(c.Activation)
	layers := model.FullyConnected{Rows: rows, Columns: columns, Hidden: c.LayerSizes, Classes: classes, Activation: activation}
	if len(c.ConvChannels) == 0 {
		if err := layers.Validate(); err != nil {
			return layers, Problem{Field: "layer_sizes", Reason: err}
		}
		return layers, nil
	}
	n := model.Convolutional{FullyConnected: layers, Channels: c.ConvChannels, Kernel: cmp.Or(c.ConvKernel, DefaultConvKernel)}
	if err := n.Validate(); err != nil {
		return n, Problem{Field: "conv_channels", Reason: err}
	}
	return n, nil
}

// Canonical is c as every config is written that means the same network.
func (c Config) Canonical() Config {
	if len(c.ConvChannels) == 0 {
		c.ConvChannels, c.ConvKernel = nil, 0
	}
	if c.ConvKernel == DefaultConvKernel {
		c.ConvKernel = 0
	}
	return c
}

// A Problem is one impossible field of a Config.
type Problem struct {
	Field    string // as in config.json, "learning_rate"
	Found    string
	Expected string
	Reason   error // says it instead of Found and Expected, where another package found the problem
}

// Error says the field, what was found and what was expected.
func (p Problem) Error() string {
	if p.Reason != nil {
		return fmt.Sprintf("%s: %v", p.Field, p.Reason)
	}
	return fmt.Sprintf("%s: found %s, expected %s", p.Field, p.Found, p.Expected)
}

// Unwrap returns the Reason, if there is one.
func (p Problem) Unwrap() error { return p.Reason }

// Problems are all impossible fields of a Config.
type Problems []Problem

// Error is one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns every problem.
func (p Problems) Unwrap() []error {
	problems := make([]error, len(p))
	for i, problem := range p {
		problems[i] = problem
	}
	return problems
}

// FormatFloat writes x as Python's repr does, as the post's first line shows the
// learning rate: 0.001, 1e-05, 1.0.
func FormatFloat(x float64) string {
	exponent := math.Floor(math.Log10(math.Abs(x)))
	if x != 0 && (exponent < -4 || exponent >= 16) {
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	text := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.ContainsAny(text, ".NI") {
		text += ".0"
	}
	return text
}

// IsFinite reports whether x is neither NaN nor infinite.
func IsFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
