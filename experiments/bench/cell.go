package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"epochal/dataset"
	"epochal/model"
	"epochal/model/backend"
)

// How long the parts of a round take, relative to the window that is asked for.
const (
	burnInShare       = 0.3 // of the window, before it
	epochWindows      = 4   // windows that an epoch may take before it is cut short
	evaluationWindows = 6   // windows that the evaluation of both sets may take before it is cut short
	rooflineShare     = 0.5 // of the window, for the matrix products alone and for the large one
	trajectorySeconds = 2   // after which a trajectory makes no further step
)

// evaluatedFirst is how many test images are evaluated after a trajectory, and
// instead of both sets on a slow backend.
const evaluatedFirst = 1000

// The learning rates. That of the measured steps has no effect on speed and keeps
// the weights finite for any number of them. That of a trajectory makes progress in
// 50 steps, so that there is something to agree on.
const (
	learningRate   = 1e-3
	trajectoryRate = 0.05
)

// The sets among the resident images.
const (
	trainSection = iota
	testSection
)

// cellRun is a round of a cell under way.
type cellRun struct {
	task    Task
	device  *backend.Backend
	data    *dataset.Dataset
	images  *model.Images
	network *model.Network
	hostFed *model.HostFed // with FeedHost, the owner of network
	weights model.Weights  // initial
	order   []int32        // of the epoch
	steps   int            // in an epoch
	epoch   *model.Epoch   // under way; nil with FeedHost
	next    int            // step of it
	machine fs.FS          // its files
	m       Measurement
	found   *Trajectory
}

// measureCell measures one round. Every phase ends by reading a result from the
// device that depends on its work, and begins after the phase before.
func measureCell(ctx context.Context, task Task) (Answer, error) {
	r := &cellRun{task: task, steps: dataset.BatchCount(TrainImages, task.Cell.BatchSize), machine: os.DirFS("/")}
	defer r.close()
	watch := watchLoad(r.machine)
	for _, phase := range []func(context.Context) error{
		r.prepare, r.open, r.upload, r.compile, r.first, r.trajectory, r.steady, r.wholeEpoch, r.evaluate, r.roofline,
	} {
		if err := ctx.Err(); err != nil {
			return Answer{}, err
		}
		if err := phase(ctx); err != nil {
			return Answer{}, err
		}
	}
	r.m.OtherLoad = watch()
	return Answer{Info: r.device.Info, Measurement: r.m, Trajectory: r.found}, nil
}

// timed is how many seconds f takes.
func timed(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return time.Since(start).Seconds(), err
}

// prepare makes what is no part of any measurement.
func (r *cellRun) prepare(context.Context) (err error) {
	if r.data, err = dataset.Read(dataset.MNIST, dataset.Options{}); err != nil {
		return err
	}
	r.weights = model.Initialize(r.task.Cell.Architecture().Parameters(), 0)
	r.order = dataset.Order(0, 1, TrainImages)
	return nil
}

func (r *cellRun) open(ctx context.Context) (err error) {
	r.m.Open, err = timed(func() (err error) {
		c := r.task.Cell
		threads := model.Threads(c.Architecture(), c.BatchSize, backend.Cores())
		r.device, _, err = backend.Open(ctx, c.Backend, backend.Options{
			TF32: c.Precision == TF32, TryLoops: model.TryLoops, Threads: threads, Beside: true,
		})
		return err
	})
	return err
}

func (r *cellRun) upload(context.Context) (err error) {
	r.m.Upload, err = timed(func() (err error) {
		r.images, err = model.Upload(r.device, model.Unnormalized(), r.data.Train, r.data.Test)
		return err
	})
	return err
}

func (r *cellRun) compile(context.Context) (err error) {
	c := r.task.Cell
	program := model.Program{Architecture: c.Architecture(), BatchSize: c.BatchSize, SingleSteps: c.StepsPerCall == 1}
	r.m.Compile, err = timed(func() (err error) {
		if c.Feed == FeedHost {
			if r.hostFed, err = model.CompileHostFed(r.device, program, TrainImages, TestImages); err == nil {
				r.network = r.hostFed.Network()
			}
			return err
		}
		r.network, err = model.Compile(r.device, program, TrainImages, TestImages)
		return err
	})
	return err
}

