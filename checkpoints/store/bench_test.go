package store

import (
	"fmt"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
)

func wide(n int) *checkpoints.PatternSet {
	p := set(n, int64(n))
	p.Width = 16
	for _, s := range []*checkpoints.PatternSide{&p.Safe, &p.Unsafe} {
		s.Rows = make([]float32, n*16)
		for i := range s.Rows {
			s.Rows[i] = float32(i%977) / 977
		}
	}
	return p
}

func BenchmarkStore(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		for _, compress := range []bool{false, true} {
			s := open(b, Options{Dir: b.TempDir(), Key: newKey(b), RequireSigning: true, Compress: compress, Keep: 2})
			p := wide(n)
			b.Run(fmt.Sprintf("Save/%d/compress=%t", n, compress), func(b *testing.B) {
				for b.Loop() {
					c, err := s.Save(p, About{Reason: "auto"})
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(c.Manifest.Size), "bytes/file")
				}
			})
			b.Run(fmt.Sprintf("Newest/%d/compress=%t", n, compress), func(b *testing.B) {
				for b.Loop() {
					if l, err := s.Newest(); err != nil || l == nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
