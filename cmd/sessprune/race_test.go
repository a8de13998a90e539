//go:build race

package main

// raceDetector is set when the race detector takes several times as much memory.
const raceDetector = true
