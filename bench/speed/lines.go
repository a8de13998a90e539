//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A line is the cost of one operation of a contender over the number of sessions.
type line struct {
	name, operation string
	points          plotter.XYs
}

// numberChart has lines over the number of sessions, each with its name at its end.
func (rep *report) numberChart(system, when string) chart {
	var lines []*line
	for i := range rep.Scenes {
		s := &rep.Scenes[i]
		operation, ok := strings.CutSuffix(s.Operation, " by number")
		if !ok || s.System != system {
			continue
		}
		for _, r := range s.Results {
			at := slices.IndexFunc(lines, func(l *line) bool { return l.name == r.Name && l.operation == operation })
			if at < 0 {
				lines, at = append(lines, &line{name: r.Name, operation: operation}), len(lines)
			}
			lines[at].points = append(lines[at].points, plotter.XY{X: float64(s.Sessions), Y: r.Nanos / 1000})
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return func(c draw.Canvas) error {
		p, err := newNumberPlot(lines)
		if err != nil {
			return err
		}
		c.FillText(textStyle(12, true), vg.Point{X: c.Min.X, Y: c.Max.Y - 11}, "µs for one of many sessions, taken at random "+when)
		c.FillText(textStyle(9, false), vg.Point{X: c.Min.X, Y: c.Max.Y - 25}, colours+"; dashed: a save")
		const right = 125 // for the names
		c = draw.Crop(c, 0, -right, 0, -40)
		p.Draw(c)
		label(c, p, lines)
		return nil
	}
}

func newNumberPlot(lines []*line) (*plot.Plot, error) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.X.Label.Text, p.X.Scale, p.Y.Min = "sessions", plot.LogScale{}, 0
	ticks := plot.ConstantTicks{}
	for _, point := range lines[0].points {
		ticks = append(ticks, plot.Tick{Value: point.X, Label: commas(int(point.X))})
	}
	p.X.Tick.Marker = ticks
	for _, l := range lines {
		curve, marks, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return nil, err
		}
		curve.Color, marks.Color, marks.Shape = colourOf(l.name), colourOf(l.name), draw.CircleGlyph{}
		curve.Width = vg.Points(1.5)
		if l.operation == "save" {
			curve.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		p.Add(curve, marks)
	}
	return p, nil
}

// label writes the names beside the ends of the lines, one above the other where two
// lines end at nearly the same height.
func label(c draw.Canvas, p *plot.Plot, lines []*line) {
	const apart = 12
	data := p.DataCanvas(c)
	_, y := p.Transforms(&data)
	end := func(l *line) vg.Length { return y(l.points[len(l.points)-1].Y) }
	below := data.Min.Y - apart
	for _, l := range slices.SortedFunc(slices.Values(lines), func(a, b *line) int { return int(end(a) - end(b)) }) {
		below = max(end(l), below+apart)
		style := textStyle(9.5, l.name == nameFiles)
		style.Color = colourOf(l.name)
		c.FillText(style, vg.Point{X: data.Max.X + 8, Y: below - 3}, l.operation+": "+l.name)
	}
}

// commas returns a number as 1,000,000.
func commas(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", commas(n/1000), n%1000)
}
