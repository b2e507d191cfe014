package report

import (
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"epochal/experiments/bench"

	"golang.org/x/image/font"
)

// measurable tells whether x is a number that was measured.
func measurable(x float64) bool { return x > 0 && !math.IsInf(x, 0) }

// MaxPanels is how many batch sizes and depths one figure of a benchmark shows.
const MaxPanels = 6

// maxLines is how many backends one panel shows: as many as have room for their names.
const maxLines = 10

// maxMarked is how many crossovers are marked in a panel, those of the lowest widths.
const maxMarked = 4

// BenchFigure draws the images per second of training over the width of the hidden
// layers, both on logarithmic axes, a line for each backend: medians of whole epochs
// a call with the data on the device, with their 95% intervals.
//
// There is a panel for each batch size and number of hidden layers, all of one width,
// and the panels share their axes. A vertical line marks where the fastest backend
// changes. Beyond [MaxPanels] panels and ten backends, the note names what is
// not shown.
//
// format is [PNG] or [SVG]. It is an error if it is another one, or if there is no
// such cell that was measured.
func BenchFigure(w io.Writer, format string, r bench.Results) error {
	if err := checkFormat(format); err != nil {
		return err
	}
	panels := throughputPanels(r)
	if len(panels) == 0 {
		return errors.New("results: found no cell of hidden layers of one width, an epoch a call and resident data that was measured, expected at least 1 to draw images/s over width")
	}
	return write(w, func() ([]byte, error) {
		figure := layOutThroughput(r, panels)
		return render(format, figure.width, figure.height, figure.draw)
	})
}

// throughputPanel is the cells of one batch size and depth.
type throughputPanel struct {
	batch, depth int
	lines        []throughputLine // of the backends, in their order in the results
	crossings    []overtake       // ascending
}

// overtake is a crossover to the fastest backend from the one that was it.
type overtake struct {
	bench.Crossing
	from bench.Runner
}

// throughputLine is those of one backend.
type throughputLine struct {
	runner bench.Runner
	points []throughputPoint // by width, ascending
}

// throughputPoint is a cell.
type throughputPoint struct {
	width  int
	images bench.Summary // per second
}

// name heads a panel.
func (p throughputPanel) name() string {
	return fmt.Sprintf("batch %d, %s", p.batch, counted(p.depth, "hidden layer"))
}

// throughputPanels are the panels of all cells that are drawn, by depth and batch size.
func throughputPanels(r bench.Results) []throughputPanel {
	var panels []throughputPanel
	runners := runnersOf(r)
	runners = runners[:min(len(runners), maxLines)]
	for _, c := range r.Cells {
		if !slices.Contains(runners, c.Cell.Runner()) {
			continue
		}
		width, square := c.Cell.Width()
		images := bench.Summarize(c.Throughput())
		if !square || !c.Cell.FastDispatch() || !measurable(images.Median) {
			continue
		}
		depth := len(c.Cell.LayerSizes)
		i := slices.IndexFunc(panels, func(p throughputPanel) bool { return p.batch == c.Cell.BatchSize && p.depth == depth })
		if i < 0 {
			i = len(panels)
			panels = append(panels, throughputPanel{batch: c.Cell.BatchSize, depth: depth})
		}
		p := &panels[i]
		j := slices.IndexFunc(p.lines, func(l throughputLine) bool { return l.runner == c.Cell.Runner() })
		if j < 0 {
			j = len(p.lines)
			p.lines = append(p.lines, throughputLine{runner: c.Cell.Runner()})
		}
		p.lines[j].points = append(p.lines[j].points, throughputPoint{width, images})
	}
	slices.SortStableFunc(panels, func(a, b throughputPanel) int {
		return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.batch, b.batch))
	})
	for i := range panels {
		for j := range panels[i].lines {
			slices.SortStableFunc(panels[i].lines[j].points, func(a, b throughputPoint) int { return cmp.Compare(a.width, b.width) })
		}
	}
	for _, c := range bench.Crossovers(r) {
		if c.Along != bench.AlongWidth || c.StepsPerCall != bench.WholeEpoch || c.Feed != bench.FeedResident || !slices.Contains(runners, c.A) || !slices.Contains(runners, c.B) {
			continue
		}
		for i := range panels {
			p := &panels[i]
			if p.batch != c.BatchSize || p.depth != c.Depth {
				continue
			}
			for _, crossing := range c.Crossings {
				from := c.A
				if crossing.Faster == c.A {
					from = c.B
				}
				if p.fastest(crossing) {
					p.crossings = append(p.crossings, overtake{crossing, from})
				}
			}
		}
	}
	for i := range panels {
		p := &panels[i]
		slices.SortStableFunc(p.crossings, func(a, b overtake) int { return cmp.Compare(a.At, b.At) })
		p.crossings = p.crossings[:min(len(p.crossings), maxMarked)]
	}
	return panels
}

