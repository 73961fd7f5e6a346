package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine/control"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

// metric finds the value of a series in a textfile.
func metric(t *testing.T, path, series string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return value
		}
	}
	return "none"
}

// TestMetricsOfABatchJob: a file and a Pushgateway get them, also of a job that
// failed, and a Pushgateway that fails changes no exit code.
func TestMetricsOfABatchJob(t *testing.T) {
	needLibTorch(t)
	var mu sync.Mutex
	pushed := map[string]string{}
	gateway := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		pushed[r.URL.Path] = string(body)
	}))
	defer gateway.Close()
	dir := folder(t, map[string]string{
		"actions.jsonl":  row(1, "") + row(2, "") + row(3, ""),
		"bad.jsonl":      row(1, "") + "nonsense\n",
		"outcomes.jsonl": row(1, `, "is_safe": true`),
	})
	if got := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", "v.jsonl", "--metrics-file", "fdqc.prom", "--push", gateway.URL); got.code != exitDone {
		t.Fatalf("exit %d: %s", got.code, got.errors)
	}
	if got := metric(t, "fdqc.prom", `fdqc_validations_total{result="rejected"}`); got != "3" {
		t.Errorf("%s rows rejected, want 3", got)
	}
	mu.Lock()
	if got := pushed["/metrics/job/fdqc_validate"]; !strings.Contains(got, "fdqc_validations_total") {
		t.Errorf("pushed %q", pushed)
	}
	mu.Unlock()
	if got := fdqc(t, "", "record", "--input", "outcomes.jsonl", "--metrics-file", "fdqc.prom"); got.code != exitDone {
		t.Fatalf("exit %d: %s", got.code, got.errors)
	}
	if got := metric(t, "fdqc.prom", `fdqc_outcomes_total{result="stored"}`); got != "1" {
		t.Errorf("%s outcomes stored, want 1", got)
	}
	if got := fdqc(t, "", "validate", "--input", "bad.jsonl", "--output", "v2.jsonl", "--metrics-file", "bad.prom"); got.code != exitUsage {
		t.Errorf("exit %d, want %d: %s", got.code, exitUsage, got.errors)
	}
	if _, err := os.Stat(filepath.Join(dir, "bad.prom")); err != nil {
		t.Errorf("a job that failed reports nothing: %v", err)
	}
	gateway.Close()
	t.Setenv("FDQC_MONITOR_METRICS_FILE", filepath.Join(dir, "absent", "fdqc.prom"))
	got := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", "v3.jsonl", "--push", gateway.URL)
	if got.code != exitDone || strings.Count(got.errors, "the metrics are not reported") != 2 {
		t.Errorf("with nowhere to report to: exit %d, want 0 and two warnings:\n%s", got.code, got.errors)
	}
}

