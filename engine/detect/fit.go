package detect

import (
	"context"
	"fmt"
	"math"
	"slices"
)

const (
	// Parts of the share of clean rows that may be held, 1 - sensitivity: of the
	// outlier rule and of the two parts of the contradiction rule, of which one
	// row in two fails both.
	outlierPart = 0.8
	ratioPart   = 0.2
	closePart   = 0.1
	// bulkLow is the share of distances to the other side below what is taken for
	// their bulk.
	bulkLow = 0.05
	// mostQueries is of how many rows the nearest others are looked for.
	mostQueries = 1024
	// nearShare is how near a copy is, by the root mean square distance of the
	// side's rows from their mean.
	nearShare = 0.01
)

// fit is what a side's sample said. It is never changed.
type fit struct {
	location, factor []float64
	count            int     // patterns of its side, all of them
	limit            float64 // of the calibrated distance
	near             float64 // to the nearest same pattern
	shape            float64 // tr(C^2) / tr(C)^2, 1/n for a ball, 1 for a line
}

// Limits are those of a side's distances to its nearest patterns. They stay
// until a side has doubled: rows that they held are missing between the sides,
// so that those that are left look farther apart than clean rows are. They are
// never changed.
type Limits struct {
	Count  int     `json:"count"` // patterns of its side, all of them
	Others int     `json:"others"`
	Ratio  float64 `json:"ratio"`  // of nearest same by nearest other
	Within float64 `json:"within"` // nearest other that no clean row was beyond
	Close  float64 `json:"close"`  // of nearest other, from below; 0: none
}

// noLimits hold nothing.
var noLimits = &Limits{Ratio: math.Inf(1)}

// share is of clean rows that which a part of what may be held comes to.
func (c *Config) share(part float64) float64 { return part * (1 - c.Sensitivity) }

// least is the fewest rows that a side is fitted from: with twice as many as
// the quantile needs, no single row is the limit. 48 at a sensitivity of 0.95.
func (c *Config) least() int {
	tail := c.share(outlierPart)
	return max(16, int(math.Ceil(2*(1-tail)/tail)))
}

// leastPairs is the fewest rows of a side from which the ratio's limit is taken:
// below, even the largest value is passed by half as many clean rows again as
// may be held, one in leastPairs + 1. 66 at a sensitivity of 0.95.
func (c *Config) leastPairs() int {
	return int(math.Ceil(1/(1.5*c.share(ratioPart)) - 1))
}

// limited says whether the limits of a side are those of a memory like this.
func (d *Detector) limited(which int) bool {
	count, others := d.sides[which].columns.count, d.sides[1-which].columns.count
	if min(count, others) < d.config.leastPairs() {
		return true
	}
	l := d.sides[which].limits
	return l != nil && count < 2*l.Count && others < 2*l.Others
}

// fitted fits a side, and answers new limits where they are due, else those
// that it has.
func (d *Detector) fitted(ctx context.Context, which int) (*fit, *Limits, error) {
	own, width := d.sides[which], d.config.Width
	rows := own.sample.shuffled(width, own.below)
	p := d.pairing(which)
	f := &fit{
		location: make([]float64, width), factor: make([]float64, width*width),
		count: own.columns.count,
	}
	left := make([]float64, len(own.sample.rows))
	compute := func(rows []float32, p *pairing, left []float64) (trace, square float64, err error) {
		trace, square, err = d.computer.DetectorFit(ctx, width, rows, p.others, f.location, f.factor, left, p.same, p.across)
		if err != nil {
			err = fmt.Errorf("detector: fit of the %s side: %w", sideName(which), err)
		}
		return trace, square, err
	}
	if n := len(p.rows); n > 0 && n < len(rows) {
		// Neighbours first, of a part of the rows, whose fit is not the side's.
		if _, _, err := compute(p.rows, p, make([]float64, n/width)); err != nil {
			return nil, nil, err
		}
		trace, square, err := compute(rows, &pairing{}, left)
		if err != nil {
			return nil, nil, err
		}
		f.spread(trace, square)
	} else {
		trace, square, err := compute(rows, p, left)
		if err != nil {
			return nil, nil, err
		}
		f.spread(trace, square)
	}
	f.near = nearShare * math.Sqrt(own.columns.trace())
	f.limit = quantile(left, own.share()*own.held.Outlier, d.config.share(outlierPart))
	if d.limited(which) {
		return f, own.limits, nil
	}
	return f, d.limits(which, p), nil
}

// spread takes the covariance's trace and the trace of its square.
func (f *fit) spread(trace, square float64) {
	f.shape = 1
	if trace > 0 {
		f.shape = min(1, square/(trace*trace))
	}
}

// pairing is what limits of the distances to the nearest patterns are taken
// from. Of both sides the same share takes part, the smaller of what the samples
// have, or the patterns of one would look farther away than they are.
type pairing struct {
	share        float64
	rows, others []float32 // [any, width]
	same, across []float64 // of the first of rows: nearest of rows, of others
}

