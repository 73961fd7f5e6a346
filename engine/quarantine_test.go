package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// TestQuarantine holds outcomes and lets them go.
func TestQuarantine(t *testing.T) {
	config := onDisk(t)
	config.Detector.QuarantineCapacity = 4
	e := open(t, config)
	d := e.Directory()
	rows := normal(1, 4, 8)
	ids := hold(t, d, rows)
	if !slices.Equal(ids, []int64{1, 2, 3, 4}) || d.Stats().Patterns != [2]int{} {
		t.Errorf("got ids %v and %v patterns, want 1 to 4 and none", ids, d.Stats().Patterns)
	}
	if _, err := d.Hold(t.Context(), d.Quarantine()[0]); err == nil {
		t.Error("a fifth outcome: got no error, want that the quarantine is full")
	}
	before := whole(d)
	var unknown *engine.NotHeldError
	for name, ids := range map[string][]int64{"unknown": {2, 5}, "twice": {1, 1}} {
		if _, err := d.Release(t.Context(), ids, true, "me", ""); !errors.As(err, &unknown) {
			t.Errorf("%s: got %v, want a NotHeldError", name, err)
		}
	}
	if got := whole(d); got != before {
		t.Errorf("after releases that were refused: got\n%s\nwant\n%s", got, before)
	}
	// The last one first: patterns come in the order of the ids that are named.
	patterns, err := d.Release(t.Context(), []int64{4, 1}, true, "me", "looked at")
	if err != nil || len(patterns) != 2 {
		t.Fatalf("accept: got patterns %v, %v, want two", patterns, err)
	}
	s := d.Patterns()
	unsafe, safe := &s.Sides[memory.Unsafe], &s.Sides[memory.Safe]
	if !slices.Equal(unsafe.Rows[:8], rows[24:32]) || unsafe.IDs[0] != patterns[0] || !slices.Equal(safe.Rows[:8], rows[:8]) || safe.Importance[0] != 1.5 {
		t.Errorf("accepted outcomes became %+v", s.Sides)
	}
	v := validate(t, e, engine.Batch{Embeddings: rows[:8], Width: 8})
	if v[0].NearestSafe != patterns[1] {
		t.Errorf("the next batch finds pattern %d, want the accepted %d", v[0].NearestSafe, patterns[1])
	}
	if dropped, err := d.Release(t.Context(), []int64{2, 3}, false, "me", ""); err != nil || dropped != nil || len(d.Quarantine()) != 0 {
		t.Errorf("drop: got patterns %v, %v and %d left, want none", dropped, err, len(d.Quarantine()))
	}
	if ids := hold(t, d, rows[:8]); ids[0] != 5 {
		t.Errorf("got id %d, want 5: an id is never given again", ids[0])
	}
}

// TestQuarantineOutlivesItsSegments drops all checkpoints but one, and opens
// again: what was held, and the ids that were given, are there.
func TestQuarantineOutlivesItsSegments(t *testing.T) {
	config := onDisk(t)
	config.Persistence.MaxCheckpoints = 1
	for round := range 3 {
		e := open(t, config)
		d := e.Directory()
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		held := d.Quarantine()
		if want := min(round*2, 4); len(held) != want {
			t.Errorf("round %d: got %d held, want %d", round, len(held), want)
		}
		if round == 2 {
			if _, err := d.Release(t.Context(), []int64{1, 2, 3, 4}, false, "me", ""); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ids := hold(t, d, normal(uint64(round), 2, 8))
		if want := int64(2*round + 1); ids[0] != want {
			t.Errorf("round %d: got id %d, want %d", round, ids[0], want)
		}
		files := len(patternFiles(t, config.Persistence.Dir))
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if got := len(patternFiles(t, config.Persistence.Dir)); files != 1 || got != 1 {
			t.Errorf("round %d: %d and then %d checkpoints, want 1", round, files, got)
		}
	}
}

// TestNothingNewIsNotSavedAgain opens a directory that holds outcomes, twice:
// what is carried on after a checkpoint is no reason for another.
func TestNothingNewIsNotSavedAgain(t *testing.T) {
	config := onDisk(t)
	e := open(t, config)
	hold(t, e.Directory(), normal(1, 3, 8))
	want := whole(e.Directory())
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	files := fmt.Sprint(patternFiles(t, config.Persistence.Dir))
	for range 2 {
		e := open(t, config)
		if got := whole(e.Directory()); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(patternFiles(t, config.Persistence.Dir)); got != files {
		t.Errorf("got checkpoints %s, want %s", got, files)
	}
}

// TestQuarantineIsNoPartOfARollback goes back to an older memory: what waits
// for a person still does.
func TestQuarantineIsNoPartOfARollback(t *testing.T) {
	e := open(t, onDisk(t))
	d := e.Directory()
	hold(t, d, normal(1, 2, 8))
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold(t, d, normal(2, 2, 8))
	record(t, e, outcomes(normal(3, 4, 8), 8))
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint(d.Quarantine())
	if _, err := d.Rollback(t.Context(), 0, "me", "test"); err != nil {
		t.Fatal(err)
	}
	reader := directory(t, e.Config(), engine.ReadOnly())
	for name, d := range map[string]*engine.Directory{"writer": d, "reader": reader} {
		if got := fmt.Sprint(d.Quarantine()); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
