package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

func key(t testing.TB) *signing.Key {
	t.Helper()
	k, err := signing.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t testing.TB, nonce string, at time.Time, k *signing.Key) []byte {
	t.Helper()
	path := "src/main.go"
	sealed, err := SealAction(Action{Tool: "edit", Path: &path}, nonce, at, k)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// nonces counts up: what matters is that no two are the same.
func nonce(i int) string { return fmt.Sprintf("nonce-%012d", i) }

func TestSignedActions(t *testing.T) {
	trusted, expired, foreign := key(t), key(t), key(t)
	ring, err := signing.NewRing(signing.Trusted{Public: trusted.Public()}, signing.Trusted{Public: expired.Public(), Until: now.Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	envelope := func(payload string) []byte { return signing.Seal(ActionType, []byte(payload), trusted) }
	changed := strings.Replace(string(seal(t, nonce(1), now, trusted)), `"payload":"ey`, `"payload":"eX`, 1)
	for _, c := range []struct {
		name   string
		sealed []byte
		want   error  // or
		reason string // part of the error; "" with no want: accepted
	}{
		{"good", seal(t, nonce(1), now, trusted), nil, ""},
		{"at the end of the window", seal(t, nonce(1), now.Add(-ReplayWindow), trusted), nil, ""},
		{"ahead within the window", seal(t, nonce(1), now.Add(ReplayWindow), trusted), nil, ""},
		{"too old", seal(t, nonce(1), now.Add(-ReplayWindow-1), trusted), ErrOutsideWindow, ""},
		{"of the future", seal(t, nonce(1), now.Add(ReplayWindow+1), trusted), ErrOutsideWindow, ""},
		{"unsigned", seal(t, nonce(1), now, nil), signing.ErrUnsigned, ""},
		{"foreign", seal(t, nonce(1), now, foreign), signing.ErrUnknownKey, ""},
		{"expired key", seal(t, nonce(1), now, expired), signing.ErrExpiredKey, ""},
		{"another type", signing.Seal("text/plain", []byte(`{"tool":"x"}`), trusted), nil, "text/plain"},
		{"changed", []byte(changed), nil, "action"},
		{"no time", envelope(`{"tool":"x","nonce":"0123456789abcdef"}`), nil, "time"},
		{"no nonce", envelope(`{"tool":"x","time":"2026-11-26T03:00:00Z"}`), nil, "nonce"},
		{"short nonce", envelope(`{"tool":"x","nonce":"0123456789abcde","time":"2026-11-26T03:00:00Z"}`), nil, "nonce"},
		{"long nonce", envelope(`{"tool":"x","nonce":"` + strings.Repeat("x", 129) + `","time":"2026-11-26T03:00:00Z"}`), nil, "nonce"},
		{"unknown member", envelope(`{"tool":"x","file":"y","nonce":"0123456789abcdef","time":"2026-11-26T03:00:00Z"}`), nil, "file"},
		{"no action", envelope(`[]`), nil, "action"},
		{"no envelope", []byte(`{"payloadType":"x"}`), signing.ErrMalformed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := NewVerifier(ring, func() time.Time { return now })
			a, id, err := v.Open(c.sealed)
			switch {
			case c.want == nil && c.reason == "":
				if err != nil || a.Tool != "edit" || *a.Path != "src/main.go" || id != trusted.KeyID() {
					t.Fatalf("got %+v by %s, %v", a, id, err)
				}
				if _, _, err := v.Open(c.sealed); !errors.Is(err, ErrReplayed) {
					t.Errorf("again: got %v, want ErrReplayed", err)
				}
			case c.want != nil && !errors.Is(err, c.want):
				t.Errorf("got %v, want %v", err, c.want)
			case err == nil || !strings.Contains(err.Error(), c.reason):
				t.Errorf("got %v, want %q in it", err, c.reason)
			}
		})
	}
	if _, _, err := NewVerifier(nil, func() time.Time { return now }).Open(seal(t, nonce(1), now, trusted)); !errors.Is(err, signing.ErrUnknownKey) {
		t.Errorf("no keys: got %v, want ErrUnknownKey", err)
	}
}

// TestReplays: no action is taken twice, wherever the clock goes.
func TestReplays(t *testing.T) {
	k := key(t)
	ring := (*signing.Ring)(nil).With(k)
	clock := now
	v := NewVerifier(ring, func() time.Time { return clock })
	taken := map[string]bool{}
	var sealed [][]byte
	offer := func(s []byte) error {
		_, _, err := v.Open(s)
		if err == nil {
			if taken[string(s)] {
				t.Fatalf("at %v: an action was taken twice", clock)
			}
			taken[string(s)] = true
		}
		return err
	}
	// Forwards, a day ahead, back before the beginning, and on.
	for i, to := range []time.Duration{0, time.Minute, 4 * time.Minute, 7 * time.Minute, 24 * time.Hour, 8 * time.Minute, -time.Hour, 9 * time.Minute, 15 * time.Minute} {
		clock = now.Add(to)
		for j := range 3 {
			sealed = append(sealed, seal(t, nonce(10*i+j), clock, k))
		}
		for _, s := range sealed {
			_ = offer(s)
		}
	}
	// A clock that was a day ahead does not shut out what comes after it is
	// right again, unless it was taken for a day ahead itself.
	v = NewVerifier(ring, func() time.Time { return clock })
	clock = now
	first := seal(t, nonce(1000), clock, k)
	if err := offer(first); err != nil {
		t.Fatal(err)
	}
	clock = now.Add(24 * time.Hour)
	if err := offer(seal(t, nonce(1001), clock, k)); err != nil {
		t.Fatal(err)
	}
	clock = now.Add(time.Minute)
	if err := offer(first); !errors.Is(err, ErrReplayed) {
		t.Errorf("what was forgotten while the clock was ahead: got %v, want ErrReplayed", err)
	}
	if err := offer(seal(t, nonce(1002), clock, k)); err != nil {
		t.Errorf("after the clock went back: %v", err)
	}
}

// TestMemoryOfActions is bounded, and what falls out of it is not taken again.
func TestMemoryOfActions(t *testing.T) {
	k := key(t)
	v := NewVerifier((*signing.Ring)(nil).With(k), func() time.Time { return now })
	v.most = 8
	var all [][]byte
	for i := range 40 {
		all = append(all, seal(t, nonce(i), now.Add(time.Duration(i)*time.Second), k))
		if _, _, err := v.Open(all[i]); err != nil {
			t.Fatalf("action %d: %v", i, err)
		}
		if len(v.seen) > v.most || len(v.ages) > v.most {
			t.Fatalf("%d and %d actions are remembered, want at most %d", len(v.seen), len(v.ages), v.most)
		}
	}
	for i, s := range all {
		if _, _, err := v.Open(s); !errors.Is(err, ErrReplayed) {
			t.Errorf("action %d again: got %v, want ErrReplayed", i, err)
		}
	}
}

func TestGate(t *testing.T) {
	k := key(t)
	g := &Gate{Checks: checks(t, t.TempDir(), "src/**"), Verifier: NewVerifier((*signing.Ring)(nil).With(k), func() time.Time { return now })}
	plain := []byte(`{"tool":"edit","path":"src/main.go"}`)
	if a, err := g.Admit(plain); err != nil || a.Tool != "edit" {
		t.Errorf("plain: got %+v, %v", a, err)
	}
	if a, err := g.Admit(seal(t, nonce(1), now, k)); err != nil || a.Tool != "edit" {
		t.Errorf("signed, and not required: got %+v, %v", a, err)
	}
	if _, err := g.Admit(seal(t, nonce(2), now, key(t))); !errors.Is(err, signing.ErrUnknownKey) {
		t.Errorf("signed by another key, and not required: got %v, want ErrUnknownKey", err)
	}
	if a, err := g.Admit([]byte(`{"tool":"x","args":{"payloadType":"y"}}`)); err != nil || a.Tool != "x" {
		t.Errorf("an argument that is named as in an envelope: got %+v, %v", a, err)
	}
	g.RequireSigned = true
	if _, err := g.Admit(plain); !errors.Is(err, ErrUnsignedAction) {
		t.Errorf("plain, and signatures required: got %v, want ErrUnsignedAction", err)
	}
	path := "etc/passwd"
	outside, err := SealAction(Action{Path: &path}, nonce(3), now, k)
	if err != nil {
		t.Fatal(err)
	}
	var refused *ActionError
	if a, err := g.Admit(outside); !errors.As(err, &refused) || refused.Field != "path" || a == nil {
		t.Errorf("signed, and not allowed: got %+v, %v, want it refused by its path", a, err)
	}
}
