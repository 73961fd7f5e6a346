package bench

import (
	"context"
	"testing"
	"time"
)

// compiling is a target whose first two batches take long.
type compiling struct {
	*fake
	batches int
}

func (c *compiling) Run(_ context.Context, _, count int) ([]time.Duration, error) {
	times := make([]time.Duration, count)
	for i := range times {
		times[i] = time.Millisecond
		if c.batches < 2 {
			times[i] = 4 * time.Second
		}
		c.batches++
	}
	return times, nil
}

func TestWhatIsDoneOnceIsNotMeasured(t *testing.T) {
	c := &compiling{fake: newFake("compile", 0)}
	times, err := turns(t.Context(), []Target{c}, 64, 2, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(times[0]) != 200 {
		t.Errorf("got %d batches in two turns, want 200 of 1 ms", len(times[0]))
	}
	if f, err := figure("compile/cpu", 64, times[0]); err != nil || f.P99 > 0.002 {
		t.Errorf("got a p99 of %v s, %v, want 1 ms", f.P99, err)
	}
}
