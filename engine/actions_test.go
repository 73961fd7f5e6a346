package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

func TestCheckAction(t *testing.T) {
	key, err := signing.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	path := "src/main.go"
	signed := func(nonce string) []byte {
		sealed, err := policy.SealAction(policy.Action{Tool: "edit", Path: &path}, nonce, time.Now(), key)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	config := inMemory(8)
	config.Safety.AllowedFilePatterns = []string{"src/**"}
	config.Safety.ActionKeys = []string{signing.Trusted{Public: key.Public()}.String()}
	root := engine.WithActionRoot(t.TempDir())
	e := open(t, config, engine.InMemory(), root)
	config.Safety.RequireSignedActions = true
	strict := open(t, config, engine.InMemory(), root)
	for _, c := range []struct {
		name   string
		e      *engine.Engine
		action []byte
		want   string // in the error; "": it passes
	}{
		{"no action", e, nil, ""},
		{"allowed", e, []byte(`{"tool":"edit","path":"src/main.go"}`), ""},
		{"not allowed", e, []byte(`{"tool":"edit","path":"etc/passwd"}`), "path: "},
		{"no action of this form", e, []byte(`{"x":1}`), "action: "},
		{"signed", e, signed("0123456789abcdef"), ""},
		{"no action, signatures required", strict, nil, "not signed"},
		{"not signed", strict, []byte(`{"tool":"edit","path":"src/main.go"}`), "not signed"},
		{"signed, signatures required", strict, signed("0123456789abcdef"), ""},
		{"again", strict, signed("0123456789abcdef"), "judged before"},
	} {
		if err := c.e.CheckAction(c.action); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	config.Safety.ActionKeys = nil
	if err := open(t, config, engine.InMemory(), root).CheckAction(signed("0123456789abcdef")); !errors.Is(err, signing.ErrUnknownKey) {
		t.Errorf("no keys: got %v, want ErrUnknownKey", err)
	}
}
