package models

import (
	"errors"
	"slices"
	"testing"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
)

// openLibrary opens the shim, or skips on a machine without it.
func openLibrary(t *testing.T) *torch.Library {
	t.Helper()
	library, err := torch.Open(torch.Options{})
	var unavailable *torch.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skip("run make build: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		live, err := library.LiveHandles()
		if err := errors.Join(err, library.Close()); err != nil || live != 0 {
			t.Errorf("%d native handles live after the test, want 0 (%v)", live, err)
		}
	})
	return library
}

// The cache drops what was created first, however lately it was used.
func TestProjectionCacheIsFirstInFirstOut(t *testing.T) {
	library := openLibrary(t)
	fromFile := DrawProjection(9, 8, 3)
	c := projectionCache{
		library: library, device: torch.CPU, n: 8, limit: 2,
		loaded: map[int]*Projection{3: fromFile}, entries: map[int]*torch.Projection{},
	}
	for _, step := range []struct {
		width int
		drawn bool
		want  []int // cached afterwards, oldest first
	}{
		{5, true, []int{5}},
		{3, false, []int{5, 3}},
		{5, true, []int{5, 3}},
		{8, false, []int{5, 3}}, // the workspace's own width needs none
		{9, true, []int{3, 9}},
		{5, true, []int{9, 5}},
		{3, false, []int{5, 3}}, // read again, not drawn
	} {
		p, drawn, err := c.get(t.Context(), step.width)
		if err != nil {
			t.Fatal(err)
		}
		if (p == nil) != (step.width == 8) || drawn != step.drawn {
			t.Errorf("width %d: got %v, drawn %v, want drawn %v", step.width, p, drawn, step.drawn)
		}
		if !slices.Equal(c.order, step.want) || len(c.entries) != len(step.want) {
			t.Errorf("after width %d: cached %v (%d entries), want %v", step.width, c.order, len(c.entries), step.want)
		}
		if err := c.sweep(); err != nil {
			t.Fatal(err)
		}
		if live, err := library.LiveHandles(); err != nil || live != int64(len(step.want)) {
			t.Errorf("after width %d: %d handles live, %v, want %d", step.width, live, err, len(step.want))
		}
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
}
