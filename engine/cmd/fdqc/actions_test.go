package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// TestStructuredActions judges rows whose actions are objects.
func TestStructuredActions(t *testing.T) {
	needLibTorch(t)
	action := func(id int, action string) string { return row(id, `, "action": `+action) }
	folder(t, map[string]string{
		"c.toml": "[safety]\nallowed_file_patterns = [\"src/**\"]\nallowed_processes = [\"git\"]\n[embedding]\nfallback = \"hash\"\n",
		"actions.jsonl": action(1, `{"tool": "edit", "path": "src/main.go"}`) +
			action(2, `{"tool": "edit", "path": "../etc/passwd"}`) +
			action(3, `{"process": "git", "args": ["log; id"]}`) +
			`{"id": 4, "action": {"tool": "edit", "path": "src/a"}}` + "\n" +
			`{"id": 5, "action": {"tool": "edit", "path": "src/a", "file": "x"}}` + "\n" +
			`{"id": 6, "action": "git log; id"}` + "\n",
	})
	t.Setenv("FDQC_CONFIG", "c.toml")
	got := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", "-")
	if got.code != exitDone {
		t.Fatalf("exit %d, %s", got.code, got.errors)
	}
	for i, want := range []string{"", "path: ", "args: ", "", "action: ", ""} {
		v := lines(t, got.out)[i]
		reason := fmt.Sprint(v["reason"])
		failed := strings.HasPrefix(reason, "Failed Cockpit basic validation: "+want)
		if failed != (want != "") || failed && (v["decision"] != "block" || v["risk_score"] != nil || v["requires_human_approval"] != true) {
			t.Errorf("action %d: got %v, want it to fail by %q", i+1, v, want)
		}
	}
	// Equal actions are equal, however they are written.
	if err := os.WriteFile("twice.jsonl", []byte(`{"id": 1, "action": {"tool": "edit", "path": "src/a"}}
{"id": 2, "session": "b", "action": {"path":"src\/a","tool":"\u0065dit","args":null}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	got = fdqc(t, "", "validate", "--input", "twice.jsonl", "--output", "-", "--fields", "raw_risk,entropy")
	if v := strings.Fields(got.out); got.code != exitDone || len(v) != 2 || v[0] != v[1] {
		t.Errorf("one action written twice: exit %d, %s%s", got.code, got.out, got.errors)
	}
}

// TestSignedActions requires signatures of every row.
func TestSignedActions(t *testing.T) {
	needLibTorch(t)
	key, err := signing.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	path := "src/main.go"
	sealed, err := policy.SealAction(policy.Action{Tool: "edit", Path: &path}, rand.Text(), time.Now(), key)
	if err != nil {
		t.Fatal(err)
	}
	signed := strings.TrimSpace(string(sealed))
	folder(t, map[string]string{
		"c.toml":        fmt.Sprintf("[safety]\nrequire_signed_actions = true\naction_keys = [%q]\n", signing.Trusted{Public: key.Public()}),
		"actions.jsonl": row(1, `, "action": `+signed) + row(2, `, "action": `+signed) + row(3, `, "action": {"tool": "edit"}`) + row(4, `, "action": "text"`) + row(5, ""),
	})
	t.Setenv("FDQC_CONFIG", "c.toml")
	got := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", "-")
	if got.code != exitDone {
		t.Fatalf("exit %d, %s", got.code, got.errors)
	}
	for i, want := range []string{"", "judged before", "not signed", "not signed", "not signed"} {
		v := lines(t, got.out)[i]
		if reason := fmt.Sprint(v["reason"]); strings.Contains(reason, "Failed Cockpit basic validation: action: ") != (want != "") || !strings.Contains(reason, want) {
			t.Errorf("action %d: got %v, want %q", i+1, v, want)
		}
	}
	// Rows that are nothing but embeddings fail too.
	header := fmt.Sprintf("%-117s\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8), }")
	npy := "\x93NUMPY\x01\x00" + string([]byte{byte(len(header)), 0}) + header + strings.Repeat("\x00\x00\x80\x3f", 16)
	if err := os.WriteFile("bare.npy", []byte(npy), 0o600); err != nil {
		t.Fatal(err)
	}
	got = fdqc(t, "", "validate", "--input", "bare.npy", "--output", "-")
	for _, v := range lines(t, got.out) {
		if got.code != exitDone || v["decision"] != "block" || !strings.Contains(fmt.Sprint(v["reason"]), "not signed") {
			t.Errorf("an embedding alone: exit %d, %s, %v", got.code, got.errors, v)
		}
	}
}

// TestShadowSummary says what other settings would have decided.
func TestShadowSummary(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{
		"c.toml":        "[shadow]\nenabled = true\ntier = \"OMEGA\"\n",
		"actions.jsonl": row(1, "") + row(2, "") + row(3, `, "basic_checks": false`),
	})
	for config, want := range map[string]string{"c.toml": "the shadow would have decided 2 of 3 rows otherwise: 2 block instead of review\n", "": "judged"} {
		t.Setenv("FDQC_CONFIG", config)
		got := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", "-")
		if got.code != exitDone || !strings.Contains(got.errors, want) || strings.Contains(got.errors, "shadow") != (config != "") {
			t.Errorf("configuration %q: exit %d, %s, want %q", config, got.code, got.errors, want)
		}
	}
}

// TestReplayDoesNotCheckActionsAgain: files and signatures are not as they were.
func TestReplayDoesNotCheckActionsAgain(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{
		"c.toml":        "[safety]\nrequire_signed_actions = true\n",
		"actions.jsonl": row(1, `, "op": "validate", "action": {"path": "../x"}`) + row(2, `, "op": "validate", "basic_checks": false`),
		"seed.jsonl":    row(1, `, "is_safe": true`),
	})
	if got := fdqc(t, "", "record", "--input", "seed.jsonl"); got.code != exitDone {
		t.Fatal(got.errors)
	}
	got := fdqc(t, "", "replay", "--config", "c.toml", "--state", "fdqc-data/validator_state.pt", "--input", "actions.jsonl", "--output", "-")
	if got.code != exitDone {
		t.Fatalf("exit %d, %s", got.code, got.errors)
	}
	if v := lines(t, got.out); v[0]["risk_score"] == nil || v[1]["risk_score"] != nil {
		t.Errorf("got %v, want the first judged and the second not", v)
	}
}
