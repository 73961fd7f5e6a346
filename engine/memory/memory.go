package memory

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// MaxCapacity is the largest number of patterns a side can be given.
	MaxCapacity = 1_000_000

	// MaxCounter is the largest counter. Below it two ages that differ have
	// scores that differ in float64 whatever divides them, which the tournament
	// relies on; 1,000,000 outcomes a second reach it after 71 years.
	MaxCounter = 1 << 51

	// maxID bounds the ids, far beyond what the counter allows to be given.
	maxID = 1 << 62
)

var (
	// ErrInvalid is wrapped by every error about a value that the memory refuses.
	ErrInvalid = errors.New("invalid value")

	// ErrCounterLimit is returned by Record when the counter is at MaxCounter (or
	// the ids that a snapshot brought are used up).
	ErrCounterLimit = errors.New("counter is at its limit")

	// ErrTxDone is returned by a transaction that was committed or rolled back.
	ErrTxDone = errors.New("transaction has ended")
)

// CapacityError reports more patterns than a side has room for.
type CapacityError struct {
	Side     Side
	Patterns int // patterns that the side holds
	Capacity int // patterns that it may hold
}

// Error names both numbers.
func (e *CapacityError) Error() string {
	return fmt.Sprintf("%s side holds %d patterns, capacity is %d", e.Side, e.Patterns, e.Capacity)
}

// Side tells the patterns of safe outcomes from those of unsafe ones.
type Side uint8

// The two sides, in the order of every array [2] of this package.
const (
	Safe Side = iota
	Unsafe
)

// Sides lists both sides in order.
func Sides() [2]Side { return [2]Side{Safe, Unsafe} }

// String gives "safe" or "unsafe".
func (s Side) String() string {
	switch s {
	case Safe:
		return "safe"
	case Unsafe:
		return "unsafe"
	}
	return fmt.Sprintf("side %d", uint8(s))
}

// Stats counts what a memory holds.
type Stats struct {
	Patterns    [2]int  // patterns a side
	Capacity    int     // patterns a side has room for
	Evictions   int64   // patterns evicted so far, both sides, resizes included
	Counter     int64   // outcomes recorded so far, both sides
	NextID      int64   // the id that the next pattern gets
	Utilization float64 // the fuller side's share of the capacity, 0 to 1
}

// Pattern is one row of a side, as an iteration hands it out.
type Pattern struct {
	Side       Side
	Row        int
	ID         int64
	Timestamp  int64     // the counter when the pattern was recorded
	Importance float32   // at least 0; the larger, the later evicted
	Vector     []float32 // [width]; read only, valid until the step ends
}

// Memory holds the patterns of one engine. The zero value is of no use; New and
// Restore make one.
type Memory struct {
	mu        sync.RWMutex // held for writing from Begin to Commit or Rollback
	width     int
	state     state
	committed atomic.Pointer[Stats]
}

// state is what a transaction changes and a rollback restores.
type state struct {
	sides     [2]*side
	capacity  int
	counter   int64
	nextID    int64
	evictions int64
}

// New makes an empty memory for rows of width float32 values (two for each
// dimension of the workspace) and at most capacity patterns a side.
func New(width, capacity int) (*Memory, error) {
	return Restore(Snapshot{Width: width}, capacity)
}

// Width is the number of float32 values in a row, twice the workspace.
func (m *Memory) Width() int { return m.width }

// Stats answers with the state last committed. It never waits.
func (m *Memory) Stats() Stats { return *m.committed.Load() }

// Snapshot copies the committed state. It waits for a transaction in progress.
func (m *Memory) Snapshot() Snapshot {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.snapshot(m.width)
}

// Patterns goes through the rows of a side in order. The memory cannot change
// until the iteration ends, so its body must neither take long nor begin a
// transaction. An unknown side has no rows.
func (m *Memory) Patterns(which Side) iter.Seq[Pattern] {
	return func(yield func(Pattern) bool) {
		if which > Unsafe {
			return
		}
		m.mu.RLock()
		defer m.mu.RUnlock()
		s := m.state.sides[which]
		for row := range s.count() {
			p := Pattern{Side: which, Row: row, ID: s.ids[row], Timestamp: s.timestamps[row],
				Importance: s.importance[row], Vector: s.row(row)}
			if !yield(p) {
				return
			}
		}
	}
}

func (st *state) stats() Stats {
	out := Stats{Capacity: st.capacity, Evictions: st.evictions, Counter: st.counter, NextID: st.nextID}
	for i, s := range st.sides {
		out.Patterns[i] = s.count()
	}
	out.Utilization = float64(slices.Max(out.Patterns[:])) / float64(st.capacity)
	return out
}

func checkWidth(width int) error {
	if width < 2 || width%2 != 0 {
		return fmt.Errorf("%w: width %d, expected an even number of at least 2", ErrInvalid, width)
	}
	return nil
}

func checkCapacity(capacity int) error {
	if capacity < 1 || capacity > MaxCapacity {
		return fmt.Errorf("%w: capacity %d, expected 1 to %d", ErrInvalid, capacity, MaxCapacity)
	}
	return nil
}

func checkImportance(value float32) error {
	if !(value >= 0) || math.IsInf(float64(value), 0) {
		return fmt.Errorf("%w: importance %v, expected a finite number of at least 0", ErrInvalid, value)
	}
	return nil
}

// checkFinite names the first value that is not finite.
func checkFinite(values []float32) error {
	for i, v := range values {
		if v-v != 0 { // NaN and both infinities, and nothing else
			return fmt.Errorf("%w: value %d is %v, expected a finite number", ErrInvalid, i, v)
		}
	}
	return nil
}
