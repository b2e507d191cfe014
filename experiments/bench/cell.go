package bench

import (
	"context"
	"fmt"
	"math"

	"epochal/dataset"
	"epochal/model"
	"epochal/model/backend"
)

// How long the parts of a round take, beside the window that is asked for.
const (
	burnInShare       = 0.3 // of the window, before it
	epochWindows      = 4   // windows that an epoch may take before it is cut short
	evaluationWindows = 6   // windows that the evaluation of both sets may take before it is cut short
	limitShare        = 0.5 // of the window, for the matrix products alone and for the large one
	trajectorySeconds = 2   // after which a trajectory has no further step
)

// evaluatedFirst is how many test images are evaluated after a trajectory, and
// in place of both sets on a slow backend.
const evaluatedFirst = 1000

// The learning rates. That of the measured steps changes no speed and keeps the
// weights finite for any number of them. That of a trajectory gets somewhere in
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
	Surroundings
	task    CellTask
	device  *backend.Backend
	data    *dataset.Dataset
	images  *model.Images
	network *model.Network
	hostFed *model.HostFed // with FeedHost, the owner of network
	weights model.Weights  // initial
	order   []int32        // of epoch 1
	steps   int            // in an epoch
	m       Measurement
}

// measureCell measures one round. Every phase ends by reading a result from the
// device that depends on its work, and begins after the phase before.
func measureCell(ctx context.Context, task CellTask, s Surroundings, answer *Answer) error {
	c := task.Cell
	if err := c.validate(); err != nil {
		return err
	}
	if !(task.Seconds > 0) || math.IsInf(task.Seconds, 0) {
		return fmt.Errorf("the task: found a window of %v seconds, expected more than 0", task.Seconds)
	}
	r := &cellRun{Surroundings: s, task: task, steps: dataset.BatchCount(TrainImages, c.BatchSize)}
	defer r.close()
	watch := watchLoad(s.Machine, s.Now)
	for _, phase := range []func(context.Context) error{
		r.prepare, r.open, r.upload, r.compile, r.first,
		func(ctx context.Context) (err error) {
			if task.Trajectory > 0 {
				answer.Trajectory, err = r.trajectory(ctx)
			}
			return err
		},
		r.steady, r.epoch, r.evaluate,
		func(context.Context) error {
			// Before the limits, whose operands are no part of a training.
			r.m.ProcessMemory = peakMemory(s.Machine)
			return nil
		},
		r.products, r.peak,
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := phase(ctx); err != nil {
			return err
		}
	}
	r.m.OtherLoad = watch()
	answer.Info, answer.Measurement = r.device.Info, &r.m
	return nil
}

// validate reports a cell that cannot be measured.
func (c Cell) validate() error {
	if err := c.Topology().Validate(); err != nil {
		return err
	}
	switch {
	case c.BatchSize < 1:
		return fmt.Errorf("batch size: found %d, expected at least 1", c.BatchSize)
	case c.Feed != FeedResident && c.Feed != FeedHost:
		return fmt.Errorf("feed: found %q, expected %s or %s", c.Feed, FeedResident, FeedHost)
	case c.Feed == FeedHost && c.StepsPerCall != 1:
		return fmt.Errorf("feed %s: found %d steps per call, expected 1", FeedHost, c.StepsPerCall)
	case c.Precision != Float32 && c.Precision != TF32:
		return fmt.Errorf("precision: found %q, expected %s or %s", c.Precision, Float32, TF32)
	case c.StepsPerCall < 0:
		return fmt.Errorf("steps per call: found %d, expected 0 or more", c.StepsPerCall)
	}
	return nil
}

// seconds is how long f takes.
func (r *cellRun) seconds(f func() error) (float64, error) {
	start := r.Now()
	err := f()
	return r.Now().Sub(start).Seconds(), err
}

// prepare makes what is no part of any measurement.
func (r *cellRun) prepare(context.Context) (err error) {
	if r.data, err = dataset.Read(dataset.MNIST); err != nil {
		return err
	}
	r.weights = model.Initialize(r.task.Cell.Topology().Parameters(), 0)
	r.order = dataset.Order(0, 1, TrainImages)
	return nil
}

func (r *cellRun) open(ctx context.Context) (err error) {
	r.m.Open, err = r.seconds(func() (err error) {
		r.device, _, err = backend.Open(ctx, r.task.Cell.Backend, backend.Options{
			TF32: r.task.Cell.Precision == TF32, Plugins: r.Plugins,
		})
		return err
	})
	return err
}

func (r *cellRun) upload(context.Context) (err error) {
	r.m.Upload, err = r.seconds(func() (err error) {
		r.images, err = model.Upload(r.device, model.Unnormalized(), r.data.Train, r.data.Test)
		return err
	})
	return err
}

