package journal

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestSegments(t *testing.T) {
	o := plain(filepath.Join(t.TempDir(), "journal"))
	sample(t, o) // records 1 to 3, 4 to 6, 7 and 8
	j, _, err := Open(o, Position{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	paths := segmentsOf(t, o.Dir)
	check := func(after int64, want []string) {
		t.Helper()
		if got := j.Segments(after); !slices.Equal(got, want) {
			t.Errorf("after %d: got %q, want %q", after, got, want)
		}
	}
	for after, skipped := range []int{0, 0, 0, 1, 1, 1, 2, 2, 3, 3} {
		check(int64(after), paths[skipped:])
	}
	mustRotate(t, j)
	check(0, paths) // the new one holds nothing yet
	check(8, nil)
	mustAppend(t, j, entry("nine"))
	check(8, []string{filepath.Join(o.Dir, segmentName(9))})
	if _, err := j.Prune(3); err != nil {
		t.Fatal(err)
	}
	check(0, segmentsOf(t, o.Dir))
}

func TestBoundary(t *testing.T) {
	o := plain(filepath.Join(t.TempDir(), "journal"))
	at := sample(t, o) // segments begin after the positions 0, 2 and 3
	for i, want := range []bool{true, false, true, true, false, false} {
		if r, err := Replay(o, at[i], nil); err != nil || r.Boundary != want {
			t.Errorf("Replay from %v: got %v, %v, want %v", at[i], r.Boundary, err, want)
		}
		j, r, err := Open(o, at[i], nil)
		if err != nil || r.Boundary != want {
			t.Fatalf("Open from %v: got %v, %v, want %v", at[i], r.Boundary, err, want)
		}
		mustClose(t, j)
	}
	j, _, err := Open(o, Position{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	end := mustRotate(t, j)
	mustClose(t, j)
	if r, err := Replay(o, end, nil); err != nil || !r.Boundary {
		t.Errorf("from %v after Rotate: got %v, %v, want a boundary", end, r.Boundary, err)
	}
	last := segmentsOf(t, o.Dir)[3]
	writeFile(t, last, readFile(t, last)[:100])
	if r, err := Replay(o, end, nil); err != nil || r.Boundary {
		t.Errorf("from %v without a whole header: got %v, %v, want no boundary", end, r.Boundary, err)
	}
}
