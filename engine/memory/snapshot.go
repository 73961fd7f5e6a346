package memory

import (
	"fmt"
	"slices"
)

// Snapshot is a memory as plain values, for saving and for reading back.
type Snapshot struct {
	Width     int // float32 values in a row, twice the workspace
	Capacity  int // patterns a side had room for; Restore is told its own
	Sides     [2]SideSnapshot
	Counter   int64 // outcomes recorded so far, at least every timestamp
	NextID    int64 // above every id; 0 where ids are to be given
	Evictions int64
}

// SideSnapshot is one side's rows in order: everything in it has one element
// (in Rows: width values) a pattern.
type SideSnapshot struct {
	Rows       []float32 // [patterns, width]
	Timestamps []int64   // 0 to Counter; several patterns may share one
	IDs        []int64   // at least 1, all different; nil has Restore give new ones
	Importance []float32 // finite, at least 0
}

// Restore makes a memory that continues from a snapshot, with room for capacity
// patterns a side. The snapshot is copied. Patterns without ids are given some
// from NextID on, the safe side first. A side with more patterns than capacity
// is a *CapacityError; anything inconsistent wraps ErrInvalid.
func Restore(s Snapshot, capacity int) (*Memory, error) {
	if err := s.check(capacity); err != nil {
		return nil, fmt.Errorf("restore pattern memory: %w", err)
	}
	m := &Memory{width: s.Width, state: state{
		capacity: capacity, counter: s.Counter, nextID: max(s.NextID, 1), evictions: s.Evictions,
	}}
	for i, from := range s.Sides {
		to := newSide(s.Width)
		for row := range from.Timestamps {
			copy(to.row(to.push()), from.Rows[row*s.Width:])
		}
		copy(to.timestamps, from.Timestamps)
		copy(to.importance, from.Importance)
		if copy(to.ids, from.IDs) == 0 {
			for row := range to.ids {
				to.ids[row] = m.state.nextID
				m.state.nextID++
			}
		}
		m.state.sides[i] = to
	}
	stats := m.state.stats()
	m.committed.Store(&stats)
	return m, nil
}

func (s *Snapshot) check(capacity int) error {
	if err := checkWidth(s.Width); err != nil {
		return err
	}
	if err := checkCapacity(capacity); err != nil {
		return err
	}
	if s.Counter < 0 || s.Counter > MaxCounter {
		return fmt.Errorf("%w: counter %d, expected 0 to %d", ErrInvalid, s.Counter, int64(MaxCounter))
	}
	if s.NextID < 0 || s.NextID > maxID || s.Evictions < 0 {
		return fmt.Errorf("%w: next id %d and %d evictions, expected ids 0 to %d and no negative count",
			ErrInvalid, s.NextID, s.Evictions, int64(maxID))
	}
	var ids []int64
	for i := range s.Sides {
		if err := s.Sides[i].check(Side(i), s, capacity); err != nil {
			return err
		}
		ids = append(ids, s.Sides[i].IDs...)
	}
	slices.Sort(ids)
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			return fmt.Errorf("%w: two patterns have the id %d", ErrInvalid, ids[i])
		}
	}
	return nil
}

func (s *SideSnapshot) check(which Side, all *Snapshot, capacity int) error {
	patterns := len(s.Timestamps)
	if patterns > capacity {
		return &CapacityError{Side: which, Patterns: patterns, Capacity: capacity}
	}
	if len(s.Rows) != patterns*all.Width || len(s.Importance) != patterns || (s.IDs != nil && len(s.IDs) != patterns) {
		return fmt.Errorf("%w: %s side has %d timestamps, %d values in rows of %d, %d importances and %d ids, expected as many of each",
			ErrInvalid, which, patterns, len(s.Rows), all.Width, len(s.Importance), len(s.IDs))
	}
	for row := range patterns {
		if err := s.checkRow(row, all); err != nil {
			return fmt.Errorf("%s pattern in row %d: %w", which, row, err)
		}
	}
	return nil
}

func (s *SideSnapshot) checkRow(row int, all *Snapshot) error {
	if t := s.Timestamps[row]; t < 0 || t > all.Counter {
		return fmt.Errorf("%w: timestamp %d, expected 0 to the counter, %d", ErrInvalid, t, all.Counter)
	}
	if s.IDs != nil && (s.IDs[row] < 1 || s.IDs[row] >= all.NextID) {
		return fmt.Errorf("%w: id %d, expected at least 1 and below the next id, %d", ErrInvalid, s.IDs[row], all.NextID)
	}
	if err := checkImportance(s.Importance[row]); err != nil {
		return err
	}
	return checkFinite(s.Rows[row*all.Width : (row+1)*all.Width])
}

// snapshot copies the state.
func (st *state) snapshot(width int) Snapshot {
	out := Snapshot{Width: width, Capacity: st.capacity, Counter: st.counter, NextID: st.nextID, Evictions: st.evictions}
	for i, s := range st.sides {
		to := &out.Sides[i]
		to.Rows = make([]float32, 0, s.count()*width)
		for left, chunk := s.count()*width, 0; left > 0; chunk++ {
			take := min(left, s.chunkRows*width)
			to.Rows = append(to.Rows, s.chunks[chunk][:take]...)
			left -= take
		}
		to.Timestamps = append([]int64{}, s.timestamps...)
		to.IDs = append([]int64{}, s.ids...)
		to.Importance = append([]float32{}, s.importance...)
	}
	return out
}

// Reset replaces everything that a memory holds by a snapshot, as Restore reads
// it, once the transaction in progress has ended. On an error nothing changes.
func (m *Memory) Reset(s Snapshot, capacity int) error {
	if s.Width != m.width {
		return fmt.Errorf("reset pattern memory: %w: width %d, expected %d", ErrInvalid, s.Width, m.width)
	}
	fresh, err := Restore(s, capacity)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = fresh.state
	m.committed.Store(fresh.committed.Load())
	return nil
}
