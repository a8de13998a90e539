package sessions

import "time"

// PacedFiles counts the files that a rate lets go in d by a simulated clock, in which
// a file takes some time and each wait ends late.
func PacedFiles(rate float64, d, file, late time.Duration) (files int) {
	start := time.Now()
	p := newPacer(rate, start)
	for now := start; now.Before(start.Add(d)); files++ {
		if wait := p.wait(now); wait > 0 {
			now = now.Add(wait + late)
		}
		now = now.Add(file)
	}
	return files
}
