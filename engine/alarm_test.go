package engine_test

import (
	"errors"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// clock is moved by hand.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) forward(d time.Duration) { c.nanos.Add(int64(d)) }

// TestAlarm goes from an allowed action through an alarm and back, over
// restarts.
func TestAlarm(t *testing.T) {
	config := inMemory(8)
	config.Persistence.Dir = t.TempDir()
	config.Persistence.AutoSaveInterval = 0
	clock := newClock()
	reopen := func(options ...engine.Option) *engine.Engine {
		return open(t, config, append(options, engine.WithClock(clock.now))...)
	}
	row := make([]float32, 8)
	row[0] = 1
	decide := func(e *engine.Engine) engine.Decision {
		return validate(t, e, engine.Batch{Embeddings: row, Width: 8})[0].Decision
	}
	e := reopen()
	record(t, e, []engine.Outcome{{Embedding: row, IsSafe: true}})
	expect := func(when string, want engine.Decision) {
		t.Helper()
		if got := decide(e); got != want {
			t.Errorf("%s: got %s, want %s", when, got, want)
		}
	}
	off, delta := false, "DELTA"
	pull := func(c engine.LeverChange) error {
		c.By = "operator"
		_, err := e.Directory().PullLever(t.Context(), c)
		return err
	}
	refused := func(when string, err error, want string) {
		t.Helper()
		var r *policy.RefusedError
		if !errors.As(err, &r) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it refused with %q", when, err, want)
		}
	}
	expect("before", engine.Allow)
	l, err := e.Directory().Alarm(t.Context(), "critical alert: error_rate 0.4 > 0.1"+strings.Repeat("é", 1000))
	if err != nil || l.Stage != policy.Alarmed || l.By != "alert" || len(l.Cause) > 1000 {
		t.Fatalf("alarm: got %+v, %v", l, err)
	}
	expect("alarmed", engine.Review)
	refused("safe mode off at once", pull(engine.LeverChange{SafeMode: &off}), "in 15m0s type: fdqc safety safe-mode off")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	clock.forward(10 * time.Minute)
	e = reopen()
	expect("alarmed, after a restart", engine.Review)
	refused("after ten minutes", pull(engine.LeverChange{SafeMode: &off}), "in 5m0s type")
	if got := decide(reopen(engine.ReadOnly())); got != engine.Review {
		t.Errorf("alarmed, a reader: got %s, want review", got)
	}
	clock.forward(5 * time.Minute)
	if err := pull(engine.LeverChange{SafeMode: &off}); err != nil {
		t.Fatal(err)
	}
	expect("supervised", engine.Review)
	refused("human approval off", pull(engine.LeverChange{RequireHumanApproval: &off}), "in 15m0s type: fdqc safety tier DELTA")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = reopen()
	expect("supervised, after a restart", engine.Review)
	clock.forward(15 * time.Minute)
	expect("time alone", engine.Review)
	if err := pull(engine.LeverChange{Tier: &delta}); err != nil {
		t.Fatal(err)
	}
	expect("DELTA", engine.Allow)
	if l := e.Directory().Levers(); l.Stage != policy.Normal || l.Tier != "DELTA" || l.Cause != "" {
		t.Errorf("at the end: got %+v", l)
	}
}

// An alarm that cannot be written is obeyed all the same, and says so.
func TestAlarmOfAReader(t *testing.T) {
	config := inMemory(8)
	config.Persistence.Dir = t.TempDir()
	row := make([]float32, 8)
	row[0] = 1
	writer := open(t, config)
	record(t, writer, []engine.Outcome{{Embedding: row, IsSafe: true}})
	reader := open(t, config, engine.ReadOnly())
	if _, err := reader.Directory().Alarm(t.Context(), "critical alert"); !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("got %v, want ErrReadOnly", err)
	}
	for who, c := range map[string]struct {
		e    *engine.Engine
		want engine.Decision
	}{"the reader": {reader, engine.Review}, "the writer": {writer, engine.Allow}} {
		if got := validate(t, c.e, engine.Batch{Embeddings: row, Width: 8})[0].Decision; got != c.want {
			t.Errorf("%s: got %s, want %s", who, got, c.want)
		}
	}
}