// TestVerdictsAreJoinedWithOutcomes counts how often they were right.
func TestVerdictsAreJoinedWithOutcomes(t *testing.T) {
	needLibTorch(t)
	verdict := func(id, approved string) string {
		return fmt.Sprintf(`{"id": %s, "approved": %s, "decision": "review"}`+"\n", id, approved)
	}
	folder(t, map[string]string{
		"verdicts.jsonl": verdict("1", "true") + verdict(`"1"`, "false") + verdict("2", "true") + verdict("3", "false") + verdict("null", "true") + verdict("null", "true") +
			`{"id": 4, "approved": false, "decision": "block", "error": "line 4: NaN"}` + "\n",
		"twice.jsonl":   verdict("1", "true") + verdict("2", "true") + verdict("1", "true"),
		"no-id.jsonl":   `{"approved": true}` + "\n",
		"no-json.jsonl": verdict("1", "true") + "approved\n",
		"double.jsonl":  verdict("1.5", "true"),
		"verdicts.npz":  "x",
		"outcomes.jsonl": row(1, `, "is_safe": true`) + row(2, `, "is_safe": false`) + row(3, `, "is_safe": true`) +
			row(4, `, "is_safe": true`) + row(5, `, "is_safe": true`),
		"repeated.jsonl": row(6, `, "is_safe": true`) + row(2, `, "is_safe": true`) + row(2, `, "is_safe": true`),
	})
	for file, want := range map[string]string{
		"twice.jsonl": "line 3: id 1 is there twice", "no-id.jsonl": "line 1", "no-json.jsonl": "line 2",
		"double.jsonl": "id 1.5", "verdicts.npz": ".jsonl", "absent.jsonl": "no such file",
	} {
		got := fdqc(t, "", "record", "--input", "outcomes.jsonl", "--verdicts", file)
		if got.code != exitUsage || !strings.Contains(got.errors, want) {
			t.Errorf("%s: exit %d, %q, want %d and %q", file, got.code, got.errors, exitUsage, want)
		}
	}
	judged := func(verdict, truth string) string {
		return metric(t, "m.prom", fmt.Sprintf(`fdqc_judged_outcomes{truth=%q,verdict=%q,window="1h"}`, truth, verdict))
	}
	got := fdqc(t, "", "record", "--input", "outcomes.jsonl", "--verdicts", "verdicts.jsonl", "--metrics-file", "m.prom")
	if got.code != exitDone {
		t.Fatalf("exit %d: %s", got.code, got.errors)
	}
	if a, b, c, d := judged("approved", "safe"), judged("approved", "unsafe"), judged("refused", "safe"), judged("refused", "unsafe"); a+b+c+d != "1110" {
		t.Errorf("approved safe %s, unsafe %s, refused safe %s, unsafe %s, want 1, 1, 1, 0", a, b, c, d)
	}
	got = fdqc(t, "", "record", "--input", "repeated.jsonl", "--verdicts", "verdicts.jsonl")
	if got.code != exitUsage || !strings.Contains(got.errors, "line 3") || !strings.Contains(got.errors, "id 2 is there twice") {
		t.Errorf("exit %d, %q, want %d and line 3", got.code, got.errors, exitUsage)
	}
	got = fdqc(t, "", "record", "--input", "repeated.jsonl", "--verdicts", "verdicts.jsonl", "--on-error", "skip", "--output", "-")
	if answers := lines(t, got.out); got.code != exitDone || len(answers) != 3 || answers[2]["result"] != "error" {
		t.Errorf("skipping: exit %d, %s", got.code, got.out)
	}
}

func TestAlertsCommands(t *testing.T) {
	needLibTorch(t)
	var mu sync.Mutex
	var heard []string
	status := http.StatusOK
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, r.URL.Path+" "+string(body))
		w.WriteHeader(status)
	}))
	defer hook.Close()
	// next answers what was heard so far, and has later posts answered so.
	next := func(answer int) []string {
		mu.Lock()
		defer mu.Unlock()
		before := heard
		heard, status = nil, answer
		return before
	}
	folder(t, map[string]string{"outcomes.jsonl": row(1, `, "is_safe": true`) + row(2, `, "is_safe": true`)})
	if got := fdqc(t, "", "alerts", "list"); got.code != exitUsage {
		t.Errorf("no data directory: exit %d, want %d", got.code, exitUsage)
	}
	if got := fdqc(t, "", "alerts", "test"); got.code != exitUsage || !strings.Contains(got.errors, "FDQC_SLACK_WEBHOOK") {
		t.Errorf("nothing is configured: exit %d, %q, want %d and what to set", got.code, got.errors, exitUsage)
	}
	t.Setenv("FDQC_SLACK_WEBHOOK", hook.URL+"/s3cr3t-slack")
	t.Setenv("FDQC_WEBHOOK_URL", hook.URL+"/s3cr3t-hook")
	if got := fdqc(t, "", "alerts", "test"); got.code != exitDone || got.out != "slack: delivered\nwebhook: delivered\n" {
		t.Errorf("exit %d: %q %q", got.code, got.out, got.errors)
	}
	if got := next(http.StatusForbidden); len(got) != 2 || !strings.HasPrefix(got[0], "/s3cr3t-slack ") || !strings.Contains(got[1], `"kind":"test"`) {
		t.Errorf("heard %q", got)
	}
	if got := fdqc(t, "", "alerts", "test"); got.code != exitFailed || !strings.Contains(got.errors, "slack: answered status 403") || strings.Contains(got.errors, "s3cr3t") {
		t.Errorf("exit %d: %q, want %d, status 403 and no secret", got.code, got.errors, exitFailed)
	}
	next(http.StatusOK)

	// Two patterns fill a side of two.
	t.Setenv("FDQC_MEMORY_CAPACITY", "2")
	if got := fdqc(t, "", "record", "--input", "outcomes.jsonl"); got.code != exitDone {
		t.Fatalf("exit %d: %s", got.code, got.errors)
	}
	if heard := next(http.StatusOK); len(heard) != 2 || !strings.Contains(strings.Join(heard, ""), "Memory utilization of the safe side: 1.000") {
		t.Errorf("heard %q, want the alert twice", heard)
	}
	if got := fdqc(t, "", "alerts", "list"); got.code != exitDone || !strings.Contains(got.out, "memory_utilization") {
		t.Errorf("exit %d:\n%s", got.code, got.out)
	}
	got := fdqc(t, "", "alerts", "list", "--json")
	var alerts []monitor.Alert
	if err := json.Unmarshal([]byte(got.out), &alerts); err != nil || len(alerts) != 1 || alerts[0].Source != "memory.safe" {
		t.Errorf("%v: %s", err, got.out)
	}
}

