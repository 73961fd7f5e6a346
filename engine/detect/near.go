package detect

import (
	"context"
	"math"
	"slices"
)

const (
	// leafRows is how many rows of a batch, a leaf, are compared with each other
	// one by one.
	leafRows = 128
	// mostCompared is how many rows a Computer takes at a time.
	mostCompared = 65536
)

// near is the rows of one side that a transaction stored, in order.
type near struct {
	ids  []int64   // ascending
	rows []float32 // [len(ids), width]; NaN, so near nothing, where one left the memory again
}

func (s *near) add(id int64, row []float32) {
	s.ids, s.rows = append(s.ids, id), append(s.rows, row...)
}

// remove drops a row that left the memory again, if it is here.
func (s *near) remove(id int64, width int) {
	if i, ok := slices.BinarySearch(s.ids, id); ok {
		s.rows[i*width] = float32(math.NaN())
	}
}

// values are those of the rows from one to another that are in the memory.
func (s *near) values(from, to, width int) []float32 {
	out := make([]float32, 0, (to-from)*width)
	for i := from; i < to; i++ {
		if row := s.rows[i*width : (i+1)*width]; row[0] == row[0] {
			out = append(out, row...)
		}
	}
	return out
}

// nearest is the distance to the nearest row, from one on, that is nearer than
// a bound (0 or above 0 with its square), +Inf when there is none.
func (s *near) nearest(row []float32, from int, bound float64) float64 {
	best := bound * bound // +Inf stays
	for rest := s.rows[from*len(row):]; len(rest) > 0; rest = rest[len(row):] {
		if square := squareWithin(row, rest[:len(row)], best); square < best {
			best = square
		}
	}
	if root := math.Sqrt(best); root < bound {
		return root
	}
	return math.Inf(1)
}

// squareWithin is the squared distance of two rows, or something at least
// `within` when it is as much.
func squareWithin(a, b []float32, within float64) float64 {
	var sum float64
	for len(a) > 4 {
		x, y := (*[4]float32)(a), (*[4]float32)(b)
		for j := range x {
			d := float64(x[j]) - float64(y[j])
			sum += d * d
		}
		if sum >= within {
			return sum
		}
		a, b = a[4:], b[4:]
	}
	b = b[:len(a)]
	for j := range a {
		d := float64(a[j]) - float64(b[j])
		sum += d * d
	}
	return sum
}

// compare brings same and other up to the leaf of row i: what was stored before
// the leaf is in them, what was stored since is in near from plain on.
//
// Which rows are stored is known only as judging proceeds. So before leaf k, of
// which 2^p is the lowest bit, the 2^p leaves from it on are compared with what
// was stored of the 2^p before it: each leaf with all before it, once, and most
// of it in large blocks.
func (b *Batch) compare(ctx context.Context, i int) error {
	if b.stored == nil {
		now := b.tx.stored()
		if max(len(b.rows), now[0]+now[1]) > leafRows {
			if err := b.against(ctx, 0, len(b.rows), [2]int{}, now); err != nil {
				return err
			}
			b.plain = now
		}
		b.stored = append(b.stored, now)
	}
	for leaf := len(b.stored); leaf*leafRows <= i; leaf++ {
		now, wide := b.tx.stored(), leaf&-leaf
		if err := b.against(ctx, leaf*leafRows, min((leaf+wide)*leafRows, len(b.rows)), b.stored[leaf-wide], now); err != nil {
			return err
		}
		b.stored, b.plain = append(b.stored, now), now
	}
	return nil
}

// against compares rows from one to another with what the transaction stored
// from one time to another.
func (b *Batch) against(ctx context.Context, first, last int, from, to [2]int) error {
	if from == to {
		return nil
	}
	d := b.tx.d
	width := d.config.Width
	rows := make([]float32, 0, (last-first)*width)
	for i := first; i < last; i++ {
		rows = append(rows, b.rows[i].Values...)
	}
	out := make([]float64, last-first)
	for which := range b.tx.near {
		for others := range slices.Chunk(b.tx.near[which].values(from[which], to[which], width), mostCompared*width) {
			if err := d.computer.DetectorNearest(ctx, width, rows, others, out); err != nil {
				return err
			}
			for k, distance := range out {
				to := &b.other[first+k]
				if b.rows[first+k].side() == which {
					to = &b.same[first+k]
				}
				*to = min(*to, distance)
			}
		}
	}
	return nil
}

// nearest is the distance of row i to the nearest pattern of its own and of the
// other side, with those of this transaction, as exactly as rules ask: the other
// side is looked at as far as it may contradict, an equal row always does; its
// own, where nothing contradicts, as far as a copy may lie.
func (b *Batch) nearest(i int) (same, other float64) {
	row, which := b.rows[i].Values, b.rows[i].side()
	s, near := b.tx.d.sides[which], &b.tx.near
	limits := s.limits
	if limits == nil {
		limits = noLimits
	}
	same, other = b.same[i], b.other[i]
	radius := max(limits.Close, math.SmallestNonzeroFloat32)
	if !math.IsInf(limits.Ratio, 1) {
		radius = max(radius, same/limits.Ratio)
	}
	other = min(other, near[1-which].nearest(row, b.plain[1-which], min(radius, other)))
	radius = max(2*s.near(), math.SmallestNonzeroFloat32)
	if ratioOf(same, other) > limits.Ratio {
		radius = same
	}
	return min(same, near[which].nearest(row, b.plain[which], min(radius, same))), other
}
