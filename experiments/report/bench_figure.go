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

// BenchFigure draws the images per second of training against the width of the hidden
// layers, a line for each backend: medians with an epoch per call and the data on
// the device, with their 95% intervals. There is a panel for each batch size and
// number of hidden layers, all of one width. A vertical line marks where one
// backend overtakes another, and the note names both.
//
// format is [figures.PNG] or [figures.SVG]. It is an error if no such cell was
// measured.
func BenchFigure(w io.Writer, format string, r bench.Results) error {
	panels := throughputPanels(r)
	if len(panels) == 0 {
		return errors.New("results: found no measured cell with hidden layers of one width, an epoch per call and resident data, " +
			"expected at least 1 to plot images/s against width")
	}
	sentences := []string{fmt.Sprintf(
		"Medians, with their 95%% intervals where there were %d rounds; an epoch per call, data on the device.", bench.FewestRounds)}
	crossovers := bench.Crossovers(r)
	for i := range panels {
		p := &panels[i]
		var overtakings []string
		for _, c := range crossovers {
			if c.Along != bench.AlongWidth || !c.Line.FastDispatch() || panelName(c.Line) != p.Name {
				continue
			}
			for _, crossing := range c.Crossings {
				slower := c.A
				if crossing.Faster == c.A {
					slower = c.B
				}
				p.Overtakings = append(p.Overtakings, crossing.At)
				overtakings = append(overtakings, fmt.Sprintf("%s overtakes %s at width %s", crossing.Faster, slower, aboutText(crossing.At)))
			}
		}
		if len(overtakings) > 0 {
			sentences = append(sentences, fmt.Sprintf("With %s (vertical line): %s.", p.Name, strings.Join(overtakings, ", ")))
		}
	}
	for _, b := range backendsOf(r) {
		if b.Info.Device != "" {
			sentences = append(sentences, fmt.Sprintf("%s: %s.", b.Cell.Runner(), b.Info.Device))
		}
	}
	const title = "Training images per second by width of the hidden layers"
	return figures.Throughput(title, strings.Join(sentences, " "), panels).Write(w, format)
}

// panelName says what the cells of a panel share.
func panelName(c bench.Cell) string {
	return fmt.Sprintf("batch %d, %s", c.BatchSize, depthText(c))
}

// depthText says what networks share whose hidden layers differ in width alone.
func depthText(c bench.Cell) string {
	text := words.Counted(len(c.LayerSizes), "hidden layer")
	if len(c.ConvChannels) > 0 {
		text = "conv " + words.Widths(c.ConvChannels, ",") + " and " + text
	}
	return text
}

// throughputPanels are the panels of all cells that are drawn, by depth and batch size.
func throughputPanels(r bench.Results) []figures.Setting {
	cells := slices.Clone(r.Cells)
	slices.SortStableFunc(cells, func(a, b bench.CellResult) int {
		return cmp.Or(slices.Compare(a.Cell.ConvChannels, b.Cell.ConvChannels),
			len(a.Cell.LayerSizes)-len(b.Cell.LayerSizes), a.Cell.BatchSize-b.Cell.BatchSize)
	})
	var panels []figures.Setting
	for _, c := range cells {
		width, square := c.Cell.Width()
		if !square || !c.Cell.FastDispatch() || len(c.Rounds) == 0 {
			continue
		}
		if name := panelName(c.Cell); len(panels) == 0 || panels[len(panels)-1].Name != name {
			panels = append(panels, figures.Setting{Name: name})
		}
		p, name := &panels[len(panels)-1], c.Cell.Runner().String()
		j := slices.IndexFunc(p.Backends, func(b figures.Backend) bool { return b.Name == name })
		if j < 0 {
			j = len(p.Backends)
			p.Backends = append(p.Backends, figures.Backend{Name: name})
		}
		images := bench.Summarize(c.Throughput())
		point := figures.Point{Width: float64(width), Images: images.Median, Low: images.Median, High: images.Median}
		if images.Known() {
			point.Low, point.High = images.Low, images.High
		}
		p.Backends[j].Points = append(p.Backends[j].Points, point)
		slices.SortStableFunc(p.Backends[j].Points, func(x, y figures.Point) int { return cmp.Compare(x.Width, y.Width) })
	}
	return panels
}
