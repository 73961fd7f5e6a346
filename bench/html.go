package bench

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
)

//go:embed report.html
var pageText string

// page is what the template shows.
type page struct {
	*Report
	Plots  []drawing
	GPU    string // what is known of GPUs, in a sentence
	Sweeps []sweepPage
}

type sweepPage struct {
	Title   string
	Results []*Result
}

// WriteHTML writes the report as one page with plots, which loads nothing.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"thousands": func(x any) string { return thousands(number(x)) },
		"seconds":   seconds, "mebibytes": mebibytes, "percent": percent, "short": short,
		"ratio": func(x float64) string { return ratio(x, x > 0) },
		"kind":  func(id string) string { return r.class(id) },
		"add":   func(a, b float64) float64 { return a + b },
		"by": func(result *Result, f Figure) string {
			return ratio(result.Figures[0].RowsPerSecond/f.RowsPerSecond, f.Target != result.Figures[0].Target)
		},
		"met":    func(g Goal) string { return g.verdict() },
		"points": func(f Fit) string { return f.quality() },
	}).Parse(pageText)
	if err != nil {
		return err
	}
	p := page{Report: r, GPU: r.gpu()}
	for _, plot := range r.plots() {
		p.Plots = append(p.Plots, plot.draw())
	}
	for _, sweep := range []string{SweepBatch, SweepPatterns, SweepThreads} {
		s := sweepPage{Title: sweepTitles[sweep]}
		for i := range r.Results {
			if r.Results[i].Sweep == sweep {
				s.Results = append(s.Results, &r.Results[i])
			}
		}
		if s.Results != nil {
			p.Sweeps = append(p.Sweeps, s)
		}
	}
	return t.Execute(w, p)
}

func number(x any) float64 {
	switch n := x.(type) {
	case int:
		return float64(n)
	case float64:
		return n
	}
	return math.NaN()
}

// class is the style of a target: its kind, and whether on a GPU.
func (r *Report) class(id string) string {
	t := r.target(id)
	if t.Device != "cpu" && t.Device != "" {
		return t.Kind + "-gpu"
	}
	return t.Kind
}

// gpu says whether one was measured, and if not why.
func (r *Report) gpu() string {
	if slices.ContainsFunc(r.Targets, func(t Info) bool { return t.Kind == "engine" && t.Device != "cpu" }) {
		return ""
	}
	for _, m := range r.Missing {
		if m.Name == missingGPU {
			return "No GPU was measured: " + m.Reason + "."
		}
	}
	return "No GPU was measured."
}

// plots are those that there are figures for.
func (r *Report) plots() (all []*plot) {
	// Of a sweep one plot for each series.
	for _, sweep := range []string{SweepBatch, SweepPatterns, SweepThreads} {
		var names []string
		for _, l := range r.lines(sweep) {
			if !slices.Contains(names, l.series) {
				names = append(names, l.series)
			}
		}
		for i, name := range names {
			p := &plot{
				ID: fmt.Sprintf("%s-%d", sweep, i), Title: "Throughput " + sweepTitles[sweep], About: name,
				XLabel: map[string]string{SweepBatch: "rows of a batch", SweepPatterns: "patterns on a side", SweepThreads: "threads"}[sweep],
				YLabel: "rows per second", XUnit: short, YUnit: short,
			}
			latency := &plot{
				ID: fmt.Sprintf("latency-%d", i), Title: "Time of a batch, p50 with whiskers to p99", About: name,
				XLabel: p.XLabel, YLabel: "time of a batch", XUnit: short, YUnit: shortTime,
			}
			for _, l := range r.lines(sweep) {
				if l.series != name {
					continue
				}
				throughput := &curve{Name: r.target(l.target).short(), Class: r.class(l.target), X: l.x, Line: true, Dots: true}
				times := &curve{Name: throughput.Name, Class: throughput.Class, X: l.x, Line: true, Dots: true}
				for _, f := range l.figures {
					throughput.Y = append(throughput.Y, f.RowsPerSecond)
					times.Y, times.High = append(times.Y, f.P50), append(times.High, f.P99)
				}
				p.Series = append(p.Series, throughput)
				latency.Series = append(latency.Series, times)
			}
			all = append(all, p)
			if sweep == SweepBatch {
				p.Marks = r.crossover(name)
				if i == 0 {
					all = append(all, latency)
				}
			}
		}
	}
	if p := r.rooflinePlot(); p != nil {
		all = append(all, p)
	}
	return all
}

// short is a target's name in a legend.
func (i *Info) short() string {
	for _, p := range pythonPeers {
		if p.kind == i.Kind {
			return p.name + onDevice(i.Device)
		}
	}
	return i.Kind + onDevice(i.Device)
}

func onDevice(device string) string {
	if device == "cpu" || device == "" {
		return ""
	}
	return " on " + device
}

// crossover marks the smallest batch of a series from which on the engine on
// a GPU does more rows per second than on the CPU.
func (r *Report) crossover(series string) []mark {
	var cpu, gpu *line
	for _, l := range r.lines(SweepBatch) {
		if t := r.target(l.target); l.series == series && t.Kind == "engine" {
			if t.Device == "cpu" {
				cpu = l
			} else {
				gpu = l
			}
		}
	}
	if cpu == nil || gpu == nil {
		return nil
	}
	first := -1
	for i := min(len(cpu.x), len(gpu.x)) - 1; i >= 0 && gpu.figures[i].RowsPerSecond > cpu.figures[i].RowsPerSecond; i-- {
		first = i
	}
	if first < 0 {
		return nil
	}
	return []mark{{gpu.x[first], fmt.Sprintf("GPU is faster from B = %s on", thousands(gpu.x[first]))}}
}

// rooflinePlot has the roof of the most threads and the cases under it.
func (r *Report) rooflinePlot() *plot {
	if len(r.Roofs) == 0 {
		return nil
	}
	roof := &r.Roofs[len(r.Roofs)-1]
	p := &plot{
		ID: "roofline", Title: "Roofline",
		About: fmt.Sprintf("%d threads: %s flop/s by multiply-adds, %s byte/s read from memory; whole validations", roof.Threads,
			short(roof.FlopsPerSecond), short(roof.BytesPerSecond)),
		XLabel: "flops needed for each byte that has to move", YLabel: "flop per second", XUnit: short, YUnit: short,
	}
	curves := map[string]*curve{}
	low, high := math.Inf(1), math.Inf(-1)
	for i := range r.Results {
		result := &r.Results[i]
		if result.Threads != roof.Threads {
			continue
		}
		need := total(result.Needs)
		for _, f := range result.Figures {
			t := r.target(f.Target)
			if f.RoofShare == 0 {
				continue
			}
			c := curves[t.ID]
			if c == nil {
				c = &curve{Name: t.short(), Class: r.class(t.ID), Dots: true}
				curves[t.ID] = c
				p.Series = append(p.Series, c)
			}
			x := need.Flops / need.Bytes
			c.X, c.Y = append(c.X, x), append(c.Y, need.Flops*f.RowsPerSecond)
			low, high = min(low, x), max(high, x)
		}
	}
	if len(curves) == 0 {
		return nil
	}
	ridge := roof.FlopsPerSecond / roof.BytesPerSecond
	low, high = min(low, ridge/4), max(high, ridge*4)
	line := &curve{Name: "roof", Class: "roof", Line: true, X: []float64{low, ridge, high},
		Y: []float64{low * roof.BytesPerSecond, roof.FlopsPerSecond, roof.FlopsPerSecond}}
	p.Series = append([]*curve{line}, p.Series...)
	return p
}
