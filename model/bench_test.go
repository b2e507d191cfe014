package model_test

import (
	"context"
	"fmt"
	"testing"

	"epochal/dataset"
	"epochal/model"
	"epochal/model/backend/backendtest"
)

// The benchmarks train and evaluate MNIST on XLA's CPU. Every measured call ends
// by reading a result from the device, so that device work is inside the window;
// compilation and upload are outside. images/s counts images, GFLOP/s the
// floating point operations of the matrix products (TrainFLOPs).
//
//	go test ./model -run '^$' -bench .

// benchmarkNetwork is a network compiled for MNIST with weights on the device.
func benchmarkNetwork(b *testing.B, hidden []int, batch int) (*model.Network, *model.Images, int) {
	b.Helper()
	device := backendtest.XLA(b)
	data, err := dataset.Read(dataset.MNIST)
	if err != nil {
		b.Fatal(err)
	}
	architecture := model.FullyConnected{Rows: 28, Columns: 28, Hidden: hidden, Classes: data.Classes, Activation: model.ActivationReLU}
	network, err := model.Compile(device, model.Program{Architecture: architecture, BatchSize: batch}, data.Train.Len(), data.Test.Len())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(network.Close)
	images, err := model.Upload(device, model.Unnormalized(), data.Train, data.Test)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(images.Close)
	if err := network.SetWeights(model.Initialize(architecture.Parameters(), 0)); err != nil {
		b.Fatal(err)
	}
	return network, images, data.Train.Len()
}

// throughput reports what n images with the given operations each amount to.
func throughput(b *testing.B, images int, flops float64) {
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(images)/seconds, "images/s")
	b.ReportMetric(float64(images)*flops/seconds/1e9, "GFLOP/s")
}

var benchmarked = []struct {
	hidden []int
	batch  int
}{{[]int{512, 512}, 64}, {[]int{128}, 32}}

// BenchmarkEpoch is an epoch of training, its order made and uploaded, at
// several numbers of steps per call: one, as one dispatches without a loop on the
// device, some, and all.
func BenchmarkEpoch(b *testing.B) {
	for _, c := range benchmarked {
		network, images, count := benchmarkNetwork(b, c.hidden, c.batch)
		for _, stepsPerCall := range []int{1, 100, count} {
			steps := min(stepsPerCall, dataset.BatchCount(count, c.batch))
			b.Run(fmt.Sprintf("%v/batch=%d/steps-per-call=%d", c.hidden, c.batch, steps), func(b *testing.B) {
				number := 0
				for b.Loop() {
					number++
					epoch, err := network.BeginEpoch(images, dataset.Order(0, number, count))
					if err != nil {
						b.Fatal(err)
					}
					for epoch.Step() < epoch.Steps() {
						if _, err := epoch.Train(context.Background(), stepsPerCall, 1e-3); err != nil {
							b.Fatal(err)
						}
					}
					epoch.Close()
				}
				throughput(b, number*count, model.TrainFLOPs(network.Program().Architecture))
			})
		}
	}
}

// BenchmarkEvaluate is the evaluation of the train and the test set.
func BenchmarkEvaluate(b *testing.B) {
	for _, c := range benchmarked {
		b.Run(fmt.Sprintf("%v/batch=%d", c.hidden, c.batch), func(b *testing.B) {
			network, images, _ := benchmarkNetwork(b, c.hidden, c.batch)
			evaluated := 0
			for b.Loop() {
				for section := range 2 {
					evaluation, err := network.Evaluate(context.Background(), images, section)
					if err != nil {
						b.Fatal(err)
					}
					evaluated += evaluation.Count
				}
			}
			throughput(b, evaluated, model.EvaluationFLOPs(network.Program().Architecture))
		})
	}
}