// first is the first call of the training program: a single step, whatever the
// steps per call, to show what it costs beyond a step.
func (r *cellRun) first(ctx context.Context) (err error) {
	if err := errors.Join(r.network.SetWeights(r.weights), r.begin()); err != nil {
		return err
	}
	r.m.FirstCall, err = timed(func() error {
		_, err := r.train(ctx, 1, learningRate)
		return err
	})
	return err
}

// trajectory trains from the initial weights, if the task asks for it, and puts
// them back.
func (r *cellRun) trajectory(ctx context.Context) error {
	if r.task.Trajectory == 0 {
		return nil
	}
	if err := errors.Join(r.network.SetWeights(r.weights), r.begin()); err != nil {
		return err
	}
	r.found = &Trajectory{}
	start := time.Now()
	for len(r.found.Losses) < min(r.task.Trajectory, r.steps) && time.Since(start).Seconds() <= trajectorySeconds {
		losses, err := r.train(ctx, 1, trajectoryRate)
		if err != nil {
			return err
		}
		r.found.Losses = append(r.found.Losses, losses...)
		if loss := float64(losses[0]); math.IsNaN(loss) || math.IsInf(loss, 0) {
			return fmt.Errorf("the loss of step %d is %v, expected a finite number", len(r.found.Losses), loss)
		}
	}
	evaluation, err := r.network.Evaluate(ctx, r.images.First(testSection, evaluatedFirst), testSection)
	if err != nil {
		return err
	}
	r.found.Correct, r.found.Evaluated = evaluation.Correct, evaluation.Count
	return r.network.SetWeights(r.weights)
}

// steady measures a step after the burn-in, in calls of the cell's steps. A call of
// a whole epoch that is longer than the window ends with the window: it is one call
// all the same.
func (r *cellRun) steady(ctx context.Context) error {
	step, _, err := r.window(ctx, burnInShare*r.task.Seconds, r.m.FirstCall)
	if err != nil {
		return err
	}
	r.m.Step, r.m.StepCount, err = r.window(ctx, r.task.Seconds, step)
	return err
}

// window trains for atLeast seconds and returns the seconds of a step
// and the number of steps. A step is expected to take about estimate seconds.
// The order is uploaded outside of the window.
func (r *cellRun) window(ctx context.Context, atLeast, estimate float64) (step float64, steps int, err error) {
	r.next = r.steps // a window begins an epoch
	for spent := 0.0; spent < atLeast; {
		if r.next == r.steps {
			if err := r.begin(); err != nil {
				return 0, 0, err
			}
		}
		call := r.task.Cell.StepsPerCall
		if call == WholeEpoch {
			// A little more than what is left, so that one call is enough.
			call = StepsPerCall(max(1, min(math.Ceil(1.05*(atLeast-spent)/estimate), float64(r.steps))))
		}
		start := time.Now()
		losses, err := r.train(ctx, int(call), learningRate)
		if err != nil {
			return 0, 0, err
		}
		spent += time.Since(start).Seconds()
		steps += len(losses)
		estimate = spent / float64(steps)
	}
	return estimate, steps, nil
}

// wholeEpoch measures a whole epoch with its order, or as much of it as there is time for.
func (r *cellRun) wholeEpoch(ctx context.Context) error {
	r.m.EpochSteps = int(max(1, min(epochWindows*r.task.Seconds/r.m.Step, float64(r.steps))))
	start := time.Now()
	r.order = dataset.Order(0, 2, TrainImages)
	if err := r.begin(); err != nil {
		return err
	}
	begun := time.Now()
	for r.next < r.m.EpochSteps {
		if _, err := r.train(ctx, min(int(r.task.Cell.StepsPerCall), r.m.EpochSteps-r.next), learningRate); err != nil {
			return err
		}
	}
	training := time.Since(begun).Seconds()
	if r.epoch != nil {
		r.epoch.Close() // its order is not to count in the memory of what follows
		r.epoch = nil
	}
	r.m.Epoch = begun.Sub(start).Seconds() + training*float64(r.steps)/float64(r.m.EpochSteps)
	return nil
}

