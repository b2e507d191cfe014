package report

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/image/font"
)

// Limits on a figure of experiments.
const (
	MaxCompared = 100           // experiments
	MaxSeconds  = 1_000_000_000 // of training, three decades
)

// Compared is an experiment in a [Comparison].
type Compared struct {
	Name            string    // at most MaxTitle characters
	Low, Mean, High float64   // final test accuracy of the runs and its 95% interval; of one run there is none, nor where Low or High is infinite or NaN
	Values          []float64 // final test accuracy of each run that did not diverge, 0 to 1; empty if all did, and then there is no mean
	Seconds         float64   // training of one run; NaN if it is not known
	Note            string    // such as "1 of 5 diverged"; at most MaxTitle characters
}

// normalizedSuffix ends the name of an experiment that is the twin of another one, with
// normalized inputs.
const normalizedSuffix = "-normalized"

// hasInterval reports whether there is an interval around the mean.
func (c Compared) hasInterval() bool {
	return len(c.Values) > 1 && !math.IsNaN(c.Low) && !math.IsNaN(c.High) && !math.IsInf(c.Low, 0) && !math.IsInf(c.High, 0)
}

// normalized reports whether the experiment is the twin with normalized inputs.
func (c Compared) normalized() bool {
	return strings.HasSuffix(c.Name, normalizedSuffix)
}

// base is the name that an experiment shares with its twin.
func (c Compared) base() string { return strings.TrimSuffix(c.Name, normalizedSuffix) }

// Comparison draws the final test accuracy of experiments from top to bottom: their
// mean as a large mark in its 95% interval, and each run as a small dot below it.
// Beside it stand the seconds of training.
//
// An experiment whose name ends in "-normalized" has a vermillion diamond instead of
// a blue disc; where it stands next to its twin without that ending, the two are in
// one band. The axis of accuracies shows all means and runs. Intervals that are very
// wide leave it, and then have no caps.
//
// format is [PNG] or [SVG]. It is an error if it is another one, if there are not 1
// to [MaxCompared] experiments, if one has no name or texts or numbers outside the
// limits that [Compared] gives, if its mean is outside its interval, or if the title
// has more than [MaxTitle] characters.
func Comparison(w io.Writer, format, title string, experiments []Compared) error {
	if err := checkFormat(format); err != nil {
		return err
	}
	if err := checkCompared(experiments); err != nil {
		return err
	}
	if err := checkTitle(title); err != nil {
		return err
	}
	return write(w, func() ([]byte, error) {
		figure := layOutComparison(printable(title), experiments)
		return render(format, figure.width, figure.height, figure.draw)
	})
}

// checkCompared reports experiments that [Comparison] cannot draw.
func checkCompared(experiments []Compared) error {
	if len(experiments) < 1 || len(experiments) > MaxCompared {
		return fmt.Errorf("experiments: found %d of them, expected 1 to %d", len(experiments), MaxCompared)
	}
	for i, e := range experiments {
		if err := e.check(); err != nil {
			return fmt.Errorf("experiments: position %d: %w", i, err)
		}
	}
	return nil
}

// check reports an experiment that cannot be drawn.
func (c Compared) check() error {
	if c.Name == "" {
		return errors.New("found no name")
	}
	if found := utf8.RuneCountInString(c.Name); found > MaxTitle {
		return fmt.Errorf("found a name of %d characters, expected at most %d", found, MaxTitle)
	}
	if found := utf8.RuneCountInString(c.Note); found > MaxTitle {
		return fmt.Errorf("found a note of %d characters, expected at most %d", found, MaxTitle)
	}
	if c.Seconds < 0 || c.Seconds > MaxSeconds {
		return fmt.Errorf("found %v seconds, expected 0 to %d", c.Seconds, MaxSeconds)
	}
	if len(c.Values) == 0 {
		return nil
	}
	for i, value := range c.Values {
		if !(value >= 0 && value <= 1) { // nor NaN
			return fmt.Errorf("found an accuracy of %v in run %d, expected 0 to 1", value, i)
		}
	}
	if !(c.Mean >= 0 && c.Mean <= 1) {
		return fmt.Errorf("found a mean of %v, expected 0 to 1", c.Mean)
	}
	if c.Low > c.Mean || c.High < c.Mean {
		return fmt.Errorf("found a mean of %v outside its interval from %v to %v", c.Mean, c.Low, c.High)
	}
	return nil
}

