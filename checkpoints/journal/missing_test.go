package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// losses take a segment from under its name, in ways that leave the open file writable, and give it back; nil when nothing can.
var losses = map[string]func(t *testing.T, dir, path string) (back func()){
	"folder is removed": func(t *testing.T, dir, path string) func() {
		must(t, os.RemoveAll(dir))
		return nil
	},
	"folder is moved": func(t *testing.T, dir, path string) func() {
		must(t, os.Rename(dir, dir+".moved"))
		return func() { must(t, os.Rename(dir+".moved", dir)) }
	},
	"folder is exchanged for an empty one": func(t *testing.T, dir, path string) func() {
		must(t, os.Rename(dir, dir+".moved"))
		must(t, os.Mkdir(dir, 0o700))
		return func() {
			must(t, os.Remove(dir)) // still empty
			must(t, os.Rename(dir+".moved", dir))
		}
	},
	"folder is exchanged for a copy": func(t *testing.T, dir, path string) func() {
		must(t, os.Rename(dir, dir+".moved"))
		must(t, os.CopyFS(dir, os.DirFS(dir+".moved")))
		want := contents(t, dir)
		return func() {
			if got := contents(t, dir); got != want {
				t.Errorf("copy of the folder: got %.300q, want it as it was, %.300q", got, want)
			}
			must(t, os.RemoveAll(dir))
			must(t, os.Rename(dir+".moved", dir))
		}
	},
	"folder is exchanged for a file": func(t *testing.T, dir, path string) func() {
		must(t, os.Rename(dir, dir+".moved"))
		writeFile(t, dir, nil)
		return func() {
			must(t, os.Remove(dir))
			must(t, os.Rename(dir+".moved", dir))
		}
	},
	"segment is removed": func(t *testing.T, dir, path string) func() {
		must(t, os.Remove(path))
		return nil
	},
	"segment is exchanged for a copy": func(t *testing.T, dir, path string) func() {
		content := readFile(t, path)
		must(t, os.Rename(path, path+".moved"))
		writeFile(t, path, content)
		return func() {
			if got := readFile(t, path); !slices.Equal(got, content) {
				t.Errorf("copy of the segment: got %d bytes, want it as it was, %d", len(got), len(content))
			}
			must(t, os.Rename(path+".moved", path))
		}
	},
	"segment is exchanged for a link to it": func(t *testing.T, dir, path string) func() {
		must(t, os.Rename(path, path+".moved"))
		must(t, os.Symlink(path+".moved", path))
		return func() { must(t, os.Rename(path+".moved", path)) }
	},
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contents gives names and contents of a folder's files.
func contents(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all strings.Builder
	for _, e := range entries {
		all.WriteString(e.Name() + "\n")
		all.Write(readFile(t, filepath.Join(dir, e.Name())))
	}
	return all.String()
}

func TestNothingIsAcknowledgedWithoutItsName(t *testing.T) {
	for name, lose := range losses {
		for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
			t.Run(name+"/"+string(mode), func(t *testing.T) {
				o := plain(filepath.Join(t.TempDir(), "journal"))
				o.Sync, o.Interval = mode, time.Hour
				j := mustCreate(t, o, Position{})
				mustAppend(t, j, entry("a"))
				mustRotate(t, j)
				at := mustAppend(t, j, entry("b"))
				back := lose(t, o.Dir, j.path())
				for range 2 {
					for step, call := range map[string]func() error{
						"Append": func() error { _, err := j.Append(entry("lost")); return err },
						"Rotate": func() error { _, err := j.Rotate(); return err },
						"Sync":   j.Sync,
						"Prune":  func() error { _, err := j.Prune(1); return err },
					} {
						if err := call(); !errors.Is(err, ErrMissing) || errors.Is(err, ErrInDoubt) || !strings.Contains(err.Error(), j.path()) {
							t.Errorf("%s: got %v, want ErrMissing that names %s", step, err, j.path())
						}
						if p := j.Position(); p != at {
							t.Errorf("after %s: got position %v, want %v", step, p, at)
						}
					}
				}
				if back == nil {
					if err := j.Close(); !errors.Is(err, ErrMissing) {
						t.Errorf("Close: got %v, want ErrMissing", err)
					}
					return
				}
				back()
				mustAppend(t, j, entry("c"))
				mustRotate(t, j)
				mustAppend(t, j, entry("d"))
				mustClose(t, j)
				if got, want := replayed(t, o, Position{}), []string{"1/7/a", "2/7/b", "3/7/c", "4/7/d"}; !slices.Equal(got, want) {
					t.Errorf("when it is back: got %q, want %q", got, want)
				}
			})
		}
	}
}

func TestRotateOfAnEmptySegmentNeedsItsName(t *testing.T) {
	o := plain(filepath.Join(t.TempDir(), "journal"))
	j := mustCreate(t, o, Position{})
	must(t, os.RemoveAll(o.Dir))
	if p, err := j.Rotate(); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v, %v, want ErrMissing", p, err)
	}
}

// TestFolderIsExchangedDuringAStep does it at the latest moment that the journal can notice.
func TestFolderIsExchangedDuringAStep(t *testing.T) {
	for step, c := range map[string]struct {
		at      string // the operation before which the folder is exchanged
		call    func(j *Journal) error
		inDoubt bool // a new segment lies in the folder and cannot be removed
	}{
		"Append": {"lstat " + segmentName(1), func(j *Journal) error { _, err := j.Append(entry("lost")); return err }, false},
		"Rotate": {"lstat " + segmentName(2), func(j *Journal) error { _, err := j.Rotate(); return err }, true},
	} {
		for _, name := range []string{"folder is moved", "folder is exchanged for an empty one", "folder is exchanged for a copy"} {
			t.Run(step+"/"+name, func(t *testing.T) {
				f := &faults{}
				o := plain(filepath.Join(t.TempDir(), "journal"))
				o.ops = f.ops()
				j := mustCreate(t, o, Position{})
				mustAppend(t, j, entry("a"))
				var back func()
				f.before = func(step string) {
					if step == c.at && back == nil {
						back = losses[name](t, o.Dir, j.path())
					}
				}
				for range 2 {
					if err := c.call(j); !errors.Is(err, ErrMissing) || errors.Is(err, ErrInDoubt) != c.inDoubt {
						t.Errorf("got %v, want ErrMissing, and ErrInDoubt: %v", err, c.inDoubt)
					}
				}
				if back == nil {
					t.Fatalf("got no %s, want it in %q", c.at, f.trace)
				}
				back()
				mustAppend(t, j, entry("b"))
				mustClose(t, j)
				if got, want := everything(t, o), []string{"1/7/a", "2/7/b"}; !slices.Equal(got, want) {
					t.Errorf("when it is back: got %q, want %q", got, want)
				}
				if got := segmentsOf(t, o.Dir); len(got) != 1 {
					t.Errorf("got segments %v, want the first only", got)
				}
			})
		}
	}
}
