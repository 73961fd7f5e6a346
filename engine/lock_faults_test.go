package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// A lock that somebody removed lets another writer in: the first one must not
// write beside it.
func TestRemovedLock(t *testing.T) {
	if library == nil {
		t.Skip("run make build: there is no shim to compute with")
	}
	config := small(t)
	e, err := engine.Open(t.Context(), config, engine.WithLibrary(library))
	if err != nil {
		t.Fatal(err)
	}
	history(t, e, 1)
	want := whole(e.Directory())
	lock := filepath.Join(config.Persistence.Dir, "lock")
	refused := func(how string) {
		t.Helper()
		receipts, err := e.Record(t.Context(), outcomes(normal(2, 2, 8), 8))
		if err == nil || len(receipts) > 0 || !strings.Contains(err.Error(), lock) {
			t.Errorf("record with the lock %s: got %+v, %v, want no receipts and an error that names it", how, receipts, err)
		}
		if path, err := e.Save(t.Context()); err == nil || !strings.Contains(err.Error(), lock) {
			t.Errorf("save with the lock %s: got %s, %v, want an error that names it", how, path, err)
		}
		if got := whole(e.Directory()); got != want {
			t.Errorf("memory with the lock %s: got\n%s\nwant\n%s", how, got, want)
		}
	}
	aside := lock + ".aside"
	if err := os.Rename(lock, aside); err != nil {
		t.Fatal(err)
	}
	refused("removed")
	if err := os.Rename(aside, lock); err != nil {
		t.Fatal(err)
	}
	record(t, e, outcomes(normal(3, 2, 8), 8))
	want = whole(e.Directory())
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	second := open(t, config)
	refused("of another writer")
	if got := whole(second.Directory()); got != want {
		t.Errorf("the second writer finds\n%s\nwant\n%s", got, want)
	}
	record(t, second, outcomes(normal(4, 2, 8), 8))
	want = whole(second.Directory())
	if err := e.Close(); err == nil || errors.Is(err, engine.ErrClosed) {
		t.Errorf("close without the lock: got %v, want why nothing was saved", err)
	}
	if got := whole(directory(t, config, engine.ReadOnly())); got != want {
		t.Errorf("after both wrote\n%s\nwant\n%s", got, want)
	}
}
