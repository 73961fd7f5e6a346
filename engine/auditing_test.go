package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// auditFiles are the files of the audit log, oldest first.
func auditFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "audit", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("audit log: got %q, %v", files, err)
	}
	return files
}

// cutAudit leaves the first entries of an audit log of one file, as a crash
// does before the later ones are written.
func cutAudit(t *testing.T, dir string, entries int64) {
	t.Helper()
	path := auditFiles(t, dir)[0]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if err := os.WriteFile(path, bytes.Join(lines[:entries], nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

// audited are the entries of the audit log, which must verify, without those of
// the log itself.
func audited(t testing.TB, config engine.Config) []audit.Entry {
	t.Helper()
	var all []audit.Entry
	if _, err := engine.VerifyAudit(config, nil); err != nil {
		t.Fatalf("audit log: %v", err)
	}
	if _, err := engine.ReadAudit(config, nil, func(e *audit.Entry) error {
		if e.Event != audit.EventFile && e.Event != audit.EventSigned {
			all = append(all, *e)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// story is what the audit log tells, a word an entry.
func story(entries []audit.Entry) string {
	var words []string
	for _, e := range entries {
		words = append(words, e.Event)
	}
	return strings.Join(words, " ")
}

// ofEvent decodes the data of the entries of an event.
func ofEvent(t testing.TB, entries []audit.Entry, event string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, e := range entries {
		if e.Event != event {
			continue
		}
		var data map[string]any
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		all = append(all, data)
	}
	return all
}

// recorded counts the outcomes in the audit log.
func recorded(t testing.TB, entries []audit.Entry) (outcomes float64) {
	t.Helper()
	for _, data := range ofEvent(t, entries, "patterns") {
		outcomes += data["safe"].(float64) + data["unsafe"].(float64)
	}
	return outcomes
}

// TestAuditTellsWhatWasDone: one entry of each kind, with who and why.
func TestAuditTellsWhatWasDone(t *testing.T) {
	config := small(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	e := open(t, config, engine.WithVersion("1.2.3"), engine.WithClock(func() time.Time { return at }))
	d := e.Directory()
	record(t, e, outcomes(normal(1, 20, 8), 8)) // 7 a side stay
	if err := e.SetImportance(t.Context(), memory.Safe, 2, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Resize(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	on := true
	tier := "DELTA"
	if _, err := d.PullLever(t.Context(), engine.LeverChange{Tier: &tier, SafeMode: &on, By: "eve", Reason: "odd verdicts"}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.SaveBy(t.Context(), "ada", "command"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Rollback(t.Context(), 1, "eve", "poisoned"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Prune(t.Context(), 1, "ada"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	entries := audited(t, config)
	want := "opened saved patterns capacity levers carried saved levers carried saved replaced pruning pruned closed"
	if got := story(entries); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	entries = slices.DeleteFunc(entries, func(e audit.Entry) bool { return e.Event == "carried" })
	me := engine.UserName(uint32(os.Geteuid()))
	check := func(i int, event, who, why, data string) {
		t.Helper()
		e := entries[i]
		if e.Event != event || e.Who != who || e.Why != why || !strings.Contains(string(e.Data), data) || !e.Time.Equal(at) {
			t.Errorf("entry %d: got %s by %q because of %q with %s, want %s by %q because of %q with %s", i, e.Event, e.Who, e.Why, e.Data, event, who, why, data)
		}
	}
	check(0, "opened", me, "", `"version":"1.2.3","key":"`)
	check(1, "saved", me, "created", `"sequence":1,"file":"patterns_`)
	check(2, "patterns", me, "", `"commits":2,"safe":10,"unsafe":10,"first_pattern_id":1,"last_pattern_id":20,"first_sequence":1,"last_sequence":20,"importances":1,"evicted":{"count":6,"pattern_ids":"`)
	check(3, "capacity", me, "", `"capacity":5,"evicted":{"count":4,"pattern_ids":"`)
	check(4, "levers", "eve", "odd verdicts", `{"old":{"safe_mode":false,"require_human_approval":false},"new":{"tier":"DELTA","safe_mode":true,"require_human_approval":false}}`)
	check(5, "saved", "ada", "command", `"sequence":2`)
	check(6, "levers", "eve", "rollback: poisoned", `"new":{"tier":"DELTA","safe_mode":true,"require_human_approval":false,"stage":"alarmed"`)
	check(7, "saved", "eve", "rollback", `"source":1`)
	check(8, "replaced", "eve", "poisoned", `{"checkpoint":3,"source":1}`)
	pruned := slices.IndexFunc(entries, func(e audit.Entry) bool { return e.Event == "pruned" })
	check(pruned, "pruned", "ada", "", `{"removed":["patterns_`)
	check(len(entries)-1, "closed", me, "", "")
}

// TestAuditSettings: what was changed between two openings.
func TestAuditSettings(t *testing.T) {
	config := small(t)
	for _, change := range []func(){
		func() {}, func() {},
		func() { config.Safety.BlockThreshold, config.Safety.SafeMode = 0.5, true },
		func() { config.Logging.Level = "debug" },
	} {
		change()
		if err := directory(t, config).Close(); err != nil {
			t.Fatal(err)
		}
	}
	got := ofEvent(t, audited(t, config), "settings")
	want := `[map[changed:map[safety.block_threshold:[0.8 0.5] safety.safe_mode:[false true]]]]`
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestAuditAfterACrash: whatever part of the log is written, the next writer
// completes it, and nothing is told twice.
func TestAuditAfterACrash(t *testing.T) {
	config := small(t)
	e := open(t, config)
	for round := range uint64(3) {
		history(t, e, round)
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	history(t, e, 9)
	total := e.MemoryStats().Counter
	all := len(audited(t, config))
	for _, damaged := range []int{0, 2} {
		for drop := range 9 {
			crashed := config
			crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
			path := auditFiles(t, crashed.Persistence.Dir)[0]
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := bytes.SplitAfter(text, []byte("\n"))
			lines = lines[:len(lines)-1]
			kept := bytes.Join(lines[:len(lines)-drop], nil)
			kept = append(kept, lines[len(lines)-1][:7*drop]...)
			if err := os.WriteFile(path, kept, 0o600); err != nil {
				t.Fatal(err)
			}
			files := patternFiles(t, crashed.Persistence.Dir)
			for _, path := range files[len(files)-damaged:] {
				flip(t, path)
			}
			what := fmt.Sprintf("%d lines dropped, %d newest damaged", drop, damaged)
			d, err := engine.OpenDirectory(crashed)
			if err != nil {
				var refused *engine.VerificationError
				if !errors.As(err, &refused) || !strings.Contains(err.Error(), "was cut") && !strings.Contains(err.Error(), "were cut") {
					t.Errorf("%s: %v", what, err)
				}
				if drop < 4 {
					t.Errorf("%s: refused although no checkpoint knows of them: %v", what, err)
				}
				continue
			}
			if got := d.Recovered().AuditCutBytes; got != int64(7*drop) {
				t.Errorf("%s: %d bytes cut, want %d", what, got, 7*drop)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			entries := audited(t, crashed)
			if got := recorded(t, entries); got != float64(total) {
				t.Errorf("%s: %v outcomes are on record, want %d:\n%s", what, got, total, story(entries))
			}
			if got := ofEvent(t, entries, "released"); len(got) != 8 || got[0]["quarantine_ids"] != "1,3" || got[1]["quarantine_ids"] != "2,4" {
				t.Errorf("%s: releases %v are on record, want 8, of two outcomes each", what, got)
			}
			if got := len(ofEvent(t, entries, "levers")); got != 4 {
				t.Errorf("%s: %d levers are on record, want 4", what, got)
			}
			saves := map[any]int{}
			for _, data := range ofEvent(t, entries, "saved") {
				saves[data["sequence"]]++
			}
			for n := range len(saves) {
				sequence := float64(n)
				if saves[sequence+1] != 1 {
					t.Errorf("%s: checkpoint %v is on record %d times, want once", what, sequence+1, saves[sequence+1])
				}
			}
			if damaged == 0 && len(saves) < 4 {
				t.Errorf("%s: %d checkpoints are on record, want 4", what, len(saves))
			}
		}
	}
	if all < 10 {
		t.Errorf("%d entries, want enough to drop some", all)
	}
}
