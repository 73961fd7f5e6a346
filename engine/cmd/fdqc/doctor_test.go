package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
)

// newestCheckpoint is the path of the newest checkpoint in fdqc-data.
func newestCheckpoint(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("fdqc-data/patterns_*.pt")
	if err != nil || len(found) == 0 {
		t.Fatalf("no checkpoints: %v", err)
	}
	return found[len(found)-1]
}

func TestDoctor(t *testing.T) {
	needLibTorch(t)
	do := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		harm func(t *testing.T)
		code int
		line string // how the line of the check begins
		says string // what stands in that line

		after bool
	}{
		{name: "healthy", harm: func(*testing.T) {}, line: "ok      data directory", says: "private and writable"},
		{name: "others may enter", harm: func(*testing.T) { do(os.Chmod("fdqc-data", 0o755)) },
			code: exitUsage, line: "FAILED  data directory", says: "mode 0755, expected 0700; run: chmod 700 fdqc-data"},
		{name: "others may read a file", harm: func(*testing.T) { do(os.Chmod("fdqc-data/validator_state.pt", 0o640)) },
			code: exitUsage, line: "FAILED  data directory", says: "validator_state.pt has mode 0640, expected 0600"},
		{name: "a link", harm: func(*testing.T) { do(os.Symlink("/etc/hostname", "fdqc-data/projections.pt")) },
			code: exitUsage, line: "FAILED  data directory", says: "projections.pt is a symbolic link"},
		{name: "another user's file", harm: func(t *testing.T) {
			if err := os.Chown("fdqc-data/validator_state.pt", 65534, 65534); err != nil {
				t.Skipf("giving a file away needs root (%v); the project's CI runs as root", err)
			}
		}, code: exitUsage, line: "FAILED  data directory", says: "belongs to"},
		{name: "damaged checkpoint", harm: func(t *testing.T) { do(os.Truncate(newestCheckpoint(t), 100)) },
			code: exitVerify, line: "FAILED  checkpoints", says: "100 bytes"},
		{name: "damaged journal", harm: func(t *testing.T) {
			segments, err := filepath.Glob("fdqc-data/journal/*.journal")
			do(err)
			f, err := os.OpenFile(segments[0], os.O_RDWR, 0)
			do(err)
			_, err = f.WriteAt([]byte{0xff}, 20)
			do(err)
			do(f.Close())
		}, code: exitVerify, line: "FAILED  checkpoints", says: ".journal"},
		{name: "weak key", harm: func(*testing.T) {
			do(os.Chmod(filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "fdqc", "signing.key"), 0o644))
		},
			code: exitUsage, line: "FAILED  keys", says: "0600"},
		{name: "key beside what it signs", harm: func(t *testing.T) {
			do(os.Rename(filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "fdqc", "signing.key"), "fdqc-data/signing.key"))
			t.Setenv("FDQC_PERSISTENCE_SIGNING_KEY_FILE", "fdqc-data/signing.key")
		}, line: "warn    keys", says: "who can write there can sign"},
		{name: "unsigned is taken", harm: func(t *testing.T) { t.Setenv("FDQC_SAFETY_REQUIRE_SIGNING", "false") },
			line: "warn    keys", says: "unsigned checkpoints are taken"},
		{name: "a lax journal", harm: func(t *testing.T) { t.Setenv("FDQC_PERSISTENCE_JOURNAL_SYNC", "interval") },
			line: "warn    journal sync", says: "durable: false"},
		{name: "an old key", harm: func(*testing.T) {
			old := time.Now().Add(-400 * 24 * time.Hour)
			do(os.Chtimes(filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "fdqc", "signing.key"), old, old))
		}, line: "warn    keys", says: "400 days old, 0 trusted keys; fdqc checkpoint keygen --rotate"},
		{name: "no safe mode", harm: func(t *testing.T) { t.Setenv("FDQC_SAFETY_SAFE_MODE", "false") },
			line: "warn    safety", says: "safety.safe_mode is false"},
		{name: "a loose threshold", harm: func(t *testing.T) { t.Setenv("FDQC_SAFETY_BLOCK_THRESHOLD", "1.2") },
			line: "warn    safety", says: "safety.block_threshold is 1.2, usual is 0.8"},
		{name: "nobody is told", harm: func(*testing.T) {}, line: "warn    alerts", says: "set FDQC_SLACK_WEBHOOK"},
		{name: "somebody is told", harm: func(t *testing.T) { t.Setenv("FDQC_SLACK_WEBHOOK", "https://hooks.slack.com/services/T0/B0/secret") },
			line: "ok      alerts", says: "1 destination"},
		{name: "damaged audit log", harm: func(t *testing.T) {
			f, err := os.OpenFile(auditFile(t), os.O_RDWR, 0)
			do(err)
			_, err = f.WriteAt([]byte("X"), 700)
			do(err)
			do(f.Close())
		}, code: exitVerify, line: "FAILED  checkpoints", says: ".jsonl, line 1"},
		{name: "after: in order", harm: func(*testing.T) {}, after: true, line: "ok      audit head", says: "signed up to"},
		{name: "after: a crash", harm: func(t *testing.T) {
			info, err := os.Stat(auditFile(t))
			do(err)
			do(os.Truncate(auditFile(t), info.Size()-600))
		}, after: true, line: "warn    audit head", says: "did not close it"},
		{name: "after: a rollback", harm: func(t *testing.T) {
			if got := fdqc(t, "", "checkpoint", "rollback", "--to", "1", "--reason", "drill"); got.code != exitDone {
				t.Fatal(got.errors)
			}
		}, after: true, line: "warn    levers", says: "fdqc safety safe-mode off"},
		{name: "after: full", harm: func(t *testing.T) {
			t.Setenv("FDQC_MEMORY_CAPACITY", "1")
			if got := fdqc(t, "", "memory", "resize", "--capacity", "1"); got.code != exitDone {
				t.Fatal(got.errors)
			}
		}, after: true, line: "warn    memory", says: "fdqc memory resize"},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder(t, map[string]string{"outcome.jsonl": row(1, `, "is_safe": true`)})
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			if got := fdqc(t, "", "record", "--input", "outcome.jsonl"); got.code != exitDone {
				t.Fatal(got.errors)
			}
			test.harm(t)
			args := []string{"doctor"}
			if test.after {
				args = append(args, "--after")
			}
			got := fdqc(t, "", args...)
			if got.code != test.code {
				t.Errorf("exit %d, want %d: %s%s", got.code, test.code, got.out, got.errors)
			}
			for line := range strings.Lines(got.out) {
				if strings.HasPrefix(line, test.line) && strings.Contains(line, test.says) {
					return
				}
			}
			t.Errorf("no line begins with %q and says %q:\n%s%s", test.line, test.says, got.out, got.errors)
		})
	}
}

