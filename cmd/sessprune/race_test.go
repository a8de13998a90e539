//go:build race

package main

// raceDetector says that everything takes several times as much memory.
const raceDetector = true
