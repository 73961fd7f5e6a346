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
	Held   Held    `json:"held"`
	Limits *Limits `json:"limits,omitempty"`
	Anchor *Anchor `json:"anchor,omitempty"`
}

// Held counts the rows that would be patterns now, had a limit not held them:
// they are forgotten as fast as patterns leave the memory.
type Held struct {
	Outlier float64 `json:"outlier"` // by the limit of the distance
	Ratio   float64 `json:"ratio"`   // contradictions: by that of the ratio
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
		out.Held = s.held
		if s.limits != nil {
			limits := *s.limits
			out.Limits = &limits
		}
		if s.anchor != nil {
			anchor := *s.anchor
			anchor.Mean = slices.Clone(anchor.Mean)
			out.Anchor = &anchor
		}
	}
	return state
}

// Restore takes a state before Load. One that does not fit the configuration
// is an error, and nothing is taken.
func (d *Detector) Restore(state State) error {
	for i := range state.Sides {
		finite := func(x float64) bool { return math.Abs(x) <= math.MaxFloat64 }
		a, h := state.Sides[i].Anchor, state.Sides[i].Held
		if least := min(h.Outlier, h.Ratio); !(least >= 0) || !finite(h.Outlier+h.Ratio) {
			return fmt.Errorf("detector: state: %+v rows of the %s side held, expected numbers of at least 0", h, sideName(i))
		}
		if l := state.Sides[i].Limits; l != nil && !(l.Count > 0 && l.Others > 0 && l.Ratio >= 0 && l.Close >= 0 && l.Within >= 0 && finite(l.Ratio+l.Close+l.Within)) {
			return fmt.Errorf("detector: state: limits %+v of the %s side, expected finite numbers of at least 0", *l, sideName(i))
		}
		if a == nil {
			continue
		}
		if len(a.Mean) != d.config.Width || a.Count < 1 ||
			slices.ContainsFunc(a.Mean, func(x float64) bool { return !finite(x) }) ||
			!(a.Trace >= 0 && finite(a.Trace) && a.TraceSquare >= 0 && finite(a.TraceSquare)) {
			return fmt.Errorf("detector: state: anchor of the %s side of %d rows and %d columns, expected finite numbers of %d columns",
				sideName(i), a.Count, len(a.Mean), d.config.Width)
		}
	}
	if len(state.Sources) > mostSources+2 {
		return fmt.Errorf("detector: state: %d sources, expected at most %d", len(state.Sources), mostSources+2)
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
		columns: newColumns(width), sample: newSample(), below: math.MaxUint64, held: known.Held, limits: known.Limits, anchor: known.Anchor,
		window: window{sum: make([]float64, width)},
	}
	var since []int // patterns that came after the anchor
	for i, id := range p.IDs {
		row := p.Rows[i*p.Stride:][:width]
		s.columns.add(row)
		s.lastID = max(s.lastID, id)
		if s.anchor != nil && id > s.anchor.After {
			since = append(since, i)
		}
		if !belongs(id, s.below) {
			continue
		}
		s.sample.add(sampled{id, slices.Clone(row)})
		for len(s.sample.rows) > mostSampled {
			s.below /= 2
			s.sample = s.sample.thinned(s.below)
		}
	}
	slices.SortFunc(since, func(a, b int) int { return cmp.Compare(p.IDs[a], p.IDs[b]) })
	for _, i := range since[max(0, len(since)-windowRows):] {
		s.window.push(windowRow{values: slices.Clone(p.Rows[i*p.Stride:][:width])})
	}
	return s
}