// auditFile is the audit log of fdqc-data.
func auditFile(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("fdqc-data/audit/*.jsonl")
	if err != nil || len(found) != 1 {
		t.Fatalf("audit log: got %q, %v", found, err)
	}
	return found[0]
}

// TestDoctorOfACrash looks at a directory an hour after its writer was killed,
// with outcomes in the journal.
func TestDoctorOfACrash(t *testing.T) {
	needLibTorch(t)
	dir := folder(t, nil)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	c := process(t.Context(), "record", "--input", "-", "--output", "receipts.jsonl", "--device", "cpu", "--quiet")
	stdin, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := io.WriteString(stdin, row(i+2, `, "is_safe": true`)); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, func() bool { return true }, func() bool {
		text, _ := os.ReadFile("receipts.jsonl")
		return strings.Count(string(text), "\n") == 3
	})
	_ = c.Process.Kill()
	_ = c.Wait()
	config := engine.DefaultConfig()
	config.Persistence.Dir = filepath.Join(dir, "fdqc-data")
	var out strings.Builder
	d := &doctor{app: &app{streams: streams{out: &out, err: io.Discard}}, config: config, now: func() time.Time { return time.Now().Add(time.Hour) }}
	d.deployed()
	for _, want := range []string{"warn    checkpoint age  1h0m", "fdqc checkpoint save", "warn    audit head", "did not close it"} {
		if !strings.Contains(out.String(), want) || len(d.failures) > 0 {
			t.Errorf("got\n%swant %q", out.String(), want)
		}
	}
}

