package figures

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// step is the smallest of 1, 2 and 5 times the powers of ten that divides a span above
// 0 into at most that many parts.
func step(span float64, most int) float64 {
	power := math.Pow(10, math.Floor(math.Log10(span/float64(most))))
	for _, digit := range []float64{1, 2, 5} {
		if digit*power*float64(most) >= span*(1-1e-9) {
			return digit * power
		}
	}
	return 10 * power
}

// tick marks the multiples of a step on an axis, and widens the axis to the next ones.
// They are written multiplied by a scale, with a unit.
func tick(axis *plot.Axis, step, scale float64, unit string) {
	first, last := math.Floor(axis.Min/step+1e-9), math.Ceil(axis.Max/step-1e-9)
	axis.Min, axis.Max = first*step, last*step
	format, digits := byte('f'), max(0, -int(math.Floor(math.Log10(step*scale)+1e-9)))
	if last*step >= 1e6 || digits > 6 {
		format, digits = 'g', 4
	}
	var ticks plot.ConstantTicks
	for n := first; n <= last; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: strconv.FormatFloat(n*step*scale, format, digits, 64) + unit})
	}
	axis.Tick.Marker = ticks
}

// powers are gonum's ticks of a logarithmic axis, written "100", "10k", "1M".
type powers struct{}

// Ticks implements [plot.Ticker].
func (powers) Ticks(low, high float64) []plot.Tick {
	ticks := plot.LogTicks{Prec: -1}.Ticks(low, high)
	for i, t := range ticks {
		switch {
		case t.Label == "":
		case t.Value >= 1e6:
			ticks[i].Label = strconv.FormatFloat(t.Value/1e6, 'g', 6, 64) + "M"
		case t.Value >= 1e3:
			ticks[i].Label = strconv.FormatFloat(t.Value/1e3, 'g', 6, 64) + "k"
		}
	}
	return ticks
}
