package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// TestMuchInQuarantine holds very much, drops every other outcome at once, for a
// long reason, and accepts the rest: all of it is in the journal and the audit log.
func TestMuchInQuarantine(t *testing.T) {
	count := 10_000
	if soak() {
		count = 100_000
	}
	config := many(t)
	d := directory(t, config)
	ids := holding(t, d, count)
	var even, odd []int64
	for _, id := range ids {
		if id%2 == 0 {
			even = append(even, id)
		} else {
			odd = append(odd, id)
		}
	}
	reason := strings.Repeat("r", 4096)
	if _, err := d.Release(t.Context(), even, false, "me", reason+"r"); err == nil {
		t.Error("a reason of 4097 bytes: got no error")
	}
	if _, err := d.Release(t.Context(), append(slices.Clone(even), even[0]), true, "me", reason); err == nil || d.QuarantineSize() != count {
		t.Errorf("an outcome twice: got %v and %d left, want an error and %d", err, d.QuarantineSize(), count)
	}
	if _, err := d.Release(t.Context(), even, false, "me", reason); err != nil || d.QuarantineSize() != len(odd) {
		t.Fatalf("drop: got %v and %d left, want %d", err, d.QuarantineSize(), len(odd))
	}
	held := func(d *engine.Directory) (left []int64) {
		for _, h := range d.Quarantine() {
			left = append(left, h.ID)
		}
		return left
	}
	if got := held(directory(t, config, engine.ReadOnly())); !slices.Equal(got, odd) {
		t.Errorf("a reader has %d outcomes, want %d", len(got), len(odd))
	}
	if patterns, err := d.Release(t.Context(), odd, true, "me", reason); err != nil || len(patterns) != len(odd) || d.QuarantineSize() != 0 {
		t.Fatalf("accept: got %d patterns, %v and %d left, want %d and none", len(patterns), err, d.QuarantineSize(), len(odd))
	}
	want := whole(d)
	if got := whole(directory(t, config, engine.ReadOnly())); got != want {
		t.Error("a reader has another memory or quarantine")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var released []int64
	for _, data := range ofEvent(t, audited(t, config), "released") {
		for run := range strings.SplitSeq(data["quarantine_ids"].(string), ",") {
			id, err := strconv.ParseInt(run, 10, 64) // no two are neighbours
			if err != nil {
				t.Fatal(err)
			}
			released = append(released, id)
		}
	}
	if !slices.Equal(released, append(even, odd...)) {
		t.Errorf("the audit log names %d outcomes, want all %d", len(released), count)
	}
}

// TestManyDecisions decides on more actions than the decisions that are
// remembered, in any order, and records them: each gets its pattern.
func TestManyDecisions(t *testing.T) {
	config := many(t)
	config.Memory.Capacity = 4000
	d := directory(t, config)
	ids := asking(t, d, 0, 3000)
	slices.Reverse(ids)
	decided, err := d.Decide(t.Context(), ids, true, true, "me", strings.Repeat("r", 4096))
	if err != nil || len(decided) != len(ids) {
		t.Fatalf("got %d decisions, %v", len(decided), err)
	}
	for i, a := range decided {
		if a.ID != ids[i] || a.Decision.PatternID != int64(i+1) {
			t.Fatalf("decision %d: got action %d as pattern %d, want %d as %d", i, a.ID, a.Decision.PatternID, ids[i], i+1)
		}
	}
	if got, want := queue(t, directory(t, config, engine.ReadOnly())), queue(t, d); got != want {
		t.Error("a reader has other decisions")
	}
}

// TestRecordsOfBefore: releases and decisions name one id in journals of before,
// and several in runs now; what is neither is refused whole.
func TestRecordsOfBefore(t *testing.T) {
	config := onDisk(t)
	d := directory(t, config)
	hold(t, d, normal(1, 6, 8))
	ask(t, d, asks(normal(2, 6, 8), "a", "b", "c", "d", "e", "f"))
	const who = `"at":"2026-11-26T03:00:00Z","by":"me","reason":"of before"`
	for record, kind := range map[string]int{
		`{"ids":"1-9223372036854775807",` + who + `}`: 7, `{"ids":"2-1",` + who + `}`: 7, `{"ids":"0",` + who + `}`: 7, `{"ids":"1,,2",` + who + `}`: 7,
		`{"ids":"1-2,2",` + who + `}`: 7, `{"ids":"x",` + who + `}`: 7, `{"id":9,` + who + `}`: 7, `{` + who + `}`: 7, `{"ids":"-1",` + who + `}`: 7,
		`{"ids":"1-9223372036854775807","state":"superseded",` + who + `}`: 10, `{"ids":"1","state":"pending",` + who + `}`: 10, `{"ids":"1","state":"else",` + who + `}`: 10,
		`{"ids":"1-9","state":"denied",` + who + `}`: 10, `{"id":-1,"state":"denied",` + who + `}`: 10, `{"state":"denied",` + who + `}`: 10,
	} {
		if err := d.Say(t.Context(), kind, record); err == nil {
			t.Errorf("record %d %s: got no error", kind, record)
		}
	}
	for _, r := range []struct {
		kind   int
		record string
	}{
		{7, `{"id":2,"accepted":false,` + who + `}`}, {7, `{"ids":"4-5,1","accepted":false,` + who + `}`},
		{10, `{"id":2,"state":"denied",` + who + `}`}, {10, `{"id":3,"state":"approved","pattern_id":7,` + who + `}`},
		{10, `{"ids":"5-6,1","state":"approved","pattern_id":8,` + who + `}`},
	} {
		if err := d.Say(t.Context(), r.kind, r.record); err != nil {
			t.Fatalf("record %d %s: %v", r.kind, r.record, err)
		}
	}
	var left []int64
	for _, h := range d.Quarantine() {
		left = append(left, h.ID)
	}
	_, decided := d.Approvals()
	var said []string
	for _, a := range decided {
		said = append(said, fmt.Sprint(a.ID, " ", a.State, " ", a.Decision.PatternID))
	}
	if fmt.Sprint(left) != "[3 6]" || fmt.Sprint(said) != "[2 denied 0 3 approved 7 5 approved 8 6 approved 9 1 approved 10]" {
		t.Errorf("got %v held and decisions %v", left, said)
	}
	want := whole(d) + queue(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	entries := audited(t, config)
	text, err := json.Marshal([]any{ofEvent(t, entries, "released"), ofEvent(t, entries, "decided")})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"quarantine_ids":"2"`, `"quarantine_ids":"4-5,1"`, `"approval_ids":"3"`, `"approval_ids":"5-6,1"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the audit log has no %s: %s", want, text)
		}
	}
	d = directory(t, config)
	if got := whole(d) + queue(t, d); got != want {
		t.Errorf("opened again: got\n%s\nwant\n%s", got, want)
	}
}

// TestListsWhileTheyChange reads what waits while it changes.
func TestListsWhileTheyChange(t *testing.T) {
	d := directory(t, many(t))
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				held := d.Quarantine()
				if !slices.IsSortedFunc(held, func(a, b engine.Held) int { return int(a.ID - b.ID) }) || len(held)%100 != 0 {
					t.Errorf("%d outcomes, expected whole hundreds in their order", len(held))
					return
				}
				pending, decided := d.Approvals()
				if len(pending)%100+len(decided)%100 != 0 {
					t.Errorf("%d actions wait and %d are decided, expected whole hundreds", len(pending), len(decided))
					return
				}
			}
		})
	}
	for round := range 8 {
		ids := holding(t, d, 100)
		if round%2 == 0 {
			if _, err := d.Release(t.Context(), ids, round%4 == 0, "me", ""); err != nil {
				t.Error(err)
			}
		}
		if _, err := d.Decide(t.Context(), asking(t, d, round, 100), true, false, "me", ""); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	readers.Wait()
}
