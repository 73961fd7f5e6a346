package detect

import (
	"math"
	"slices"
)

const (
	// windowRows is of how many rows of a side the mean is watched, leastWindow
	// the fewest from which a mean of anything is near to normal.
	windowRows, leastWindow = 256, 16
	// settled is from how many rows on an anchor stays. Before, a side that has
	// doubled gets a new one: what it can be moved by in all is a geometric
	// series of limits.
	settled = 1024
	// driftOdds is ln(1/p), p the share of clean rows that it may hold, 0.001.
	driftOdds = 6.907755278982137
)

// window is the newest rows of a side since it was anchored.
type window struct {
	rows [][]float32 // at most windowRows, a ring
	next int
	sum  []float64 // [width]
}

func (w *window) clone() window {
	return window{slices.Clone(w.rows), w.next, slices.Clone(w.sum)}
}

func (w *window) push(row []float32) {
	if len(w.rows) < windowRows {
		w.rows = append(w.rows, row)
	} else {
		for j, v := range w.rows[w.next] {
			w.sum[j] -= float64(v)
		}
		w.rows[w.next] = row
	}
	for j, v := range row {
		w.sum[j] += float64(v)
	}
	if w.next = (w.next + 1) % windowRows; w.next != 0 {
		return
	}
	// Once a round the sum is made anew, so that rounding does not add up.
	clear(w.sum)
	for _, r := range w.rows {
		for j, v := range r {
			w.sum[j] += float64(v)
		}
	}
}

// drift is how far the mean of a window would lie from an anchor with a row
// more, how far along the same way the row itself lies, and how far chance takes
// the mean. ok is false while there are too few rows.
//
// Where the mean is farther than the limit only rows that are themselves
// farther along that way are to be held: without them it goes no farther, and
// few clean rows are among them.
//
// For k independent rows of covariance C the square of the distance between
// their mean and that of an anchor of m rows is that of a normal vector of
// covariance (1/k + 1/m) C, which exceeds
//
//	(1/k + 1/m) (tr C + 2 sqrt(tr C^2 x) + 2 |C| x)
//
// with probability exp(-x) at most (Laurent and Massart, "Adaptive estimation
// of a quadratic functional by model selection", 2000, lemma 1); |C|, the
// largest eigenvalue, is at most sqrt(tr C^2).
func (a *Anchor) drift(w *window, row []float32) (moved, along, limit float64, ok bool) {
	k := float64(len(w.rows))
	if k+1 < leastWindow {
		return 0, 0, 0, false
	}
	var oldest []float32
	more := k + 1
	if len(w.rows) == windowRows {
		oldest, more = w.rows[w.next], k
	}
	for j, mean := range a.Mean {
		sum := w.sum[j] + float64(row[j])
		if oldest != nil {
			sum -= float64(oldest[j])
		}
		off := sum/more - mean
		moved += off * off
		along += off * (float64(row[j]) - mean)
	}
	if moved = math.Sqrt(moved); moved > 0 {
		along /= moved
	}
	root := math.Sqrt(a.TraceSquare)
	spread := a.Trace + 2*root*math.Sqrt(driftOdds) + 2*root*driftOdds
	limit = math.Sqrt((1/more + 1/float64(a.Count)) * spread)
	return moved, along, limit, true
}

// anchored is where a side is now.
func (s *side) anchored() *Anchor {
	trace := s.columns.trace()
	return &Anchor{
		After: s.lastID, Count: s.columns.count, Mean: s.columns.means(),
		Trace: trace, TraceSquare: s.fit.shape * trace * trace,
	}
}

// setAnchor anchors a side that has a fit and is not anchored, or has doubled
// since.
func (s *side) setAnchor() {
	if a := s.anchor; a == nil || (a.Count < settled && s.columns.count >= 2*a.Count) {
		s.anchor = s.anchored()
		s.window = window{sum: make([]float64, len(s.anchor.Mean))}
	}
}