// fastest reports whether no backend is faster than the two that cross, where they do.
func (p throughputPanel) fastest(c bench.Crossing) bool {
	for _, l := range p.lines {
		for i := 1; i < len(l.points); i++ {
			a, b := l.points[i-1], l.points[i]
			if c.At < float64(a.width) || c.At > float64(b.width) || a.width == b.width {
				continue
			}
			share := math.Log(c.At/float64(a.width)) / math.Log(float64(b.width)/float64(a.width))
			if images := a.images.Median * math.Pow(b.images.Median/a.images.Median, share); images > c.ImagesPerSecond*(1+1e-9) {
				return false
			}
		}
	}
	return true
}

// Measures of the throughput, in dots.
const (
	throughputHeight = 460 // of a panel, where there are at most two
	throughputLow    = 320 // where there are more
	barCap           = 9   // of an interval, each way
	barWidth2        = 3
	ringRadius       = 11 // around a crossover
)

// throughputMarks tell backends apart, in grey too. Beyond them, they come again, and
// the labels at the ends of lines tell.
var throughputMarks = []struct {
	paint  color.NRGBA
	dashes []int
	shape  shape
}{
	{blue, nil, round},
	{vermillion, testDashes, diamond},
	{color.NRGBA{R: 0x00, G: 0x9E, B: 0x73, A: 0xFF}, []int{4, 6}, square},
	{color.NRGBA{R: 0xCC, G: 0x79, B: 0xA7, A: 0xFF}, []int{20, 6, 4, 6}, triangle},
	{color.NRGBA{R: 0xE6, G: 0x9F, B: 0x00, A: 0xFF}, []int{10, 4}, round},
}

// shape is that of a mark.
type shape int

const (
	round shape = iota
	diamond
	square
	triangle
)

// draw draws the shape.
func (k shape) draw(s sheet, paint color.Color, middle dot) {
	const r = markRadius + 1
	x, y := middle.x, middle.y
	switch k {
	case diamond:
		s.polygon(paint, dot{x - r - 2, y}, dot{x, y - r - 2}, dot{x + r + 2, y}, dot{x, y + r + 2})
	case square:
		s.polygon(paint, dot{x - r + 1, y - r + 1}, dot{x + r - 1, y - r + 1}, dot{x + r - 1, y + r - 1}, dot{x - r + 1, y + r - 1})
	case triangle:
		s.polygon(paint, dot{x - r, y + r - 2}, dot{x, y - r - 1}, dot{x + r, y + r - 2})
	default:
		s.disc(paint, middle, r)
	}
}

// throughputFigure is where everything stands, in dots.
type throughputFigure struct {
	width, height int
	title, note   []string
	left, right   int  // of the panels
	widths        axis // of decimal logarithms
	widthTicks    []tick
	images        axis // of decimal logarithms; the dots are those of the first panel
	imageTicks    []tick
	panels        []placedPanel
}

// placedPanel is a panel whose lines are placed.
type placedPanel struct {
	panel
	shapes []shape // of the bold curves
	marks  [][]dot // of the bold curves' points
	bars   []bar
	rings  []ring
}

// bar is an interval.
type bar struct {
	paint     color.NRGBA
	x         float64
	low, high float64 // dots from the top; low is that of the lower number
}

// ring marks a crossover.
type ring struct {
	at    dot
	text  string
	label box
}

