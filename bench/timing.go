package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Figure is what was measured of one target in one case.
type Figure struct {
	Target string `json:"target"` // Info.ID
	// RowsPerSecond is rows by the total time of all batches.
	RowsPerSecond float64 `json:"rows_per_second"`
	// BestRowsPerSecond is of the fastest batch.
	BestRowsPerSecond float64 `json:"best_rows_per_second"`
	// P50 and P99 are times of a batch, in seconds.
	P50     float64 `json:"p50_seconds"`
	P99     float64 `json:"p99_seconds"`
	Batches int     `json:"batches"`
	Memory
	// RoofShare is the rate by the highest that the roofline allows, of a
	// whole validation; 0 when there is no roof of the device.
	RoofShare float64 `json:"roof_share"`
}

// pause before a turn lets the spinning threads of the other target sleep.
const pause = 30 * time.Millisecond

// batchesIn finds how many batches a target does in a time, and warms it up.
func batchesIn(ctx context.Context, t Target, size int, within time.Duration) (int, error) {
	// What is done once is done by the first two batches: a compiler has its
	// own version for the state that a batch leaves.
	if _, err := t.Run(ctx, size, 2); err != nil {
		return 0, err
	}
	for count := 1; ; count *= 2 {
		times, err := t.Run(ctx, size, count)
		if err != nil {
			return 0, err
		}
		total := sum(times)
		if total >= within/4 || count >= 1<<20 {
			each := max(total/time.Duration(count), 1)
			return max(int(within/each), 1), nil
		}
	}
}

// failure is an error of one target: a peer's is left out, the run goes on.
type failure struct {
	index int // of the target
	err   error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// turns measures all targets at one batch size, taking turns, and answers the
// times of each one's batches. An error of a target is a *failure.
func turns(ctx context.Context, targets []Target, size, rounds int, perTurn time.Duration) ([][]time.Duration, error) {
	counts := make([]int, len(targets))
	times := make([][]time.Duration, len(targets))
	for i, t := range targets {
		var err error
		if counts[i], err = batchesIn(ctx, t, size, perTurn); err != nil {
			return nil, &failure{i, err}
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
			if again := counts[i] / 10; again > 0 {
				if _, err := t.Run(ctx, size, again); err != nil {
					return nil, &failure{i, err}
				}
			}
			turn, err := t.Run(ctx, size, counts[i])
			if err != nil {
				return nil, &failure{i, err}
			}
			times[i] = append(times[i], turn...)
		}
	}
	return times, nil
}

// figure sums up the times of a target's batches.
func figure(target string, size int, times []time.Duration) (Figure, error) {
	if len(times) == 0 {
		return Figure{}, fmt.Errorf("%s: no batch was timed", target)
	}
	sorted := slices.Sorted(slices.Values(times))
	return Figure{
		Target:            target,
		RowsPerSecond:     float64(size) * float64(len(sorted)) / max(sum(sorted), 1).Seconds(),
		BestRowsPerSecond: float64(size) / max(sorted[0], 1).Seconds(),
		P50:               percentile(sorted, 50).Seconds(),
		P99:               percentile(sorted, 99).Seconds(),
		Batches:           len(sorted),
	}, nil
}

func sum(times []time.Duration) (total time.Duration) {
	for _, each := range times {
		total += each
	}
	return total
}

// percentile by nearest rank of sorted times.
func percentile(sorted []time.Duration, p int) time.Duration {
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}
