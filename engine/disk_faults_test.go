package engine_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// disk mounts a small file system.
func disk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("mounting a small disk needs root (%v); the project's CI runs as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill leaves some pages of a disk free, until the function returned is called.
func fill(t *testing.T, disk string, pages int) (lift func()) {
	t.Helper()
	filler, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	// The audit log may be written between the question and the answer.
	for range 100 {
		var free syscall.Statfs_t
		if err := syscall.Statfs(disk, &free); err != nil {
			t.Fatal(err)
		}
		size := (int64(free.Bavail) - int64(pages)) * free.Bsize
		if size <= 0 {
			break
		}
		if err = syscall.Fallocate(int(filler.Fd()), 0, 0, size); !errors.Is(err, syscall.ENOSPC) {
			break
		}
	}
	if err := errors.Join(err, filler.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(filler.Name()); err != nil {
			t.Error(err)
		}
	}
}

// shortage is a disk that has room for a little only: the more the later the
// step.
type shortage struct {
	folder func(t *testing.T) string
	begin  func(t *testing.T, folder string, step int) (lift func())
	want   error
	steps  int
	alone  bool // it is the process that is short
}

func shortages() map[string]shortage {
	sizes := []uint64{0, 1, 64, 255, 256, 257, 1000, 2000, 4000, 5000, 6000, 8000, 10000, 15000, 20000, 40000, 80000, 1 << 20}
	return map[string]shortage{
		"full disk": {
			disk,
			func(t *testing.T, folder string, step int) func() { return fill(t, folder, step) },
			syscall.ENOSPC, 120, false,
		},
		"largest file": {
			func(t *testing.T) string { return t.TempDir() },
			func(t *testing.T, _ string, step int) func() { return limitFiles(t, sizes[step]) },
			syscall.EFBIG, len(sizes), true,
		},
	}
}

// run tries an operation at every step, from no room to enough, and wants it to
// fail and to succeed. failed checks what a failure left, before and after the
// room is back.
func (s *shortage) run(t *testing.T, folder string, try func() error, failed func(when string)) {
	t.Helper()
	failures, successes := 0, 0
	for step := 0; step < s.steps && successes < 3; step++ {
		lift := s.begin(t, folder, step)
		err := try()
		when := fmt.Sprintf("step %d, %v", step, err)
		switch {
		case err == nil:
			successes++
		case !errors.Is(err, s.want):
			t.Errorf("step %d: got %v, want %v", step, err, s.want)
		default:
			failures++
			failed(when + ", without room")
		}
		lift()
		if err != nil {
			failed(when + ", with room again")
		}
	}
	t.Logf("%d failures, nothing lost", failures)
	if failures == 0 || successes == 0 {
		t.Errorf("%d failures and %d successes, want both", failures, successes)
	}
}

func TestShortOfSpace(t *testing.T) {
	if library == nil {
		t.Skip("run make build: there is no shim to compute with")
	}
	for name, s := range shortages() {
		t.Run(name, func(t *testing.T) {
			if s.alone && os.Getenv(aloneVariable) == "" {
				inAProcess(t, "^TestShortOfSpace$/^"+strings.ReplaceAll(name, " ", "_")+"$")
				return
			}
			s.test(t)
		})
	}
}

// aloneVariable tells a test that it has its process for itself.
const aloneVariable = "FDQC_TEST_ALONE"

// inAProcess runs a test in a process of its own: a limit of a process stops
// the files of whatever else is in it, too.
func inAProcess(t *testing.T, test string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+test, "-test.v")
	c.Env = append(os.Environ(), aloneVariable+"=1")
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func (s *shortage) test(t *testing.T) {
	folder := s.folder(t)
	config := onDisk(t)
	config.Persistence.Dir = filepath.Join(folder, "data")
	config.Persistence.MaxCheckpoints = 2
	e := open(t, config)
	rows := normal(1, 300, 8)
	record(t, e, outcomes(rows, 8))
	intact := func(when, want string) {
		t.Helper()
		if got := everything(e.Directory()); got != want {
			t.Errorf("%s: the memory is another", when)
		}
		if got, _, err := opened(config, engine.ReadOnly()); err != nil || got != want {
			t.Errorf("%s: a reader finds another memory, %v", when, err)
		}
		if strings.HasSuffix(when, "again") {
			crashed := config
			crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
			if got, _, err := opened(crashed); err != nil || got != want {
				t.Errorf("%s: after a crash there is another memory, %v", when, err)
			}
		}
		for _, path := range parts(t, config.Persistence.Dir) {
			if name := filepath.Base(path); strings.HasPrefix(name, ".") || strings.Contains(name, ".tmp") {
				t.Errorf("%s: %s is left", when, path)
			}
		}
	}
	t.Run("record", func(t *testing.T) {
		want := everything(e.Directory())
		s.run(t, folder, func() error {
			receipts, err := e.Record(t.Context(), outcomes(rows, 8))
			if err != nil && len(receipts) != 0 {
				t.Errorf("%d receipts beside %v", len(receipts), err)
			}
			if err == nil {
				want = everything(e.Directory())
			}
			return err
		}, func(when string) { intact(when, want) })
	})
	t.Run("save", func(t *testing.T) {
		want := everything(e.Directory())
		files := patternFiles(t, config.Persistence.Dir)
		s.run(t, folder, func() error {
			_, err := e.Save(t.Context())
			if err == nil {
				files = patternFiles(t, config.Persistence.Dir)
			}
			return err
		}, func(when string) {
			intact(when, want)
			if got := patternFiles(t, config.Persistence.Dir); fmt.Sprint(got) != fmt.Sprint(files) {
				t.Errorf("%s: checkpoints: got %q, want %q", when, got, files)
			}
		})
	})
	t.Run("rollback", func(t *testing.T) {
		record(t, e, outcomes(rows, 8))
		aside := func() []string {
			found, err := filepath.Glob(filepath.Join(config.Persistence.Dir, "set-aside", "*"))
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		before := e.Patterns()
		kept := len(aside())
		s := *s
		if begin := s.begin; !s.alone { // it needs much more, and more with each attempt that is journaled
			s.begin = func(t *testing.T, folder string, step int) func() { return begin(t, folder, 8*step) }
		}
		s.run(t, folder, func() error {
			files, err := engine.OpenStore(config, nil)
			if err != nil {
				t.Fatal(err)
			}
			list, err := files.List()
			if err != nil {
				t.Fatal(err)
			}
			r, err := e.Directory().Rollback(t.Context(), list[len(list)-1].Sequence(), "operator", "test")
			if err == nil {
				kept, before = len(aside()), e.Patterns()
				if r.Aside == "" {
					t.Error("nothing was kept aside")
				}
			}
			return err
		}, func(when string) {
			// The levers may hold already; the memory must be as before.
			if got := e.Patterns(); fmt.Sprint(got) != fmt.Sprint(before) {
				t.Errorf("%s: the memory is another", when)
			}
			if got := aside(); len(got) != kept {
				t.Errorf("%s: %q are left aside", when, got[kept:])
			}
		})
	})
	t.Run("close", func(t *testing.T) {
		record(t, e, outcomes(rows, 8))
		want := everything(e.Directory())
		crashed := config
		crashed.Persistence.Dir = filepath.Join(folder, "crashed")
		if err := os.CopyFS(crashed.Persistence.Dir, os.DirFS(copyTree(t, config.Persistence.Dir))); err != nil {
			t.Fatal(err)
		}
		d, err := engine.OpenDirectory(crashed)
		if err != nil {
			t.Fatal(err)
		}
		lift := s.begin(t, folder, 0)
		if err := d.Close(); !errors.Is(err, s.want) || !strings.Contains(err.Error(), "journal holds every outcome") {
			t.Errorf("close without room: got %v, want %v and where the outcomes are", err, s.want)
		}
		lift()
		if got, _, err := opened(crashed); err != nil || got != want {
			t.Errorf("opened again: another memory, %v", err)
		}
		if err := os.RemoveAll(crashed.Persistence.Dir); err != nil {
			t.Error(err)
		}
	})
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if report, err := engine.VerifyAudit(config, nil); err != nil || report.JournalBehind != 0 || report.CheckpointsBehind != 0 {
		t.Errorf("audit log: got %+v, %v, want it complete", report, err)
	}
	t.Run("a new directory", func(t *testing.T) {
		fresh, n := config, 0
		s.run(t, folder, func() error {
			n++
			fresh.Persistence.Dir = filepath.Join(folder, fmt.Sprint("fresh", n))
			d, err := engine.OpenDirectory(fresh)
			if err != nil {
				return err
			}
			return d.Close()
		}, func(when string) {
			if strings.HasSuffix(when, "again") {
				d, err := engine.OpenDirectory(fresh)
				if err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				if stats := d.Stats(); stats.Counter != 0 {
					t.Errorf("%s: got %+v, want an empty memory", when, stats)
				}
				if err := errors.Join(d.Close(), os.RemoveAll(fresh.Persistence.Dir)); err != nil {
					t.Error(err)
				}
			}
		})
	})
}

func TestReadOnlyFileSystem(t *testing.T) {
	folder := disk(t)
	config := small(t)
	config.Persistence.Dir = filepath.Join(folder, "data")
	e := open(t, config)
	history(t, e, 1)
	want := whole(e.Directory())
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", folder, "", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	if d, err := engine.OpenDirectory(config); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), folder) {
		t.Errorf("a writer: got %v, %v, want read-only file system and the path", d, err)
	}
	absent := config
	absent.Persistence.Dir = filepath.Join(folder, "absent")
	if d, err := engine.OpenDirectory(absent); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "absent") {
		t.Errorf("a writer of a new directory: got %v, %v, want read-only file system and the path", d, err)
	}
	if got := whole(directory(t, config, engine.ReadOnly())); got != want {
		t.Errorf("a reader: got\n%s\nwant\n%s", got, want)
	}
	remount(0)
	if got := whole(directory(t, config)); got != want {
		t.Errorf("a writer when it may write again: got\n%s\nwant\n%s", got, want)
	}
}
