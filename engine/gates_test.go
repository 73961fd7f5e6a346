package engine

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Saving and recording hold gates that judging does not take: however long the
// disk takes, a batch does not wait for it.
func TestJudgingDoesNotWaitForTheDisk(t *testing.T) {
	if os.Getenv("FDQC_LIB") == "" {
		t.Skip("run make build: there is no shim to compute with")
	}
	config := DefaultConfig()
	config.Persistence.Dir = t.TempDir()
	e, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, g := range []gate{e.directory.saving, e.directory.changing} {
		if err := g.lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer g.unlock()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := e.Validate(ctx, Batch{Embeddings: make([]float32, 8), Width: 8}); err != nil {
		t.Errorf("a batch while the memory is being saved: %v", err)
	}
	if s := e.MemoryStats(); s.Capacity != 1000 {
		t.Errorf("stats while the memory is being saved: got %+v, want capacity 1000", s)
	}
}

// ownDirectory is a new directory and its configuration.
func ownDirectory(t *testing.T) (*Directory, Config) {
	t.Helper()
	config := DefaultConfig()
	config.Persistence.Dir = t.TempDir()
	d, err := OpenDirectory(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, config
}

func TestChangesThatWaitShareACommit(t *testing.T) {
	d, config := ownDirectory(t)
	if err := d.changing.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	const callers = 20
	errs := make(chan error, callers)
	for i := range callers {
		go func() {
			ctx := t.Context()
			if i == 0 { // one gives up while it waits, and one is refused
				gone, cancel := context.WithCancel(ctx)
				cancel()
				ctx = gone
			}
			_, err := d.Resize(ctx, 100*i-100)
			errs <- err
		}()
	}
	for { // until all that have not given up wait
		d.waiting.mu.Lock()
		n := len(d.waiting.waiting)
		d.waiting.mu.Unlock()
		if n == callers-1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	before := d.journal.Position().Sequence
	d.changing.unlock()
	failed := 0
	for range callers {
		if <-errs != nil {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%d changes failed, want the one that gave up and the one that is refused", failed)
	}
	if got := d.journal.Position().Sequence - before; got != callers-2 {
		t.Errorf("%d records were journaled, want %d", got, callers-2)
	}
	found, err := VerifyJournal(config, d.logger)
	if err != nil {
		t.Fatal(err)
	}
	// The refused one ends a group, which begins again without it.
	if found.Commits > 2 {
		t.Errorf("%d records are in %d commits, want at most 2", found.Records, found.Commits)
	}
}

// Two changes of the levers at once: whether one loosens is judged by what the
// other made of them. Nothing may be loosened here, since nothing can be put on
// record.
func TestWhetherALeverLoosensIsJudgedWhereItIsPulled(t *testing.T) {
	d, config := ownDirectory(t)
	folder := filepath.Join(config.Persistence.Dir, auditFolder)
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	on, off := true, false
	for round := range 10 {
		if _, err := d.PullLever(t.Context(), LeverChange{SafeMode: &off}); err != nil {
			t.Fatal(err)
		}
		move(folder, folder+".away")
		if err := d.changing.lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		var tightened error
		both.Go(func() { _, tightened = d.PullLever(t.Context(), LeverChange{SafeMode: &on}) })
		time.Sleep(time.Millisecond) // most often it is the first in the queue then
		both.Go(func() { _, _ = d.PullLever(t.Context(), LeverChange{SafeMode: &off}) })
		time.Sleep(time.Millisecond)
		d.changing.unlock()
		both.Wait()
		move(folder+".away", folder)
		if tightened != nil || !d.Levers().SafeMode {
			t.Fatalf("round %d: got %+v, %v, want safe mode on: it was loosened off the record", round, d.Levers(), tightened)
		}
	}
}
