package detect

import (
	"math"
	"slices"
)

// columns are the sums of a side's rows by column. They are kept to twice the
// precision of a float64 (Dekker, "A floating-point technique for extending the
// available precision", 1971), so that taking a row out undoes putting it in:
// after any number of changes mean and variance are those computed anew.
type columns struct {
	count   int
	sums    []pair // [width]
	squares []pair // [width]
}

func newColumns(width int) columns {
	return columns{sums: make([]pair, width), squares: make([]pair, width)}
}

func (c *columns) clone() columns {
	return columns{c.count, slices.Clone(c.sums), slices.Clone(c.squares)}
}

func (c *columns) add(row []float32) {
	c.count++
	for j, v := range row {
		x := float64(v)
		c.sums[j].add(x)
		c.squares[j].add(x * x) // exact: 24 bits each
	}
}

func (c *columns) remove(row []float32) {
	if c.count--; c.count == 0 {
		clear(c.sums)
		clear(c.squares)
		return
	}
	for j, v := range row {
		x := float64(v)
		c.sums[j].add(-x)
		c.squares[j].add(-(x * x))
	}
}

func (c *columns) mean(j int) float64 { return c.sums[j].value() / float64(c.count) }

// variance is unbiased; at least two rows.
func (c *columns) variance(j int) float64 {
	n, sum, square := float64(c.count), &c.sums[j], &c.squares[j]
	// n*square - sum^2, in which the leading parts may cancel.
	a, aLow := product(n, square.high)
	b, bLow := product(sum.high, sum.high)
	over := (a - b) + ((aLow + n*square.low) - (bLow + 2*sum.high*sum.low))
	return max(0, over) / (n * (n - 1))
}

// trace is the sum of the variances, 0 with fewer than two rows.
func (c *columns) trace() float64 {
	if c.count < 2 {
		return 0
	}
	var sum float64
	for j := range c.sums {
		sum += c.variance(j)
	}
	return sum
}

func (c *columns) means() []float64 {
	out := make([]float64, len(c.sums))
	for j := range out {
		out[j] = c.mean(j)
	}
	return out
}

// distance is that of section 5 of the validator specification; at least two
// rows.
func (c *columns) distance(row []float32) float64 {
	var sum float64
	for j, v := range row {
		z := (float64(v) - c.mean(j)) / (math.Sqrt(c.variance(j)) + 1e-8)
		sum += z * z
	}
	return math.Sqrt(sum)
}

// pair is the number high + low, where low is what high had no room for.
type pair struct{ high, low float64 }

func (p *pair) value() float64 { return p.high + p.low }

func (p *pair) add(x float64) {
	sum := p.high + x
	back := sum - p.high
	low := (p.high - (sum - back)) + (x - back) + p.low
	p.high = sum + low
	p.low = low - (p.high - sum)
}

// product is a*b and what it rounds off.
func product(a, b float64) (high, low float64) {
	high = float64(a * b)
	return high, math.FMA(a, b, -high)
}
