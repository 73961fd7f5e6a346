package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine/control"
)

// TestSafetyAfterARollback goes the way back by commands, first with a quiet
// period that is not over, then with none.
func TestSafetyAfterARollback(t *testing.T) {
	needLibTorch(t)
	loose := "[safety]\nsafe_mode = false\nrequire_human_approval = false\n"
	folder(t, map[string]string{"outcomes.jsonl": row(1, `, "is_safe": true`), "c.toml": loose})
	t.Setenv("FDQC_CONFIG", "c.toml")
	for _, args := range [][]string{{"record", "--input", "outcomes.jsonl"}, {"checkpoint", "rollback", "--reason", "poisoned"}} {
		if got := fdqc(t, "", args...); got.code != exitDone {
			t.Fatalf("%v: exit %d, %s", args, got.code, got.errors)
		}
	}
	safety := func(code int, want string, args ...string) {
		t.Helper()
		got := fdqc(t, "", append([]string{"safety"}, args...)...)
		if got.code != code || !strings.Contains(got.out+got.errors, want) {
			t.Errorf("safety %v: exit %d, %s%s, want exit %d and %q", args, got.code, got.out, got.errors, code, want)
		}
	}
	safety(exitDone, "alarmed since ", "status")
	safety(exitDone, "an operator may type: fdqc safety safe-mode off", "status")
	safety(exitFailed, "safe mode stays on: rollback: poisoned at ", "safe-mode", "off")
	safety(exitFailed, " type: fdqc safety safe-mode off", "safe-mode", "off")
	safety(exitFailed, "human approval stays on", "human-approval", "off")
	safety(exitDone, "EPSILON", "tier", "EPSILON")
	safety(exitFailed, "the tier only tightens", "tier", "GAMMA")
	safety(exitUsage, "THETA", "tier", "THETA")
	if err := os.WriteFile("c.toml", []byte(loose+"quiet_period = \"0s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	safety(exitDone, "supervised since ", "safe-mode", "off")
	safety(exitFailed, "human approval stays on until DELTA", "human-approval", "off")
	safety(exitDone, "DELTA", "tier", "delta")
	safety(exitDone, "GAMMA", "tier", "GAMMA")
	got := fdqc(t, "", "safety", "status", "--json")
	var s control.Safety
	if err := json.Unmarshal([]byte(got.out), &s); err != nil {
		t.Fatal(err)
	}
	if s.InForce != (control.Settings{Tier: "GAMMA"}) || s.Next != nil || s.Levers.Stage != "" {
		t.Errorf("at the end: got %s, want what is configured", got.out)
	}
}
