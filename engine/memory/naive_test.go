package memory

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// naive is the rule of the specification written down as plainly as possible:
// the twin that the memory is compared with.
type naive struct {
	n, capacity                int
	counter, nextID, evictions int64
	sides                      [2][]naiveRow
}

type naiveRow struct {
	id, timestamp int64
	importance    float32
	vector        []float32
}

func newNaive(n, capacity int) *naive { return &naive{n: n, capacity: capacity, nextID: 1} }

func (v *naive) worst(side Side) int {
	best, row := 0.0, -1
	for i, r := range v.sides[side] {
		score := float64(v.counter-r.timestamp) / (float64(r.importance) + 1)
		if row < 0 || score > best {
			best, row = score, i
		}
	}
	return row
}

// record returns the row and the id that was evicted, or 0.
func (v *naive) record(side Side, workspace []float32, importance float32) (row int, evicted int64) {
	v.counter++
	vector := append(slices.Clone(workspace), make([]float32, v.n)...)
	fresh := naiveRow{id: v.nextID, timestamp: v.counter, importance: importance, vector: vector}
	v.nextID++
	if len(v.sides[side]) < v.capacity {
		v.sides[side] = append(v.sides[side], fresh)
		return len(v.sides[side]) - 1, 0
	}
	row = v.worst(side)
	evicted = v.sides[side][row].id
	v.sides[side][row] = fresh
	v.evictions++
	return row, evicted
}

func (v *naive) resize(capacity int) (ids []int64) {
	v.capacity = capacity
	for _, side := range Sides() {
		for len(v.sides[side]) > capacity {
			row := v.worst(side)
			ids = append(ids, v.sides[side][row].id)
			v.sides[side] = slices.Delete(v.sides[side], row, row+1)
			v.evictions++
		}
	}
	return ids
}

func (v *naive) clone() *naive {
	c := *v
	for i := range c.sides {
		c.sides[i] = slices.Clone(v.sides[i])
	}
	return &c
}

func (v *naive) snapshot() Snapshot {
	s := Snapshot{Width: 2 * v.n, Capacity: v.capacity, Counter: v.counter, NextID: v.nextID, Evictions: v.evictions}
	for i, rows := range v.sides {
		to := &s.Sides[i]
		*to = SideSnapshot{Rows: []float32{}, Timestamps: []int64{}, IDs: []int64{}, Importance: []float32{}}
		for _, r := range rows {
			to.Rows = append(to.Rows, r.vector...)
			to.Timestamps = append(to.Timestamps, r.timestamp)
			to.IDs = append(to.IDs, r.id)
			to.Importance = append(to.Importance, r.importance)
		}
	}
	return s
}

// importances makes the importances of one run of the property test.
var importances = map[string]func(r *rand.Rand) float32{
	"all one":     func(*rand.Rand) float32 { return 1 },
	"few":         func(r *rand.Rand) float32 { return float32(r.IntN(4)) },
	"any":         func(r *rand.Rand) float32 { return r.Float32() * 8 },
	"near equal":  func(r *rand.Rand) float32 { return 1 + float32(r.IntN(3))/(1<<23) },
	"vanishing":   func(r *rand.Rand) float32 { return []float32{0, 1e-30, 2.3e-16, 4.5e-16, 1e-7}[r.IntN(5)] },
	"far apart":   func(r *rand.Rand) float32 { return []float32{0, 1, 1e6, 3e38}[r.IntN(4)] },
	"exact ties":  func(r *rand.Rand) float32 { return float32([]int{0, 1, 3, 7}[r.IntN(4)]) },
	"mostly zero": func(r *rand.Rand) float32 { return float32(r.IntN(10) / 9 * r.IntN(100)) },
}

// TestNaiveTwin runs random transactions on a memory and on its twin. Every
// answer and every state in between must be the same.
func TestNaiveTwin(t *testing.T) {
	for name, importance := range importances {
		for seed := range uint64(12) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				t.Parallel()
				twins := startTwins(t, rand.New(rand.NewPCG(seed, 7)), importance)
				for range 60 {
					twins.transaction()
				}
			})
		}
	}
}

type twins struct {
	t          *testing.T
	r          *rand.Rand
	importance func(*rand.Rand) float32
	m          *Memory
	v          *naive
	log        []string
}

// startTwins begins with an empty memory or with one restored from a snapshot
// whose timestamps tie, as those of a Python checkpoint may.
func startTwins(t *testing.T, r *rand.Rand, importance func(*rand.Rand) float32) *twins {
	w := &twins{t: t, r: r, importance: importance, v: newNaive(1+r.IntN(3), 1+r.IntN(24))}
	if r.IntN(2) == 0 {
		base := int64(r.IntN(2)) * (MaxCounter - 1_000_000) // also where ages need all the bits
		w.v.counter = base + int64(r.IntN(40))
		for _, side := range Sides() {
			for range r.IntN(w.v.capacity + 1) {
				w.v.sides[side] = append(w.v.sides[side], naiveRow{
					id: w.v.nextID, timestamp: max(0, w.v.counter-int64(r.IntN(6))) * int64(r.IntN(4)/2%2),
					importance: importance(r), vector: w.vector(2 * w.v.n),
				})
				w.v.nextID++
			}
		}
	}
	var err error
	if w.m, err = Restore(w.v.snapshot(), w.v.capacity); err != nil {
		t.Fatalf("restore: got %v, want no error", err)
	}
	return w
}

