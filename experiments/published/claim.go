package published

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"epochal/experiments"
	"epochal/experiments/record"
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
)

// Kinds lists all kinds, in the order in which errors name them.
func Kinds() []Kind {
	return []Kind{FinalTestAccuracy, TrainTestGap, NoOverfitting, ClassAccuracy, CrossoverEpoch, StillRising, BetterThan, CloseTo}
}

func kindNames() []string {
	var names []string
	for _, kind := range Kinds() {
		names = append(names, string(kind))
	}
	return names
}

// keys are those of the kind's mapping in a file, all of them required. better_than
// has none: it is a name.
func (k Kind) keys() []string {
	switch k {
	case ClassAccuracy:
		return []string{"class", "value", "tolerance"}
	case StillRising, NoOverfitting:
		return []string{"over"}
	case CloseTo:
		return []string{"experiment", "tolerance"}
	default:
		return []string{"value", "tolerance"}
	}
}

// Claim is a statement about an experiment that its runs can bear out or not. It
// says that a statistic of a run, [Claim.Measure], lies on average within Tolerance
// of Value, or, for NoOverfitting, StillRising and BetterThan, above 0.
type Claim struct {
	Kind      Kind
	Value     float64 // what was published: a fraction, or an epoch for CrossoverEpoch; 0 for CloseTo
	Tolerance float64 // how far off is still as published, in the unit of Value; above 0, or 0 for a kind without
	Class     int     // of ClassAccuracy, from 0
	Over      int     // of StillRising and NoOverfitting, in epochs, from 1
	Reference string  // name of the experiment that BetterThan and CloseTo compare with, else ""
	Epochs    int     // of the experiment; a crossover that does not happen counts as Epochs+1
	Digits    bool    // the classes are MNIST's digits
	Source    string  // gist of the sentence that makes the claim, "" if not stated
	Expected  bool    // that it does not hold is a failure; true unless the file says otherwise

	Line, Column int // in the experiment's file, from 1
}

