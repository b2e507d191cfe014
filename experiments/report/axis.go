package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// axis is a range of numbers and where it stands on a sheet.
type axis struct {
	low, high   float64 // low < high
	first, last float64 // dots at which they stand; from the left, or from the top
}

// at returns the dot at which x stands.
func (a axis) at(x float64) float64 {
	return a.first + (x-a.low)/(a.high-a.low)*(a.last-a.first)
}

// step is a distance between ticks: 1, 2 or 5 times a power of ten.
type step struct {
	digit    int // 1, 2 or 5
	exponent int
}

// times returns n steps: the nearest number to their decimal form.
func (s step) times(n int) float64 {
	x, _ := strconv.ParseFloat(fmt.Sprintf("%de%d", n*s.digit, s.exponent), 64) // out of range is 0 or infinite
	return x
}

// decimals is how many of them a multiple of the step has.
func (s step) decimals() int { return max(0, -s.exponent) }

// exponential reports whether its multiples are too long to be written as they are.
func (s step) exponential() bool { return s.exponent < -6 || s.exponent > 5 }

// below and above return how many steps are at most, and at least, x. A step's
// millionth is not counted, for it comes from rounding.
func (s step) below(x float64) int { return int(math.Floor(x/s.times(1) + 1e-6)) }
func (s step) above(x float64) int { return int(math.Ceil(x/s.times(1) - 1e-6)) }

// stepFor returns the smallest step of which a span above 0 has at most a number of
// at least 1.
func stepFor(span float64, most int) step {
	most = max(most, 1)
	for exponent := int(math.Floor(math.Log10(span))) - 3; ; exponent++ {
		for _, digit := range []int{1, 2, 5} {
			if s := (step{digit, exponent}); span <= s.times(most)*(1+1e-9) {
				return s
			}
		}
	}
}

// tick is a number on an axis that is written beside it.
type tick struct {
	value float64
	label string
}

// ticks returns the multiples of a step from low to high, which asPercent writes as
// shares.
func ticks(low, high float64, s step, asPercent bool) []tick {
	var all []tick
	for n := s.above(low); n <= s.below(high); n++ {
		value := s.times(n)
		label := strconv.FormatFloat(value, 'f', s.decimals(), 64)
		switch {
		case asPercent:
			label = strconv.FormatFloat(value*100, 'f', max(0, s.decimals()-2), 64) + "%"
		case n == 0 && s.exponential():
			label = "0"
		case s.exponential():
			label = strconv.FormatFloat(value, 'e', -1, 64)
		}
		all = append(all, tick{value, label})
	}
	return all
}

// epochTicks returns the epochs from 1 to count that are written under an axis of
// some dots: all of them if there is room, or else the multiples of a step and, where
// there is room for it, epoch 1.
func epochTicks(count, length int, measure func(string) int) []tick {
	const gap = 16
	room := measure(strconv.Itoa(count)) + gap
	fit := max(1, length/room)
	s := step{1, 0}
	if count > fit {
		s = stepFor(float64(count), fit)
	}
	var all []tick
	for n := 1; ; n++ {
		epoch := int(s.times(n))
		if epoch > count {
			break
		}
		if n == 1 && epoch > 1 && (epoch-1)*length/count >= room {
			all = append(all, tick{1, "1"})
		}
		all = append(all, tick{float64(epoch), strconv.Itoa(epoch)})
	}
	return all
}

// spread moves places apart so that neighbours are at least gap from each other,
// and all of them from low to high if there is room for them. Each one keeps its
// rank, equal ones that of their index, and moves as little as that allows.
func spread(wanted []float64, gap, low, high float64) []float64 {
	order := make([]int, len(wanted))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(wanted[a], wanted[b]) })

	// Neighbours that are too near form a block, which stands at the mean of their places.
	type block struct {
		count int
		sum   float64 // of the wanted places of its first one
	}
	var blocks []block
	start := func(b block) float64 {
		return max(low, min(b.sum/float64(b.count), high-float64(b.count-1)*gap))
	}
	for _, i := range order {
		blocks = append(blocks, block{1, wanted[i]})
		for len(blocks) > 1 {
			last, before := blocks[len(blocks)-1], blocks[len(blocks)-2]
			if start(before)+float64(before.count)*gap <= start(last) {
				break
			}
			sum := before.sum + last.sum - float64(last.count*before.count)*gap
			blocks = append(blocks[:len(blocks)-2], block{before.count + last.count, sum})
		}
	}

	places := make([]float64, len(wanted))
	next := 0
	for _, b := range blocks {
		for i := range b.count {
			places[order[next]] = start(b) + float64(i)*gap
			next++
		}
	}
	return places
}
