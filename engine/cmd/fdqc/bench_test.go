package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestBenchOfOneCase is what scripts compare by: one object on one line.
func TestBenchOfOneCase(t *testing.T) {
	needLibTorch(t)
	folder(t, nil)
	got := fdqc(t, "", "bench", "--dim", "12", "--workspace", "8", "--patterns", "5", "--batch", "16", "--seconds", "0.01", "--format", "json",
		"--device", "cpu", "--threads", "1")
	if got.code != exitDone || got.errors != "" || strings.Count(got.out, "\n") != 1 {
		t.Fatalf("got exit code %d, output %q, errors %q, want one line", got.code, got.out, got.errors)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(got.out), &object); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rows_per_second", "mean_rows_per_second", "p50_seconds", "p99_seconds"} {
		if v, ok := object[name].(float64); !ok || !(v > 0) {
			t.Errorf("%s: got %v, want a number above 0", name, object[name])
		}
	}
	for name, want := range map[string]any{"device": "cpu", "threads": 1.0, "dim": 12.0, "workspace": 8.0, "patterns": 5.0, "batch": 16.0} {
		if object[name] != want {
			t.Errorf("%s: got %v, want %v", name, object[name], want)
		}
	}

	got = fdqc(t, "", "bench", "--patterns", "5", "--batch", "16", "--seconds", "0.01", "--device", "cpu", "--threads", "1")
	if got.code != exitDone || !strings.Contains(got.out, "d=8 n=8, 5 patterns on each side, batches of 16, on cpu with 1 threads") {
		t.Errorf("got exit code %d, output %q, errors %q, want the case for a person", got.code, got.out, got.errors)
	}
}

func TestBenchRefuses(t *testing.T) {
	folder(t, nil)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--format", "xml"}, `--format is "xml", expected table or json`},
		{[]string{"--dim", "5000"}, "--dim 5000"},
		{[]string{"--batch", "0"}, "--batch 0, expected"},
		{[]string{"--workspace", "1"}, "--workspace 1"},
		{[]string{"--seconds", "-1"}, "--seconds -1, expected more than 0"},
		{[]string{"--batch", "4", "--quick"}, "--quick, --json and --html are of a whole run"},
		{[]string{"--patterns", "0"}, "--patterns 0"},
		{[]string{"--turn", "-1s"}, "no negative time"},
	} {
		got := fdqc(t, "", append([]string{"bench"}, c.args...)...)
		if got.code != exitUsage || !strings.Contains(got.errors, c.want) {
			t.Errorf("%v: got exit code %d, errors %q, want %d and %q", c.args, got.code, got.errors, exitUsage, c.want)
		}
	}
}
