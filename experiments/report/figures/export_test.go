package figures

import "gonum.org/v1/plot/vg/draw"

// Stack is a figure of several ones, from top to bottom, such as the README's.
func Stack(all ...Figure) Figure {
	var stack Figure
	for _, f := range all {
		stack.Width, stack.Height = max(stack.Width, f.Width), stack.Height+f.Height
	}
	stack.draw = func(c draw.Canvas) {
		top := c.Max.Y
		for _, f := range all {
			c.Min.Y, c.Max.Y = top-f.Height, top
			f.draw(c)
			top -= f.Height
		}
	}
	return stack
}
