package main

import (
	"fmt"
	"strconv"
	"strings"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/report/words"
	"epochal/experiments/trained"
	"epochal/model"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// networkFlags say of a file of weights what it does not say itself.
type networkFlags struct {
	widths     layerSizes
	activation string
	normalize  string
	imageSize  string
	anyShape   bool // of the images, as long as the number of pixels is right
}

// networkFlagNames are the flags of networkFlags.
var networkFlagNames = []string{"layer-sizes", "activation", "image-size", "normalize"}

// mnistNormalization is what --normalize means without a value: the usual numbers.
const mnistNormalization = "0.1307,0.3081"

func (f *networkFlags) add(flags *pflag.FlagSet) {
	flags.Var(&f.widths, "layer-sizes", "`widths` of the hidden layers that a file without metadata must have (default: those of its tensors)")
	flags.StringVar(&f.activation, "activation", "",
		"`function` after each hidden layer, for a file without metadata: relu, sigmoid, tanh (default relu)")
	flags.StringVar(&f.imageSize, "image-size", "",
		"`ROWSxCOLUMNS` of an image, such as 28x28, for a file without metadata (default: a square; with convolutions, 28x28)")
	flags.StringVar(&f.normalize, "normalize", "",
		"mean and deviation of the pixels in training, as --normalize=MEAN,DEVIATION with =, for a file without metadata; "+
			"without a value MNIST's, "+mnistNormalization)
	flags.Lookup("normalize").NoOptDefVal = mnistNormalization
}

// open opens the network of the command's first argument.
func (f *networkFlags) open(t *terminal, c *cobra.Command, path string) (trained.Network, error) {
	h := model.Hints{Activation: model.Activation(f.activation)}
	if c.Flags().Changed("layer-sizes") {
		h.LayerSizes = f.widths
	}
	if f.activation != "" {
		config := experiments.Defaults()
		config.Activation = f.activation
		if err := config.Validate(); err != nil {
			return trained.Network{}, err
		}
	}
	if f.normalize != "" {
		mean, deviation, _ := strings.Cut(f.normalize, ",")
		n := model.Normalization{}
		var meanErr, deviationErr error
		n.Mean, meanErr = strconv.ParseFloat(mean, 32)
		n.Deviation, deviationErr = strconv.ParseFloat(deviation, 32)
		if meanErr != nil || deviationErr != nil || !experiments.IsFinite(n.Mean) || !(n.Deviation > 0) || !experiments.IsFinite(n.Deviation) {
			return trained.Network{}, experiments.Problem{Field: "normalize", Found: strconv.Quote(f.normalize),
				Expected: "a mean and a deviation above 0, such as " + mnistNormalization}
		}
		h.Normalization = &n
	}
	if f.imageSize != "" {
		rows, columns, _ := strings.Cut(f.imageSize, "x")
		var rowsErr, columnsErr error
		h.Rows, rowsErr = strconv.Atoi(rows)
		h.Columns, columnsErr = strconv.Atoi(columns)
		if rowsErr != nil || columnsErr != nil || min(h.Rows, h.Columns) < 1 || max(h.Rows, h.Columns) > dataset.MaxSide {
			return trained.Network{}, experiments.Problem{Field: "image_size", Found: strconv.Quote(f.imageSize),
				Expected: fmt.Sprintf("rows and columns, 1 to %d each, such as 28x28", dataset.MaxSide)}
		}
	}
	n, err := trained.Open(path, h)
	if err != nil {
		return n, err
	}
	if n.Described() {
		for _, name := range networkFlagNames {
			if c.Flags().Changed(name) {
				return n, usageError{err: fmt.Errorf("--%s: found it with %s, whose metadata says it, expected it only without metadata", name, n.File)}
			}
		}
		return n, nil
	}
	task := n.Description.Architecture.Task()
	if _, guessed := n.Description.Architecture.(model.Convolutional); guessed && task.Rows != 28 && f.imageSize == "" {
		return n, experiments.Problem{Field: "image_size", Found: "none",
			Expected: fmt.Sprintf("rows and columns: %s does not say them, and they are not 28x28", n.File)}
	}
	if task.Rows != task.Columns && f.imageSize == "" && !f.anyShape {
		return n, experiments.Problem{Field: "image_size", Found: "none",
			Expected: fmt.Sprintf("rows and columns such as 3x4: %s only says that an image has %d pixels", n.File, task.Inputs())}
	}
	t.note("%s says nothing of the network but its widths; --activation and --normalize say the rest", n.File)
	return n, nil
}

// openForPictures opens it to use it on pictures, whose pixels are in their usual order.
func (f *networkFlags) openForPictures(t *terminal, c *cobra.Command, path string) (trained.Network, error) {
	n, err := f.open(t, c, path)
	if err == nil && n.Description.PermutePixels != 0 {
		err = fmt.Errorf("%s: found a network trained on permuted pixels, expected one of pixels in their order: "+
			"it can be evaluated, but knows no picture", n.File)
	}
	return n, err
}

// networkArgument expects the network, and at least that many arguments after it.
func networkArgument(least, most int, rest string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= 1+least && (most < 0 || len(args) <= 1+most) {
			return nil
		}
		err := fmt.Errorf("%s: found %s, expected the folder of a run or a file of weights%s",
			c.Name(), words.Counted(len(args), "argument"), rest)
		return usageError{err: err, hint: fmt.Sprintf("run '%s --help' for what they are", c.CommandPath())}
	}
}