func layOutThroughput(r bench.Results, all []throughputPanel) throughputFigure {
	shown := all[:min(len(all), MaxPanels)]
	var runners []bench.Runner
	for _, runner := range runnersOf(r) {
		if slices.ContainsFunc(shown, func(p throughputPanel) bool {
			return slices.ContainsFunc(p.lines, func(l throughputLine) bool { return l.runner == runner })
		}) {
			runners = append(runners, runner)
		}
	}
	f := throughputFigure{width: margin + pageWidth + margin}
	f.title = titleLines("Training images per second over the width of the hidden layers", pageWidth)
	f.note = noteLines(throughputNote(r, runners, all[len(shown):]), pageWidth)
	f.widths, f.widthTicks = widthAxis(shown)
	f.images, f.imageTicks = imagesAxis(shown)

	height := throughputHeight
	if len(shown) > 2 {
		height = throughputLow
	}
	y := margin + titleHeight(f.title)
	for _, p := range shown {
		var placed placedPanel
		placed.heading = p.name()
		placed.top = y + headingHeight
		placed.bottom = placed.top + height
		y = placed.bottom + underPanel + betweenPanels
		f.panels = append(f.panels, placed)
	}
	f.height = f.panels[len(f.panels)-1].bottom + underPanel + underPanels + noteHeight(f.note) + margin

	tickFace, endFace := sans(labelSize, font.WeightNormal), sans(endSize, font.WeightBold)
	tickWidth, endWidth := 0, 0
	for _, t := range f.imageTicks {
		tickWidth = max(tickWidth, width(tickFace, t.label))
	}
	for _, runner := range runners {
		endWidth = max(endWidth, width(endFace, endName(runner))*5/4) // for the viewer of an SVG may know only wider fonts
	}
	f.left = margin + tickWidth + labelOffset
	f.right = margin + pageWidth - max(0, endOffset-panelPadding+endWidth)
	f.widths.first, f.widths.last = float64(f.left+panelPadding), float64(f.right-panelPadding)
	f.widthTicks = f.fitting(f.widthTicks)
	for i := range f.panels {
		f.place(&f.panels[i], shown[i], runners)
	}
	return f
}

// endName is a backend at the end of its line. A long name is cut: it is whole in
// the note.
func endName(runner bench.Runner) string {
	const most = 20
	name := []rune(printable(runner.String()))
	if len(name) > most {
		return string(name[:most-1]) + "…"
	}
	return string(name)
}

// throughputNote says what is drawn, on what, and what is not shown.
func throughputNote(r bench.Results, runners []bench.Runner, left []throughputPanel) string {
	known, points := 0, 0
	for _, p := range throughputPanels(r) {
		for _, l := range p.lines {
			for _, point := range l.points {
				points++
				if point.images.Known() {
					known++
				}
			}
		}
	}
	what := "Medians with their 95% intervals"
	switch {
	case known == 0:
		what = fmt.Sprintf("Medians (intervals need %d rounds)", bench.FewestRounds)
	case known < points:
		what = fmt.Sprintf("Medians, with 95%% intervals where there were %d rounds", bench.FewestRounds)
	}
	sentences := []string{what + ", an epoch a call, data on the device."}
	for _, runner := range runners {
		if info, ok := infoOf(r, runner); ok && info.Device != "" {
			sentences = append(sentences, shortened(fmt.Sprintf("%s: %s.", runner, info.Device)))
		}
	}
	if all := runnersOf(r); len(all) > maxLines {
		sentences = append(sentences, fmt.Sprintf("Not shown: %s.", counted(len(all)-maxLines, "more backend")))
	}
	if len(left) > 0 {
		var names []string
		for _, p := range left[:min(len(left), 3)] {
			names = append(names, p.name())
		}
		text := "Not shown: " + strings.Join(names, "; ")
		if more := len(left) - len(names); more > 0 {
			text += fmt.Sprintf("; and %d more", more)
		}
		sentences = append(sentences, text+".")
	}
	return printable(strings.Join(sentences, " "))
}

// widthAxis has a tick at each width.
func widthAxis(panels []throughputPanel) (axis, []tick) {
	var widths []int
	for _, p := range panels {
		for _, l := range p.lines {
			for _, point := range l.points {
				widths = append(widths, point.width)
			}
		}
	}
	slices.Sort(widths)
	widths = slices.Compact(widths)
	a := axis{low: math.Log10(float64(widths[0])), high: math.Log10(float64(widths[len(widths)-1]))}
	if len(widths) == 1 {
		a.low, a.high = a.low-0.5, a.high+0.5
	}
	var all []tick
	for _, width := range widths {
		all = append(all, tick{math.Log10(float64(width)), strconv.Itoa(width)})
	}
	return a, all
}

// fitting leaves out ticks of the lower axis whose labels would touch the one before.
func (f throughputFigure) fitting(all []tick) []tick {
	const gap = 16
	face := sans(labelSize, font.WeightNormal)
	var kept []tick
	end := math.Inf(-1)
	for _, t := range all {
		middle, half := f.widths.at(t.value), float64(width(face, t.label))/2
		if middle-half < end+gap {
			continue
		}
		kept, end = append(kept, t), middle+half
	}
	return kept
}

