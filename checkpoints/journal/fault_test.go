package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// faults counts and traces operations and makes chosen ones fail.
type faults struct {
	trace  []string
	fail   func(step string, n int) error // n counts from 0 on
	before func(step string)              // sees the disk before each operation
	short  bool                           // a failing write writes half
}

func (f *faults) step(format string, values ...any) error {
	s := fmt.Sprintf(format, values...)
	if f.before != nil {
		f.before(s)
	}
	n := len(f.trace)
	f.trace = append(f.trace, s)
	if f.fail == nil {
		return nil
	}
	return f.fail(s, n)
}

func (f *faults) ops() *fileOps {
	system := systemOps()
	name := filepath.Base
	return &fileOps{
		open: func(path string, flags int, mode fs.FileMode) (file, error) {
			if err := f.step("open %s", name(path)); err != nil {
				return nil, err
			}
			g, err := system.open(path, flags, mode)
			if err != nil {
				return nil, err
			}
			return &faultyFile{g, f, name(path)}, nil
		},
		mkdir: func(path string, mode fs.FileMode) error {
			return errors.Join(f.step("mkdir %s", name(path)), system.mkdir(path, mode))
		},
		remove: func(path string) error {
			if err := f.step("remove %s", name(path)); err != nil {
				return err
			}
			return system.remove(path)
		},
		syncDir: func(path string) error {
			if err := f.step("syncdir %s", name(path)); err != nil {
				return err
			}
			return system.syncDir(path)
		},
		lstat: func(path string) (fs.FileInfo, error) {
			if err := f.step("lstat %s", name(path)); err != nil {
				return nil, err
			}
			return system.lstat(path)
		},
	}
}

type faultyFile struct {
	file
	faults *faults
	name   string
}

func (f *faultyFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.faults.step("write %s %d+%d", f.name, off, len(b)); err != nil {
		n := 0
		if f.faults.short {
			n, _ = f.file.WriteAt(b[:len(b)/2], off)
		}
		return n, err
	}
	return f.file.WriteAt(b, off)
}

func (f *faultyFile) Sync() error {
	if err := f.faults.step("sync %s", f.name); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultyFile) Truncate(n int64) error {
	if err := f.faults.step("truncate %s %d", f.name, n); err != nil {
		return err
	}
	return f.file.Truncate(n)
}

// work is a life of a journal: it appends, rotates, prunes and appends again, trying each step until it succeeds, and returns
// what must be in the journal: all that was acknowledged since the last kept boundary.
func work(t *testing.T, o Options) []string {
	t.Helper()
	try := func(what string, step func() error) {
		t.Helper()
		for range 10 {
			err := step()
			if err == nil {
				return
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("%s: %v, want the disk's error only", what, err)
			}
		}
		t.Fatalf("%s: never succeeded after the fault was gone", what)
	}
	var j *Journal
	try("create", func() (err error) { j, err = Create(o, Position{}); return err })
	defer j.Close()
	var kept []string
	add := func(text string) {
		try("append", func() error {
			p, err := j.Append(entry(text))
			if err == nil {
				kept = append(kept, fmt.Sprintf("%d/7/%s", p.Sequence, text))
			}
			return err
		})
	}
	rotate := func() { try("rotate", func() error { _, err := j.Rotate(); return err }) }
	add("a")
	add("b")
	rotate()
	add("c")
	rotate()
	add("d")
	try("prune", func() error { _, err := j.Prune(2); return err })
	kept = kept[2:]
	add("e")
	try("sync", j.Sync)
	try("close", j.Close)
	return kept
}

// everything gives all records that are kept.
func everything(t *testing.T, o Options) []string {
	t.Helper()
	o.ops = nil
	r, err := Verify(o)
	if err != nil {
		t.Fatal(err)
	}
	return replayed(t, o, r.First)
}

// TestFullDiskAtEveryStep runs one in faultSample of the cases; all of them with FDQC_SOAK.
func TestFullDiskAtEveryStep(t *testing.T) {
	n := 0
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, length := range []int{1, 2, 4} {
			for _, short := range []bool{false, true} {
				runs, steps := 0, 1
				for at := 0; at < steps; at++ {
					if n++; runs > 0 && n%faultSample() != 0 {
						continue
					}
					runs++
					f := &faults{short: short}
					f.fail = func(step string, n int) error {
						if n >= at && n < at+length && !strings.HasPrefix(step, "mkdir") {
							return syscall.ENOSPC
						}
						return nil
					}
					o := signed(filepath.Join(t.TempDir(), "journal"))
					o.Sync, o.ops = mode, f.ops()
					kept := work(t, o)
					if got := everything(t, o); !slices.Equal(got, kept) {
						t.Fatalf("%s, %d faults from step %d (%s): got %q, want %q", mode, length, at, f.trace[at], got, kept)
					}
					steps = max(steps, len(f.trace))
				}
				t.Logf("%s, %d faults at once, short writes %v: %d runs of %d", mode, length, short, runs, steps)
			}
		}
	}
}

func TestAcknowledgedAfterFsync(t *testing.T) {
	f := &faults{}
	o := plain(filepath.Join(t.TempDir(), "journal"))
	o.ops = f.ops()
	j := mustCreate(t, o, Position{})
	first, second := segmentName(1), segmentName(2)
	check := func(what string, want ...string) {
		t.Helper()
		if !slices.Equal(f.trace, want) {
			t.Errorf("%s: got %q, want %q", what, f.trace, want)
		}
		f.trace = nil
	}
	parent := filepath.Base(filepath.Dir(o.Dir))
	check("Create", "mkdir journal", "syncdir "+parent, "open "+first, "write "+first+" 0+256", "sync "+first, "syncdir journal", "lstat "+first)
	mustAppend(t, j, entry("abc"))
	check("Append", "write "+first+" 256+104", "sync "+first, "lstat "+first)
	mustRotate(t, j)
	check("Rotate", "lstat "+first, "open "+second, "write "+second+" 0+256", "sync "+second, "syncdir journal", "lstat "+second, "lstat "+first)
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	check("Sync", "lstat "+second)
	if _, err := j.Prune(1); err != nil {
		t.Fatal(err)
	}
	check("Prune", "lstat "+second, "remove "+first, "syncdir journal")
}

func TestInDoubt(t *testing.T) {
	f := &faults{}
	o := plain(filepath.Join(t.TempDir(), "journal"))
	o.ops = f.ops()
	j := mustCreate(t, o, Position{})
	mustAppend(t, j, entry("a"))
	f.fail = func(step string, _ int) error {
		if strings.HasPrefix(step, "sync ") {
			return syscall.EIO
		}
		return nil
	}
	for range 2 {
		if _, err := j.Append(entry("b")); !errors.Is(err, ErrInDoubt) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("fsync fails for good: got %v, want ErrInDoubt", err)
		}
	}
	if p := j.Position(); p.Sequence != 1 {
		t.Errorf("got %v, want 1", p)
	}
	f.fail = nil
	mustAppend(t, j, entry("c"))
	if got := everything(t, o); !slices.Equal(got, []string{"1/7/a", "2/7/c"}) {
		t.Errorf("got %q", got)
	}
}
