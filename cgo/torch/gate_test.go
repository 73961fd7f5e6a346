package torch

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Rule 6: a context ends the waiting.
func TestContextEndsTheWaiting(t *testing.T) {
	l := library(t)
	f := newFixture(t, l, 8, 2)
	b, out := f.batch(2), make([]Verdict, 2)
	if err := pass(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		call func(context.Context) error
	}{
		{"validate", func(ctx context.Context) error { return l.Validate(ctx, b, out) }},
		{"project", func(ctx context.Context) error { return l.Project(ctx, b, make([]float32, 16), make([]uint32, 2)) }},
		{"new patterns", func(ctx context.Context) error { _, err := l.NewPatterns(ctx, CPU, 8); return err }},
		{"truncate", func(ctx context.Context) error { return f.patterns.Truncate(ctx, Safe, 0) }},
		{"read", func(ctx context.Context) error { return f.states.Read(ctx, 0, make([]float32, 8), make([]float32, 8)) }},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if err := c.call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s behind a taken gate: got %v, want %v", c.name, err, context.DeadlineExceeded)
		}
		cancel()
	}
	l.leave()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Validate(ended, b, out); !errors.Is(err, context.Canceled) {
		t.Errorf("validate with an ended context: got %v, want %v", err, context.Canceled)
	}
	if err := l.Validate(t.Context(), b, out); err != nil {
		t.Errorf("validate after the gate opened: %v", err)
	}
}

// A context that ends while native code runs leaves the caller waiting until
// the buffers are its own again.
func TestBuffersAreBackWhenTheCallIs(t *testing.T) {
	l := library(t)
	f := newFixture(t, l, 8, 1000)
	const rows = MaxBatch
	b, out := f.batch(rows), make([]Verdict, rows)
	sentinel := Verdict{NearestSafe: -7}
	for round, tries := 0, 0; round < 3; tries++ {
		if tries == 100 {
			t.Fatal("no context of 100 ended while native code ran")
		}
		for i := range out {
			out[i] = sentinel
		}
		ctx, cancel := context.WithCancel(t.Context())
		var over atomic.Bool
		go func() {
			for len(gate) == 0 && !over.Load() {
				runtime.Gosched()
			}
			cancel()
		}()
		err := l.Validate(ctx, b, out)
		ended := ctx.Err()
		over.Store(true)
		if errors.Is(err, context.Canceled) || ended == nil {
			continue // It ended in the waiting, or had no time to: another try.
		}
		if err != nil {
			t.Fatalf("got %v, want the result of a call that its context did not outlive", err)
		}
		round++
		// The caller's memory again: under -race an early return shows here,
		// and a late write of native code below.
		for i := range out {
			if out[i].RowStatus != RowOK || out[i] == sentinel {
				t.Fatalf("row %d was not judged when the call came back: %+v", i, out[i])
			}
			out[i] = sentinel
		}
		for i := range b.Segments {
			for k := range b.Segments[i].Rows {
				b.Segments[i].Rows[k] = -b.Segments[i].Rows[k]
			}
		}
		time.Sleep(2 * time.Millisecond)
		for i := range out {
			if out[i] != sentinel {
				t.Fatalf("row %d was written after the call came back: %+v", i, out[i])
			}
		}
	}
}
