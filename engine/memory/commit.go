package memory

import "slices"

// Stats counts what the memory holds with the transaction's changes. After the
// transaction's end it is zero.
func (tx *Tx) Stats() Stats {
	if tx.done {
		return Stats{}
	}
	return tx.m.state.stats()
}

// Snapshot copies the state as it will be once committed, so that it can be
// saved before. After the transaction's end it is zero.
func (tx *Tx) Snapshot() Snapshot {
	if tx.done {
		return Snapshot{}
	}
	return tx.m.state.snapshot(tx.m.width)
}

// Evicted lists the ids that the transaction evicted so far, in that order,
// those of its own patterns too. The list is the transaction's.
func (tx *Tx) Evicted() []int64 { return tx.evicted }

// Changes lists the rows that hold another pattern than at Begin, each once, by
// side and row: what a copy of the memory elsewhere has to be given. Rows
// beyond the counts of Stats are gone without being listed; patterns that
// Resize evicted are what Resize returned. Importances are not in it.
func (tx *Tx) Changes() []Change {
	if tx.done {
		return nil
	}
	var changes []Change
	for i, s := range tx.m.state.sides {
		changes = tx.sideChanges(changes, Side(i), s)
	}
	return changes
}

func (tx *Tx) sideChanges(changes []Change, which Side, s *side) []Change {
	held := tx.countBefore(which)
	var alive map[int64]bool // filled where patterns may have moved
	var rows []int
	if s == tx.before.sides[which] {
		for row := range tx.touched[which] {
			rows = append(rows, row)
		}
		slices.Sort(rows)
		for row := held; row < s.count(); row++ {
			rows = append(rows, row)
		}
	} else {
		alive = make(map[int64]bool, s.count())
		for row := range s.count() {
			alive[s.ids[row]] = true
			rows = append(rows, row)
		}
	}
	for _, row := range rows {
		var was int64
		if row < held {
			was = tx.idBefore(which, row)
		}
		if was == s.ids[row] {
			continue // a vector never changes under its id
		}
		change := Change{Side: which, Row: row, ID: s.ids[row], Vector: s.row(row)}
		if !alive[was] {
			change.Evicted = was
		}
		changes = append(changes, change)
	}
	return changes
}

// Commit makes the changes what every reader sees, and ends the transaction.
// After the transaction's end it does nothing.
func (tx *Tx) Commit() {
	if tx.done {
		return
	}
	stats := tx.m.state.stats()
	tx.m.committed.Store(&stats)
	tx.end()
}

// Rollback puts everything back to what Begin found, and ends the transaction.
// After the transaction's end it does nothing.
func (tx *Tx) Rollback() {
	if tx.done {
		return
	}
	counted := tx.m.state.counter != tx.before.counter
	tx.m.state = tx.before
	for i, s := range tx.before.sides {
		held := tx.countBefore(Side(i))
		if counted || len(tx.touched[i]) > 0 {
			s.race = nil // it knows only counters that grow
		}
		s.truncate(held)
		for row, old := range tx.touched[i] {
			s.ids[row], s.timestamps[row], s.importance[row] = old.id, old.timestamp, old.importance
			if old.vector != nil {
				copy(s.row(row), old.vector)
			}
		}
	}
	tx.end()
}

func (tx *Tx) end() {
	tx.done = true
	tx.touched = [2]map[int]oldRow{}
	tx.before = state{}
	tx.m.mu.Unlock()
}

// countBefore is how many patterns a side held at Begin.
func (tx *Tx) countBefore(which Side) int { return tx.m.committed.Load().Patterns[which] }

// idBefore is the id that a row held at Begin.
func (tx *Tx) idBefore(which Side, row int) int64 {
	if old, kept := tx.touched[which][row]; kept {
		return old.id
	}
	return tx.before.sides[which].ids[row]
}
