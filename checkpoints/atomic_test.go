package checkpoints

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var errDisk = errors.New("no space left on device")

// onlyFiles lists the names in a folder.
func onlyFiles(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAtomicCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("new"), 100_000)
	if _, err := a.Write(big); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("before Commit: got %.10q, want the old content", got)
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := a.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	if got := content(t, path); got != string(big) {
		t.Errorf("got %d bytes, want %d", len(got), len(big))
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, want 0600", info.Mode())
	}
	if names := onlyFiles(t, dir); len(names) != 1 {
		t.Errorf("got files %v, want the target only", names)
	}
	if err := a.Commit(); err == nil {
		t.Error("second Commit: got no error")
	}
	if _, err := a.Write([]byte("x")); err == nil {
		t.Error("Write after Commit: got no error")
	}
}

func TestAtomicAbort(t *testing.T) {
	dir := t.TempDir()
	a, err := Create(filepath.Join(dir, "out"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.Abort(), a.Abort()); err != nil {
		t.Fatal(err)
	}
	if names := onlyFiles(t, dir); len(names) != 0 {
		t.Errorf("got files %v, want none", names)
	}
}

// brokenFile fails in one of its methods.
type brokenFile struct {
	osFile
	write, sync, close error
}

func (f brokenFile) Write(b []byte) (int, error) {
	if f.write != nil {
		return 0, f.write
	}
	return f.osFile.Write(b)
}

func (f brokenFile) Sync() error { return errors.Join(f.sync, f.osFile.Sync()) }

func (f brokenFile) Close() error { return errors.Join(f.osFile.Close(), f.close) }

// TestAtomicFails lets every step fail in turn: the old file stays, nothing lies beside it, and once the fault is gone it
// works. Only after a failed flush of the folder has the file its name.
func TestAtomicFails(t *testing.T) {
	broken := func(f brokenFile) func(*fileOps) {
		return func(ops *fileOps) {
			open := ops.open
			ops.open = func(path string, flags int, mode fs.FileMode) (osFile, error) {
				inner, err := open(path, flags, mode)
				f.osFile = inner
				return f, err
			}
		}
	}
	for _, c := range []struct {
		name  string
		fault func(*fileOps)
		want  string
	}{
		{"open", func(o *fileOps) { o.open = func(string, int, fs.FileMode) (osFile, error) { return nil, errDisk } }, "old"},
		{"write", broken(brokenFile{write: errDisk}), "old"},
		{"sync", broken(brokenFile{sync: errDisk}), "old"},
		{"close", broken(brokenFile{close: errDisk}), "old"},
		{"rename", func(o *fileOps) { o.rename = func(string, string) error { return errDisk } }, "old"},
		{"folder", func(o *fileOps) { o.syncDir = func(string) error { return errDisk } }, "new"},
	} {
		for _, size := range []int{3, 1 << 20} {
			t.Run(c.name, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "out")
				if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				fill := func(w io.Writer) error {
					_, err := w.Write(bytes.Repeat([]byte("new"), size/3))
					return err
				}
				ops := systemOps()
				c.fault(&ops)
				if err := writeAtomic(path, 0o600, ops, fill); !errors.Is(err, errDisk) {
					t.Errorf("got %v, want the fault", err)
				}
				if got := content(t, path); got[:3] != c.want {
					t.Errorf("got %.3q, want %q", got, c.want)
				}
				if names := onlyFiles(t, dir); len(names) != 1 {
					t.Errorf("got files %v, want the target only", names)
				}
				if err := writeAtomic(path, 0o600, systemOps(), fill); err != nil || content(t, path)[:3] != "new" {
					t.Errorf("without the fault: got %v", err)
				}
			})
		}
	}
}

// TestAtomicFillFails drops the file when its writer gives up.
func TestAtomicFillFails(t *testing.T) {
	dir := t.TempDir()
	err := WriteAtomic(filepath.Join(dir, "out"), 0o600, func(w io.Writer) error {
		_, err := w.Write([]byte("half"))
		return errors.Join(err, errDisk)
	})
	if !errors.Is(err, errDisk) || len(onlyFiles(t, dir)) != 0 {
		t.Errorf("got %v and files %v, want the fault and none", err, onlyFiles(t, dir))
	}
}

func TestAtomicTargets(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir, 0o600); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("folder: got %v", err)
	}
	if _, err := Create(filepath.Join(dir, "absent", "out"), 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder absent: got %v, want fs.ErrNotExist", err)
	}
	write := func(w io.Writer) error { _, err := w.Write([]byte("new")); return err }

	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, []byte("old"), 0o600), os.Symlink("target", link)); err != nil {
		t.Fatal(err)
	}
	if err := WriteAtomic(link, 0o600, write); err != nil || content(t, target) != "new" {
		t.Errorf("link: got %v and %q, want its target replaced", err, content(t, target))
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("link: got %v (%v), want it kept", info, err)
	}

	if err := WriteAtomic("/dev/null", 0o600, write); err != nil {
		t.Errorf("/dev/null: got %v", err)
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode().IsRegular() {
		t.Fatalf("/dev/null is %v (%v), want it left alone", info.Mode(), err)
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		if err := WriteAtomic("/dev/full", 0o600, write); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("/dev/full: got %v, want no space", err)
		}
	}

	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		b, _ := os.ReadFile(pipe)
		read <- string(b)
	}()
	if err := WriteAtomic(pipe, 0o600, write); err != nil {
		t.Errorf("pipe: got %v", err)
	}
	select {
	case got := <-read:
		if got != "new" {
			t.Errorf("pipe: its reader got %q, want %q", got, "new")
		}
	case <-time.After(10 * time.Second):
		t.Error("pipe: its reader still waits")
	}
}

// TestAtomicStdout appends to an open file that a name of the process stands for, instead of replacing the file.
// A name with ".." behind a link means the folder that the system makes of it, also for the file that is written beside.
func TestAtomicDotsBehindALink(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "real", "deep"), 0o700), os.Symlink("real/deep", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for range 2 { // absent, then there
		a, err := Create(dir+"/link/../file", 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if beside, err := filepath.Glob(filepath.Join(dir, "real", ".file.tmp-*")); err != nil || len(beside) != 1 {
			t.Errorf("beside the file: got %v, %v, want one temporary in the folder real", beside, err)
		}
		if err := a.Commit(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "real", "file")); err != nil {
			t.Error(err)
		}
	}
}

func TestAtomicStdout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("before "); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("/proc/self/fd", itoa(f.Fd()))
	if _, err := os.Stat(name); err != nil {
		t.Skip("no /proc")
	}
	err = WriteAtomic(name, 0o600, func(w io.Writer) error { _, err := w.Write([]byte("new")); return err })
	if got := content(t, path); err != nil || got != "before new" {
		t.Errorf("got %q (%v), want %q", got, err, "before new")
	}
}
