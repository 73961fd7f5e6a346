package monitor

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// risks is the histogram of risk scores, classic and native at once. The
// library's own takes one observation at a time, which would cost as much as
// a twentieth of the validation; this one takes a batch.
type risks struct {
	desc  *prometheus.Desc
	sum   float64
	cells [maxCells]uint64
}

var _ prometheus.Metric = risks{}

func (r *risks) add(t *Tally) {
	r.sum += t.risk
	for i, n := range t.cells[:riskCells.count] {
		r.cells[i] += uint64(n)
	}
}

// Desc names the metric.
func (r risks) Desc() *prometheus.Desc { return r.desc }

// Write gives both histograms.
func (r risks) Write(out *dto.Metric) error {
	h := &dto.Histogram{
		SampleSum: proto.Float64(r.sum), Schema: proto.Int32(riskSchema),
		ZeroThreshold: proto.Float64(float64(riskCells.bounds[0])), ZeroCount: proto.Uint64(r.cells[0]),
	}
	native := make([]int64, 1-firstNative) // by bucket, from firstNative on
	var seen uint64
	classic := classicRisks[:]
	for i := range riskCells.count {
		seen += r.cells[i]
		if i > 0 {
			native[riskCells.native[i]-firstNative] += int64(r.cells[i])
		}
		if float32(classic[0]) == riskCells.bounds[i] {
			h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: proto.Float64(classic[0]), CumulativeCount: proto.Uint64(seen)})
			classic = classic[1:]
			if len(classic) == 0 {
				break
			}
		}
	}
	h.SampleCount = proto.Uint64(seen)
	h.PositiveSpan, h.PositiveDelta = spans(native)
	out.Histogram = h
	return nil
}

// spans writes the counts of neighbouring native buckets as runs without
// empty ends, each count as its difference from the one before.
func spans(counts []int64) (spans []*dto.BucketSpan, deltas []int64) {
	last, end := int64(0), -1 // of the bucket that was written last
	for i, n := range counts {
		if n == 0 {
			continue
		}
		switch {
		case end < 0:
			spans = append(spans, &dto.BucketSpan{Offset: proto.Int32(int32(firstNative + i)), Length: proto.Uint32(0)})
		case i > end:
			spans = append(spans, &dto.BucketSpan{Offset: proto.Int32(int32(i - end)), Length: proto.Uint32(0)})
		}
		run := spans[len(spans)-1]
		run.Length = proto.Uint32(run.GetLength() + 1)
		deltas, last, end = append(deltas, n-last), n, i+1
	}
	return spans, deltas
}