// TestLogFileAndLevels: what a process logs goes to its file too, and an
// operator changes how much while it runs.
func TestLogFileAndLevels(t *testing.T) {
	needLibTorch(t)
	dir := folder(t, nil)
	if got := fdqc(t, "", "log-level"); got.code != exitUsage {
		t.Errorf("no data directory: exit %d, want %d", got.code, exitUsage)
	}
	t.Setenv("FDQC_LOGGING_FILE", filepath.Join(dir, "fdqc.log"))
	c := process(t.Context(), "record", "--input", "-", "--output", "-", "--quiet")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ask := func(r control.LogLevelRequest) (*control.LogLevels, error) {
		return control.NewClient(filepath.Join(dir, "fdqc-data")).LogLevel(t.Context(), r)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := ask(control.LogLevelRequest{}); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the owner does not answer")
		}
	}
	if got := fdqc(t, "", "log-level", "checkpoints", "debug"); got.code != exitDone || !strings.Contains(got.out, "checkpoints  debug") || !strings.Contains(got.out, "engine       info") {
		t.Errorf("exit %d: %s%s", got.code, got.out, got.errors)
	}
	for _, args := range [][]string{{"nobody", "debug"}, {"engine", "loud"}, {"engine"}} {
		if got := fdqc(t, "", append([]string{"log-level"}, args...)...); got.code != exitUsage {
			t.Errorf("%q: exit %d, want %d", args, got.code, exitUsage)
		}
	}
	if got := fdqc(t, "", "checkpoint", "save"); got.code != exitDone {
		t.Errorf("save: exit %d: %s", got.code, got.errors)
	}
	if _, err := stdin.Write([]byte(row(1, `, "is_safe": true`))); err != nil {
		t.Fatal(err)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if code := exitOf(t, c); code != exitDone {
		t.Errorf("exit %d", code)
	}
	text, err := os.ReadFile(filepath.Join(dir, "fdqc.log"))
	if err != nil || !strings.Contains(string(text), "[DEBUG] fdqc.checkpoints: saved") || !strings.Contains(string(text), "an operator changed what is logged") {
		t.Errorf("the log has (%v)\n%s", err, text)
	}
	if info, err := os.Stat(filepath.Join(dir, "fdqc.log")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
}

// TestRunBookCommands: what the run book says to type can be typed.
func TestRunBookCommands(t *testing.T) {
	text, err := os.ReadFile("../../monitor/RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	typed := 0
	for _, line := range strings.Split(string(text), "\n") {
		command, ok := strings.CutPrefix(line, "    fdqc ")
		if !ok {
			continue
		}
		typed++
		command, _, _ = strings.Cut(command, " #")
		var args []string
		for i, part := range strings.Split(command, `"`) {
			if i%2 == 1 {
				args = append(args, part)
			} else {
				args = append(args, strings.Fields(strings.ReplaceAll(part, " N ", " 1 "))...)
			}
		}
		root, _ := newRoot(streams{})
		c, rest, err := root.Find(args)
		if err != nil || c.RunE == nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if err := c.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if err := c.ValidateArgs(c.Flags().Args()); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if typed < 15 {
		t.Errorf("the run book has %d commands, expected more", typed)
	}
}
