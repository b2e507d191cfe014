package train

import (
	"context"
	"time"

	"epochal/experiments"
	"epochal/model"
)

// evaluation is that of an epoch, under way or done.
type evaluation struct {
	begun    time.Time
	snapshot *model.Snapshot // what is evaluated; nil for the network itself
	done     chan error      // of one error, nil when what follows is there
	metrics  experiments.EpochMetrics
	test     model.Evaluation
}

// evaluate begins the post's eval_loop over every set, and ends it as well where there is
// no second client to do it beside the training. What has begun there is not cancelled:
// networks with such a client are small, and the run then stops after its epoch.
func (r *run) evaluate(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	e := &evaluation{begun: r.options.Now(), done: make(chan error, 1)}
	e.metrics = experiments.EpochMetrics{Event: "epoch", Epoch: r.record.At.Epoch, TrainSeconds: r.record.EpochSeconds}
	if e.snapshot, err = r.network.Snapshot(); err != nil {
		return err
	}
	r.evaluation = e
	if e.snapshot == nil {
		e.done <- r.evaluateSets(ctx, e, r.network.Evaluate)
		return r.report()
	}
	go func() { e.done <- r.evaluateSets(context.WithoutCancel(ctx), e, e.snapshot.Evaluate) }()
	return nil
}

// evaluateSets evaluates every set with evaluate.
func (r *run) evaluateSets(ctx context.Context, e *evaluation,
	evaluate func(ctx context.Context, images *model.Images, section int) (model.Evaluation, error),
) error {
	sections := []int{trainSection, testSection}
	if r.config.Validation > 0 {
		sections = append(sections, validationSection)
	}
	for _, section := range sections {
		found, err := evaluate(ctx, r.images, section)
		if err != nil {
			return err
		}
		loss, accuracy := found.Loss, found.Accuracy()
		if !experiments.IsFinite(loss) {
			return experiments.Diverged{Epoch: e.metrics.Epoch, Step: -1, Loss: loss}
		}
		switch section {
		case trainSection:
			e.metrics.TrainLoss, e.metrics.TrainAccuracy = loss, accuracy
		case testSection:
			e.metrics.TestLoss, e.metrics.TestAccuracy = loss, accuracy
			e.test = found
		case validationSection:
			e.metrics.ValidationLoss, e.metrics.ValidationAccuracy = &loss, &accuracy
		}
	}
	return nil
}

// report waits for the evaluation that has begun, if any, and records and observes the end
// of its epoch. The seconds that it counts are those in which nothing trained.
func (r *run) report() error {
	e := r.evaluation
	if e == nil {
		return nil
	}
	r.evaluation = nil
	weights := r.network.Weights
	if e.snapshot != nil {
		defer e.snapshot.Close()
		weights = func() (model.Weights, error) { return e.snapshot.Weights, nil }
	}
	if err := <-e.done; err != nil {
		return err
	}
	e.metrics.EvalSeconds = max(0, r.options.Now().Sub(e.begun).Seconds()-r.ahead)
	r.test = &e.test
	r.count([]experiments.EpochMetrics{e.metrics})
	if err := r.record.EpochDone(e.metrics, weights); err != nil {
		return err
	}
	r.observe(experiments.EpochDone{Metrics: e.metrics})
	return nil
}
