package bench

import (
	"fmt"
	"math"
)

// Fit is a power law through a series: rows per second ∝ x^Exponent.
type Fit struct {
	Sweep  string `json:"sweep"`
	Target string `json:"target"` // Info.ID
	// Series says what stays the same, such as "d=8 n=8 P=1000".
	Series   string  `json:"series"`
	Exponent float64 `json:"exponent"`
	// R2 is the share of the variance of log(rows per second) that the law
	// explains: 1 when it is exact.
	R2     float64 `json:"r2"`
	Points int     `json:"points"`
}

// fit finds the power law by least squares of the logarithms. Fewer than two
// different x have none.
func fit(x, y []float64) (exponent, r2 float64, ok bool) {
	var sx, sy, sxx, sxy, syy float64
	for i := range x {
		a, b := math.Log(x[i]), math.Log(y[i])
		sx, sy, sxx, sxy, syy = sx+a, sy+b, sxx+a*a, sxy+a*b, syy+b*b
	}
	n := float64(len(x))
	vx, vy, cov := sxx-sx*sx/n, syy-sy*sy/n, sxy-sx*sy/n
	if len(x) < 2 || vx <= 1e-12*sxx {
		return 0, 0, false
	}
	if vy <= 0 { // the same everywhere, which the law says exactly
		return 0, 1, true
	}
	return cov / vx, cov * cov / (vx * vy), true
}

// variable is what the cases of a sweep differ in.
func variable(sweep string, c *Case) float64 {
	switch sweep {
	case SweepPatterns:
		return float64(c.Patterns)
	case SweepThreads:
		return float64(c.Threads)
	}
	return float64(c.BatchSize)
}

// series names what the cases of a sweep have in common.
func series(sweep string, c *Case) string {
	switch sweep {
	case SweepPatterns:
		return fmt.Sprintf("d=%d n=%d B=%d", c.Width, c.Workspace, c.BatchSize)
	case SweepThreads:
		return fmt.Sprintf("d=%d n=%d P=%d B=%d", c.Width, c.Workspace, c.Patterns, c.BatchSize)
	}
	return fmt.Sprintf("d=%d n=%d P=%d", c.Width, c.Workspace, c.Patterns)
}

// line is one target's figures along a sweep.
type line struct {
	sweep, series, target string
	x                     []float64
	results               []*Result
	figures               []*Figure
}

// lines groups the results of a sweep, in the order in which they came.
func (r *Report) lines(sweep string) (all []*line) {
	type key struct{ series, target string }
	found := map[key]*line{}
	for i := range r.Results {
		result := &r.Results[i]
		if result.Sweep != sweep {
			continue
		}
		for j := range result.Figures {
			f := &result.Figures[j]
			k := key{series(sweep, &result.Case), f.Target}
			l := found[k]
			if l == nil {
				l = &line{sweep: sweep, series: k.series, target: f.Target}
				found[k] = l
				all = append(all, l)
			}
			l.x = append(l.x, variable(sweep, &result.Case))
			l.results = append(l.results, result)
			l.figures = append(l.figures, f)
		}
	}
	return all
}

// fits fits every series of every sweep.
func (r *Report) fits() (all []Fit) {
	for _, sweep := range []string{SweepBatch, SweepPatterns, SweepThreads} {
		for _, l := range r.lines(sweep) {
			y := make([]float64, len(l.x))
			for i, f := range l.figures {
				y[i] = f.RowsPerSecond
			}
			if exponent, r2, ok := fit(l.x, y); ok {
				all = append(all, Fit{sweep, l.target, l.series, exponent, r2, len(l.x)})
			}
		}
	}
	return all
}
