package serve

import (
	"cmp"
	"context"
	"net/http"
	"sync"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/report/words"
	"epochal/experiments/train"
	"epochal/experiments/trained"
	"epochal/model"
)

// Quick is the training of a server that is given no network: seconds on a processor.
func Quick() experiments.Config {
	c := experiments.Defaults()
	c.LayerSizes, c.BatchSize, c.LearningRate, c.Epochs = []int{128}, 32, 0.1, 3
	return c
}

// lossesPerPoint is how many steps one point of the curve on the page stands for.
const lossesPerPoint = 25

// training is what the page shows of a training.
type training struct {
	mutex sync.Mutex
	shown *progress // nil without a training
	sum   float64   // of the losses since the last point
	count int
}

// progress is the JSON of a training.
type progress struct {
	Epochs     int       `json:"epochs"`
	Steps      int       `json:"steps"` // of the whole training
	Done       int       `json:"done"`  // of those
	Losses     []float32 `json:"losses"`
	Every      int       `json:"every"`      // steps between two losses
	Accuracies []float64 `json:"accuracies"` // on the test set after each epoch
}

// Train trains the network of c, shows the curve on the page, and then uses the network.
// o needs a place for a run folder.
func (s *Server) Train(ctx context.Context, c experiments.Config, o train.Options) error {
	also := o.Observer
	o.Observer = func(e experiments.Event) {
		s.training.observe(c, e)
		if also != nil {
			also(e)
		}
	}
	result, err := train.Run(ctx, c, o)
	if err != nil {
		return err
	}
	n, err := trained.Open(result.Folder, model.Hints{})
	if err == nil {
		s.Use(n)
	}
	return err
}

func (t *training) observe(c experiments.Config, event experiments.Event) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	switch e := event.(type) {
	case experiments.RunStarted:
		t.shown = &progress{Epochs: c.Epochs, Steps: c.Epochs * dataset.BatchCount(e.Train, c.BatchSize), Every: lossesPerPoint}
	case experiments.StepsDone:
		t.shown.Done += len(e.Losses)
		for _, loss := range e.Losses {
			t.sum += float64(loss)
			if t.count++; t.count == lossesPerPoint {
				t.shown.Losses = append(t.shown.Losses, float32(t.sum/lossesPerPoint))
				t.sum, t.count = 0, 0
			}
		}
	case experiments.EpochDone:
		t.shown.Accuracies = append(t.shown.Accuracies, e.Metrics.TestAccuracy)
	}
}

// snapshot is what there is to show at this moment.
func (t *training) snapshot() *progress {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.shown == nil {
		return nil
	}
	copied := *t.shown // what is appended later is beyond the ends of these slices
	return &copied
}

// network as the page shows it.
type networkState struct {
	Name     string   `json:"name"`
	Layers   string   `json:"layers"` // "layers 784, 128, 10"
	Data     string   `json:"data"`
	Accuracy *float64 `json:"accuracy"` // on the test set, null if unknown
	Rows     int      `json:"rows"`
	Columns  int      `json:"columns"`
	Classes  []string `json:"classes"` // as the page shows them
	Maps     [][3]int `json:"maps"`    // channels, rows and columns of the first hidden layers: those that are convolutions
}

func (s *Server) state(w http.ResponseWriter, _ *http.Request) {
	state := struct {
		Network  *networkState `json:"network"`  // null while it is in training
		Training *progress     `json:"training"` // null without a training
		Save     string        `json:"save"`     // folder
	}{Training: s.training.snapshot(), Save: s.options.Save}
	if n := s.network.Load(); n != nil {
		state.Network = n.state()
	}
	answerJSON(w, http.StatusOK, state)
}

func (n *network) state() *networkState {
	d := n.Description
	task := d.Architecture.Task()
	widths := []int{task.Inputs()}
	for _, product := range d.Architecture.Products() {
		widths = append(widths, product.Out)
	}
	state := &networkState{
		Name: cmp.Or(n.Folder, n.File), Layers: "layers " + words.Widths(widths, ", "),
		Data: d.Data, Rows: task.Rows, Columns: task.Columns,
	}
	if convolutional, ok := d.Architecture.(model.Convolutional); ok {
		state.Maps = convolutional.Maps()
		stages := len(convolutional.Channels)
		state.Layers = "convolutions " + words.Widths(convolutional.Channels, ", ") +
			"; layers " + words.Widths(widths[1+stages:], ", ")
	}
	if d.Version != "" {
		state.Accuracy = &d.TestAccuracy
	}
	for class := range task.Classes {
		state.Classes = append(state.Classes, words.Class(d.ClassNames, class))
	}
	return state
}
