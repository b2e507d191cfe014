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
	count := d.Train.Len()
	held := make([]bool, count)
	for _, row := range Order(seed, splitEpoch, count)[:validation] {
		held[row] = true
	}
	all := d.Train
	train, heldOut := all.emptyLike(count-validation), all.emptyLike(validation)
	for row, label := range all.Labels {
		to := &train
		if held[row] {
			to = &heldOut
		}
		to.Pixels = append(to.Pixels, all.Image(row)...)
		to.Labels = append(to.Labels, label)
	}
	d.Train, d.Validation = train, heldOut
	if !d.keepStatistics {
		d.Mean, d.Deviation = d.Train.normalization()
	}
}

// emptyLike returns a set without images that has room for count like s's.
func (s Set) emptyLike(count int) Set {
	return Set{
		Pixels:  make([]byte, 0, count*s.Rows*s.Columns),
		Labels:  make([]byte, 0, count),
		Rows:    s.Rows,
		Columns: s.Columns,
	}
}
