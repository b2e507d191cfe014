//go:build race

package train_test

// raceDetector says that the race detector is on, whose own memory grows with
// whatever the program does, and with which pure Go is ten times slower.
const raceDetector = true
