package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAReadersCriticalAlert judges rows that are no numbers: safe mode goes on
// where the data directory is open, and the command says so where it is nowhere.
func TestAReadersCriticalAlert(t *testing.T) {
	needLibTorch(t)
	header := fmt.Sprintf("%-117s\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (50, 8), }")
	folder(t, map[string]string{
		"outcomes.jsonl": row(1, `, "is_safe": true`),
		"nan.npy":        "\x93NUMPY\x01\x00\x76\x00" + header + strings.Repeat("\xff", 50*8*4),
	})
	judge := func() answer {
		return fdqc(t, "", "validate", "--input", "nan.npy", "--output", "-", "--on-error", "skip")
	}
	status := func() string { return fdqc(t, "", "safety", "status").out }
	if got := fdqc(t, "", "record", "--input", "outcomes.jsonl"); got.code != exitDone {
		t.Fatalf("record: exit %d, %s", got.code, got.errors)
	}
	if got := judge(); got.code != exitDone || !strings.Contains(got.errors, "in this command alone") {
		t.Errorf("without an owner: exit %d, %s, want a warning", got.code, got.errors)
	}
	if s := status(); strings.Contains(s, "alarmed") {
		t.Errorf("a reader wrote an alarm: %s", s)
	}
	startOwner(t)(row(2, `, "is_safe": true`))
	if got := judge(); got.code != exitDone {
		t.Errorf("with an owner: exit %d, %s", got.code, got.errors)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(status(), "alarmed"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the owner has no alarm: %s", status())
		}
	}
}