func (w *twins) vector(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = w.r.Float32()
	}
	return out
}

func (w *twins) say(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *twins) transaction() {
	w.t.Helper()
	before := w.m.Snapshot()
	statsBefore := w.m.Stats()
	kept := w.v.clone()
	tx := w.m.Begin()
	w.say("begin")
	for range w.r.IntN(30) {
		w.step(tx)
		if w.r.IntN(8) == 0 {
			w.same("tx snapshot", tx.Snapshot(), w.v.snapshot())
		}
	}
	if got := w.m.Stats(); got != statsBefore {
		w.t.Fatalf("stats during a transaction: got %+v, want the committed %+v", got, statsBefore)
	}
	w.changes(tx, before)
	if w.r.IntN(3) == 0 {
		w.say("rollback")
		tx.Rollback()
		tx.Commit()
		w.v = kept
		w.same("after rollback", w.m.Snapshot(), before)
	} else {
		w.say("commit")
		tx.Commit()
		tx.Rollback()
	}
	w.same("committed", w.m.Snapshot(), w.v.snapshot())
	if w.r.IntN(10) == 0 {
		var err error
		if w.m, err = Restore(w.m.Snapshot(), w.v.capacity); err != nil {
			w.t.Fatalf("restore of the memory's own snapshot: got %v, want no error", err)
		}
		w.say("restore")
	}
}

func (w *twins) step(tx *Tx) {
	w.t.Helper()
	side := Side(w.r.IntN(2))
	switch choice := w.r.IntN(40); {
	case choice == 0:
		capacity := 1 + w.r.IntN(24)
		w.say("resize %d", capacity)
		evictions, err := tx.Resize(capacity)
		if err != nil {
			w.t.Fatalf("resize to %d: got %v, want no error", capacity, err)
		}
		var got []int64
		for _, e := range evictions {
			got = append(got, e.ID)
		}
		if want := w.v.resize(capacity); !slices.Equal(got, want) {
			w.t.Fatalf("resize to %d evicted ids: got %v, want %v", capacity, got, want)
		}
	case choice < 8 && len(w.v.sides[side]) > 0:
		row, value := w.r.IntN(len(w.v.sides[side])), w.importance(w.r)
		w.say("importance of %s row %d = %v", side, row, value)
		if err := tx.SetImportance(side, row, value); err != nil {
			w.t.Fatalf("set importance: got %v, want no error", err)
		}
		w.v.sides[side][row].importance = value
	default:
		z, value := w.vector(w.v.n), w.importance(w.r)
		w.say("record %s importance %v", side, value)
		got, err := tx.Record(side, z, value)
		if err != nil {
			w.t.Fatalf("record: got %v, want no error", err)
		}
		before := w.v.sides[side]
		gone := map[int64][]float32{}
		for i := range before {
			gone[before[i].id] = slices.Clone(before[i].vector)
		}
		row, evicted := w.v.record(side, z, value)
		want := Change{Side: side, Row: row, ID: w.v.nextID - 1, Vector: w.v.sides[side][row].vector, Evicted: evicted, Gone: gone[evicted]}
		if !reflect.DeepEqual(got, want) {
			w.t.Fatalf("record at counter %d: got %+v, want %+v\n%v", w.v.counter, got, want, w.log)
		}
	}
}

// changes applies the transaction's changes to a copy of the state before it,
// as a device copy would be kept, and compares with the state after.
func (w *twins) changes(tx *Tx, before Snapshot) {
	w.t.Helper()
	after := tx.Snapshot()
	for _, side := range Sides() {
		old, now := before.Sides[side], after.Sides[side]
		rows, ids := slices.Clone(old.Rows), slices.Clone(old.IDs)
		for _, c := range tx.Changes() {
			if c.Side != side {
				continue
			}
			for c.Row >= len(ids) {
				ids, rows = append(ids, 0), append(rows, make([]float32, before.Width)...)
			}
			if ids[c.Row] == c.ID {
				w.t.Fatalf("%s row %d is listed as changed, but holds id %d as before", side, c.Row, c.ID)
			}
			was := ids[c.Row]
			if c.Row < len(old.IDs) {
				was = old.IDs[c.Row]
			}
			if slices.Contains(now.IDs, was) {
				was = 0
			}
			if c.Evicted != was {
				w.t.Fatalf("%s row %d: got evicted id %d, want %d\n%v", side, c.Row, c.Evicted, was, w.log)
			}
			ids[c.Row] = c.ID
			copy(rows[c.Row*before.Width:], c.Vector)
		}
		count := tx.Stats().Patterns[side]
		if count > len(ids) || !slices.Equal(ids[:count], now.IDs) || !slices.Equal(rows[:count*before.Width], now.Rows) {
			w.t.Fatalf("%s side by its changes: got ids %v, want %v\n%v", side, ids, now.IDs, w.log)
		}
	}
}

func (w *twins) same(what string, got, want Snapshot) {
	w.t.Helper()
	if !reflect.DeepEqual(got, want) {
		w.t.Fatalf("%s: got %+v\nwant %+v\nafter %v", what, got, want, w.log)
	}
}
