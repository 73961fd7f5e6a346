package engine_test

import (
	"fmt"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// BenchmarkValidateInto measures rows a second against 1,000 + 1,000
// patterns. Absolute numbers belong to one machine; fdqc bench puts them
// beside a peer in the same run.
func BenchmarkValidateInto(b *testing.B) {
	for _, shape := range []struct{ n, d int }{{8, 8}, {8, 384}, {8, 768}, {384, 384}} {
		for _, rows := range []int{1, 64, 1024, 16384} {
			b.Run(fmt.Sprintf("n=%d/d=%d/rows=%d", shape.n, shape.d, rows), func(b *testing.B) {
				e := open(b, inMemory(shape.n), engine.InMemory())
				record(b, e, outcomes(normal(1, 2000, shape.n), shape.n))
				batch := engine.Batch{Embeddings: normal(2, rows, shape.d), Width: shape.d}
				out := make([]engine.Verdict, rows)
				for b.Loop() {
					if err := e.ValidateInto(b.Context(), batch, out); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}
