package report

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"epochal/experiments/bench"
	"epochal/experiments/report/figures"
	"epochal/experiments/report/words"
)

// BenchFigure draws the images per second of training over the width of the hidden
// layers, a line for each backend: medians of whole epochs a call with the data on
// the device, with their 95% intervals. There is a panel for each batch size and
// number of hidden layers, all of one width. A vertical line marks where one
// backend overtakes another, and the note names both.
//
// format is [figures.PNG] or [figures.SVG]. It is an error if it is another one, or
// if there is no such cell that was measured.
func BenchFigure(w io.Writer, format string, r bench.Results) error {
	panels := throughputPanels(r)
	if len(panels) == 0 {
		return errors.New("results: found no cell of hidden layers of one width, an epoch a call and resident data that was measured, " +
			"expected at least 1 to draw images/s over width")
	}
	settings := make([]figures.Setting, len(panels))
	for i, p := range panels {
		settings[i] = p.Setting
	}
	const title = "Training images per second over the width of the hidden layers"
	return figures.Throughput(title, throughputNote(r, panels), settings).Write(w, format)
}

// throughputPanel is the cells of one batch size and depth.
type throughputPanel struct {
	batch, depth int
	figures.Setting
	overtakings []string // "xla:cuda overtakes xla:cpu at width 81"
}

// throughputPanels are the panels of all cells that are drawn, by depth and batch size.
func throughputPanels(r bench.Results) []throughputPanel {
	var panels []throughputPanel
	for _, c := range r.Cells {
		width, square := c.Cell.Width()
		images := bench.Summarize(c.Throughput())
		if !square || !c.Cell.FastDispatch() || len(c.Rounds) == 0 {
			continue
		}
		depth := len(c.Cell.LayerSizes)
		i := slices.IndexFunc(panels, func(p throughputPanel) bool { return p.batch == c.Cell.BatchSize && p.depth == depth })
		if i < 0 {
			i = len(panels)
			name := fmt.Sprintf("batch %d, %s", c.Cell.BatchSize, words.Counted(depth, "hidden layer"))
			panels = append(panels, throughputPanel{batch: c.Cell.BatchSize, depth: depth, Setting: figures.Setting{Name: name}})
		}
		p, name := &panels[i], c.Cell.Runner().String()
		j := slices.IndexFunc(p.Backends, func(b figures.Backend) bool { return b.Name == name })
		if j < 0 {
			j = len(p.Backends)
			p.Backends = append(p.Backends, figures.Backend{Name: name})
		}
		point := figures.Point{Width: float64(width), Images: images.Median, Low: images.Median, High: images.Median}
		if images.Known() {
			point.Low, point.High = images.Low, images.High
		}
		p.Backends[j].Points = append(p.Backends[j].Points, point)
	}
	slices.SortStableFunc(panels, func(a, b throughputPanel) int {
		return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.batch, b.batch))
	})
	crossovers := bench.Crossovers(r)
	for i := range panels {
		for _, b := range panels[i].Backends {
			slices.SortStableFunc(b.Points, func(x, y figures.Point) int { return cmp.Compare(x.Width, y.Width) })
		}
		panels[i].overtake(crossovers)
	}
	return panels
}

// overtake marks where one backend becomes faster than another.
func (p *throughputPanel) overtake(crossovers []bench.Crossover) {
	for _, c := range crossovers {
		if c.Along != bench.AlongWidth || !c.Line.FastDispatch() || p.batch != c.Line.BatchSize || p.depth != len(c.Line.LayerSizes) {
			continue
		}
		for _, crossing := range c.Crossings {
			slower := c.A
			if crossing.Faster == c.A {
				slower = c.B
			}
			p.Overtakings = append(p.Overtakings, crossing.At)
			p.overtakings = append(p.overtakings, fmt.Sprintf("%s overtakes %s at width %s", crossing.Faster, slower, aboutText(crossing.At)))
		}
	}
}

// throughputNote says what is drawn, where one backend overtakes another, and on what
// the backends ran.
func throughputNote(r bench.Results, panels []throughputPanel) string {
	sentences := []string{fmt.Sprintf(
		"Medians, with their 95%% intervals where there were %d rounds, an epoch a call, data on the device.", bench.FewestRounds)}
	for _, p := range panels {
		if len(p.overtakings) > 0 {
			sentences = append(sentences, fmt.Sprintf("With %s (vertical line): %s.", p.Name, strings.Join(p.overtakings, ", ")))
		}
	}
	for _, runner := range runnersOf(r) {
		if info := infoOf(r, runner); info.Device != "" {
			sentences = append(sentences, fmt.Sprintf("%s: %s.", runner, info.Device))
		}
	}
	return strings.Join(sentences, " ")
}