// Measures of a comparison, in dots.
const (
	nameWidth  = 420 // of the longest lines
	columnsGap = 40  // between names, accuracies, means and seconds
	barWidth   = 200 // of the longest time

	comparedRow  = 56 // at least, of an experiment
	rowPadding   = 12 // above and below its texts, where they need more
	groupPadding = 8  // above and below a band
	headerHeight = 40 // of the headings of columns

	markRadius = 8
	runRadius  = 6 // with a rim that parts it from its neighbours
	runRim     = 1
	markShift  = 8  // of the mean upwards from the middle of its row
	runShift   = 14 // of the runs downwards
	capLength  = 10 // of an interval, each way
	timeHeight = 24 // of a bar

	keyOffset = 64 // from the panel to the middle of the legend
	keyGap    = 48
	keyLength = 56 // of the interval in it
)

var (
	bandColor = color.Gray{Y: 0xF3}
	timeColor = color.Gray{Y: 0xA8}
)

// comparisonFigure is where everything in a comparison stands, in dots.
type comparisonFigure struct {
	width, height int
	title         []string
	rows          []comparedPlace
	bands         []image.Rectangle // of every second group
	accuracies    axis
	ticks         []tick
	top, bottom   int // of the panels
	meanHeading   string
	meansRight    int
	timesLeft     int
	perSecond     float64 // dots
}

// comparedPlace is an experiment and where it stands.
type comparedPlace struct {
	Compared
	name, note []string
	middle     int // from the top
	top        int
	bottom     int
	texts      int // height
	mean       string
}

// layOutComparison places experiments that were checked.
func layOutComparison(title string, experiments []Compared) comparisonFigure {
	f := comparisonFigure{
		width: margin + pageWidth + margin,
		title: titleLines(title, pageWidth),
	}
	face := sans(labelSize, font.WeightNormal)
	measure := func(line string) int { return width(face, line) }

	f.meanHeading = "mean"
	for _, e := range experiments {
		if e.hasInterval() {
			f.meanHeading = "mean ± 95%"
		}
	}
	names, means, times := 0, measure(f.meanHeading), 0
	longest := 0.0
	for _, e := range experiments {
		row := comparedPlace{
			Compared: e,
			name:     wrap(printable(e.Name), nameWidth, measure),
			note:     wrap(printable(e.Note), nameWidth, measure),
			mean:     meanText(e),
		}
		for _, line := range append(row.name[:len(row.name):len(row.name)], row.note...) {
			names = max(names, measure(line))
		}
		means = max(means, measure(row.mean))
		times = max(times, measure(secondsText(e.Seconds)))
		if e.Seconds > longest { // nor NaN
			longest = e.Seconds
		}
		row.texts = capitals(labelSize) + (len(row.name)+len(row.note)-1)*captionLine
		f.rows = append(f.rows, row)
	}
	if longest > 0 {
		f.perSecond = barWidth / longest
	}

	timesWidth := max(barWidth+labelOffset+times, measure(secondsHeading))
	left := margin + groupPadding + names + columnsGap
	f.timesLeft = margin + pageWidth - groupPadding - timesWidth
	f.meansRight = f.timesLeft - columnsGap
	right := f.meansRight - means - columnsGap
	const tickRoom = 100
	f.accuracies, f.ticks = comparedAxis(experiments, min((right-left)/tickRoom, 8))
	f.accuracies.first, f.accuracies.last = float64(left), float64(right)

	f.top = margin + titleHeight(f.title) + headerHeight
	y := f.top
	group := 0
	for i := range f.rows {
		row := &f.rows[i]
		if i == 0 || row.base() != f.rows[i-1].base() {
			if i > 0 {
				y += groupPadding
				group++
			}
			if group%2 == 0 {
				f.bands = append(f.bands, image.Rect(margin, y, margin+pageWidth, y))
			}
			y += groupPadding
		}
		row.top = y
		y += max(comparedRow, row.texts+2*rowPadding)
		row.bottom = y
		row.middle = (row.top + row.bottom) / 2
		if group%2 == 0 {
			f.bands[len(f.bands)-1].Max.Y = y + groupPadding
		}
	}
	f.bottom = y + groupPadding
	f.height = f.bottom + keyOffset + capLength + labelCapitals + margin
	return f
}

