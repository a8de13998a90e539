//go:build race

package integration

// raceDetector says that everything, the start of a process above all, takes
// several times as long.
const raceDetector = true
