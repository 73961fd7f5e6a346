package engine_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// cluster draws rows around twice a unit vector.
func cluster(seed uint64, axis, count int) []float32 {
	rows := normal(seed, count, 8)
	for i := range rows {
		rows[i] *= 0.05
		if i%8 == axis {
			rows[i] += 2
		}
	}
	return rows
}

// labelled makes outcomes of one side, by a source.
func labelled(rows []float32, safe bool, source string) []engine.Outcome {
	var all []engine.Outcome
	for i := 0; i < len(rows); i += 8 {
		all = append(all, engine.Outcome{Embedding: rows[i : i+8], IsSafe: safe, Source: source})
	}
	return all
}

// TestRollbackDrill goes the whole way of a poisoned memory: good state,
// poisoning, alert, safe mode, rollback, the good state's verdicts, and back by
// tiers. The audit log tells all of it, in order.
func TestRollbackDrill(t *testing.T) {
	config := onDisk(t)
	config.Detector.OnOutlier = engine.OnOutlierFlag // somebody let the poison in
	config.Persistence.AutoSaveInterval = 0
	config.Monitor.ErrorRate = 0.1
	clock := newClock()
	alarmed := make(chan monitor.Alert, 16) // of which safe mode is on
	e := open(t, config, engine.WithClock(clock.now), engine.WithOnCritical(func(a monitor.Alert) { alarmed <- a }))
	d := e.Directory()
	// The good state, and what it says of actions near both sides. Each look
	// has sessions of its own, which all begin at the same state.
	record(t, e, labelled(cluster(1, 0, 40), true, "a"))
	record(t, e, labelled(cluster(2, 3, 40), false, "a"))
	good, err := d.Save(t.Context(), "command")
	if err != nil {
		t.Fatal(err)
	}
	probes := slices.Concat(cluster(3, 0, 20), cluster(4, 3, 20), normal(5, 20, 8))
	looks := 0
	look := func() []engine.Verdict {
		t.Helper()
		looks++
		sessions := make([]string, len(probes)/8)
		for i := range sessions {
			sessions[i] = fmt.Sprintf("look %d, action %d", looks, i)
		}
		return validate(t, e, engine.Batch{Embeddings: probes, Width: 8, Sessions: sessions})
	}
	want := look()
	decisions := map[engine.Decision]int{}
	for i := range want {
		decisions[want[i].Decision]++
	}
	if decisions[engine.Allow] == 0 || decisions[engine.Allow] == len(want) {
		t.Fatalf("the good state decides %v, want some allowed and some not", decisions)
	}

	// What is unsafe is taught as safe.
	clock.forward(time.Hour)
	record(t, e, labelled(cluster(6, 3, 200), true, "mallory"))
	if sameVerdicts(look(), want) {
		t.Fatal("the poison changed no verdict")
	}

	// Rows that nobody can judge come with it: the error rate is critical.
	broken := make([]float32, 8*200)
	for i := range broken {
		broken[i] = float32(math.NaN())
	}
	validate(t, e, engine.Batch{Embeddings: broken, Width: 8})
	select {
	case <-alarmed:
	case <-time.After(time.Minute):
		t.Fatal("no critical alert came")
	}
	safe := func(when string) {
		t.Helper()
		for i, v := range look() {
			if v.Decision == engine.Allow {
				t.Errorf("%s: action %d is allowed", when, i)
			}
		}
	}
	safe("after the alert")

	// Back to the good state, bit for bit; only safe mode differs.
	if _, err := d.Rollback(t.Context(), good.Sequence(), "ada", "poisoned by mallory"); err != nil {
		t.Fatal(err)
	}
	safe("after the rollback")
	got := look()
	for i := range got {
		got[i].Decision, got[i].RequiresHuman, got[i].RequiresApproval = want[i].Decision, want[i].RequiresHuman, want[i].RequiresApproval
	}
	if !sameVerdicts(got, want) {
		t.Error("after the rollback verdicts are not those of the good state")
	}

	// Back by steps, each after a quiet period.
	off, epsilon, delta, gamma := false, policy.Epsilon, policy.Delta, policy.Gamma
	pull := func(c engine.LeverChange) error {
		c.By, c.Reason = "ada", "the drill goes on"
		_, err := d.PullLever(t.Context(), c)
		return err
	}
	if err := pull(engine.LeverChange{Tier: &epsilon}); err != nil {
		t.Error(err)
	}
	var refused *policy.RefusedError
	for _, step := range []engine.LeverChange{{SafeMode: &off}, {Tier: &delta}} {
		if err := pull(step); !errors.As(err, &refused) {
			t.Errorf("%+v at once: got %v, want it refused", step, err)
		}
		clock.forward(config.Safety.QuietPeriod.Span())
		if err := pull(step); err != nil {
			t.Errorf("%+v after the quiet period: %v", step, err)
		}
	}
	if err := pull(engine.LeverChange{Tier: &gamma}); err != nil {
		t.Error(err)
	}
	if !sameVerdicts(look(), want) {
		t.Error("at the end verdicts are not those of the good state")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	entries := audited(t, config)
	var told []string
	for _, e := range entries {
		if e.Event != "carried" {
			told = append(told, e.Event+" by "+e.Who)
		}
	}
	me := entries[0].Who
	expected := []string{
		"opened by " + me, "saved by " + me,
		"patterns by " + me, "saved by " + me, // the good state
		"patterns by " + me,             // the poison
		"levers by alert",               // safe mode
		"levers by ada", "saved by ada", // the rollback
		"replaced by ada",
		"levers by ada", "levers by ada", "levers by ada", "levers by ada", // EPSILON, and back by steps
		"saved by " + me, "closed by " + me,
	}
	if !slices.Equal(told, expected) {
		t.Errorf("the audit log tells\n%q\nwant\n%q", told, expected)
	}
	if poison := ofEvent(t, entries, "patterns")[1]; poison["safe"] != 200.0 || poison["first_sequence"] != 81.0 {
		t.Errorf("the poison on record: got %v, want 200 safe ones from number 81 on", poison)
	}
}

// sameVerdicts compares verdicts bit for bit.
func sameVerdicts(a, b []engine.Verdict) bool {
	return slices.EqualFunc(a, b, func(a, b engine.Verdict) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) })
}
