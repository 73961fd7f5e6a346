package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// TestQuarantine holds outcomes and lets them go.
func TestQuarantine(t *testing.T) {
	config := onDisk(t)
	config.Detector.QuarantineCapacity = 4
	e := open(t, config)
	d := e.Directory()
	rows := normal(1, 4, 8)
	ids := hold(t, d, rows)
	if !slices.Equal(ids, []int64{1, 2, 3, 4}) || d.Stats().Patterns != [2]int{} {
		t.Errorf("got ids %v and %v patterns, want 1 to 4 and none", ids, d.Stats().Patterns)
	}
	if _, err := d.Hold(t.Context(), d.Quarantine()[0]); err == nil {
		t.Error("a fifth outcome: got no error, want that the quarantine is full")
	}
	before := whole(d)
	var unknown *engine.NotHeldError
	for name, ids := range map[string][]int64{"unknown": {2, 5}, "twice": {1, 1}} {
		if _, err := d.Release(t.Context(), ids, true, "me", ""); !errors.As(err, &unknown) {
			t.Errorf("%s: got %v, want a NotHeldError", name, err)
		}
	}
	if got := whole(d); got != before {
		t.Errorf("after releases that were refused: got\n%s\nwant\n%s", got, before)
	}
	// The last one first: patterns come in the order of the ids that are named.
	patterns, err := d.Release(t.Context(), []int64{4, 1}, true, "me", "looked at")
	if err != nil || len(patterns) != 2 {
		t.Fatalf("accept: got patterns %v, %v, want two", patterns, err)
	}
	s := d.Patterns()
	unsafe, safe := &s.Sides[memory.Unsafe], &s.Sides[memory.Safe]
	if !slices.Equal(unsafe.Rows[:8], rows[24:32]) || unsafe.IDs[0] != patterns[0] || !slices.Equal(safe.Rows[:8], rows[:8]) || safe.Importance[0] != 1.5 {
		t.Errorf("accepted outcomes became %+v", s.Sides)
	}
	v := validate(t, e, engine.Batch{Embeddings: rows[:8], Width: 8})
	if v[0].NearestSafe != patterns[1] {
		t.Errorf("the next batch finds pattern %d, want the accepted %d", v[0].NearestSafe, patterns[1])
	}
	if dropped, err := d.Release(t.Context(), []int64{2, 3}, false, "me", ""); err != nil || dropped != nil || len(d.Quarantine()) != 0 {
		t.Errorf("drop: got patterns %v, %v and %d left, want none", dropped, err, len(d.Quarantine()))
	}
	if ids := hold(t, d, rows[:8]); ids[0] != 5 {
		t.Errorf("got id %d, want 5: an id is never given again", ids[0])
	}
}