// The headings of the columns.
const (
	accuracyHeading = "final test accuracy"
	secondsHeading  = "seconds of training"
)

// comparedAxis shows every mean and every run, and intervals if they are not much wider,
// with about as many ticks as there is room for.
func comparedAxis(experiments []Compared, most int) (axis, []tick) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, e := range experiments {
		for _, value := range e.Values {
			low, high = min(low, value, e.Mean), max(high, value, e.Mean)
		}
	}
	if low > high { // there are no runs
		low, high = 0, 1
	}
	span := max(high-low, 0.01) // noise is not made to look like a difference
	lowest, highest := low-span/2, high+span/2
	for _, e := range experiments {
		if e.hasInterval() {
			low, high = min(low, max(e.Low, lowest)), max(high, min(e.High, highest))
		}
	}
	if high-low < 0.01 {
		low, high = low-0.005, high+0.005
	}
	low, high = max(low, 0), min(high, 1)
	s := stepFor(high-low, most)
	low, high = s.times(s.below(low)), min(s.times(s.above(high)), 1)
	return axis{low: low, high: high}, ticks(low, high, s, true)
}

// meanText is the mean and half the width of its interval.
func meanText(e Compared) string {
	write := func(x float64) string { return strconv.FormatFloat(x*100, 'f', 2, 64) }
	switch {
	case len(e.Values) == 0:
		return "–"
	case !e.hasInterval():
		return write(e.Mean) + "%"
	case e.High-e.Low > 2:
		return write(e.Mean) + " ± >100%"
	}
	return write(e.Mean) + " ± " + write((e.High-e.Low)/2) + "%"
}

// secondsText writes seconds as exactly as they matter.
func secondsText(seconds float64) string {
	switch {
	case math.IsNaN(seconds):
		return "–"
	case seconds < 9.95:
		return strconv.FormatFloat(seconds, 'f', 1, 64)
	}
	return thousands(int(math.Round(seconds)))
}

// draw draws the figure.
func (f comparisonFigure) draw(s sheet) {
	face := sans(labelSize, font.WeightNormal)
	bold := sans(labelSize, font.WeightBold)
	drawTitle(s, f.width, f.title)
	left, right := int(f.accuracies.first), int(f.accuracies.last)
	heading := f.top - headerHeight + capitals(labelSize)
	s.textAt(bold, color.Black, leftAligned, left, heading, accuracyHeading)
	s.textAt(bold, color.Black, rightAligned, f.meansRight, heading, f.meanHeading)
	s.textAt(bold, color.Black, leftAligned, f.timesLeft, heading, secondsHeading)

	for _, band := range f.bands {
		s.fill(bandColor, band.Min.X, band.Min.Y, band.Max.X, band.Max.Y)
	}
	for _, t := range f.ticks {
		x := int(math.Round(f.accuracies.at(t.value)))
		s.fill(gridColor, x-1, f.top, x+1, f.bottom)
		s.fill(axisColor, x-1, f.bottom, x+1, f.bottom+tickLength)
		s.textAt(face, noteColor, centered, x, f.bottom+tickLength+labelOffset+labelCapitals, t.label)
	}
	s.fill(axisColor, left, f.bottom-1, right, f.bottom+1)
	for _, row := range f.rows {
		f.drawRow(s, row)
	}
	f.drawKey(s)
}

