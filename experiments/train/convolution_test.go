package train_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var readMNIST = sync.OnceValues(func() (*dataset.Dataset, error) { return dataset.Read(dataset.MNIST, dataset.Options{}) })

// convolutional is the setting of the PyTorch run in testdata/convolution, with the images
// that it trained on.
func convolutional(t *testing.T) experiments.Config {
	t.Helper()
	data, err := readMNIST()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	write := func(name string, set dataset.Set, count int) {
		pixels := set.Pixels[:count*set.Rows*set.Columns]
		writeIDX(t, filepath.Join(folder, name+"-images-idx3-ubyte"), 0x803, []int{count, set.Rows, set.Columns}, pixels)
		writeIDX(t, filepath.Join(folder, name+"-labels-idx1-ubyte"), 0x801, []int{count}, set.Labels[:count])
	}
	write("train", data.Train, 560)
	write("t10k", data.Test, 120)
	c := experiments.Defaults()
	c.Data, c.ConvChannels, c.ConvKernel, c.LayerSizes = folder, []int{3, 5}, 4, []int{12}
	c.BatchSize, c.LearningRate, c.Epochs = 52, 0.2, 2
	c.Normalize, c.Shuffle, c.Init = true, false, "testdata/convolution/init.safetensors"
	return c
}

// A network with convolutions follows PyTorch as well. The images have margins of one
// grey, so that many maxima are ties, whose gradients must go where PyTorch's go.
func TestConvolutionsFollowPyTorch(t *testing.T) {
	var wantLosses []float64
	readJSON(t, "testdata/convolution/step_losses.json", &wantLosses)
	_, wantEpochs := readMetrics(t, "testdata/convolution/epochs.jsonl")
	c := convolutional(t)
	parameters := parametersOf(t, c, 28, 28, 10)
	wantWeights := readWeights(t, "testdata/convolution/final.safetensors", parameters)
	onEveryBackend(t, func(t *testing.T, backend string) {
		c.Backend = backend
		out := filepath.Join(t.TempDir(), "run")
		told := mustTrain(t, c, train.Options{Folder: out})
		if len(told.losses) != len(wantLosses) {
			t.Fatalf("found %d steps, expected %d", len(told.losses), len(wantLosses))
		}
		for i, loss := range told.losses {
			if math.Abs(float64(loss)-wantLosses[i]) > 1e-5 {
				t.Errorf("loss of step %d: found %v, expected %v", i, loss, wantLosses[i])
			}
		}
		times := cmpopts.IgnoreFields(experiments.EpochMetrics{}, "Event", "TrainSeconds", "EvalSeconds")
		if diff := cmp.Diff(wantEpochs, told.epochs, times, cmpopts.EquateApprox(0, 1e-4)); diff != "" {
			t.Errorf("epochs, -expected +found:\n%s", diff)
		}
		weights := readWeights(t, filepath.Join(out, record.WeightsFile), parameters)
		if diff := cmp.Diff(wantWeights, weights, cmpopts.EquateApprox(0, 1e-4)); diff != "" {
			t.Errorf("weights, -expected +found:\n%s", diff)
		}
	})
}

// The number of threads changes no byte.
func TestConvolutionsGiveTheSameBytes(t *testing.T) {
	backendtest.XLA(t)
	c := convolutional(t)
	c.Init, c.ConvKernel, c.Backend, c.Epochs = "", 0, backend.XLACPU, 1
	all := [][]int{{12, 4}}
	if os.Getenv("EPOCHAL_LONG") != "" {
		all = append(all, []int{32, 64})
	}
	for _, channels := range all {
		c.ConvChannels = channels
		first := toldAndWritten(t, c, filepath.Join(t.TempDir(), "run"), 1)
		if three := toldAndWritten(t, c, filepath.Join(t.TempDir(), "run"), 3); three != first {
			t.Errorf("%v: found other files or events with three threads than with one", channels)
		}
	}
}

// A kernel that is spelled out is the same run as one that is left out.
func TestTheDefaultKernelIsTheSameRun(t *testing.T) {
	c := experiments.Defaults()
	c.ConvChannels = []int{8}
	spelled := c
	spelled.ConvKernel = experiments.DefaultConvKernel
	if record.Identity(c, nil, "") != record.Identity(spelled, nil, "") {
		t.Error("found two identities of one run")
	}
}

// A config without convolutions is written as before there were any.
func TestConfigWithoutConvolutions(t *testing.T) {
	text, err := json.Marshal(experiments.Defaults())
	if err != nil || bytes.Contains(text, []byte("conv")) {
		t.Errorf("found %s (%v), expected nothing of convolutions", text, err)
	}
}
