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

// Whatever the split into batches is, a row finds the nearest of what the
// transaction stored before it; rows that left the memory again may count or not.
func TestNearestOfATransaction(t *testing.T) {
	for _, c := range []struct {
		n, batch, leave int // one of so many leaves
	}{{2, 1, 0}, {3, 1, 3}, {2, leafRows, 0}, {8, leafRows + 1, 0}, {4, 1000, 0}, {4, 1000, 3}, {20, 777, 2}} {
		random := rand.New(rand.NewPCG(uint64(c.batch), uint64(c.n)))
		config := DefaultConfig()
		config.Width = c.n
		tx := detector(t, config, naive{}, newClock()).Begin()
		var all, left [2][]pattern
		least := func(rows []pattern, row []float32) float64 {
			best := math.Inf(1)
			for _, p := range rows {
				best = min(best, squareWithin(row, p.row, math.Inf(1)))
			}
			return math.Sqrt(best)
		}
		for id := int64(1); id < 1200; {
			rows := make([]Row, c.batch)
			for i := range rows {
				rows[i] = Row{Values: make([]float32, c.n), Safe: random.IntN(3) > 0, NearestSame: math.Inf(1), NearestOther: math.Inf(1)}
				for j := range rows[i].Values {
					rows[i].Values[j] = float32(random.IntN(30))
				}
			}
			b := tx.Prepare(rows)
			for i := range rows {
				row, which := rows[i].Values, rows[i].side()
				if err := b.compare(t.Context(), i); err != nil {
					t.Fatal(err)
				}
				for k, got := range []float64{
					min(b.same[i], tx.near[which].nearest(row, b.plain[which], math.Inf(1))),
					min(b.other[i], tx.near[1-which].nearest(row, b.plain[1-which], math.Inf(1))),
				} {
					of := which ^ k
					if low, high := least(all[of], row), least(left[of], row); got < low || got > high {
						t.Fatalf("%+v, after %d, row %d, side %d: got %v, want %v to %v", c, id, i, of, got, low, high)
					}
				}
				if random.IntN(4) == 0 {
					continue
				}
				p := pattern{id, row}
				b.Store(i, id)
				all[which], left[which] = append(all[which], p), append(left[which], p)
				if k := random.IntN(len(left[which])); c.leave > 0 && id%int64(c.leave) == 0 {
					tx.Evicted(which == 0, left[which][k].id, left[which][k].row)
					left[which] = append(left[which][:k:k], left[which][k+1:]...)
				}
				id++
			}
		}
	}
}

// Rows are looked for among those that are nearer than a bound.
func TestNearestWithinABound(t *testing.T) {
	s := near{}
	for i, x := range []float32{5, 3, 4} {
		s.add(int64(i), []float32{x, 0})
	}
	s.remove(1, 2)
	for _, c := range []struct {
		from  int
		bound float64
		want  float64
	}{{0, math.Inf(1), 4}, {0, 4.5, 4}, {0, 4, math.Inf(1)}, {0, 0, math.Inf(1)}, {3, math.Inf(1), math.Inf(1)}} {
		if got := s.nearest([]float32{0, 0}, c.from, c.bound); got != c.want {
			t.Errorf("from %d, bound %v: got %v, want %v", c.from, c.bound, got, c.want)
		}
	}
}
