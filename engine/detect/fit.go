package detect

import (
	"context"
	"fmt"
	"math"
	"slices"
)

const (
	// Shares of clean rows that the parts of the contradiction rule may hold.
	ratioShare = 0.01
	closeShare = 0.005
	// bulkLow is the share of distances to the other side below what is taken for
	// their bulk.
	bulkLow = 0.05
	// leastPairs is the fewest rows of a side from which the ratio's limit is
	// taken: below, even the largest value is passed by more than 1.5 % of
	// clean rows, one in leastPairs + 1.
	leastPairs = 66
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

// least is the fewest rows that a side is fitted from: with twice as many as
// the quantile needs, no single row is the limit. 38 at a sensitivity of 0.95.
func (c *Config) least() int {
	return max(16, int(math.Ceil(2*c.Sensitivity/(1-c.Sensitivity))))
}

// limited says whether the limits of a side are those of a memory like this.
func (d *Detector) limited(which int) bool {
	count, others := d.sides[which].columns.count, d.sides[1-which].columns.count
	if min(count, others) < leastPairs {
		return true
	}
	l := d.sides[which].limits
	return l != nil && count < 2*l.Count && others < 2*l.Others
}

// fitted fits a side, and answers new limits where they are due, else those
// that it has.
func (d *Detector) fitted(ctx context.Context, which int) (*fit, *Limits, error) {
	own, other := d.sides[which], d.sides[1-which]
	width := d.config.Width
	rows, count := own.sample.shuffled(width), len(own.sample.rows)
	share := float64(d.below) / math.MaxUint64 // of the memory in the sample
	// A limit of a share of closeShare * share is taken from these.
	var others []float32
	queries := 0
	if !d.limited(which) && len(other.sample.rows) > 0 {
		others = other.sample.shuffled(width)
		queries = int(min(mostQueries/share, float64(count)))
	}
	f := &fit{
		location: make([]float64, width), factor: make([]float64, width*width),
		count: own.columns.count,
	}
	left := make([]float64, count)
	same, across := make([]float64, queries), make([]float64, queries)
	trace, square, err := d.computer.DetectorFit(ctx, width, rows, others, f.location, f.factor, left, same, across)
	if err != nil {
		return nil, nil, fmt.Errorf("detector: fit of the %s side: %w", sideName(which), err)
	}
	f.shape = 1
	if trace > 0 {
		f.shape = min(1, square/(trace*trace))
	}
	f.near = nearShare * math.Sqrt(own.columns.trace())
	f.limit = quantile(left, share*own.held.Outlier, 1-d.config.Sensitivity)
	switch {
	case d.limited(which):
		return f, own.limits, nil
	case queries == 0:
		// A sample of the other side that is empty: limits that hold nothing,
		// until it has doubled, or every row would ask for another fit.
		return f, &Limits{Count: own.columns.count, Others: other.columns.count, Ratio: math.MaxFloat64}, nil
	}
	l := &Limits{Count: own.columns.count, Others: other.columns.count}
	for i := range same {
		l.Within = max(l.Within, across[i])
		same[i] = ratioOf(same[i], across[i])
	}
	part := share * float64(queries) / float64(count)
	l.Ratio = quantile(same, part*own.held.Ratio, ratioShare)
	l.Close = d.closest(own.limits, l.Others, across)
	return f, l, nil
}

// closest is the limit of the distance to the other side, from the distances of
// a side's rows, which are reordered: their quantile. What a limit held is
// missing among them, so that nothing is closer, however many patterns come and
// with them clean rows that are; and a limit that followed what is held would be
// an attacker's to move. So one that there was stays, but for how much nearer
// the nearest of more others is: where they are as dense as k r^d, the distance
// to the nearest has the distribution 1 - exp(-c k r^d), the exponent d is what
// two quantiles of the bulk say, and distances go with k^(-1/d).
func (d *Detector) closest(old *Limits, others int, across []float64) float64 {
	// The sample shows a share of the others: the nearest of k rows is within a
	// distance at most k times as often as the nearest of one.
	level := closeShare * float64(d.below) / math.MaxUint64
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
	slices.Sort(values)
	k, part := math.Modf(above)
	limit := values[len(values)-1-int(k)]
	if part > 0 && !math.IsInf(limit, 0) {
		limit += part * (values[len(values)-2-int(k)] - limit)
	}
	return limit
}

func sideName(which int) string { return [2]string{"safe", "unsafe"}[which] }
