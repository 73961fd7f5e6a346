package checkpoints

import (
	"fmt"
	"math"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

// PatternSide is one side of a pattern memory, safe or unsafe; row i of each field belongs to the same pattern.
//
// What a Parse function gives shares the bytes of the file: it is read only and keeps them alive.
type PatternSide struct {
	// Rows are the patterns one after another, each as wide as the set says.
	Rows []float32
	// Timestamps are values of the memory's counter.
	Timestamps []int64
	// Importance is at least 0.
	Importance []float32
	// IDs name the patterns for their life; positive, unique over both sides.
	IDs []int64
}

// Len is the number of patterns.
func (s *PatternSide) Len() int { return len(s.IDs) }

// PatternSet is a pattern memory as a checkpoint holds it.
type PatternSet struct {
	// Width is the number of elements of a pattern, 2n for a workspace of n.
	Width int
	// Capacity is the largest number of patterns of a side.
	Capacity int
	Safe     PatternSide
	Unsafe   PatternSide
	// Counter is the number of the last recorded outcome.
	Counter int64
	// NextID is the id of the next new pattern, larger than every one ever given.
	NextID int64
	// Evictions is how many patterns were ever evicted; 0 in files that do not say.
	Evictions int64
	// Sequence orders checkpoints; 0 in files that carry none.
	Sequence int64
	// SaveTime is when it was saved, in seconds since 1970.
	SaveTime float64
	// Metadata is whatever the writer added, normally a *pickle.Dict; nil is written as an empty dict.
	Metadata pickle.Value
}

// Validate checks what a memory needs to hold: consistent lengths within the capacity, finite numbers, times up to the
// counter, unique ids below the next one. The error names the side, the row and the field.
func (p *PatternSet) Validate() error {
	if p.Width < 1 || p.Capacity < 1 {
		return fmt.Errorf("pattern set: width %d and capacity %d, expected at least 1", p.Width, p.Capacity)
	}
	if p.Counter < 0 || p.Sequence < 0 || p.Evictions < 0 {
		return fmt.Errorf("pattern set: counter %d, evictions %d and sequence %d, expected at least 0", p.Counter, p.Evictions, p.Sequence)
	}
	if math.IsNaN(p.SaveTime) || math.IsInf(p.SaveTime, 0) {
		return fmt.Errorf("pattern set: save time is %v", p.SaveTime)
	}
	seen := make(map[int64]bool, p.Safe.Len()+p.Unsafe.Len())
	if err := p.validateSide("safe", &p.Safe, seen); err != nil {
		return err
	}
	if err := p.validateSide("unsafe", &p.Unsafe, seen); err != nil {
		return err
	}
	if p.NextID < 1 {
		return fmt.Errorf("pattern set: next id %d, expected at least 1", p.NextID)
	}
	return nil
}

func (p *PatternSet) validateSide(name string, s *PatternSide, seen map[int64]bool) error {
	n := s.Len()
	if n > p.Capacity {
		return fmt.Errorf("pattern set: %d %s patterns, capacity is %d", n, name, p.Capacity)
	}
	if len(s.Rows) != n*p.Width || len(s.Timestamps) != n || len(s.Importance) != n {
		return fmt.Errorf("pattern set: %s side has %d ids, %d timestamps, %d importances and %d elements of width %d", name, n, len(s.Timestamps), len(s.Importance), len(s.Rows), p.Width)
	}
	if i := notFinite(s.Rows); i >= 0 {
		return fmt.Errorf("pattern set: %s pattern %d has %v at element %d", name, i/p.Width, s.Rows[i], i%p.Width)
	}
	for i := range n {
		if w := float64(s.Importance[i]); !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("pattern set: %s pattern %d has importance %v, expected a finite number of at least 0", name, i, w)
		}
		if t := s.Timestamps[i]; t < 0 || t > p.Counter {
			return fmt.Errorf("pattern set: %s pattern %d has timestamp %d, expected 0 to the counter %d", name, i, t, p.Counter)
		}
		id := s.IDs[i]
		if id < 1 || id >= p.NextID {
			return fmt.Errorf("pattern set: %s pattern %d has id %d, expected 1 to %d", name, i, id, p.NextID-1)
		}
		if seen[id] {
			return fmt.Errorf("pattern set: %s pattern %d has id %d, which another pattern has", name, i, id)
		}
		seen[id] = true
	}
	return nil
}

// number gives ids and a counter to patterns that come without: ids 1, 2, … for the safe rows and then the unsafe ones,
// and the largest timestamp (validator specification, section 4).
func (p *PatternSet) number() {
	p.NextID, p.Counter, p.Sequence, p.Evictions = 1, 0, 0, 0
	for _, s := range []*PatternSide{&p.Safe, &p.Unsafe} {
		s.IDs = make([]int64, len(s.Timestamps))
		for i, t := range s.Timestamps {
			s.IDs[i] = p.NextID
			p.NextID++
			p.Counter = max(p.Counter, t)
		}
	}
}
