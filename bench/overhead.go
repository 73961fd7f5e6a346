package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// Overhead is what a part of the engine costs: the same batches through an
// engine with it and one without it, by turns of one batch.
type Overhead struct {
	Of string `json:"of"`
	Case
	With    float64 `json:"with_p50_seconds"`
	Without float64 `json:"without_p50_seconds"`
	// Ratio is the median, over all pairs of batches, of the time without by
	// the time with: the share of the rate that is left.
	Ratio float64 `json:"ratio"`
	Pairs int     `json:"pairs"`
}

// ofMonitoring names the overhead of monitoring.
const ofMonitoring = "monitoring"

// overheads measures what monitoring costs in batches of 1 and 1,024 rows.
func (r *run) overheads(ctx context.Context) ([]Overhead, error) {
	if r.Plan.Overhead == 0 {
		return []Overhead{}, nil
	}
	last := slices.Max(r.Plan.threads())
	w := NewWorkload(8, 8, goalPatterns, minRows, seed)
	with, without := &engineTarget{device: "cpu"}, &engineTarget{device: "cpu", options: []engine.Option{engine.WithoutMonitoring()}}
	defer func() { _ = errors.Join(with.Close(), without.Close()) }() // of memory alone
	for _, t := range []*engineTarget{with, without} {
		if err := t.Setup(ctx, w, last); err != nil {
			return nil, err
		}
	}
	var all []Overhead
	for _, size := range []int{1, 1024} {
		r.tell(fmt.Sprintf("%s B=%d T=%d with and without monitoring", w.Name(), size, last))
		o, err := pairs(ctx, with, without, size, r.Plan.Overhead)
		if err != nil {
			return nil, err
		}
		o.Of, o.Case = ofMonitoring, Case{w.Width, w.Workspace, w.Patterns, size, last}
		all = append(all, o)
	}
	return all, nil
}

// pairs has two targets do the same batches by turns, for some time.
func pairs(ctx context.Context, with, without Target, size int, within time.Duration) (Overhead, error) {
	count, err := batchesIn(ctx, with, size, within/2)
	if err == nil {
		_, err = batchesIn(ctx, without, size, within/10) // warm
	}
	if err != nil {
		return Overhead{}, err
	}
	a, b, ratios := make([]time.Duration, count), make([]time.Duration, count), make([]float64, count)
	for i := range count {
		// Who is first goes by turns as well.
		first, second, to, then := with, without, &a[i], &b[i]
		if i%2 == 1 {
			first, second, to, then = without, with, &b[i], &a[i]
		}
		for _, turn := range []struct {
			t  Target
			to *time.Duration
		}{{first, to}, {second, then}} {
			times, err := turn.t.Run(ctx, size, 1)
			if err != nil {
				return Overhead{}, err
			}
			*turn.to = max(times[0], 1)
		}
		ratios[i] = float64(b[i]) / float64(a[i])
	}
	slices.Sort(a)
	slices.Sort(b)
	slices.Sort(ratios)
	return Overhead{
		With: percentile(a, 50).Seconds(), Without: percentile(b, 50).Seconds(), Ratio: ratios[len(ratios)/2], Pairs: count,
	}, nil
}

// overheadRatio is that of a case, 0 when it was not measured.
func (r *Report) overheadRatio(of string, size int) float64 {
	for _, o := range r.Overheads {
		if o.Of == of && o.BatchSize == size {
			return o.Ratio
		}
	}
	return 0
}
