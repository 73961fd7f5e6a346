package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

// faulty fails from one operation on: only that one (a fault), or all that follow too (a crash). Writes that fail have
// written half.
type faulty struct {
	at, n int // 0: never
	crash bool
	err   error
	trace []string
}

func (f *faulty) fail(what, path string) error {
	f.n++
	f.trace = append(f.trace, what+" "+strings.SplitN(filepath.Base(path), ".tmp-", 2)[0])
	if f.at > 0 && (f.n == f.at || f.crash && f.n > f.at) {
		return fmt.Errorf("%s %s: %w", what, path, f.err)
	}
	return nil
}

func (f *faulty) ops() *fileOps {
	system := systemOps()
	return &fileOps{
		open: func(path string, flags int, mode fs.FileMode) (osFile, error) {
			if err := f.fail("open", path); err != nil {
				return nil, err
			}
			file, err := system.open(path, flags, mode)
			if err != nil {
				return nil, err
			}
			return &faultyFile{osFile: file, f: f, path: path}, nil
		},
		lstat:   system.lstat,
		readDir: func(path string) ([]fs.DirEntry, error) { return first(f.fail("list", path), system.readDir, path) },
		mkdir: func(path string, mode fs.FileMode) error {
			if err := f.fail("mkdir", path); err != nil {
				return err
			}
			return system.mkdir(path, mode)
		},
		rename: func(from, to string) error {
			if err := f.fail("rename", to); err != nil {
				return err
			}
			return system.rename(from, to)
		},
		remove: func(path string) error {
			if err := f.fail("remove", path); err != nil {
				return err
			}
			return system.remove(path)
		},
		syncDir: func(path string) error {
			if err := f.fail("syncdir", "folder"); err != nil {
				return err
			}
			return system.syncDir(path)
		},
	}
}

func first[T any](err error, do func(string) (T, error), path string) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return do(path)
}

type faultyFile struct {
	osFile
	f    *faulty
	path string
}

func (w *faultyFile) Write(b []byte) (int, error) {
	if err := w.f.fail("write", w.path); err != nil {
		n := 0
		if w.f.n == w.f.at {
			n, _ = w.osFile.Write(b[:len(b)/2])
		}
		return n, err
	}
	return w.osFile.Write(b)
}

func (w *faultyFile) Sync() error {
	if err := w.f.fail("sync", w.path); err != nil {
		return err
	}
	return w.osFile.Sync()
}

func (w *faultyFile) Close() error {
	return errors.Join(w.osFile.Close(), w.f.fail("close", w.path))
}

// extra lists what an interrupted save has left.
func extra(t *testing.T, dir string) []string {
	t.Helper()
	all := names(t, dir)
	left := orphans(all)
	for _, name := range all {
		if isTemporary(name) {
			left = append(left, name)
		}
	}
	return left
}

// TestFaults lets each operation of a save with rotation fail once, with each error: what was there is still there, nothing
// lies beside it, and the next save works.
func TestFaults(t *testing.T) {
	key := newKey(t)
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		faults, tolerated := 0, 0
		for at := 1; ; at++ {
			dir := t.TempDir()
			good := open(t, Options{Dir: dir, Key: key, RequireSigning: true, Keep: 2})
			save(t, good, 1)
			save(t, good, 2)
			before := tree(t, dir)
			f := &faulty{at: at, err: fault}
			s := open(t, Options{Dir: dir, Key: key, RequireSigning: true, Keep: 2, ops: f.ops()})
			_, err := s.Save(set(1, 3), About{Reason: "auto"})
			if f.n < at {
				break
			}
			what := f.trace[at-1]
			switch {
			case err == nil: // only rotation failed
				tolerated++
				newest(t, good, 3, nil)
			case !errors.Is(err, fault):
				t.Errorf("%v at %s: got %v", fault, what, err)
			default:
				faults++
				if !equal(tree(t, dir), before) {
					t.Errorf("%v at %s: files are %v, want them as before", fault, what, names(t, dir))
				}
				newest(t, good, 2, nil)
			}
			f.at = 0
			if _, err := s.Save(set(1, 4), About{Reason: "auto"}); err != nil {
				t.Errorf("%v at %s: the next save: %v", fault, what, err)
			}
			newest(t, good, 4, nil)
			if left := extra(t, dir); len(left) != 0 || len(names(t, dir)) != 4 {
				t.Errorf("%v at %s: after the next save files are %v", fault, what, names(t, dir))
			}
		}
		t.Logf("%v: %d operations failed with the save, %d after it", fault, faults, tolerated)
		if faults < 15 {
			t.Errorf("%v: %d faults were injected, expected at least 15", fault, faults)
		}
	}
}

