package main

import (
	"time"

	"epochal/experiments"
	"epochal/experiments/tensorboard"
)

const tensorBoardUsage = "also write event files for TensorBoard into the folder of each run that is made"

// tensorBoard is an observer that writes one run for TensorBoard.
func (t *terminal) tensorBoard() experiments.Observer {
	return tensorboard.Observer(time.Now, t.warn)
}

// both tells two observers every event, one after the other.
func both(first, second experiments.Observer) experiments.Observer {
	return func(e experiments.Event) {
		first(e)
		second(e)
	}
}
