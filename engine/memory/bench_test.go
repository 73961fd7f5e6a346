package memory

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkRecord records into a full side, one outcome a transaction and many,
// at equal and at arbitrary importances (the tournament's best and worst case).
func BenchmarkRecord(b *testing.B) {
	kinds := map[string]func(r *rand.Rand) float32{
		"equal":     func(*rand.Rand) float32 { return 1 },
		"arbitrary": func(r *rand.Rand) float32 { return r.Float32() * 8 },
	}
	for _, capacity := range []int{1_000, 1_000_000} {
		for _, kind := range []string{"equal", "arbitrary"} {
			for _, batch := range []int{1, 1024} {
				b.Run(fmt.Sprintf("capacity=%d/importance=%s/batch=%d", capacity, kind, batch), func(b *testing.B) {
					r := rand.New(rand.NewPCG(1, 2))
					m := mustNew(b, 16, capacity)
					z := make([]float32, 8)
					record := func(n int) {
						tx := m.Begin()
						for range n {
							z[0] = r.Float32()
							if _, err := tx.Record(Safe, z, kinds[kind](r)); err != nil {
								b.Fatal(err)
							}
						}
						tx.Commit()
					}
					record(capacity + capacity/2) // full, and no longer in the order of arrival
					b.ReportAllocs()
					b.ResetTimer()
					for done := 0; done < b.N; done += batch {
						record(min(batch, b.N-done))
					}
				})
			}
		}
	}
}
