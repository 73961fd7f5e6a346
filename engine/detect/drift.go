package detect

import (
	"math"
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
	rows []windowRow // at most windowRows, a ring
	next int
	sum  []float64 // [width]
}

type windowRow struct {
	values []float32
	source string // "" also after a restart
}

func (w *window) push(r windowRow) {
	if len(w.rows) < windowRows {
		w.rows = append(w.rows, r)
	} else {
		for j, v := range w.rows[w.next].values {
			w.sum[j] -= float64(v)
		}
		w.rows[w.next] = r
	}
	for j, v := range r.values {
		w.sum[j] += float64(v)
	}
	if w.next = (w.next + 1) % windowRows; w.next == 0 {
		// Once a round the sum is made anew, so that rounding does not add up.
		w.sum, _ = w.of(func(windowRow) bool { return true })
	}
}

// of is the sum of some rows, and how many they are.
func (w *window) of(some func(windowRow) bool) (sum []float64, count int) {
	sum = make([]float64, len(w.sum))
	for _, r := range w.rows {
		if !some(r) {
			continue
		}
		count++
		for j, v := range r.values {
			sum[j] += float64(v)
		}
	}
	return sum, count
}

// drifts says whether a row is to be held for how far the mean of the window is
// from the anchor, and how far chance takes it. That the mean is beyond the
// limit is not enough: the row must itself lie beyond it along the same way, and
// so must the mean of what its source brought. Without such rows the mean goes
// no farther, and few clean rows are among them.
func (a *Anchor) drifts(w *window, row *Row) (moved, limit float64, drifts bool) {
	if len(w.rows)+1 < leastWindow {
		return 0, 0, false
	}
	moved, along, limit := a.moved(w.sum, len(w.rows), row.Values)
	if moved <= limit || along <= limit {
		return moved, limit, false
	}
	sum, count := w.of(func(r windowRow) bool { return r.source == row.Source })
	own, _, ownLimit := a.moved(sum, count, row.Values)
	return moved, limit, own > ownLimit || count+1 < leastWindow
}

// moved is how far the mean of rows, of which there are the sum and the count,
// and one more lies from the anchor, how far along the same way that one lies,
// and how far chance takes the mean.
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
func (a *Anchor) moved(sum []float64, count int, row []float32) (moved, along, limit float64) {
	k := float64(count + 1)
	for j, mean := range a.Mean {
		off := (sum[j]+float64(row[j]))/k - mean
		moved += off * off
		along += off * (float64(row[j]) - mean)
	}
	if moved = math.Sqrt(moved); moved > 0 {
		along /= moved
	}
	root := math.Sqrt(a.TraceSquare)
	spread := a.Trace + 2*root*math.Sqrt(driftOdds) + 2*root*driftOdds
	return moved, along, math.Sqrt((1/k + 1/float64(a.Count)) * spread)
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
