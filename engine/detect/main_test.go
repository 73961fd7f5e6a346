package detect

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
)

// native is the arithmetic of the shim on the CPU.
type native struct{ *torch.Library }

func (c native) DetectorFit(ctx context.Context, n int, rows, others []float32, location, factor, left, same, other []float64) (float64, float64, error) {
	return c.Library.DetectorFit(ctx, torch.CPU, n, rows, others, location, factor, left, same, other)
}

func (c native) DetectorDistances(ctx context.Context, n int, location, factor []float64, rows []float32, out []float64) error {
	return c.Library.DetectorDistances(ctx, torch.CPU, n, location, factor, rows, out)
}

func (c native) DetectorNearest(ctx context.Context, n int, rows, others []float32, out []float64) error {
	return c.Library.DetectorNearest(ctx, torch.CPU, n, rows, others, out)
}

var opened = sync.OnceValues(func() (*torch.Library, error) { return torch.Open(torch.Options{Threads: 1}) })

func shim(t testing.TB) native {
	t.Helper()
	if os.Getenv("FDQC_LIB") == "" {
		t.Skip("FDQC_LIB is not set: run `make build`")
	}
	l, err := opened()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return native{l}
}

// clock is put forward by hand.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.at }

func detector(t testing.TB, c Config, computer Computer, at *clock) *Detector {
	t.Helper()
	d, err := New(c, computer, at.now)
	if err != nil {
		t.Fatalf("new: %v", err)
	}
	return d
}

// memory is the caller's side: a naive memory that evicts the oldest.
type memory struct {
	t        testing.TB
	d        *Detector
	capacity int
	nextID   int64
	sides    [2][]pattern
}

type pattern struct {
	id  int64
	row []float32
}

func newMemory(t testing.TB, d *Detector, capacity int) *memory {
	return &memory{t: t, d: d, capacity: capacity, nextID: 1}
}

// fill loads a memory with clean rows.
func (m *memory) fill(safe, unsafe [][]float32) {
	m.t.Helper()
	for which, rows := range [2][][]float32{safe, unsafe} {
		for _, r := range rows {
			m.sides[which] = append(m.sides[which], pattern{m.nextID, r})
			m.nextID++
		}
	}
	if err := m.d.Load(m.t.Context(), m.patterns(0), m.patterns(1)); err != nil {
		m.t.Fatalf("load: %v", err)
	}
}

// patterns have as many zeros behind them as an engine's.
func (m *memory) patterns(which int) Patterns {
	width := m.d.config.Width
	p := Patterns{Stride: 2 * width}
	for _, r := range m.sides[which] {
		p.IDs = append(p.IDs, r.id)
		p.Rows = append(append(p.Rows, r.row...), make([]float32, width)...)
	}
	return p
}

func (m *memory) nearest(which int, row []float32) float64 {
	best := math.Inf(1)
	for _, p := range m.sides[which] {
		best = min(best, squareWithin(row, p.row, best))
	}
	return math.Sqrt(best)
}

// outcome is a row for record.
type outcome struct {
	row    []float32
	safe   bool
	source string
}

// record records outcomes, as one transaction of batches of at most some rows,
// and answers the findings of each. What a finding holds is not stored, unless
// all is to be.
func (m *memory) record(outcomes []outcome, batch int, flag bool) [][]Finding {
	m.t.Helper()
	tx := m.d.Begin()
	committed := m.sides
	for i := range committed {
		committed[i] = append([]pattern(nil), committed[i]...)
	}
	var all [][]Finding
	at := memory{sides: committed}
	for from := 0; from < len(outcomes); from += batch {
		some := outcomes[from:min(from+batch, len(outcomes))]
		rows := make([]Row, len(some))
		for i, o := range some {
			rows[i] = at.asRow(o)
		}
		b := tx.Prepare(rows)
		for i := range rows {
			findings, err := b.Judge(m.t.Context(), i)
			if err != nil {
				m.t.Fatalf("judge: %v", err)
			}
			all = append(all, findings)
			if holds(findings) && !flag {
				b.Hold(i)
				continue
			}
			m.store(tx, b, i)
		}
	}
	tx.Commit()
	return all
}

func (m *memory) asRow(o outcome) Row {
	r := Row{Values: o.row, Safe: o.safe, Source: o.source}
	r.NearestSame, r.NearestOther = m.nearest(r.side(), o.row), m.nearest(1-r.side(), o.row)
	return r
}

func (m *memory) store(tx *Tx, b *Batch, i int) {
	which := b.rows[i].side()
	if len(m.sides[which]) == m.capacity {
		oldest := m.sides[which][0]
		m.sides[which] = m.sides[which][1:]
		tx.Evicted(which == 0, oldest.id, oldest.row)
	}
	m.sides[which] = append(m.sides[which], pattern{m.nextID, b.rows[i].Values})
	b.Store(i, m.nextID)
	m.nextID++
}

func holds(findings []Finding) bool {
	for _, f := range findings {
		if f.Holds {
			return true
		}
	}
	return false
}

func has(findings []Finding, rule Rule) bool {
	for _, f := range findings {
		if f.Rule == rule {
			return true
		}
	}
	return false
}

// gaussian draws rows of a random mean and covariance, whose k-th eigenvalue is
// 1/k^(2 decay).
type gaussian struct {
	random  *rand.Rand
	mean    []float64
	spread  []float64
	mirrors [3][]float64 // unit vectors; reflections by three turn everything
}

func newGaussian(random *rand.Rand, n int, decay, apart float64) *gaussian {
	g := &gaussian{random: random, mean: make([]float64, n), spread: make([]float64, n)}
	for j := range n {
		g.mean[j] = apart * random.NormFloat64()
		g.spread[j] = math.Pow(float64(j+1), -decay)
	}
	for k := range g.mirrors {
		v := make([]float64, n)
		for j := range v {
			v[j] = random.NormFloat64()
		}
		length := math.Sqrt(square(v, make([]float64, n)))
		for j := range v {
			v[j] /= length
		}
		g.mirrors[k] = v
	}
	return g
}

func (g *gaussian) row() []float32 {
	x := make([]float64, len(g.mean))
	for j := range x {
		x[j] = g.spread[j] * g.random.NormFloat64()
	}
	for _, v := range g.mirrors {
		var along float64
		for j := range x {
			along += x[j] * v[j]
		}
		for j := range x {
			x[j] -= 2 * along * v[j]
		}
	}
	out := make([]float32, len(x))
	for j := range out {
		out[j] = float32(g.mean[j] + x[j])
	}
	return out
}

func (g *gaussian) rows(count int) [][]float32 {
	out := make([][]float32, count)
	for i := range out {
		out[i] = g.row()
	}
	return out
}