// TestCrashes stops a save with rotation at each operation, as a crash does, with half of a write on the disk: the old or the
// new one is taken, nothing is refused, and the next save cleans up.
func TestCrashes(t *testing.T) {
	for _, key := range []*signing.Key{nil, newKey(t)} {
		o := Options{Key: key, RequireSigning: key != nil, Keep: 2}
		crashes := 0
		for at := 1; ; at++ {
			o.Dir, o.ops = t.TempDir(), nil
			good := open(t, o)
			save(t, good, 1)
			save(t, good, 2)
			f := &faulty{at: at, crash: true, err: errors.New("crash")}
			o.ops = f.ops()
			_, err := open(t, o).Save(set(1, 3), About{Reason: "auto"})
			if f.n < at {
				break
			}
			crashes++
			what := f.trace[at-1]
			l, lerr := good.Newest()
			switch {
			case lerr != nil || l == nil || len(l.Damaged) != 0:
				t.Errorf("crash at %s: got %+v, %v, want the old or the new one", what, l, lerr)
				continue
			case err == nil && l.Patterns.Counter != 3:
				t.Errorf("crash at %s: the save was acknowledged and counter is %d", what, l.Patterns.Counter)
			case l.Patterns.Counter != 2 && l.Patterns.Counter != 3:
				t.Errorf("crash at %s: got counter %d, want 2 or 3", what, l.Patterns.Counter)
			}
			c := save(t, good, 4)
			if c.Manifest.Sequence <= l.Manifest.Sequence {
				t.Errorf("crash at %s: sequence %d after %d", what, c.Manifest.Sequence, l.Manifest.Sequence)
			}
			if left := extra(t, o.Dir); len(left) != 0 {
				t.Errorf("crash at %s: the next save leaves %v", what, left)
			}
			newest(t, good, 4, nil)
		}
		t.Logf("%d crashes", crashes)
	}
}

// TestFileCrashes stops the replacing of a file at each operation, and lets each fail.
func TestFileCrashes(t *testing.T) {
	for _, first := range []bool{true, false} {
		for _, crash := range []bool{true, false} {
			for at := 1; ; at++ {
				o := Options{Dir: t.TempDir(), Key: newKey(t), RequireSigning: true}
				good := open(t, o)
				if !first {
					if err := good.SaveFile(StateFile, writePatterns(StateFile, set(1, 1))); err != nil {
						t.Fatal(err)
					}
				}
				old, _, _ := good.ReadFile(StateFile)
				f := &faulty{at: at, crash: crash, err: errors.New("stop")}
				o.ops = f.ops()
				err := open(t, o).SaveFile(StateFile, writePatterns(StateFile, set(2, 2)))
				if f.n < at {
					break
				}
				data, _, rerr := good.ReadFile(StateFile)
				if rerr != nil && !(first && errors.Is(rerr, fs.ErrNotExist)) {
					t.Errorf("first %t, crash %t at %s: got %v", first, crash, f.trace[at-1], rerr)
				}
				if err == nil && (rerr != nil || string(data) == string(old)) {
					t.Errorf("first %t, crash %t at %s: acknowledged and not there", first, crash, f.trace[at-1])
				}
				if err := good.SaveFile(StateFile, writePatterns(StateFile, set(1, 3))); err != nil {
					t.Errorf("first %t, crash %t at %s: the next: %v", first, crash, f.trace[at-1], err)
				}
				if got := names(t, o.Dir); len(got) != 2 {
					t.Errorf("first %t, crash %t at %s: files are %v", first, crash, f.trace[at-1], got)
				}
			}
		}
	}
}

