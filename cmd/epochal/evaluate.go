package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"

	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/evaluate"
	"epochal/experiments/report/figures"
	"epochal/experiments/report/words"
	"epochal/model/backend"
	"epochal/model/backend/install"

	"github.com/spf13/cobra"
)

// newEvaluate is `epochal evaluate`.
func newEvaluate(t *terminal) *cobra.Command {
	network := networkFlags{anyShape: true} // the data says it
	var figure string
	var asJSON bool
	o := evaluate.Options{
		Backend:  backend.Auto,
		Progress: func(p install.Progress) { printInstallation(t, p) },
		Warn:     t.warn,
	}
	command := &cobra.Command{
		Use:   "evaluate run|file",
		Short: "Measure a trained network on a test set, class by class",
		Long: `Measure a trained network, that of a run folder or of a safetensors file, on the
test set of the data that it was trained on, or of --data: loss and accuracy as
train prints them, precision, recall and F1 of every class, the confusion
matrix, and the expected calibration error.`,
		Example: `  epochal evaluate runs/2026-11-23_16-35-10
  epochal evaluate model.safetensors --data fashion-mnist --json
  epochal evaluate pytorch.safetensors --data mnist --normalize --figure r.svg`,
		Args: networkArgument(0, 0, ""),
		RunE: func(c *cobra.Command, args []string) error {
			format, err := figures.FormatOf(figure)
			if err == nil {
				err = regular.CanWrite(figure)
			}
			if err != nil && c.Flags().Changed("figure") {
				return experiments.Problem{Field: "figure", Reason: err}
			}
			n, err := network.open(t, c, args[0])
			if err != nil {
				return err
			}
			if err := checkDataFlags(c, o.Data, o.Reading); err != nil {
				return err
			}
			o.Reading.Progress = t.reading()
			result, err := evaluate.Run(c.Context(), n, o)
			t.end()
			if err != nil {
				return err
			}
			if figure != "" {
				if err := drawReliability(figure, format, result); err != nil {
					return fmt.Errorf("--figure: %w", err)
				}
			}
			if !asJSON {
				return printEvaluation(t, result)
			}
			text, err := json.Marshal(result)
			if err != nil {
				return err
			}
			return t.print(string(text) + "\n")
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	addDataFlags(flags, dataFlags{&o.Data, &o.Reading.Split, &o.Reading.Transpose, &o.Reading.TestShare},
		dataUsage+" (default: what the network was trained on)")
	flags.StringVar(&o.Backend, "backend", o.Backend, "auto, xla:cpu, xla:cuda, go, or any GoMLX backend `string`")
	flags.BoolVar(&o.Distort, "distort", false, "also shift the images by 1 to 4 pixels, and rotate them by 10 to 30 degrees")
	flags.BoolVar(&asJSON, "json", false, "print the results as JSON")
	flags.StringVar(&figure, "figure", "", "plot accuracy against confidence in `file`, .svg or .png")
	network.add(flags)
	return command
}

func drawReliability(path, format string, r evaluate.Result) error {
	var bars []figures.Confidence
	for _, bin := range r.Calibration.Bins {
		bars = append(bars, figures.Confidence{From: bin.From, To: bin.To, Images: bin.Images, Mean: bin.Confidence, Accuracy: bin.Accuracy})
	}
	var picture bytes.Buffer
	title := "Confidence and accuracy on the test set of " + filepath.Base(r.Data)
	if err := figures.Reliability(title, bars, r.Calibration.Error).Write(&picture, format); err != nil {
		return err
	}
	return regular.Write(path, picture.Bytes())
}

// mostColumns is how many classes a confusion matrix in a terminal has at most.
const mostColumns = 26

// printEvaluation prints all that is known, the post's line first.
func printEvaluation(t *terminal, r evaluate.Result) error {
	t.printf("Test - Accuracy: %0.1f%%, Avg loss: %8f \n", 100*r.Accuracy, r.Loss)
	t.printf("%d of %d images of %s, on %s\n\n", r.Correct, r.Images, words.Printable(r.Data), r.Backend)
	percent := func(share *float64) string {
		if share == nil {
			return none
		}
		return words.Percent(*share, 2)
	}
	var names []string
	for _, c := range r.Classes {
		names = append(names, c.Name)
	}
	rows := [][]string{{"class", "images", "precision", "recall", "F1"}}
	for _, c := range r.Classes {
		rows = append(rows, []string{words.Class(names, c.Class), strconv.Itoa(c.Images), percent(c.Precision), percent(c.Recall), percent(c.F1)})
	}
	t.printf("%s\n", aligned(rows))
	if len(r.Classes) <= mostColumns {
		t.printf("%s\n", aligned(confusionRows(names, r.Confusion)))
	}
	if len(r.Distorted) > 0 {
		rows = [][]string{{"images", "accuracy"}}
		for _, d := range r.Distorted {
			what := "shifted by " + words.Counted(d.Shift, "pixel")
			if d.Rotation != 0 {
				what = "rotated by " + words.Counted(d.Rotation, "degree")
			}
			rows = append(rows, []string{what, words.Percent(d.Accuracy, 2)})
		}
		t.printf("%s\n", aligned(rows))
	}
	return t.printf("expected calibration error %s, in %d bins of confidence\n", words.Percent(r.Calibration.Error, 2), evaluate.Bins)
}
