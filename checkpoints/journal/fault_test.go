package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
		rename: func(from, to string) error {
			if err := f.step("rename %s %s", name(from), name(to)); err != nil {
				return err
			}
			return system.rename(from, to)
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

// work is a life of a journal: it appends, rotates, prunes, branches and appends again, trying each step until it succeeds, and returns
// what must be in the journal: all that was acknowledged since the last kept boundary.
func work(t *testing.T, o Options, once bool) []string {
	t.Helper()
	try := func(what string, step func() error) bool {
		for range 10 {
			err := step()
			if err == nil {
				return true
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("%s: %v, want the disk's error only", what, err)
			}
			if once {
				return false
			}
		}
		t.Fatalf("%s: never succeeded after the fault was gone", what)
		return false
	}
	var j *Journal
	if !try("create", func() (err error) { j, err = Create(o, Position{}); return err }) {
		return nil
	}
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
	rotate := func() (p Position) {
		try("rotate", func() (err error) { p, err = j.Rotate(); return err })
		return p
	}
	add("a")
	add("b")
	if first := rotate(); first.Sequence == 2 {
		add("c")
		boundary := rotate()
		add("d")
		rotate()
		add("e")
		if boundary.Sequence == 3 {
			try("branch", func() error {
				p, err := j.Branch(boundary, filepath.Join(filepath.Dir(o.Dir), "aside"), entry("rollback"))
				if err == nil {
					kept = append(kept[:3:3], fmt.Sprintf("%d/7/rollback", p.Sequence))
				}
				return err
			})
		}
		add("f")
		try("prune", func() error { _, err := j.Prune(2); return err })
		if first != (Position{}) && len(j.segments) > 0 && j.segments[0].previous == first {
			kept = kept[2:]
		}
	}
	add("g")
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

func TestFullDiskAtEveryStep(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, length := range []int{1, 2, 4} {
			for _, short := range []bool{false, true} {
				runs := 0
				for at := 0; ; at++ {
					runs++
					f := &faults{short: short}
					hit := false
					f.fail = func(step string, n int) error {
						if n >= at && n < at+length && !strings.HasPrefix(step, "mkdir") {
							hit = true
							return syscall.ENOSPC
						}
						return nil
					}
					o := signed(filepath.Join(t.TempDir(), "journal"))
					o.Sync, o.ops = mode, f.ops()
					kept := work(t, o, false)
					if got := everything(t, o); !slices.Equal(got, kept) {
						t.Fatalf("%s, %d faults from step %d (%s): got %q, want %q", mode, length, at, f.trace[min(at, len(f.trace)-1)], got, kept)
					}
					if !hit && at > len(f.trace) {
						break
					}
				}
				t.Logf("%s, %d faults at once, short writes %v: %d runs", mode, length, short, runs)
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
	check("Create", "mkdir journal", "syncdir "+parent, "open "+first, "write "+first+" 0+256", "sync "+first, "syncdir journal")
	mustAppend(t, j, entry("abc"))
	check("Append", "write "+first+" 256+104", "sync "+first)
	mustRotate(t, j)
	check("Rotate", "open "+second, "write "+second+" 0+256", "sync "+second, "syncdir journal")
	if _, err := j.Prune(1); err != nil {
		t.Fatal(err)
	}
	check("Prune", "remove "+first, "syncdir journal")
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

// TestCrashAtEveryStep copies the folder before each operation and opens the copy. Parts of a write are what
// TestEveryTruncationIsAPrefix leaves.
func TestCrashAtEveryStep(t *testing.T) {
	root := t.TempDir()
	o := signed(filepath.Join(root, "journal"))
	f := &faults{}
	var kept []string // what was acknowledged, kept up to date by the steps below
	crashes := 0
	both := false // during Branch: either history
	var other []string
	f.before = func(step string) {
		if _, err := os.Stat(o.Dir); err != nil {
			return
		}
		check := func(written string) {
			crashes++
			copied := filepath.Join(copyDir(t, root), "journal")
			c := signed(copied)
			if got, err := list(copied); err == nil && len(got) == 0 {
				if len(kept) > 0 {
					t.Fatalf("%s: no segment and %q acknowledged", step, kept)
				}
				return
			}
			replay, read := collect()
			r, readErr := Replay(c, Position{}, replay)
			replay, got := collect()
			j, opened, err := Open(c, Position{}, replay)
			if err != nil || readErr != nil || r.Last != opened.Last || !slices.Equal(*read, *got) {
				t.Fatalf("%s%s: Open: %v, %q; Replay: %v, %q", step, written, err, *got, readErr, *read)
			}
			old := len(*got) >= len(kept) && slices.Equal((*got)[:len(kept)], kept) && len(*got) <= len(kept)+1
			if !old && !(both && slices.Equal(*got, other)) {
				t.Fatalf("%s%s: got %q, want %q", step, written, *got, kept)
			}
			p := mustAppend(t, j, entry("next"))
			mustClose(t, j)
			if v, err := Verify(c); err != nil || v.Last != p {
				t.Fatalf("%s%s: after Open: %+v, %v", step, written, v, err)
			}
		}
		check("")
	}
	o.ops = f.ops()
	j := mustCreate(t, o, Position{})
	add := func(text string) {
		p := mustAppend(t, j, entry(text))
		kept = append(kept, fmt.Sprintf("%d/7/%s", p.Sequence, text))
	}
	add("a")
	boundary := mustRotate(t, j)
	add("b")
	mustRotate(t, j)
	add("c")
	mustRotate(t, j)
	both, other = true, []string{"1/7/a", "4/7/rollback"}
	if _, err := j.Branch(boundary, filepath.Join(root, "aside"), entry("rollback")); err != nil {
		t.Fatal(err)
	}
	kept, both = other, false
	add("d")
	mustClose(t, j)
	if got := everything(t, o); !slices.Equal(got, []string{"1/7/a", "4/7/rollback", "5/7/d"}) {
		t.Errorf("got %q", got)
	}
	if old := segmentsOf(t, filepath.Join(root, "aside")); len(old) != 3 {
		t.Errorf("aside: got %v, want three segments", old)
	}
	t.Logf("%d crashes", crashes)
}

func TestBranchRefuses(t *testing.T) {
	root := t.TempDir()
	o := plain(filepath.Join(root, "journal"))
	at := sample(t, o)
	j, _, err := Open(o, Position{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	taken := filepath.Join(root, "taken")
	os.Mkdir(taken, 0o700)
	writeFile(t, filepath.Join(taken, segmentName(7)), nil)
	link := filepath.Join(root, "link")
	os.Symlink(taken, link)
	aside := filepath.Join(root, "aside")
	for name, c := range map[string]struct {
		at      Position
		aside   string
		entries []Entry
	}{
		"no entries":            {at[3], aside, nil},
		"no boundary":           {at[1], aside, []Entry{entry("x")}},
		"other chain":           {Position{Sequence: at[3].Sequence}, aside, []Entry{entry("x")}},
		"folder of the journal": {at[3], o.Dir, []Entry{entry("x")}},
		"folder has the name":   {at[3], taken, []Entry{entry("x")}},
		"folder is a link":      {at[3], link, []Entry{entry("x")}},
		"no parent":             {at[3], filepath.Join(root, "a", "b"), []Entry{entry("x")}},
	} {
		if _, err := j.Branch(c.at, c.aside, c.entries...); err == nil || errors.Is(err, ErrInDoubt) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
		if r, err := Verify(o); err != nil || r.Last != at[5] {
			t.Errorf("%s: afterwards: got %+v, %v", name, r, err)
		}
	}
	if p, err := j.Branch(at[3], aside, entry("x"), entry("y")); err != nil || p.Sequence != 10 {
		t.Fatalf("got %v, %v, want sequence 10", p, err)
	}
	if p, err := j.Branch(Position{}, filepath.Join(root, "all"), entry("z")); err != nil || p.Sequence != 11 {
		t.Fatalf("branch at the beginning: got %v, %v, want sequence 11", p, err)
	}
	if got := everything(t, o); !slices.Equal(got, []string{"11/7/z"}) {
		t.Errorf("got %q", got)
	}
	if _, err := Replay(o, at[3], nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("position of the history given up: got %v, want ErrDamaged", err)
	}
}