// TestOrder traces that a file is flushed before it has its name, and the manifest's name before the file's.
func TestOrder(t *testing.T) {
	f := &faulty{}
	s := open(t, Options{Dir: t.TempDir(), Key: newKey(t), ops: f.ops()})
	c := save(t, s, 1)
	var got []string
	for _, step := range f.trace {
		if what, _, _ := strings.Cut(step, " "); strings.Contains("sync syncdir rename write", what) {
			got = append(got, step)
		}
	}
	m := c.Name + manifestSuffix
	want := []string{
		"write ." + c.Name, "sync ." + c.Name,
		"write ." + m, "sync ." + m, "rename " + m, "syncdir folder",
		"rename " + c.Name, "syncdir folder",
	}
	if !equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSetAsideCrashes stops setting aside at each operation: nothing looks unsigned.
func TestSetAsideCrashes(t *testing.T) {
	key := newKey(t)
	for at := 1; ; at++ {
		o := Options{Dir: t.TempDir(), Key: key, RequireSigning: true}
		good := open(t, o)
		save(t, good, 1)
		if err := change(save(t, good, 2).Path, 500); err != nil {
			t.Fatal(err)
		}
		f := &faulty{at: at, crash: true, err: errors.New("crash")}
		o.ops = f.ops()
		_, _ = newestAside(open(t, o))
		if f.n < at {
			break
		}
		newest(t, good, 1, nil)
		if c := save(t, good, 3); c.Manifest.Sequence != 3 {
			t.Errorf("crash at %s: next sequence is %d, want 3", f.trace[at-1], c.Manifest.Sequence)
		}
	}
}

// TestFullDisk saves into a real file system that is full, and again when there is room.
func TestFullDisk(t *testing.T) {
	dir := tmpfs(t, "size=256k")
	s := open(t, Options{Dir: dir, Key: newKey(t), RequireSigning: true})
	c := save(t, s, 1)
	ballast := filepath.Join(dir, "ballast")
	for free := int64(0); free < 24<<10; free += 4 << 10 { // pages, up to what a save needs
		room(t, dir, ballast, free)
		before := names(t, dir)
		if _, err := s.Save(set(200, 2), About{}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d bytes free: got %v, want no space", free, err)
		}
		if got := names(t, dir); !equal(got, before) {
			t.Errorf("%d bytes free: files are %v, want %v", free, got, before)
		}
		newest(t, s, 1, nil)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if n := save(t, s, 3); n.Manifest.Sequence <= c.Manifest.Sequence {
		t.Errorf("with room: got sequence %d", n.Manifest.Sequence)
	}
	newest(t, s, 3, nil)
}

// room fills a file system up to some free bytes.
func room(t *testing.T, dir, ballast string, free int64) {
	t.Helper()
	if err := os.RemoveAll(ballast); err != nil {
		t.Fatal(err)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ballast, make([]byte, int64(st.Bavail)*st.Bsize-free), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReadOnly saves into a file system that cannot be written, and reads it.
func TestReadOnly(t *testing.T) {
	dir := tmpfs(t, "size=1m")
	s := open(t, Options{Dir: dir, Key: newKey(t), RequireSigning: true})
	save(t, s, 1)
	if err := change(save(t, s, 2).Path, 500); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot remount read-only: %v", err)
	}
	if _, err := s.Save(set(1, 3), About{}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("got %v, want a read-only file system", err)
	}
	l, err := newestAside(s)
	if err != nil || l.Patterns.Counter != 1 || len(l.Damaged) != 1 || l.Damaged[0].Aside != "" {
		t.Errorf("got %+v, %v, want the older one and nothing moved", l, err)
	}
}

// tmpfs mounts a small file system for the test.
func tmpfs(t *testing.T, data string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, data+",mode=0700"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestFolderRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Dir: dir})
	save(t, s, 1)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(set(1, 2), About{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want fs.ErrNotExist naming the folder", err)
	}
	if l, err := newestAside(s); l != nil || err != nil {
		t.Errorf("got %v, %v, want none", l, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if c := save(t, s, 3); c.Manifest.Sequence != 2 {
		t.Errorf("made again: got sequence %d, want 2", c.Manifest.Sequence)
	}
}
