package detect

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// State is what must survive a restart, as JSON.
type State struct {
	Sides   [2]SideState        `json:"sides"` // safe, unsafe
	Sources map[string]Consumed `json:"sources,omitempty"`
}

// SideState is the part of one side.
type SideState struct {
	// JudgedFrom is the first id of the patterns that were judged by limits; 0:
	// none. FiredOutlier and FiredContradiction are those of the sample that
	// were stored although the rule fired.
	JudgedFrom         int64   `json:"judged_from,omitempty"`
	FiredOutlier       []int64 `json:"fired_outlier,omitempty"`
	FiredContradiction []int64 `json:"fired_contradiction,omitempty"`
	Anchor             *Anchor `json:"anchor,omitempty"`
}

// Anchor is where a side was when drift began to be measured.
type Anchor struct {
	After       int64     `json:"after"` // id of the last pattern that is part of it
	Count       int       `json:"count"` // rows
	Mean        []float64 `json:"mean"`  // [Width]
	Trace       float64   `json:"trace"` // of the covariance, and of its square
	TraceSquare float64   `json:"trace_square"`
}

// Consumed is what a source used of its quota.
type Consumed struct {
	Rows float64   `json:"rows"`
	At   time.Time `json:"at"`
}

// State is for Restore after a restart. It is a copy.
func (d *Detector) State() State {
	state := State{Sources: map[string]Consumed{}}
	now := d.now()
	for name, c := range d.quotas.sources {
		if d.quotas.used(name, now) > 0 {
			state.Sources[name] = c
		}
	}
	for i, s := range d.sides {
		out := &state.Sides[i]
		out.JudgedFrom = s.judgedFrom
		if s.anchor != nil {
			anchor := *s.anchor
			anchor.Mean = slices.Clone(anchor.Mean)
			out.Anchor = &anchor
		}
		for _, r := range s.sample.rows {
			if r.mark&firedOutlier != 0 {
				out.FiredOutlier = append(out.FiredOutlier, r.id)
			}
			if r.mark&firedContradiction != 0 {
				out.FiredContradiction = append(out.FiredContradiction, r.id)
			}
		}
	}
	return state
}

// Restore takes a state before Load. One that does not fit the configuration
// is an error, and nothing is taken.
func (d *Detector) Restore(state State) error {
	for i := range state.Sides {
		a := state.Sides[i].Anchor
		if a == nil {
			continue
		}
		finite := func(x float64) bool { return math.Abs(x) <= math.MaxFloat64 }
		if len(a.Mean) != d.config.Width || a.Count < 1 ||
			slices.ContainsFunc(a.Mean, func(x float64) bool { return !finite(x) }) ||
			!(a.Trace >= 0 && finite(a.Trace) && a.TraceSquare >= 0 && finite(a.TraceSquare)) {
			return fmt.Errorf("detector: state: anchor of the %s side of %d rows and %d columns, expected finite numbers of %d columns",
				sideName(i), a.Count, len(a.Mean), d.config.Width)
		}
	}
	if len(state.Sources) > mostSources+1 {
		return fmt.Errorf("detector: state: %d sources, expected at most %d", len(state.Sources), mostSources+1)
	}
	for name, c := range state.Sources {
		if !(c.Rows >= 0) {
			return fmt.Errorf("detector: state: source %q used %v rows, expected at least 0", name, c.Rows)
		}
	}
	d.restored = state.Sides
	d.quotas.sources = map[string]Consumed{}
	maps.Copy(d.quotas.sources, state.Sources)
	return nil
}

// loaded is a side of patterns, with what is known of it.
func (d *Detector) loaded(p Patterns, known *SideState) *side {
	width := d.config.Width
	s := &side{
		columns: newColumns(width), sample: newSample(), judgedFrom: known.JudgedFrom, anchor: known.Anchor,
		window: window{sum: make([]float64, width)},
	}
	marks := map[int64]mark{}
	for _, id := range known.FiredOutlier {
		marks[id] |= firedOutlier
	}
	for _, id := range known.FiredContradiction {
		marks[id] |= firedContradiction
	}
	var since []int // patterns that came after the anchor
	for i, id := range p.IDs {
		row := p.Rows[i*p.Stride:][:width]
		s.columns.add(row)
		s.lastID = max(s.lastID, id)
		if s.anchor != nil && id > s.anchor.After {
			since = append(since, i)
		}
		if !belongs(id, d.below) {
			continue
		}
		m := marks[id]
		if s.judgedFrom > 0 && id >= s.judgedFrom {
			m |= judged
		}
		s.sample.add(sampled{id, slices.Clone(row), m})
		for len(s.sample.rows) > mostSampled {
			d.below /= 2
			s.sample = s.sample.thinned(d.below)
		}
	}
	slices.SortFunc(since, func(a, b int) int { return cmp.Compare(p.IDs[a], p.IDs[b]) })
	for _, i := range since[max(0, len(since)-windowRows):] {
		s.window.push(slices.Clone(p.Rows[i*p.Stride:][:width]))
	}
	return s
}
