package dataset

import "math"

// Statistics returns the mean and the population standard deviation of pixels
// on a 0..1 scale, each exact to the last digits of a float64. The deviation of
// equal pixels is 0, and both are 0 where there are none.
func Statistics(pixels []byte) (mean, deviation float64) {
	if len(pixels) == 0 {
		return 0, 0
	}
	// Neighbouring pixels are often equal. Counting them in different tables
	// saves waiting for the same counter.
	var tables [4][256]int
	rest := pixels
	for ; len(rest) >= 4; rest = rest[4:] {
		tables[0][rest[0]]++
		tables[1][rest[1]]++
		tables[2][rest[2]]++
		tables[3][rest[3]]++
	}
	for _, value := range rest {
		tables[0][value]++
	}

	var histogram [256]float64
	sum := 0
	for value := range histogram {
		count := tables[0][value] + tables[1][value] + tables[2][value] + tables[3][value]
		histogram[value] = float64(count)
		sum += value * count
	}
	mean = float64(sum) / float64(len(pixels))
	var squares float64
	for value, count := range histogram {
		difference := float64(value) - mean
		squares += count * difference * difference
	}
	return mean / 255, math.Sqrt(squares/float64(len(pixels))) / 255
}

// normalization returns the mean of the set and a deviation that one can divide by.
func (s Set) normalization() (mean, deviation float64) {
	mean, deviation = Statistics(s.Pixels)
	if deviation == 0 {
		return mean, 1
	}
	return mean, deviation
}