// evaluate measures the evaluation of both sets or, where that takes too long, of the
// first test images.
func (r *cellRun) evaluate(ctx context.Context) error {
	some := r.images.First(testSection, evaluatedFirst)
	evaluate := func(images *model.Images, sections ...int) (err error) {
		r.m.Evaluate, err = timed(func() error {
			for _, section := range sections {
				if _, err := r.network.Evaluate(ctx, images, section); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	}
	for range 2 { // the first time is the burn-in
		if err := evaluate(some, testSection); err != nil {
			return err
		}
	}
	const all = TrainImages + TestImages
	r.m.EvaluatedImages = r.task.Evaluate
	if r.m.EvaluatedImages == 0 {
		r.m.EvaluatedImages = evaluatedFirst
		if r.m.Evaluate*all/evaluatedFirst <= evaluationWindows*r.task.Seconds {
			r.m.EvaluatedImages = all
		}
	}
	if r.m.EvaluatedImages == all {
		return evaluate(r.images, trainSection, testSection)
	}
	return nil
}

// roofline measures what the machine could do: the step's matrix products alone, and
// one product that is large enough for the backend without taking seconds.
func (r *cellRun) roofline(ctx context.Context) error {
	r.m.ProcessMemory = peakMemory(r.machine) // before the operands here, which are no part of a training
	products, err := model.CompileRoofline(r.device, r.task.Cell.Architecture(), r.task.Cell.BatchSize)
	if err != nil {
		return err
	}
	defer products.Close()
	if r.m.Products, err = r.repetition(ctx, products); err != nil {
		return err
	}
	// On most processors 1024 is as fast as any larger size, within 5%. What is done with it
	// within a millisecond is faster than those, and needs more to be busy.
	seconds := 0.0
	for _, size := range []int{1024, 8192} {
		large, err := model.CompileSquareRoofline(r.device, size)
		if err != nil {
			return err
		}
		seconds, err = r.repetition(ctx, large)
		r.m.Peak = large.FLOPs() / seconds
		large.Close()
		if err != nil || seconds > 1e-3 {
			return err
		}
	}
	return nil
}

// rooflineWindows is how many windows a roofline is the median of, or fewer where they
// are long.
const rooflineWindows = 3

// repetition is the seconds of one repetition of a roofline, after a burn-in.
func (r *cellRun) repetition(ctx context.Context, roofline *model.Roofline) (float64, error) {
	count, burnIn := 1, rooflineShare*burnInShare*r.task.Seconds
	for spent := 0.0; spent < burnIn; {
		seconds, err := timed(func() error { return roofline.Run(ctx, count) })
		if err != nil {
			return 0, err
		}
		spent += seconds
		// Never more than eight times as many as before: the first call is slower.
		count = int(max(1, min(8*float64(count), rooflineShare/rooflineWindows*r.task.Seconds*float64(count)/seconds)))
	}
	var windows []float64
	spent := 0.0
	for window := 0; window == 0 || window < rooflineWindows && spent < rooflineShare*r.task.Seconds; window++ {
		seconds, err := timed(func() error { return roofline.Run(ctx, count) })
		if err != nil {
			return 0, err
		}
		windows, spent = append(windows, seconds/float64(count)), spent+seconds
	}
	// Not the best of them, because a step's time is not the best of several either.
	return Summarize(windows).Median, nil
}

// close frees the device.
func (r *cellRun) close() {
	if r.epoch != nil {
		r.epoch.Close()
	}
	if r.network != nil {
		r.network.Close()
	}
	if r.images != nil {
		r.images.Close()
	}
	if r.device != nil {
		r.device.Close()
	}
}

// begin starts an epoch in the order at hand, however it is fed.
func (r *cellRun) begin() (err error) {
	r.next = 0
	if r.hostFed != nil {
		return nil
	}
	if r.epoch != nil {
		r.epoch.Close()
	}
	r.epoch, err = r.network.BeginEpoch(r.images, r.order)
	return err
}

// train runs the next steps of the epoch, as many as there are.
func (r *cellRun) train(ctx context.Context, steps int, rate float64) (losses []float32, err error) {
	if r.hostFed == nil {
		losses, err = r.epoch.Train(ctx, steps, rate)
		r.next += len(losses)
		return losses, err
	}
	batch := r.task.Cell.BatchSize
	for ; steps > 0 && r.next < r.steps; steps-- {
		if err := ctx.Err(); err != nil {
			return losses, err
		}
		rows := r.order[r.next*batch : min((r.next+1)*batch, TrainImages)]
		loss, err := r.hostFed.Train(r.data.Train, model.Unnormalized(), rows, rate)
		if err != nil {
			return losses, err
		}
		losses = append(losses, loss)
		r.next++
	}
	return losses, nil
}