// imagesAxis runs from one round number to another: 1, 2 or 5 times a power of ten.
// Its ticks are the powers alone where there are more than 3 of them.
func imagesAxis(panels []throughputPanel) (axis, []tick) {
	low, high := math.Inf(1), 0.0
	for _, p := range panels {
		for _, l := range p.lines {
			for _, point := range l.points {
				low, high = min(low, point.images.Median), max(high, point.images.Median)
				if point.images.Known() && measurable(point.images.Low) && measurable(point.images.High) {
					low, high = min(low, point.images.Low), max(high, point.images.High)
				}
			}
		}
	}
	first := math.Floor(math.Log10(low))
	last := math.Ceil(math.Log10(high))
	if first == last {
		last++
	}
	digits := []int{1, 2, 5}
	if last-first > 3 {
		digits = digits[:1]
	}
	const most = 12
	every := max(1, int(math.Ceil((last-first)/most))) // decades from tick to tick

	// The ends are round numbers just outside of what is drawn.
	var all []tick
	for exponent := int(first); exponent <= int(last); exponent++ {
		for _, digit := range digits {
			value := step{digit, exponent}.times(1)
			if exponent == int(last) && digit > 1 {
				continue
			}
			if (exponent-int(first))%every == 0 {
				all = append(all, tick{math.Log10(value), axisCount(value)})
			}
		}
	}
	const slack = 1e-9
	for len(all) > 2 && all[1].value <= math.Log10(low)+slack {
		all = all[1:]
	}
	for len(all) > 2 && all[len(all)-2].value >= math.Log10(high)-slack {
		all = all[:len(all)-1]
	}
	return axis{low: all[0].value, high: max(all[len(all)-1].value, math.Log10(high))}, all
}

// axisCount writes a round number: "200", "50k", "1M".
func axisCount(x float64) string {
	for _, unit := range []struct {
		factor float64
		prefix string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if x >= unit.factor && x < unit.factor*1000 {
			return strconv.FormatFloat(x/unit.factor, 'g', 6, 64) + unit.prefix
		}
	}
	return strconv.FormatFloat(x, 'g', 6, 64)
}

// place fills a panel whose edges stand.
func (f throughputFigure) place(p *placedPanel, from throughputPanel, runners []bench.Runner) {
	p.values = f.images
	p.values.first, p.values.last = float64(p.bottom), float64(p.top)
	at := func(width, images float64) dot {
		return dot{f.widths.at(math.Log10(width)), p.values.at(math.Log10(images))}
	}
	var ends []float64
	for _, l := range from.lines {
		look := throughputMarks[slices.Index(runners, l.runner)%len(throughputMarks)]
		var dots []dot
		for _, point := range l.points {
			d := at(float64(point.width), point.images.Median)
			dots = append(dots, d)
			if s := point.images; s.Known() && measurable(s.Low) && measurable(s.High) {
				p.bars = append(p.bars, bar{look.paint, d.x, at(1, s.Low).y, at(1, s.High).y})
			}
		}
		p.marks = append(p.marks, dots)
		p.shapes = append(p.shapes, look.shape)
		p.bold = append(p.bold, curve{look.paint, look.dashes, [][]dot{dots}})
		end := dots[len(dots)-1]
		p.labels = append(p.labels, endLabel{paint: look.paint, text: endName(l.runner), end: end})
		ends = append(ends, end.y)
	}
	for i, middle := range spread(ends, endHeight, float64(p.top), float64(p.bottom-endHeight/2)) {
		p.labels[i].middle = middle
	}
	for _, c := range from.crossings {
		mark := ring{at: at(c.At, c.ImagesPerSecond)}
		for _, text := range []string{
			fmt.Sprintf("%s overtakes %s at %s", endName(c.Faster), endName(c.from), aboutText(c.At)),
			"at " + aboutText(c.At), // of names that are too long, and where it is crowded
		} {
			mark.text = text
			var free bool
			if mark.label, free = f.room(*p, mark); free {
				break
			}
		}
		p.rings = append(p.rings, mark)
	}
}

