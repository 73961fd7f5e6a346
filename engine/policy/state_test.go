package policy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func ref[T any](v T) *T { return &v }

// TestResume goes through an alarm and back, as operators do.
func TestResume(t *testing.T) {
	alarm := State{Tier: Epsilon, RequireHumanApproval: true}.Alarm(now, "critical alert: error_rate 0.4 > 0.1")
	for _, c := range []struct {
		name  string
		state State
		pull  Pull
		after time.Duration // since the stage began
		quiet time.Duration
		want  string // in the refusal; "": accepted
		stage Stage
	}{
		{"at once", alarm, Pull{SafeMode: ref(false)}, 0, quiet, "safe mode stays on: critical alert: error_rate 0.4 > 0.1 at 2026-11-26T03:00:00Z; in 15m0s type: fdqc safety safe-mode off", Alarmed},
		{"just before", alarm, Pull{SafeMode: ref(false)}, quiet - 1, quiet, "in 1s type", Alarmed},
		{"after it", alarm, Pull{SafeMode: ref(false)}, quiet, quiet, "", Supervised},
		{"no quiet period", alarm, Pull{SafeMode: ref(false)}, 0, 0, "", Supervised},
		{"human approval", alarm, Pull{RequireHumanApproval: ref(false)}, quiet, quiet, "human approval stays on until autonomy has resumed", Alarmed},
		{"a looser tier", alarm, Pull{Tier: ref(Gamma)}, quiet, quiet, "the tier only tightens", Alarmed},
		{"a looser tier with the step", alarm, Pull{Tier: ref(Gamma), SafeMode: ref(false)}, quiet, quiet, "the tier only tightens", Alarmed},
		{"both steps at once", State{}.Alarm(now, "x"), Pull{Tier: ref(Delta), SafeMode: ref(false)}, quiet, quiet, "", Supervised},
		{"a stricter tier", State{}.Alarm(now, "x"), Pull{Tier: ref(Omega)}, 0, quiet, "", Alarmed},
		{"a clock that is behind", alarm, Pull{SafeMode: ref(false)}, -time.Hour, quiet, "the clock is behind, it says 2026-11-26T02:00:00Z; type: fdqc safety safe-mode on, which begins the quiet period anew", Alarmed},
		{"a clock that is behind, no quiet period", alarm, Pull{SafeMode: ref(false)}, -time.Hour, 0, "", Supervised},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.state.Pull(c.pull, now.Add(c.after), c.quiet)
			var refused *RefusedError
			if (err != nil) != (c.want != "") || err != nil && (!errors.As(err, &refused) || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if got.Stage != c.stage {
				t.Errorf("got stage %q, want %q", got.Stage, c.stage)
			}
		})
	}
	s, err := alarm.Pull(Pull{SafeMode: ref(true)}, now.Add(-time.Hour), quiet)
	if err != nil || s.Left(now.Add(-time.Hour+quiet), quiet) != 0 {
		t.Errorf("a clock that stays behind: got %+v, %v, want a quiet period from where it is", s, err)
	}
	s, _ = alarm.Pull(Pull{SafeMode: ref(false)}, now.Add(quiet), quiet)
	if _, err := s.Pull(Pull{Tier: ref(Delta)}, now.Add(quiet+time.Minute), quiet); err == nil || !strings.Contains(err.Error(), "in 14m0s type: fdqc safety tier DELTA") {
		t.Errorf("DELTA after a minute: got %v", err)
	}
	s, err = s.Pull(Pull{Tier: ref(Delta)}, now.Add(2*quiet), quiet)
	if want := (State{Tier: Delta, RequireHumanApproval: true}); err != nil || s != want {
		t.Errorf("DELTA: got %+v, %v, want %+v: an operator's own human approval stays", s, err, want)
	}
}

func TestStateIsReadStrictly(t *testing.T) {
	for text, fits := range map[string]bool{
		`{}`: true, `{"tier":"OMEGA","safe_mode":true,"require_human_approval":false}`: true, // before there were stages
		`{"stage":"alarmed","since":"2026-11-26T03:00:00Z","cause":"x"}`: true,
		`{"stage":"supervised","since":"2026-11-26T03:00:00Z"}`:          true,
		`{"tier":"gamma"}`: false,
		`{"stage":"calm","since":"2026-11-26T03:00:00Z"}`: false,
		`{"stage":"alarmed"}`:                             false,
		`{"since":"2026-11-26T03:00:00Z"}`:                false,
		`{"cause":"x"}`:                                   false,
	} {
		var s State
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(); (err == nil) != fits {
			t.Errorf("%s: got %v, want it to fit: %t", text, err, fits)
		}
	}
	if _, err := (State{}).Pull(Pull{Tier: ref("THETA")}, now, quiet); err == nil {
		t.Error("a pull of an unknown tier: got no error")
	}
}

func TestShadow(t *testing.T) {
	s := NewShadow(Rules{Settings: Settings{Tier: Gamma}, EntropyThreshold: 0.7, CollapseThreshold: 0.5, BlockThreshold: 0.8})
	for _, c := range []struct {
		decided, would Decision
		n              Numbers
	}{
		{Review, Allow, Numbers{BaseRisk: 0.4, Coherence: 0.6, Novelty: 0.5}},
		{Review, Review, Numbers{BaseRisk: 0.4, Coherence: 0.6, Novelty: 0.5, NoAllow: true}},
		{Allow, Review, Numbers{BaseRisk: 0.4, Coherence: 0.4, Novelty: 0.5}},
		{Block, Block, Numbers{BaseRisk: 0.9, Coherence: 0.6, Novelty: 0.5}},
		{Block, Allow, Numbers{BaseRisk: 0.9, Coherence: 0.6, Novelty: 0.5, SafeSimilarity: 0.4, Patterns: true}},
	} {
		if got := s.Count(c.decided, &c.n); got != c.would {
			t.Errorf("%+v: got %v, want %v", c.n, got, c.would)
		}
	}
	s.CountRefused(3)
	counts := s.Counts()
	if want := (Counts{Allow: {Review: 1}, Review: {Allow: 1, Review: 1}, Block: {Allow: 1, Block: 4}}); counts != want || counts.Rows() != 8 {
		t.Errorf("got %v, want %v", counts, want)
	}
}
