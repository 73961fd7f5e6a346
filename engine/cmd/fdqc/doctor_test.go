package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	} {
		t.Run(test.name, func(t *testing.T) {
			folder(t, map[string]string{"outcome.jsonl": row(1, `, "is_safe": true`)})
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			if got := fdqc(t, "", "record", "--input", "outcome.jsonl"); got.code != exitDone {
				t.Fatal(got.errors)
			}
			test.harm(t)
			got := fdqc(t, "", "doctor")
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
