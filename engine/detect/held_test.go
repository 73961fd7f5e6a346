package detect

import (
	"context"
	"math/rand/v2"
	"testing"
)

// TestReleasedRowsCountAsHeldNoMore holds rows far away, which loosens the limit
// to the largest distance of a row in the memory, and lets a person drop them.
func TestReleasedRowsCountAsHeldNoMore(t *testing.T) {
	m, safe, _, _ := blobs(t, DefaultConfig(), 200, 400)
	limit := func() float64 {
		t.Helper()
		if err := m.d.Refit(t.Context()); err != nil {
			t.Fatal(err)
		}
		return m.d.sides[0].fit.limit
	}
	before := limit()
	var wild []outcome
	for range 100 {
		row := safe.row()
		row[0] += 50
		wild = append(wild, outcome{row, true, ""})
	}
	for i, findings := range m.record(wild, 10, false) {
		if !holds(findings) {
			t.Fatalf("row %d far away: got %v, want it to be held", i, findings)
		}
	}
	if got := limit(); !(got > before) {
		t.Errorf("after 100 held rows: got limit %v, want more than %v", got, before)
	}
	tx := m.d.Begin()
	for range wild {
		tx.Release(true, Outlier)
	}
	tx.Commit()
	if got := limit(); got != before {
		t.Errorf("after they were dropped: got limit %v, want %v", got, before)
	}
	tx = m.d.Begin()
	tx.Release(true, Outlier, Contradiction)
	tx.Commit()
	if h := m.d.sides[0].held; h != (Held{}) {
		t.Errorf("more released than held: got %+v, want none", h)
	}
}

// counting counts fits.
type counting struct {
	naive
	fits int
}

func (c *counting) DetectorFit(ctx context.Context, n int, rows, others []float32, location, factor, left, same, other []float64) (float64, float64, error) {
	c.fits++
	return c.naive.DetectorFit(ctx, n, rows, others, location, factor, left, same, other)
}

// TestAnEmptySampleAsksForNoFit: of the other side there are patterns enough
// for limits, and none of them is in the sample.
func TestAnEmptySampleAsksForNoFit(t *testing.T) {
	m, safe, _, _ := blobs(t, DefaultConfig(), 132, 400)
	c := &counting{}
	m.d.computer = c
	m.d.sides[1].sample, m.d.sides[0].limits = newSample(), nil
	var rows []outcome
	for range 20 {
		rows = append(rows, outcome{safe.row(), true, ""})
	}
	m.record(rows, 5, true)
	if c.fits > 2 {
		t.Errorf("got %d fits over 20 rows, want one, and one when they are due", c.fits)
	}
}

// TestSidesOfDifferentSize: a side of many patterns leaves the sample of a small
// one whole, and both are held to what they promise.
func TestSidesOfDifferentSize(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	safe, unsafe := newGaussian(random, 4, 0.3, 0), newGaussian(random, 4, 0.3, 0)
	for j := range unsafe.mean {
		safe.mean[j], unsafe.mean[j] = -0.5, 0.5
	}
	c := DefaultConfig()
	c.Width = 4
	m := newMemory(t, detector(t, c, shim(t), newClock()), 100_000)
	m.fill(safe.rows(300), unsafe.rows(40_000))
	for i, s := range m.d.sides {
		if s.fit == nil || s.limits == nil || len(s.sample.rows) < 300 {
			t.Fatalf("%s side: %d sampled, fit %v, limits %v, want all three", sideName(i), len(s.sample.rows), s.fit, s.limits)
		}
	}
	if n := len(m.d.sides[0].sample.rows); n != 300 {
		t.Errorf("got %d of 300 rows of the small side sampled, want all", n)
	}
	for _, side := range []struct {
		of   *gaussian
		safe bool
	}{{safe, true}, {unsafe, false}} {
		const rows = 2000
		held := 0
		for range rows / 50 {
			var some []outcome
			for range 50 {
				some = append(some, outcome{side.of.row(), side.safe, ""})
			}
			for _, findings := range m.dry(some) {
				if holds(findings) {
					held++
				}
			}
		}
		if share := float64(held) / rows; share < 0.02 || share > 0.10 {
			t.Errorf("safe %t: %.3f of clean rows held, want about 0.06", side.safe, share)
		}
	}
}
