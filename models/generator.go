package models

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// generator draws weights. It is ChaCha8 (C2SP, chacha8rand) keyed with the
// SHA-256 of a purpose and its numbers; the mapping from its words to floats
// is written out here, so that a draw never changes with a library.
type generator struct {
	words *rand.ChaCha8
}

func newGenerator(purpose string, numbers ...int64) *generator {
	h := sha256.New()
	h.Write([]byte("fdqc " + purpose))
	for _, n := range numbers {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	}
	return &generator{words: rand.NewChaCha8([32]byte(h.Sum(nil)))}
}

// unit is uniform in (0, 1) with 24 bits, the precision of a float32.
func (g *generator) unit() float64 {
	return (float64(g.words.Uint64()>>40) + 0.5) / (1 << 24)
}

// linear draws weight [out, in] and bias [out] as PyTorch's nn.Linear does by
// default: Kaiming uniform with a = √5, which is U(−1/√in, 1/√in) for both.
func (g *generator) linear(out, in int) (weight, bias []float32) {
	bound := 1 / math.Sqrt(float64(in))
	draw := func(n int) []float32 {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32((2*g.unit() - 1) * bound)
		}
		return values
	}
	return draw(out * in), draw(out)
}

// normal draws n numbers of scale·N(0,1) by the Box–Muller transform.
func (g *generator) normal(n int, scale float64) []float32 {
	values := make([]float32, n)
	for i := range values {
		radius := math.Sqrt(-2 * math.Log(g.unit()))
		values[i] = float32(scale * radius * math.Cos(2*math.Pi*g.unit()))
	}
	return values
}
