package detect

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkFit is what a quarter of a side's rows share.
func BenchmarkFit(b *testing.B) {
	computer := shim(b)
	for _, c := range []struct{ n, count, queries int }{{8, 1000, 0}, {8, 4000, 0}, {8, 1000, 1000}, {384, 1000, 0}, {384, 4000, 0}, {384, 4000, 1024}} {
		b.Run(fmt.Sprintf("n=%d/rows=%d/queries=%d", c.n, c.count, c.queries), func(b *testing.B) {
			g := newGaussian(rand.New(rand.NewPCG(1, 2)), c.n, 0.5, 1)
			var rows []float32
			for range c.count {
				rows = append(rows, g.row()...)
			}
			location, factor, left := make([]float64, c.n), make([]float64, c.n*c.n), make([]float64, c.count)
			same, other := make([]float64, c.queries), make([]float64, c.queries)
			for b.Loop() {
				if _, _, err := computer.DetectorFit(b.Context(), c.n, rows, rows, location, factor, left, same, other); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