// String says what is measured: "final test accuracy", "accuracy of digit 5".
func (c Claim) String() string {
	switch c.Kind {
	case FinalTestAccuracy:
		return "final test accuracy"
	case TrainTestGap:
		return "train minus test accuracy"
	case NoOverfitting:
		return "least lead of test over train accuracy, last " + plural(c.Over, "epoch")
	case ClassAccuracy:
		if c.Digits {
			return fmt.Sprintf("accuracy of digit %d", c.Class)
		}
		return fmt.Sprintf("accuracy of class %d", c.Class)
	case CrossoverEpoch:
		return "crossover of train over test accuracy"
	case StillRising:
		return "rise of both accuracies, last " + plural(c.Over, "epoch")
	case BetterThan, CloseTo:
		return "final test accuracy against " + c.Reference
	default:
		return string(c.Kind)
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Published is what the claim says: "89.4% ± 0.4", "epoch 7 ± 1", "above attempt-1".
func (c Claim) Published() string {
	u := c.unit()
	switch {
	case c.Kind == BetterThan:
		return "above " + c.Reference
	case c.Kind == CloseTo:
		return fmt.Sprintf("within %s points of %s", trimmed(c.Tolerance*u.scale), c.Reference)
	case c.target().oneSided:
		return "above 0"
	}
	value, tolerance := u.exact(c.Value), trimmed(c.Tolerance*u.scale)
	if u == percent {
		return fmt.Sprintf("%s%% ± %s", value, tolerance)
	}
	return u.before + value + " ± " + tolerance + u.after
}

// Format is a value of Measure, or a mean of such, in the claim's unit: "89.34%",
// "-0.41 points", "epoch 6.8", "never".
func (c Claim) Format(value float64) string {
	if c.never(value) {
		return "never"
	}
	u := c.unit()
	return u.before + u.rounded(value) + u.after
}

// never is whether value means that there is no crossover.
func (c Claim) never(value float64) bool {
	return c.Kind == CrossoverEpoch && value >= float64(c.Epochs+1)-slack
}

// FormatMean writes the mean of a statistic and its interval in the claim's unit:
// "89.3% (89.2% to 89.4%)"; only the value of a single seed, and "not measured"
// without any.
func (c Claim) FormatMean(i Interval) string {
	switch i.N {
	case 0:
		return "not measured"
	case 1:
		return c.Format(i.Mean)
	default:
		return fmt.Sprintf("%s (%s)", c.Format(i.Mean), c.span(i.Low, i.High))
	}
}

// span is an interval in the claim's unit: "89.21% to 89.50%".
func (c Claim) span(low, high float64) string {
	if c.never(high) {
		return c.Format(low) + " to never"
	}
	u := c.unit()
	return c.spanOf(u.rounded(low), u.rounded(high))
}

func (c Claim) spanOf(low, high string) string {
	u := c.unit()
	if u == percent {
		low += u.after
	}
	return u.before + low + " to " + high + u.after
}

// unit is how a value is written.
type unit struct {
	scale         float64 // from the claim's unit
	before, after string
	decimals      int  // of a measured value
	trim          bool // trailing zeros are left out
	signed        bool // with a plus sign
}

var (
	percent = unit{scale: 100, after: "%", decimals: 2}
	points  = unit{scale: 100, after: " points", decimals: 2, signed: true}
	epoch   = unit{scale: 1, before: "epoch ", decimals: 1, trim: true}
)

func (c Claim) unit() unit {
	switch c.Kind {
	case FinalTestAccuracy, ClassAccuracy:
		return percent
	case CrossoverEpoch:
		return epoch
	default:
		return points
	}
}

// rounded is a measured value with the unit's decimals.
func (u unit) rounded(value float64) string {
	power := math.Pow10(u.decimals)
	scaled := math.Round(value*u.scale*power)/power + 0 // no "-0.00"
	if u.trim {
		return u.sign(scaled) + trimmed(scaled)
	}
	return u.sign(scaled) + strconv.FormatFloat(scaled, 'f', u.decimals, 64)
}

// exact is a value from a file with as many decimals as it has.
func (u unit) exact(value float64) string {
	return u.sign(value) + trimmed(value*u.scale)
}

func (u unit) sign(value float64) string {
	if u.signed && value > 0 {
		return "+"
	}
	return ""
}

// trimmed writes x with up to 6 decimals and no trailing zeros: 0.894 times 100 is
// 89.4, whatever its last bit.
func trimmed(x float64) string {
	text := strconv.FormatFloat(x, 'f', 6, 64)
	text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	if text == "-0" {
		return "0"
	}
	return text
}

// Measure is the claim's statistic for one seed: the run of the experiment, and,
// for BetterThan and CloseTo, the same seed's run of the experiment referred to,
// else the zero Record. Accuracies and their differences are fractions; a
// crossover is an epoch from 1, or Epochs+1 if there is none.
//
// It is not ok if it cannot be measured: a run diverged or is not complete, it has
// too few epochs, or the test set has no image of the class. Values are finite.
func (c Claim) Measure(run, reference record.Record) (value float64, ok bool) {
	if !complete(run) {
		return 0, false
	}
	epochs := run.Epochs
	last := epochs[len(epochs)-1]
	switch c.Kind {
	case FinalTestAccuracy:
		value, ok = last.TestAccuracy, true
	case TrainTestGap:
		value, ok = last.TrainAccuracy-last.TestAccuracy, true
	case NoOverfitting:
		value, ok = leastLead(epochs, c.Over)
	case ClassAccuracy:
		value, ok = classAccuracy(run.Test.Confusion, c.Class)
	case CrossoverEpoch:
		value, ok = float64(crossover(epochs)), true
	case StillRising:
		value, ok = rise(epochs, c.Over)
	case BetterThan, CloseTo:
		if complete(reference) {
			value, ok = last.TestAccuracy-reference.Epochs[len(reference.Epochs)-1].TestAccuracy, true
		}
	}
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return 0, false
	}
	return value, ok
}

// complete is whether the run has all its epochs.
func complete(run record.Record) bool {
	return run.Diverged == nil && len(run.Epochs) > 0 && len(run.Epochs) == run.Config.Epochs
}

// leastLead is the smallest test minus train accuracy of the last over epochs.
func leastLead(epochs []experiments.EpochMetrics, over int) (float64, bool) {
	if over < 1 || over > len(epochs) {
		return 0, false
	}
	least := math.Inf(1)
	for _, e := range epochs[len(epochs)-over:] {
		least = min(least, e.TestAccuracy-e.TrainAccuracy)
	}
	return least, true
}

// classAccuracy is the share of the images of a class that were recognized.
func classAccuracy(confusion [][]int, class int) (float64, bool) {
	if class < 0 || class >= len(confusion) || class >= len(confusion[class]) {
		return 0, false
	}
	images := 0
	for _, n := range confusion[class] {
		images += n
	}
	if images == 0 {
		return 0, false
	}
	return float64(confusion[class][class]) / float64(images), true
}

// crossover is the first epoch, from 1, from which train accuracy stays above test
// accuracy until the end; one more than there are if it does not end above.
func crossover(epochs []experiments.EpochMetrics) int {
	first := len(epochs) + 1
	for first > 1 && epochs[first-2].TrainAccuracy > epochs[first-2].TestAccuracy {
		first--
	}
	return first
}

// rise is how much the accuracy of the set that rose less is above what it was
// over epochs before the last.
func rise(epochs []experiments.EpochMetrics, over int) (float64, bool) {
	if over < 1 || over >= len(epochs) {
		return 0, false
	}
	last, before := epochs[len(epochs)-1], epochs[len(epochs)-1-over]
	return min(last.TrainAccuracy-before.TrainAccuracy, last.TestAccuracy-before.TestAccuracy), true
}
