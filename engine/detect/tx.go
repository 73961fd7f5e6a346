package detect

import (
	"context"
	"slices"
)

// Tx follows one transaction of the memory.
type Tx struct {
	d      *Detector
	before [2]side // as Begin found them
	owned  [2]bool // sums are copies
	undo   []undo  // of the samples, oldest first
	// The first rows that the windows of before lost, in order.
	lost    [2][]windowRow
	sources []usedBefore
	near    [2]near // rows stored since Begin
	done    bool
}

// undo takes back one change of a sample.
type undo struct {
	which  uint8
	kind   undoKind
	at     int32   // where the row was that was removed
	row    sampled // that one
	sample *sample // before it was thinned
}

type undoKind uint8

const (
	undoAdd undoKind = iota
	undoRemove
	undoThin
)

// usedBefore is a source before a transaction changed it.
type usedBefore struct {
	key  string
	used Consumed
	had  bool
}

// Batch is the rows of one call.
type Batch struct {
	tx       *Tx
	rows     []Row
	distance []float64 // calibrated, by the fit of its side in fits
	fits     [2]*fit
	measured [2]int // up to which row a side's have it
	// Distances to the nearest patterns but for what the transaction stored from
	// plain on; see compare.
	same, other []float64
	stored      [][2]int // how many the transaction had, at the begin of each leaf
	plain       [2]int
	verdicts    []verdict
}

// verdict is what Judge found and Store needs.
type verdict struct {
	held   Held    // 1 for what held it
	weight float64 // of the source's quota
}

// Prepare takes rows that come together. Each is then judged, and stored or
// held, in order. The rows are read until the last call.
func (tx *Tx) Prepare(rows []Row) *Batch {
	count := len(rows)
	numbers := make([]float64, 3*count)
	b := &Batch{
		tx: tx, rows: rows, verdicts: make([]verdict, count),
		distance: numbers[:count], same: numbers[count : 2*count], other: numbers[2*count:],
	}
	tx.undo = slices.Grow(tx.undo, 2*count)
	for i := range rows {
		b.same[i], b.other[i] = rows[i].NearestSame, rows[i].NearestOther
	}
	return b
}

// measure computes the distances of a side's rows from one on, of as many as
// may be judged before another fit is due.
func (b *Batch) measure(ctx context.Context, which, first int) error {
	d := b.tx.d
	s := d.sides[which]
	f := s.fit
	b.fits[which], b.measured[which] = f, len(b.rows)
	if f == nil || d.config.Mode != Calibrated {
		return nil
	}
	most := max(leafRows, s.most()-max(s.added, s.evicted))
	var members []int
	var values []float32
	for i := first; i < len(b.rows); i++ {
		if b.rows[i].side() != which {
			continue
		}
		if len(members) == most {
			b.measured[which] = i
			break
		}
		members, values = append(members, i), append(values, b.rows[i].Values...)
	}
	out := make([]float64, len(members))
	if err := d.computer.DetectorDistances(ctx, d.config.Width, f.location, f.factor, values, out); err != nil {
		b.measured[which] = first
		return err
	}
	for k, i := range members {
		b.distance[i] = out[k]
	}
	return nil
}

func (r *Row) side() int {
	if r.Safe {
		return 0
	}
	return 1
}

// stored is how many rows of each side the transaction stored.
func (tx *Tx) stored() [2]int { return [2]int{len(tx.near[0].ids), len(tx.near[1].ids)} }

// own makes a side's sums the transaction's to change.
func (tx *Tx) own(which int) *side {
	s := tx.d.sides[which]
	if !tx.owned[which] {
		tx.owned[which] = true
		s.columns, s.window.sum = s.columns.clone(), slices.Clone(s.window.sum)
	}
	return s
}

