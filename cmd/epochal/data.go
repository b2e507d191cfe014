package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/report/figures"
	"epochal/experiments/report/words"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// maxBatch is how many images are drawn at most: more would be too small to read.
const maxBatch = 256

// newData is `epochal data`.
func newData(t *terminal) *cobra.Command {
	name, image, convert := dataset.MNIST, "", ""
	var o dataset.Options
	count := 64
	command := &cobra.Command{
		Use:   "data",
		Short: "Describe a dataset, draw a random batch of it, or convert it",
		Long: `Print what a dataset was taken for, its images per class, the range, mean and
standard deviation of its pixels, and the SHA-256 of its content, which is the
same in every format. --image also draws a random batch of its training images
with their labels. --convert writes it as four IDX files.`,
		Example: "  epochal data\n  epochal data --image batch.png\n  epochal data --data mnist.npz --convert mnist-idx",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			format, err := figures.FormatOf(image)
			if err != nil && c.Flags().Changed("image") {
				return usageError{err: fmt.Errorf("--image: %w", err)}
			}
			if count < 1 || count > maxBatch {
				return experiments.Problem{Field: "batch_size", Found: fmt.Sprint(count), Expected: fmt.Sprintf("1 to %d", maxBatch)}
			}
			if err := checkDataFlags(c, name, o); err != nil {
				return err
			}
			if c.Flags().Changed("convert") {
				if err := dataset.CanWriteFolder(convert); err != nil {
					return fmt.Errorf("--convert: %w", record.Unwritable(err))
				}
			}
			o.Progress = t.reading()
			loading, err := dataset.Open(name, o)
			if err != nil {
				return fmt.Errorf("data: %w", err)
			}
			defer loading.Close()
			d, err := loading.Wait()
			t.end()
			if err != nil {
				return fmt.Errorf("data: %w", err)
			}
			for _, warning := range loading.Warnings {
				t.warn(warning)
			}
			if warning := dataset.Blank(name, d.Mean, d.Deviation); warning != "" {
				t.warn(warning)
			}
			if format != "" {
				if err := drawBatch(t, image, format, d, count, o.Seed); err != nil {
					return fmt.Errorf("--image: %w", record.Unwritable(err))
				}
			}
			if c.Flags().Changed("convert") {
				if err := d.WriteFolder(convert); err != nil {
					return fmt.Errorf("--convert: %w", record.Unwritable(err))
				}
				t.note("wrote %s as four IDX files to %s", name, convert)
			}
			return describe(t, loading, d)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	addDataFlags(flags, dataFlags{&name, &o.Split, &o.Transpose, &o.TestShare}, dataUsage)
	flags.StringVar(&convert, "convert", "",
		"write four plain IDX files, and classes.txt where classes have names, to this new or empty `folder`")
	flags.StringVar(&image, "image", "", "also draw a random batch with its labels to this .png or .svg `file`")
	flags.IntVar(&count, "batch-size", count, "`images` in the drawn batch")
	flags.Uint64Var(&o.Seed, "seed", 0, "`number` that decides which images are drawn, also for --test-share")
	command.MarkFlagDirname("convert")
	return command
}

// dataUsage is the help of --data.
const dataUsage = "mnist (built in), or a `path`: a folder with IDX, CSV or parquet files or with images, " +
	"torchvision's or EMNIST's folder, " +
	"or an .npz, .csv, .parquet or .zip"

// dataFlags are the values of the flags that say what data is read, and how.
type dataFlags struct {
	data, split, transpose *string
	testShare              *float64
}

// dataFlagNames are the names of these flags.
var dataFlagNames = []string{"data", "split", "transpose", "test-share"}

// addDataFlags adds these flags to a command.
func addDataFlags(flags *pflag.FlagSet, f dataFlags, usage string) {
	flags.StringVar(f.data, "data", *f.data, usage)
	flags.StringVar(f.split, "split", *f.split, "`name` of the part of a folder that holds several datasets, such as EMNIST's letters")
	flags.StringVar(f.transpose, "transpose", *f.transpose,
		"exchange the rows and columns of images; =false: never (default: of files with EMNIST's names)")
	flags.Lookup("transpose").NoOptDefVal = "true"
	flags.Float64Var(f.testShare, "test-share", *f.testShare,
		fmt.Sprintf("`share` of the images that becomes the test set where there is none, drawn by the seed; 0: %g", dataset.DefaultTestShare))
}

// checkDataFlags reports values that no dataset can be read with.
func checkDataFlags(c *cobra.Command, name string, o dataset.Options) error {
	config := experiments.Defaults()
	config.Split, config.Transpose, config.TestShare = o.Split, o.Transpose, o.TestShare
	if c.Flags().Changed("data") {
		config.Data = name
	}
	return config.Validate()
}

// reading returns what draws the live line while images are read, if that takes more than
// a second.
func (t *terminal) reading() func(done, total int) {
	began := time.Now()
	return func(done, total int) {
		if time.Since(began) > time.Second {
			t.progress("reading images: %d of %d", done, total)
		}
	}
}

// drawBatch draws the first batch of the first epoch: what training with this
// seed sees first.
func drawBatch(t *terminal, path, format string, d *dataset.Dataset, count int, seed uint64) error {
	order := dataset.Order(seed, 1, d.Train.Len())
	rows := order[:min(count, len(order))]
	var picture bytes.Buffer
	name := filepath.Base(d.Name)
	title := fmt.Sprintf("%s: a random batch of %d training images (seed %d)", name[:min(len(name), 60)], len(rows), seed)
	if err := figures.Batch(title, d.Train, d.ClassNames, rows).Write(&picture, format); err != nil {
		return err
	}
	if err := regular.Write(path, picture.Bytes()); err != nil {
		return err
	}
	t.note("wrote a batch of %d images to %s", len(rows), path)
	return nil
}

// describe prints what there is to know about d.
func describe(t *terminal, l *dataset.Loading, d *dataset.Dataset) error {
	kind := l.Kind
	if d.Name != l.Name {
		kind += ", with the content of " + d.Name
	}
	t.printf("%s: %d training and %d test images of %dx%d pixels, %d classes\nread as %s\n",
		words.Printable(l.Name), d.Train.Len(), d.Test.Len(), d.Train.Rows, d.Train.Columns, d.Classes, words.Printable(kind))
	rows := [][]string{{"class", "train", "test"}}
	train, test := d.Train.ClassCounts(d.Classes), d.Test.ClassCounts(d.Classes)
	for class := range d.Classes {
		rows = append(rows, []string{strconv.Itoa(class), strconv.Itoa(train[class]), strconv.Itoa(test[class])})
	}
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, row := range rows {
		line := strings.Join(row, "\t") + "\t"
		if d.ClassNames != nil && i > 0 { // at the end, because it is not aligned to the right
			line += "  " + words.Class(d.ClassNames, i-1)
		}
		fmt.Fprintln(table, line)
	}
	table.Flush()
	t.printf("%s", text.String())
	mean, deviation := dataset.Statistics(d.Train.Pixels)
	t.printf("training pixels: %d to %d, mean %.4f, deviation %.4f on a 0 to 1 scale\n",
		slices.Min(d.Train.Pixels), slices.Max(d.Train.Pixels), mean, deviation)
	return t.printf("SHA-256 of the content: %s\n", dataset.Digest(d.Files))
}
