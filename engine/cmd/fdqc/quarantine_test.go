package main

import (
	"os"
	"strings"
	"testing"
)

// contradicting are an outcome and its contradiction.
var contradicting = row(1, `, "is_safe": true`) + row(1, `, "is_safe": false, "source": "web"`)

// TestQuarantine holds an outcome that contradicts another, and decides.
func TestQuarantine(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{"outcomes.jsonl": contradicting})
	if got := fdqc(t, "", "record", "--input", "outcomes.jsonl", "--output", "receipts.jsonl"); got.code != exitDone || !strings.Contains(got.errors, "1 stored, 1 quarantined") {
		t.Fatalf("record: exit %d, %s", got.code, got.errors)
	}
	data, err := os.ReadFile("receipts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	receipts := lines(t, string(data))
	if r := receipts[1]; r["result"] != "quarantined" || r["durable"] != true || r["pattern_id"] != nil || !strings.Contains(r["reason"].(string), "contradiction") {
		t.Errorf("receipt: got %v, want quarantined and why", r)
	}
	if got := fdqc(t, "", "quarantine", "list"); got.code != exitDone || !strings.Contains(got.out, "contradiction") || !strings.Contains(got.out, "web") {
		t.Errorf("list: exit %d, %s%s", got.code, got.out, got.errors)
	}
	for name, args := range map[string][]string{
		"no id": {"accept"}, "no number": {"accept", "one"}, "unknown": {"drop", "7"}, "both": {"drop", "1", "--all"},
	} {
		if got := fdqc(t, "", append([]string{"quarantine"}, args...)...); got.code != exitUsage || got.errors == "" {
			t.Errorf("%s: exit %d, %s, want %d", name, got.code, got.errors, exitUsage)
		}
	}
	if got := fdqc(t, "", "quarantine", "accept", "1", "--reason", "checked"); got.code != exitDone || !strings.Contains(got.out, "accepted 1 outcome, 0 left") {
		t.Errorf("accept: exit %d, %s%s", got.code, got.out, got.errors)
	}
	if got := fdqc(t, "", "memory", "stats"); !strings.Contains(strings.Join(strings.Fields(got.out), " "), "safe 1 unsafe 1") {
		t.Errorf("memory: got %s%s, want a pattern on each side", got.out, got.errors)
	}
	for _, verb := range []string{"list", "drop"} {
		args := []string{"quarantine", verb}
		if verb == "drop" {
			args = append(args, "--all")
		}
		if got := fdqc(t, "", args...); got.code != exitDone || !strings.Contains(got.out, "nothing is in quarantine") {
			t.Errorf("%s when empty: exit %d, %s%s", verb, got.code, got.out, got.errors)
		}
	}
}

// TestOnOutlier says what becomes of an outcome that a rule holds.
func TestOnOutlier(t *testing.T) {
	needLibTorch(t)
	for what, want := range map[string]string{"reject": "rejected", "flag": "stored", "quarantine": "quarantined"} {
		t.Run(what, func(t *testing.T) {
			folder(t, map[string]string{"fdqc.config": "[detector]\non_outlier = \"" + what + "\"\n"})
			got := fdqc(t, contradicting, "record", "--config", "fdqc.config", "--input", "-", "--output", "-")
			if got.code != exitDone {
				t.Fatalf("exit %d, %s", got.code, got.errors)
			}
			r := lines(t, got.out)[1]
			if r["result"] != want || !strings.Contains(r["reason"].(string), "contradiction") {
				t.Errorf("got %v, want %s and why", r, want)
			}
		})
	}
}

// TestQuarantineOfAnOwner decides while another process has the directory.
func TestQuarantineOfAnOwner(t *testing.T) {
	needLibTorch(t)
	folder(t, nil)
	tell := startOwner(t)
	tell(contradicting)
	if got := fdqc(t, "", "quarantine", "accept", "1"); got.code != exitDone || !strings.Contains(got.out, "accepted 1 outcome") {
		t.Errorf("accept: exit %d, %s%s", got.code, got.out, got.errors)
	}
	if last := tell(row(2, `, "is_safe": true`))[0]; last["pattern_id"] != 3.0 {
		t.Errorf("after the accepted one came %v, want pattern 3", last)
	}
	if got := fdqc(t, "", "quarantine", "list"); !strings.Contains(got.out, "nothing is in quarantine") {
		t.Errorf("list: %s%s", got.out, got.errors)
	}
}

// TestMemoryCheck measures how well the sides are apart.
func TestMemoryCheck(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{
		"apart.jsonl": row(1, `, "is_safe": true`) + row(2, `, "is_safe": true`) + row(9, `, "is_safe": false`) + row(10, `, "is_safe": false`),
		"mixed.jsonl": row(1, `, "is_safe": true`) + row(9, `, "is_safe": true`) + row(1, `, "is_safe": false`) + row(9, `, "is_safe": false`),
	})
	for name, want := range map[string]int{"apart": exitDone, "mixed": exitFailed} {
		t.Setenv("FDQC_DETECTOR_ON_OUTLIER", "flag")
		if got := fdqc(t, "", "record", "--data-dir", name, "--input", name+".jsonl"); got.code != exitDone {
			t.Fatalf("record: exit %d, %s", got.code, got.errors)
		}
		if got := fdqc(t, "", "memory", "check", "--data-dir", name); got.code != want || !strings.Contains(got.out, "score") {
			t.Errorf("%s: exit %d, %s%s, want %d and the score", name, got.code, got.out, got.errors, want)
		}
	}
}
