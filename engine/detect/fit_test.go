package detect

import (
	"math"
	"math/rand/v2"
	"testing"
)

// fitOf is what a computer answers, in one list.
func fitOf(t *testing.T, c Computer, n int, rows, others []float32, queries int) []float64 {
	t.Helper()
	count := len(rows) / n
	location, factor, left := make([]float64, n), make([]float64, n*n), make([]float64, count)
	same, other, far := make([]float64, queries), make([]float64, queries), make([]float64, len(others)/n)
	trace, square, err := c.DetectorFit(t.Context(), n, rows, others, location, factor, left, same, other)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DetectorDistances(t.Context(), n, location, factor, others, far); err != nil {
		t.Fatal(err)
	}
	out := []float64{trace, square}
	for _, part := range [][]float64{location, factor, left, same, other, far} {
		out = append(out, part...)
	}
	return out
}

// The shim, the plain arithmetic, and the same with each row left out by
// fitting anew, agree.
func TestFitsAgree(t *testing.T) {
	computer := shim(t)
	random := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		n, count, others int
		decay            float64
	}{{4, 40, 10, 0}, {5, 41, 41, 1}, {8, 100, 30, 0.5}, {24, 38, 5, 0}, {40, 30, 7, 0.5}} {
		g := newGaussian(random, c.n, c.decay, 3)
		flat := func(count int) (out []float32) {
			for range count {
				out = append(out, g.row()...)
			}
			return out
		}
		rows, others := flat(c.count), flat(c.others)
		for j := range c.count / 8 * c.n { // bad rows
			rows[j] += 30
		}
		copy(rows[len(rows)-c.n:], rows[len(rows)/c.n/2*c.n:]) // and a copy
		got := fitOf(t, computer, c.n, rows, others, c.count/2)
		for name, want := range map[string][]float64{
			"plain": fitOf(t, naive{}, c.n, rows, others, c.count/2), "each left out": fitOf(t, naive{explicit: true}, c.n, rows, others, c.count/2),
		} {
			for i := range want {
				if !(math.Abs(got[i]-want[i]) <= 1e-7*math.Max(1, math.Abs(want[i]))) {
					t.Fatalf("n %d, %d rows, %s, number %d: got %v, want %v", c.n, c.count, name, i, got[i], want[i])
				}
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	upTo := func(n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = float64((i*101)%n + 1) // 1 to n in another order
		}
		return out
	}
	for _, c := range []struct {
		name       string
		values     []float64
		held, tail float64
		want       float64
	}{
		{"one of twenty is as likely as the new one", upTo(19), 0, 0.05, 19},
		{"two of forty", upTo(39), 0, 0.05, 38},
		{"between two", upTo(38), 0, 0.05, 37.05},
		{"as many held as expected: their tail is above", upTo(95), 5, 0.05, 95},
		{"too few held: tighter", upTo(98), 1, 0.05, 95.00},
		{"a flood held: the largest, no more", upTo(98), 1000, 0.05, 98},
		{"nothing to interpolate with", []float64{1, 2, math.Inf(1)}, 0, 0.4, math.Inf(1)},
	} {
		if got := quantile(c.values, c.held, c.tail); math.Abs(got-c.want) > 1e-9 && got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