func (r *cellRun) compile(context.Context) (err error) {
	c := r.task.Cell
	program := model.Program{Architecture: c.Topology(), BatchSize: c.BatchSize, SingleSteps: c.StepsPerCall == 1}
	r.m.Compile, err = r.seconds(func() (err error) {
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

// first is the first call of the training program: a step, whatever the steps
// per call, because what is to be seen is what comes on top of a step.
func (r *cellRun) first(ctx context.Context) (err error) {
	if err := r.network.SetWeights(r.weights); err != nil {
		return err
	}
	pass, err := r.begin()
	if err != nil {
		return err
	}
	defer pass.close()
	r.m.FirstCall, err = r.seconds(func() error {
		_, err := pass.train(ctx, 1, learningRate)
		return err
	})
	return err
}

// trajectory trains from the initial weights and puts them back.
func (r *cellRun) trajectory(ctx context.Context) (*Trajectory, error) {
	if err := r.network.SetWeights(r.weights); err != nil {
		return nil, err
	}
	pass, err := r.begin()
	if err != nil {
		return nil, err
	}
	defer pass.close()
	var found Trajectory
	start := r.Now()
	for len(found.Losses) < min(r.task.Trajectory, r.steps) {
		losses, err := pass.train(ctx, 1, trajectoryRate)
		if err != nil {
			return nil, err
		}
		for _, loss := range losses {
			if math.IsNaN(float64(loss)) || math.IsInf(float64(loss), 0) {
				return nil, fmt.Errorf("the loss of step %d is %v, expected a finite number", len(found.Losses), loss)
			}
		}
		found.Losses = append(found.Losses, losses...)
		if r.Now().Sub(start).Seconds() > trajectorySeconds {
			break
		}
	}
	some := r.images.First(testSection, evaluatedFirst)
	evaluation, err := r.network.Evaluate(ctx, some, testSection)
	if err != nil {
		return nil, err
	}
	found.Correct, found.Evaluated = evaluation.Correct, evaluation.Count
	return &found, r.network.SetWeights(r.weights)
}

// steady measures a step after the burn-in, in calls of the cell's steps. Where
// an epoch is longer than the window, a call of the whole epoch ends with the
// window: one call it is all the same.
func (r *cellRun) steady(ctx context.Context) error {
	step, _, err := r.window(ctx, burnInShare*r.task.Seconds, r.m.FirstCall)
	if err != nil {
		return err
	}
	r.m.Step, r.m.StepCount, err = r.window(ctx, r.task.Seconds, step)
	return err
}

// window trains for at least that many seconds and returns the seconds of a step
// and the number of steps. A step is expected to take about estimate seconds.
// The order is uploaded outside of the window.
func (r *cellRun) window(ctx context.Context, seconds, estimate float64) (step float64, steps int, err error) {
	spent := 0.0
	for spent < seconds {
		pass, err := r.begin()
		if err != nil {
			return 0, 0, err
		}
		for pass.left() > 0 && spent < seconds {
			call := r.task.Cell.StepsPerCall
			if call == 0 {
				// A little more than what is left, so that one call is enough.
				call = int(max(1, min(math.Ceil(1.05*(seconds-spent)/estimate), float64(r.steps))))
			}
			start := r.Now()
			losses, err := pass.train(ctx, call, learningRate)
			if err != nil {
				pass.close()
				return 0, 0, err
			}
			spent += r.Now().Sub(start).Seconds()
			steps += len(losses)
			estimate = spent / float64(steps)
		}
		pass.close()
	}
	return estimate, steps, nil
}

// epoch measures a whole epoch with its order, or as much of it as may be.
func (r *cellRun) epoch(ctx context.Context) error {
	r.m.EpochSteps = int(max(1, min(epochWindows*r.task.Seconds/r.m.Step, float64(r.steps))))
	call := r.task.Cell.StepsPerCall
	if call == 0 {
		call = r.steps
	}
	start := r.Now()
	r.order = dataset.Order(0, 2, TrainImages)
	pass, err := r.begin()
	if err != nil {
		return err
	}
	defer pass.close()
	begun := r.Now()
	for done := 0; done < r.m.EpochSteps; {
		losses, err := pass.train(ctx, min(call, r.m.EpochSteps-done), learningRate)
		if err != nil {
			return err
		}
		done += len(losses)
	}
	training := r.Now().Sub(begun).Seconds()
	r.m.Epoch = begun.Sub(start).Seconds() + training*float64(r.steps)/float64(r.m.EpochSteps)
	return nil
}

// evaluate measures the evaluation of both sets, or where that takes long of
// the first test images.
func (r *cellRun) evaluate(ctx context.Context) error {
	some := r.images.First(testSection, evaluatedFirst)
	evaluateSome := func() error {
		_, err := r.network.Evaluate(ctx, some, testSection)
		return err
	}
	if err := evaluateSome(); err != nil { // burn-in
		return err
	}
	seconds, err := r.seconds(evaluateSome)
	if err != nil {
		return err
	}
	const all = TrainImages + TestImages
	whole := seconds*all/evaluatedFirst <= evaluationWindows*r.task.Seconds
	if r.task.Evaluate > 0 {
		whole = r.task.Evaluate > evaluatedFirst
	}
	if !whole {
		r.m.Evaluate, r.m.EvaluatedImages = seconds, evaluatedFirst
		return nil
	}
	r.m.EvaluatedImages = all
	r.m.Evaluate, err = r.seconds(func() error {
		for _, section := range []int{trainSection, testSection} {
			if _, err := r.network.Evaluate(ctx, r.images, section); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// products measures the step's matrix products alone.
func (r *cellRun) products(ctx context.Context) error {
	limit, err := model.CompileRoofline(r.device, r.task.Cell.Topology(), r.task.Cell.BatchSize)
	if err != nil {
		return err
	}
	defer limit.Close()
	r.m.Products, err = r.repetition(ctx, limit)
	return err
}

// peak measures one large matrix product: large enough for the backend, and not
// so large that it takes seconds.
func (r *cellRun) peak(ctx context.Context) error {
	size := 1024 // as fast as any larger one on a processor, by 5%
	if isCUDA(r.task.Cell.Backend) {
		size = 8192
	}
	limit, err := model.CompileSquareRoofline(r.device, size)
	if err != nil {
		return err
	}
	defer limit.Close()
	product, err := r.repetition(ctx, limit)
	r.m.Peak = limit.FLOPs() / product
	return err
}

// limitWindows is how many windows a limit is the best of, or fewer where they
// are long: a limit is what the machine can do, so that what disturbs it does
// not count.
const limitWindows = 3

// repetition is the seconds of one repetition of a limit, after a burn-in.
func (r *cellRun) repetition(ctx context.Context, limit *model.Roofline) (float64, error) {
	count, burnIn := 1, limitShare*burnInShare*r.task.Seconds
	for spent := 0.0; spent < burnIn; {
		seconds, err := r.seconds(func() error { return limit.Run(ctx, count) })
		if err != nil {
			return 0, err
		}
		spent += seconds
		// Never more than eight times as many at once: the first call is slower.
		count = int(max(1, min(8*float64(count), limitShare/limitWindows*r.task.Seconds*float64(count)/seconds)))
	}
	var windows []float64
	spent := 0.0
	for window := 0; window == 0 || window < limitWindows && spent < limitShare*r.task.Seconds; window++ {
		seconds, err := r.seconds(func() error { return limit.Run(ctx, count) })
		if err != nil {
			return 0, err
		}
		windows, spent = append(windows, seconds/float64(count)), spent+seconds
	}
	// The median, as a step is no best of several either.
	return Summarize(windows).Median, nil
}

// close frees the device.
func (r *cellRun) close() {
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

// pass is an epoch under way, however it is fed.
type pass struct {
	run   *cellRun
	epoch *model.Epoch // with FeedResident
	next  int          // step, with FeedHost
}

// begin starts a pass in the order at hand.
func (r *cellRun) begin() (*pass, error) {
	p := &pass{run: r}
	if r.hostFed != nil {
		return p, nil
	}
	var err error
	p.epoch, err = r.network.BeginEpoch(r.images, r.order)
	return p, err
}

// left is the number of steps to go.
func (p *pass) left() int {
	if p.epoch != nil {
		return p.epoch.Steps() - p.epoch.Step()
	}
	return p.run.steps - p.next
}

// train runs the next steps, as many as there are.
func (p *pass) train(ctx context.Context, steps int, rate float64) ([]float32, error) {
	if p.epoch != nil {
		return p.epoch.Train(ctx, steps, rate)
	}
	var losses []float32
	batch := p.run.task.Cell.BatchSize
	for ; steps > 0 && p.left() > 0; steps-- {
		if err := ctx.Err(); err != nil {
			return losses, err
		}
		rows := p.run.order[p.next*batch : min((p.next+1)*batch, TrainImages)]
		loss, err := p.run.hostFed.Train(p.run.data.Train, model.Unnormalized(), rows, rate)
		if err != nil {
			return losses, err
		}
		losses = append(losses, loss)
		p.next++
	}
	return losses, nil
}

func (p *pass) close() {
	if p.epoch != nil {
		p.epoch.Close()
	}
}