// drawRow draws one experiment.
func (f comparisonFigure) drawRow(s sheet, row comparedPlace) {
	face := sans(labelSize, font.WeightNormal)
	baseline := row.middle - row.texts/2 + capitals(labelSize)
	for _, line := range row.name {
		s.textAt(face, color.Black, leftAligned, margin+groupPadding, baseline, line)
		baseline += captionLine
	}
	for _, line := range row.note {
		s.textAt(face, noteColor, leftAligned, margin+groupPadding, baseline, line)
		baseline += captionLine
	}

	middle := row.middle + capitals(labelSize)/2
	s.textAt(face, color.Black, rightAligned, f.meansRight, middle, row.mean)
	length := 0
	if row.Seconds > 0 {
		length = max(2, int(math.Round(row.Seconds*f.perSecond)))
	}
	s.fill(timeColor, f.timesLeft, row.middle-timeHeight/2, f.timesLeft+length, row.middle+timeHeight/2)
	s.textAt(face, color.Black, leftAligned, f.timesLeft+length+labelOffset, middle, secondsText(row.Seconds))

	if len(row.Values) == 0 {
		return
	}
	mark := markOf(row.normalized())
	y := float64(row.middle)
	if len(row.Values) > 1 {
		for _, value := range row.Values {
			mark.drawRun(s, dot{f.accuracies.at(value), y + runShift})
		}
		y -= markShift
	}
	if row.hasInterval() {
		low, high := max(row.Low, f.accuracies.low), min(row.High, f.accuracies.high)
		mark.drawInterval(s, f.accuracies.at(low), f.accuracies.at(high), y, low == row.Low, high == row.High)
	}
	mark.draw(s, dot{f.accuracies.at(row.Mean), y})
}

// mark is how the mean of an experiment is drawn.
type mark struct {
	paint   color.NRGBA
	diamond bool // or else a disc
}

// markOf returns the mark of experiments with normalized inputs, or of the others.
func markOf(normalized bool) mark {
	if normalized {
		return mark{vermillion, true}
	}
	return mark{blue, false}
}

// draw draws the mark. A diamond is as large as a disc to the eye if it is a bit wider.
func (m mark) draw(s sheet, middle dot) {
	if !m.diamond {
		s.disc(m.paint, middle, markRadius)
		return
	}
	const radius = markRadius + 3
	s.polygon(m.paint,
		dot{middle.x - radius, middle.y}, dot{middle.x, middle.y - radius},
		dot{middle.x + radius, middle.y}, dot{middle.x, middle.y + radius})
}

// drawRun draws one of the runs that have the mark as their mean.
func (m mark) drawRun(s sheet, middle dot) {
	s.disc(color.White, middle, runRadius)
	s.disc(white(m.paint, 0.3), middle, runRadius-runRim)
}

// drawInterval draws an interval, with caps at the ends that are shown.
func (m mark) drawInterval(s sheet, low, high, y float64, lowCap, highCap bool) {
	const width = 4
	s.line(m.paint, width, nil, dot{low, y}, dot{high, y})
	for _, end := range []struct {
		x     float64
		shown bool
	}{{low, lowCap}, {high, highCap}} {
		if end.shown {
			s.line(m.paint, width, nil, dot{end.x, y - capLength}, dot{end.x, y + capLength})
		}
	}
}

// drawKey draws a legend below the panels with the marks that are in the figure.
func (f comparisonFigure) drawKey(s sheet) {
	var plain, normalized, intervals, runs bool
	for _, row := range f.rows {
		if len(row.Values) > 0 {
			plain = plain || !row.normalized()
			normalized = normalized || row.normalized()
			intervals = intervals || row.hasInterval()
			runs = runs || len(row.Values) > 1
		}
	}
	what := "one run"
	switch {
	case intervals:
		what = "mean with its 95% interval"
	case runs:
		what = "mean"
	}
	twin := what + ", inputs normalized"
	if plain {
		twin = "the same, inputs normalized"
	}
	face := sans(labelSize, font.WeightNormal)
	x, y := float64(margin+groupPadding), float64(f.bottom+keyOffset+capLength)
	item := func(text string, length float64, draw func()) {
		draw()
		x += length + labelOffset
		s.textAt(face, noteColor, leftAligned, int(x), int(y)+labelCapitals/2, text)
		x += float64(width(face, text)) + keyGap
	}
	for _, kind := range []struct {
		shown, normalized bool
		text              string
	}{{plain, false, what}, {normalized, true, twin}} {
		if kind.shown {
			length := 2.0 * markRadius
			if intervals {
				length = keyLength
			}
			item(kind.text, length, func() {
				mark := markOf(kind.normalized)
				if intervals {
					mark.drawInterval(s, x, x+length, y, true, true)
				}
				mark.draw(s, dot{x + length/2, y})
			})
		}
	}
	if runs {
		item("one run", 2*runRadius, func() { markOf(!plain).drawRun(s, dot{x + runRadius, y}) })
	}
}
