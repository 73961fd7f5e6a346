package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestLeversReachALongValidate has one process judge from a pipe while others
// pull levers: with nobody who has the data directory open, and through an owner.
func TestLeversReachALongValidate(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{
		"outcomes.jsonl": row(1, `, "is_safe": true`),
		"c.toml":         "[safety]\nsafe_mode = false\nrequire_human_approval = false\nquiet_period = \"0s\"\n",
	})
	t.Setenv("FDQC_CONFIG", "c.toml")
	succeeds := func(args ...string) {
		t.Helper()
		if got := fdqc(t, "", args...); got.code != exitDone {
			t.Fatalf("%v: exit %d, %s", args, got.code, got.errors)
		}
	}
	succeeds("record", "--input", "outcomes.jsonl")

	c := process(context.WithoutCancel(t.Context()), "validate", "--input", "-", "--output", "-", "--fields", "decision", "--quiet")
	var log strings.Builder
	c.Stderr = &log
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(stdout)
	decision := func() string {
		t.Helper()
		if _, err := io.WriteString(stdin, row(1, "")); err != nil {
			t.Fatal(err)
		}
		if !answers.Scan() {
			t.Fatalf("validate ended: %v, %s", answers.Err(), log.String())
		}
		return lines(t, answers.Text())[0]["decision"].(string)
	}
	// It may look at any time within a second after the change.
	becomes := func(when, want string) {
		t.Helper()
		got := decision()
		for deadline := time.Now().Add(20 * time.Second); got != want && time.Now().Before(deadline); got = decision() {
			time.Sleep(20 * time.Millisecond)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", when, got, want)
		}
	}
	if got := decision(); got != "allow" {
		t.Fatalf("at the start: got %s, want allow", got)
	}
	succeeds("safety", "safe-mode", "on")
	becomes("safe mode on", "review")
	t.Run("with an owner", func(t *testing.T) {
		startOwner(t)(row(2, `, "is_safe": true`)) // which has the lock when it answers
		succeeds("safety", "tier", "OMEGA")
		becomes("OMEGA", "block")
		succeeds("safety", "tier", "GAMMA")
		succeeds("safety", "safe-mode", "off")
		becomes("GAMMA, safe mode off", "allow")
	})
	if err := os.RemoveAll("fdqc-data"); err != nil {
		t.Fatal(err)
	}
	becomes("the data directory is gone", "block")
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if code := exitOf(t, c); code != exitDone || !strings.Contains(log.String(), "everything is blocked until they can") || !strings.Contains(log.String(), "fdqc-data/lock is gone") {
		t.Errorf("exit %d, %s, want %d and what is gone", code, log.String(), exitDone)
	}
}
