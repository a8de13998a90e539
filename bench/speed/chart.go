//go:build unix

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A chart draws itself. A nil one has no figures.
type chart func(draw.Canvas) error

const chartWidth = 9.5 * vg.Inch

// charts writes the charts of each file system.
func (rep *report) charts(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, system := range rep.systems() {
		when := fmt.Sprintf("(%s, %s)", system, rep.Date)
		for name, c := range map[string]chart{
			"operations": rep.operationChart(system, when), "number": rep.numberChart(system, when), "size": rep.sizeChart(system, when),
		} {
			if c == nil {
				continue
			}
			if err := c.save(filepath.Join(dir, name+"-"+system+".svg")); err != nil {
				return err
			}
		}
	}
	return nil
}

// save writes a chart, on white: it is legible on a dark page too.
func (c chart) save(path string) error {
	const height = 3.9 * vg.Inch
	svg := vgsvg.New(chartWidth, height)
	canvas := draw.New(svg)
	canvas.FillPolygon(color.White, []vg.Point{{}, {X: chartWidth}, {X: chartWidth, Y: height}, {Y: height}})
	if err := c(draw.Crop(canvas, 8, -8, 8, -8)); err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := svg.WriteTo(&text); err != nil {
		return err
	}
	// Few browsers have the first font; the letters of the others are as wide.
	fonts := bytes.ReplaceAll(text.Bytes(), []byte("Liberation Sans"), []byte("Liberation Sans,Arial,Helvetica,sans-serif"))
	return os.WriteFile(path, fonts, 0o644)
}

// The colours differ in lightness too, and all of them from white.
var (
	black = color.Gray{0x22}
	grey  = color.Gray{0x8a}              // the floor
	blue  = color.RGBA{0, 84, 166, 255}   // this project's files
	light = color.RGBA{84, 149, 212, 255} // its other stores
	warm  = color.RGBA{213, 110, 20, 255} // the peers
)

const colours = "grey: the bare system calls; blue: this project; orange: the others"

func colourOf(name string) color.Color {
	switch {
	case name == nameFloor:
		return grey
	case name == nameFiles:
		return blue
	case strings.HasPrefix(name, nameFiles), name == nameCookies, strings.HasPrefix(name, "redisstore"):
		return light
	}
	return warm
}

func textStyle(size vg.Length, bold bool) draw.TextStyle {
	face := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		face.Weight = 3 // that of bold letters
	}
	return draw.TextStyle{Color: black, Font: face, Handler: plot.DefaultTextHandler}
}

// A panel is a column of bars, one for each contender of a scene.
type panel struct {
	title string
	scene *scene
}

// operationChart has a panel for each operation, each with a scale of its own.
func (rep *report) operationChart(system, when string) chart {
	var panels []panel
	for _, p := range []struct{ operation, title string }{
		{"read", "load, use two values"}, {"save", "save one change"}, {"life", "make, save, delete"},
		{"reads", "request that reads"}, {"changes", "request that changes"},
	} {
		panels = append(panels, panel{p.title, rep.find(p.operation, system, sizes[0].size)})
	}
	return bars("µs for a session of ten values, 320 bytes "+when, panels, false)
}

// sizeChart has a panel for each size, all of one scale.
func (rep *report) sizeChart(system, when string) chart {
	var panels []panel
	for _, v := range sizes {
		panels = append(panels, panel{v.size, rep.find("change", system, v.size)})
	}
	return bars("µs to load a session, use two values and save one change "+when, panels, true)
}

// bars draws panels beside each other, with the names of the contenders on the left.
func bars(title string, panels []panel, oneScale bool) chart {
	panels = slices.DeleteFunc(panels, func(p panel) bool { return p.scene == nil })
	var names []string
	most := 0.0
	for _, p := range panels {
		for _, r := range p.scene.Results {
			if !slices.Contains(names, r.Name) && r.Name != nameSave && r.Name != nameByHand {
				names = append(names, r.Name)
			}
		}
		most = max(most, p.highest())
	}
	if len(panels) == 0 {
		return nil
	}
	return func(c draw.Canvas) error {
		const left, head = 128, 52
		row := (c.Max.Y - c.Min.Y - head) / vg.Length(len(names))
		c.FillText(textStyle(12, true), vg.Point{X: c.Min.X, Y: c.Max.Y - 11}, title)
		c.FillText(textStyle(9, false), vg.Point{X: c.Min.X, Y: c.Max.Y - 25}, colours)
		for i, name := range names {
			at := vg.Point{X: c.Min.X, Y: c.Max.Y - head - row*(vg.Length(i)+0.5) - 3}
			c.FillText(textStyle(9.5, name == nameFiles), at, name)
		}
		width := (c.Max.X - c.Min.X - left) / vg.Length(len(panels))
		for i, p := range panels {
			highest := most
			if !oneScale {
				highest = p.highest()
			}
			x := c.Min.X + left + vg.Length(i)*width
			c.FillText(textStyle(9, false), vg.Point{X: x, Y: c.Max.Y - head + 6}, p.title)
			p.draw(draw.Crop(c, x-c.Min.X, x+width-c.Max.X, 0, -head), names, row, highest)
		}
		return nil
	}
}

// highest returns the time of the slowest contender.
func (p panel) highest() float64 {
	return slices.MaxFunc(p.scene.Results, func(a, b result) int { return cmp.Compare(a.Nanos, b.Nanos) }).Nanos
}

// draw draws a bar for each name, with the figure at its end.
func (p panel) draw(c draw.Canvas, names []string, row vg.Length, highest float64) {
	const figure = 38 // room for it
	for i, name := range names {
		middle := c.Max.Y - row*(vg.Length(i)+0.5)
		end, text := c.Min.X, "–"
		if r := p.scene.result(name); r != nil && r.Failure == "" {
			end += (c.Max.X - c.Min.X - figure) * vg.Length(r.Nanos/highest)
			text = short(r.Nanos / 1000)
			c.FillPolygon(colourOf(name), []vg.Point{
				{X: c.Min.X, Y: middle - row*0.36}, {X: end, Y: middle - row*0.36}, {X: end, Y: middle + row*0.36}, {X: c.Min.X, Y: middle + row*0.36},
			})
		}
		c.FillText(textStyle(9, name == nameFiles), vg.Point{X: end + 3, Y: middle - 3}, text)
	}
}

// short returns two digits at least.
func short(micros float64) string {
	if micros < 9.95 {
		return fmt.Sprintf("%.1f", micros)
	}
	return fmt.Sprintf("%.0f", micros)
}
