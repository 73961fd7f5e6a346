package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestCrashAtEveryStep copies the folder before each operation of a writer, which meets faults at each step in turn and undoes what
// failed, and opens the copy: that is a crash in every step and in every undoing. Parts of a write that succeeds are what
// TestEveryTruncationIsAPrefix leaves. One in faultSample of the faults is tried; all with FDQC_SOAK.
func TestCrashAtEveryStep(t *testing.T) {
	n, crashes, undoing := 0, 0, 0
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for length := range 3 { // faults at once; two hit the undoing, too
			steps := 1
			for at := 0; at < steps; at++ {
				if n++; at > 0 && n%faultSample() != 0 {
					continue
				}
				w := &crashingWriter{mode: mode, at: at, length: length}
				w.work(t)
				crashes, undoing = crashes+w.crashes, undoing+w.undoing
				if length > 0 {
					steps = max(steps, len(w.faults.trace))
				}
			}
		}
	}
	if undoing == 0 {
		t.Error("got no crash while something was undone")
	}
	t.Logf("%d crashes, %d of them after a fault while its step was undone or tried again", crashes, undoing)
}

// crashingWriter is the life of a journal that is copied and opened before each operation.
type crashingWriter struct {
	mode       SyncMode
	at, length int // faults hit the steps [at, at+length)

	faults           faults
	dir              string
	kept             []string // acknowledged
	next             string   // what is being appended, if anything
	failed           bool     // the step at hand has met a fault
	crashes, undoing int
}

func (w *crashingWriter) work(t *testing.T) {
	w.dir = filepath.Join(t.TempDir(), "journal")
	w.faults = faults{short: true, before: func(step string) { w.crash(t, step) }, fail: func(_ string, n int) error {
		if n < w.at || n >= w.at+w.length {
			return nil
		}
		w.failed = true
		return syscall.ENOSPC
	}}
	o := signed(w.dir)
	o.Sync, o.ops = w.mode, w.faults.ops()
	var j *Journal
	try := func(step func() error) {
		t.Helper()
		var err error
		for range 4 {
			if err = step(); err == nil {
				w.failed = false
				return
			}
		}
		t.Fatalf("%v: %v, want success after the fault", w, err)
	}
	add := func(text string) {
		w.next = fmt.Sprintf("%d/7/%s", len(w.kept)+1, text)
		try(func() error { _, err := j.Append(entry(text)); return err })
		w.kept, w.next = append(w.kept, w.next), ""
	}
	try(func() (err error) { j, err = Create(o, Position{}); return err })
	add("a")
	add("b")
	try(func() error { _, err := j.Rotate(); return err })
	add(strings.Repeat("c", 600))
	add("d")
	try(j.Close)
}

// String says which faults the writer meets.
func (w *crashingWriter) String() string {
	return fmt.Sprintf("%s, %d faults from step %d", w.mode, w.length, w.at)
}

// crash opens what a kill before the step leaves: all that was acknowledged, and of what was not at most the commit at hand.
func (w *crashingWriter) crash(t *testing.T, step string) {
	t.Helper()
	if w.length > 0 && len(w.faults.trace) < w.at {
		return // as without faults
	}
	if _, err := os.Stat(w.dir); err != nil {
		return // before Create made it
	}
	copied := copyDir(t, w.dir)
	defer os.RemoveAll(copied)
	if len(segmentsOf(t, copied)) == 0 {
		if len(w.kept) > 0 {
			t.Fatalf("%v: crash before %s: no segment, and %.40q acknowledged", w, step, w.kept)
		}
		return
	}
	w.crashes++
	if w.failed {
		w.undoing++
	}
	o := signed(copied)
	replay, read := collect()
	r, readErr := Replay(o, Position{}, replay)
	replay, got := collect()
	j, opened, err := Open(o, Position{}, replay)
	if err != nil || readErr != nil || r.Last != opened.Last || !slices.Equal(*read, *got) {
		t.Fatalf("%v: crash before %s: Open: %v, %.40q; Replay: %v, %.40q", w, step, err, *got, readErr, *read)
	}
	defer j.Close()
	if !slices.Equal(*got, w.kept) && (w.next == "" || !slices.Equal(*got, append(w.kept[:len(w.kept):len(w.kept)], w.next))) {
		t.Fatalf("%v: crash before %s: got %.40q, want %.40q and at most %.40q", w, step, *got, w.kept, w.next)
	}
	p := mustAppend(t, j, entry("next"))
	if v, err := Verify(o); err != nil || v.Last != p {
		t.Fatalf("%v: crash before %s: after Open and Append: got %+v, %v, want %v", w, step, v, err, p)
	}
}
