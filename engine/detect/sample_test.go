package detect

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A large memory is sampled evenly, and the sample follows evictions.
func TestSampleOfALargeMemory(t *testing.T) {
	config := DefaultConfig()
	config.Width = 2
	d := detector(t, config, idle{}, newClock()) // no fit of it is needed
	m := newMemory(t, d, 30_000)
	random := rand.New(rand.NewPCG(1, 1))
	row := func() []float32 { return []float32{random.Float32(), random.Float32()} }
	var safe [][]float32
	for range 20_000 {
		safe = append(safe, row())
	}
	m.sides[0] = nil
	m.fill(safe, nil)
	for range 40 {
		tx := d.Begin()
		rows := make([]Row, 500)
		for i := range rows {
			rows[i] = Row{Values: row(), Safe: true}
		}
		b := &Batch{tx: tx, rows: rows, verdicts: make([]verdict, len(rows))}
		for i := range rows {
			m.store(tx, b, i)
		}
		tx.Commit()
	}
	side := d.sides[0]
	share := side.share()
	want := share * float64(len(m.sides[0]))
	if got := float64(len(side.sample.rows)); got > mostSampled || math.Abs(got-want) > 5*math.Sqrt(want) {
		t.Errorf("got %v rows sampled, want at most %d, about %v", got, mostSampled, want)
	}
	held := map[int64][]float32{}
	for _, p := range m.sides[0] {
		held[p.id] = p.row
	}
	old := 0
	for i, r := range side.sample.rows {
		if p := held[r.id]; p == nil || p[0] != r.row[0] || side.sample.at[r.id] != i {
			t.Fatalf("row %d of the sample: got pattern %d, which the memory holds as %v", i, r.id, p)
		}
		if r.id < m.nextID-15_000 {
			old++
		}
	}
	if got, want := float64(old), want/2; math.Abs(got-want) > 5*math.Sqrt(want) {
		t.Errorf("got %v of the older half sampled, want about %v", got, want)
	}
	if side.columns.count != len(m.sides[0]) {
		t.Errorf("got %d rows in the sums, want %d", side.columns.count, len(m.sides[0]))
	}
}

func TestNearestOfATransaction(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{2, 20, 40} {
		index := near{column: 1}
		var rows []pattern
		row := func() []float32 {
			out := make([]float32, n)
			for j := range out {
				out[j] = float32(random.IntN(20)) // many equal keys
			}
			return out
		}
		for step := range 3000 {
			if len(rows) > 0 && random.IntN(4) == 0 {
				i := random.IntN(len(rows))
				index.remove(rows[i].id, rows[i].row)
				rows[i] = rows[len(rows)-1]
				rows = rows[:len(rows)-1]
			} else {
				p := pattern{int64(step), row()}
				index.insert(p.id, p.row)
				rows = append(rows, p)
			}
			if step%7 != 0 {
				continue
			}
			probe := row()
			bound := []float64{0, 1e-9, 3, 30, math.Inf(1)}[random.IntN(5)]
			want := math.Inf(1)
			for _, p := range rows {
				if d := math.Sqrt(squareWithin(probe, p.row, math.Inf(1))); d < bound {
					want = min(want, d)
				}
			}
			if got := index.nearest(probe, bound); got != want {
				t.Fatalf("n %d, step %d, %d rows, bound %v: got %v, want %v", n, step, len(rows), bound, got, want)
			}
		}
	}
}
