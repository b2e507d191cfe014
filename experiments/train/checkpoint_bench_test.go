package train_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"epochal/experiments"
	"epochal/experiments/train"
	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

// BenchmarkCheckpoint trains MNIST at [512, 512] with a checkpoint after every
// epoch and without. checkpoint-ms is what lies between the end of an epoch's
// evaluation and the next epoch, with the files on the disk; share-% is that
// over the time of an epoch's training alone.
//
//	go test ./experiments/train -run '^$' -bench Checkpoint -benchtime 20x
func BenchmarkCheckpoint(b *testing.B) {
	backendtest.XLA(b)
	device, _, err := train.OpenDevice(context.Background(), backend.XLACPU, train.DeviceOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer device.Close()
	for _, every := range []int{1, 0} {
		name := "none"
		if every > 0 {
			name = "every"
		}
		b.Run(name, func(b *testing.B) {
			c := experiments.Defaults()
			c.Backend, c.Epochs = backend.XLACPU, b.N
			b.StopTimer()
			var training, saving time.Duration
			var last time.Time // that the clock was read
			mustTrain(b, c, train.Options{
				Folder: filepath.Join(b.TempDir(), "run"), Device: device, CheckpointEvery: every,
				Now: func() time.Time { last = time.Now(); return last },
				Observer: func(e experiments.Event) {
					switch e := e.(type) {
					case experiments.RunStarted:
						b.StartTimer()
					case experiments.EpochDone:
						// The clock was read last when the evaluation was over.
						saving += time.Since(last)
						training += time.Duration(e.Metrics.TrainSeconds * float64(time.Second))
						if e.Metrics.Epoch == c.Epochs {
							b.StopTimer()
						}
					}
				},
			})
			b.ReportMetric(saving.Seconds()*1000/float64(b.N), "checkpoint-ms")
			b.ReportMetric(100*saving.Seconds()/training.Seconds(), "share-%")
			b.ReportMetric(training.Seconds()*1000/float64(b.N), "training-ms")
		})
	}
}
