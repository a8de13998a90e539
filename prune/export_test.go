package prune

import "time"

// PacedFiles counts the files that a rate allows in d, after a pause in which there
// were none, by a simulated clock. A file takes some time, and each wait ends late.
func PacedFiles(rate float64, pause, d, file, late time.Duration) (files int) {
	begin := time.Now()
	p := newPacer(rate, begin)
	start := begin.Add(pause)
	for now := start; now.Before(start.Add(d)); files++ {
		if wait := p.wait(now); wait > 0 {
			now = now.Add(wait + late)
		}
		now = now.Add(file)
	}
	return files
}
