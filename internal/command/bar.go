package command

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A Bar shows the progress of a command, drawn over and over in one line. A nil one is
// not drawn.
type Bar struct {
	w    io.Writer
	last time.Time
}

// BarWhen is the flag --progress of a command.
func BarWhen(word *string) (c Choice, name, usage string) {
	*word = "auto"
	return Choice{Word: word, Of: []string{"auto", "always", "never"}}, "progress",
		"`when` to draw a bar on standard error: always, never, or auto, on a terminal"
}

// NewBar returns the bar of a command, nil for none. With auto there is one on a
// terminal, unless the command is to be silent.
func NewBar(w io.Writer, when string, silent bool) *Bar {
	if when == "always" || when == "auto" && !silent && IsTerminal(w) {
		return &Bar{w: w}
	}
	return nil
}

const barWidth = 30

// Draw draws the bar, ten times a second at most. rest is the end of the line.
func (b *Bar) Draw(done, total int, rest string, took time.Duration) {
	if b == nil || time.Since(b.last) < 100*time.Millisecond {
		return
	}
	b.last = time.Now()
	share := 1.0
	if total > 0 {
		share = min(1, float64(done)/float64(total))
	}
	full := int(share * barWidth)
	fmt.Fprintf(b.w, "\r[%s%s] %3.0f%%  %s of %s, %s, %s ", strings.Repeat("#", full), strings.Repeat(" ", barWidth-full),
		100*share, Count(done), Count(total), rest, took.Round(time.Second))
}

// Wipe takes the bar away.
func (b *Bar) Wipe() {
	if b != nil {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", barWidth+60))
	}
}