// pairing is empty where a side's limits are not due, or a sample has too few.
func (d *Detector) pairing(which int) *pairing {
	own, other := d.sides[which], d.sides[1-which]
	below, width := min(own.below, other.below), d.config.Width
	p := &pairing{share: float64(below) / math.MaxUint64}
	if d.limited(which) {
		return p
	}
	rows, others := own.sample.shuffled(width, below), other.sample.shuffled(width, below)
	if len(rows) < 2*width || len(others) == 0 {
		return p
	}
	// The closest limit is taken from these.
	queries := int(min(mostQueries/p.share, float64(len(rows)/width)))
	p.rows, p.others = rows, others
	p.same, p.across = make([]float64, queries), make([]float64, queries)
	return p
}

// limits are new ones of a side. They are of what the pairing found, which is
// reordered; where it is empty they hold nothing, until a side has doubled, or
// every row would ask for another fit.
func (d *Detector) limits(which int, p *pairing) *Limits {
	own := d.sides[which]
	l := &Limits{Count: own.columns.count, Others: d.sides[1-which].columns.count, Ratio: math.MaxFloat64}
	if len(p.same) == 0 {
		return l
	}
	for i := range p.same {
		l.Within = max(l.Within, p.across[i])
		p.same[i] = ratioOf(p.same[i], p.across[i])
	}
	part := p.share * float64(len(p.same)*d.config.Width) / float64(len(p.rows))
	l.Ratio = quantile(p.same, part*own.held.Ratio, d.config.share(ratioPart))
	l.Close = closest(own.limits, l.Others, p, d.config.share(closePart))
	return l
}

// closest is the limit of the distance to the other side, from the distances of
// a side's rows: their quantile. What a limit held is
// missing among them, so that nothing is closer, however many patterns come and
// with them clean rows that are; and a limit that followed what is held would be
// an attacker's to move. So one that there was stays, but for how much nearer
// the nearest of more others is: where they are as dense as k r^d, the distance
// to the nearest has the distribution 1 - exp(-c k r^d), the exponent d is what
// two quantiles of the bulk say, and distances go with k^(-1/d).
func closest(old *Limits, others int, p *pairing, share float64) float64 {
	across := p.across
	// The sample shows a share of the others: the nearest of k rows is within a
	// distance at most k times as often as the nearest of one.
	level := share * p.share
	if level*float64(len(across)+1) < 1 {
		return 0
	}
	for i := range across {
		across[i] = -across[i]
	}
	limit := -quantile(across, 0, level)
	if limit == 0 || old == nil || old.Close == 0 {
		return limit
	}
	low, middle := -quantile(across, 0, bulkLow), -quantile(across, 0, 0.5)
	exponent := math.Log(math.Log(0.5)/math.Log1p(-bulkLow)) / math.Log(middle/low)
	return min(limit, old.Close*math.Pow(min(1, float64(old.Others)/float64(others)), 1/exponent))
}

// ratioOf compares the distances to the nearest pattern of a row's own side and
// of the other: large for a contradiction.
func ratioOf(same, other float64) float64 {
	if same == other { // both 0: it is on both sides already
		return 1
	}
	return score(same, other)
}

// quantile is the limit that a new clean row exceeds with the probability tail.
// Values are those of the side's rows, each computed without the row itself;
// they are reordered. Beyond them lie as many as were held.
//
// It is the conformal quantile: of m values and a new one each is as likely the
// largest as any other, so the new one exceeds all but the largest k with
// probability (k+1)/(m+1) at most (Vovk, Gammerman, Shafer, "Algorithmic
// learning in a random world", 2005; with values that leave each row out,
// Barber et al., "Predictive inference with the jackknife+", 2021); between two
// values it is interpolated.
//
// Without those that were held, whose own values nobody can trust, every
// generation of the memory would lack another tail, and limits would tighten
// for ever. With them a limit that holds too few is tightened, and one that
// holds too many, be it for an attack, is at most the largest value of a row
// that is in the memory.
func quantile(values []float64, held, tail float64) float64 {
	above := max(0, tail*(float64(len(values))+held+1)-1-held)
	k, part := math.Modf(above)
	at := len(values) - 1 - int(k)
	settle(values, at)
	limit := values[at]
	if part > 0 && !math.IsInf(limit, 0) {
		limit += part * (slices.Max(values[:at]) - limit)
	}
	return limit
}

// settle reorders values, none of them NaN, so that the one at a place is the
// one that would be there were they sorted, with none larger before it and none
// smaller behind (Hoare, "Algorithm 65: find", 1961).
func settle(values []float64, at int) {
	for low, high := 0, len(values)-1; low < high; {
		pivot := values[(low+high)/2]
		i, j := low, high
		for i <= j {
			for values[i] < pivot {
				i++
			}
			for pivot < values[j] {
				j--
			}
			if i <= j {
				values[i], values[j] = values[j], values[i]
				i++
				j--
			}
		}
		switch {
		case at <= j:
			high = j
		case at >= i:
			low = i
		default:
			return
		}
	}
}

func sideName(which int) string { return [2]string{"safe", "unsafe"}[which] }
