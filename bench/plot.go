package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// plot is a chart with two logarithmic axes, ready to be drawn as SVG.
type plot struct {
	ID, Title, About string
	XLabel, YLabel   string
	XUnit, YUnit     func(float64) string

	Series []*curve
	Marks  []mark // vertical lines
}

// curve is a set of points; Class picks its colour.
type curve struct {
	Name, Class string
	X, Y        []float64
	High        []float64 // ends of whiskers; nil: none
	Line, Dots  bool
}

// mark is a vertical line with a text.
type mark struct {
	X    float64
	Text string
}

// Sizes of the drawing, in its own units.
const (
	plotWidth, plotHeight              = 720.0, 400.0
	plotLeft, plotRight                = 76.0, 18.0
	plotTop, plotBottom                = 14.0, 52.0
	dotRadius, emphasised, barHalfSize = 3.2, 4.4, 4.0
)

// scale maps a logarithmic range onto a line.
type scale struct{ low, high, from, to float64 }

func newScale(values []float64, from, to float64) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v > 0 && !math.IsInf(v, 1) {
			low, high = min(low, math.Log10(v)), max(high, math.Log10(v))
		}
	}
	if math.IsInf(low, 1) {
		low, high = 0, 1
	}
	margin := max(0.04*(high-low), 0.05)
	return scale{low - margin, high + margin, from, to}
}

func (s scale) at(v float64) float64 {
	return s.from + (math.Log10(v)-s.low)/(s.high-s.low)*(s.to-s.from)
}

// ticks are round values inside the range: 1, 2 and 5 in every decade when
// there is room, else powers of ten.
func (s scale) ticks(most int) (values []float64) {
	for _, steps := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
		values = values[:0]
		for decade := math.Floor(s.low); decade <= s.high; decade++ {
			for _, step := range steps {
				v := step * math.Pow(10, decade)
				if at := math.Log10(v); at >= s.low-1e-9 && at <= s.high+1e-9 {
					values = append(values, v)
				}
			}
		}
		if len(values) <= most {
			return values
		}
	}
	kept := values[:0]
	for i, v := range values {
		if i%2 == 0 {
			kept = append(kept, v)
		}
	}
	return kept
}

// drawing is a plot in coordinates: what the template draws.
type drawing struct {
	ID, Title, About, XLabel, YLabel string
	Width, Height                    float64
	Left, Right, Top, Bottom         float64 // of the frame
	XTicks, YTicks                   []tick
	Series                           []drawnSeries
	Layers                           []drawnSeries // of the drawing: the first series on top
	Marks                            []drawnMark
}

type tick struct {
	At   float64
	Text string
}

type drawnSeries struct {
	Name, Class string
	Path        string // of the line; empty: none
	Radius      float64
	Dots        []dot
}

type dot struct {
	X, Y     float64
	High     float64 // of the whisker; the same as Y: none
	BarLeft  float64
	BarRight float64
	Text     string
}

type drawnMark struct {
	X, TextX float64
	Anchor   string
	Text     string
}

// draw lays the plot out.
func (p *plot) draw() drawing {
	var xs, ys []float64
	for _, s := range p.Series {
		xs, ys = append(xs, s.X...), append(append(ys, s.Y...), s.High...)
	}
	for _, m := range p.Marks {
		xs = append(xs, m.X)
	}
	d := drawing{
		ID: p.ID, Title: p.Title, About: p.About, XLabel: p.XLabel, YLabel: p.YLabel, Width: plotWidth, Height: plotHeight,
		Left: plotLeft, Right: plotWidth - plotRight, Top: plotTop, Bottom: plotHeight - plotBottom,
	}
	x, y := newScale(xs, d.Left, d.Right), newScale(ys, d.Bottom, d.Top)
	for _, v := range x.ticks(12) {
		d.XTicks = append(d.XTicks, tick{x.at(v), p.XUnit(v)})
	}
	for _, v := range y.ticks(9) {
		d.YTicks = append(d.YTicks, tick{y.at(v), p.YUnit(v)})
	}
	for _, s := range p.Series {
		drawn := drawnSeries{Name: s.Name, Class: s.Class, Radius: dotRadius}
		if strings.HasPrefix(s.Class, "engine") {
			drawn.Radius = emphasised
		}
		var path strings.Builder
		for i := range s.X {
			at := dot{X: x.at(s.X[i]), Y: y.at(s.Y[i])}
			at.High, at.BarLeft, at.BarRight = at.Y, at.X-barHalfSize, at.X+barHalfSize
			at.Text = fmt.Sprintf("%s: %s at %s", s.Name, p.YUnit(s.Y[i]), p.XUnit(s.X[i]))
			if s.High != nil {
				at.High = y.at(s.High[i])
				at.Text = fmt.Sprintf("%s: p50 %s, p99 %s at %s", s.Name, p.YUnit(s.Y[i]), p.YUnit(s.High[i]), p.XUnit(s.X[i]))
			}
			command := "L"
			if i == 0 {
				command = "M"
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", command, at.X, at.Y)
			if s.Dots {
				drawn.Dots = append(drawn.Dots, at)
			}
		}
		if s.Line {
			drawn.Path = path.String()
		}
		d.Series = append(d.Series, drawn)
	}
	d.Layers = slices.Clone(d.Series)
	slices.Reverse(d.Layers)
	for _, m := range p.Marks {
		at := drawnMark{X: x.at(m.X), Anchor: "start", Text: m.Text}
		at.TextX = at.X + 6
		if at.X > (d.Left+d.Right)/2 {
			at.Anchor, at.TextX = "end", at.X-6
		}
		d.Marks = append(d.Marks, at)
	}
	return d
}

// short writes a number with a letter for its thousands.
func short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= unit.size*0.9995 {
			return fmt.Sprintf("%.3g", v/unit.size) + unit.name
		}
	}
	return fmt.Sprintf("%.3g", v)
}

// shortTime writes seconds with a unit, without digits that an axis has no
// room for.
func shortTime(s float64) string {
	switch {
	case s < 0.9995e-3:
		return fmt.Sprintf("%.3g µs", s*1e6)
	case s < 0.9995:
		return fmt.Sprintf("%.3g ms", s*1e3)
	}
	return fmt.Sprintf("%.3g s", s)
}