// TestNothingIsAllowedUnderStrictLevers judges the same rows under every setting
// of the levers, and under each stage after an alarm: what may not be allowed
// never is, and what may be sometimes is.
func TestNothingIsAllowedUnderStrictLevers(t *testing.T) {
	config := inMemory(8)
	config.Safety.QuietPeriod = 0
	config.Detector.OnOutlier = engine.OnOutlierFlag // all that is recorded is stored
	e := open(t, config, engine.InMemory())
	patterns := outcomes(normal(1, 400, 8), 8)
	record(t, e, patterns)
	batch := shadowBatch(1500, 8, 0, 0, patterns)
	d := e.Directory()
	allowed := func() (n int) {
		for _, v := range validate(t, e, batch) {
			if v.Decision == engine.Allow {
				n++
			}
		}
		return n
	}
	pull := func(tier string, safe, human bool) {
		t.Helper()
		if _, err := d.PullLever(t.Context(), engine.LeverChange{Tier: &tier, SafeMode: &safe, RequireHumanApproval: &human}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tier := range policy.Tiers() {
		for bits := range 4 {
			safe, human := bits&1 != 0, bits&2 != 0
			pull(tier, safe, human)
			barred := tier == policy.Epsilon || tier == policy.Omega || safe || human
			if n := allowed(); (n > 0) == barred && tier != policy.Alpha && tier != policy.Beta || barred && n > 0 {
				t.Errorf("%s, safe mode %t, human approval %t: got %d allowed", tier, safe, human, n)
			}
		}
	}
	pull(policy.Gamma, false, false)
	if _, err := d.Alarm(t.Context(), "critical alert"); err != nil {
		t.Fatal(err)
	}
	off, delta := false, policy.Delta
	for _, c := range []struct {
		step engine.LeverChange
		want bool
	}{{engine.LeverChange{}, false}, {engine.LeverChange{SafeMode: &off}, false}, {engine.LeverChange{Tier: &delta}, true}} {
		if _, err := d.PullLever(t.Context(), c.step); err != nil {
			t.Fatal(err)
		}
		if n := allowed(); (n > 0) != c.want {
			t.Errorf("stage %q: got %d allowed, want some: %t", d.Levers().Stage, n, c.want)
		}
	}
}

// TestAlarmsInARow fill no journal, and the quiet period is that of the last.
func TestAlarmsInARow(t *testing.T) {
	config := onDisk(t)
	clock := newClock()
	d := directory(t, config, engine.WithClock(clock.now))
	alarm := func() time.Time {
		t.Helper()
		l, err := d.Alarm(t.Context(), "critical alert")
		if err != nil {
			t.Fatal(err)
		}
		return l.Since
	}
	first := alarm()
	for range 59 {
		clock.forward(time.Second)
		if got := alarm(); got != first {
			t.Fatalf("within a minute: got an alarm of %v in the journal, want %v alone", got, first)
		}
	}
	off := false
	_, err := d.PullLever(t.Context(), engine.LeverChange{SafeMode: &off})
	if err == nil || !strings.Contains(err.Error(), "in 15m0s type") {
		t.Errorf("safe mode off: got %v, want a whole quiet period after the last alarm", err)
	}
	clock.forward(2 * time.Second)
	if got := alarm(); !got.After(first) {
		t.Errorf("after a minute: got %v in the journal, want a new one", got)
	}
	clock.forward(15 * time.Minute)
	if _, err := d.PullLever(t.Context(), engine.LeverChange{SafeMode: &off}); err != nil {
		t.Fatal(err)
	}
	if alarm(); d.Levers().Stage != policy.Alarmed {
		t.Errorf("an alarm while supervised: got stage %q", d.Levers().Stage)
	}
}

// TestCriticalAlert: the error rate of rows puts safe mode on by itself, and it
// stays over a restart.
func TestCriticalAlert(t *testing.T) {
	config := onDisk(t)
	e := open(t, config)
	broken := make([]float32, 80)
	for i := range broken {
		broken[i] = float32(math.NaN())
	}
	validate(t, e, engine.Batch{Embeddings: broken, Width: 8})
	for deadline := time.Now().Add(20 * time.Second); e.Directory().Levers().Stage != policy.Alarmed; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %+v after rows of which all are errors, want an alarm", e.Directory().Levers())
		}
	}
	if l := e.Directory().Levers(); !strings.Contains(l.Cause, "critical alert: error_rate: High error rate: 1.000") {
		t.Errorf("got cause %q", l.Cause)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if l := directory(t, config, engine.ReadOnly()).Levers(); l.Stage != policy.Alarmed {
		t.Errorf("after a restart: got %+v, want the alarm", l)
	}
}

// TestAlarmThatIsOwed comes while the disk is full: it is obeyed, written as
// soon as there is room, and outlives a restart.
func TestAlarmThatIsOwed(t *testing.T) {
	if library == nil {
		t.Skip("run make build: there is no shim to compute with")
	}
	if os.Getenv(aloneVariable) == "" {
		inAProcess(t, "^TestAlarmThatIsOwed$")
		return
	}
	for _, next := range []string{"close", "alarm", "record"} {
		t.Run(next, func(t *testing.T) {
			config := onDisk(t)
			e := open(t, config)
			record(t, e, outcomes(normal(1, 2, 8), 8))
			full := limitFiles(t, 0)
			if _, err := e.Directory().Alarm(t.Context(), "critical alert"); err == nil || !strings.Contains(err.Error(), "not on the disk") {
				t.Errorf("got %v, want that it is not on the disk", err)
			}
			if _, err := e.Directory().Alarm(t.Context(), "another"); err == nil {
				t.Error("another alarm: got no error, want that safe mode is not on the disk")
			}
			if l := e.Directory().Levers(); l.Stage != policy.Alarmed {
				t.Errorf("got %+v, want the alarm to be obeyed", l)
			}
			full()
			switch next {
			case "alarm":
				if _, err := e.Directory().Alarm(t.Context(), "a third"); err != nil {
					t.Error(err)
				}
			case "record":
				record(t, e, outcomes(normal(2, 2, 8), 8))
			}
			if next != "close" {
				if l := directory(t, config, engine.ReadOnly()).Levers(); l.Stage != policy.Alarmed {
					t.Errorf("on the disk: got %+v, want the alarm", l)
				}
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if l := directory(t, config, engine.ReadOnly()).Levers(); l.Stage != policy.Alarmed {
				t.Errorf("after a restart: got %+v, want the alarm", l)
			}
		})
	}
}