// TestDoctorOfAnOwner looks at a directory that another process has open.
func TestDoctorOfAnOwner(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{"outcome.jsonl": row(1, `, "is_safe": true`)})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if got := fdqc(t, "", "record", "--input", "outcome.jsonl"); got.code != exitDone {
		t.Fatal(got.errors)
	}
	owner := process(t.Context(), "record", "--input", "-", "--device", "cpu", "--quiet")
	stdin, err := owner.StdinPipe()
	if err == nil {
		err = owner.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool { return true }, func() bool { return control.Reach(t.Context(), "fdqc-data") == nil })
	got := fdqc(t, "", "doctor")
	if got.code != exitDone || !strings.Contains(got.out, fmt.Sprintf("process %d has the data directory open and answers operators", owner.Process.Pid)) || !strings.Contains(got.out, "ok      checkpoint age") {
		t.Errorf("exit %d, %s%s, want the owner and how the directory fares", got.code, got.out, got.errors)
	}
	if err := stdin.Close(); err != nil {
		t.Error(err)
	}
	_ = owner.Wait() // it had no rows
	got = fdqc(t, "", "doctor")
	if got.code != exitDone || !strings.Contains(got.out, "no process has the data directory open") || strings.Contains(got.out, "checkpoint age") {
		t.Errorf("without an owner: exit %d, %s%s", got.code, got.out, got.errors)
	}
}

// TestDoctorsClock looks at clocks that are wrong.
func TestDoctorsClock(t *testing.T) {
	needLibTorch(t)
	dir := folder(t, map[string]string{"outcome.jsonl": row(1, `, "is_safe": true`)})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if got := fdqc(t, "", "record", "--input", "outcome.jsonl"); got.code != exitDone {
		t.Fatal(got.errors)
	}
	config := engine.DefaultConfig()
	config.Persistence.Dir = filepath.Join(dir, "fdqc-data")
	for name, c := range map[string]struct {
		now  time.Time
		want string
	}{
		"1970":      {time.Unix(0, 0), "which is past"},
		"yesterday": {time.Now().Add(-24 * time.Hour), "behind a checkpoint"},
		"now":       {time.Now(), ""},
	} {
		if c.want == "behind a checkpoint" && c.now.Before(earliest) {
			c.want = "which is past"
		}
		d := &doctor{app: &app{streams: streams{err: io.Discard}}, config: config, now: func() time.Time { return c.now }}
		found, err := d.clock()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v, want %q", name, found, err, c.want)
		}
	}
}

// The doctor leaves a data directory as it was, to the last size and time.
func TestDoctorLeavesNothing(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{"outcome.jsonl": row(1, `, "is_safe": true`)})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if got := fdqc(t, "", "record", "--input", "outcome.jsonl"); got.code != exitDone {
		t.Fatal(got.errors)
	}
	listing := func() string {
		var all strings.Builder
		for _, name := range []string{"fdqc-data", "fdqc-data/journal", os.Getenv("XDG_CONFIG_HOME")} {
			entries, err := os.ReadDir(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				info, err := entry.Info()
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintln(&all, entry.Name(), info.Mode())
				if !entry.IsDir() {
					fmt.Fprintln(&all, info.Size(), info.ModTime())
				}
			}
		}
		return all.String()
	}
	before := listing()
	if got := fdqc(t, "", "doctor"); got.code != exitDone {
		t.Fatalf("exit %d: %s%s", got.code, got.out, got.errors)
	}
	if after := listing(); after != before {
		t.Errorf("files are\n%s\nwere\n%s", after, before)
	}
}