// Store says that row i became the pattern with this id, larger than all
// before it. Rows that were not judged may be stored too.
func (b *Batch) Store(i int, id int64) {
	tx, row := b.tx, &b.rows[i]
	which := row.side()
	s := tx.own(which)
	values := slices.Clone(row.Values)
	s.columns.add(values)
	s.added++
	s.lastID = id
	if s.anchor != nil {
		if w := &s.window; s.anchor == tx.before[which].anchor && len(w.rows) == windowRows && len(tx.lost[which]) < windowRows {
			tx.lost[which] = append(tx.lost[which], w.rows[w.next])
		}
		s.window.push(windowRow{values, row.Source})
	}
	if belongs(id, s.below) {
		s.sample.add(sampled{id, values})
		tx.undo = append(tx.undo, undo{which: uint8(which), kind: undoAdd})
		for len(s.sample.rows) > mostSampled {
			before := s.sample
			tx.undo = append(tx.undo, undo{which: uint8(which), kind: undoThin, sample: &before})
			s.below /= 2
			s.sample = s.sample.thinned(s.below)
		}
	}
	tx.near[which].add(id, values)
	tx.use(row.Source, b.verdicts[i].weight)
}

// Accept says that a row which no rule is asked about became the pattern with
// this id, larger than all before it.
func (tx *Tx) Accept(row Row, id int64) {
	(&Batch{tx: tx, rows: []Row{row}, verdicts: make([]verdict, 1)}).Store(0, id)
}

// Hold says that row i is not stored. What a source tried counts against its
// quota unless there was none left.
func (b *Batch) Hold(i int) {
	v := &b.verdicts[i]
	b.tx.use(b.rows[i].Source, v.weight)
	h := &b.tx.d.sides[b.rows[i].side()].held
	h.Outlier += v.held.Outlier
	h.Ratio += v.held.Ratio
}

// Release says that a row which was held, for these rules, waits no more: a
// person let it in, and then its own distances count, or knew it for poison.
func (tx *Tx) Release(safe bool, rules ...Rule) {
	h := &tx.d.sides[(&Row{Safe: safe}).side()].held
	if slices.Contains(rules, Outlier) {
		h.Outlier = max(0, h.Outlier-1)
	}
	if slices.Contains(rules, Contradiction) {
		h.Ratio = max(0, h.Ratio-1)
	}
}

// use counts against a source's quota, and that of all sources.
func (tx *Tx) use(source string, weight float64) {
	if source == "" || weight == 0 {
		return
	}
	now := tx.d.now()
	q := &tx.d.quotas
	for _, key := range []string{q.key(source, now), everyone} {
		used, had := q.sources[key]
		tx.sources = append(tx.sources, usedBefore{key, used, had})
		q.use(key, weight, now)
	}
}

// Evicted says that a pattern left the memory; values are at least [Width].
func (tx *Tx) Evicted(safe bool, id int64, values []float32) {
	r := Row{Values: values[:tx.d.config.Width], Safe: safe}
	which := r.side()
	s := tx.own(which)
	stay := 1 - 1/float64(s.columns.count)
	s.held = Held{stay * s.held.Outlier, stay * s.held.Ratio}
	s.columns.remove(r.Values)
	s.evicted++
	if row, at := s.sample.remove(id); at >= 0 {
		tx.undo = append(tx.undo, undo{which: uint8(which), kind: undoRemove, row: row, at: int32(at)})
	}
	tx.near[which].remove(id, len(r.Values))
}

// Commit ends the transaction.
func (tx *Tx) Commit() { tx.done = true }

// Rollback leaves everything as before Begin; after Commit it does nothing.
func (tx *Tx) Rollback() {
	if tx.done {
		return
	}
	tx.done = true
	for _, u := range slices.Backward(tx.undo) {
		switch s := &tx.d.sides[u.which].sample; u.kind {
		case undoAdd:
			s.pop()
		case undoRemove:
			s.unremove(u.row, int(u.at))
		case undoThin:
			*s = *u.sample
		}
	}
	for i, s := range tx.d.sides {
		sample := s.sample
		*s = tx.before[i]
		s.sample = sample
		// One that was not full lost its first row first.
		rows, next := s.window.rows, s.window.next
		for k, r := range tx.lost[i][:min(len(rows), len(tx.lost[i]))] {
			rows[(next+k)%len(rows)] = r
		}
	}
	for _, u := range slices.Backward(tx.sources) {
		if u.had {
			tx.d.quotas.sources[u.key] = u.used
		} else {
			delete(tx.d.quotas.sources, u.key)
		}
	}
}
