package engine_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/engine"
)

// TestAuditCannotBeWritten: recording and tightening go on, from the journal
// nothing gets lost, and everything else waits.
func TestAuditCannotBeWritten(t *testing.T) {
	config := small(t)
	e := open(t, config)
	d := e.Directory()
	history(t, e, 1)
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(config.Persistence.Dir, "audit")
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	record(t, e, outcomes(normal(2, 9, 8), 8))
	on, off := true, false
	if _, err := d.PullLever(t.Context(), engine.LeverChange{SafeMode: &on, By: "monitor", Reason: "alert"}); err != nil {
		t.Errorf("safe mode on: got %v, want it on", err)
	}
	if !d.Levers().SafeMode {
		t.Error("safe mode is not on")
	}
	for name, try := range map[string]func() error{
		"loosen": func() error {
			_, err := d.PullLever(t.Context(), engine.LeverChange{SafeMode: &off, By: "operator"})
			return err
		},
		"save":     func() error { _, err := e.Save(t.Context()); return err },
		"restore":  func() error { _, err := d.Restore(t.Context(), 1, "operator", "test"); return err },
		"rollback": func() error { _, err := d.Rollback(t.Context(), 0, "operator", "test"); return err },
	} {
		if err := try(); !errors.Is(err, audit.ErrMissing) {
			t.Errorf("%s: got %v, want %v", name, err, audit.ErrMissing)
		}
	}
	if !d.Levers().SafeMode {
		t.Error("safe mode was turned off")
	}
	record(t, e, outcomes(normal(3, 9, 8), 8))
	want := e.MemoryStats().Counter
	crashed := config
	crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	if err := errors.Join(
		os.Rename(folder+".away", folder),
		os.Rename(filepath.Join(crashed.Persistence.Dir, "audit.away"), filepath.Join(crashed.Persistence.Dir, "audit")),
	); err != nil {
		t.Fatal(err)
	}
	if err := directory(t, crashed).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Save(t.Context()); err != nil {
		t.Errorf("save when the log is back: %v", err)
	}
	for name, c := range map[string]engine.Config{"the same writer": config, "the next one after a crash": crashed} {
		entries := audited(t, c)
		if got := recorded(t, entries); got != float64(want) {
			t.Errorf("%s: %v outcomes are on record, want %d", name, got, want)
		}
		if got := len(ofEvent(t, entries, "levers")); got != 2 {
			t.Errorf("%s: %d levers are on record, want 2:\n%s", name, got, story(entries))
		}
	}
}

// TestAuditIsRefused: what is cut, damaged or not there is no log to go on with.
func TestAuditIsRefused(t *testing.T) {
	config := small(t)
	e := open(t, config)
	for round := range uint64(3) {
		history(t, e, round)
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	on := true
	if _, err := e.Directory().PullLever(t.Context(), engine.LeverChange{SafeMode: &on, By: "operator", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	want := whole(e.Directory())
	for name, spoil := range map[string]func(dir string) error{
		"no log":       func(dir string) error { return os.RemoveAll(filepath.Join(dir, "audit")) },
		"damaged":      func(dir string) error { flip(t, auditFiles(t, dir)[0]); return nil },
		"cut":          func(dir string) error { cutAudit(t, dir, 6); return nil },
		"journal away": func(dir string) error { return cutJournal(t, dir) },
	} {
		t.Run(name, func(t *testing.T) {
			spoilt := config
			spoilt.Persistence.Dir = copyTree(t, config.Persistence.Dir)
			if err := spoil(spoilt.Persistence.Dir); err != nil {
				t.Fatal(err)
			}
			before := tree(t, spoilt.Persistence.Dir)
			var refused *engine.VerificationError
			if d, err := engine.OpenDirectory(spoilt); !errors.As(err, &refused) {
				t.Errorf("a writer: got %v, %v, want a VerificationError", d, err)
			}
			if _, err := engine.VerifyAudit(spoilt, nil); !errors.As(err, &refused) {
				t.Errorf("verify: got %v, want a VerificationError", err)
			}
			if after := tree(t, spoilt.Persistence.Dir); after != before {
				t.Errorf("files were moved: got %s, want %s", after, before)
			}
			aside, err := engine.RestartAudit(spoilt, "ada", "disk error")
			if err != nil || (aside == "") != (name == "no log") {
				t.Errorf("restart: got %q, %v", aside, err)
			}
			d := directory(t, spoilt)
			if got := whole(d); (got == want) == (name == "journal away") {
				t.Errorf("after a restart: got\n%s\nbefore\n%s", got, want)
			}
			if _, err := d.Save(t.Context(), "command"); err != nil {
				t.Error(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if entries := audited(t, spoilt); entries[0].Event != "restart" || entries[0].Who != "ada" || entries[0].Why != "disk error" {
				t.Errorf("after a restart: got %s, want it to begin with that:\n%+v", story(entries), entries[0])
			}
		})
	}
}

// cutJournal cuts the last commit off the journal, which no signature tells.
func cutJournal(t *testing.T, dir string) error {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "journal", "*.journal"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments: %q, %v", segments, err)
	}
	for i := len(segments) - 1; ; i-- {
		text, err := os.ReadFile(segments[i])
		if err != nil {
			return err
		}
		if at := strings.LastIndex(string(text), "FDQCgrup"); at > 0 {
			return os.Truncate(segments[i], int64(at))
		}
	}
}

// TestAuditOfAnOlderDirectory begins where its journal is.
func TestAuditOfAnOlderDirectory(t *testing.T) {
	config := small(t)
	config.Persistence.MaxCheckpoints = 1
	config.Safety.RequireSigning = false
	config.Persistence.SigningKeyFile = filepath.Join(t.TempDir(), "none", "signing.key")
	e := open(t, config)
	history(t, e, 1)
	saved, err := e.Directory().Save(t.Context(), "command")
	if err != nil {
		t.Fatal(err)
	}
	record(t, e, outcomes(normal(2, 9, 8), 8))
	older := config
	older.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	dropAudit(t, filepath.Join(older.Persistence.Dir, saved.Name+".manifest.json"))
	if err := os.RemoveAll(filepath.Join(older.Persistence.Dir, "audit")); err != nil {
		t.Fatal(err)
	}
	want := whole(e.Directory())
	d := directory(t, older)
	if got := whole(d); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	entries := audited(t, older)
	if got := recorded(t, entries); got != 9 {
		t.Errorf("%v outcomes are on record, want the 9 after the checkpoint:\n%s", got, story(entries))
	}
	if first := entries[0]; first.Event != "carried" && first.Event != "patterns" || first.Journal <= saved.Manifest.Journal.Sequence {
		t.Errorf("it begins with %s up to journal record %d, want what came after %d", first.Event, first.Journal, saved.Manifest.Journal.Sequence)
	}
}

// dropAudit writes an unsigned manifest as a version before the audit log did.
func dropAudit(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := signing.OpenEnvelope(text)
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	decoder := json.NewDecoder(bytes.NewReader(e.Payload))
	decoder.UseNumber()
	if err := decoder.Decode(&body); err != nil || body["audit"] == nil {
		t.Fatalf("manifest: got %s, %v, want an audit", e.Payload, err)
	}
	delete(body, "audit")
	delete(body, "check")
	body["version"] = 1
	payload, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	payload = fmt.Appendf(payload[:len(payload)-1], `,"check":"%x"}`, sha256.Sum256(payload))
	if err := os.WriteFile(path, signing.Seal(e.PayloadType, payload, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}
