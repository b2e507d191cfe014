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

// How MNIST's images look: dark at the edge, and with the centre of mass in the middle.
// Images that are centred by their box, as EMNIST's, are about 1.5 pixels of 28 off it.
const (
	looked        = 1000     // images that are looked at
	emptyEdges    = 0.9      // least share of them with an edge of zeros
	mostOffCentre = 2.0 / 28 // of the mean side, in the mean
)

// Centred reports whether the images look prepared as MNIST's are: cut out, light on
// dark, and centred. Others show whole pictures. Up to 1,000 of the images, from all of the set, decide.
func (s Set) Centred() bool {
	count := min(looked, s.Len())
	empty, lit, distances := 0, 0, 0.0
	for i := range count {
		var edge, mass, across, down int
		for at, pixel := range s.Image(i * s.Len() / count) {
			row, column, value := at/s.Columns, at%s.Columns, int(pixel)
			if row == 0 || column == 0 || row == s.Rows-1 || column == s.Columns-1 {
				edge += value
			}
			mass += value
			across += value * (2*column + 1)
			down += value * (2*row + 1)
		}
		if edge == 0 {
			empty++
		}
		if mass > 0 {
			lit++
			x, y := float64(across)/float64(mass), float64(down)/float64(mass)
			distances += math.Hypot(x-float64(s.Columns), y-float64(s.Rows)) / 2
		}
	}
	side := float64(s.Rows+s.Columns) / 2
	return lit > 0 && float64(empty) >= emptyEdges*float64(count) && distances < mostOffCentre*side*float64(lit)
}

// normalization returns the mean of the set and a deviation that one can divide by.
func (s Set) normalization() (mean, deviation float64) {
	mean, deviation = Statistics(s.Pixels)
	if deviation == 0 {
		return mean, 1
	}
	return mean, deviation
}
