package model

import "fmt"

// Seek makes step, 0 to Steps, the one that runs next: the weights must be
// those after the steps before it.
func (e *Epoch) Seek(step int) error {
	if step < 0 || step > e.steps {
		return fmt.Errorf("seeking step %d: expected 0 to %d", step, e.steps)
	}
	e.next = step
	return nil
}
