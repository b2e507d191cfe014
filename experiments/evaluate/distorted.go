package evaluate

import "epochal/dataset"

// Distorted is how a network does on test images that are not where or how it has seen them.
type Distorted struct {
	Shift    int     `json:"shift,omitempty"`    // in pixels
	Rotation int     `json:"rotation,omitempty"` // in degrees
	Accuracy float64 `json:"accuracy"`           // mean over the directions, 0 to 1
}

// Distortions are those that networks are evaluated on, without accuracies.
func Distortions() []Distorted {
	return []Distorted{{Shift: 1}, {Shift: 2}, {Shift: 3}, {Shift: 4}, {Rotation: 10}, {Rotation: 20}, {Rotation: 30}}
}

// sets are the images, distorted in every direction: a shift up, down, left and right, a
// rotation clockwise and back.
func (d Distorted) sets(s dataset.Set) []dataset.Set {
	if d.Shift != 0 {
		return []dataset.Set{s.Shifted(d.Shift, 0), s.Shifted(-d.Shift, 0), s.Shifted(0, d.Shift), s.Shifted(0, -d.Shift)}
	}
	return []dataset.Set{s.Rotated(float64(d.Rotation)), s.Rotated(-float64(d.Rotation))}
}
