package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/onnx"
	"epochal/experiments/record"

	"github.com/spf13/cobra"
)

// newExport is `epochal export`.
func newExport(t *terminal) *cobra.Command {
	var network networkFlags
	o := onnx.Options{Version: record.BuildEnvironment().Version}
	input := string(onnx.Uint8)
	var names []string
	for _, name := range onnx.Inputs() {
		names = append(names, string(name))
	}
	command := &cobra.Command{
		Use:   "export run|file out.onnx",
		Short: "Write a trained network as ONNX",
		Long: `Write a trained network, of a run folder or a file of weights, as ONNX (IR
version 8, opset 17), with the normalization of its training inside.

The input "image" is [batch, 1, rows, columns]; the output "logits", and with
--softmax "probabilities", is [batch, classes]. Any batch size will do.`,
		Example: `  epochal export runs/2026-11-23_16-35-10 digits.onnx --softmax
  epochal export model.safetensors digits.onnx --input float`,
		Args: networkArgument(1, 1, " and the ONNX file to write"),
		RunE: func(c *cobra.Command, args []string) error {
			if o.Input = onnx.Input(input); !slices.Contains(onnx.Inputs(), o.Input) {
				return experiments.Problem{Field: "input", Found: fmt.Sprintf("%q", input), Expected: strings.Join(names, ", ")}
			}
			out := args[1]
			if extension := filepath.Ext(out); !strings.EqualFold(extension, ".onnx") {
				return usageError{err: fmt.Errorf("export: %s: found the extension %q, expected .onnx", out, extension)}
			}
			if err := regular.CanWrite(out); err != nil {
				return fmt.Errorf("export: %w", record.Unwritable(err))
			}
			n, err := network.openForPictures(t, c, args[0])
			if err != nil {
				return fmt.Errorf("export: %w", err)
			}
			file, err := onnx.Encode(n.Description, n.Weights, o)
			if err == nil {
				err = regular.Write(out, file)
			}
			if err != nil {
				return fmt.Errorf("export: %w", record.Unwritable(err))
			}
			task := n.Description.Architecture.Task()
			return t.printf("%s: %s [batch, 1, %d, %d] to [batch, %d], %d bytes\n", out, o.Input, task.Rows, task.Columns, task.Classes, len(file))
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&input, "input", input, "`pixels` that the graph takes: uint8 (bytes), float (0 to 1) or float255 (float, 0 to 255)")
	flags.BoolVar(&o.Softmax, "softmax", o.Softmax, "also give the probabilities")
	network.add(flags)
	command.RegisterFlagCompletionFunc("input", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return command
}
