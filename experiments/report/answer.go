package report

import (
	"fmt"

	"epochal/experiments/evaluate"
	"epochal/experiments/published"
	"epochal/experiments/report/figures"
	"epochal/experiments/report/words"
)

// answerFigure draws what the group on convolutions found at a glance: the accuracy of a convolution
// and of a fully connected network of equal size, by the number of training images and by how the test images
// are distorted. It is nil without such experiments, and of a smoke test, which has few images.
func answerFigure(r Results) *figure {
	if r.Quick {
		return nil
	}
	networks := []struct{ name, words string }{{"conv-35k", "convolution"}, {"dense-35k", "fully connected"}}
	var parts []figures.Versus
	// part adds a part, if of is known of both networks for at least two values.
	part := func(what string, log bool, values []float64, of func(network string, value float64) published.Interval) {
		p := figures.Versus{What: what, Log: log}
		p.Lines = make([]figures.VersusLine, len(networks))
		for _, value := range values {
			found := make([]published.Interval, len(networks))
			known := true
			for i, network := range networks {
				found[i] = of(network.name, value)
				known = known && found[i].N > 0
			}
			if !known {
				continue
			}
			p.Values = append(p.Values, value)
			for i, network := range networks {
				line := &p.Lines[i]
				line.Name = network.words
				line.Mean, line.Low, line.High = append(line.Mean, found[i].Mean), append(line.Low, found[i].Low), append(line.High, found[i].High)
			}
		}
		if len(p.Values) > 1 {
			parts = append(parts, p)
		}
	}
	part("training images", true, []float64{100, 1000, 10_000, 60_000}, func(network string, images float64) published.Interval {
		if images < 60_000 {
			network = fmt.Sprintf("%s-%.0f-images", network[:len(network)-len("-35k")], images)
		}
		e, _ := r.Find(network)
		return e.TestAccuracy
	})
	shifts, rotations := []float64{0}, []float64{0}
	for _, d := range evaluate.Distortions() {
		if d.Shift != 0 {
			shifts = append(shifts, float64(d.Shift))
		} else {
			rotations = append(rotations, float64(d.Rotation))
		}
	}
	part("test images shifted by, pixels", false, shifts, func(network string, by float64) published.Interval {
		e, _ := r.Find(network)
		return e.Distorted(evaluate.Distorted{Shift: int(by)})
	})
	part("test images rotated by, degrees", false, rotations, func(network string, by float64) published.Interval {
		e, _ := r.Find(network)
		return e.Distorted(evaluate.Distorted{Rotation: int(by)})
	})
	if len(parts) == 0 {
		return nil
	}
	return &figure{
		Alt: "Test accuracy of a convolution and of a fully connected network with as many parameters. The table says the same in numbers.",
		Caption: "Test accuracy of a convolution and of a fully connected network with as many parameters, 35 k: means of the seeds " +
			"with their 95% intervals. Those with fewer training images have more epochs.",
		file: "answer", drawing: figures.Accuracies("Convolution and fully connected network, 35 k parameters each", parts),
	}
}

// compared is a row of the table of the group on convolutions.
type compared struct{ Question, Ours, Claim, Difference, Seconds, Verdict string }

// Answers are the rows of that table, none without such experiments.
func (d *document) Answers() (rows []compared) {
	for _, c := range d.Comparisons() {
		rows = append(rows, compared{words.Printable(c.Question), c.Name + " " + c.Ours.Percent(), c.Claim + ", " + c.Theirs.Percent(),
			pointsText(c.Difference), fmt.Sprintf("%.3g, %.3g", c.Seconds[0], c.Seconds[1]), string(c.Verdict)})
	}
	return rows
}
