package bench

import "math"

// Goal is a ratio that the engine is to reach in a run, at 1,000 + 1,000
// patterns unless it says otherwise.
type Goal struct {
	Name    string  `json:"name"`
	AtLeast float64 `json:"at_least"`
	// Measured is 0 when the run lacks one of its figures.
	Measured float64 `json:"measured"`
	Met      bool    `json:"met"`
}

// goalPatterns is the size of the memory that most goals are set at.
const goalPatterns = 1000

// goals compares the engine on the CPU with what it is to reach.
func (r *Report) goals() []Goal {
	vectorised := []string{"eager", "compile"}
	shape := func(d, n, size int) func(string) float64 {
		return func(kind string) float64 {
			return r.best(kind, SweepBatch, func(c *Case) bool {
				return c.Width == d && c.Workspace == n && c.Patterns == goalPatterns && (size == 0 || c.BatchSize == size)
			})
		}
	}
	large := func(kind string) float64 {
		return r.best(kind, SweepPatterns, func(c *Case) bool { return c.Workspace == 8 && c.Patterns == 1_000_000 && c.BatchSize == 1024 })
	}
	goals := []Goal{
		{Name: "n = d = 8, best batch, by the loop over actions", AtLeast: 1000, Measured: against(shape(8, 8, 0), "loop")},
		{Name: "n = d = 8, best batch, by the best of eager and torch.compile", AtLeast: 4, Measured: against(shape(8, 8, 0), vectorised...)},
		{Name: "n = d = 8, B = 64, likewise", AtLeast: 8, Measured: against(shape(8, 8, 64), vectorised...)},
		{Name: "n = 8, d = 768, best batch, likewise", AtLeast: 3, Measured: against(shape(768, 8, 0), vectorised...)},
		{Name: "n = d = 384, best batch, likewise", AtLeast: 1.15, Measured: against(shape(384, 384, 0), vectorised...)},
		{Name: "share of the roofline at B ≥ 1,024, the lowest of all shapes", AtLeast: 0.6, Measured: r.lowestShare(1024)},
		{Name: "n = d = 8, B = 1, p50 of eager by the engine's", AtLeast: 100, Measured: r.medianRatio("eager")},
		{Name: "n = 8, 1,000,000 patterns a side, B = 1,024, by FAISS IndexFlatL2", AtLeast: 10, Measured: against(large, "faiss")},
		{Name: "n = 8, 1,000,000 patterns a side, B = 1,024, by SciPy's tree", AtLeast: 3, Measured: against(large, "tree")},
		{Name: "n = d = 8, B = 1,024, rows/s with monitoring by without", AtLeast: 0.97, Measured: r.overheadRatio(ofMonitoring, 1024)},
		{Name: ".npy of 8 numbers a row to .npz, end to end, by in-process", AtLeast: 0.6, Measured: r.fileRatio(fileNpy)},
		{Name: "JSON Lines of 768 numbers a row, end to end, by encoding/json reading alone", AtLeast: 4, Measured: r.fileRatio(fileLines)},
	}
	for i := range goals {
		goals[i].Met = goals[i].Measured >= goals[i].AtLeast
	}
	return goals
}

// best is the highest rate of a kind of target on the CPU in some cases of a
// sweep, 0 when there is none.
func (r *Report) best(kind, sweep string, in func(*Case) bool) (rate float64) {
	for i := range r.Results {
		result := &r.Results[i]
		if f := result.figure(kind + "/cpu"); f != nil && result.Sweep == sweep && in(&result.Case) {
			rate = max(rate, f.RowsPerSecond)
		}
	}
	return rate
}

// against is the engine's rate by the best of all the kinds; 0 when one of
// them has no figure, since it might have been the best.
func against(rate func(kind string) float64, kinds ...string) float64 {
	best := 0.0
	for _, kind := range kinds {
		peer := rate(kind)
		if peer == 0 {
			return 0
		}
		best = max(best, peer)
	}
	return rate("engine") / best
}

// lowestShare is of the engine's cases with batches of at least as many rows.
func (r *Report) lowestShare(size int) float64 {
	lowest := math.Inf(1)
	for i := range r.Results {
		result := &r.Results[i]
		if f := result.figure("engine/cpu"); f != nil && f.RoofShare > 0 && result.Sweep == SweepBatch && result.BatchSize >= size {
			lowest = min(lowest, f.RoofShare)
		}
	}
	if math.IsInf(lowest, 1) {
		return 0
	}
	return lowest
}

// medianRatio is the p50 of a peer's batches of one row, n = d = 8, by the
// engine's.
func (r *Report) medianRatio(kind string) float64 {
	for i := range r.Results {
		result := &r.Results[i]
		if result.Sweep != SweepBatch || result.BatchSize != 1 || result.Width != 8 || result.Workspace != 8 {
			continue
		}
		ours, theirs := result.figure("engine/cpu"), result.figure(kind+"/cpu")
		if ours != nil && theirs != nil && ours.P50 > 0 {
			return theirs.P50 / ours.P50
		}
	}
	return 0
}

// fileRatio is that of a file run, 0 when it was not made.
func (r *Report) fileRatio(name string) float64 {
	for _, f := range r.Files {
		if f.Name == name && f.Reference > 0 {
			return f.RowsPerSecond / f.Reference
		}
	}
	return 0
}
