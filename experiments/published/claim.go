package published

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"epochal/experiments"
	"epochal/experiments/evaluate"
)

// Kind is what a claim is about; the key in the file.
type Kind string

// The kinds of claims. Accuracies are fractions from 0 to 1 after the last epoch
// unless another epoch is named.
const (
	FinalTestAccuracy Kind = "final_test_accuracy" // about Value
	TrainTestGap      Kind = "train_test_gap"      // train minus test accuracy, about Value
	NoOverfitting     Kind = "no_overfitting"      // train accuracy below test accuracy after each of the last Over epochs
	ClassAccuracy     Kind = "class_accuracy"      // share of the test images of Class that were recognized, about Value
	CrossoverEpoch    Kind = "crossover_epoch"     // first epoch from which train accuracy stays above test accuracy, about Value
	StillRising       Kind = "still_rising"        // both accuracies higher than Over epochs before the last
	BetterThan        Kind = "better_than"         // final test accuracy above that of Reference
	CloseTo           Kind = "close_to"            // final test accuracy within Tolerance of that of Reference
	BetterWhenShifted Kind = "better_when_shifted" // accuracy on test images shifted By pixels above that of Reference
	BetterWhenRotated Kind = "better_when_rotated" // the same of images rotated By degrees
)

// kind is all that tells one kind of claim from another: a new kind is a new row
// of kinds.
type kind struct {
	name      Kind
	fields    []string // of its mapping in a file, all of them required; without any, it is the name of an experiment
	unit      unit     // of what is measured
	aboveZero bool     // it claims that what is measured is above 0, not that it lies near a value
	spare     int      // how many of the run's epochs Over leaves out at least
	text      func(Claim) string
	measure   func(c Claim, run, reference RunResult) float64
}

// kinds are all kinds, in the order in which errors name them.
var kinds = []kind{
	{
		name: FinalTestAccuracy, fields: []string{"value", "tolerance"}, unit: percent,
		text:    func(Claim) string { return "final test accuracy" },
		measure: func(_ Claim, run, _ RunResult) float64 { return last(run).TestAccuracy },
	},
	{
		name: TrainTestGap, fields: []string{"value", "tolerance"}, unit: points,
		text:    func(Claim) string { return "train minus test accuracy" },
		measure: func(_ Claim, run, _ RunResult) float64 { return last(run).TrainAccuracy - last(run).TestAccuracy },
	},
	{
		name: NoOverfitting, fields: []string{"over"}, unit: points, aboveZero: true,
		text: func(c Claim) string { return "least lead of test over train accuracy, last " + plural(c.Over, "epoch") },
		measure: func(c Claim, run, _ RunResult) float64 {
			least := math.Inf(1)
			for _, e := range run.Epochs[len(run.Epochs)-c.Over:] {
				least = min(least, e.TestAccuracy-e.TrainAccuracy)
			}
			return least
		},
	},
	{
		name: ClassAccuracy, fields: []string{"class", "value", "tolerance"}, unit: percent,
		text: func(c Claim) string {
			return fmt.Sprintf("accuracy of %s %d", map[bool]string{true: "digit", false: "class"}[c.Digits], c.Class)
		},
		measure: func(c Claim, run, _ RunResult) float64 { return classAccuracy(run.Confusion, c.Class) },
	},
	{
		name: CrossoverEpoch, fields: []string{"value", "tolerance"}, unit: epoch,
		text:    func(Claim) string { return "crossover of train over test accuracy" },
		measure: func(_ Claim, run, _ RunResult) float64 { return crossover(run.Epochs) },
	},
	{
		name: StillRising, fields: []string{"over"}, unit: points, aboveZero: true, spare: 1, // there must be an epoch to rise from
		text: func(c Claim) string { return "rise of both accuracies, last " + plural(c.Over, "epoch") },
		measure: func(c Claim, run, _ RunResult) float64 {
			last, before := last(run), run.Epochs[len(run.Epochs)-1-c.Over]
			return min(last.TrainAccuracy-before.TrainAccuracy, last.TestAccuracy-before.TestAccuracy)
		},
	},
	{
		name: BetterThan, unit: points, aboveZero: true,
		text: againstReference, measure: leadOverReference,
	},
	{
		name: CloseTo, fields: []string{"experiment", "tolerance"}, unit: points,
		text: againstReference, measure: leadOverReference,
	},
	{
		name: BetterWhenShifted, fields: []string{"experiment", "by"}, unit: points, aboveZero: true,
		text: func(c Claim) string {
			return fmt.Sprintf("accuracy on images shifted by %s against %s", plural(c.By, "pixel"), c.Reference)
		},
		measure: leadDistorted,
	},
	{
		name: BetterWhenRotated, fields: []string{"experiment", "by"}, unit: points, aboveZero: true,
		text: func(c Claim) string {
			return fmt.Sprintf("accuracy on images rotated by %s against %s", plural(c.By, "degree"), c.Reference)
		},
		measure: leadDistorted,
	},
}

func leadDistorted(c Claim, run, reference RunResult) float64 {
	return run.distorted(c.distortion()) - reference.distorted(c.distortion())
}

// distortion is that of the test images, without an accuracy.
func (c Claim) distortion() evaluate.Distorted {
	if c.Kind == BetterWhenRotated {
		return evaluate.Distorted{Rotation: c.By}
	}
	return evaluate.Distorted{Shift: c.By}
}

func againstReference(c Claim) string { return "final test accuracy against " + c.Reference }

func leadOverReference(_ Claim, run, reference RunResult) float64 {
	return last(run).TestAccuracy - last(reference).TestAccuracy
}

