package engine_test

import (
	"fmt"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// BenchmarkValidateInto measures rows a second and allocations. Absolute
// numbers belong to one machine; fdqc bench puts them beside peers in the same
// run.
func BenchmarkValidateInto(b *testing.B) {
	const few, many = 1000, 1_000_000 // patterns on each side
	for _, c := range []struct {
		n, d, patterns int
		rows           []int
	}{
		{8, 8, few, []int{1, 64, 1024, 16384}},
		{8, 384, few, []int{1, 64, 1024, 16384}},
		{8, 768, few, []int{1, 64, 1024, 16384}},
		{384, 384, few, []int{1, 64, 1024, 16384}},
		{8, 8, many, []int{1024}},
	} {
		b.Run(fmt.Sprintf("n=%d/d=%d/patterns=%d", c.n, c.d, c.patterns), func(b *testing.B) {
			config := inMemory(c.n)
			config.Memory.Capacity = c.patterns
			e := open(b, config, engine.InMemory())
			for left := 2 * c.patterns; left > 0; left -= engine.MaxBatch {
				record(b, e, outcomes(normal(uint64(left), min(left, engine.MaxBatch), c.n), c.n))
			}
			for _, rows := range c.rows {
				b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
					batch := engine.Batch{Embeddings: normal(2, rows, c.d), Width: c.d}
					out := make([]engine.Verdict, rows)
					b.ReportAllocs()
					for b.Loop() {
						if err := e.ValidateInto(b.Context(), batch, out); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
				})
			}
		})
	}
}
