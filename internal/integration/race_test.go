//go:build race

package integration

// raceDetector is true when everything, the start of a process above all, takes
// several times as long.
const raceDetector = true
