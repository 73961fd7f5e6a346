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

// What is left out, by turns: monitoring where batches are judged, the detector
// where they are recorded.
const (
	ofMonitoring = "monitoring"
	ofDetection  = "detection"
)

// overheads measures what monitoring and detection cost in batches of 1 and
// 1,024 rows.
func (r *run) overheads(ctx context.Context) ([]Overhead, error) {
	if r.Plan.Overhead == 0 {
		return []Overhead{}, nil
	}
	last := slices.Max(r.Plan.threads())
	w := NewWorkload(8, 8, goalPatterns, minRows, seed)
	var all []Overhead
	for _, c := range []struct {
		of            string
		with, without Target
	}{
		{ofMonitoring, &engineTarget{device: "cpu"}, &engineTarget{device: "cpu", options: []engine.Option{engine.WithoutMonitoring()}}},
		{ofDetection, &recordTarget{engineTarget: engineTarget{device: "cpu", detects: true}}, &recordTarget{engineTarget: engineTarget{device: "cpu"}}},
	} {
		of, err := r.overhead(ctx, c.of, w, last, c.with, c.without)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	return all, nil
}

// overhead measures two targets that differ in one part.
func (r *run) overhead(ctx context.Context, of string, w *Workload, threads int, with, without Target) (all []Overhead, err error) {
	defer func() { err = errors.Join(err, with.Close(), without.Close()) }()
	for _, t := range []Target{with, without} {
		if err := t.Setup(ctx, w, threads); err != nil {
			return nil, err
		}
	}
	for _, size := range []int{1, 1024} {
		r.tell(fmt.Sprintf("%s B=%d T=%d with and without %s", w.Name(), size, threads, of))
		o, err := pairs(ctx, with, without, size, r.Plan.Overhead)
		if err != nil {
			return nil, err
		}
		o.Of, o.Case = of, Case{w.Width, w.Workspace, w.Patterns, size, threads}
		all = append(all, o)
	}
	return all, nil
}

// recordTarget measures Engine.Record into a memory of no folder, which is full:
// each outcome takes the place of another.
type recordTarget struct {
	engineTarget
	outcomes []engine.Outcome // the workload's rows, by the side that they are nearer to
	next     int              // batch; pairs asks for one at a time
}

func (t *recordTarget) Setup(ctx context.Context, w *Workload, threads int) error {
	if err := t.engineTarget.Setup(ctx, w, threads); err != nil {
		return err
	}
	if err := t.validate(ctx, w.Rows, w.Count); err != nil {
		return err
	}
	t.outcomes = make([]engine.Outcome, w.Count)
	for i := range t.outcomes {
		v := &t.verdicts[i]
		t.outcomes[i] = engine.Outcome{Embedding: w.Rows[i*w.Width : (i+1)*w.Width], IsSafe: v.SafeDistance < v.UnsafeDistance}
	}
	return nil
}

func (t *recordTarget) Run(ctx context.Context, size, count int) ([]time.Duration, error) {
	times := make([]time.Duration, count)
	for i := range times {
		first := t.next % (len(t.outcomes) / size) * size
		t.next++
		start := time.Now()
		if _, err := t.engine.Record(ctx, t.outcomes[first:first+size]); err != nil {
			return nil, err
		}
		times[i] = time.Since(start)
	}
	return times, nil
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
