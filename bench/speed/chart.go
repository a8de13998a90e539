//go:build unix

package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// charts writes the charts of each file system.
func (rep *report) charts(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, system := range rep.systems() {
		for name, chart := range map[string]func(string) (*plot.Plot, error){
			"operations": rep.operationChart, "number": rep.numberChart, "size": rep.sizeChart,
		} {
			p, err := chart(system)
			if err == nil && p != nil {
				p.Title.Text += fmt.Sprintf(" (%s, %s)", system, rep.Date)
				err = p.Save(9*vg.Inch, 4.5*vg.Inch, filepath.Join(dir, name+"-"+system+".svg"))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, "µs"
	p.Legend.Top, p.Legend.Left = true, true
	return p
}

// operationChart has bars for each operation, those of one contender in one
// colour.
func (rep *report) operationChart(system string) (*plot.Plot, error) {
	wanted := []string{"read", "save", "life", "reads", "changes"}
	titles := []string{"load, use two", "save one change", "make, save, delete", "request: reads", "request: changes"}
	var found []*scene
	var labels, names []string
	for i, operation := range wanted {
		if s := rep.find(operation, system, sizes[0].size); s != nil {
			found, labels = append(found, s), append(labels, titles[i])
			for _, r := range s.Results {
				if !slices.Contains(names, r.Name) && r.Name != nameSave && r.Name != nameByHand {
					names = append(names, r.Name)
				}
			}
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	p := newPlot("Ten values, 320 bytes")
	const width = 6
	for i, name := range names {
		heights := make(plotter.Values, len(found))
		for j, s := range found {
			if r := s.result(name); r != nil {
				heights[j] = r.Nanos / 1000
			}
		}
		bars, err := plotter.NewBarChart(heights, vg.Points(width))
		if err != nil {
			return nil, err
		}
		bars.LineStyle.Width = 0
		bars.Color = plotutil.SoftColors[i%len(plotutil.SoftColors)]
		if i >= len(plotutil.SoftColors) {
			bars.Color = plotutil.DarkColors[i%len(plotutil.DarkColors)]
		}
		bars.Offset = vg.Points(width * (float64(i) - float64(len(names)-1)/2))
		p.Add(bars)
		p.Legend.Add(name, bars)
	}
	p.NominalX(labels...)
	p.X.Min, p.X.Max = -0.6, float64(len(found))-0.4
	return p, nil
}

// numberChart has lines over the number of sessions.
func (rep *report) numberChart(system string) (*plot.Plot, error) {
	p := newPlot("The cost of more sessions")
	p.X.Label.Text, p.Y.Min = "sessions", 0
	return lines(p, rep.Scenes, func(s *scene) (x float64, operation string, ok bool) {
		switch s.Operation {
		case "load by number":
			operation = "load"
		case "save by number":
			operation = "save"
		}
		return float64(s.Sessions), operation, s.System == system && operation != ""
	})
}

// sizeChart has lines over the size of a session.
func (rep *report) sizeChart(system string) (*plot.Plot, error) {
	p := newPlot("Load, use two values, save one change")
	p.X.Label.Text = "bytes of values"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	return lines(p, rep.Scenes, func(s *scene) (x float64, operation string, ok bool) {
		for _, v := range sizes {
			if v.size == s.Size {
				x = float64(v.count * (v.length + 10))
			}
		}
		return x, "", s.Operation == "change" && s.System == system && s.Goroutines == 1 && s.Processes == 1
	})
}

// lines draws the scenes that at accepts, one line for each contender and
// operation, over a logarithmic axis.
func lines(p *plot.Plot, scenes []scene, at func(*scene) (x float64, operation string, ok bool)) (*plot.Plot, error) {
	points := map[string]plotter.XYs{}
	var names []string
	for i := range scenes {
		x, operation, ok := at(&scenes[i])
		if !ok {
			continue
		}
		for _, r := range scenes[i].Results {
			name := r.Name
			if operation != "" {
				name = operation + ": " + name
			}
			if points[name] == nil {
				names = append(names, name)
			}
			points[name] = append(points[name], plotter.XY{X: x, Y: r.Nanos / 1000})
		}
	}
	for i, name := range names {
		slices.SortFunc(points[name], func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
		line, marks, err := plotter.NewLinePoints(points[name])
		if err != nil {
			return nil, err
		}
		line.Color, marks.Color = plotutil.Color(i), plotutil.Color(i)
		line.Dashes = plotutil.Dashes(i / 7)
		marks.Shape = plotutil.Shape(i)
		p.Add(line, marks)
		p.Legend.Add(name, line, marks)
	}
	if len(names) == 0 {
		return nil, nil
	}
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Legend.Left = false
	p.X.Max *= math.Pow(p.X.Max/p.X.Min, 0.4) // room for the legend
	return p, nil
}