func last(run RunResult) experiments.EpochMetrics { return run.Epochs[len(run.Epochs)-1] }

// classAccuracy is the share of the images of a class that were recognized; NaN
// if the test set has none.
func classAccuracy(confusion [][]int, class int) float64 {
	if class >= len(confusion) {
		return math.NaN()
	}
	images := 0
	for _, n := range confusion[class] {
		images += n
	}
	return float64(confusion[class][class]) / float64(images)
}

// crossover is the first epoch, from 1, from which train accuracy stays above test
// accuracy until the end; infinite if it does not end above.
func crossover(epochs []experiments.EpochMetrics) float64 {
	first := math.Inf(1)
	for _, e := range slices.Backward(epochs) {
		if e.TrainAccuracy <= e.TestAccuracy {
			return first
		}
		first = float64(e.Epoch)
	}
	return first
}

func (k Kind) row() kind {
	return kinds[slices.IndexFunc(kinds, func(row kind) bool { return row.name == k })]
}

// Claim is a statement about an experiment that its runs may or may not bear out. It
// says that a statistic of a run, [Claim.Measure], lies on average within Tolerance
// of Value, or, for NoOverfitting, StillRising and those that begin with Better, above 0.
type Claim struct {
	Kind      Kind
	Value     float64 // what was published: a fraction, or an epoch for CrossoverEpoch; 0 for a kind without
	Tolerance float64 // how far off still counts as published, in the unit of Value; above 0, or 0 for a kind without
	Class     int     // of ClassAccuracy, from 0
	Over      int     // of StillRising and NoOverfitting, in epochs, from 1
	By        int     // of BetterWhenShifted, in pixels, and BetterWhenRotated, in degrees
	Reference string  // name of the experiment that is compared with, else ""
	Epochs    int     // of the experiment
	Digits    bool    // the classes are MNIST's digits
	Source    string  // gist of the sentence that makes the claim, "" if not stated
	Expected  bool    // that it does not hold is a failure; true unless the file says otherwise
}

// Measure is the claim's statistic for one seed: of the run of the experiment, and of the
// same seed's run of the experiment referred to, if there is one, else the zero RunResult.
// Neither has diverged. Accuracies and their differences are
// fractions; a crossover is an epoch from 1, or +Inf if there is none; the accuracy
// of a class of which the test set has no image is NaN, and so is that on distorted images
// that were not evaluated.
func (c Claim) Measure(run, reference RunResult) float64 {
	return c.Kind.row().measure(c, run, reference)
}

// String says what is measured: "final test accuracy", "accuracy of digit 5".
func (c Claim) String() string { return c.Kind.row().text(c) }

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// Published is what the claim says: "89.4% ± 0.4", "epoch 7 ± 1", "above attempt-1".
func (c Claim) Published() string {
	k := c.Kind.row()
	value, tolerance := k.unit.exact(c.Value), unit{scale: k.unit.scale}.exact(c.Tolerance) // without a sign
	switch {
	case k.aboveZero && c.Reference != "":
		return "above " + c.Reference
	case k.aboveZero:
		return "above 0"
	case c.Reference != "":
		return "within " + tolerance + k.unit.after + " of " + c.Reference
	case k.unit == percent:
		return value + "% ± " + tolerance
	default:
		return k.unit.before + value + " ± " + tolerance + k.unit.after
	}
}

// Format is a value of Measure, or a mean of such values, in the claim's unit: "89.34%",
// "-0.41 points", "epoch 6.8", "never".
func (c Claim) Format(value float64) string {
	if math.IsInf(value, 1) {
		return "never"
	}
	u := c.Kind.row().unit
	return u.before + u.rounded(value) + u.after
}

// span is an interval in the claim's unit: "89.21% to 89.50%".
func (c Claim) span(i Interval) string {
	u := c.Kind.row().unit
	return u.span(u.rounded(i.Low), u.rounded(i.High))
}

// unit is how a value is written and how large it can be.
type unit struct {
	scale         float64 // from the claim's unit
	before, after string
	decimals      int     // that a measured value is rounded to
	digits        int     // of them shown, also where they are zeros; -1 for no trailing zeros
	signed        bool    // with a plus sign
	least, most   float64 // in the claim's unit; most 0: the number of epochs
}

var (
	percent = unit{scale: 100, after: "%", decimals: 2, digits: 2, most: 1}
	points  = unit{scale: 100, after: " points", decimals: 2, digits: 2, signed: true, least: -1, most: 1}
	epoch   = unit{scale: 1, before: "epoch ", decimals: 1, digits: -1, least: 1}
)

// bounds are the least and the largest value of a run of so many epochs.
func (u unit) bounds(epochs int) (least, most float64) {
	if u.most == 0 {
		return u.least, float64(epochs)
	}
	return u.least, u.most
}

func (u unit) span(low, high string) string {
	if u == percent {
		low += u.after
	}
	return u.before + low + " to " + high + u.after
}

// rounded is a measured value with the unit's decimals.
func (u unit) rounded(value float64) string { return u.write(value, u.decimals, u.digits) }

// exact is a value from a file with as many decimals as it has: 0.894 times 100 is
// 89.4, whatever its last bit.
func (u unit) exact(value float64) string { return u.write(value, 6, -1) }

func (u unit) write(value float64, decimals, digits int) string {
	power := math.Pow10(decimals)
	rounded := math.Round(value*u.scale*power)/power + 0 // no "-0.00"
	text := strconv.FormatFloat(rounded, 'f', digits, 64)
	if u.signed && rounded > 0 {
		return "+" + text
	}
	return text
}
