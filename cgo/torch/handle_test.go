package torch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// Rule 3: handles are closed explicitly, as often as one likes.
func TestCloseIsIdempotent(t *testing.T) {
	l := library(t)
	before, _ := l.LiveHandles()
	f := newFixture(t, l, 8, 3)
	if live, err := l.LiveHandles(); err != nil || live != before+4 {
		t.Errorf("got %d live handles (%v), want %d", live, err, before+4)
	}
	for range 3 {
		if err := f.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if live, err := l.LiveHandles(); err != nil || live != before {
		t.Errorf("after closing: got %d live handles (%v), want %d", live, err, before)
	}
}

func TestClosedHandlesAreErrors(t *testing.T) {
	l := library(t)
	ctx := t.Context()
	room := make([]float32, 8)
	validate := func(f *fixture) error { return l.Validate(ctx, f.batch(2), make([]Verdict, 2)) }
	project := func(f *fixture) error {
		return l.Project(ctx, f.batch(2), make([]float32, 16), make([]uint32, 2))
	}
	for _, c := range []struct {
		name  string
		close func(*fixture) error
		use   func(*fixture) error
	}{
		{"weights", func(f *fixture) error { return f.weights.Close() }, validate},
		{"patterns", func(f *fixture) error { return f.patterns.Close() }, validate},
		{"states", func(f *fixture) error { return f.states.Close() }, validate},
		{"projection", func(f *fixture) error { return f.projection.Close() }, validate},
		{"states, project", func(f *fixture) error { return f.states.Close() }, project},
		{"projection, project", func(f *fixture) error { return f.projection.Close() }, project},
		{"read", func(f *fixture) error { return f.states.Close() }, func(f *fixture) error { return f.states.Read(ctx, 0, room, room) }},
		{"put", func(f *fixture) error { return f.patterns.Close() }, func(f *fixture) error {
			return f.patterns.Put(ctx, Safe, []int64{0}, make([]float32, 16), []int64{1})
		}},
		{"truncate", func(f *fixture) error { return f.patterns.Close() }, func(f *fixture) error { return f.patterns.Truncate(ctx, Safe, 0) }},
		{"zero value", func(*fixture) error { return new(Patterns).Close() }, func(*fixture) error { return new(Patterns).Truncate(ctx, Safe, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, l, 8, 2)
			if err := c.close(f); err != nil {
				t.Fatalf("close: %v", err)
			}
			if err := c.use(f); !errors.Is(err, ErrClosed) {
				t.Errorf("got %v, want %v", err, ErrClosed)
			}
		})
	}
}

// A handle that is closed while others use it ends in success or ErrClosed.
func TestCloseBesideUse(t *testing.T) {
	l := library(t)
	for range 20 {
		f := newFixture(t, l, 8, 50)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				b, out := f.batch(8), make([]Verdict, 8)
				for range 20 {
					if err := l.Validate(t.Context(), b, out); err != nil && !errors.Is(err, ErrClosed) {
						t.Errorf("validate: got %v, want success or %v", err, ErrClosed)
					}
				}
			})
		}
		group.Go(func() {
			if err := f.close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		group.Wait()
	}
}

// The safety net frees what was forgotten, counts it, and needs no later call
// to do so.
func TestForgottenHandlesAreFreedAndCounted(t *testing.T) {
	l := library(t)
	live, _ := l.LiveHandles()
	forgotten := l.Forgotten()
	for range 10 {
		if _, err := l.NewPatterns(t.Context(), CPU, 8); err != nil {
			t.Fatal(err)
		}
	}
	wantForgotten += 10
	if !collected(func() bool {
		now, _ := l.LiveHandles()
		return now == live && l.Forgotten() == forgotten+10
	}) {
		now, _ := l.LiveHandles()
		t.Errorf("got %d live and %d forgotten, want %d and %d", now, l.Forgotten(), live, forgotten+10)
	}
}

// The same while somebody is inside the gate: the garbage collector's
// goroutine must not wait, and whoever leaves frees them.
func TestForgottenHandlesDoNotWait(t *testing.T) {
	l := library(t)
	live, _ := l.LiveHandles()
	forgotten := l.Forgotten()
	func() {
		if _, err := l.NewPatterns(t.Context(), CPU, 8); err != nil {
			t.Fatal(err)
		}
	}()
	wantForgotten++
	if err := pass(context.Background()); err != nil {
		t.Fatal(err)
	}
	ok := collected(func() bool { return l.Forgotten() == forgotten+1 })
	during, _ := l.LiveHandles()
	l.leave()
	if after, _ := l.LiveHandles(); !ok || during != live+1 || after != live {
		t.Errorf("found %v, got %d live inside the gate and %d after, want %d and %d", ok, during, after, live+1, live)
	}
}

func TestClosedLibrary(t *testing.T) {
	library(t)
	l, err := Open(Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, l, 8, 2)
	b := f.batch(2)
	for range 2 {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := l.Validate(t.Context(), b, make([]Verdict, 2)); !errors.Is(err, ErrClosed) {
		t.Errorf("validate: got %v, want %v", err, ErrClosed)
	}
	if _, err := l.NewPatterns(t.Context(), CPU, 8); !errors.Is(err, ErrClosed) {
		t.Errorf("new patterns: got %v, want %v", err, ErrClosed)
	}
	// The fixture's cleanup closes its handles; TestMain counts them.
}

// Memory under native code stays put and alive while collections run.
func TestUseUnderCollection(t *testing.T) {
	library(t)
	if !inChild(t, nil, "GOGC=1") {
		return
	}
	l := library(t)
	f := newFixture(t, l, 8, 100)
	want := make([]Verdict, 64)
	if err := l.Validate(t.Context(), f.batch(64), want); err != nil {
		t.Fatal(err)
	}
	stop := atomic.Bool{}
	var collector sync.WaitGroup
	collector.Go(func() {
		for !stop.Load() {
			collected(func() bool { return true })
		}
	})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				states, err := l.NewStates(t.Context(), CPU, 8, numbers(8, 1), numbers(8, 2))
				if err != nil {
					t.Errorf("states: %v", err)
					return
				}
				b := f.batch(64)
				b.States = states
				b.Slots, b.RowFlags = make([]int32, 64), make([]uint8, 64)
				out := make([]Verdict, 64)
				if err := l.Validate(t.Context(), b, out); err != nil {
					t.Errorf("validate: %v", err)
				}
				for i := range out {
					if out[i] != want[i] {
						t.Errorf("row %d: got %+v, want %+v", i, out[i], want[i])
						return
					}
				}
				if err := states.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}
		})
	}
	group.Wait()
	stop.Store(true)
	collector.Wait()
}
