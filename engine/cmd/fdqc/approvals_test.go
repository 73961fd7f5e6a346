package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// TestApprovals asks for approval of what is judged, and decides by commands.
func TestApprovals(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{
		"actions.jsonl": row(1, `, "action": "git push", "session": "s"`) + row(2, "") + row(3, `, "basic_checks": false`) + `{"id": 4, "action": {"tool": "edit", "path": "a"}}` + "\n",
		"c.toml":        "[embedding]\nfallback = \"hash\"\n",
	})
	t.Setenv("FDQC_CONFIG", "c.toml")
	do := func(code int, want string, args ...string) string {
		t.Helper()
		got := fdqc(t, "", args...)
		if got.code != code || !strings.Contains(got.out+got.errors, want) {
			t.Errorf("%v: exit %d, %s%s, want exit %d and %q", args, got.code, got.out, got.errors, code, want)
		}
		return got.out
	}
	validate := []string{"validate", "--input", "actions.jsonl", "--output", "verdicts.jsonl"}
	ask := append(validate, "--request-approvals")
	do(exitDone, "judged", validate...)
	do(exitDone, "3 actions waiting for approval: see fdqc approvals list", ask...)
	do(exitDone, "nothing waits", "approvals", "list", "--data-dir", t.TempDir())
	do(exitDone, "git push", "approvals", "list")
	do(exitDone, `{"path":"a","tool":"edit"}`, "approvals", "list")
	shown := do(exitDone, "git push", "approvals", "show", "1", "2")
	for _, want := range []string{"pending", "risk", "low_coherence", "(an embedding)", "matches no pattern"} {
		if !strings.Contains(shown, want) {
			t.Errorf("show: got %s, want %q", shown, want)
		}
	}
	do(exitUsage, "no action waits as 9", "approvals", "show", "1", "9")
	do(exitUsage, "no id", "approvals", "show", "x")
	do(exitDone, "action 1 is approved, recorded as the safe pattern 1\n  risk", "approvals", "approve", "1", "--record", "--reason", "fine")
	if got := do(exitDone, "action 3 is denied\n", "approvals", "deny", "3"); !strings.HasSuffix(got, `: {"path":"a","tool":"edit"}`+"\n1 action left\n") {
		t.Errorf("deny: got %s, want the whole action", got)
	}
	do(exitUsage, "action 3 is denied already", "approvals", "approve", "3")
	do(exitUsage, "no action waits for approval as 9", "approvals", "deny", "2", "9")
	do(exitUsage, "no id", "approvals", "deny", "x")
	do(exitUsage, "", "approvals", "approve")
	do(exitUsage, "one or the other", append(ask, "--state", "x.pt")...)
	do(exitDone, "1 action waiting for approval, 2 decided on already", ask...)
	var list []engine.Approval
	if err := json.Unmarshal([]byte(do(exitDone, "", "approvals", "list", "--all", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if text := do(exitDone, "", "approvals", "show", "3", "1", "--json"); len(lines(t, text)) != 2 || lines(t, text)[1]["action"] != "git push" {
		t.Errorf("show as JSON: got %s, want two lines", text)
	}
	if len(list) != 3 || list[0].ID != 1 || list[0].State != engine.Approved || list[0].Decision.Reason != "fine" || list[0].Row != "1" || list[0].Session != "s" ||
		list[1].State != engine.Denied || list[2].State != engine.Pending || len(list[2].Workspace) != 8 || list[2].RawRisk == 0 {
		t.Errorf("got %+v", list)
	}
}

// TestLongActionsAreShown: a table marks what it cuts, and whoever approves has
// all of it before his eyes.
func TestLongActionsAreShown(t *testing.T) {
	needLibTorch(t)
	action := "echo " + strings.Repeat("é", 300) + " && rm -rf /"
	folder(t, map[string]string{"actions.jsonl": row(1, `, "action": "`+action+`"`)})
	if got := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", "verdicts.jsonl", "--request-approvals"); got.code != exitDone {
		t.Fatalf("validate: exit %d, %s", got.code, got.errors)
	}
	for _, c := range []struct {
		args  []string
		whole bool
	}{{[]string{"list"}, false}, {[]string{"list", "--json"}, true}, {[]string{"show", "1"}, true}, {[]string{"show", "1", "--json"}, true}, {[]string{"approve", "1"}, true}} {
		got := fdqc(t, "", append([]string{"approvals"}, c.args...)...)
		if strings.Contains(got.out, "rm -rf /") != c.whole || strings.Contains(got.out, "é… (fdqc approvals show 1)") == c.whole {
			t.Errorf("%v: exit %d, %s%s, whole: want %v", c.args, got.code, got.out, got.errors, c.whole)
		}
	}
}

// TestLongActions wait for approval in another process, in as many requests as
// they need; one that is too long is said, and ends nothing.
func TestLongActions(t *testing.T) {
	needLibTorch(t)
	var input strings.Builder
	for i, length := range []int{100_000, 100_000, 200_000, 100_000, 100_000, 100_000} {
		input.WriteString(row(i, `, "action": "`+strings.Repeat(`\u0001`, length)+`"`))
	}
	folder(t, map[string]string{"actions.jsonl": input.String()})
	startOwner(t)(row(9, `, "is_safe": true`))
	got := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", "verdicts.jsonl", "--request-approvals")
	for _, want := range []string{"5 actions waiting", "1 action could not be put into the queue", "an action of 200000 bytes"} {
		if got.code != exitDone || !strings.Contains(got.errors, want) {
			t.Errorf("exit %d, %s, want %q", got.code, got.errors, want)
		}
	}
}
