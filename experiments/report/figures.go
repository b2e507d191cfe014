package report

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"runtime"
	"slices"
	"sync"

	"epochal/dataset"
	"epochal/experiments/record"
	"epochal/experiments/report/figures"
	"epochal/experiments/report/words"
)

// figure is a figure of the document, and what says the same in words.
type figure struct {
	Alt, Caption string
	file         string // in the folder of figures, without its extension
	drawing      figures.Figure
	svg, png     []byte // once it is drawn
}

// Width and Height are in CSS pixels, of which 96 make an inch.
func (f *figure) Width() int  { return int(f.drawing.Width*96/72 + 0.5) }
func (f *figure) Height() int { return int(f.drawing.Height*96/72 + 0.5) }

// Source is the figure as an address. In an image, nothing in it can reach the page or run.
func (f *figure) Source() template.URL {
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(f.svg))
}

// plan places all figures that can be made with data in the document.
func (d *document) plan(data *dataset.Dataset) {
	var compared []figures.Compared
	for i := range d.Sections {
		s := &d.Sections[i]
		compared = append(compared, comparedOf(s.experiment))
		if len(s.Records) > 0 {
			s.plan(data)
		}
	}
	d.Glance = answerFigure(d.Results)
	d.Comparison = &figure{
		Alt:     "The final test accuracy of each experiment, and its training time. The numbers are in the sections of the experiments.",
		Caption: "Final test accuracy of all experiments: the mean of the seeds with its 95% interval, each seed, and the time per run.",
		file:    "comparison", drawing: figures.Comparison("Final test accuracy", compared),
	}
	const most = 64
	first := d.Seeds[0]
	rows := dataset.Order(first, 1, data.Train.Len())
	rows = rows[:min(len(rows), most)]
	title := fmt.Sprintf("%s: a random batch of %d training images (seed %d)", data.Name, len(rows), first)
	d.Batch = &figure{
		Alt:     "Images of the training set in a grid, each with its label.",
		Caption: "Images of the training set in a random order, each with its label.",
		file:    "batch", drawing: figures.Batch(title, data.Train, data.ClassNames, rows),
	}
}

// plan places the figures of an experiment, whose name is made for names of files. data
// may be nil.
func (s *section) plan(data *dataset.Dataset) {
	title := fmt.Sprintf("%s (%s)", s.Title, network(s.experiment, data))
	each, summed := "", ""
	if len(s.Records) > 1 {
		each = ": each seed, and their mean"
	}
	s.Curves = &figure{
		Alt: fmt.Sprintf("Accuracy and loss of %s after each epoch. Final train accuracy %s, final test accuracy %s.",
			s.Name, s.Train, s.Test),
		Caption: "Accuracy and loss on the train and the test set after each epoch" + each + ".",
		file:    s.Name + "-curves", drawing: figures.Curves(title, runsOf(s.Records)),
	}
	if confusion, runs := s.Confusion(); len(confusion) > 0 {
		if runs > 1 {
			summed = ", summed over " + words.Counted(runs, "seed")
		}
		s.Matrix = &figure{
			Alt:     fmt.Sprintf("Confusion matrix of %s on the test set. The table of classes gives the main numbers.", s.Name),
			Caption: "Confusion matrix of the test set after the last epoch" + summed + ".",
			file:    s.Name + "-confusion", drawing: figures.Confusion(title, confusion, s.ClassNames, runs),
		}
	}
	run := slices.IndexFunc(s.Records, func(r record.Record) bool { return r.Diverged == nil })
	if run < 0 || data == nil || !sameTest(s.Records[run], data) || len(s.Records[run].Test.Mistakes) == 0 {
		return
	}
	var mistakes []figures.Mistake
	for _, m := range s.Records[run].Test.Mistakes {
		mistakes = append(mistakes, figures.Mistake(m))
	}
	number := s.Runs[run].Seed
	s.Mistakes = &figure{
		Alt: fmt.Sprintf("Test images that %s took for another class, "+
			"each with its true class, the predicted one and the confidence in it.", s.Name),
		Caption: fmt.Sprintf("The misclassified test images about which the network of seed %d was most certain.", number),
		file:    s.Name + "-mistakes",
		drawing: figures.Mistakes(fmt.Sprintf("%s: most confident mistakes, seed %d", s.Title, number), data.Test, s.ClassNames, mistakes),
	}
}

// sameTest reports whether a run had the test images of data; its training images may be fewer.
func sameTest(r record.Record, data *dataset.Dataset) bool {
	half := len(data.Files) / 2 // the training set's come first
	return len(r.Environment.Data) == len(data.Files) && dataset.SameContent(r.Environment.Data[half:], data.Files[half:])
}

// network is the widths of all layers, "784-512-512-10", or of the hidden ones where
// data is not what the experiment was trained on.
func network(e experiment, data *dataset.Dataset) string {
	if len(e.Config.ConvChannels) > 0 {
		return "conv " + words.Widths(e.Config.ConvChannels, "-") + ", " + cmp.Or(words.Widths(e.Config.LayerSizes, "-"), "no hidden layer")
	}
	widths := e.Config.LayerSizes
	if data != nil && sameTest(e.Records[0], data) {
		widths = slices.Concat([]int{data.Train.Rows * data.Train.Columns}, widths, []int{data.Classes})
	}
	return words.Widths(widths, "-")
}

func runsOf(records []record.Record) []figures.Run {
	runs := make([]figures.Run, len(records))
	for i, record := range records {
		runs[i].Seed = record.Config.Seed
		if record.Diverged != nil {
			runs[i].Diverged = record.Diverged.Epoch
		}
		for _, e := range record.Epochs {
			runs[i].Epochs = append(runs[i].Epochs, figures.Epoch{
				TrainAccuracy: e.TrainAccuracy, TestAccuracy: e.TestAccuracy, TrainLoss: e.TrainLoss, TestLoss: e.TestLoss,
				ValidationAccuracy: e.ValidationAccuracy, ValidationLoss: e.ValidationLoss,
			})
		}
	}
	return runs
}

// comparedOf is an experiment as a row of the figure that compares all.
func comparedOf(e experiment) figures.Compared {
	c := figures.Compared{
		Name: e.Name, Kind: "inputs 0 to 1", Seconds: e.Seconds,
		Mean: e.TestAccuracy.Mean, Low: e.TestAccuracy.Low, High: e.TestAccuracy.High,
	}
	if e.Normalized {
		c.Kind = "normalized inputs"
	}
	for _, run := range e.Runs {
		if run.Diverged == nil {
			c.Values = append(c.Values, run.Epochs[len(run.Epochs)-1].TestAccuracy)
		}
	}
	if e.Diverged > 0 {
		c.Note = fmt.Sprintf("%d of %d diverged", e.Diverged, len(e.Runs))
	}
	return c
}

// figures are those of the whole document.
func (d *document) figures() []*figure {
	all := []*figure{d.Glance, d.Comparison, d.Batch}
	for _, s := range d.Sections {
		all = append(all, s.Curves, s.Matrix, s.Mistakes)
	}
	return slices.DeleteFunc(all, func(f *figure) bool { return f == nil })
}

// draw draws figures in both formats, as many side by side as there are cores.
func draw(all []*figure) error {
	errs := make([]error, len(all))
	var group sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, f := range all {
		slots <- struct{}{}
		group.Go(func() {
			var svg, png bytes.Buffer
			errs[i] = errors.Join(f.drawing.Write(&svg, figures.SVG), f.drawing.Write(&png, figures.PNG))
			f.svg, f.png = svg.Bytes(), png.Bytes()
			<-slots
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
