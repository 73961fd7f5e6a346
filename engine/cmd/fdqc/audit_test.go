package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAudit(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{"outcome.jsonl": row(1, `, "is_safe": true`)})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if got := fdqc(t, "", "audit", "verify"); got.code != exitUsage || !strings.Contains(got.errors, "there is no data directory") {
		t.Errorf("without a directory: exit %d, %s", got.code, got.errors)
	}
	for _, args := range [][]string{
		{"record", "--input", "outcome.jsonl"},
		{"safety", "tier", "EPSILON", "--reason", "odd \x1b[31mverdicts"},
		{"checkpoint", "rollback", "--to", "1", "--reason", "drill"},
		{"checkpoint", "prune", "--keep", "1"},
	} {
		if got := fdqc(t, "", args...); got.code != exitDone {
			t.Fatalf("%q: exit %d, %s", args, got.code, got.errors)
		}
	}
	got := fdqc(t, "", "audit", "verify")
	if got.code != exitDone || !strings.Contains(got.out, "the audit log verifies") || strings.Contains(got.out, "not closed") {
		t.Errorf("verify: exit %d, %s%s", got.code, got.out, got.errors)
	}
	report := lines(t, strings.ReplaceAll(fdqc(t, "", "audit", "verify", "--json").out, "\n", " "))[0]
	if report["closed"] != true || report["journal_behind"] != 0.0 || report["signed_through"] != report["last_sequence"] {
		t.Errorf("verify --json: got %v", report)
	}
	last := fmt.Sprintf("%v:%v", report["last_sequence"], report["last_hash"])
	for head, want := range map[string]int{
		last: exitDone, "1" + last: exitVerify, "1:" + strings.Repeat("0", 64): exitVerify, "1": exitUsage, "x:00": exitUsage, "0:" + strings.Repeat("0", 64): exitUsage,
	} {
		if got := fdqc(t, "", "audit", "verify", "--head", head); got.code != want {
			t.Errorf("verify --head %s: exit %d, %s, want %d", head, got.code, got.errors, want)
		}
	}
	hour := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for _, c := range []struct {
		args string
		want []string // in the output
		not  string
		rows int // 0: any
	}{
		{"show", []string{"opened", "patterns", "levers", `because: "odd \x1b[31mverdicts"`, "replaced", "because: drill", "pruned", "closed"}, "\x1b", 0},
		{"show --last 2", []string{"closed"}, "levers", 3},
		{"show --event levers", []string{"EPSILON"}, "opened", 3},
		{"show --event levers,replaced --last 1", []string{"replaced"}, "levers", 2},
		{"show --event signed --last 1", []string{"signed"}, "", 2},
		{"show --since 1h --event closed", []string{"closed"}, "", 0},
		{"show --since " + hour, nil, "opened", 0},
		{"show --json --event patterns", []string{`"safe":1`, `"hash":"`, `"previous":"`}, "ENTRY", 0},
	} {
		got := fdqc(t, "", append([]string{"audit"}, strings.Fields(c.args)...)...)
		for _, want := range c.want {
			if !strings.Contains(got.out, want) {
				t.Errorf("%s: got %s%s, want %q", c.args, got.out, got.errors, want)
			}
		}
		if n := strings.Count(got.out, "\n"); got.code != exitDone || c.not != "" && strings.Contains(got.out, c.not) || c.rows > 0 && n != c.rows {
			t.Errorf("%s: exit %d with %d lines, %s%s, want %d lines without %q", c.args, got.code, n, got.out, got.errors, c.rows, c.not)
		}
	}
	before := readAll(t, auditFile(t))
	for _, args := range []string{"show --since yesterday", "show --last -1", "verify now", "show --since -1h"} {
		if got := fdqc(t, "", append([]string{"audit"}, strings.Fields(args)...)...); got.code != exitUsage {
			t.Errorf("%s: exit %d, %s, want %d", args, got.code, got.errors, exitUsage)
		}
	}
	text := readAll(t, auditFile(t))
	if !bytes.Equal(text, before) {
		t.Error("a reader wrote to the log")
	}
	changed := bytes.Replace(text, []byte(`"who":"`), []byte(`"who":"not `), 4)
	if err := os.WriteFile(auditFile(t), changed, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"audit", "verify"}, {"audit", "show"}, {"checkpoint", "verify"}, {"safety", "safe-mode", "on"}} {
		if got := fdqc(t, "", args...); got.code != exitVerify || !strings.Contains(got.errors, ".jsonl, line 2: entry 2 was changed") {
			t.Errorf("changed, %q: exit %d, %s%s, want %d and the entry", args, got.code, got.out, got.errors, exitVerify)
		}
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"restart", exitUsage, "needs --reason"},
		{"restart --reason test", exitDone, "set-aside"},
		{"verify", exitDone, "was given up: test"},
	} {
		got := fdqc(t, "", append([]string{"audit"}, strings.Fields(c.args)...)...)
		if got.code != c.code || !strings.Contains(got.out+got.errors, c.says) {
			t.Errorf("%s: exit %d, %s%s, want %d and %q", c.args, got.code, got.out, got.errors, c.code, c.says)
		}
	}
	if got := fdqc(t, "", "safety", "safe-mode", "on"); got.code != exitDone {
		t.Errorf("after the restart: exit %d, %s", got.code, got.errors)
	}
}

// readAll reads a whole file.
func readAll(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