// TestQuarantineOutlivesItsSegments drops all checkpoints but one, and opens
// again: what was held, and the ids that were given, are there.
func TestQuarantineOutlivesItsSegments(t *testing.T) {
	config := onDisk(t)
	config.Persistence.MaxCheckpoints = 1
	for round := range 3 {
		e := open(t, config)
		d := e.Directory()
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		held := d.Quarantine()
		if want := min(round*2, 4); len(held) != want {
			t.Errorf("round %d: got %d held, want %d", round, len(held), want)
		}
		if round == 2 {
			if _, err := d.Release(t.Context(), []int64{1, 2, 3, 4}, false, "me", ""); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ids := hold(t, d, normal(uint64(round), 2, 8))
		if want := int64(2*round + 1); ids[0] != want {
			t.Errorf("round %d: got id %d, want %d", round, ids[0], want)
		}
		files := len(patternFiles(t, config.Persistence.Dir))
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if got := len(patternFiles(t, config.Persistence.Dir)); files != 1 || got != 1 {
			t.Errorf("round %d: %d and then %d checkpoints, want 1", round, files, got)
		}
	}
}

// TestNothingNewIsNotSavedAgain opens a directory that holds outcomes, twice:
// what is carried on after a checkpoint is no reason for another.
func TestNothingNewIsNotSavedAgain(t *testing.T) {
	config := onDisk(t)
	e := open(t, config)
	hold(t, e.Directory(), normal(1, 3, 8))
	want := whole(e.Directory())
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	files := fmt.Sprint(patternFiles(t, config.Persistence.Dir))
	for range 2 {
		e := open(t, config)
		if got := whole(e.Directory()); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(patternFiles(t, config.Persistence.Dir)); got != files {
		t.Errorf("got checkpoints %s, want %s", got, files)
	}
}

// TestQuarantineIsNoPartOfARollback goes back to an older memory: what waits
// for a person still does.
func TestQuarantineIsNoPartOfARollback(t *testing.T) {
	e := open(t, onDisk(t))
	d := e.Directory()
	hold(t, d, normal(1, 2, 8))
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold(t, d, normal(2, 2, 8))
	record(t, e, outcomes(normal(3, 4, 8), 8))
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint(d.Quarantine())
	if _, err := d.Rollback(t.Context(), 0, "me", "test"); err != nil {
		t.Fatal(err)
	}
	reader := directory(t, e.Config(), engine.ReadOnly())
	for name, d := range map[string]*engine.Directory{"writer": d, "reader": reader} {
		if got := fmt.Sprint(d.Quarantine()); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// TestWhatIsOwedComesBeforeTheCheckpoint saves while a record could not be
// written yet: the journal goes on after the checkpoint with what stands.
func TestWhatIsOwedComesBeforeTheCheckpoint(t *testing.T) {
	for name, next := range map[string]func(*engine.Directory) error{
		"save":    func(d *engine.Directory) error { _, err := d.Save(t.Context(), "command"); return err },
		"restore": func(d *engine.Directory) error { _, err := d.Restore(t.Context(), 1, "me", ""); return err },
	} {
		t.Run(name, func(t *testing.T) {
			config := onDisk(t)
			e := open(t, config)
			hold(t, e.Directory(), normal(1, 2, 8))
			if err := e.Directory().Owe(); err != nil {
				t.Fatal(err)
			}
			if err := next(e.Directory()); err != nil {
				t.Fatal(err)
			}
			want := whole(e.Directory())
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if got := whole(directory(t, config)); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestADetectorForgetsAMemoryThatIsGone rolls back: what the detector learned of
// the memory before is in no journal any more, sources' quotas are.
func TestADetectorForgetsAMemoryThatIsGone(t *testing.T) {
	for _, by := range []string{"engine", "directory"} {
		t.Run(by, func(t *testing.T) {
			config := onDisk(t)
			e := open(t, config)
			clean := outcomes(normal(1, 2400, 8), 8)
			clean[0].Source = "web"
			record(t, e, clean)
			if _, err := e.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := e.Directory().DetectorState(); !strings.Contains(left, `"anchor"`) || !strings.Contains(left, `"web"`) {
				t.Fatalf("before: got %.300s, want an anchor and a source", left)
			}
			d := e.Directory()
			if by == "directory" {
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				d = directory(t, config)
			}
			if _, err := d.Rollback(t.Context(), 1, "me", "poisoned"); err != nil {
				t.Fatal(err)
			}
			if left := d.DetectorState(); strings.Contains(left, `"anchor"`) || !strings.Contains(left, `"web"`) {
				t.Errorf("after the rollback: got %.300s, want the source alone", left)
			}
		})
	}
}

// TestARestartGivesNoFreshQuota: what a source used of its quota for rows that
// were rejected, or held, or that a person looked at since, holds over a restart
// that saves no checkpoint.
func TestARestartGivesNoFreshQuota(t *testing.T) {
	for _, mode := range []string{engine.OnOutlierReject, engine.OnOutlierQuarantine} {
		t.Run(mode, func(t *testing.T) {
			config := onDisk(t)
			config.Detector.OnOutlier = mode
			config.Detector.SourceQuota = 20
			clock := newClock()
			session := func(use func(e *engine.Engine)) {
				t.Helper()
				e := open(t, config, engine.WithClock(clock.now))
				use(e)
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			}
			session(func(e *engine.Engine) { record(t, e, outcomes(normal(1, 200, 8), 8)) })
			files := patternFiles(t, config.Persistence.Dir)
			far := normal(2, 12, 8)
			for i := range far {
				far[i] *= 1000
			}
			session(func(e *engine.Engine) {
				for i, r := range record(t, e, labelled(far, true, "web")) {
					if r.Result == engine.Stored {
						t.Fatalf("row %d: got %+v, want none of them stored", i, r)
					}
				}
			})
			size, _ := journalSize(t, config)
			session(func(*engine.Engine) {})
			if again, _ := journalSize(t, config); again != size {
				t.Errorf("nothing was recorded, and the journal has %d bytes, want %d", again, size)
			}
			if got := patternFiles(t, config.Persistence.Dir); !slices.Equal(got, files) {
				t.Errorf("checkpoints: got %q, want %q", got, files)
			}
			session(func(e *engine.Engine) {
				rules := map[string]int{}
				for _, r := range record(t, e, labelled(normal(3, 12, 8), true, "web")) {
					for _, f := range r.Findings {
						rules[f.Rule]++
					}
				}
				if rules["burst"] != 4 { // 12 and 8 fill the quota of 20
					t.Errorf("got findings %v, want 4 bursts", rules)
				}
			})
			if report, err := engine.VerifyAudit(config, nil); err != nil || report.JournalBehind != 0 {
				t.Errorf("audit log: got %+v, %v, want it complete", report, err)
			}
		})
	}
}

// TestInventedNames sends copies of what is there, each under another name: they
// replace a quarter of a side in a window, and not more after a restart.
func TestInventedNames(t *testing.T) {
	config := onDisk(t)
	config.Memory.Capacity = 250
	config.Detector.OnOutlier = engine.OnOutlierReject
	clock := newClock()
	e := open(t, config, engine.WithClock(clock.now), engine.WithoutDetector())
	copies := outcomes(normal(1, 500, 8), 8)
	record(t, e, copies)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range copies {
		copies[i].Source = fmt.Sprint("agent-", i)
	}
	stored, refused := 0, 0
	for range 2 {
		e = open(t, config, engine.WithClock(clock.now))
		for _, r := range record(t, e, copies) {
			switch {
			case r.Result == engine.Stored:
				stored++
			case strings.Contains(r.Reason, "all sources together used"):
				refused++
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if stored < 40 || stored > 250/4 || refused < 800 {
		t.Errorf("got %d of 1000 copies stored and %d refused for the quota of all sources, want at most a quarter of a side, 62", stored, refused)
	}
}

// TestAResizeForgetsNothing: the anchor that drift is measured from stays.
func TestAResizeForgetsNothing(t *testing.T) {
	config := onDisk(t)
	config.Memory.Capacity = 2000
	e := open(t, config)
	record(t, e, outcomes(normal(1, 3000, 8), 8))
	anchor := func() string {
		t.Helper()
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		var state struct {
			Sides []struct {
				Anchor json.RawMessage `json:"anchor"`
			} `json:"sides"`
		}
		if err := json.Unmarshal([]byte(e.Directory().DetectorState()), &state); err != nil {
			t.Fatal(err)
		}
		return string(state.Sides[0].Anchor) + string(state.Sides[1].Anchor)
	}
	before := anchor()
	if _, err := e.ResizeMemory(t.Context(), 1200); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at once", "after an outcome"} {
		if got := anchor(); got != before || before == "" {
			t.Errorf("%s: got anchor %.100s, want %.100s", when, got, before)
		}
		record(t, e, outcomes(normal(2, 2, 8), 8))
	}
}

// TestWhatWaitsDropsNoCheckpoint opens and closes with asks and held outcomes
// alone: the checkpoints that a rollback could go to stay.
func TestWhatWaitsDropsNoCheckpoint(t *testing.T) {
	config := onDisk(t)
	config.Persistence.MaxCheckpoints = 3
	e := open(t, config)
	for seed := range uint64(2) {
		record(t, e, outcomes(normal(seed, 4, 8), 8))
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprint(patternFiles(t, config.Persistence.Dir))
	for i := range 5 {
		d, err := engine.OpenDirectory(config)
		if err != nil {
			t.Fatal(err)
		}
		hold(t, d, normal(uint64(i), 1, 8))
		ask(t, d, asks(normal(uint64(i), 1, 8), fmt.Sprint("a", i)))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(patternFiles(t, config.Persistence.Dir)); got != before {
		t.Errorf("got checkpoints %s, want %s", got, before)
	}
	d := directory(t, config, engine.ReadOnly())
	if pending, _ := d.Approvals(); len(pending) != 5 || len(d.Quarantine()) != 5 {
		t.Errorf("got %d asks and %d held outcomes, want 5 of each", len(pending), len(d.Quarantine()))
	}
}
