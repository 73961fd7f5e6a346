package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// asks are of rows of the workspace, with all that an ask has.
func asks(rows []float32, names ...string) (all []engine.Ask) {
	for i, name := range names {
		all = append(all, engine.Ask{
			Row: name, Action: `{"tool":"` + name + `"}`, Session: "s", Source: "t", Workspace: rows[8*i : 8*i+8],
			RawRisk: 0.7, BaseRisk: 0.5, Entropy: 0.6, Coherence: 0.01, Novelty: 1, Reason: "matches no pattern",
		})
	}
	return all
}

// ask asks, and wants every one to be answered.
func ask(t *testing.T, d *engine.Directory, all []engine.Ask) []engine.Asked {
	t.Helper()
	answers, err := d.AskApproval(t.Context(), all, "agent")
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

// queue is what waits and what was decided, as JSON.
func queue(t *testing.T, d *engine.Directory) string {
	t.Helper()
	pending, decided := d.Approvals()
	text, err := json.Marshal([][]engine.Approval{pending, decided})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// lasts wants a reader to find the same approvals, before a checkpoint and after.
func lasts(t *testing.T, d *engine.Directory, config engine.Config) {
	t.Helper()
	queued := queue(t, d)
	if got := queue(t, directory(t, config, engine.ReadOnly())); got != queued {
		t.Errorf("a reader has\n%s\nwant\n%s", got, queued)
	}
	if _, err := d.Save(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	if got := queue(t, directory(t, config, engine.ReadOnly())); got != queued {
		t.Errorf("after a checkpoint: a reader has\n%s\nwant\n%s", got, queued)
	}
}

func TestApprovals(t *testing.T) {
	config := onDisk(t)
	config.Safety.MaxPendingApprovals = 3
	clock := newClock()
	e := open(t, config, engine.WithClock(clock.now))
	d := e.Directory()
	rows := normal(1, 5, 8)
	all := asks(rows, "a", "b", "c", "d")
	bad := asks(rows, "x", "y", "z")
	bad[0].Workspace = bad[0].Workspace[:7]
	bad[1].RawRisk = float32(math.NaN())
	bad[2].Action = strings.Repeat("x", engine.MaxAskedAction+1)
	for i, a := range ask(t, d, bad) {
		if a.Refused == "" || a.ID != 0 {
			t.Errorf("bad ask %d: got %+v, want it refused", i, a)
		}
	}
	for i, a := range ask(t, d, all) {
		if want := int64(i + 1); i < 3 && (a.ID != want || a.State != engine.Pending) || i == 3 && !strings.Contains(a.Refused, "too many") {
			t.Errorf("ask %d: got %+v", i, a)
		}
	}
	// Asked again, nothing new waits.
	if again := ask(t, d, all[1:2]); again[0].ID != 2 || again[0].State != engine.Pending {
		t.Errorf("asked again: got %+v, want approval 2", again[0])
	}
	before := queue(t, d)
	var not *engine.UndecidableError
	for name, ids := range map[string][]int64{"unknown": {1, 7}, "twice": {1, 1}} {
		if _, err := d.Decide(t.Context(), ids, true, true, "me", ""); !errors.As(err, &not) {
			t.Errorf("%s: got %v, want an UndecidableError", name, err)
		}
	}
	if got := queue(t, d); got != before || d.Stats().Patterns != [2]int{} {
		t.Errorf("after decisions that were refused: got\n%s\nwant\n%s and no pattern", got, before)
	}
	decided, err := d.Decide(t.Context(), []int64{2}, true, true, "me", "looked at it")
	if err != nil || len(decided) != 1 || decided[0].State != engine.Approved || decided[0].Decision.By != "me" || decided[0].Decision.PatternID == 0 {
		t.Fatalf("approve: got %+v, %v", decided, err)
	}
	if v := validate(t, e, engine.Batch{Embeddings: rows[8:16], Width: 8})[0]; v.NearestSafe != decided[0].Decision.PatternID || !v.MatchedSafe {
		t.Errorf("the approved action afterwards: got %+v, want it to match its pattern", v)
	}
	if decided, err = d.Decide(t.Context(), []int64{1}, false, false, "you", ""); err != nil || decided[0].State != engine.Denied || decided[0].Decision.PatternID != 0 {
		t.Fatalf("deny: got %+v, %v", decided, err)
	}
	if _, err := d.Decide(t.Context(), []int64{1}, true, false, "me", ""); err == nil || !strings.Contains(err.Error(), "denied already, by you") {
		t.Errorf("deciding again: got %v", err)
	}
	if again := ask(t, d, all[:2]); again[0] != (engine.Asked{ID: 1, State: engine.Denied}) || again[1] != (engine.Asked{ID: 2, State: engine.Approved}) {
		t.Errorf("asked again after the decisions: got %+v", again)
	}
	// Nobody in time denies it.
	clock.forward(config.Safety.ApprovalExpiry.Span())
	if pending, decided := d.Approvals(); len(pending) != 0 || len(decided) != 3 || decided[2].State != engine.Expired {
		t.Errorf("past its time: got %+v, %+v", pending, decided)
	}
	if _, err := d.Decide(t.Context(), []int64{3}, true, false, "me", ""); err == nil || !strings.Contains(err.Error(), "not decided on in time") {
		t.Errorf("deciding too late: got %v", err)
	}
	// A decision does not last for ever.
	if again := ask(t, d, all[1:2]); again[0] != (engine.Asked{ID: 4, State: engine.Pending}) {
		t.Errorf("asked again, long after: got %+v, want a new approval", again[0])
	}
	want := queue(t, d)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, options := range [][]engine.Option{{engine.ReadOnly()}, {}} {
		if got := queue(t, directory(t, config, append(options, engine.WithClock(clock.now))...)); got != want {
			t.Errorf("opened again: got\n%s\nwant\n%s", got, want)
		}
	}
}

// TestAnApprovalIsForARisk asks about an action again when it looks worse than
// what a person saw, before or after the decision.
func TestAnApprovalIsForARisk(t *testing.T) {
	for _, c := range []struct {
		name        string
		risk, again float32
		flags       []string // of the second ask
		asksAnew    bool
	}{
		{"the same", 0.6, 0.6, []string{"high_entropy"}, false},
		{"less", 0.6, 0.2, nil, false},
		{"within the margin", 0.6, 0.64, []string{"high_entropy"}, false},
		{"beyond the margin", 0.6, 0.66, []string{"high_entropy"}, true},
		{"beyond the level that alerts", 0.79, 0.81, []string{"high_entropy"}, true},
		{"beyond it before", 0.81, 0.83, nil, false},
		{"another flag", 0.6, 0.6, []string{"high_entropy", "matched_unsafe"}, true},
	} {
		for _, state := range []engine.ApprovalState{engine.Pending, engine.Approved, engine.Denied} {
			t.Run(c.name+", "+string(state), func(t *testing.T) {
				config := onDisk(t)
				d := directory(t, config)
				one := asks(normal(1, 1, 8), "a")
				one[0].RawRisk, one[0].Flags = c.risk, []string{"high_entropy"}
				ask(t, d, one)
				if state != engine.Pending {
					if _, err := d.Decide(t.Context(), []int64{1}, state == engine.Approved, false, "me", ""); err != nil {
						t.Fatal(err)
					}
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				d = directory(t, config)
				again := asks(normal(1, 1, 8), "a")
				again[0].RawRisk, again[0].Flags = c.again, c.flags
				want := engine.Asked{ID: 1, State: state}
				anew := c.asksAnew && state != engine.Denied
				if anew {
					want = engine.Asked{ID: 2, State: engine.Pending}
				}
				if got := ask(t, d, again)[0]; got != want {
					t.Errorf("asked again: got %+v, want %+v", got, want)
				}
				_, decided := d.Approvals()
				if superseded := len(decided) == 1 && decided[0].State == engine.Superseded; superseded != anew {
					t.Errorf("got %+v decided, superseded: want %v", decided, anew)
				}
				if anew {
					// What was said to less counts no more, not for less either.
					if got := ask(t, d, one)[0]; got != want {
						t.Errorf("the first ask again: got %+v, want %+v", got, want)
					}
					var not *engine.UndecidableError
					if _, err := d.Decide(t.Context(), []int64{1}, true, false, "me", ""); !errors.As(err, &not) || not.State != engine.Superseded {
						t.Errorf("approving the first: got %v", err)
					}
				}
				lasts(t, d, config)
			})
		}
	}
}

// TestRiskThatCreeps is compared with what a person saw, not with what was asked
// last.
func TestRiskThatCreeps(t *testing.T) {
	d := directory(t, onDisk(t))
	one := asks(normal(1, 1, 8), "a")
	one[0].RawRisk = 0.5
	ask(t, d, one)
	if _, err := d.Decide(t.Context(), []int64{1}, true, false, "me", ""); err != nil {
		t.Fatal(err)
	}
	var states []engine.ApprovalState
	for range 4 {
		one[0].RawRisk += 0.02
		states = append(states, ask(t, d, one)[0].State)
	}
	if fmt.Sprint(states) != "[approved approved pending pending]" {
		t.Errorf("got %v, want a new approval beyond the margin", states)
	}
}

// TestARiskThatGrewWhileTheQueueIsFull leaves no approval of less in force.
func TestARiskThatGrewWhileTheQueueIsFull(t *testing.T) {
	config := onDisk(t)
	config.Safety.MaxPendingApprovals = 1
	d := directory(t, config)
	rows := normal(1, 2, 8)
	a, b := asks(rows, "a"), asks(rows[8:], "b")
	ask(t, d, a)
	if _, err := d.Decide(t.Context(), []int64{1}, true, false, "me", ""); err != nil {
		t.Fatal(err)
	}
	ask(t, d, b)
	a[0].RawRisk, b[0].RawRisk = 0.95, 0.95
	for range 2 {
		if got := ask(t, d, a)[0]; got.Refused == "" {
			t.Errorf("a at a higher risk: got %+v, want it refused", got)
		}
	}
	if got := ask(t, d, b)[0]; got != (engine.Asked{ID: 3, State: engine.Pending}) {
		t.Errorf("b at a higher risk: got %+v, want it to wait in place of what waited", got)
	}
	pending, decided := d.Approvals()
	if len(pending) != 1 || len(decided) != 2 || decided[0].ID != 1 || decided[0].State != engine.Superseded || decided[1].State != engine.Superseded {
		t.Errorf("got %+v pending and %+v decided, want both of before superseded", pending, decided)
	}
	lasts(t, d, config)
	if said := ofEvent(t, audited(t, config), "decided"); len(said) != 2 || said[1]["state"] != "superseded" {
		t.Errorf("on record: got %v, want the decision and one end of it", said)
	}
}

// TestApprovalsOutliveTheirSegments drops all checkpoints but one, rolls back
// and replays from an older checkpoint: the queue is the same.
func TestApprovalsOutliveTheirSegments(t *testing.T) {
	config := onDisk(t)
	config.Persistence.MaxCheckpoints = 3
	e := open(t, config)
	d := e.Directory()
	for round := range 4 {
		ask(t, d, asks(normal(uint64(round), 2, 8), fmt.Sprint("a", round), fmt.Sprint("b", round)))
		if _, err := d.Decide(t.Context(), []int64{int64(2*round + 1)}, round%2 == 0, true, "me", "test"); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := queue(t, d)
	if _, err := d.Rollback(t.Context(), 0, "me", "test"); err != nil {
		t.Fatal(err)
	}
	if got := queue(t, d); got != want {
		t.Errorf("after a rollback: got\n%s\nwant\n%s", got, want)
	}
	if pending, decided := d.Approvals(); len(pending) != 4 || len(decided) != 4 || pending[3].ID != 8 {
		t.Errorf("got %d pending and %d decided, want 4 and 4", len(pending), len(decided))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for damaged := range 2 {
		again := config
		again.Persistence.Dir = copyTree(t, config.Persistence.Dir)
		if files := patternFiles(t, again.Persistence.Dir); damaged > 0 {
			flip(t, files[len(files)-1])
		}
		if got := queue(t, directory(t, again)); got != want {
			t.Errorf("%d newest damaged: got\n%s\nwant\n%s", damaged, got, want)
		}
	}
}

// TestDecisionsAreForgotten at last, and the same are after a replay.
func TestDecisionsAreForgotten(t *testing.T) {
	config := onDisk(t)
	config.Persistence.JournalSync = "never"
	config.Safety.MaxPendingApprovals = 2000
	d := directory(t, config)
	var all []engine.Ask
	var ids []int64
	for i := range 1100 {
		all = append(all, asks(normal(1, 1, 8), fmt.Sprint(i))...)
		ids = append(ids, int64(i+1))
	}
	ask(t, d, all)
	if _, err := d.Decide(t.Context(), ids, false, false, "me", ""); err != nil {
		t.Fatal(err)
	}
	if _, decided := d.Approvals(); len(decided) != 1000 || decided[0].ID != 101 {
		t.Errorf("got %d decisions from %d on, want 1000 from 101 on", len(decided), decided[0].ID)
	}
	if got, want := queue(t, directory(t, config, engine.ReadOnly())), queue(t, d); got != want {
		t.Error("a reader remembers other decisions")
	}
}

func TestApprovalExpiryIsTheConfigurations(t *testing.T) {
	config := onDisk(t)
	config.Safety.ApprovalExpiry = engine.Duration(time.Hour)
	clock := newClock()
	d := directory(t, config, engine.WithClock(clock.now))
	ask(t, d, asks(normal(1, 1, 8), "a"))
	pending, _ := d.Approvals()
	if len(pending) != 1 || pending[0].Expires.Sub(pending[0].AskedAt) != time.Hour || pending[0].AskedBy != "agent" {
		t.Errorf("got %+v, want it to expire an hour after it was asked", pending)
	}
}

// TestAuditOfApprovals: the audit log has every ask and every decision, those
// right after a checkpoint too, and so has one that is derived from the journal.
func TestAuditOfApprovals(t *testing.T) {
	config := onDisk(t)
	clock := newClock()
	e := open(t, config, engine.WithClock(clock.now))
	d := e.Directory()
	rows := normal(1, 4, 8)
	all := asks(rows, "a", "b", "c")
	ask(t, d, all[:1])
	hold(t, d, rows[:8])
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(t, d, all[1:2]) // right after what is carried on
	if _, err := d.Decide(t.Context(), []int64{1}, true, true, "me", "fine"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(auditFiles(t, config.Persistence.Dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	hold(t, d, rows[8:16])
	clock.forward(config.Safety.ApprovalExpiry.Span())
	ask(t, d, all[2:])
	crashed := config
	crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	cutAudit(t, crashed.Persistence.Dir, int64(bytes.Count(known, []byte("\n"))))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, crashed, engine.WithClock(clock.now)).Close(); err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]engine.Config{"written": config, "derived": crashed} {
		entries := audited(t, config)
		states := []string{}
		for _, data := range ofEvent(t, entries, "decided") {
			states = append(states, fmt.Sprint(data["approval_ids"], " ", data["state"]))
		}
		if got := len(ofEvent(t, entries, "asked")); got != 3 || fmt.Sprint(states) != "[1 approved 2 expired]" || len(ofEvent(t, entries, "held")) != 2 {
			t.Errorf("%s: got %d asks, decisions %v and %d held, want 3, [1 approved 2 expired] and 2: %s", name, got, states, len(ofEvent(t, entries, "held")), story(entries))
		}
	}
}
