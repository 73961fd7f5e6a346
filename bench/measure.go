package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Single is one case of the engine alone, as Measure found it.
type Single struct {
	Width     int     `json:"dim"`
	Workspace int     `json:"workspace"`
	Patterns  int     `json:"patterns"` // on each side
	BatchSize int     `json:"batch"`
	Seconds   float64 `json:"seconds"` // that it was asked to take
	// RowsPerSecond is of the fastest batch; MeanRowsPerSecond of all.
	RowsPerSecond     float64 `json:"rows_per_second"`
	MeanRowsPerSecond float64 `json:"mean_rows_per_second"`
	P50               float64 `json:"p50_seconds"` // of a batch
	P99               float64 `json:"p99_seconds"`
	Batches           int     `json:"batches"`
	Device            string  `json:"device"`
	Threads           int     `json:"threads"`
	Memory
}

// warmUp is the part of a measurement's time that goes before it.
const warmUp = 0.2

// Measure runs one case of the engine for some time: host rows in, verdicts
// out, by engine.ValidateInto. device is as engine.device names it.
func Measure(ctx context.Context, c Case, device string, within time.Duration) (single *Single, err error) {
	plan := Plan{Groups: []Group{{SweepBatch, c.Width, c.Workspace, c.Patterns, c.Threads, []int{c.BatchSize}, nil}}, Rounds: 1, PerTurn: within}
	if err := plan.check(); err != nil {
		return nil, err
	}
	names, _, err := devices(ctx, device)
	if err != nil {
		return nil, err
	}
	// auto is the last: CUDA where it is there.
	t := &engineTarget{device: names[len(names)-1]}
	defer func() { err = errors.Join(err, t.Close()) }()
	if err := t.Setup(ctx, NewWorkload(c.Width, c.Workspace, c.Patterns, c.BatchSize, seed), c.Threads); err != nil {
		return nil, fmt.Errorf("bench: set-up: %w", err)
	}
	count, err := batchesIn(ctx, t, c.BatchSize, time.Duration(warmUp*float64(within)))
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	var times []time.Duration
	for start := time.Now(); len(times) == 0 || time.Since(start) < within; {
		turn, err := t.Run(ctx, c.BatchSize, count)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		times = append(times, turn...)
	}
	f, err := figure(t.Info().ID, c.BatchSize, times)
	if err != nil {
		return nil, err
	}
	single = &Single{
		Width: c.Width, Workspace: c.Workspace, Patterns: c.Patterns, BatchSize: c.BatchSize, Seconds: within.Seconds(),
		RowsPerSecond: f.BestRowsPerSecond, MeanRowsPerSecond: f.RowsPerSecond, P50: f.P50, P99: f.P99, Batches: f.Batches,
		Device: t.device, Threads: c.Threads,
	}
	single.Memory, err = t.Memory(ctx)
	return single, err
}

// WriteTable writes the case for a person.
func (s *Single) WriteTable(w io.Writer) error {
	_, err := fmt.Fprintf(w, "d=%d n=%d, %s patterns on each side, batches of %s, on %s with %d threads\n"+
		"%s rows/s by the fastest batch, %s by all %s\np50 %s, p99 %s of a batch; %s resident\n",
		s.Width, s.Workspace, thousands(float64(s.Patterns)), thousands(float64(s.BatchSize)), s.Device, s.Threads,
		thousands(s.RowsPerSecond), thousands(s.MeanRowsPerSecond), thousands(float64(s.Batches)), seconds(s.P50), seconds(s.P99), mebibytes(s.Resident))
	return err
}
