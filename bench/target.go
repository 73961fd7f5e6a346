package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Target is a program under measurement.
type Target interface {
	// Name is what the report calls it, with the versions that matter.
	Name() string
	// Setup takes a workload, in place of the one before, with a fresh state.
	Setup(ctx context.Context, w *Workload) error
	// Risk judges the first rows of the workload as one batch and answers
	// their raw risks. It is called once, right after Setup.
	Risk(ctx context.Context, rows int) ([]float32, error)
	// Run judges count batches of size rows and answers the time of each.
	Run(ctx context.Context, size, count int) ([]time.Duration, error)
	// Close frees what the target holds.
	Close() error
}

// Tolerance is how far the risks of two targets may differ: what the
// conformance kit allows for a score.
const Tolerance = 1e-4

// checkedRows is how many rows are compared before a workload is timed.
const checkedRows = 2048

// pause before a turn lets the spinning threads of the other target sleep.
const pause = 30 * time.Millisecond

// compare answers the largest difference between two targets' risks.
func compare(a, b []float32) (float64, error) {
	if len(a) != len(b) {
		return 0, fmt.Errorf("got %d risks, want %d", len(b), len(a))
	}
	worst := 0.0
	for i := range a {
		difference := math.Abs(float64(a[i]) - float64(b[i]))
		if !(difference <= Tolerance) { // NaN is a difference too
			return 0, fmt.Errorf("row %d: risk %v, want %v", i, b[i], a[i])
		}
		worst = max(worst, difference)
	}
	return worst, nil
}

// batchesIn finds how many batches a target does in a time, and warms it up.
func batchesIn(ctx context.Context, t Target, size int, within time.Duration) (int, error) {
	for count := 1; ; count *= 2 {
		times, err := t.Run(ctx, size, count)
		if err != nil {
			return 0, err
		}
		var total time.Duration
		for _, each := range times {
			total += each
		}
		if total >= within/4 || count >= 1<<20 {
			each := max(total/time.Duration(count), 1)
			return max(int(within/each), 3), nil
		}
	}
}

// turns measures all targets at one batch size, taking turns, and answers the
// times of each one's batches.
func turns(ctx context.Context, targets []Target, size, rounds int, perTurn time.Duration) ([][]time.Duration, error) {
	counts := make([]int, len(targets))
	times := make([][]time.Duration, len(targets))
	for i, t := range targets {
		var err error
		if counts[i], err = batchesIn(ctx, t, size, perTurn); err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name(), err)
		}
	}
	for range rounds {
		for i, t := range targets {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(pause):
			}
			// A tenth of the turn again, because the pause let it cool.
			_, err := t.Run(ctx, size, max(counts[i]/10, 1))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.Name(), err)
			}
			turn, err := t.Run(ctx, size, counts[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.Name(), err)
			}
			times[i] = append(times[i], turn...)
		}
	}
	return times, nil
}

// Figure is what was measured of one target at one batch size.
type Figure struct {
	Target string `json:"target"`
	// RowsPerSecond is rows by the total time of all batches.
	RowsPerSecond float64 `json:"rows_per_second"`
	// P50 and P99 are times of a batch, in seconds.
	P50     float64 `json:"p50_seconds"`
	P99     float64 `json:"p99_seconds"`
	Batches int     `json:"batches"`
}

// figure sums up the times of a target's batches.
func figure(target string, size int, times []time.Duration) (Figure, error) {
	if len(times) == 0 {
		return Figure{}, errors.New(target + ": no batch was timed")
	}
	sorted := slices.Sorted(slices.Values(times))
	var total time.Duration
	for _, each := range sorted {
		total += each
	}
	return Figure{
		Target:        target,
		RowsPerSecond: float64(size) * float64(len(sorted)) / max(total, 1).Seconds(),
		P50:           percentile(sorted, 50).Seconds(),
		P99:           percentile(sorted, 99).Seconds(),
		Batches:       len(sorted),
	}, nil
}

// percentile by nearest rank of sorted times.
func percentile(sorted []time.Duration, p int) time.Duration {
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}
