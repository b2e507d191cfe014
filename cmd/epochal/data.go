package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/report/figures"

	"github.com/spf13/cobra"
)

// maxBatch is how many images are drawn at most: more would be too small to read.
const maxBatch = 256

// newData is `epochal data`.
func newData(t *terminal) *cobra.Command {
	name, image := dataset.MNIST, ""
	count, seed := 64, uint64(0)
	command := &cobra.Command{
		Use:   "data",
		Short: "Describe a dataset, or draw a random batch of it",
		Long: `Print a dataset's images per class and its pixels' range, mean and standard
deviation. --image also draws a random batch of its training images with their
labels.`,
		Example: "  epochal data\n  epochal data --image batch.png",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			format, err := figures.FormatOf(image)
			if err != nil && c.Flags().Changed("image") {
				return usageError{err: fmt.Errorf("--image: %w", err)}
			}
			if count < 1 || count > maxBatch {
				return experiments.Problem{Field: "batch_size", Found: fmt.Sprint(count), Expected: fmt.Sprintf("1 to %d", maxBatch)}
			}
			d, err := dataset.Read(name, dataset.Options{})
			if err != nil {
				return fmt.Errorf("data: %w", err)
			}
			if format != "" {
				if err := drawBatch(t, image, format, d, count, seed); err != nil {
					return fmt.Errorf("--image: %w", err)
				}
			}
			return describe(t, d)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&name, "data", name, "mnist (built in), or a `folder` with four IDX files, plain or .gz")
	flags.StringVar(&image, "image", "", "also draw a random batch with its labels to this .png or .svg `file`")
	flags.IntVar(&count, "batch-size", count, "`images` in the drawn batch")
	flags.Uint64Var(&seed, "seed", seed, "`number` that decides which images are drawn")
	return command
}

// drawBatch draws the first batch of the first epoch: what training with this
// seed sees first.
func drawBatch(t *terminal, path, format string, d *dataset.Dataset, count int, seed uint64) error {
	order := dataset.Order(seed, 1, d.Train.Len())
	rows := order[:min(count, len(order))]
	var picture bytes.Buffer
	name := filepath.Base(d.Name)
	title := fmt.Sprintf("%s: a random batch of %d training images (seed %d)", name[:min(len(name), 60)], len(rows), seed)
	if err := figures.Batch(title, d.Train, rows).Write(&picture, format); err != nil {
		return err
	}
	if err := regular.Write(path, picture.Bytes()); err != nil {
		return err
	}
	t.note("wrote a batch of %d images to %s", len(rows), path)
	return nil
}

// describe prints what there is to know about d.
func describe(t *terminal, d *dataset.Dataset) error {
	t.printf("%s: %d training and %d test images of %dx%d pixels, %d classes\n",
		d.Name, d.Train.Len(), d.Test.Len(), d.Train.Rows, d.Train.Columns, d.Classes)
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "class\ttrain\ttest\t")
	train, test := d.Train.ClassCounts(d.Classes), d.Test.ClassCounts(d.Classes)
	for class := range d.Classes {
		fmt.Fprintf(table, "%d\t%d\t%d\t\n", class, train[class], test[class])
	}
	table.Flush()
	t.printf("%s", text.String())
	mean, deviation := dataset.Statistics(d.Train.Pixels)
	return t.printf("training pixels: %d to %d, mean %.4f, deviation %.4f on a 0 to 1 scale\n",
		slices.Min(d.Train.Pixels), slices.Max(d.Train.Pixels), mean, deviation)
}
