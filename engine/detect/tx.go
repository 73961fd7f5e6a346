package detect

import (
	"context"
	"slices"
)

// Tx follows one transaction of the memory.
type Tx struct {
	d       *Detector
	before  [2]side // as Begin found them
	owned   [2]bool // columns and window are copies
	undo    []undo  // of the samples, oldest first
	sources []usedBefore
	near    [2]near // rows stored since Begin
	column  bool    // near has its column
	from    int64   // first id that was stored; 0: none
	done    bool
}

// undo takes back one change of a sample.
type undo struct {
	which  int
	kind   undoKind
	row    sampled // removed
	at     int     // from here
	sample sample  // before it was thinned
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
	verdicts []verdict
}

// verdict is what Judge found and Store needs.
type verdict struct {
	held   Held    // 1 for what held it
	weight float64 // of the source's quota
}

// Prepare does the arithmetic of rows that come together. Each is then judged,
// and stored or held, in order. The rows are read until the last call.
func (tx *Tx) Prepare(ctx context.Context, rows []Row) (*Batch, error) {
	b := &Batch{tx: tx, rows: rows, distance: make([]float64, len(rows)), verdicts: make([]verdict, len(rows))}
	if !tx.column {
		tx.column = true
		column := widest(rows)
		tx.near = [2]near{{column: column}, {column: column}}
	}
	for which := range b.fits {
		if err := b.measure(ctx, which, 0); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// measure computes the distances of a side's rows from one on.
func (b *Batch) measure(ctx context.Context, which, first int) error {
	d := b.tx.d
	f := d.sides[which].fit
	b.fits[which] = f
	if f == nil || d.config.Mode != Calibrated {
		return nil
	}
	var members []int
	for i := first; i < len(b.rows); i++ {
		if b.rows[i].side() == which {
			members = append(members, i)
		}
	}
	if len(members) == 0 {
		return nil
	}
	values := make([]float32, 0, len(members)*d.config.Width)
	for _, i := range members {
		values = append(values, b.rows[i].Values...)
	}
	out := make([]float64, len(members))
	if err := d.computer.DetectorDistances(ctx, d.config.Width, f.location, f.factor, values, out); err != nil {
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

// widest is the column in which rows differ most.
func widest(rows []Row) int {
	if len(rows) < 2 {
		return 0
	}
	best, column := -1.0, 0
	for j := range rows[0].Values {
		var sum, square float64
		for i := range rows {
			x := float64(rows[i].Values[j]) - float64(rows[0].Values[j])
			sum += x
			square += x * x
		}
		if spread := square - sum*sum/float64(len(rows)); spread > best {
			best, column = spread, j
		}
	}
	return column
}

// own makes a side's columns and window the transaction's to change.
func (tx *Tx) own(which int) *side {
	s := tx.d.sides[which]
	if !tx.owned[which] {
		tx.owned[which] = true
		s.columns, s.window = s.columns.clone(), s.window.clone()
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
		s.window.push(windowRow{values, row.Source})
	}
	if belongs(id, s.below) {
		s.sample.add(sampled{id, values})
		tx.undo = append(tx.undo, undo{which: which, kind: undoAdd})
		for len(s.sample.rows) > mostSampled {
			tx.undo = append(tx.undo, undo{which: which, kind: undoThin, sample: s.sample})
			s.below /= 2
			s.sample = s.sample.thinned(s.below)
		}
	}
	tx.near[which].insert(id, values)
	if tx.from == 0 {
		tx.from = id
	}
	tx.use(row.Source, b.verdicts[i].weight)
}

// Accept says that a row which no rule is asked about became the pattern with
// this id, larger than all before it.
func (tx *Tx) Accept(row Row, id int64) {
	tx.column = true // near has rows now
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
		tx.undo = append(tx.undo, undo{which: which, kind: undoRemove, row: row, at: at})
	}
	if tx.from > 0 && id >= tx.from {
		tx.near[which].remove(id, r.Values)
	}
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
			s.unremove(u.row, u.at)
		case undoThin:
			*s = u.sample
		}
	}
	for i, s := range tx.d.sides {
		sample := s.sample
		*s = tx.before[i]
		s.sample = sample
	}
	for _, u := range slices.Backward(tx.sources) {
		if u.had {
			tx.d.quotas.sources[u.key] = u.used
		} else {
			delete(tx.d.quotas.sources, u.key)
		}
	}
}
