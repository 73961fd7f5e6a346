package audit

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

// faults counts operations and makes chosen ones fail.
type faults struct {
	trace []string
	fail  func(step string, n int) error // n counts from 0 on
	short bool                           // a failing write writes half
}

func (f *faults) step(format string, values ...any) error {
	s, n := fmt.Sprintf(format, values...), len(f.trace)
	f.trace = append(f.trace, s)
	if f.fail == nil {
		return nil
	}
	return f.fail(s, n)
}

func (f *faults) ops() *fileOps {
	system := systemOps()
	return &fileOps{
		open: func(path string, flags int, mode fs.FileMode) (file, error) {
			if err := f.step("open"); err != nil {
				return nil, err
			}
			g, err := system.open(path, flags, mode)
			return &faultyFile{g, f}, err
		},
		makeFolder: func(path string) error { return errors.Join(f.step("mkdir"), system.makeFolder(path)) },
		syncDir:    func(path string) error { return errors.Join(f.step("syncdir"), system.syncDir(path)) },
		lstat: func(path string) (fs.FileInfo, error) {
			if err := f.step("lstat"); err != nil {
				return nil, err
			}
			return system.lstat(path)
		},
	}
}

type faultyFile struct {
	file
	faults *faults
}

func (f *faultyFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.faults.step("write"); err != nil {
		n := 0
		if f.faults.short {
			n, _ = f.file.WriteAt(b[:len(b)/2], off)
		}
		return n, err
	}
	return f.file.WriteAt(b, off)
}

func (f *faultyFile) Sync() error {
	if err := f.faults.step("sync"); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultyFile) Truncate(n int64) error {
	if err := f.faults.step("truncate"); err != nil {
		return err
	}
	return f.file.Truncate(n)
}

// TestFaultAtEveryStep has operations fail from each on: what was flushed is there, all is there in the end, and at any
// time a writer that begins anew finds a log that verifies.
func TestFaultAtEveryStep(t *testing.T) {
	for _, length := range []int{1, 3} {
		for _, short := range []bool{false, true} {
			steps := 1
			for at := 0; at < steps; at++ {
				f := &faults{short: short, fail: func(_ string, n int) error {
					if n >= at && n < at+length {
						return syscall.ENOSPC
					}
					return nil
				}}
				o := signed(t, filepath.Join(t.TempDir(), "audit"))
				o.FileBytes, o.ops = 700, f.ops()
				l := mustOpen(t, o)
				var want []int64
				flushed := 0
				for i := range int64(4) {
					mustAppend(t, l, patterns(i+1))
					want = append(want, i+1)
					err := l.Flush()
					if err == nil {
						flushed = len(want)
					} else if !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("%d faults from step %d: %v, want the disk's error only", length, at, err)
					}
					crashed := o
					crashed.ops = nil
					got := journals(t, crashed)
					if len(got) < flushed || !slices.Equal(got, want[:len(got)]) {
						t.Fatalf("%d faults from step %d (%s): got %v, want at least %v", length, at, f.trace[at], got, want[:flushed])
					}
					if _, _, err := Open(crashed, Head{}, nil); err != nil {
						t.Fatalf("%d faults from step %d: another writer: %v", length, at, err)
					}
				}
				for n := 0; l.Flush() != nil; n++ {
					if n == 10 {
						t.Fatalf("%d faults from step %d: it never succeeded after the fault was gone", length, at)
					}
				}
				o.ops = nil
				if got := journals(t, o); !slices.Equal(got, want) {
					t.Fatalf("%d faults from step %d: got %v, want %v", length, at, got, want)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				steps = max(steps, len(f.trace))
			}
		}
	}
}

// TestTakenAway notices that what it writes is found by nobody.
func TestTakenAway(t *testing.T) {
	for name, take := range map[string]func(o Options) error{
		"file": func(o Options) error {
			return os.Rename(filepath.Join(o.Dir, fileName(1)), filepath.Join(o.Dir, "moved"))
		},
		"folder": func(o Options) error { return os.Rename(o.Dir, o.Dir+".moved") },
	} {
		t.Run(name, func(t *testing.T) {
			o := signed(t, filepath.Join(t.TempDir(), "audit"))
			l := mustOpen(t, o)
			mustAppend(t, l, patterns(1))
			mustFlush(t, l)
			if err := take(o); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, l, patterns(2))
			if err := l.Flush(); !errors.Is(err, ErrMissing) || l.Flushed() {
				t.Errorf("got %v, want %v", err, ErrMissing)
			}
			_ = os.Rename(filepath.Join(o.Dir, "moved"), filepath.Join(o.Dir, fileName(1)))
			_ = os.Rename(o.Dir+".moved", o.Dir)
			mustFlush(t, l)
			if got := journals(t, o); !slices.Equal(got, []int64{1, 2}) {
				t.Errorf("when it is back: got %v, want both", got)
			}
		})
	}
}

// TestZeros cuts an unfinished line that is filled up with zeros, and nothing else.
func TestZeros(t *testing.T) {
	o, head := filled(t)
	path := paths(t, o)[1]
	text := readFile(t, path)
	for name, c := range map[string]struct {
		tail string
		torn bool
	}{
		"zeros":              {strings.Repeat("\x00", 3*MaxLine), true},
		"a line and zeros":   {`{"sequence":99,"ti` + strings.Repeat("\x00", 3*MaxLine), true},
		"zeros, then a line": {strings.Repeat("\x00", 3*MaxLine) + "a", false},
		"zeros and a break":  {strings.Repeat("\x00", 3) + "\n", false},
	} {
		writeFile(t, path, append(slices.Clone(text), c.tail...))
		report, err := Verify(o, Known{head, "a checkpoint"})
		if c.torn && (err != nil || report.Torn != int64(len(c.tail))) || !c.torn && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %d bytes torn, %v", name, report.Torn, err)
		}
	}
}
