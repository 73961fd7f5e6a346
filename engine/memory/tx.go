package memory

import (
	"cmp"
	"fmt"
	"slices"
)

// Change is one row that a transaction wrote.
type Change struct {
	Side   Side
	Row    int
	ID     int64     // of the pattern now in the row
	Vector []float32 // [width]; read only, valid until the transaction ends
	// Evicted is the id of the pattern that had the row and that the memory no
	// longer holds, 0 where there is none.
	Evicted int64
	// Gone is what the evicted pattern was, [width]: the caller's to keep.
	// Record gives it, Tx.Changes does not.
	Gone []float32
}

// Eviction is one pattern that a smaller capacity had no room for.
type Eviction struct {
	Side Side
	Row  int // before the resize
	ID   int64
}

// Tx changes a memory, as a whole or not at all. Begin makes one; every Tx must
// be ended by Commit or Rollback, and `defer tx.Rollback()` is always right.
type Tx struct {
	m      *Memory
	before state // with the sides as Begin found them, also after a Resize
	// touched holds what rows of before.sides were, by the first change to each.
	touched [2]map[int]oldRow
	evicted []int64 // ids, in the order of their eviction
	done    bool
}

// oldRow is a row before a transaction changed it.
type oldRow struct {
	id         int64
	timestamp  int64
	importance float32
	vector     []float32 // nil when the transaction did not write it
}

// Begin starts a transaction; it waits for the one before it and for readers.
func (m *Memory) Begin() *Tx {
	m.mu.Lock()
	return &Tx{m: m, before: m.state, touched: [2]map[int]oldRow{{}, {}}}
}

// Record stores an outcome: workspace is the row z of section 4 of the
// validator specification, [width/2], finite; the pattern is z followed by as
// many zeros. The returned change says where it went and what it evicted. A
// refused value wraps ErrInvalid, and nothing changes.
func (tx *Tx) Record(which Side, workspace []float32, importance float32) (Change, error) {
	if err := tx.checkRecord(which, workspace, importance); err != nil {
		return Change{}, fmt.Errorf("record outcome: %w", err)
	}
	st := &tx.m.state
	s := st.sides[which]
	st.counter++
	var row int
	var evicted int64
	var gone []float32
	if s.count() < st.capacity {
		s.race = nil
		row = s.push()
	} else {
		row = s.victim(st.counter)
		evicted, gone = s.ids[row], slices.Clone(s.row(row))
		tx.evicted = append(tx.evicted, evicted)
		st.evictions++
		tx.keep(which, row, true)
	}
	vector := s.row(row)
	clear(vector[copy(vector, workspace):])
	s.ids[row], s.timestamps[row], s.importance[row] = st.nextID, st.counter, importance
	s.changed(row, st.counter)
	st.nextID++
	return Change{Side: which, Row: row, ID: s.ids[row], Vector: vector, Evicted: evicted, Gone: gone}, nil
}

func (tx *Tx) checkRecord(which Side, workspace []float32, importance float32) error {
	if tx.done {
		return ErrTxDone
	}
	if which > Unsafe {
		return fmt.Errorf("%w: %s, expected safe or unsafe", ErrInvalid, which)
	}
	if want := tx.m.width / 2; len(workspace) != want {
		return fmt.Errorf("%w: workspace of %d values, expected %d", ErrInvalid, len(workspace), want)
	}
	if err := checkFinite(workspace); err != nil {
		return fmt.Errorf("workspace: %w", err)
	}
	if err := checkImportance(importance); err != nil {
		return err
	}
	if tx.m.state.counter >= MaxCounter || tx.m.state.nextID >= maxID {
		return ErrCounterLimit
	}
	return nil
}

// SetImportance gives the pattern in a row another importance, finite and at
// least 0. Its timestamp stays.
func (tx *Tx) SetImportance(which Side, row int, value float32) error {
	if tx.done {
		return fmt.Errorf("set importance: %w", ErrTxDone)
	}
	if which > Unsafe {
		return fmt.Errorf("set importance: %w: %s, expected safe or unsafe", ErrInvalid, which)
	}
	s := tx.m.state.sides[which]
	if row < 0 || row >= s.count() {
		return fmt.Errorf("set importance: %w: %s row %d, expected 0 to %d", ErrInvalid, which, row, s.count()-1)
	}
	if err := checkImportance(value); err != nil {
		return fmt.Errorf("set importance of %s row %d: %w", which, row, err)
	}
	tx.keep(which, row, false)
	s.importance[row] = value
	s.changed(row, tx.m.state.counter)
	return nil
}

// Resize gives both sides another capacity, 1 to MaxCapacity. What has no room
// is evicted by the rule at the present counter, worst first, and returned in
// that order, the safe side first; the other patterns keep their ids and their
// order and close the gaps.
func (tx *Tx) Resize(capacity int) ([]Eviction, error) {
	if tx.done {
		return nil, fmt.Errorf("resize pattern memory: %w", ErrTxDone)
	}
	if err := checkCapacity(capacity); err != nil {
		return nil, fmt.Errorf("resize pattern memory: %w", err)
	}
	st := &tx.m.state
	var evictions []Eviction
	for i, s := range st.sides {
		if s.count() <= capacity {
			continue
		}
		gone := worst(s, s.count()-capacity, st.counter)
		marks := make([]bool, s.count())
		for _, row := range gone {
			marks[row] = true
			evictions = append(evictions, Eviction{Side: Side(i), Row: row, ID: s.ids[row]})
			tx.evicted = append(tx.evicted, s.ids[row])
		}
		st.sides[i] = s.without(marks)
	}
	st.capacity = capacity
	st.evictions += int64(len(evictions))
	return evictions, nil
}

// worst lists the count rows that the rule evicts first at this counter. The
// counter stands still, so one sort is the same as one eviction after another.
func worst(s *side, count int, counter int64) []int {
	rows := make([]int, s.count())
	scores := make([]float64, s.count())
	for row := range rows {
		rows[row] = row
		scores[row] = newLine(s.timestamps[row], s.importance[row]).score(counter)
	}
	slices.SortFunc(rows, func(a, b int) int {
		return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(a, b))
	})
	return rows[:count]
}

// keep remembers a row before its first change. Rows that the transaction
// appended need none, and neither do those of a side that Resize replaced: a
// rollback drops them.
func (tx *Tx) keep(which Side, row int, vector bool) {
	s := tx.m.state.sides[which]
	if s != tx.before.sides[which] || row >= tx.countBefore(which) {
		return
	}
	old, kept := tx.touched[which][row]
	if !kept {
		old = oldRow{id: s.ids[row], timestamp: s.timestamps[row], importance: s.importance[row]}
	}
	if vector && old.vector == nil {
		old.vector = slices.Clone(s.row(row))
	}
	tx.touched[which][row] = old
}
