package dataset

// splitEpoch is the epoch whose order draws the validation images. Training
// counts its epochs from 1, so no epoch begins with exactly these.
const splitEpoch = 0

// Split moves validation images, drawn by seed, from Train to Validation. Both
// keep the order of the file and get arrays of their own; other datasets that
// share the old ones do not change. Mean and Deviation are those of the
// remaining train images, except for MNIST, which keeps the published values.
//
// validation is 0, which does nothing, to one less than there are train images.
// A dataset is split once.
func (d *Dataset) Split(validation int, seed uint64) {
	if validation == 0 {
		return
	}
	d.Train, d.Validation = d.Train.partition(draw(seed, d.Train.Len(), validation))
	if !d.keepStatistics {
		d.Mean, d.Deviation = d.Train.normalization()
	}
}

// draw says of each of count images whether it is among those that seed draws.
func draw(seed uint64, count, drawn int) []bool {
	held := make([]bool, count)
	for _, row := range Order(seed, splitEpoch, count)[:drawn] {
		held[row] = true
	}
	return held
}

// partition returns the images that are not held, and those that are, both in the order of s.
func (s Set) partition(held []bool) (rest, heldOut Set) {
	count := 0
	for _, held := range held {
		if held {
			count++
		}
	}
	rest, heldOut = s, s
	rest.Pixels, heldOut.Pixels = partition(s.Pixels, held, s.Rows*s.Columns, count)
	rest.Labels, heldOut.Labels = partition(s.Labels, held, 1, count)
	return rest, heldOut
}

// partition copies values, size for each image, to those that are not held and the count that are.
func partition(values []byte, held []bool, size, count int) (rest, heldOut []byte) {
	rest, heldOut = make([]byte, 0, len(values)-count*size), make([]byte, 0, count*size)
	for row, held := range held {
		value := values[row*size : (row+1)*size]
		if held {
			heldOut = append(heldOut, value...)
		} else {
			rest = append(rest, value...)
		}
	}
	return rest, heldOut
}
