package monitor

import (
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

const (
	schema      = 3 // of native buckets: eight a doubling, as a factor of 1.1 gives
	perDoubling = 1 << schema
	// A first guess of a cell is made from the exponent and the top bits of
	// the mantissa: as many as it takes to tell neighbouring bounds apart.
	guessBits  = 7
	guessShift = 23 - guessBits
)

// scale cuts the numbers from 2^low to 2^high into cells, so that a cell lies
// in one native and in one classic bucket: the pieces between the bounds of
// both. The first cell holds what is smaller (the zero bucket), the last what
// is larger: a classic bucket, and native ones that a histogram keeps apart.
type scale struct {
	low     int
	classic []float64
	bounds  []float32 // upper ones of the cells, the last one infinite
	native  []int32   // bucket of each cell
	guess   []uint16  // first cell of each small step
	base    uint32    // number of the first step
}

// newScale makes a scale; classic bounds rise, and are compared as float32, as
// thresholds are.
func newScale(low, high int, classic ...float64) *scale {
	s := &scale{low: low, classic: classic, base: math.Float32bits(float32(math.Exp2(float64(low)))) >> guessShift}
	add := func(bound float32, native int) {
		s.bounds, s.native = append(s.bounds, bound), append(s.native, int32(native))
	}
	last := perDoubling * high
	for i := perDoubling * low; i <= last; i++ {
		// The largest float32 that is not above the native bound.
		exact := math.Exp2(float64(i) / perDoubling)
		bound := float32(exact)
		if float64(bound) > exact {
			bound = math.Nextafter32(bound, 0)
		}
		for ; len(classic) > 0 && float32(classic[0]) <= bound; classic = classic[1:] {
			if float32(classic[0]) < bound {
				add(float32(classic[0]), i)
			}
		}
		add(bound, i)
	}
	add(float32(math.Inf(1)), last+1)
	cell := 0
	for i := range (high-low)<<guessBits + 1 {
		from := math.Float32frombits((s.base + uint32(i)) << guessShift)
		for s.bounds[cell] < from {
			cell++
		}
		s.guess = append(s.guess, uint16(cell))
	}
	return s
}

// cell finds the cell of a number. It branches on next to nothing: risks come
// in no order that a processor could foresee.
func (s *scale) cell(v float32) int {
	if !(v > s.bounds[0]) { // NaN too
		return 0
	}
	step := int(math.Float32bits(v)>>guessShift - s.base)
	if step >= len(s.guess) {
		return len(s.bounds) - 1
	}
	cell := int(s.guess[step])
	return cell + one(v > s.bounds[cell])
}

func one(b bool) int {
	n := 0
	if b {
		n = 1
	}
	return n
}

// histogram is a classic and a native histogram at once. The library's own
// takes a tenth of a microsecond for each observation, which for each row
// would cost as much as a seventh of its validation. The owner guards it.
type histogram struct {
	desc  *prometheus.Desc
	scale *scale
	sum   float64
	cells []uint64
	// beyond counts, of the last cell, what is not in the first native bucket
	// after the scale, by bucket; nil until something is.
	beyond map[int32]uint64
}

var _ prometheus.Metric = (*histogram)(nil)

func newHistogram(desc *prometheus.Desc, s *scale) histogram {
	return histogram{desc: desc, scale: s, cells: make([]uint64, len(s.bounds))}
}

func (h *histogram) observe(v float64) {
	h.sum += v
	cell := h.scale.cell(float32(v))
	h.cells[cell]++
	if cell < len(h.cells)-1 {
		return
	}
	if bucket := nativeBucket(v); bucket != h.scale.native[cell] {
		if h.beyond == nil {
			h.beyond = map[int32]uint64{}
		}
		h.beyond[bucket]++
	}
}

// nativeBucket is the bucket of a number above 0: bucket i ends at
// 2^(i/perDoubling), and belongs to it. +Inf comes after the largest number.
func nativeBucket(v float64) int32 {
	if math.IsInf(v, 1) {
		return nativeBucket(math.MaxFloat64) + 1
	}
	fraction, exponent := math.Frexp(v)
	i := sort.Search(perDoubling, func(i int) bool { return fraction <= math.Exp2(float64(i)/perDoubling)/2 })
	return int32(i + (exponent-1)*perDoubling)
}

// clone is what a scrape gets.
func (h *histogram) clone() *histogram {
	c := *h
	c.cells, c.beyond = slices.Clone(h.cells), maps.Clone(h.beyond)
	return &c
}

// Desc names the metric.
func (h *histogram) Desc() *prometheus.Desc { return h.desc }

// Write gives both histograms.
func (h *histogram) Write(out *dto.Metric) error {
	to := &dto.Histogram{
		SampleSum: proto.Float64(h.sum), Schema: proto.Int32(schema),
		ZeroThreshold: proto.Float64(float64(h.scale.bounds[0])), ZeroCount: proto.Uint64(h.cells[0]),
	}
	var seen uint64
	classic := h.scale.classic
	var native spans
	for i, n := range h.cells {
		seen += n
		if i == len(h.cells)-1 {
			for _, far := range h.beyond {
				n -= far
			}
		}
		if i > 0 && n > 0 {
			native.add(h.scale.native[i], int64(n))
		}
		if len(classic) > 0 && float32(classic[0]) == h.scale.bounds[i] {
			to.Bucket = append(to.Bucket, &dto.Bucket{UpperBound: proto.Float64(classic[0]), CumulativeCount: proto.Uint64(seen)})
			classic = classic[1:]
		}
	}
	for _, bucket := range slices.Sorted(maps.Keys(h.beyond)) {
		native.add(bucket, int64(h.beyond[bucket]))
	}
	native.end()
	to.SampleCount = proto.Uint64(seen)
	to.PositiveSpan, to.PositiveDelta = native.spans, native.deltas
	out.Histogram = to
	return nil
}

// spans writes native buckets as runs of neighbours, each count as its
// difference from the one before.
type spans struct {
	spans  []*dto.BucketSpan
	deltas []int64

	bucket      int32 // in hand
	count, last int64 // of it, of the one written before
	next        int32 // bucket after that one
}

// add counts n in a bucket; buckets rise.
func (s *spans) add(bucket int32, n int64) {
	if s.count > 0 && bucket != s.bucket {
		s.end()
	}
	s.bucket = bucket
	s.count += n
}

// end writes the bucket in hand.
func (s *spans) end() {
	if s.count == 0 {
		return
	}
	if len(s.spans) == 0 || s.bucket != s.next {
		s.spans = append(s.spans, &dto.BucketSpan{Offset: proto.Int32(s.bucket - s.next), Length: proto.Uint32(0)})
	}
	run := s.spans[len(s.spans)-1]
	run.Length = proto.Uint32(run.GetLength() + 1)
	s.deltas = append(s.deltas, s.count-s.last)
	s.last, s.next, s.count = s.count, s.bucket+1, 0
}