// room returns a place for the label of a ring where it hides no line and no other
// label, or else the first one beside it that is in the panel.
func (f throughputFigure) room(p placedPanel, r ring) (place box, free bool) {
	const offset, height = crossingOffset, 30
	length := float64(width(sans(labelSize, font.WeightNormal), r.text)) * 1.1 // it may be shown in a wider font
	var first box
	const levels, shifts, shift = 12, 24, 30
	for far := range shifts {
		for level := range levels {
			bottom := float64(p.bottom) - offset - float64(level)*(float64(p.bottom-p.top)-height-2*offset)/(levels-1)
			away := offset + float64(far*shift)
			for _, left := range []float64{r.at.x + away, r.at.x - away - length} {
				place := box{left, bottom - height, left + length, bottom}
				if place.left < float64(f.left) || place.right > float64(f.right) {
					continue
				}
				if first == (box{}) {
					first = place
				}
				around := box{place.left - 2*offset, place.top - offset, place.right + 2*offset, place.bottom + offset}
				if !p.touches(around) && !slices.ContainsFunc(p.rings, func(other ring) bool {
					return overlap(around, other.label) || other.at.x > around.left && other.at.x < around.right
				}) && !slices.ContainsFunc(p.labels, func(label endLabel) bool { return overlap(around, label.box()) }) {
					return place, true
				}
			}
		}
	}
	return first, false
}

// box is where the text of the label is.
func (l endLabel) box() box {
	left := l.end.x + endOffset
	return box{left, l.middle - endHeight/2, left + float64(width(sans(endSize, font.WeightBold), l.text)), l.middle + endHeight/2}
}

// overlap reports whether two boxes have more than an edge in common.
func overlap(a, b box) bool {
	return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}

// draw draws the figure.
func (f throughputFigure) draw(s sheet) {
	drawTitle(s, f.width, f.title)
	face := sans(labelSize, font.WeightNormal)
	for _, p := range f.panels {
		s.textAt(sans(endSize, font.WeightBold), color.Black, leftAligned, f.left, p.top-headingHeight+capitals(endSize), p.heading)
		s.textAt(face, noteColor, rightAligned, f.right, p.top-headingHeight+capitals(endSize), "images/s")
		s.axes(f.left, f.right, p.bottom, f.imageTicks, p.values.at, f.widthTicks, f.widths.at)
		p.draw(s)
	}
	last := f.panels[len(f.panels)-1]
	s.textAt(face, noteColor, centered, (f.left+f.right)/2, last.bottom+underPanel+underPanels-4, "width of the hidden layers")
	drawNote(s, f.height, f.note)
}

// draw draws what is in the panel: crossovers below, lines, intervals and marks above.
func (p placedPanel) draw(s sheet) {
	face := sans(labelSize, font.WeightNormal)
	for _, r := range p.rings {
		x := int(math.Round(r.at.x))
		s.fill(noteColor, x-1, p.top, x+1, p.bottom)
	}
	for _, r := range p.rings {
		x, middle := int(math.Round(r.at.x)), int(r.label.top+r.label.bottom)/2
		const gap = 6 // between the label and what leads to it
		near := int(r.label.left) - gap
		if near < x-gap {
			near = int(r.label.right) + gap
		}
		if max(near-x, x-near) > crossingOffset {
			s.fill(axisColor, min(x, near), middle-1, max(x, near), middle+1)
		}
		s.fill(color.White, int(r.label.left), int(r.label.top), int(r.label.right), int(r.label.bottom))
	}
	for _, b := range p.bars {
		s.line(b.paint, barWidth2, nil, dot{b.x, b.low}, dot{b.x, b.high})
		for _, y := range []float64{b.low, b.high} {
			s.line(b.paint, barWidth2, nil, dot{b.x - barCap, y}, dot{b.x + barCap, y})
		}
	}
	panel{bold: p.bold}.drawCurves(s)
	for _, label := range p.labels { // of a line that ends early, among the others
		b := label.box()
		s.fill(color.White, int(b.left), int(b.top), int(b.right), int(b.bottom))
	}
	panel{labels: p.labels}.drawCurves(s)
	for i, dots := range p.marks {
		for _, d := range dots {
			p.shapes[i].draw(s, p.bold[i].paint, d)
		}
	}
	for _, r := range p.rings {
		s.disc(color.White, r.at, ringRadius)
		s.disc(noteColor, r.at, ringRadius-2)
		s.disc(color.White, r.at, ringRadius-5)
		side, x := leftAligned, r.label.left
		if x < r.at.x {
			side, x = rightAligned, r.label.right
		}
		s.textAt(face, color.Black, side, int(x), int(r.label.bottom)-8, r.text)
	}
}
