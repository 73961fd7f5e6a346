package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/engine"
)

// TestSavesThatFailOverAndOver make the journal longer by what stands beside the
// memory once, whatever is recorded meanwhile, and lose nothing.
func TestSavesThatFailOverAndOver(t *testing.T) {
	if library == nil {
		t.Skip("run make build: there is no shim to compute with")
	}
	for name, c := range map[string]struct {
		folder func(t *testing.T) string
		begin  func(t *testing.T, dir string) (lift func())
		want   error
		alone  bool // it is the process that is short
	}{
		"full disk": {
			disk, func(t *testing.T, dir string) func() { return fill(t, filepath.Dir(dir), 12) }, syscall.ENOSPC, false,
		},
		"checkpoint too large": {
			func(t *testing.T) string { return t.TempDir() },
			func(t *testing.T, _ string) func() { return limitFiles(t, 40_000) }, syscall.EFBIG, true,
		},
		"no audit log": {
			func(t *testing.T) string { return t.TempDir() },
			func(t *testing.T, dir string) func() {
				log := filepath.Join(dir, "audit")
				must(t, os.Rename(log, log+".away"))
				return func() { must(t, os.Rename(log+".away", log)) }
			}, audit.ErrMissing, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.alone && os.Getenv(aloneVariable) == "" {
				inAProcess(t, "^TestSavesThatFailOverAndOver$/^"+strings.ReplaceAll(name, " ", "_")+"$")
				return
			}
			config := onDisk(t)
			config.Persistence.Dir = filepath.Join(c.folder(t), "data")
			config.Persistence.AutoSaveInterval = 0
			e := open(t, config)
			record(t, e, outcomes(normal(1, 600, 8), 8))
			hold(t, e.Directory(), normal(2, 50, 8))
			before, _ := journalSize(t, config)
			if _, err := e.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
			start, segments := journalSize(t, config)
			carry := start - before
			files := patternFiles(t, config.Persistence.Dir)
			lift := c.begin(t, config.Persistence.Dir)
			const rounds, most = 6, 1000 // bytes of what a round records
			for round := range uint64(rounds) {
				if round > 2 {
					record(t, e, outcomes(normal(10+round, 2, 8), 8))
				}
				if _, err := e.Save(t.Context()); !errors.Is(err, c.want) {
					t.Fatalf("save %d: got %v, want %v", round, err, c.want)
				}
			}
			size, now := journalSize(t, config)
			if grown := size - start; now-segments > 1 || grown > carry+rounds*most {
				t.Errorf("%d saves that failed made the journal %d bytes and %d segments longer, want one of %d bytes and what was recorded", rounds, grown, now-segments, carry)
			}
			lift()
			want := everything(e.Directory())
			crashed := config
			crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
			if got, _, err := opened(crashed); err != nil || got != want {
				t.Errorf("after a crash there is another memory, %v", err)
			}
			if _, err := e.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
			fresh := strings.Join(patternFiles(t, config.Persistence.Dir)[len(files):], " ")
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(patternFiles(t, config.Persistence.Dir)[len(files):], " "); fresh == "" || got != fresh {
				t.Errorf("checkpoints: got %q, and %q when it was closed, want the same", fresh, got)
			}
			if got, damaged, err := opened(config); err != nil || damaged > 0 || got != want {
				t.Errorf("opened again: another memory, %d damaged, %v", damaged, err)
			}
			if report, err := engine.VerifyAudit(config, nil); err != nil || report.JournalBehind != 0 || report.CheckpointsBehind != 0 {
				t.Errorf("audit log: got %+v, %v, want it complete", report, err)
			}
		})
	}
}

// journalSize answers the bytes of a directory's journal, and its segments.
func journalSize(t *testing.T, config engine.Config) (bytes, segments int) {
	t.Helper()
	all := parts(t, filepath.Join(config.Persistence.Dir, "journal"))
	for _, path := range all {
		info, err := os.Stat(path)
		must(t, err)
		bytes += int(info.Size())
	}
	return bytes, len(all)
}

// TestSaveAfterARollbackThatFailed: of an attempt that failed before it, and of
// what came between, nothing is lost.
func TestSaveAfterARollbackThatFailed(t *testing.T) {
	if library == nil {
		t.Skip("run make build: there is no shim to compute with")
	}
	if os.Getenv(aloneVariable) == "" {
		inAProcess(t, "^TestSaveAfterARollbackThatFailed$")
		return
	}
	config := onDisk(t)
	config.Persistence.AutoSaveInterval = 0
	e := open(t, config)
	d := e.Directory()
	if _, err := d.Save(t.Context(), "rollback"); err == nil {
		t.Error("a save that calls itself a rollback: got no error")
	}
	for seed := range uint64(2) {
		record(t, e, outcomes(normal(1+seed, 600, 8), 8))
		hold(t, d, normal(5+seed, 20, 8))
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ask(t, d, asks(normal(3, 2, 8), "a", "b"))
	lift := limitFiles(t, 40_000)
	on := true
	for round := range uint64(2) {
		if _, err := e.Save(t.Context()); !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("save: got %v, want EFBIG", err)
		}
		if _, err := d.PullLever(t.Context(), engine.LeverChange{RequireHumanApproval: &on, By: "operator"}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Rollback(t.Context(), 0, "operator", "test"); !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("rollback: got %v, want EFBIG", err)
		}
		record(t, e, outcomes(normal(10+round, 2, 8), 8))
		ask(t, d, asks(normal(20+round, 1, 8), "c"))
	}
	if _, err := d.Prune(t.Context(), 1, "operator"); err != nil {
		t.Fatal(err)
	}
	lift()
	want := everything(d)
	crashed := config
	crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	if got, _, err := opened(crashed); err != nil || got != want {
		t.Errorf("after a crash there is another memory, %v", err)
	}
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Prune(t.Context(), 1, "operator"); err != nil {
		t.Fatal(err)
	}
	must(t, e.Close())
	if got, damaged, err := opened(config); err != nil || damaged > 0 || got != want {
		t.Errorf("opened again: another memory, %d damaged, %v", damaged, err)
	}
	if report, err := engine.VerifyAudit(config, nil); err != nil || report.JournalBehind != 0 || report.CheckpointsBehind != 0 {
		t.Errorf("audit log: got %+v, %v, want it complete", report, err)
	}
}
