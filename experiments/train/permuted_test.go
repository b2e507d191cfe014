package train_test

import (
	"bytes"
	"math"
	"path/filepath"
	"testing"

	"epochal/dataset"
	"epochal/experiments/record"
	"epochal/experiments/train"
	"epochal/model"
	"epochal/model/backend"
)

// A fully connected network cannot tell the order of the pixels: with the weights of its first layer
// in the same order, it has the same losses. A convolution can.
func TestPermutedPixels(t *testing.T) {
	c := small(t, backend.Go)
	c.Epochs, c.LayerSizes = 2, []int{6}
	losses := func(permuted bool, channels []int) []float32 {
		t.Helper()
		c := c
		c.ConvChannels = channels
		if len(channels) > 0 {
			c.ConvKernel = 2
		}
		parameters := parametersOf(t, c, 3, 4, 3)
		weights := model.Initialize(parameters, c.Seed)
		if permuted {
			c.PermutePixels = 5
		}
		if permuted && len(channels) == 0 {
			order := dataset.PixelOrder(c.PermutePixels, 12)
			for from := 0; from < len(weights[0]); from += len(order) {
				row := append([]float32{}, weights[0][from:from+len(order)]...)
				for pixel, was := range order {
					weights[0][from+pixel] = row[was]
				}
			}
		}
		c.Init = filepath.Join(t.TempDir(), "init.safetensors")
		var file bytes.Buffer
		if err := model.WriteWeights(&file, parameters, weights); err != nil {
			t.Fatal(err)
		}
		write(t, c.Init, file.Bytes())
		return mustTrain(t, c, train.Options{Folder: filepath.Join(t.TempDir(), "run")}).losses
	}
	largest := func(a, b []float32) (difference float64) {
		for i := range a {
			difference = max(difference, math.Abs(float64(a[i]-b[i])))
		}
		return difference
	}
	if found := largest(losses(false, nil), losses(true, nil)); found > 1e-5 {
		t.Errorf("fully connected: found losses that differ by %v, expected the same ones", found)
	}
	if found := largest(losses(false, []int{3}), losses(true, []int{3})); found < 1e-3 {
		t.Errorf("convolution: found losses that differ by %v, expected others", found)
	}
}

// What is left out of the training images, and the order of the pixels, stay what they were in a run
// that continues, and decide which run it is.
func TestTrainImages(t *testing.T) {
	c := small(t, backend.Go)
	c.Epochs, c.TrainImages, c.PermutePixels, c.Validation = 2, 100, 3, 20
	whole, parts := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "run")
	told := mustTrain(t, c, train.Options{Folder: whole})
	if steps := len(told.losses); steps != 2*dataset.BatchCount(80, c.BatchSize) {
		t.Errorf("found %d steps, expected those of 80 images in 2 epochs", steps)
	}
	c.Epochs = 1
	mustTrain(t, c, train.Options{Folder: parts})
	c.Epochs = 2
	mustTrain(t, c, train.Options{Folder: parts, Resume: true})
	if !bytes.Equal(read(t, filepath.Join(whole, record.WeightsFile)), read(t, filepath.Join(parts, record.WeightsFile))) {
		t.Error("found other weights in a run that was continued")
	}
	c.TrainImages = 471
	if out := attempt(c, train.Options{Folder: filepath.Join(t.TempDir(), "run")}); out.err == nil {
		t.Error("found no error with more images than there are")
	}
}
